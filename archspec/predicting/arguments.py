"""Types and bounds of a predictor's arguments."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TypeGuard

from archspec.errors import Problem, UsageError

_MAX_BATCH_SIZE = 1_000_000


def check_arguments(
    batch_size: object, max_length: object, tokenizer: object, labels: object
) -> None:
    """Check what a ``Predictor`` is given, before anything is loaded.

    Raises:
        UsageError: E801, one problem for each argument that is wrong.
    """
    messages: list[str] = []
    if not _is_whole(batch_size) or not 1 <= batch_size <= _MAX_BATCH_SIZE:
        messages.append(
            f"batch_size is a whole number from 1 to {_MAX_BATCH_SIZE:,}, not {batch_size!r}"
        )
    if max_length is not None and not _is_whole(max_length):
        messages.append(f"max_length is a whole number, not {max_length!r}")
    if not isinstance(tokenizer, str | os.PathLike | None):
        messages.append(f"tokenizer is a path, not {tokenizer!r}")
    if labels is not None and not _are_names(labels):
        messages.append(f"labels are a list of names that are not empty, not {labels!r:.100}")
    if messages:
        raise UsageError([Problem("E801", message) for message in messages])


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _are_names(value: object) -> bool:
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return False
    return bool(value) and all(isinstance(one, str) and one.strip() for one in value)
