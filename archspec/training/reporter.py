"""Writes the lines of a run to its log and to standard error."""

from __future__ import annotations

import sys
from pathlib import Path

from archspec.report.text import printable


class Reporter:
    """Writes lines; nothing on standard error without ``verbose``.

    A full disk ends the log, and a closed standard error ends the output there; the run continues.
    """

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose
        self.log: Path | None = None
        self._is_lost = False

    def __call__(self, line: str) -> None:
        line = printable(line)
        if self.log is None:  # only the first process writes
            return
        self._print(line)
        try:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        except OSError as error:
            if not self._is_lost:
                self._is_lost = True
                self._print(printable(f"{self.log}: cannot be written: {error.strerror or error}"))

    def _print(self, line: str) -> None:
        if self.verbose and sys.stderr is not None:  # None: the shell closed it
            try:
                print(line, file=sys.stderr, flush=True)
            except OSError:
                self.verbose = False
