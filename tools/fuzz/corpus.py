"""The specs that mutants are made from: all packaged ones and those of the tests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archspec.errors import SpecError
from archspec.lang.yaml import parse, plain

ROOT = Path(__file__).parents[2]
LEFT_OUT = {"tests/inspection/llama-3-405b.yaml"}  # inspecting it takes longer than a mutant may


@dataclass(frozen=True)
class Origin:
    """A spec before any mutation.

    Attributes:
        name: its path, from the root of the repository.
        text: what stands there; parents are named as packaged specs are.
        data: the same as plain data.
    """

    name: str
    text: str
    data: Any

    @classmethod
    def read(cls, path: Path) -> Origin:
        # A text that stands in no folder can extend packaged specs only.
        text = re.sub(r"(extends: \S+)\.yaml", r"\1", path.read_text("utf-8"))
        return cls(path.relative_to(ROOT).as_posix(), text, tree_of(text))


def origins() -> list[Origin]:
    """All of them, in the order of their paths."""
    paths = [*(ROOT / "specs").glob("*/*.yaml"), *(ROOT / "tests").rglob("*.yaml")]
    names = sorted({path.relative_to(ROOT).as_posix() for path in paths} - LEFT_OUT)
    found = [Origin.read(ROOT / name) for name in names]
    return [origin for origin in found if isinstance(origin.data, dict)]


def tree_of(text: str) -> Any:
    """The plain data of a text; None if it is not YAML."""
    try:
        return plain(parse(text)[0])
    except SpecError:
        return None
