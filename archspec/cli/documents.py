"""What ``--json`` prints, as plain data."""

from __future__ import annotations

from typing import Any, TypeVar

from archspec.cli.terminal import plain
from archspec.elaborate import Instance, walk
from archspec.errors import ArchspecError, Place
from archspec.params import Resolved
from archspec.schema import Architecture
from archspec.spec import Spec


def of_error(error: ArchspecError) -> dict[str, Any]:
    """``{"error": {"kind": …, "problems": […]}}``."""
    problems = [problem.to_dict() for problem in error.problems]
    return {"error": {"kind": type(error).__name__, "problems": problems}}
