"""``train`` and ``resume``: a run from its data and spec to its test."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archspec.data import Data
from archspec.errors import Problem, SpecError, UsageError, did_you_mean, shown
from archspec.lang.spec import Spec, as_spec, load
from archspec.tasks.own_loss import OwnLoss
from archspec.training import environment
from archspec.training.callbacks import check_callbacks
from archspec.training.data_feed import DataFeed, encoders, opened, reopened
from archspec.training.model_setup import (
    InitialRun,
    Labels,
    Prepared,
    always_frozen,
    check_effect,
    check_task,
    check_validation,
    frozen_at_random,
    prepared,
    untrained_outputs,
    with_adapter_plan,
    with_class_weights,
    with_classes,
)
from archspec.training.options import TrainOptions
from archspec.training.run import Run
from archspec.training.run_folder import FACTS, LAST, LOG, SPEC, RunFolder, check_name
from archspec.weights.adapter_files import as_adapted_spec

if TYPE_CHECKING:
    from archspec.data.sources import Source
    from archspec.tasks.own_loss import LossFunction
    from archspec.training.callbacks import TrainCallback


def train(
    source: str | os.PathLike[str] | Spec,
    data: Source | Data,
    options: TrainOptions | None = None,
    *,
    loss: LossFunction | None = None,
    callbacks: Sequence[TrainCallback] = (),
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
        loss: your own loss function in place of the task's: of the model's outputs and the batch,
            a dict of tensors with ``labels``; it returns a number for each row, [rows], or their
            mean, []. Validation and test use it as well.
        callbacks: your own code, for the events of ``TrainCallback``.
        progress: whether epochs are reported on standard error, on a terminal with a bar.
        **params: options by their names; all other keywords are values for the spec's parameters.

    Returns:
        The run; ``run.model()`` is the model. Its status is ``stopped`` after Ctrl-C.

    Raises:
        UsageError: E801, an option is unknown, out of its bounds or without effect, or the extra
            ``train``, or that of ``track``, is not installed.
        SpecError: the spec is wrong.
        DataError: E9xx, the data cannot be read, or does not fit the spec.
        WeightsError: E6xx, the weights cannot be read, or do not fit.
        FreezeError: E70x, a plan does not fit, or leaves nothing to train.
        BuildError: E503, it does not fit into memory.
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
    environment.check_strategy(options.strategy, options.device, options.devices)
    environment.check_quantization(options.quantize, options.devices)
    environment.check_tracking(options.track, options.devices)
    callbacks = check_callbacks(callbacks)
    own_loss = None if loss is None else OwnLoss(loss)
    is_first = environment.rank(options.devices) == 0
    output_dir = Path(options.output_dir)
    if options.name is not None and is_first:
        check_name(output_dir, options.name)
    spec = _spec(source, params)
    if spec.weights is not None:
        if options.weights is None:
            options = TrainOptions(**{**options.given, "weights": spec.weights})
        spec = replace(spec, weights=None)  # what the data changes is built anew
    if options.task is not None:
        spec = spec.for_task(options.task)
    check_effect(check_task(spec), data, options, own_loss=own_loss is not None)
    spec, options, adapter_notes = with_adapter_plan(spec, options)
    given, options = options, options.resolved(spec.architecture.freeze)
    opened_data = opened(data, spec, options)
    check_validation(opened_data.data, given)
    options, weight_notes = with_class_weights(options, opened_data.data)
    weights, tokenizer, labels = options.weights, options.tokenizer, opened_data.data.labels
    start, notes = InitialRun.of(weights), [*adapter_notes, *weight_notes]
    known = Labels.of(spec) if start is None else start.labels
    if start is not None:
        spec, sizes = start.sized(spec)
        notes += sizes
        tokenizer = start.tokenizer if tokenizer is None else tokenizer
    rows = known.rows(spec, labels) if weights is not None and labels else None
    spec = with_classes(spec, opened_data.data)
    feed = _feed(spec, opened_data.data, options, weights, tokenizer, own_loss)
    options = options.monitoring(feed.objective.monitors)
    opened_data = replace(opened_data, tokens=feed.token_counts())
    ready = prepared(spec, options, rows)
    notes += known.notes(labels) if ready.has_rows else []
    notes += [*ready.notes, *untrained_outputs(spec)]
    frozen = _check_model(ready, options, feed)
    notes += frozen_at_random(frozen, None if ready.weights is None else ready.fresh)
    from archspec.training.loop import TrainLoop  # slow to import: nothing is written before
    from archspec.training.recorder import Recorder, new_folder
    from archspec.training.reporting import Reporter

    report, folder = Reporter(progress), None
    if is_first:
        folder = new_folder(ready, opened_data, feed, options, notes)
        report.log = folder / LOG
        for note in (*opened_data.notes, *notes):
            report(note)
    with _locked(folder):
        record = Recorder(folder, None, options, report)
        return TrainLoop(ready.model, feed, options, record, callbacks).run()


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
        return as_adapted_spec(source, params)
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
    *first, loss, callbacks, progress, params = plain.parameters.values()
    options = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=field.default, annotation=field.annotation)
        for name, field in TrainOptions.model_fields.items()
    ]
    return plain.replace(parameters=[*first, *options, loss, callbacks, progress, params])


train.__signature__ = _signature()  # pyright: ignore[reportFunctionMemberAccess]


def resume(
    path: str | os.PathLike[str],
    *,
    data: Data | None = None,
    epochs: int | None = None,
    loss: LossFunction | None = None,
    callbacks: Sequence[TrainCallback] = (),
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
        loss: the loss function that the run was trained with, if it was given one.
        callbacks: as ``train`` takes them; those of the run are not saved with it.
        progress: as ``train`` takes it.

    Returns:
        The run; one that had finished as it was.

    Raises:
        UsageError: E801, ``loss`` is missing, or the run was trained with its task's.
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
    callbacks = check_callbacks(callbacks)
    own_loss = None if loss is None else OwnLoss(loss)
    _check_loss(run, own_loss)
    options = run.options
    more = None if epochs is None else options.with_epochs(epochs)
    environment.check_device(options.device, options.precision)
    environment.check_strategy(options.strategy, options.device, options.devices)
    environment.check_quantization(options.quantize, options.devices)
    environment.check_tracking(options.track, options.devices)
    folder = RunFolder(run.path)
    own_folder = folder if environment.rank(options.devices) == 0 else None
    with _locked(own_folder):
        if own_folder is not None:
            own_folder.check()
        run = Run.of(path)  # another process may have gone on with it meanwhile
        if run.status == "finished" and more is None:
            return run
        return _resumed(run, own_folder, data, more, own_loss, callbacks, progress)


def _resumed(
    run: Run,
    own_folder: RunFolder | None,
    data: Data | None,
    more: TrainOptions | None,
    own_loss: OwnLoss | None,
    callbacks: Sequence[TrainCallback],
    progress: bool,
) -> Run:
    options, folder = more or run.options, RunFolder(run.path)
    spec = load(folder / SPEC)
    feed = _feed(spec, reopened(run, spec, data), options, None, None, own_loss)
    from archspec.training.checkpoints import read_state
    from archspec.training.loop import TrainLoop
    from archspec.training.recorder import Recorder
    from archspec.training.reporting import Reporter

    state = read_state(folder)
    ready = prepared(spec, TrainOptions(weights=folder / LAST, seed=options.seed))
    if more is not None and own_folder is not None:  # once nothing can fail any more
        changes = {
            "options": more.to_dict(), "epochs": more.total_epochs, "ended_by": None,
        }  # fmt: skip
        own_folder.write_json(FACTS, {**own_folder.read_json(FACTS), **changes})
    record = Recorder(own_folder, folder.path, options, Reporter(progress))
    return TrainLoop(ready.model, feed, options, record, callbacks, state).run()


def _check_loss(run: Run, own_loss: OwnLoss | None) -> None:
    known = run.facts.get("loss")
    if known and own_loss is None:
        hint = "give it again, in Python: archspec.resume(path, loss=…)"
        message = f"{run.path}: was trained with a loss function of your own, {known}"
        raise UsageError(Problem("E801", message, hint=hint))
    if own_loss is not None and not known:
        message = f"{run.path}: was trained with the loss of its task"
        raise UsageError(Problem("E801", message, hint="leave loss out"))


def _locked(folder: RunFolder | None) -> AbstractContextManager[None]:
    return nullcontext() if folder is None else folder.locked()


def _feed(
    spec: Spec,
    data: Data,
    options: TrainOptions,
    weights: str | os.PathLike[str] | None,
    tokenizer: str | os.PathLike[str] | None,
    own_loss: OwnLoss | None,
) -> DataFeed:
    pair = encoders(spec, weights, tokenizer, options.max_length)
    devices = options.devices
    rank, world = environment.rank(devices), environment.world(devices)
    return DataFeed(data, pair, options, rank, world, own_loss)


def _check_model(ready: Prepared, options: TrainOptions, feed: DataFeed) -> dict[str, int]:
    """Before anything is written: the model is one for the task; every plan leaves it something.

    Returns:
        The parameters that no plan trains, as ``always_frozen``.
    """
    from archspec.training.engine import (  # slow to import
        check_quantizable,
        check_shardable,
        recomputing,
    )
    from archspec.training.optimization import peak_rates

    if options.strategy == "fsdp":
        check_shardable(ready.model)
    feed.check(ready.model)
    peak_rates(ready.model, options)
    with recomputing(ready.model, options.checkpoint_blocks):
        pass
    frozen = always_frozen(ready.model, options.phases)
    if options.quantize:
        check_quantizable(ready.model, feed, options.phases, options.quantize)
    return frozen
