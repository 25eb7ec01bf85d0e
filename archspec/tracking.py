"""``--track``: a run's options, metrics and files in Weights & Biases or in MLflow as well.

Each is imported where it is used, and reads its own environment variables. What fails there ends
the tracking, never the run, whose folder has everything.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from archspec.errors import Problem, UsageError
from archspec.report.text import first_line

PROJECT = "archspec"  # unless the service's own variable names another one
Rows = Sequence[tuple[int, Mapping[str, float]]]
_MAX_PARAMS = 100  # of one request to MLflow
_MAX_PARAM_TEXT = 6000  # characters, as MLflow takes them
_MLFLOW_RETRIES = ("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # seven take four minutes


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """What a service is told of a run when its tracking begins.

    Attributes:
        folder: of the run; its name is the name there.
        facts: plain data, such as options and data.
        id: of the service's own run, if this run was tracked before; it goes on there.
    """

    folder: Path
    facts: Mapping[str, Any]
    id: str | None = None


class Tracker(ABC):
    """A run in one service; every method may raise what the service raises.

    Attributes:
        name: the service's, for messages.
        module: that is imported for it.
    """

    name: ClassVar[str]
    module: ClassVar[str]

    @classmethod
    @abstractmethod
    def check(cls) -> None:
        """Whether a run can begin there, as far as that is known without a network.

        Raises:
            UsageError: E801, it cannot.
        """

    @abstractmethod
    def begin(self, run: TrackedRun) -> tuple[str, str]:
        """Begin, or go on; the id of the service's run, and where it is, for the log."""

    @abstractmethod
    def metrics(self, rows: Rows) -> None:
        """Add values of steps, which only grow while the process lives."""

    @abstractmethod
    def again(self, rows: Rows) -> None:
        """Add values of before the run was resumed, as far as they may be missing."""

    @abstractmethod
    def result(self, step: int, values: Mapping[str, float]) -> None:
        """Add what is known of the run as a whole, such as its test."""

    @abstractmethod
    def files(self, paths: Iterable[Path]) -> None:
        """Add files, in place of earlier ones of the same names."""

    @abstractmethod
    def end(self, status: str) -> None:
        """The run is ``finished``, ``stopped`` or ``failed``."""


class _Wandb(Tracker):
    name, module = "wandb", "wandb"

    @classmethod
    def check(cls) -> None:
        import wandb

        if _wandb_mode() == "online" and not wandb.login(prompt=False, verify=False):
            hint = "'wandb login', or WANDB_MODE=offline: 'wandb sync' uploads the run later"
            raise UsageError(Problem("E801", "track: wandb has no API key", hint=hint))

    def begin(self, run: TrackedRun) -> tuple[str, str]:
        from wandb.errors import CommError

        run_id = run.id or secrets.token_hex(4)
        try:
            self.run = self._begun(run, run_id, _wandb_mode())
        except CommError:  # no network, now
            self.run = self._begun(run, run_id, "offline")
        self.run.summary["status"] = "running"
        if self.run.offline:
            return run_id, f"offline, 'wandb sync {Path(self.run.dir).parent}' uploads it"
        return run_id, str(self.run.url)

    def _begun(self, run: TrackedRun, run_id: str, mode: Any) -> Any:
        import wandb

        folder = Path(os.environ.get("WANDB_DIR") or run.folder / "logs")
        folder.mkdir(parents=True, exist_ok=True)
        return wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=run.folder.name,
            id=run_id,
            # Offline it cannot be looked up, and need not be: 'wandb sync' goes by the id.
            resume=None if mode == "offline" else "allow",
            dir=folder,
            config=dict(run.facts),
            allow_val_change=True,
            mode=mode,
            reinit="create_new",  # the process may have a run of its own
            settings=wandb.Settings(console="off", silent=True),
        )

    def metrics(self, rows: Rows) -> None:
        for step, values in rows:
            self.run.log(dict(values), step=step)

    def again(self, rows: Rows) -> None:
        """All of them: a kill loses what was not sent yet, and offline the last folder is whole.

        Online, steps that are there are left out.
        """
        self.metrics(rows)

    def result(self, step: int, values: Mapping[str, float]) -> None:
        self.run.summary.update(dict(values))

    def files(self, paths: Iterable[Path]) -> None:
        for path in paths:
            # A copy: what is saved from elsewhere is only linked to.
            copied = shutil.copy(path, self.run.dir)
            self.run.save(copied, base_path=self.run.dir, policy="now")

    def end(self, status: str) -> None:
        self.run.summary["status"] = status
        self.run.finish(exit_code=1 if status == "failed" else 0)


def _wandb_mode() -> str:
    import wandb

    return os.environ.get("WANDB_MODE") or wandb.setup().settings.mode


class _MLflow(Tracker):
    name, module = "MLflow", "mlflow"

    @classmethod
    def check(cls) -> None:
        """There is always a place: without a server, the current folder."""

    def begin(self, run: TrackedRun) -> tuple[str, str]:
        import mlflow
        from mlflow.entities import Param

        self.client = mlflow.MlflowClient()
        place = mlflow.get_tracking_uri()
        if run.id is not None:
            self.id = run.id
            self.client.update_run(run.id, status="RUNNING")
            return run.id, place  # what it was told of the run stays: parameters cannot change
        created = self.client.create_run(self._experiment(), run_name=run.folder.name)
        self.id = created.info.run_id
        params = [Param(key, str(value)[:_MAX_PARAM_TEXT]) for key, value in _flat(run.facts)]
        for first in range(0, len(params), _MAX_PARAMS):
            self.client.log_batch(self.id, params=params[first : first + _MAX_PARAMS])
        return self.id, place

    def _experiment(self) -> str:
        if found := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return found
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or PROJECT
        known = self.client.get_experiment_by_name(name)
        return known.experiment_id if known else self.client.create_experiment(name)

    def metrics(self, rows: Rows) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(key, n, now, step) for step, row in rows for key, n in row.items()]
        self.client.log_batch(self.id, metrics=metrics)

    def again(self, rows: Rows) -> None:
        """None: MLflow had stored each of them before the next step."""

    def result(self, step: int, values: Mapping[str, float]) -> None:
        self.metrics([(step, values)])

    def files(self, paths: Iterable[Path]) -> None:
        for path in paths:
            self.client.log_artifact(self.id, str(path))

    def end(self, status: str) -> None:
        statuses = {"finished": "FINISHED", "stopped": "KILLED"}
        self.client.set_terminated(self.id, status=statuses.get(status, "FAILED"))


def _flat(facts: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """One level of names, and no more: below, keys are of the data, and may be anything.

    >>> dict(_flat({"seed": 0, "data": {"counts": {"train": 3}}}))
    {'seed': 0, 'data.counts': {'train': 3}}
    """
    for key, value in facts.items():
        if isinstance(value, Mapping):
            yield from ((f"{key}.{name}", one) for name, one in value.items())
        else:
            yield key, value


_TRACKERS: dict[str, type[Tracker]] = {"wandb": _Wandb, "mlflow": _MLflow}


def check_tracker(kind: str) -> None:
    """Whether a service can be used: it is installed, and has what it needs to begin.

    Raises:
        UsageError: E801, it cannot.
    """
    tracker = _TRACKERS[kind]
    if importlib.util.find_spec(tracker.module) is None:
        hint = f"pip install 'archspec-nn[train,{kind}]'"
        raise UsageError(Problem("E801", f"track={kind} needs {tracker.module}", hint=hint))
    tracker.check()


class Tracking:
    """Tells a service what happens in a run; the first failure ends that, and is reported.

    Args:
        kind: the value of ``--track``.
        report: writes a line.
    """

    def __init__(self, kind: str, report: Callable[[str], None]) -> None:
        self.tracker, self.report = _TRACKERS[kind](), report
        self.step = 0
        self.is_lost = False

    def begin(self, run: TrackedRun) -> str | None:
        """Begin, or go on; the id of the service's run, None if that failed."""
        with self._attempt():
            run_id, place = self.tracker.begin(run)
            self.report(f"tracked with {self.tracker.name}, run {run_id}: {place}")
            return run_id
        return None

    def metrics(self, rows: Rows) -> None:
        """Values of steps, oldest first."""
        if rows and not self.is_lost:
            with self._attempt():
                self.tracker.metrics(rows)
                self.step = rows[-1][0]

    def again(self, rows: Rows) -> None:
        """Values of before the run was resumed."""
        if rows and not self.is_lost:
            with self._attempt():
                self.tracker.again(rows)

    def result(self, step: int, values: Mapping[str, float]) -> None:
        """Values of the whole run."""
        if not self.is_lost:
            with self._attempt():
                self.tracker.result(step, values)

    def files(self, paths: Iterable[Path]) -> None:
        """The files of these that are there."""
        if not self.is_lost:
            with self._attempt():
                self.tracker.files([path for path in paths if path.is_file()])

    def end(self, status: str) -> None:
        """The last call."""
        if not self.is_lost:
            with self._attempt():
                self.tracker.end(status)

    @contextmanager
    def _attempt(self) -> Iterator[None]:
        try:
            with _few_retries():
                yield
        except Exception as error:
            self.is_lost = True
            lost = f"what follows step {self.step} is only in the run's folder"
            self.report(f"{self.tracker.name}: tracking has ended: {first_line(error)}; {lost}")


@contextmanager
def _few_retries() -> Iterator[None]:
    """Let MLflow give up on a server within seconds, unless its variable says otherwise."""
    name, count = _MLFLOW_RETRIES
    if name in os.environ:
        yield
        return
    os.environ[name] = count
    try:
        yield
    finally:
        del os.environ[name]
