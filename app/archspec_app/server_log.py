"""Lines about the server itself, for whoever started it."""

from __future__ import annotations

import contextlib
import sys


def log(text: str) -> None:
    """Write a line to stderr; a terminal that is gone must not end what is under way."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            print(f"archspec app: {text}", file=sys.stderr, flush=True)
