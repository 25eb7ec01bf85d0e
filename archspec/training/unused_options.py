"""Options that would do nothing: who gives one believes that it does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from archspec.data import Data
from archspec.errors import Problem, UsageError

_OF_OPENING = ("text", "image", "label", "labels", "train", "validation", "test")
_OF_OPENING += ("validation_share", "most_bad", "header", "encoding")


def check_effect(kind: str, data: object, given: Mapping[str, Any]) -> None:
    """Whether each option that was given does something, as far as that is known by itself.

    Args:
        kind: of the spec's task.
        data: as it was given.
        given: option → its value; None, or nothing in it, where it was left out.

    Raises:
        UsageError: E801, every one that does not.
    """
    reasons: dict[str, str] = {}
    if given["optimizer"] != "sgd":
        reasons["momentum"] = f"{given['optimizer']} has none"
    if given["weights"] is None:
        reasons |= dict.fromkeys(
            ("ignore", "optional", "key", "partial"), "there are no weights to read"
        )
    if kind == "image-classification":
        names = ("tokenizer", "max_length", "text")
        reasons |= dict.fromkeys(names, "the spec's inputs are images")
    else:
        reasons |= dict.fromkeys(("workers", "image"), "the spec's inputs are texts")
    if isinstance(data, Data):
        reasons |= dict.fromkeys(_OF_OPENING, "the data is open, and open_data takes it")
    _refuse(reasons, given)


def check_validation(data: Data, given: Mapping[str, Any]) -> None:
    """Whether there is a split that ``monitor`` and ``patience`` go by.

    Raises:
        UsageError: E801, there is none, and one of them was given.
    """
    if "validation" not in data.splits:
        _refuse(dict.fromkeys(("monitor", "patience"), "there is no validation split"), given)


def _refuse(reasons: Mapping[str, str], given: Mapping[str, Any]) -> None:
    problems = [
        Problem("E801", f"{name} does nothing: {reason}", hint="leave it out")
        for name, reason in reasons.items()
        if given.get(name) not in (None, (), [])
    ]
    if problems:
        raise UsageError(problems)
