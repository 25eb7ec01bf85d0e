"""What ``run.json`` may say: who goes on with a run believes no more of it than this."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from archspec.errors import Problem, RunError

Check = Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value >= 0


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping)


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _all(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, cast("list[Any]", value)))


def _each(check: Check) -> Check:
    return lambda value: (
        isinstance(value, Mapping) and all(map(check, cast("Mapping[str, Any]", value).values()))
    )


def _is_files(value: Any) -> bool:
    return _is_text(value) or _all(_is_text)(value)


def _is_source(value: Any) -> bool:
    return value is None or _is_files(value) or _each(_is_files)(value)


_SHAPES: dict[str, Check] = {
    **dict.fromkeys(("spec", "model", "plan", "started", "data.fingerprint"), _is_text),
    **dict.fromkeys(("epochs", "seed", "parameters", "threads", "data.arguments.seed"), _is_whole),
    **dict.fromkeys(("labels", "resumed", "data.bad"), _all(_is_text)),
    **dict.fromkeys(("weights.files", "weights.fresh"), _all(_is_text)),
    **dict.fromkeys(("options", "data", "data.arguments", "weights"), _is_mapping),
    **dict.fromkeys(("data.arguments.validation_share", "data.arguments.most_bad"), _is_number),
    **dict.fromkeys(("ended", "error"), _or_none(_is_text)),
    **{
        f"data.arguments.{name}": _or_none(_is_text)
        for name in ("text", "image", "label", "encoding")
    },
    "data.arguments.header": _or_none(_is_flag),
    "data.source": _is_source,
    "data.tokens": _or_none(_is_mapping),
    "data.counts": _each(_is_whole),
    "versions": _each(_is_text),
    "trainable": _or_none(_is_whole),
    "seconds": _is_number,
}


def check_facts(facts: Mapping[str, Any], place: Path) -> None:
    """Whether what a file says has the shape of what runs write; it may say less.

    Raises:
        RunError: E920, everything that has not.
    """
    problems = [
        Problem("E920", f"{place}: {name} is not what a run writes")
        for name, check in _SHAPES.items()
        if any(not check(value) for value in _found(facts, name.split(".")))
    ]
    if problems:
        raise RunError(problems)


def _found(facts: Any, names: list[str]) -> Iterator[Any]:
    """The value of a path of names, if there is one."""
    for name in names:
        if not isinstance(facts, Mapping) or name not in facts:
            return
        facts = cast("Mapping[str, Any]", facts)[name]
    yield facts
