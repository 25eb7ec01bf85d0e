"""``sweep``: trial after trial, each a run in the sweep's folder."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.data import Data
from archspec.differences.normal_form import content
from archspec.errors import Problem, RunError, UsageError
from archspec.lang.spec import Spec, as_spec
from archspec.lang.yaml import dump
from archspec.sweeps.picture import write_picture
from archspec.sweeps.search_space import SearchSpace, Value, search_space
from archspec.sweeps.trials import FACTS, LOG, Sweep, Trial
from archspec.tasks import find
from archspec.tasks.figures import LOWER_IS_BETTER
from archspec.training import environment
from archspec.training.api import resume, train
from archspec.training.callbacks import TrainCallback, TrainState
from archspec.training.data_feed import DataSource, opened
from archspec.training.model_setup import check_task
from archspec.training.options import TrainOptions
from archspec.training.reporting import Reporter
from archspec.training.run import Run
from archspec.training.run_folder import FACTS as RUN_FACTS
from archspec.training.run_folder import RunFolder, check_name

if TYPE_CHECKING:
    import optuna

    from archspec.data.sources import Source

MAX_TRIALS = 10_000
_STARTUP = 5  # trials that are not pruned, and drawn at random


def sweep(
    source: str | os.PathLike[str] | Spec,
    data: Source | Data,
    search: Mapping[str, str | Sequence[Value]],
    options: TrainOptions | None = None,
    *,
    trials: int = 20,
    progress: bool = True,
    **given: Any,
) -> Sweep:
    """Search options and parameters: trials that Optuna chooses, each a run of ``train``.

    The values of a trial are chosen by a tree-structured Parzen estimator (Bergstra et al. 2011)
    from the trials before it; where all values are listed and there are no more combinations than
    trials, each combination is tried once. A trial whose monitored metric is worse after an epoch
    than the median of the earlier trials is pruned. All trials share the feature cache, so what a
    plan freezes is computed once.

    A sweep that was stopped or killed goes on when it is called again with the same arguments and
    ``name``; ``trials`` may be higher then.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        data: as ``train`` takes it.
        search: name of an option of ``train`` or of a parameter of the spec → what is tried:
            ``log(1e-5,1e-3)``, ``uniform(0,0.3)``, ``int(2,6)``, or values such as ``16,32`` or
            ``[16, 32]``.
        options: the options that all trials have. ``output_dir`` is where the folder of the sweep
            is made, and ``name`` its name; ``monitor`` is what is optimized.
        trials: how many there are at most, earlier ones of the same sweep included.
        progress: whether trials and their epochs are reported on standard error.
        **given: options by their names, which win over ``options``; all others are values for the
            spec's parameters.

    Returns:
        The sweep; ``sweep.run(sweep.best)`` is the run of the best trial. After Ctrl-C one trial is
        left ``running``, and the same call goes on with it.

    Raises:
        UsageError: E801, a name or value makes no sense, the folder is that of another sweep, or
            the extra ``sweep`` is not installed.
        ArchspecError: as ``train``, from the first trial. A later trial that fails because its loss
            is not finite (E922) is recorded as failed.

    Example:
        >>> import archspec
        >>> found = archspec.sweep(
        ...     "tests/training/tiny.yaml",
        ...     "tests/training/tiny.csv",
        ...     {"learning_rate": [1e-3, 1e-2]},
        ...     trials=2,
        ...     epochs=1,
        ...     device="cpu",
        ...     output_dir=getfixture("tmp_path"),
        ...     progress=False,
        ... )
        >>> len(found.trials), found.best.values.keys()
        (2, dict_keys(['learning_rate']))
    """
    _require()
    if type(trials) is not int or not 1 <= trials <= MAX_TRIALS:
        raise _usage(f"trials is an integer from 1 to {MAX_TRIALS:,}, not {trials!r}")
    known = TrainOptions.model_fields.keys()
    chosen = {**(options.given if options else {})}
    chosen |= {name: value for name, value in given.items() if name in known}
    spec = as_spec(source, {name: v for name, v in given.items() if name not in known})
    fixed = TrainOptions(**chosen)
    spec = spec if fixed.task is None else spec.for_task(fixed.task)
    if environment.world(fixed.devices) > 1:
        raise _usage("a sweep trains on one device", "start one sweep for each device")
    check_task(spec)
    space = search_space(search, spec, fixed)
    opened_data = opened(data, spec, fixed)
    found = opened_data.data
    if "validation" not in found.splits:
        hint = "give a validation split, or a validation_fraction above 0"
        raise _usage("without a validation there is nothing to optimize", hint)
    objective = find(found.task_kind, multi_label=found.multi_label, scored=found.scored)
    monitors = objective(found.labels).monitors
    fixed = TrainOptions(**{**fixed.given, "monitor": fixed.monitoring(monitors).monitor})
    with _opened(spec, space, fixed, found.fingerprint) as folder:
        return _Sweeping(folder, spec, data, opened_data, space, fixed, trials, progress).run()


def _require() -> None:
    try:
        import optuna
    except ImportError:
        hint = "pip install 'archspec-nn[train,sweep]'"
        raise _usage("a sweep needs the extra 'sweep'", hint) from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@contextmanager
def _opened(
    spec: Spec, space: SearchSpace, options: TrainOptions, data: str
) -> Iterator[RunFolder]:
    """The folder of the sweep, locked: a new one, or that of the same sweep.

    Raises:
        UsageError: E801, the folder is that of something else.
    """
    out, name = Path(options.output_dir), options.name
    facts = {
        "spec": spec.name,
        "text": dump(content(spec)),
        "data": data,
        "search": space.to_dict(),
        "options": TrainOptions(**options.given).resolved().to_dict()
        | {"name": None, "output_dir": None},
        "trials": [],
    }
    if name is not None and (out / name / FACTS).is_file():
        folder = RunFolder(out / name)
        with folder.locked():
            before = folder.read_json(FACTS)
            what = {"text": "spec", "data": "data", "search": "search", "options": "options"}
            changed = [word for key, word in what.items() if before.get(key) != facts[key]]
            if changed:
                message = f"{folder.path} is another sweep, with different {' and '.join(changed)}"
                raise _usage(message, "give the sweep another name")
            yield folder
        return
    if name is not None:
        check_name(out, name)
    folder = RunFolder.create(out, f"{spec.name}-sweep", name)
    with folder.locked():
        folder.write_json(FACTS, facts)
        yield folder


class _Sweeping:
    """A sweep under way. Its state is ``sweep.json`` and the folders of its runs."""

    def __init__(
        self,
        folder: RunFolder,
        spec: Spec,
        data: Source | Data,
        opened_data: DataSource,
        space: SearchSpace,
        options: TrainOptions,
        trials: int,
        progress: bool,
    ) -> None:
        self.folder, self.spec, self.space = folder, spec, space
        self.data, self.opened_data = data, opened_data
        self.options, self.progress = options, progress
        self.sweep = Sweep.of(folder.path)
        combinations = space.combinations
        self.is_grid = combinations is not None and combinations <= trials
        self.count = combinations if combinations is not None and self.is_grid else trials
        self.report = Reporter(progress)
        self.report.log = folder / LOG

    def run(self) -> Sweep:
        what = f"all {self.count} combinations" if self.is_grid else f"{self.count} trials"
        self.report(f"{self.folder.path}: {what}, {self.sweep.monitor} is optimized")
        study = self._study()
        for trial in self.sweep.trials:
            if trial.is_done:
                study.add_trial(self._frozen(trial))
        for trial in [*self.sweep.trials]:
            if not trial.is_done:  # its process was stopped or killed
                study.enqueue_trial(dict(trial.values))
                if not self._try(study, trial):
                    return self.sweep
        for values in self._grid():
            study.enqueue_trial(values)
        while len(self.sweep.trials) < self.count:
            if not self._try(study, None):
                return self.sweep
        write_picture(self.sweep, self.space)
        return self.sweep

    def _study(self) -> optuna.Study:
        import optuna

        return optuna.create_study(
            direction="minimize" if self.sweep.monitor in LOWER_IS_BETTER else "maximize",
            pruner=optuna.pruners.MedianPruner(n_startup_trials=_STARTUP),
        )

    def _grid(self) -> list[dict[str, Value]]:
        """All combinations that were not tried, if each is to be tried."""
        if not self.is_grid:
            return []
        names, tried = [*self.space.dimensions], [trial.values for trial in self.sweep.trials]
        every = product(*(one.ends for one in self.space.dimensions.values()))
        combinations = [dict(zip(names, values, strict=True)) for values in every]
        return [values for values in combinations if values not in tried]

    def _try(self, study: optuna.Study, trial: Trial | None) -> bool:
        """Train one trial, or go on with one that was interrupted; False after Ctrl-C."""
        import optuna

        # Chosen from the earlier trials and its number alone: the same after an interruption.
        number = len(self.sweep.trials) if trial is None else trial.number
        study.sampler = optuna.samplers.TPESampler(
            seed=self.options.seed + number, n_startup_trials=_STARTUP
        )
        asked = study.ask(self._distributions())
        if trial is None:
            trial = Trial(number, dict(asked.params), "running")
            self._record(trial)
        self.report(f"trial {number + 1} of {self.count}: {trial.described}")
        pruning = Pruning(asked, self.sweep.monitor)
        try:
            run = self._run(trial, pruning)
        except RunError as error:
            if number == 0 or error.problems[0].code != "E922":
                raise
            self._record(replace(trial, status="failed"))
            self.report(f"trial {number + 1} failed: {error.problems[0].message}")
            study.tell(asked, state=optuna.trial.TrialState.FAIL)
            return True
        if run.status == "stopped" and not pruning.is_pruned:
            self.report(f"stopped: the same command with --name {self.folder.path.name} goes on")
            return False
        value = run.best.get(self.sweep.monitor) if run.best else None
        status: Any = "pruned" if pruning.is_pruned else "finished"
        self._record(replace(trial, status=status, value=value))
        if pruning.is_pruned:
            study.tell(asked, state=optuna.trial.TrialState.PRUNED)
        else:
            study.tell(asked, value)
        return True

    def _run(self, trial: Trial, pruning: Pruning) -> Run:
        options = {name: trial.values[name] for name in self.space.options}
        params = {name: trial.values[name] for name in self.space.params}
        place = {"output_dir": self.folder.path, "name": trial.name}
        path = self.folder / trial.name
        shown = {"callbacks": [pruning], "progress": self.progress}
        chosen = TrainOptions(**{**self.options.given, **options, **place})
        spec = self.spec.with_params(**params)
        # Read once for all trials, unless a trial is of another task.
        is_same_task = chosen.task == self.options.task
        is_same_task &= spec.architecture.task == self.spec.architecture.task
        if (path / RUN_FACTS).is_file():
            known = self.opened_data.data if is_same_task else None
            return resume(path, data=known, **shown)
        if path.exists():  # killed before the run began
            shutil.rmtree(path)
        is_read = is_same_task and not isinstance(self.data, Data)
        data: Any = self.opened_data if is_read else self.data
        return train(spec, data, chosen, **shown)

    def _record(self, trial: Trial) -> None:
        """Write down a new trial, or what became of one."""
        trials = (*self.sweep.trials[: trial.number], trial)
        self.sweep = replace(self.sweep, trials=trials)
        facts = self.folder.read_json(FACTS)
        self.folder.write_json(FACTS, facts | {"trials": [one.to_dict() for one in trials]})

    def _distributions(self) -> dict[str, Any]:
        return {name: one.distribution() for name, one in self.space.dimensions.items()}

    def _frozen(self, trial: Trial) -> optuna.trial.FrozenTrial:
        """A trial that is over, as Optuna takes it, with its metric after each epoch."""
        import optuna

        states = {"finished": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
        epochs = {}
        if trial.status != "failed":
            lines = Run.of(self.folder / trial.name).epochs
            epochs = {i + 1: float(line[self.sweep.monitor]) for i, line in enumerate(lines)}
        return optuna.trial.create_trial(
            state=optuna.trial.TrialState[states[trial.status]],
            value=trial.value if trial.status == "finished" else None,
            params=dict(trial.values),
            distributions=self._distributions(),
            intermediate_values=epochs,
        )


class Pruning(TrainCallback):
    """Stops a trial whose metric is worse than the median of the earlier ones."""

    def __init__(self, trial: optuna.Trial, monitor: str) -> None:
        self.trial, self.monitor, self.is_pruned = trial, monitor, False

    def on_evaluation_end(self, state: TrainState) -> None:
        if state.split != "validation" or state.scores is None:
            return
        self.trial.report(state.scores.numbers[self.monitor], state.epoch)
        if self.trial.should_prune():
            self.is_pruned = True
            state.stop()


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
