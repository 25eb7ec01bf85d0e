"""Processes that handle visitors' events, as the page's server sees them.

A worker handles one event at a time. One that takes longer than it may is killed.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import orjson

import archspec
from archspec.errors import Problem
from archspec_app.events import Event
from archspec_app.workspace import Workspace

FORK, REAP = struct.Struct("i"), struct.Struct("i")
FULL_PRIORITY = 0.5
"""Seconds after which a worker gets a lower priority than those with shorter requests."""
_LOW_PRIORITY = 10  # a nice value
_START_TIMEOUT = 180.0


@dataclass(frozen=True, slots=True)
class WorkerRequest:
    """An event for a worker.

    Attributes:
        workspace: the folder that the session works in.
        number: of the handler.
        event: for it.
        state: of the session; empty for a new one, None for the one that the worker has.
        problem: reported instead of handling the event.
        skip_build: whether the session's last good model is not built again.
    """

    workspace: Workspace
    number: int
    event: Event
    state: bytes | None = None
    problem: Problem | None = None
    skip_build: bool = False


class WorkerEnded(Exception):
    """A worker's process is gone: it took too long, or crashed."""


class Worker:
    """One process.

    Attributes:
        pid: its id.
    """

    def __init__(self, pid: int, connection: Connection, pool: WorkerPool) -> None:
        self.pid, self._connection, self._pool = pid, connection, pool
        self._busy = threading.RLock()

    def run(self, request: WorkerRequest, seconds: float) -> tuple[Any, bytes]:
        """Handle a request; returns the answer, and the state of the session after it.

        Raises:
            WorkerEnded: it took longer than ``seconds``, or crashed; the process is gone.
        """
        with self._busy:
            try:
                self._connection.send(request)
                if not self._is_answered(seconds):
                    raise WorkerEnded(f"took longer than {seconds:g} seconds and was stopped")
                return orjson.loads(self._connection.recv_bytes()), self._connection.recv_bytes()
            except (EOFError, OSError):
                self.end()
                raise WorkerEnded("ended the process that ran it") from None
            except WorkerEnded:
                self.end()
                raise

    def _is_answered(self, seconds: float) -> bool:
        if self._connection.poll(min(FULL_PRIORITY, seconds)):
            return True
        # For good: an ordinary user cannot raise a priority again.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, _LOW_PRIORITY)
        return self._connection.poll(max(0.0, seconds - FULL_PRIORITY))

    def end(self) -> None:
        """Kill the process and everything that it started."""
        self._pool.reap(self.pid)
        with self._busy:
            self._connection.close()


class WorkerPool:
    """Starts workers: a process that has imported everything forks them.

    Args:
        command: Python's arguments for that process; its socket's number is added.
    """

    def __init__(self, command: tuple[str, ...] = ("-m", "archspec_app.worker_process")) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def start(self) -> None:
        """Start the process; ``wait`` and ``fork`` wait until it is ready."""
        with self._lock:
            self._spawn()

    def wait(self) -> None:
        """Wait until workers can be forked.

        Raises:
            WorkerEnded: they cannot.
        """
        self.fork().end()

    def fork(self) -> Worker:
        """A new worker.

        Raises:
            WorkerEnded: it cannot be started.
        """
        ours, theirs = socket.socketpair()
        try:
            with self._lock, theirs:
                pid = self._forked(self._socket or self._spawn(), theirs)
        except (OSError, EOFError):
            ours.close()
            self.close()
            raise WorkerEnded("could not be started: this server cannot start processes") from None
        return Worker(pid, Connection(ours.detach()), self)

    def _forked(self, server: socket.socket, theirs: socket.socket) -> int:
        if not self._is_ready:
            _receive_pid(server)
            self._is_ready = True
        socket.send_fds(server, [FORK.pack(0)], [theirs.fileno()])
        return _receive_pid(server)

    def reap(self, pid: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.sendall(REAP.pack(pid))

    def close(self) -> None:
        """Kill all of them."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            if self._process is not None:
                self._process.wait()
            self._socket = self._process = None

    def _spawn(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", *self._command, str(theirs.fileno())],
                env=python_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        ours.settimeout(_START_TIMEOUT)
        self._socket, self._is_ready = ours, False
        return ours


def _receive_pid(server: socket.socket) -> int:
    data = server.recv(FORK.size, socket.MSG_WAITALL)
    if len(data) < FORK.size:
        raise EOFError
    return FORK.unpack(data)[0]


def python_environment() -> dict[str, str]:
    """Environment in which Python imports this very archspec, whatever the folder of the page has.

    Relative entries of ``PYTHONPATH`` are dropped: they would lead into that folder.
    """
    roots = [str(Path(file).parent.parent) for file in (archspec.__file__, __file__)]
    paths = filter(os.path.isabs, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*roots, *paths])}
