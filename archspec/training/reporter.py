"""What a run says while it goes on: in its log, and on standard error."""

from __future__ import annotations

import sys
from pathlib import Path

from archspec.report.text import printable


class Reporter:
    """Says lines; silent on standard error without ``aloud``.

    A full disk ends the log alone, and a reader of standard error who leaves ends what is told
    there: the run goes on.
    """

    def __init__(self, aloud: bool) -> None:
        self.aloud = aloud
        self.log: Path | None = None
        self._is_lost = False

    def __call__(self, line: str) -> None:
        line = printable(line)
        if self.log is None:  # one process speaks
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
        if self.aloud and sys.stderr is not None:  # None: the shell closed it
            try:
                print(line, file=sys.stderr, flush=True)
            except OSError:
                self.aloud = False
