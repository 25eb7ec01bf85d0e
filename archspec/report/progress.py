"""How far something is, on standard error: a bar with what is done and the time left."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn


def is_seen() -> bool:
    """Whether standard error is a terminal; None is there where the shell closed it."""
    return sys.stderr is not None and sys.stderr.isatty()


def bar(*columns: ProgressColumn) -> Progress:
    """A bar that vanishes when it is done, with more columns at its end."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(elapsed_when_finished=False),
        *columns,
        console=Console(stderr=True),
        transient=True,
    )


@contextlib.contextmanager
def counting(what: str, total: int, *, drawn: bool) -> Generator[Callable[[int], None], None, None]:
    """A bar while this holds, on a terminal: call with how much more is done."""
    if not (drawn and total and is_seen()):
        yield lambda more: None
        return
    with bar() as progress:
        task = progress.add_task(what, total=total)
        yield lambda more: progress.advance(task, more)
