"""Processes that outlive the one that starts them; their locks tell whether they live.

The process inherits an open, locked file: the lock is free again when it has ended, however it did,
whoever its parent is, and after the machine has been started anew. No process id is believed alone.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

import archspec
from archspec.file_lock import holder, write_holder

_OTHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


def launch(
    arguments: Sequence[str], folder: Path, output: Path, lock: IO[bytes], *, online: bool = False
) -> int:
    """Start ``archspec`` in a session of its own; returns the process's id.

    Args:
        arguments: of the command line.
        folder: to work in; nothing is imported from there.
        output: the file that gets what it says; there is none yet.
        lock: held by this process, and then by the new one; gets its id.
        online: whether it may ask the hub.
    """
    lock.truncate(0)
    with open(output, "xb") as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "archspec", *arguments],
            cwd=folder,
            env=_environment(os.environ, online),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
        )
    write_holder(lock, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # no zombie stays
    return process.pid


def _environment(environ: Mapping[str, str], online: bool) -> dict[str, str]:
    """With which this very archspec is imported; whatever is relative would mean the folder."""
    root = str(Path(archspec.__file__).parent.parent)
    paths = [one for one in environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(one)]
    kept = {name: value for name, value in environ.items() if name not in _OTHERS}
    said = {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    said |= {} if online else {"HF_HUB_OFFLINE": "1"}
    return {**kept, **said, "PYTHONPATH": os.pathsep.join([root, *paths])}


def ask_to_stop(pid: int, lock: Path) -> bool:
    """Send SIGTERM to the process that holds a lock; whether that was done."""
    if pid <= 1 or pid == os.getpid() or holder(lock) != pid or not _has_open(pid, lock):
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except (OSError, OverflowError):
        return False
    return True


def _has_open(pid: int, lock: Path) -> bool:
    """Whether a process has a file open; where the system does not tell, the lock must do."""
    if not os.path.isdir("/proc/self/fd"):
        return True
    try:
        mine = os.stat(lock)
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{entry}"), mine):
                    return True
    except OSError:
        pass
    return False
