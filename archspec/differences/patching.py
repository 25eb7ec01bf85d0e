"""Applies a diff to a spec."""

from __future__ import annotations

import json
import os
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any, cast

from archspec.differences.deltas import Delta, DoesNotFit, Misfit, apply, from_data
from archspec.differences.normal_form import content, place
from archspec.errors import Problem, SpecError, UsageError
from archspec.lang.spec import Spec, as_spec, loads
from archspec.lang.yaml import Path, dump
from archspec.report.text import shortened

MAX_PATCH_BYTES = 20_000_000

if TYPE_CHECKING:
    from archspec.differences.change_set import ChangeSet


def patched(change_set: ChangeSet, source: str | os.PathLike[str] | Spec) -> Spec:
    """As ``Diff.apply``."""
    if "spec" not in change_set.levels:
        raise UsageError(Problem("E801", "this diff is no patch: the specs were not compared"))
    spec = as_spec(source, {})
    return loads(patched_text(change_set.delta, spec), name=f"{change_set.new}.yaml")


def patched_text(delta: Delta | None, spec: Spec) -> str:
    """The YAML of ``spec`` with the changes made: parents merged in, without comments.

    Raises:
        SpecError: E112 at each place where the changes do not apply; or what is wrong with the
            result.
    """
    try:
        text = dump(apply(delta, content(spec)))
    except DoesNotFit as error:
        raise SpecError(_problem(misfit, spec) for misfit in error.misfits) from None
    loads(text, name=f"{spec.name}, patched")
    return text


def _problem(misfit: Misfit, spec: Spec) -> Problem:
    location, expected = dotted(misfit.path) or "the spec", shortened(misfit.expected, 100)
    message = f"the patch does not fit: at {location} it expects {expected}"
    return Problem("E112", message, place(spec, misfit.path))


def read_patch(path: FilePath) -> Delta | None:
    """Read the patch from a file that ``archspec diff --json`` wrote.

    Raises:
        SpecError: E106 if it has none.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_PATCH_BYTES + 1)
        if len(text) > MAX_PATCH_BYTES:
            raise ValueError(f"larger than {MAX_PATCH_BYTES:,} bytes")
        data: Any = json.loads(text)
        if not isinstance(data, dict) or "patch" not in data:
            raise ValueError("what 'archspec diff --json' writes has the key patch")
        return from_data(cast("dict[str, Any]", data)["patch"])
    except OSError as error:
        reason = error.strerror or "cannot be read"
    except RecursionError:
        reason = "nested too deeply"
    except ValueError as error:  # JSON's and Unicode's errors among them
        reason = str(error)
    raise SpecError(Problem("E106", f"{path}: not a patch: {reason}"))


def dotted(path: Path) -> str:
    """``blocks.Net.forward[2]``."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")
