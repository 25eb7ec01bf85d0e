"""``archspec validate`` as a process, against a process that only imports torch."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

from benchmarks.pairs import Pair


def pairs() -> Iterator[Pair]:
    validate = ("-m", "archspec", "validate", "bert")
    name = "archspec validate bert ÷ import torch"
    yield Pair(name, lambda: _run(*validate), lambda: _run("-c", "import torch"), target=1 / 3)


def _run(*arguments: str) -> None:
    subprocess.run([sys.executable, *arguments], stdout=subprocess.DEVNULL, check=True)
