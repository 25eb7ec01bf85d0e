"""``train`` and ``resume``: a run from its data and spec to its test."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from archspec.data import Data
from archspec.errors import Problem, RunError, UsageError
from archspec.freezing import freeze as apply_plan
from archspec.freezing import trainable_parameters
from archspec.lang.spec import Spec, as_spec, load
from archspec.training import environment
from archspec.training.data_feed import DataFeed, encoders
from archspec.training.data_source import opened, reopened
from archspec.training.initial_run import InitialRun, Labels
from archspec.training.model_setup import Prepared, check_task, prepared, with_classes
from archspec.training.options import (
    Monitor,
    Optimizer,
    Options,
    Plan,
    Precision,
    Schedule,
    Strategy,
)  # fmt: skip
from archspec.training.reporter import Reporter
from archspec.training.run import Run
from archspec.training.run_description import new_folder
from archspec.training.run_folder import FACTS, LAST, LOG, SPEC, RunFolder, check_name
from archspec.training.sharding import check_shardable
from archspec.training.unused_options import check_effect, check_validation

if TYPE_CHECKING:
    from archspec.data.sources import Source

T = TypeVar("T")


def train(
    source: str | os.PathLike[str] | Spec,
    data: Source | Data,
    *,
    freeze: Plan = None,
    weights: str | os.PathLike[str] | None = None,
    out: str | os.PathLike[str] = "runs",
    name: str | None = None,
    epochs: int | None = None,
    phases: str | Sequence[tuple[Plan, int]] | None = None,
    batch_size: int = 32,
    learning_rate: float = 2e-4,
    optimizer: Optimizer = "adamw",
    momentum: float | None = None,
    weight_decay: float = 0.01,
    schedule: Schedule = "linear",
    warmup: float | None = None,
    precision: Precision = "fp32",
    accumulate: int = 1,
    clip: float = 1.0,
    monitor: Monitor | None = None,
    patience: int | None = None,
    seed: int = 0,
    device: str = "auto",
    devices: int = 1,
    strategy: Strategy = "auto",
    workers: int = 0,
    save_every: float = 120.0,
    cache: str | os.PathLike[str] = "auto",
    cache_gb: float = 20.0,
    max_length: int | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    text: str | None = None,
    image: str | None = None,
    label: str | None = None,
    labels: Sequence[str] | None = None,
    train: str | None = None,
    validation: str | None = None,
    test: str | Literal[False] | None = None,
    validation_share: float | None = None,
    most_bad: float | None = None,
    header: bool | None = None,
    encoding: str | None = None,
    ignore: Sequence[str] = (),
    optional: Sequence[str] = (),
    key: str | None = None,
    partial: bool = False,
    progress: bool = True,
    **params: Any,
) -> Run:
    """Fine-tune a spec's model on data, following freeze plans; everything goes to a run's folder.

    The parameter that is the size of the outputs, such as ``num_labels``, is set from the data if
    it is not given, and the tensors that depend on it start anew where ``weights`` has none that
    fit. Frozen parameters do not reach the optimizer, and frozen modules stay in inference mode;
    that nothing frozen moved is proven at the end of each phase.

    Args:
        source: a path, a packaged spec's name, or a Spec; its task is a classification.
        data: what ``open_data`` takes, or the data that it gave.
        freeze: the name of one of the spec's freeze plans, or patterns; left out, or ``none`` where
            the spec has no such plan: nothing is frozen.
        weights: what ``load_weights`` takes, or the folder of a run: its best weights, with its
            tokenizer, its sizes where none are given, and its labels, which are compared by name;
            left out, training starts from scratch.
        out: the folder that gets a folder for the run.
        name: of the run's own folder; left out: the time, the spec and the plan.
        epochs: 3 if left out.
        phases: instead of ``freeze`` and ``epochs``, several plans one after the other, each with
            its own optimizer and schedule: ``"head-only:2,last-2-and-head:3"``, or pairs.
        batch_size: samples a batch, all processes together.
        learning_rate: at its highest.
        optimizer: ``adamw``, ``adam`` or ``sgd`` (Nesterov's).
        momentum: of ``sgd``; left out: 0.9.
        weight_decay: of weights; biases and norms have none.
        schedule: how the rate falls: ``linear``, ``cosine``, ``one-cycle`` or ``constant``.
        warmup: the share of a phase in which it rises; left out: 0.1, one-cycle 0.3, constant 0.
        precision: ``fp32``, ``bf16-mixed`` or ``fp16-mixed``.
        accumulate: batches that make one step, of ``batch_size × accumulate`` samples.
        clip: the norm that gradients are cut to; 0: they are not.
        monitor: what the best epoch is told by: ``accuracy``, ``loss`` or ``macro_f1`` on the
            validation split; left out: by ``accuracy``.
        patience: epochs without a better one after which a phase ends; left out: none does.
        seed: decides initial values, order, dropout and augmentation.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1`` or ``mps``.
        devices: how many; ``torchrun`` decides by itself.
        strategy: for several devices, ``auto`` or ``ddp``: each has the whole model; ``fsdp``: each
            has a part of it.
        workers: processes that decode images.
        save_every: seconds after which the state is saved within an epoch.
        cache: where activations in front of what is trained are kept, so that frozen work is done
            once: a folder, ``auto`` for ``.activations`` in ``out``, or ``off``. Runs share it.
        cache_gb: the most that it may take on the disk, in GiB; what was used least recently makes
            room. Where that is not enough the run goes on without, and says so.
        max_length: tokens of a text at most; left out: as the task says.
        tokenizer: a ``tokenizer.json`` or ``vocab.txt``; left out: beside the weights or the spec.
        text: the column of texts; left out: guessed.
        image: the column of images; left out: guessed.
        label: the column of labels; left out: guessed.
        labels: the classes in order; left out: those of the task, of the data, or of its rows.
        train: the data's own name of the split to train on; left out: told by its name.
        validation: as ``train``.
        test: as ``train``. False: none is read.
        validation_share: of the training rows, where the data has no validation split; 0.1 if
            left out.
        most_bad: the share of bad rows, 0 to 1, past which there is an error; left out: 0.
        header: whether the first line of a CSV or TSV has the names of the columns, as
            ``open_data`` takes it.
        encoding: of files of text; left out: UTF-8.
        ignore: patterns of names in ``weights`` that stay unread.
        optional: patterns of our names that ``weights`` may lack.
        key: under which ``weights`` stand in their file, as ``load_weights`` takes it.
        partial: whether ``weights`` may leave most of the model as it is.
        progress: whether epochs are told on standard error, on a terminal with a bar.
        **params: values for the spec's parameters.

    Returns:
        The run; ``run.model()`` is the model. Its status is ``stopped`` after Ctrl-C.

    Raises:
        UsageError: E801, an argument makes no sense or does nothing, or the extra ``train`` is not
            installed.
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
        ...     out=getfixture("tmp_path"),
        ...     epochs=1,
        ...     device="cpu",
        ...     progress=False,
        ... )
        >>> run.status, run.labels, len(run.epochs)
        ('finished', ('no', 'yes'), 1)
    """
    options = Options.checked(
        freeze, epochs, phases,
        batch_size=batch_size, learning_rate=learning_rate, optimizer=optimizer,
        momentum=_or(momentum, 0.9), weight_decay=weight_decay, schedule=schedule, warmup=warmup,
        precision=precision, accumulate=accumulate, clip=clip, monitor=_or(monitor, "accuracy"),
        patience=patience, seed=seed, device=device, devices=devices, strategy=strategy,
        workers=workers, max_length=max_length, save_every=save_every, cache=cache,
        cache_gb=cache_gb,
    )  # fmt: skip
    environment.require()
    environment.check_device(options.device, options.precision)
    environment.check_strategy(options.strategy, options.devices)
    if name is not None and environment.rank(options.devices) == 0:
        check_name(Path(out), name)
    spec = as_spec(source, params)
    given = {
        "optimizer": optimizer, "momentum": momentum, "weights": weights, "ignore": ignore,
        "optional": optional, "workers": workers or None, "tokenizer": tokenizer,
        "max_length": max_length, "text": text, "image": image, "label": label,
        "labels": labels, "train": train, "validation": validation, "test": test,
        "validation_share": validation_share, "most_bad": most_bad, "monitor": monitor,
        "patience": patience, "header": header, "encoding": encoding, "key": key,
        "partial": partial or None,
    }  # fmt: skip
    check_effect(check_task(spec), data, given)
    options = options.with_plans(spec.architecture.freeze)
    found = opened(
        data, spec, text=text, image=image, label=label, labels=labels,
        train=train, validation=validation, test=test,
        validation_share=_or(validation_share, 0.1), most_bad=_or(most_bad, 0.0), seed=seed,
        header=header, encoding=encoding,
    )  # fmt: skip
    check_validation(found.data, given)
    start, notes = InitialRun.of(weights), list[str]()
    known = Labels.of(spec) if start is None else start.labels
    if start is not None:
        spec, sizes = start.sized(spec)
        notes += sizes
        tokenizer = start.tokenizer if tokenizer is None else tokenizer
    rows = known.rows(spec, found.data.labels) if weights is not None else None
    spec = with_classes(spec, found.data)
    feed = _feed(spec, found.data, options, weights, tokenizer)
    found = replace(found, tokens=feed.token_counts())
    ready = prepared(
        spec, weights, seed, ignore=ignore, optional=optional, key=key, partial=partial, rows=rows
    )
    notes += known.notes(found.data.labels) if ready.has_rows else []
    notes += ready.notes
    _check_model(ready, options)
    from archspec.training.runner import RunTrainer  # takes its time: nothing is written before

    say, folder = Reporter(progress), None
    if environment.rank(options.devices) == 0:
        folder = new_folder(Path(out), name, ready, found, feed, options, notes)
        say.log = folder / LOG
        for note in (*found.notes, *notes):
            say(note)
    with _held(folder):
        return RunTrainer(folder, ready.model, feed, options, say).go()


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
        RunError: E920, there is no such run, another process is at it, one of its files was
            damaged, or the data has changed; E921 and E922 as ``train``.
        DataError: E901, the data is no longer there.

    Example:
        >>> import archspec
        >>> run = archspec.train(
        ...     "tests/training/tiny.yaml",
        ...     "tests/training/tiny.csv",
        ...     out=getfixture("tmp_path"),
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
    options = recorded(run)
    more = None if epochs is None else options.with_epochs(epochs)
    environment.check_device(options.device, options.precision)
    environment.check_strategy(options.strategy, options.devices)
    folder = RunFolder(run.path)
    mine = folder if environment.rank(options.devices) == 0 else None
    with _held(mine):
        if mine is not None:
            mine.check()
        run = Run.of(path)  # another process may have gone on with it meanwhile
        if run.status == "finished" and more is None:
            return run
        return _resumed(run, mine, data, Reporter(progress), more)


def _resumed(
    run: Run, mine: RunFolder | None, data: Data | None, say: Reporter, more: Options | None
) -> Run:
    options, folder = more or recorded(run), RunFolder(run.path)
    spec = load(folder / SPEC)
    feed = _feed(spec, reopened(run, spec, data), options, None, None)
    from archspec.training.resume_file import read_state
    from archspec.training.runner import RunTrainer

    state = read_state(folder)
    ready = prepared(spec, folder / LAST, options.seed)
    if more is not None and mine is not None:  # once nothing can be in its way
        asked = {"options": more.to_dict(), "epochs": more.epochs}
        mine.write_json(FACTS, {**mine.read_json(FACTS), **asked})
    return RunTrainer(mine, ready.model, feed, options, say, state, folder.path).go()


def _held(folder: RunFolder | None) -> AbstractContextManager[None]:
    return nullcontext() if folder is None else folder.held()


def _or(value: T | None, default: T) -> T:
    return default if value is None else value


def recorded(run: Run) -> Options:
    """The options of a run; raises RunError E920 if they are none."""
    try:
        return Options.from_dict(run.facts.get("options") or {})
    except UsageError as error:
        raise RunError(Problem("E920", f"{run.path}: {error.message}")) from None


def _feed(
    spec: Spec,
    data: Data,
    options: Options,
    weights: str | os.PathLike[str] | None,
    tokenizer: str | os.PathLike[str] | None,
) -> DataFeed:
    found = encoders(spec, weights, tokenizer, options.max_length)
    devices = options.devices
    return DataFeed(data, found, options, environment.rank(devices), environment.world(devices))


def _check_model(ready: Prepared, options: Options) -> None:
    """Before anything is written: every plan fits, and leaves something to train."""
    if options.strategy == "fsdp":
        check_shardable(ready.model)
    for phase in options.phases:
        apply_plan(ready.model, phase.patterns)
        trainable_parameters(ready.model)
