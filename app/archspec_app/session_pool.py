"""The sessions of all visitors: their state, and the processes that work on them.

No visitor waits for another: each has a process of their own, and an event that takes too long is
stopped. A session outlives its process: after every event its state is stored here.
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
from archspec_app.worker_pool import Worker, WorkerEnded, WorkerPool, WorkerRequest
from archspec_app.workspace import Workspace

MAX_SESSIONS = 64
MAX_IDLE = 6 * 3600.0
"""Seconds after which a session that nobody uses is dropped."""
MAX_WORKERS = 32
MAX_QUEUED = 16
"""Events of one session that run or wait."""
MAX_MODELS = 2
TIME_LIMIT = 30.0
"""Seconds that one event may take."""

_HINT = "--time-limit SECONDS changes the limit"


@dataclass(eq=False)
class _Queue:
    """Events that one worker handles, one after the other.

    Attributes:
        pending: how many events run or wait.
        latest: the last event of each handler whose events may be replaced.
    """

    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    worker: Worker | None = None
    pending: int = 0
    is_closed: bool = False
    latest: dict[int, object] = field(default_factory=dict[int, object])

    @property
    def is_idle(self) -> bool:
        return self.pending == 0


@dataclass(eq=False)
class _SessionQueue(_Queue):
    """A visitor's events.

    Attributes:
        state: of the session after the last event; empty before the first.
        last_used: when the last event arrived.
    """

    state: bytes = b""
    last_used: float = 0.0


class SessionPool:
    """Handles events: in a process for each session, within a time limit.

    Args:
        workspace: the folder that all sessions work in.
        handlers: of the page.
        workers: where processes come from.
        time_limit: seconds that one event may take.
        clock: returns seconds.
    """

    def __init__(
        self,
        workspace: Workspace,
        handlers: Sequence[Handler],
        workers: WorkerPool,
        *,
        time_limit: float = TIME_LIMIT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.workspace, self.handlers, self.workers = workspace, handlers, workers
        self.time_limit, self._clock = time_limit, clock
        self._sessions: OrderedDict[str, _SessionQueue] = OrderedDict()
        self._models: OrderedDict[str, _Queue] = OrderedDict()
        self._threads = ThreadPoolExecutor(MAX_WORKERS + MAX_MODELS + 8, "session-pool")
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._sessions)

    async def dispatch(self, session_id: str, number: int, event: Event) -> Any:
        """The answer of a session to an event; None if a later event has replaced it.

        Raises:
            NoAnswer: too many events are under way.
        """
        # A visitor who disconnects must not cancel work that other events of the session wait for.
        task = asyncio.create_task(self._dispatch(session_id, number, event))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return await asyncio.shield(task)

    def close(self, session_id: str) -> None:
        """Drop a session, whatever is under way."""
        own_model = f"{session_id} spec"
        for queue in (self._sessions.pop(session_id, None), self._models.pop(own_model, None)):
            if queue is not None:
                queue.is_closed = True
                self._end_worker(queue)

    def shut_down(self) -> None:
        """Drop all of them."""
        self.workers.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ------------------------------------------------------------------------------------- events

    async def _dispatch(self, session_id: str, number: int, event: Event) -> Any:
        session, handler = self._session(session_id), self.handlers[number]
        if session.pending >= MAX_QUEUED:
            raise NoAnswer(f"{MAX_QUEUED} events of this page are under way: wait for them")
        ticket = session.latest[number] = object()
        try:
            with _pending(session):
                if (model := handler.model_key(event)) is not None:
                    return await self._ask_model(session_id, model, session, number, event)
                async with session.lock:
                    if handler.replaceable and session.latest.get(number) is not ticket:
                        return None
                    return await self._ask_session(session, number, event)
        except WorkerEnded as error:
            raise NoAnswer(f"this {error}") from None

    async def _ask_session(
        self, session: _SessionQueue, number: int, event: Event, problem: Problem | None = None
    ) -> Any:
        """The answer of the session's worker; if that ends, a new one reports why."""
        for skip_build in (False, False, True):  # the last time, nothing slow is left to do
            try:
                return await self._try_session(session, number, event, problem, skip_build)
            except WorkerEnded as error:
                session.worker = None
                problem = problem or _stopped(error)
        assert problem is not None
        raise NoAnswer(str(problem))

    async def _try_session(
        self,
        session: _SessionQueue,
        number: int,
        event: Event,
        problem: Problem | None,
        skip_build: bool,
    ) -> Any:
        state = None
        if session.worker is None and not session.is_closed:
            session.worker, state = await self._new_worker(), session.state
        if session.is_closed:
            self._end_worker(session)
        if session.worker is None:
            raise NoAnswer("this page was closed")
        request = WorkerRequest(self.workspace, number, event, state, problem, skip_build)
        limit = self.time_limit if problem is None else self.time_limit / 2
        answer, session.state = await self._run(session.worker, request, limit)
        session.last_used = self._clock()
        return answer

    async def _ask_model(
        self, session_id: str, model: str, session: _SessionQueue, number: int, event: Event
    ) -> Any:
        """The answer of the worker that has a model in memory; the session does not change."""
        try:
            key = model if model.startswith("run ") else f"{session_id} {model}"
            queue = self._model_queue(key)
            with _pending(queue):
                async with queue.lock:
                    request = WorkerRequest(self.workspace, number, event, session.state)
                    queue.worker = queue.worker or await self._new_worker()
                    try:
                        return (await self._run(queue.worker, request, self.time_limit))[0]
                    except WorkerEnded:
                        queue.worker = None
                        raise
        except _AllModelsBusy:
            message = f"{MAX_MODELS} models are in use by others; try again in a moment"
            problem = Problem("E801", message)
        except WorkerEnded as error:
            problem = _stopped(error)
        async with session.lock:
            return await self._ask_session(session, number, event, problem)

    async def _run(self, worker: Worker, request: WorkerRequest, limit: float) -> tuple[Any, bytes]:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, worker.run, request, limit)

    # ----------------------------------------------------------------------------------- processes

    def _session(self, session_id: str) -> _SessionQueue:
        """The queue of a session, a new one if there is none; drops sessions that are too old."""
        now = self._clock()
        session = self._sessions.pop(session_id, None) or _SessionQueue()
        session.last_used = now
        self._sessions[session_id] = session
        for key in [
            key for key, other in self._sessions.items() if now - other.last_used > MAX_IDLE
        ]:
            self.close(key)
        while len(self._sessions) > MAX_SESSIONS:
            self.close(next(iter(self._sessions)))
        return session

    def _model_queue(self, key: str) -> _Queue:
        """The queue of a model, if need be in place of one that nobody is using."""
        queue = self._models.pop(key, None)
        if queue is None:
            while len(self._models) >= MAX_MODELS:
                idle = next((name for name, other in self._models.items() if other.is_idle), None)
                if idle is None:
                    raise _AllModelsBusy
                self._end_worker(self._models.pop(idle))
            queue = _Queue()
        self._models[key] = queue
        return queue

    def _end_worker(self, queue: _Queue) -> None:
        worker, queue.worker = queue.worker, None
        if worker is not None:
            self._threads.submit(worker.end)

    async def _new_worker(self) -> Worker:
        """A process for a session, if need be in place of the one that was idle for longest."""
        working = [session for session in self._sessions.values() if session.worker is not None]
        if len(working) >= MAX_WORKERS:
            idle = next((session for session in working if session.is_idle), None)
            if idle is None:
                raise NoAnswer(f"{MAX_WORKERS} pages are at work: try again in a moment")
            self._end_worker(idle)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self.workers.fork)


class _AllModelsBusy(Exception):
    """All models that may be in memory are in use."""


def _stopped(error: WorkerEnded) -> Problem:
    return Problem("E801", f"this {error}", hint=_HINT if "longer" in str(error) else "")


@contextlib.contextmanager
def _pending(queue: _Queue) -> Iterator[None]:
    queue.pending += 1
    try:
        yield
    finally:
        queue.pending -= 1
