"""``archspec diff --git``: what git calls for each file, https://git-scm.com/docs/gitattributes.

Git ends with an error if its driver does, so every trouble is reported as text, with the plain
difference of the lines beside it.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Sequence
from pathlib import Path

import click

from archspec.cli import terminal
from archspec.errors import ArchspecError
from archspec.report.text import printable_lines

MAX_BYTES = 2_000_000


def show(arguments: Sequence[str]) -> None:
    """Tell what changed in one file.

    Args:
        arguments: path, old file, its hash and mode, new file, its hash and mode; for a renamed
            file the new path and a text besides; the path alone while it is in conflict.
    """
    if len(arguments) not in (1, 7, 9):
        raise click.UsageError(
            "--git takes the arguments that git gives its diff driver: 1, 7 or 9"
        )
    if os.environ.get("GIT_PAGER_IN_USE") and not os.environ.get("NO_COLOR"):
        click.get_current_context().color = True
    path = arguments[0]
    if len(arguments) == 1:
        terminal.put(printable_lines(f"* {path}: in conflict"))
        return
    new_path = arguments[7] if len(arguments) == 9 else path
    terminal.put(click.style(printable_lines(f"diff --archspec a/{path} b/{new_path}"), bold=True))
    old, new = (
        None if file in ("/dev/null", "nul") else Path(file)
        for file in (arguments[1], arguments[4])
    )
    try:
        _tell(path, old, new_path, new)
    except OSError as error:
        terminal.put(printable_lines(f"{error.filename}: {error.strerror}"))


def _tell(path: str, old: Path | None, new_path: str, new: Path | None) -> None:
    if old is None or new is None:
        terminal.put("new file" if old is None else "deleted file")
        terminal.put(_lines(old, new))
        return
    if not (_is_spec(old) and _is_spec(new)):
        terminal.put(_lines(old, new))
        return
    try:
        terminal.put(_difference(path, old, new_path, new))
    except ArchspecError as error:
        terminal.put(_lines(old, new))
        terminal.put(terminal.painted(str(error)))


def _difference(path: str, old: Path, new_path: str, new: Path) -> str:
    """What the two versions say, with the parents that stand beside them now."""
    from archspec.differences import diff
    from archspec.lang.spec import load_with

    before, after = load_with(Path(path), {}, copy=old), load_with(Path(new_path), {}, copy=new)
    return diff(before, after, levels=("spec", "tree")).text(terminal.width())


def _is_spec(file: Path) -> bool:
    return any(line.startswith("archspec:") for line in _read(file))


def _lines(old: Path | None, new: Path | None) -> str:
    """The plain difference of two texts, without the names of temporary files."""
    before, after = (_read(file) if file else [] for file in (old, new))
    lines = list(difflib.unified_diff(before, after, "old", "new", lineterm=""))[2:]
    styles = {"+": "green", "-": "red", "@": "cyan"}
    return "\n".join(click.style(printable_lines(line), fg=styles.get(line[:1])) for line in lines)


def _read(file: Path) -> list[str]:
    with open(file, "rb") as opened:
        data = opened.read(MAX_BYTES)
    return data.decode("utf-8", "replace").splitlines()
