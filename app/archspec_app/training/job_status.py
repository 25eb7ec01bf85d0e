"""How one job stands, as its files tell: whoever wrote them, none is believed unchecked."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from archspec.errors import Problem, RunError
from archspec.file_lock import holder
from archspec.training.run_folder import FACTS, LOCK, METRICS
from archspec.training.run_record import check_record
from archspec_app.training.metric_points import log_tail
from archspec_app.training.run_rows import JobStatus

RUNS, JOBS = "runs", ".jobs"
_JOB, _OUTPUT, _LOCK, _STOP, _SPEC = "job.json", "output.txt", "lock", "stop", "spec"
_MOST_BYTES = 50_000_000  # of a run.json: it names the bad rows of its data
_ENDED = ("finished", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class Job:
    """A run, and what the page keeps beside it.

    Attributes:
        key: the name of both folders.
        run: the run's folder, which may not be there yet.
        own: the page's, which is not there for a terminal's run.
    """

    key: str
    run: Path
    own: Path

    @property
    def record(self) -> Path:
        """What was asked for, and when its last process was started."""
        return self.own / _JOB

    @property
    def output(self) -> Path:
        """What its last process said."""
        return self.own / _OUTPUT

    @property
    def mark(self) -> Path:
        """Says which process was asked to stop."""
        return self.own / _STOP

    @property
    def spec(self) -> Path:
        """The folder of the spec's text."""
        return self.own / _SPEC

    @property
    def metrics(self) -> Path:
        return self.run / METRICS

    @property
    def lock(self) -> Path:
        """Held by the process that the page has started."""
        return self.own / _LOCK

    @property
    def locks(self) -> tuple[Path, Path]:
        """The page's, and that of whoever trains."""
        return self.lock, self.run / LOCK

    @property
    def is_held(self) -> bool:
        return any(holder(lock) is not None for lock in self.locks)

    @property
    def is_linked(self) -> bool:
        """Whether it leads elsewhere."""
        return self.run.is_symlink() or self.own.is_symlink()

    @property
    def is_there(self) -> bool:
        return (self.run / FACTS).is_file() or self.record.is_file()

    def facts(self) -> dict[str, Any] | None:
        """What the run says of itself, checked; None before it has begun.

        Raises:
            RunError: E920, it is not what a run writes.
        """
        file = self.run / FACTS
        if not file.exists():
            return None
        wrong = RunError(Problem("E920", f"{RUNS}/{self.key}/{FACTS}: not what a run writes"))
        facts = _json(file, _MOST_BYTES)
        if facts is None or facts.get("status") not in ("running", *_ENDED):
            raise wrong
        try:
            check_record(facts, file)
        except RunError:
            raise wrong from None
        return facts

    def said(self) -> dict[str, Any]:
        """What the page has written down, as far as it is that."""
        found = _json(self.record, 1_000_000) or {}
        begun = found.get("begun")
        if not isinstance(begun, int):
            found.pop("begun", None)
        return found

    def asked(self) -> int | None:
        """The process that was asked to stop."""
        return _number(self.mark)


@dataclass(frozen=True, slots=True)
class JobState:
    """What is known of a job at a moment.

    Attributes:
        job: which.
        facts: what the run says of itself; None before it has begun.
        said: what the page has written down.
        pids: the holders of the two locks, as ``holder`` tells.
    """

    job: Job
    facts: Mapping[str, Any] | None
    said: Mapping[str, Any]
    pids: tuple[int | None, int | None]

    @classmethod
    def of(cls, job: Job) -> JobState:
        """Raises RunError E920 if the run's facts are not what a run writes."""
        # Locks come first: a process that ends meanwhile has written down how, by then.
        own, run = job.locks
        pids = holder(own), holder(run)
        return cls(job, job.facts(), job.said(), pids)

    @property
    def times(self) -> int:
        """How often the run has been resumed; -1 before it has begun."""
        return -1 if self.facts is None else len(self.facts.get("resumed", []))

    @property
    def has_begun(self) -> bool:
        """Whether the last process that the page started has got as far as to train."""
        return self.facts is not None and self.times > self.said.get("begun", -1)

    @property
    def status(self) -> JobStatus:
        own, run = self.pids
        pid = own if own is not None else run
        if pid is not None:
            return self._of_process(pid)
        if not self.has_begun and (self.facts is None or self.facts["status"] != "finished"):
            return self._of_no_run()
        assert self.facts is not None
        if self.facts["status"] == "running":  # its process ended without a word
            return "stopped" if self._was_asked else "killed"
        return cast("JobStatus", self.facts["status"])

    def _of_process(self, pid: int) -> JobStatus:
        told = self.facts["status"] if self.facts is not None and self._goes_on else None
        if told in ("finished", "failed"):
            return cast("JobStatus", told)  # and its process is about to end
        if told == "stopped" or self.job.asked() == pid:
            return "stopping"
        return "running" if told == "running" else "starting"

    @property
    def _goes_on(self) -> bool:
        """Whether what the run says is of the process that is there now."""
        if self.pids[0] is not None:
            return self.has_begun
        # A terminal's: one that resumes it reads the data first, and the run says how it ended.
        return self.facts is not None and self.facts["status"] in ("running", "finished")

    def _of_no_run(self) -> JobStatus:
        if self._was_asked:
            return "stopped"
        return "failed" if _bytes(self.job.output, 100).strip() else "killed"

    @property
    def _was_asked(self) -> bool:
        """Whether the last process was asked to stop: it may have ended before it could listen."""
        own, run = map(_number, self.job.locks)
        return self.job.asked() is not None and self.job.asked() in (own, run)

    def error(self, hidden: Mapping[str, str]) -> str:
        """Why it failed: what the run says, or the terminal would have said."""
        if not self.has_begun:
            return log_tail(self.job.output, hidden)
        assert self.facts is not None
        return str(self.facts.get("error") or "an error")


def text_of(file: Path, most: int) -> str | None:
    """A text file; None if it is larger, or no text."""
    data = _bytes(file, most + 1)
    try:
        return data.decode() if len(data) <= most else None
    except UnicodeDecodeError:
        return None


def _bytes(file: Path, most: int) -> bytes:
    """The beginning of a plain file; nothing of what is none."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as stream:
            return stream.read(most) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""


def _json(file: Path, most: int) -> dict[str, Any] | None:
    try:
        found = json.loads(_bytes(file, most))
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _number(file: Path) -> int | None:
    text = _bytes(file, 20).strip()
    return int(text) if text.isdigit() else None
