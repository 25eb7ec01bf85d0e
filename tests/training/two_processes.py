"""Runs a script in two processes, joined as ``torchrun`` joins them.

Both are forks of one process that has imported what they need, which takes longer than their work
does. ``torchrun`` itself, which starts each from nothing, is tried in ``test_runs``.
"""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path

from tests.app.page_server import free_port

ROOT = Path(__file__).parent.parent.parent


def in_two_processes(script: Path, *arguments: str) -> None:
    """Run a script twice, as ranks 0 and 1; a test fails where one of them does."""
    command = [sys.executable, "-m", __name__, str(script), *arguments]
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]


def _run(rank: int, port: int, words: list[str]) -> None:
    os.environ |= {
        "RANK": str(rank), "LOCAL_RANK": str(rank), "GROUP_RANK": "0",
        "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "TORCHELASTIC_RUN_ID": "of a test",
    }  # fmt: skip
    sys.argv = words
    runpy.run_path(words[0], run_name="__main__")


if __name__ == "__main__":
    from torch.multiprocessing.spawn import start_processes

    importlib.import_module("archspec.training.loop")  # and all that it needs, once for both
    start_processes(_run, (free_port(), sys.argv[1:]), nprocs=2, start_method="fork")
