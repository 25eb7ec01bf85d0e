"""Every visitor's desk, by the session of their page: bounded in number and in time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from archspec_app.desk import Desk
from archspec_app.workspace import Workspace

MOST = 64
IDLE = 6 * 3600.0
"""Seconds after which a desk that nobody uses is cleared."""


class Desks:
    """Desks by session.

    Args:
        workspace: what all of them work in.
        clock: seconds.
    """

    def __init__(self, workspace: Workspace, clock: Callable[[], float] = time.monotonic) -> None:
        self.workspace = workspace
        self._clock = clock
        self._lock = threading.Lock()
        self._desks: OrderedDict[str, tuple[Desk, float]] = OrderedDict()

    def of(self, session: str) -> Desk:
        """The desk of a session; a new one, if it has none or has not been here for long."""
        with self._lock:
            now = self._clock()
            found = self._desks.pop(session, None)
            desk = found[0] if found else Desk(self.workspace)
            self._desks[session] = (desk, now)
            while len(self._desks) > MOST or now - self._oldest() > IDLE:
                self._desks.popitem(last=False)
            return desk

    def close(self, session: str) -> None:
        with self._lock:
            self._desks.pop(session, None)

    def __len__(self) -> int:
        return len(self._desks)

    def _oldest(self) -> float:
        return next(iter(self._desks.values()))[1]
