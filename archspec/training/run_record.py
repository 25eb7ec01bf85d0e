"""What ``run.json`` may say: whoever reads a run believes no more of it than this."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archspec.errors import Problem, RunError

_Count = Annotated[int, Field(ge=0)]
_Files = str | list[str]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Weights(_Record):
    files: list[str] = []
    fresh: list[str] = []


class _Data(_Record):
    source: _Files | dict[str, _Files] | None = None
    fingerprint: str = ""
    counts: dict[str, _Count] = {}
    bad: list[str] = []
    tokens: dict[str, Any] | None = None


class RunRecord(_Record):
    """What runs write; a file may say less, and what else it says is not read.

    The options are checked when they are used, as ``TrainOptions``.
    """

    spec: str = ""
    model: str = ""
    plan: str = ""
    epochs: _Count = 0
    seed: _Count = 0
    labels: list[str] = []
    parameters: _Count = 0
    trainable: _Count | None = None
    options: dict[str, Any] = {}
    data: _Data = _Data()
    weights: _Weights = _Weights()
    versions: dict[str, str] = {}
    threads: _Count = 0
    started: str = ""
    ended: str | None = None
    seconds: Annotated[float, Field(ge=0)] = 0.0
    resumed: list[str] = []
    error: str | None = None


def check_record(facts: Mapping[str, Any], place: Path) -> None:
    """Whether what a file says has the shape of what runs write.

    Raises:
        RunError: E920, everything that has not.
    """
    try:
        RunRecord.model_validate(facts)
    except ValidationError as error:
        names = {".".join(_fields(one["loc"])): None for one in error.errors(include_url=False)}
        raise RunError(
            [Problem("E920", f"{place}: {name} is not what a run writes") for name in names]
        ) from None


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """The names of a location, without what is inside a field: ``("data", "bad", 0)``."""
    depth = 2 if location[0] in ("data", "weights") else 1
    return [str(part) for part in location[:depth]]
