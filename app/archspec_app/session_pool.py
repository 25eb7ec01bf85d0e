"""Every visitor's session: their desk, as data, and the process that works on it.

No visitor waits for another: each has a process of their own, and what takes too long is stopped.
The desk outlives the process: after every event its state is kept here.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from archspec.errors import Problem
from archspec_app.event_binding import Handler, NoAnswer
from archspec_app.events import Event
from archspec_app.worker_pool import Ended, Request, Worker, Workers
from archspec_app.workspace import Workspace

MOST = 64
IDLE = 6 * 3600.0
"""Seconds after which a session that nobody uses is forgotten."""
MOST_WORKERS = 32
MOST_WAITING = 16
"""Events of one session."""
MOST_MODELS = 2
SECONDS = 30.0
"""That one event may take."""

_HINT = "--time-limit SECONDS changes the limit"


@dataclass(eq=False)
class _RequestQueue:
    """One thing at a time is done in it, by a worker that stays.

    Attributes:
        waiting: events that are under way or wait.
        latest: by handler, the last of the events that may be replaced.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: Worker | None = None
    waiting: int = 0
    is_closed: bool = False
    latest: dict[int, object] = field(default_factory=dict[int, object])

    @property
    def is_idle(self) -> bool:
        return self.waiting == 0


@dataclass(eq=False)
class _Visitor(_RequestQueue):
    """A visitor's.

    Attributes:
        state: of the desk after the last event; empty before the first.
        used: when that was.
    """

    state: bytes = b""
    used: float = 0.0


class SessionPool:
    """Answers events: in a process for each session, within a time.

    Args:
        workspace: what all desks work in.
        handlers: of the page.
        workers: where processes come from.
        seconds: that one event may take.
        clock: seconds.
    """

    def __init__(
        self,
        workspace: Workspace,
        handlers: Sequence[Handler],
        workers: Workers,
        *,
        seconds: float = SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workspace, self.handlers, self.workers = workspace, handlers, workers
        self.seconds, self._clock = seconds, clock
        self._sessions: OrderedDict[str, _Visitor] = OrderedDict()
        self._models: OrderedDict[str, _RequestQueue] = OrderedDict()
        self._threads = ThreadPoolExecutor(MOST_WORKERS + MOST_MODELS + 8, "asks-worker")
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    async def ask(self, name: str, number: int, event: Event) -> Any:
        """A session's answer to an event; None if a later event has made it unnecessary.

        Raises:
            NoAnswer: too much is under way.
        """
        # Whoever hangs up ends no work that others of the session wait behind.
        task = asyncio.create_task(self._asked(name, number, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def close(self, name: str) -> None:
        """Forget a session, whatever is under way."""
        for lane in (self._sessions.pop(name, None), self._models.pop(f"{name} spec", None)):
            if lane is not None:
                lane.is_closed = True
                self._end(lane)

    def end(self) -> None:
        """Forget all of them."""
        self.workers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------------- asking

    async def _asked(self, name: str, number: int, event: Event) -> Any:
        session, handler = self._of(name), self.handlers[number]
        if session.waiting >= MOST_WAITING:
            raise NoAnswer(f"{MOST_WAITING} events of this page are under way: wait for them")
        ticket = session.latest[number] = object()
        try:
            if (model := handler.lane(event)) is not None:
                with _under_way(session):
                    return await self._of_model(name, model, session, number, event)
            with _under_way(session):
                async with session.lock:
                    if handler.replaceable and session.latest.get(number) is not ticket:
                        return None
                    return await self._in_session(session, number, event)
        except Ended as error:
            raise NoAnswer(f"this {error}") from None

    async def _in_session(
        self, session: _Visitor, number: int, event: Event, problem: Problem | None = None
    ) -> Any:
        """The answer of the session's own process; if it has none, what another says of that."""
        why = problem
        for forget in (False, False, True):  # the last time, nothing is left that could take long
            try:
                return await self._once(session, number, event, why, forget)
            except Ended as error:
                session.worker = None
                why = why or self._stopped(error)
        assert why is not None
        raise NoAnswer(str(why))

    async def _once(
        self, session: _Visitor, number: int, event: Event, why: Problem | None, forget: bool
    ) -> Any:
        state = None
        if session.worker is None and not session.is_closed:
            session.worker, state = await self._new(), session.state
        if session.is_closed:
            self._end(session)
        if session.worker is None:
            raise NoAnswer("this page was closed")
        request = Request(self.workspace, number, event, state, why, forget)
        seconds = self.seconds if why is None else self.seconds / 2
        found, session.state = await self._answer(session.worker, request, seconds)
        session.used = self._clock()
        return found

    async def _of_model(
        self, name: str, model: str, session: _Visitor, number: int, event: Event
    ) -> Any:
        """The answer of the process that has a model in memory; the desk stays as it is."""
        try:
            lane = self._lane(model if model.startswith("run ") else f"{name} {model}")
            with _under_way(lane):
                async with lane.lock:
                    request = Request(self.workspace, number, event, session.state)
                    return await self._with_model(lane, request)
        except _Full:
            message = f"{MOST_MODELS} models are at work for others; try again in a moment"
            why = Problem("E801", message)
        except Ended as error:
            why = self._stopped(error)
        async with session.lock:
            return await self._in_session(session, number, event, why)

    async def _with_model(self, lane: _RequestQueue, request: Request) -> Any:
        lane.worker = lane.worker or await self._new()
        try:
            return (await self._answer(lane.worker, request, self.seconds))[0]
        except Ended:
            lane.worker = None
            raise

    def _stopped(self, error: Ended) -> Problem:
        return Problem("E801", f"this {error}", hint=_HINT if "longer" in str(error) else "")

    async def _answer(self, worker: Worker, request: Request, seconds: float) -> tuple[Any, bytes]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, worker.ask, request, seconds)

    # ------------------------------------------------------------------------------------- keeping

    def _of(self, name: str) -> _Visitor:
        """A session; a new one, if there is none or it has not been here for long."""
        now = self._clock()
        session = self._sessions.pop(name, None) or _Visitor()
        session.used = now
        self._sessions[name] = session
        for other in [one for one, its in self._sessions.items() if now - its.used > IDLE]:
            self.close(other)
        while len(self._sessions) > MOST:
            self.close(next(iter(self._sessions)))
        return session

    def _lane(self, model: str) -> _RequestQueue:
        """Where a model is used, or can be loaded."""
        lane = self._models.pop(model, None)
        if lane is None:
            while len(self._models) >= MOST_MODELS:
                idle = next((one for one, its in self._models.items() if its.is_idle), None)
                if idle is None:
                    raise _Full
                self._end(self._models.pop(idle))
            lane = _RequestQueue()
        self._models[model] = lane
        return lane

    def _end(self, lane: _RequestQueue) -> None:
        worker, lane.worker = lane.worker, None
        if worker is not None:
            self._threads.submit(worker.end)

    async def _new(self) -> Worker:
        """A process for a session, if need be in place of one that has been idle for longest."""
        at_work = [one for one in self._sessions.values() if one.worker is not None]
        if len(at_work) >= MOST_WORKERS:
            idle = next((one for one in at_work if one.is_idle), None)
            if idle is None:
                raise NoAnswer(f"{MOST_WORKERS} pages are at work: try again in a moment")
            self._end(idle)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.workers.fork)


class _Full(Exception):
    """All models that may be in memory are at work."""


@contextlib.contextmanager
def _under_way(lane: _RequestQueue) -> Iterator[None]:
    lane.waiting += 1
    try:
        yield
    finally:
        lane.waiting -= 1
