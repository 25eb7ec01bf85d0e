"""The process that handles a visitor's events, and the fork server that starts such processes.

``python -m archspec_app.worker_process FD`` imports everything once, and then forks a worker for
each request: that takes a tenth of a second, and memory only for what a worker changes.
"""

from __future__ import annotations

import contextlib
import gc
import os
import pickle
import signal
import socket
import sys
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import Any

import orjson

import archspec
from archspec.errors import Problem
from archspec_app.event_binding import Handler
from archspec_app.events import to_json
from archspec_app.page import make_page
from archspec_app.server_log import log
from archspec_app.session import Session
from archspec_app.tabs.start import packaged
from archspec_app.worker_pool import FORK, REAP, WorkerRequest

_FILE = b"gradio.FileData"  # in whatever Gradio would take for a file

_MANY_OBJECTS = 300_000
"""After which the garbage collector interrupts an event. A model of some thousand modules is made
of so many, and nearly all of them are in use."""


def main(descriptor: int) -> None:
    """Fork workers until the page's server is gone; then kill those that are left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handlers = prepare()
    server = socket.socket(fileno=descriptor)
    workers: set[int] = set()
    server.sendall(FORK.pack(os.getpid()))
    try:
        while True:
            message, descriptors, _, _ = socket.recv_fds(server, REAP.size, 1)
            if not message:
                return
            if descriptors:
                server.sendall(FORK.pack(_fork(handlers, server, descriptors[0], workers)))
            else:
                _reap(REAP.unpack(message)[0], workers)
    finally:
        for pid in workers:
            _kill(pid)


def prepare() -> Sequence[Handler]:
    """Import and compile what a first event would wait for; returns the page's handlers."""

    async def unused(session_id: str, number: int, event: Any) -> Any:
        raise NotImplementedError  # the page is made for its handlers; nobody opens this one

    _, binder = make_page(unused)
    archspec.inspect("bert")
    packaged()
    gc.collect()
    gc.freeze()  # otherwise the garbage collector of each worker would copy all of this memory
    return binder.handlers


def _fork(
    handlers: Sequence[Handler], server: socket.socket, descriptor: int, workers: set[int]
) -> int:
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
        os.close(descriptor)
        workers.add(pid)
        return pid
    try:
        os.setpgid(0, 0)  # a group of its own, killed together; nice values count across groups
        server.close()
        work(Connection(descriptor), handlers)
    finally:
        os._exit(0)


def _reap(pid: int, workers: set[int]) -> None:
    if pid in workers:
        workers.remove(pid)
        _kill(pid)
        os.waitpid(pid, 0)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):  # it may be gone
        os.killpg(pid, signal.SIGKILL)


def work(server: Connection, handlers: Sequence[Handler]) -> None:
    """Answer requests, one after the other, until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    gc.set_threshold(_MANY_OBJECTS, 10, 10)
    session: Session | None = None
    while True:
        try:
            request: WorkerRequest = server.recv()
        except (EOFError, OSError):
            return
        if request.state is not None or session is None:
            session = _session(request)
        server.send_bytes(_encode(_answer(request, session, handlers[request.number])))
        server.send_bytes(pickle.dumps(session.state()))
        if gc.get_count()[0] > _MANY_OBJECTS // 10:
            gc.collect()  # nobody waits now


def _session(request: WorkerRequest) -> Session:
    if not request.state:
        return Session(request.workspace)
    return Session.from_state(
        request.workspace, pickle.loads(request.state), build=not request.skip_build
    )


def _answer(request: WorkerRequest, session: Session, handler: Handler) -> Any:
    problem = request.problem
    if problem is None:
        try:
            return handler.run(session, request.event)
        except Exception as error:  # a defect of ours: the page reports it and goes on
            problem = _defect(error)
    return handler.failed(session, request.event, problem)


def _defect(error: Exception) -> Problem:
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    file = os.path.basename(frame.tb_frame.f_code.co_filename) if frame else ""
    what = f"{type(error).__name__} at {file}:{frame.tb_lineno if frame else 0}"
    log(f"a defect: {what}: {str(error)[:500]!r}")
    hint = "this is a defect of archspec; the page stays as it was"
    return Problem("E801", f"this failed: {what}", hint=hint)


def _encode(answer: Any) -> bytes:
    try:
        encoded = orjson.dumps(answer)
    except TypeError:  # numbers of more than 64 bits, halves of characters
        return orjson.dumps(to_json(answer), default=str)
    return orjson.dumps(to_json(answer)) if _FILE in encoded else encoded


if __name__ == "__main__":
    main(int(sys.argv[1]))
