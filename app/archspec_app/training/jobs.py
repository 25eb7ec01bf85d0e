"""Training runs as processes: starts, lists, follows, stops and resumes them.

All state is in files, so that every server finds every run of a folder.

``runs/KEY`` is a run as ``archspec train`` writes it. ``runs/.jobs/KEY`` is what the page adds: the
spec, the request, the output of the process, and a lock that the process holds.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import archspec
from archspec import storage
from archspec.errors import Problem, RunError, UsageError
from archspec.file_lock import holder, locked
from archspec.lang.yaml import MAX_BYTES
from archspec.training.run_folder import LOCK, LOG, folder_name
from archspec_app.training.job_status import (
    JOBS,
    MAX_NOTE_BYTES,
    RUNS,
    Job,
    JobState,
    read_text,
)
from archspec_app.training.metric_points import NewPoints, Summary, clean, log_tail, new_points
from archspec_app.training.processes import ask_to_stop, launch
from archspec_app.training.run_rows import JobRow, progress, timestamp
from archspec_app.training.train_request import TrainRequest, read_request

MAX_ACTIVE = 2  # runs
MAX_LISTED = 200
_MAX_KEY, _MAX_OFFSET = 200, 2**63
_LOCK = ".lock"
_EXIT_CHECKS, _EXIT_PAUSE = 50, 0.1  # seconds


@dataclass(frozen=True, slots=True)
class RunUpdate:
    """What is new in a run.

    Attributes:
        row: of the list of runs.
        points: of its curves, from the given offset on.
        log: the end of its log.
    """

    row: JobRow
    points: NewPoints
    log: str

    def to_dict(self) -> dict[str, Any]:
        """The update as plain data."""
        return {"row": self.row.to_dict(), "log": self.log, **asdict(self.points)}


class Jobs:
    """The runs in a folder. Its methods may be called from several threads.

    Args:
        folder: that the page works in; runs are in its folder ``runs``.
        max_active: how many may be active; starting another is an error.
        allow_hub: whether data may be the name of a data set on the Hugging Face Hub.
    """

    def __init__(
        self, folder: Path, *, max_active: int = MAX_ACTIVE, allow_hub: bool = False
    ) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.max_active, self.allow_hub = max_active, allow_hub
        self._runs, self._jobs = self.folder / RUNS, self.folder / RUNS / JOBS
        self._summaries: dict[str, Summary] = {}  # a cache of what is in the files
        self._reading = threading.Lock()

    # ------------------------------------------------------------------------------------- starting

    def start(self, text: str, name: str, options: Mapping[str, Any]) -> str:
        """Start a run; returns its key.

        Args:
            text: of the spec, from the editor.
            name: of a packaged spec, or of the spec's file relative to the folder.
            options: named as in ``train_request.OPTIONS``.

        Raises:
            UsageError: E801, an option is wrong, or too many runs are active.
            SpecError: the text is wrong.
        """
        return self._start(self._read(text, name, options), name, options)

    def shorten(self, key: str, steps: int) -> str:
        """Stop a run, and start one of the same spec and options that ends after a few steps.

        Args:
            key: of the run.
            steps: of the optimizer.

        Returns:
            The key of the new run.

        Raises:
            UsageError: E801, there is no such run, its options are not known, or too many others
                are active.
            SpecError: its spec is wrong.
        """
        job = self.known(key)
        state = self.state(job)
        text, name, options = self._requested(job, {} if state is None else state.record)
        options = {**options, "max_steps": steps}
        started = self._start(self._read(text, name, options), name, options, leaving=job)
        self.stop(key)
        return started

    def _start(
        self,
        request: TrainRequest,
        name: str,
        options: Mapping[str, Any],
        leaving: Job | None = None,
    ) -> str:
        form = {"name": name, "options": dict(options)}
        with self._slot(leaving):
            job = self._new_job(f"{request.stem}-{request.plan}")
            job.spec.mkdir()
            storage.write(job.spec / f"{request.stem}.yaml", request.text)
            record = {"spec": request.stem, "plan": request.plan, "form": form}
            self._launch(job, self._train_command(job, request), record, resumed_before=-1)
        return job.key

    def resume(self, key: str) -> None:
        """Resume a run that has stopped, or start it again if training never began.

        Raises:
            UsageError: E801, there is no such run, it is active or finished, or too many are
                active.
        """
        job = self.known(key)
        self._wait_for_exit(job)
        with self._slot():
            row, state = self._row(job), self.state(job)
            if not row.can_resume or state is None:
                raise _usage(
                    f"this run is {row.status}", "only stopped, failed and killed runs resume"
                )
            job.page_folder.mkdir(exist_ok=True)
            if state.facts is not None:
                command = ["resume", f"{RUNS}/{job.key}"]
            else:
                command = self._train_command(job, self._read_again(job, state.record))
            self._launch(job, command, state.record, resumed_before=state.times_resumed)

    def _wait_for_exit(self, job: Job) -> None:
        """A process exits a moment after it has written its final status."""
        for _ in range(_EXIT_CHECKS):
            if not job.is_held or not self._row(job).can_resume:
                return
            time.sleep(_EXIT_PAUSE)

    def _read(self, text: str, name: str, options: Any) -> TrainRequest:
        return read_request(self.folder, text, name, options, allow_hub=self.allow_hub)

    def _read_again(self, job: Job, record: Mapping[str, Any]) -> TrainRequest:
        """The request that a run was started with, checked again."""
        request = self._read(*self._requested(job, record))
        if request.stem != record["spec"]:
            raise _lost()
        return request

    def _requested(self, job: Job, record: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
        """The spec, its name and the options that a run was started with, not checked."""
        form, stem = record.get("form"), record.get("spec")
        if isinstance(form, Mapping) and isinstance(stem, str) and _is_key(stem):
            text = read_text(job.spec / f"{stem}.yaml", MAX_BYTES)
            name, options = form.get("name"), form.get("options")
            if text and isinstance(name, str) and isinstance(options, Mapping):
                return text, name, dict(options)
        raise _lost()

    def _train_command(self, job: Job, request: TrainRequest) -> list[str]:
        file = os.path.relpath(job.spec / f"{request.stem}.yaml", self.folder)
        return ["train", file, f"--output-dir={RUNS}", f"--name={job.key}", *request.arguments]

    def _launch(
        self, job: Job, command: list[str], record: Mapping[str, Any], resumed_before: int
    ) -> None:
        """Start the process, unless the run has one.

        Args:
            job: which.
            command: of ``archspec``, with its arguments.
            record: what the page knows of the job.
            resumed_before: how often the run has been resumed; -1 if it has not begun.
        """
        with locked(job.lock, mode=0o600) as lock:
            if lock is None or holder(job.run / LOCK) is not None:
                raise _usage("this run is active")
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            job.stop_file.unlink(missing_ok=True)
            job.output.unlink(missing_ok=True)
            record = {"started": now, **record, "resumed_before": resumed_before}
            storage.write(job.record, json.dumps(record, indent=2) + "\n")
            launch(command, self.folder, job.output, lock, online=self.allow_hub)

    def _new_job(self, stem: str) -> Job:
        base = folder_name(stem)[:110]
        for number in range(1, 1_000):
            job = self._job(base if number == 1 else f"{base}-{number}")
            if not os.path.lexists(job.run):
                with contextlib.suppress(FileExistsError):
                    job.page_folder.mkdir()
                    return job
        raise _usage("there are 1,000 runs of this name")

    @contextlib.contextmanager
    def _slot(self, leaving: Job | None = None) -> Iterator[None]:
        """Hold the lock for starting a run; no other server starts one meanwhile.

        Args:
            leaving: a run that is about to be stopped, which does not count.

        Raises:
            UsageError: E801, too many runs are active, or the folder cannot be written.
        """
        with self.writing():
            active = sum(job.is_held for job in self._jobs_by_age() if job != leaving)
            if active >= self.max_active:
                hint = "stop one, or wait until one has finished"
                raise _usage(f"{active} of at most {self.max_active} runs are active", hint)
            yield

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the lock for writing into the folder of runs.

        Raises:
            UsageError: E801, the folder cannot be written.
        """
        try:
            if self._is_linked:
                raise _usage(f"'{RUNS}' leads out of the folder of the page")
            for folder in (self._runs, self._jobs):
                folder.mkdir(exist_ok=True)
            with locked(self._jobs / _LOCK, wait=True, mode=0o600):
                yield
        except OSError as error:
            raise _usage(f"'{RUNS}' cannot be written: {error.strerror or error}") from None
        except RunError as error:
            raise _usage(self.clean(error.message)) from None

    # ------------------------------------------------------------------------------------- stopping

    def stop(self, key: str) -> None:
        """Ask a run to save and stop after the current step; no effect if it has ended.

        Args:
            key: of the run.

        Raises:
            UsageError: E801, there is no such run, or its process is unknown.
        """
        job = self.known(key)
        with self.writing():
            lock = next((lock for lock in job.locks if holder(lock) is not None), None)
            pid = None if lock is None else holder(lock)
            if lock is None or pid is None or job.stopping_pid() == pid:
                return
            job.page_folder.mkdir(exist_ok=True)
            storage.write(job.stop_file, f"{pid}\n")  # before the signal can end it
            if not ask_to_stop(pid, lock) and holder(lock) is not None:
                job.stop_file.unlink(missing_ok=True)
                raise _usage("the process of this run is unknown", "stop it where it was started")

    # -------------------------------------------------------------------------------------- reading

    def rows(self) -> list[JobRow]:
        """The runs, newest first, including those started from a terminal."""
        rows = [self._row(job) for job in self._jobs_by_age()]
        return sorted(rows, key=lambda row: (timestamp(row.started) or 0.0, row.key), reverse=True)

    def follow(self, key: str, offset: int = 0, version: int = 0) -> RunUpdate:
        """What is new in a run.

        Args:
            key: of the run.
            offset, version: of the last update.

        Raises:
            UsageError: E801, there is no such run.
        """
        job = self.known(key)
        if not all(isinstance(n, int) and 0 <= n < _MAX_OFFSET for n in (offset, version)):
            raise _usage("offset and version are those of the last update")
        row = self._row(job)  # read before the points: a run that has ended writes no more of them
        return RunUpdate(row, new_points(job.metrics, offset, version), self._log(job, row))

    def _job(self, key: str) -> Job:
        return Job(key, self._runs / key, self._jobs / key)

    def known(self, key: object) -> Job:
        """The files of a run; raises UsageError E801 if there is no such run."""
        if isinstance(key, str) and _is_key(key) and not self._is_linked:
            job = self._job(key)
            if not job.is_linked and job.exists:
                return job
        raise _usage("there is no such run")

    def _jobs_by_age(self) -> list[Job]:
        """Those whose folders were changed last, the newest first."""
        changed: dict[str, float] = {}
        for folder in () if self._is_linked else (self._runs, self._jobs):
            with contextlib.suppress(OSError), os.scandir(folder) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        time_changed = entry.stat(follow_symlinks=False).st_mtime
                        if _is_key(entry.name) and entry.is_dir(follow_symlinks=False):
                            changed[entry.name] = max(time_changed, changed.get(entry.name, 0.0))
        jobs = [self._job(key) for key in sorted(changed, key=lambda key: -changed[key])]
        return [job for job in jobs if not job.is_linked and job.exists][:MAX_LISTED]

    @property
    def _is_linked(self) -> bool:
        return self._runs.is_symlink() or self._jobs.is_symlink()

    def state(self, job: Job) -> JobState | None:
        """What its files say; None if they are not those of a run."""
        try:
            return JobState.of(job)
        except RunError:
            return None

    def _row(self, job: Job) -> JobRow:
        state = self.state(job)
        if state is None:
            return JobRow(job.key, job.key, "", "failed", error="run.json: not the file of a run")
        status, facts = state.status, state.facts
        source = state.record if facts is None else facts
        spec, plan = (self.clean(str(source.get(key) or "")) for key in ("spec", "plan"))
        started = source.get("started")
        fields: dict[str, Any] = {"started": started if timestamp(started) is not None else None}
        fields["note"] = self.clean(read_text(job.note, MAX_NOTE_BYTES) or "")
        fields["can_repeat"] = bool(state.form)
        if status == "failed":
            fields["error"] = self.clean(state.error(self._replacements))
        if facts is None:
            return JobRow(job.key, spec, plan, status, **fields)
        with self._reading:
            summary = self._summaries.setdefault(job.key, Summary())
            summary.read(job.metrics)
            fields |= progress(facts, summary, status)
        return JobRow(job.key, spec, plan, status, **fields)

    def _log(self, job: Job, row: JobRow) -> str:
        """The run's own log, or the output of its process where that says why the run failed."""
        log = log_tail(job.run / LOG, self._replacements)
        return (
            log
            if log and row.status != "failed"
            else log_tail(job.output, self._replacements) or log
        )

    def clean(self, text: str) -> str:
        """A text without control characters, and without paths of the server."""
        return clean(text, self._replacements)

    @property
    def _replacements(self) -> dict[str, str]:
        """Hides paths of the server."""
        root = Path(archspec.__file__).parent.parent
        own = {f"{self.folder}{os.sep}": "", str(self.folder): "."}
        return own | {str(path): "…" for path in (sys.prefix, sys.base_prefix, root)}


def _is_key(name: str) -> bool:
    is_name = 0 < len(name) <= _MAX_KEY and name.isprintable()
    return is_name and not name.startswith((".", "-")) and "/" not in name and "\\" not in name


def _lost() -> UsageError:
    return _usage("the options of this run are lost", "start a new one")


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
