"""Processes that do visitors' work, as the page's server sees them: asked, timed, and ended.

A worker does one thing at a time. What takes longer than it may is ended with its process.
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
PATIENCE = 0.5
"""Seconds after which a request gives way to all that are shorter."""
_GIVES_WAY = 10  # of nice
_STARTS_WITHIN = 180.0


@dataclass(frozen=True, slots=True)
class Request:
    """What a worker is asked.

    Attributes:
        workspace: that the desk works in.
        number: of the handler.
        event: for it.
        state: of the desk; empty for a new one, None for the one that the worker has.
        problem: what is to be told instead of doing what the event asks for.
        forget: whether what was built is not built again.
    """

    workspace: Workspace
    number: int
    event: Event
    state: bytes | None = None
    problem: Problem | None = None
    forget: bool = False


class Ended(Exception):
    """A worker's process is gone: it took too long, or ended by itself."""


class Worker:
    """One process.

    Attributes:
        pid: its id.
    """

    def __init__(self, pid: int, connection: Connection, source: Workers) -> None:
        self.pid, self._connection, self._source = pid, connection, source
        self._asking = threading.RLock()

    def ask(self, request: Request, seconds: float) -> tuple[Any, bytes]:
        """An answer, and the state of the desk after it.

        Raises:
            Ended: there is none within the time; the process is gone.
        """
        with self._asking:
            try:
                self._connection.send(request)
                if not self._is_answered(seconds):
                    raise Ended(f"took longer than {seconds:g} seconds and was stopped")
                return orjson.loads(self._connection.recv_bytes()), self._connection.recv_bytes()
            except (EOFError, OSError):
                self.end()
                raise Ended("ended the process that it was done in") from None
            except Ended:
                self.end()
                raise

    def _is_answered(self, seconds: float) -> bool:
        if self._connection.poll(min(PATIENCE, seconds)):
            return True
        self._give_way()
        return self._connection.poll(max(0.0, seconds - PATIENCE))

    def _give_way(self) -> None:
        # For good: no process may be made to count for more again.
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, self.pid, _GIVES_WAY)

    def end(self) -> None:
        """End the process and all that it started, whatever it is doing."""
        self._source.reap(self.pid)
        with self._asking:
            self._connection.close()


class Workers:
    """Where workers come from: a process that has everything imported, and is forked.

    Args:
        command: of that process, before the number of its socket.
    """

    def __init__(self, command: tuple[str, ...] = ("-m", "archspec_app.worker_process")) -> None:
        self._command = command
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False

    def start(self) -> None:
        """Have the process started; ``wait`` and ``fork`` wait until it is ready."""
        with self._lock:
            self._begin()

    def wait(self) -> None:
        """Until workers can be had at once.

        Raises:
            Ended: they cannot.
        """
        self.fork().end()

    def fork(self) -> Worker:
        """A new worker.

        Raises:
            Ended: there cannot be one.
        """
        mine, other = socket.socketpair()
        try:
            with self._lock, other:
                pid = self._forked(self._socket or self._begin(), other)
        except (OSError, EOFError):
            mine.close()
            self.close()
            raise Ended("could not be begun: this server cannot start processes") from None
        return Worker(pid, Connection(mine.detach()), self)

    def _forked(self, asked: socket.socket, other: socket.socket) -> int:
        if not self._is_ready:
            _number(asked)
            self._is_ready = True
        socket.send_fds(asked, [FORK.pack(0)], [other.fileno()])
        return _number(asked)

    def reap(self, pid: int) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._socket is not None:
                self._socket.sendall(REAP.pack(pid))

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            if self._socket is not None:
                self._socket.close()
            if self._process is not None:
                self._process.wait()
            self._socket = self._process = None

    def _begin(self) -> socket.socket:
        mine, other = socket.socketpair()
        with other:
            number = str(other.fileno())
            self._process = subprocess.Popen(
                [sys.executable, "-P", *self._command, number],
                env=_environment(),
                stdin=subprocess.DEVNULL,
                pass_fds=(other.fileno(),),
            )
        mine.settimeout(_STARTS_WITHIN)
        self._socket, self._is_ready = mine, False
        return mine


def _number(asked: socket.socket) -> int:
    data = asked.recv(FORK.size, socket.MSG_WAITALL)
    if len(data) < FORK.size:
        raise EOFError
    return FORK.unpack(data)[0]


def _environment() -> dict[str, str]:
    """With which this very archspec is imported, whatever lies in the folder of the page."""
    roots = [str(Path(one).parent.parent) for one in (archspec.__file__, __file__)]
    paths = [
        one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if os.path.isabs(one)
    ]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([*roots, *paths])}
