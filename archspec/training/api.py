"""``train`` and ``resume``: a run from its data and spec to its test."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.data import Data
from archspec.errors import Problem, SpecError, UsageError, did_you_mean, shown
from archspec.freezing import freeze as apply_plan
from archspec.freezing import trainable_parameters
from archspec.lang.spec import Spec, as_spec, load
from archspec.training import environment
from archspec.training.data_feed import DataFeed, encoders
from archspec.training.data_source import opened, reopened
from archspec.training.initial_run import InitialRun, Labels
from archspec.training.model_setup import Prepared, check_task, prepared, with_classes
from archspec.training.options import TrainOptions
from archspec.training.reporter import Reporter
from archspec.training.run import Run
from archspec.training.run_description import new_folder
from archspec.training.run_folder import FACTS, LAST, LOG, SPEC, RunFolder, check_name
from archspec.training.sharding import check_shardable
from archspec.training.unused_options import check_effect, check_validation

if TYPE_CHECKING:
    from archspec.data.sources import Source


def train(
    source: str | os.PathLike[str] | Spec,
    data: Source | Data,
    options: TrainOptions | None = None,
    *,
    progress: bool = True,
    **params: Any,
) -> Run:
    """Fine-tune a spec's model on data, following freeze plans; everything goes to a run's folder.

    The parameter that sets the number of outputs, such as ``num_labels``, is taken from the data
    unless it is given, and tensors that depend on it get new values where ``weights`` has none that
    fit. Frozen parameters are not given to the optimizer, and frozen modules stay in inference
    mode; that nothing frozen has changed is proven at the end of each phase.

    Args:
        source: a path, a packaged spec's name, or a Spec; its task is a classification.
        data: what ``open_data`` takes, or the data that it returned.
        options: the options of the run, which ``TrainOptions`` describes. Each may also be given as
            a keyword, which wins.
        progress: whether epochs are reported on standard error, on a terminal with a bar.
        **params: options by their names; all other keywords are values for the spec's parameters.

    Returns:
        The run; ``run.model()`` is the model. Its status is ``stopped`` after Ctrl-C.

    Raises:
        UsageError: E801, an option is unknown, out of its bounds or without effect, or the extra
            ``train`` is not installed.
        SpecError: the spec is wrong.
        DataError: E9xx, the data cannot be read, or does not fit the spec.
        WeightsError: E6xx, the weights cannot be read, or do not fit.
        FreezeError: E70x, a plan does not fit, or leaves nothing to train.
        RunError: E921 if the folder cannot be written, E922 if the loss is not finite.

    Example:
        >>> import archspec
        >>> run = archspec.train(
        ...     "tests/training/tiny.yaml",
        ...     "tests/training/tiny.csv",
        ...     output_dir=getfixture("tmp_path"),
        ...     epochs=1,
        ...     device="cpu",
        ...     progress=False,
        ... )
        >>> run.status, run.labels, len(run.epochs)
        ('finished', ('no', 'yes'), 1)
    """
    options, params = _options(options, params)
    environment.require()
    environment.check_device(options.device, options.precision)
    environment.check_strategy(options.strategy, options.devices)
    is_first = environment.rank(options.devices) == 0
    output_dir = Path(options.output_dir)
    if options.name is not None and is_first:
        check_name(output_dir, options.name)
    spec = _spec(source, params)
    if spec.weights is not None:
        if options.weights is None:
            options = TrainOptions(**{**options.given, "weights": spec.weights})
        spec = replace(spec, weights=None)  # what the data changes is built anew
    check_effect(check_task(spec), data, options)
    given, options = options, options.resolved(spec.architecture.freeze)
    opened_data = opened(data, spec, options)
    check_validation(opened_data.data, given)
    weights, tokenizer, labels = options.weights, options.tokenizer, opened_data.data.labels
    start, notes = InitialRun.of(weights), list[str]()
    known = Labels.of(spec) if start is None else start.labels
    if start is not None:
        spec, sizes = start.sized(spec)
        notes += sizes
        tokenizer = start.tokenizer if tokenizer is None else tokenizer
    rows = known.rows(spec, labels) if weights is not None else None
    spec = with_classes(spec, opened_data.data)
    feed = _feed(spec, opened_data.data, options, weights, tokenizer)
    opened_data = replace(opened_data, tokens=feed.token_counts())
    ready = prepared(spec, options, rows)
    notes += known.notes(labels) if ready.has_rows else []
    notes += ready.notes
    _check_model(ready, options)
    from archspec.training.runner import RunTrainer  # slow to import: nothing is written before

    report, folder = Reporter(progress), None
    if is_first:
        folder = new_folder(ready, opened_data, feed, options, notes)
        report.log = folder / LOG
        for note in (*opened_data.notes, *notes):
            report(note)
    with _locked(folder):
        return RunTrainer(folder, ready.model, feed, options, report).run()


def _options(
    options: TrainOptions | None, keywords: Mapping[str, Any]
) -> tuple[TrainOptions, dict[str, Any]]:
    """The options, and the keywords that are not among them."""
    if options is not None and not isinstance(options, TrainOptions):  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = "archspec.TrainOptions(epochs=3), or keywords: epochs=3"
        raise UsageError(
            Problem("E801", f"options must be TrainOptions, not {shown(options)}", hint=hint)
        )
    known = TrainOptions.model_fields.keys()
    given = {name: value for name, value in keywords.items() if name in known}
    params = {name: value for name, value in keywords.items() if name not in known}
    if options is None:
        return TrainOptions(**given), params
    return TrainOptions(**{**options.given, **given}) if given else options, params


def _spec(source: str | os.PathLike[str] | Spec, params: Mapping[str, Any]) -> Spec:
    """The spec with its parameters; a keyword that is near to an option is a misspelt one.

    Raises:
        UsageError: E801, keywords that are neither options nor parameters.
        SpecError: as ``load``.
    """
    try:
        return as_spec(source, params)
    except SpecError as error:
        if not any(problem.code == "E208" for problem in error.problems):
            raise
        names = as_spec(source, {}).params
        unknown = [name for name in params if name not in names]
        if not unknown:
            raise
        known = [*TrainOptions.model_fields, *names]
        raise UsageError(
            [
                Problem("E801", f"no option or parameter '{name}'", hint=did_you_mean(name, known))
                for name in unknown
            ]
        ) from None


def _signature() -> Signature:
    """That of ``train`` with each option as a keyword."""
    plain = signature(train)
    *first, progress, params = plain.parameters.values()
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation)
        for name, field in TrainOptions.model_fields.items()
    ]
    return plain.replace(parameters=[*first, *options, progress, params])


train.__signature__ = _signature()  # pyright: ignore[reportFunctionMemberAccess]


def resume(
    path: str | os.PathLike[str],
    *,
    data: Data | None = None,
    epochs: int | None = None,
    progress: bool = True,
) -> Run:
    """Go on with a run that was stopped or killed, from the step that was last saved.

    On a CPU with as many threads it ends with the weights, to the last bit, of a run that was never
    interrupted.

    Args:
        path: the run's folder.
        data: the same data, if it was given opened, or lies elsewhere now.
        epochs: so many more than the run was asked for: one more phase, with the last plan and an
            optimizer and a schedule of its own. A run that had finished is tested once more.
        progress: as ``train`` takes it.

    Returns:
        The run; one that had finished as it was.

    Raises:
        RunError: E920, there is no such run, another process has it open, one of its files was
            damaged, or the data has changed; E921 and E922 as ``train``.
        DataError: E901, the data is no longer there.

    Example:
        >>> import archspec
        >>> run = archspec.train(
        ...     "tests/training/tiny.yaml",
        ...     "tests/training/tiny.csv",
        ...     output_dir=getfixture("tmp_path"),
        ...     epochs=1,
        ...     device="cpu",
        ...     progress=False,
        ... )
        >>> archspec.resume(run.path).status
        'finished'
    """
    run = Run.of(path)
    if run.status == "finished" and epochs is None:
        return run
    environment.require()
    options = run.options
    more = None if epochs is None else options.with_epochs(epochs)
    environment.check_device(options.device, options.precision)
    environment.check_strategy(options.strategy, options.devices)
    folder = RunFolder(run.path)
    own_folder = folder if environment.rank(options.devices) == 0 else None
    with _locked(own_folder):
        if own_folder is not None:
            own_folder.check()
        run = Run.of(path)  # another process may have gone on with it meanwhile
        if run.status == "finished" and more is None:
            return run
        return _resumed(run, own_folder, data, Reporter(progress), more)


def _resumed(
    run: Run,
    own_folder: RunFolder | None,
    data: Data | None,
    report: Reporter,
    more: TrainOptions | None,
) -> Run:
    options, folder = more or run.options, RunFolder(run.path)
    spec = load(folder / SPEC)
    feed = _feed(spec, reopened(run, spec, data), options, None, None)
    from archspec.training.resume_file import read_state
    from archspec.training.runner import RunTrainer

    state = read_state(folder)
    ready = prepared(spec, TrainOptions(weights=folder / LAST, seed=options.seed))
    if more is not None and own_folder is not None:  # once nothing can fail any more
        changes = {"options": more.to_dict(), "epochs": more.total_epochs}
        own_folder.write_json(FACTS, {**own_folder.read_json(FACTS), **changes})
    return RunTrainer(own_folder, ready.model, feed, options, report, state, folder.path).run()


def _locked(folder: RunFolder | None) -> AbstractContextManager[None]:
    return nullcontext() if folder is None else folder.locked()


def _feed(
    spec: Spec,
    data: Data,
    options: TrainOptions,
    weights: str | os.PathLike[str] | None,
    tokenizer: str | os.PathLike[str] | None,
) -> DataFeed:
    pair = encoders(spec, weights, tokenizer, options.max_length)
    devices = options.devices
    return DataFeed(data, pair, options, environment.rank(devices), environment.world(devices))


def _check_model(ready: Prepared, options: TrainOptions) -> None:
    """Before anything is written: every plan fits, and leaves something to train."""
    if options.strategy == "fsdp":
        check_shardable(ready.model)
    for phase in options.phases:
        apply_plan(ready.model, phase.patterns)
        trainable_parameters(ready.model)
