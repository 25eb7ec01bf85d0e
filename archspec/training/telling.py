"""What a run says while it goes on: in its log, and on standard error."""

from __future__ import annotations

import sys
from pathlib import Path

from archspec.display import printable


class Teller:
    """Says lines; silent on standard error without ``aloud``."""

    def __init__(self, aloud: bool) -> None:
        self.aloud = aloud
        self.log: Path | None = None

    def __call__(self, line: str) -> None:
        line = printable(line)
        if self.log is not None:
            with open(self.log, "a", encoding="utf-8") as file:
                file.write(line + "\n")
        if self.aloud and self.log is not None:  # one process speaks
            print(line, file=sys.stderr, flush=True)
