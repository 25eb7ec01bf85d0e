"""The status of a run, derived from its files; their content is untrusted."""

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
from archspec.training.run_folder import FACTS, LOCK, METRICS, check_record
from archspec_app.training.metric_points import log_tail
from archspec_app.training.run_rows import JobStatus

RUNS, JOBS = "runs", ".jobs"
_RECORD, _OUTPUT, _LOCK, _STOP, _SPEC = "job.json", "output.txt", "lock", "stop", "spec"
_MAX_RUN_JSON = 50_000_000  # bytes; it lists the bad rows of the data
_MAX_RECORD = 1_000_000
MAX_NOTE_BYTES = 4_000
_ENDED = ("finished", "stopped", "failed")


@dataclass(frozen=True, slots=True)
class Job:
    """A run, and the files that the page adds for it.

    Attributes:
        key: the name of both folders.
        run: the run's folder, which may not exist yet.
        page_folder: the page's own, which does not exist for a run started from a terminal.
    """

    key: str
    run: Path
    page_folder: Path

    @property
    def record(self) -> Path:
        """What was requested, and when the last process was started."""
        return self.page_folder / _RECORD

    @property
    def output(self) -> Path:
        """Output of its last process."""
        return self.page_folder / _OUTPUT

    @property
    def stop_file(self) -> Path:
        """Holds the id of the process that was asked to stop."""
        return self.page_folder / _STOP

    @property
    def spec(self) -> Path:
        """The folder of the spec's text."""
        return self.page_folder / _SPEC

    @property
    def note(self) -> Path:
        """What a visitor has written about it."""
        return self.page_folder / "note.txt"

    @property
    def metrics(self) -> Path:
        return self.run / METRICS

    @property
    def lock(self) -> Path:
        """Held by the process that the page has started."""
        return self.page_folder / _LOCK

    @property
    def locks(self) -> tuple[Path, Path]:
        """The page's lock, and the one that every training process holds."""
        return self.lock, self.run / LOCK

    @property
    def is_held(self) -> bool:
        return any(holder(lock) is not None for lock in self.locks)

    @property
    def is_linked(self) -> bool:
        """Whether one of the folders is a link."""
        return self.run.is_symlink() or self.page_folder.is_symlink()

    @property
    def exists(self) -> bool:
        return (self.run / FACTS).is_file() or self.record.is_file()

    def facts(self) -> dict[str, Any] | None:
        """The checked content of ``run.json``; None before training has begun.

        Raises:
            RunError: E920, it is not the ``run.json`` of a run.
        """
        file = self.run / FACTS
        if not file.exists():
            return None
        error = RunError(Problem("E920", f"{RUNS}/{self.key}/{FACTS}: not the file of a run"))
        facts = _read_json(file, _MAX_RUN_JSON)
        if facts is None or facts.get("status") not in ("running", *_ENDED):
            raise error
        try:
            check_record(facts, file)
        except RunError:
            raise error from None
        return facts

    def read_record(self) -> dict[str, Any]:
        """The content of ``record``, without a wrong ``resumed_before``."""
        record = _read_json(self.record, _MAX_RECORD) or {}
        if not isinstance(record.get("resumed_before"), int):
            record.pop("resumed_before", None)
        return record

    def stopping_pid(self) -> int | None:
        """The process that was asked to stop."""
        return _read_number(self.stop_file)


@dataclass(frozen=True, slots=True)
class JobState:
    """What the files of a job say at one moment.

    Attributes:
        job: which.
        facts: of ``run.json``; None before training has begun.
        record: what the page has written.
        pids: the holders of the two locks, as ``holder`` returns them.
    """

    job: Job
    facts: Mapping[str, Any] | None
    record: Mapping[str, Any]
    pids: tuple[int | None, int | None]

    @classmethod
    def of(cls, job: Job) -> JobState:
        """Raises RunError E920 if ``run.json`` is not the file of a run."""
        # Locks first: a process that ends in between has written its final status by then.
        page_lock, run_lock = job.locks
        pids = holder(page_lock), holder(run_lock)
        return cls(job, job.facts(), job.read_record(), pids)

    @property
    def form(self) -> Mapping[str, Any]:
        """The options as they were entered on the page; empty for a run of a terminal."""
        form = self.record.get("form")
        options = form.get("options") if isinstance(form, Mapping) else None
        return options if isinstance(options, Mapping) else {}

    @property
    def times_resumed(self) -> int:
        """How often the run has been resumed; -1 before training has begun."""
        return -1 if self.facts is None else len(self.facts.get("resumed", []))

    @property
    def has_begun(self) -> bool:
        """Whether the last process that the page started has begun to train."""
        return self.facts is not None and self.times_resumed > self.record.get("resumed_before", -1)

    @property
    def status(self) -> JobStatus:
        pid = next((pid for pid in self.pids if pid is not None), None)
        if pid is not None:
            return self._process_status(pid)
        if not self.has_begun and (self.facts is None or self.facts["status"] != "finished"):
            return self._failed_start()
        assert self.facts is not None
        if self.facts["status"] == "running":  # its process ended without a final status
            return "stopped" if self._stop_requested else "killed"
        return cast("JobStatus", self.facts["status"])

    def _process_status(self, pid: int) -> JobStatus:
        status = self.facts["status"] if self.facts is not None and self._is_current else None
        if status in ("finished", "failed"):
            return cast("JobStatus", status)  # its process is about to end
        if status == "stopped" or self.job.stopping_pid() == pid:
            return "stopping"
        return "running" if status == "running" else "starting"

    @property
    def _is_current(self) -> bool:
        """Whether ``run.json`` was written by the process that is there now."""
        if self.pids[0] is not None:
            return self.has_begun
        # Of a terminal: while a resumed run still reads its data, run.json has the status before.
        return self.facts is not None and self.facts["status"] in ("running", "finished")

    def _failed_start(self) -> JobStatus:
        if self._stop_requested:
            return "stopped"
        return "failed" if read_bytes(self.job.output, 100).strip() else "killed"

    @property
    def _stop_requested(self) -> bool:
        """Whether the last process was asked to stop; it may have ended before it could react."""
        pid = self.job.stopping_pid()
        return pid is not None and pid in map(_read_number, self.job.locks)

    def error(self, hidden: Mapping[str, str]) -> str:
        """Why it failed: according to ``run.json``, or else the output of its process."""
        if not self.has_begun:
            return log_tail(self.job.output, hidden)
        assert self.facts is not None
        return str(self.facts.get("error") or "unknown error")


def read_text(file: Path, max_bytes: int) -> str | None:
    """The content of a text file; None if it is larger, or not UTF-8."""
    data = read_bytes(file, max_bytes + 1)
    try:
        return data.decode() if len(data) <= max_bytes else None
    except UnicodeDecodeError:
        return None


def read_bytes(file: Path, count: int) -> bytes:
    """The beginning of a regular file; empty for anything else, links included."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(handle, "rb") as stream:
            return stream.read(count) if stat.S_ISREG(os.fstat(handle).st_mode) else b""
    except OSError:
        return b""


def _read_json(file: Path, max_bytes: int) -> dict[str, Any] | None:
    try:
        data = json.loads(read_bytes(file, max_bytes))
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


def _read_number(file: Path) -> int | None:
    text = read_bytes(file, 20).strip()
    return int(text) if text.isdigit() else None
