"""The process that a visitor's work is done in, and the one that such processes are forked from.

``python -m archspec_app.worker_process FD`` imports everything once, and then forks a worker
whenever it is asked to: that takes a tenth of a second, and memory only for what a worker changes.
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
from archspec_app.events import answer
from archspec_app.page import make_page
from archspec_app.session import Session
from archspec_app.worker_pool import FORK, REAP, Request

_FILE = b"gradio.FileData"  # whatever Gradio would take for a file says so


def main(descriptor: int) -> None:
    """Fork workers until whoever asks for them is gone; none of them stays behind."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    handlers = prepare()
    asked = socket.socket(fileno=descriptor)
    workers: set[int] = set()
    asked.sendall(FORK.pack(os.getpid()))
    try:
        while True:
            order, descriptors, _, _ = socket.recv_fds(asked, REAP.size, 1)
            if not order:
                return
            if descriptors:
                asked.sendall(FORK.pack(_forked(handlers, asked, descriptors[0], workers)))
            else:
                _reap(REAP.unpack(order)[0], workers)
    finally:
        for pid in workers:
            _kill(pid)


def prepare() -> Sequence[Handler]:
    """Everything imported and compiled that a first event would wait for; the page's handlers."""

    async def nobody(session: str, number: int, event: Any) -> Any:
        raise NotImplementedError

    _, face = make_page(nobody)
    archspec.inspect("bert")
    gc.collect()
    gc.freeze()  # else collections in the workers would copy all of this
    return face.handlers


def _forked(
    handlers: Sequence[Handler], asked: socket.socket, descriptor: int, workers: set[int]
) -> int:
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
        os.close(descriptor)
        workers.add(pid)
        return pid
    try:
        os.setpgid(0, 0)  # what a worker starts ends with it; but its nice value counts here still
        asked.close()
        work(Connection(descriptor), handlers)
    finally:
        os._exit(0)


def _reap(pid: int, workers: set[int]) -> None:
    if pid in workers:
        workers.remove(pid)
        _kill(pid)
        os.waitpid(pid, 0)


def _kill(pid: int) -> None:
    with contextlib.suppress(OSError):  # nothing may be left of it
        os.killpg(pid, signal.SIGKILL)


def work(asked: Connection, handlers: Sequence[Handler]) -> None:
    """Answer requests, one after the other, until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    desk: Session | None = None
    while True:
        try:
            request: Request = asked.recv()
        except (EOFError, OSError):
            return
        if request.state is not None or desk is None:
            desk = _desk(request)
        asked.send_bytes(_encoded(_answer(request, desk, handlers[request.number])))
        asked.send_bytes(pickle.dumps(desk.state()))


def _desk(request: Request) -> Session:
    if not request.state:
        return Session(request.workspace)
    return Session.of_state(
        request.workspace, pickle.loads(request.state), build=not request.forget
    )


def _answer(request: Request, desk: Session, handler: Handler) -> Any:
    problem = request.problem
    if problem is None:
        try:
            return handler.run(desk, request.event)
        except Exception as error:  # what nobody has thought of is told, too, and the page goes on
            problem = _defect(error)
    return handler.failed(desk, request.event, problem)


def _defect(error: Exception) -> Problem:
    frame = error.__traceback__
    while frame and frame.tb_next:
        frame = frame.tb_next
    place = (
        f"{os.path.basename(frame.tb_frame.f_code.co_filename)}:{frame.tb_lineno}" if frame else ""
    )
    told = f"{type(error).__name__} at {place}"
    print(f"archspec app: a defect: {told}: {str(error)[:500]!r}", file=sys.stderr, flush=True)
    hint = "this is a defect of archspec; what is on the page stays as it was"
    return Problem("E801", f"this could not be done: {told}", hint=hint)


def _encoded(found: Any) -> bytes:
    try:
        encoded = orjson.dumps(found)
    except TypeError:  # numbers past 64 bits, halves of characters
        return orjson.dumps(answer(found), default=str)
    return orjson.dumps(answer(found)) if _FILE in encoded else encoded


if __name__ == "__main__":
    main(int(sys.argv[1]))
