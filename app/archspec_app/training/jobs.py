"""Training as processes of its own: started, listed, followed, stopped and resumed by what is on
the disk, so that any page of any server finds every run of a folder.

``runs/KEY`` is a run as ``archspec train`` makes it. ``runs/.jobs/KEY`` is what this page adds:
the text of the spec, what was asked for, what a terminal would have said, and a lock that the
process holds.
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
from archspec_app.training.job_status import JOBS, RUNS, Job, JobState, text_of
from archspec_app.training.metric_points import NewPoints, Summary, cleaned, log_tail, new_points
from archspec_app.training.processes import ask_to_stop, launch
from archspec_app.training.run_rows import JobRow, moment, progress
from archspec_app.training.train_request import TrainRequest, read_request

AT_ONCE = 2  # runs
MOST_LISTED = 200
_MOST_KEY, _MOST_OFFSET = 200, 2**63
_LOCK = ".lock"
_TRIES, _PAUSE = 50, 0.1  # seconds


@dataclass(frozen=True, slots=True)
class Points:
    """What is new of a run.

    Attributes:
        row: how it stands.
        fresh: points of its curves behind those that are known.
        log: the end of what it said.
    """

    row: JobRow
    fresh: NewPoints
    log: str

    def to_dict(self) -> dict[str, Any]:
        """The points as plain data."""
        return {"row": self.row.to_dict(), "log": self.log, **asdict(self.fresh)}


class Jobs:
    """The runs of a start folder. Its methods may be called from several threads.

    Args:
        folder: the start folder; runs are in ``runs`` in it.
        at_once: how many may be under way; starting another is an error.
        allow_hub: whether data may be named as on the hub.
    """

    def __init__(self, folder: Path, *, at_once: int = AT_ONCE, allow_hub: bool = False) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.at_once, self.allow_hub = at_once, allow_hub
        self._runs, self._jobs = self.folder / RUNS, self.folder / RUNS / JOBS
        self._summaries: dict[str, Summary] = {}  # saves reading; the files are what counts
        self._reading = threading.Lock()

    # ------------------------------------------------------------------------------------- starting

    def start(
        self, text: str, name: str, params: Mapping[str, Any], options: Mapping[str, Any]
    ) -> str:
        """Start a run; returns its key.

        Args:
            text: the spec's, as it stands in the editor.
            name: of a packaged spec, or of the spec's file relative to the folder.
            params: values for its parameters.
            options: as ``train_request.OPTIONS`` names them.

        Raises:
            UsageError: E801, an option is wrong, or enough runs are under way.
            SpecError: the text or a parameter is wrong.
        """
        order = self._ordered(text, name, params, options)
        asked = {"name": name, "params": dict(params), "options": dict(options)}
        with self._alone():
            job = self._new(f"{order.stem}-{order.plan}")
            job.spec.mkdir()
            storage.write(job.spec / f"{order.stem}.yaml", order.text)
            said = {"spec": order.stem, "plan": order.plan, "asked": asked}
            self._launch(job, self._to_train(job, order), said, begun=-1)
        return job.key

    def resume(self, key: str) -> None:
        """Go on with a run that does not go on; start one anew that never began.

        Raises:
            UsageError: E801, there is none, it is under way or finished, or enough others are.
        """
        job = self._known(key)
        self._wait(job)
        with self._alone():
            row, standing = self._row(job), self._standing(job)
            if not row.can_resume or standing is None:
                raise _usage(f"this run is {row.status}", "stopped, failed and killed ones go on")
            job.own.mkdir(exist_ok=True)
            if standing.facts is not None:
                words = ["resume", f"{RUNS}/{job.key}"]
            else:
                words = self._to_train(job, self._again(job, standing.said))
            self._launch(job, words, standing.said, begun=standing.times)

    def _wait(self, job: Job) -> None:
        """A process that has told how it ended takes a moment to be gone."""
        for _ in range(_TRIES):
            if not job.is_held or not self._row(job).can_resume:
                return
            time.sleep(_PAUSE)

    def _ordered(self, text: str, name: str, params: Any, options: Any) -> TrainRequest:
        return read_request(self.folder, text, name, params, options, allow_hub=self.allow_hub)

    def _again(self, job: Job, said: Mapping[str, Any]) -> TrainRequest:
        """What was asked for, checked as it was then."""
        asked, stem = said.get("asked"), said.get("spec")
        if isinstance(asked, Mapping) and isinstance(stem, str) and _is_key(stem):
            text = text_of(job.spec / f"{stem}.yaml", MAX_BYTES)
            name, params, options = (asked.get(one) for one in ("name", "params", "options"))
            if text and isinstance(name, str):
                order = self._ordered(text, name, params, options)
                if order.stem == stem:
                    return order
        raise _usage("nothing tells what this run was to do", "start it anew")

    def _to_train(self, job: Job, order: TrainRequest) -> list[str]:
        file = os.path.relpath(job.spec / f"{order.stem}.yaml", self.folder)
        return ["train", file, f"--output-dir={RUNS}", f"--name={job.key}", *order.arguments]

    def _launch(self, job: Job, words: list[str], said: Mapping[str, Any], begun: int) -> None:
        """Start the process, unless another is at it.

        Args:
            job: which.
            words: of the command line.
            said: what is known of the job.
            begun: how often the run has been resumed before; -1 if it has not begun.
        """
        with locked(job.lock, mode=0o600) as lock:
            if lock is None or holder(job.run / LOCK) is not None:
                raise _usage("this run is under way")
            now = datetime.now().astimezone().isoformat(timespec="seconds")
            job.mark.unlink(missing_ok=True)
            job.output.unlink(missing_ok=True)
            record = {"started": now, **said, "begun": begun}
            storage.write(job.record, json.dumps(record, indent=2) + "\n")
            launch(words, self.folder, job.output, lock, online=self.allow_hub)

    def _new(self, stem: str) -> Job:
        base = folder_name(stem)[:110]
        for number in range(1, 1_000):
            job = self._job(base if number == 1 else f"{base}-{number}")
            if not os.path.lexists(job.run):
                with contextlib.suppress(FileExistsError):
                    job.own.mkdir()
                    return job
        raise _usage("there are a thousand runs of this name")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One server at a time starts a run, and knows how many there are.

        Raises:
            UsageError: E801, enough are under way, or the folder cannot be written.
        """
        with self._writing():
            going = sum(job.is_held for job in self._listed())
            if going >= self.at_once:
                hint = "stop one, or wait until one has finished"
                raise _usage(f"{going} runs are under way, and at most {self.at_once} may be", hint)
            yield

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        """One server at a time writes.

        Raises:
            UsageError: E801, the folder cannot be written.
        """
        try:
            if self._is_elsewhere:
                raise _usage(f"'{RUNS}' leads out of the folder of the page")
            for place in (self._runs, self._jobs):
                place.mkdir(exist_ok=True)
            with locked(self._jobs / _LOCK, wait=True, mode=0o600):
                yield
        except OSError as error:
            raise _usage(f"'{RUNS}' cannot be written: {error.strerror or error}") from None
        except RunError as error:
            raise _usage(self._shown(error.message)) from None

    # ------------------------------------------------------------------------------------- stopping

    def stop(self, key: str, *, now: bool = False) -> None:
        """Ask a run to stop: it saves after its step. One that has ended is left alone.

        Args:
            key: which.
            now: ask again, which ends the process at once; what was saved before stays.

        Raises:
            UsageError: E801, there is none, or its process cannot be told.
        """
        job = self._known(key)
        with self._writing():
            lock = next((one for one in job.locks if holder(one) is not None), None)
            pid = None if lock is None else holder(lock)
            if lock is None or pid is None or (job.asked() == pid and not now):
                return
            job.own.mkdir(exist_ok=True)
            storage.write(job.mark, f"{pid}\n")  # before it could end by it
            if not ask_to_stop(pid, lock) and holder(lock) is not None:
                job.mark.unlink(missing_ok=True)
                raise _usage("the process of this run cannot be told", "stop it where it began")

    # ------------------------------------------------------------------------------------- looking

    def rows(self) -> list[JobRow]:
        """The runs, newest first, those of a terminal among them."""
        rows = [self._row(job) for job in self._listed()]
        return sorted(rows, key=lambda row: (moment(row.started) or 0.0, row.key), reverse=True)

    def follow(self, key: str, after: int = 0, version: int = 0) -> Points:
        """What is new of a run.

        Args:
            key: which.
            after: the ``offset`` of the last answer.
            version: the ``version`` of the last answer.

        Raises:
            UsageError: E801, there is no such run.
        """
        job = self._known(key)
        if not all(isinstance(one, int) and 0 <= one < _MOST_OFFSET for one in (after, version)):
            raise _usage("where to go on from is what the answer before said")
        row = self._row(job)  # older than the points: a run that has ended has no more of them
        return Points(row, new_points(job.metrics, after, version), self._log(job, row))

    def folder_of(self, key: str) -> Path:
        """A run's folder, for those who read its weights.

        Raises:
            UsageError: E801, there is no such run, or it has not begun.
        """
        job = self._known(key)
        standing = self._standing(job)
        if standing is None or standing.facts is None:
            raise _usage("this run has not begun")
        return job.run

    def _job(self, key: str) -> Job:
        return Job(key, self._runs / key, self._jobs / key)

    def _known(self, key: object) -> Job:
        if isinstance(key, str) and _is_key(key) and not self._is_elsewhere:
            job = self._job(key)
            if not job.is_linked and job.is_there:
                return job
        raise _usage("there is no such run", "a run is named as the list has it")

    def _listed(self) -> list[Job]:
        """Those whose folders were touched last."""
        found: dict[str, float] = {}
        for place in () if self._is_elsewhere else (self._runs, self._jobs):
            with contextlib.suppress(OSError), os.scandir(place) as entries:
                for entry in entries:
                    with contextlib.suppress(OSError):
                        changed = entry.stat(follow_symlinks=False).st_mtime
                        if _is_key(entry.name) and entry.is_dir(follow_symlinks=False):
                            found[entry.name] = max(changed, found.get(entry.name, 0.0))
        jobs = [self._job(key) for key in sorted(found, key=lambda key: -found[key])]
        return [job for job in jobs if not job.is_linked and job.is_there][:MOST_LISTED]

    @property
    def _is_elsewhere(self) -> bool:
        return self._runs.is_symlink() or self._jobs.is_symlink()

    def _standing(self, job: Job) -> JobState | None:
        try:
            return JobState.of(job)
        except RunError:
            return None

    def _row(self, job: Job) -> JobRow:
        standing = self._standing(job)
        if standing is None:
            return JobRow(job.key, job.key, "", "failed", error="run.json: not what a run writes")
        status, facts = standing.status, standing.facts
        about = standing.said if facts is None else facts
        spec, plan = (self._shown(str(about.get(one) or "")) for one in ("spec", "plan"))
        started = about.get("started")
        said: dict[str, Any] = {"started": started if moment(started) is not None else None}
        if status == "failed":
            said["error"] = self._shown(standing.error(self._hidden))
        if facts is None:
            return JobRow(job.key, spec, plan, status, **said)
        with self._reading:
            summary = self._summaries.setdefault(job.key, Summary())
            summary.read(job.metrics)
            return JobRow(job.key, spec, plan, status, **progress(facts, summary, status), **said)

    def _log(self, job: Job, row: JobRow) -> str:
        """The run's own log; what the terminal said where that tells why the run failed."""
        log = log_tail(job.run / LOG, self._hidden)
        return log if log and row.status != "failed" else log_tail(job.output, self._hidden) or log

    def _shown(self, text: str) -> str:
        return cleaned(text, self._hidden)

    @property
    def _hidden(self) -> dict[str, str]:
        """Nobody needs to know where on the server things lie."""
        root = Path(archspec.__file__).parent.parent
        mine = {f"{self.folder}{os.sep}": "", str(self.folder): "."}
        return mine | {str(one): "…" for one in (sys.prefix, sys.base_prefix, root)}


def _is_key(name: str) -> bool:
    is_name = 0 < len(name) <= _MOST_KEY and name.isprintable()
    return is_name and not name.startswith((".", "-")) and "/" not in name and "\\" not in name


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
