"""Processes that outlive the server, and locks that show whether they are alive.

A process inherits an open, locked file, so the lock is free again once it has ended, however it
ended, whoever its parent is, and after a reboot. A process id alone is never trusted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from archspec.file_lock import holder, write_holder
from archspec_app.worker_pool import python_environment

# Variables of a distributed launch that the server itself may run in.
_DISTRIBUTED = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID")


def launch(
    arguments: Sequence[str], folder: Path, output: Path, lock: IO[bytes], *, online: bool = False
) -> int:
    """Start ``archspec`` in a session of its own; returns the process's id.

    Args:
        arguments: of the command line.
        folder: the working directory; nothing is imported from there.
        output: file for its output; it must not exist yet.
        lock: held by this process, inherited by the new one, whose id is written into it.
        online: whether it may connect to the Hugging Face Hub.
    """
    lock.truncate(0)
    with open(output, "xb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "archspec", *arguments],
            cwd=folder,
            env=_environment(online),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            pass_fds=(lock.fileno(),),
            start_new_session=True,
        )
    write_holder(lock, process.pid)
    threading.Thread(target=process.wait, daemon=True).start()  # leaves no zombie
    return process.pid


def _environment(online: bool) -> dict[str, str]:
    kept = {key: value for key, value in python_environment().items() if key not in _DISTRIBUTED}
    kept |= {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1", "PYTHONIOENCODING": "utf-8"}
    return kept if online else {**kept, "HF_HUB_OFFLINE": "1"}


def ask_to_stop(pid: int, lock: Path) -> bool:
    """Send SIGTERM to the process that holds a lock; returns whether it was sent."""
    if pid <= 1 or pid == os.getpid() or holder(lock) != pid or not _has_open(pid, lock):
        return False
    try:
        os.kill(pid, signal.SIGTERM)
    except (OSError, OverflowError):
        return False
    return True


def _has_open(pid: int, lock: Path) -> bool:
    """Whether a process has a file open; true on systems without ``/proc``."""
    if not os.path.isdir("/proc/self/fd"):
        return True
    try:
        wanted = os.stat(lock)
        for entry in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if os.path.samestat(os.stat(f"/proc/{pid}/fd/{entry}"), wanted):
                    return True
    except OSError:
        pass
    return False
