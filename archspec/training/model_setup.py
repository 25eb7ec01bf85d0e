"""Spec, data, weights and options brought together: the model that is about to be trained."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archspec import run_hashes
from archspec.builder import build
from archspec.data import Data
from archspec.data.class_weights import class_weight_notes, read_class_weights
from archspec.errors import DataError, Problem, UsageError, listing
from archspec.freezing import freeze, trainable_parameters
from archspec.lang.params import Override
from archspec.lang.spec import Spec, load
from archspec.tasks import (
    KINDS,
    find,
    labels_pixels,
    models_language,
    sizes_outputs,
    tags_words,
    takes_images,
)
from archspec.tasks.classification import WeightedObjective
from archspec.training.data_feed import OPEN_DATA_OPTIONS
from archspec.training.option_info import option_infos, pattern_and_way
from archspec.training.options import Phase, TrainOptions
from archspec.training.run import Run, tokenizer_of
from archspec.training.run_folder import BEST, SPEC
from archspec.weights import WeightsReport
from archspec.weights.adapter_files import load_folder, tensors_of_folder
from archspec.weights.folding import left_unread, resized
from archspec.weights.loading import load_chosen
from archspec.weights.tensor_names import Choices, RowsOf

_PARAM = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A model with its weights, before any plan.

    Attributes:
        spec: with the number of classes that the data has.
        model: on the CPU.
        fresh: names of the tensors that the given weights lack, or have in another shape, and that
            therefore start as the spec's ``init`` has it.
        weights: what became of the given weights; None without any.
        has_rows: whether rows of the weights' head were chosen by their labels.
    """

    spec: Spec
    model: nn.Module
    fresh: tuple[str, ...]
    weights: WeightsReport | None
    has_rows: bool = False

    @property
    def notes(self) -> list[str]:
        """What to report about the weights, a line each."""
        if self.weights is None:
            return []
        fresh = f"not in the weights, and start anew: {listing(self.fresh)}" if self.fresh else ""
        others = resized(self.weights.rows), left_unread(self.weights.rows)
        return [line for line in (fresh, *others) if line]


def always_frozen(model: nn.Module, phases: Sequence[Phase]) -> dict[str, int]:
    """The parameters that no plan trains, and how many elements each has; applies the plans.

    Raises:
        FreezeError: E70x, a plan does not fit, or leaves nothing to train.
    """
    frozen = {name: parameter.numel() for name, parameter in model.named_parameters()}
    for phase in phases:
        freeze(model, phase.patterns)
        trainable_parameters(model)
        trained = {name for name, one in model.named_parameters() if one.requires_grad}
        frozen = {name: count for name, count in frozen.items() if name not in trained}
    return frozen


def frozen_at_random(frozen: Mapping[str, int], fresh: Collection[str] | None) -> tuple[str, ...]:
    """What to report of parameters that are neither loaded nor trained, a line.

    Args:
        frozen: as ``always_frozen``.
        fresh: those that the given weights lack; None without weights.

    >>> frozen_at_random({"a": 5000, "b": 2}, None)
    ('5,002 parameters are frozen at their initial, random values: no weights are given',)
    >>> frozen_at_random({"a": 5000, "b": 2}, ["b", "c"])
    ('2 parameters are frozen at their initial values, not in the weights: b',)
    """
    names = [name for name in frozen if fresh is None or name in fresh]
    if not names:
        return ()
    count = sum(frozen[name] for name in names)
    line = f"{count:,} parameters are frozen at their initial"
    if fresh is None:
        return (f"{line}, random values: no weights are given",)
    return (f"{line} values, not in the weights: {listing(names)}",)


def check_task(spec: Spec) -> str:
    """The kind of a spec's task, which is something that can be trained on labels.

    Raises:
        UsageError: E801.
    """
    task = spec.architecture.task
    if task is None or task.kind not in KINDS:
        what = f"for {task.kind}" if task else "without a task"
        hint = f"training takes a spec whose task.kind is {' or '.join(KINDS)}"
        raise UsageError(Problem("E801", f"{spec.name} is {what}", hint=hint))
    return task.kind


def with_classes(spec: Spec, data: Data) -> Spec:
    """The spec with as many outputs as the task has for this data: one for each label.

    Raises:
        DataError: E906, the spec has a number of outputs that cannot be changed, or was given.
    """
    if not sizes_outputs(data.task_kind):
        return spec
    objective = find(data.task_kind, multi_label=data.multi_label)(data.labels)
    name, count = class_param(spec), objective.outputs
    if name is not None and name not in spec.overrides:
        return spec.with_params(**{name: count})
    size = spec.values[name] if name is not None else _class_dimension(spec)
    if isinstance(size, int) and size != count:
        outputs = f"{name} is {size}" if name else f"the model has {size} outputs"
        hint = f"leave {name} out: it is set from the data" if name else ""
        if name is not None and (place := spec.params[name].place):
            hint = f"it is from {place}: give {name} = {count} to train on this data"
        needed = f"the data has {count} labels: {listing(data.labels)}"
        if not data.labels:
            needed = f"{data.task_kind} takes {count}"
        message = f"{outputs}, and {needed}"
        raise DataError(Problem("E906", message, hint=hint))
    return spec


def with_adapter_plan(
    spec: Spec, options: TrainOptions
) -> tuple[Spec, TrainOptions, tuple[str, ...]]:
    """With an adapter, its own plan unless another one is given, and the classifier is trained.

    Returns:
        The spec, the options, and what to report of the change.
    """
    if spec.adapter is None:
        return spec, options, ()
    notes: tuple[str, ...] = ()
    if not spec.adapter.declared.train and (tensors := class_tensors(spec.plain)):
        head = sorted({name.rpartition(".")[0] for name in tensors})
        declared = spec.adapter.declared.model_dump(exclude_unset=True)
        override = Override({**declared, "train": head}, "train")
        spec = replace(spec.with_adapter(override), adapter_weights=spec.adapter_weights)
        notes = (f"trained beside the adapter, whose 'train' is left out: {listing(head)}",)
    if spec.adapter is not None and not options.model_fields_set & {"freeze", "phases"}:
        options = TrainOptions(**{**options.given, "freeze": spec.adapter.name})
    return spec, options, notes


def with_class_weights(options: TrainOptions, data: Data) -> tuple[TrainOptions, tuple[str, ...]]:
    """With the weights of a file in place of its name, and what to report of them.

    Raises:
        DataError: E906, the file has other labels than the data, or no weights.
        SpecError: E1xx, it cannot be read.
    """
    choice = options.class_weights
    if isinstance(choice, str) and choice != "balanced":
        try:
            weights = TrainOptions(class_weights=read_class_weights(Path(choice))).class_weights
        except UsageError as error:
            message = f"{choice}: {error.problems[0].message}"
            raise DataError(Problem("E906", message)) from None
        options = options.model_copy(update={"class_weights": weights})
    return options, class_weight_notes(data, options.class_weights)


def class_param(spec: Spec) -> str | None:
    """The parameter that is the size of the root's outputs, such as ``num_labels``.

    None where the task leaves that size alone, as for embeddings.

    >>> from archspec import load
    >>> class_param(load("bert")), class_param(load("resnet18"))
    ('num_labels', 'num_classes')
    """
    task = spec.architecture.task
    if task is not None and not sizes_outputs(task.kind):
        return None
    last = _class_dimension(spec)
    match = _PARAM.fullmatch(last) if isinstance(last, str) else None
    return match[1] if match and match[1] in spec.params else None


def _class_dimension(spec: Spec) -> Any:
    architecture, task = spec.architecture, spec.architecture.task
    axes, axis = 2, 1  # [batch, labels]
    if task is not None and tags_words(task.kind):
        axes, axis = 3, 2  # [batch, seq, labels]
    if task is not None and labels_pixels(task.kind):
        axes, axis = 4, 1  # [batch, labels, height, width]
    for contract in architecture.blocks[architecture.model].outputs.values():
        if contract.shape is not None and len(contract.shape) == axes:
            return contract.shape[axis]
    return None


def untrained_outputs(spec: Spec) -> tuple[str, ...]:
    """What to report of outputs that look like the one that is trained, a line each.

    >>> from archspec import load
    >>> untrained_outputs(load("deeplabv3-resnet50"))[0].partition(":")[0]
    "'out' is trained, and 'aux' of the same shape has no part in the loss"
    """
    architecture, task = spec.architecture, spec.architecture.task
    if task is None or not labels_pixels(task.kind):
        return ()
    outputs = architecture.blocks[architecture.model].outputs
    maps = {n: one for n, one in outputs.items() if one.shape is not None and len(one.shape) == 4}
    first, *others = maps or [""]
    notes: list[str] = []
    for name in others:
        match = _PARAM.fullmatch(str(maps[name].when))
        is_there = match is None or spec.values.get(match[1])
        if is_there and maps[name].shape == maps[first].shape:
            note = f"'{first}' is trained, and '{name}' of the same shape has no part in the loss"
            notes.append(note + (f": {match[1]}=false leaves it out" if match else ""))
    return tuple(notes)


def prepared(spec: Spec, options: TrainOptions, rows: RowsOf | None = None) -> Prepared:
    """Build the model on the CPU and fill it; what depends on the number of classes may be fresh.

    Args:
        spec: with the right number of classes.
        options: say which weights, and how they are read.
        rows: for each class the file's, None for a new one; left out: the same, if the file has
            as many.

    Raises:
        WeightsError: the weights cannot be read, or do not fit.
    """
    model = build(spec, device="cpu", seed=options.seed)
    if options.weights is None:
        return Prepared(spec, model, (), None)
    head = class_tensors(spec.plain)
    choices = Choices(
        options.ignore,
        [*options.allow_missing, *head],
        {**dict.fromkeys(head, "fresh"), **dict(map(pattern_and_way, options.resize))},
        options.allow_partial,
        aside=frozenset(head),
        rows=dict.fromkeys(head if rows else (), rows or ()),
    )
    report = load_chosen(
        model, options.weights, spec, choices, layout=options.layout, key=options.key
    )
    fresh = report.fresh
    if spec.adapter is not None:
        fresh = tuple(name for name in fresh if not spec.adapter.is_own(name))
    if spec.adapter_weights is not None:
        load_folder(model, spec)  # once more: the weights may have had what the folder brings
        brought = tensors_of_folder(spec)
        fresh = tuple(name for name in fresh if name not in brought)
    has_rows = rows is not None and any(
        row.kind == "resized" and row.ours and row.ours.name in head for row in report.rows
    )
    return Prepared(spec, model, fresh, report, has_rows)


def class_tensors(spec: Spec) -> list[str]:
    """The tensors whose shape depends on the number of classes: the classifier's."""
    name = class_param(spec)
    if name is None:
        return []
    size = spec.values[name]
    assert isinstance(size, int)
    shapes = [
        _shapes(build(sized, device="meta"))
        for sized in (spec, spec.with_params(**{name: size + 1}))
    ]
    return [tensor for tensor, shape in shapes[0].items() if shapes[1].get(tensor) != shape]


def _shapes(model: nn.Module) -> Mapping[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


@dataclass(frozen=True, slots=True)
class InitialRun:
    """A run whose weights another one begins with.

    Attributes:
        run: the earlier run.
        spec: what its model is.
    """

    run: Run
    spec: Spec

    @classmethod
    def of(cls, weights: str | os.PathLike[str] | None) -> InitialRun | None:
        """The run with this folder or file of weights; None if it belongs to no run.

        Raises:
            RunError: E920, its ``run.json`` is not what a run writes, or a file of it was damaged,
                changed or is gone.
            SpecError: its spec is wrong.
        """
        if not isinstance(weights, str | os.PathLike):
            return None
        path = Path(weights)
        folder = run_hashes.run_of(path / BEST) or run_hashes.run_of(path)
        if folder is None:
            return None
        run = Run.of(folder)
        run_hashes.check(folder, [SPEC])
        return cls(run, load(folder / SPEC))

    @property
    def tokenizer(self) -> Path | None:
        """The run's copy; None for images. Raises as ``tokenizer_of``."""
        return tokenizer_of(self.run, self.spec)

    def sized(self, spec: Spec) -> tuple[Spec, list[str]]:
        """The spec with the sizes of the run where no others are set, and a note about them."""
        taken = {
            name: self.spec.values[name]
            for name in spec.params
            if name not in spec.overrides
            and name != class_param(spec)
            and name in self.spec.values
            and self.spec.values[name] != spec.values[name]
        }
        if not taken or self.spec.architecture.model != spec.architecture.model:
            return spec, []
        sizes = listing([f"{name} {value}" for name, value in taken.items()])
        return spec.with_params(**taken), [f"as in {self.run.path.name}: {sizes}"]

    @property
    def labels(self) -> Labels:
        """The run's."""
        return Labels(self.run.labels, self.run.path.name)


@dataclass(frozen=True, slots=True)
class Labels:
    """The names of the classes that given weights are for, in the order of the head's rows.

    Attributes:
        names: none where nobody has named them.
        whose: what has them.
    """

    names: tuple[str, ...]
    whose: str

    @classmethod
    def of(cls, spec: Spec) -> Labels:
        """Those that a spec, or the config file that it was given, names."""
        task = spec.architecture.task
        return cls(tuple(task.labels or ()) if task else (), "the spec")

    def rows(self, spec: Spec, labels: Sequence[str]) -> tuple[int | None, ...] | None:
        """For each label the row of the same name; None if all are as they were.

        Raises:
            DataError: E906, the labels differ and the spec has no parameter for their number.
        """
        known = self.names
        if not known or tuple(labels) == known:
            return None
        if class_param(spec) is None:
            message = f"the weights are for the labels {listing(known)}, not {listing(labels)}"
            hint = "give them in that order: labels=[…], or --labels"
            raise DataError(Problem("E906", message, hint=hint))
        numbers = {name: number for number, name in enumerate(known)}
        return tuple(numbers.get(name) for name in labels)

    def notes(self, labels: Sequence[str]) -> list[str]:
        """How the labels differ, a line each; none if they are the same."""
        known = self.names
        if not known or tuple(labels) == known:
            return []
        new = [name for name in labels if name not in known]
        gone = [name for name in known if name not in labels]
        kept = len(labels) - len(new)
        lines = [f"{kept} of {len(labels)} labels are those of {self.whose}, by name"]
        lines += [f"new labels, which start anew: {listing(new)}"] if new else []
        return lines + ([f"labels that are no longer there: {listing(gone)}"] if gone else [])


def check_effect(kind: str, data: object, options: TrainOptions, *, own_loss: bool = False) -> None:
    """Whether each option that was given has an effect, as far as that can be known before reading.

    Args:
        kind: of the spec's task.
        data: as ``train`` was given it.
        options: as ``train`` was given them.
        own_loss: whether the loss is the user's.

    Raises:
        UsageError: E801, every one that has none.
    """
    reasons: dict[str, str] = {}

    def refuse(names: Iterable[str], reason: str) -> None:
        reasons.update(dict.fromkeys(names, reason))

    if options.optimizer != "sgd":
        refuse(["momentum"], f"{options.optimizer} has none")
    if options.schedule != "cosine-restarts":
        refuse(["cycles"], f"the schedule {options.schedule} has none")
    if own_loss or not issubclass(find(kind), WeightedObjective):
        reason = "the loss is your own" if own_loss else f"{kind} does not take it"
        refuse(["class_weights", "label_smoothing", "focal_gamma"], reason)
    if options.weights is None:
        names = ["layout", "key", "ignore", "allow_missing", "resize", "allow_partial"]
        refuse(names, "there are no weights to read")
    if takes_images(kind):
        names = ["tokenizer", "max_length", "text_column", "text_pair_column", "negative_column"]
        refuse(names, "the spec's inputs are images")
    else:
        refuse(["num_workers", "image_column"], "the spec's inputs are texts")
    if models_language(kind):
        refuse(["label_column", "labels"], f"{kind} learns from texts alone")
    if kind == "masked-lm":
        refuse(["text_pair_column"], "masked-lm learns from single texts")
    if kind != "text-embedding":
        refuse(["negative_column"], f"the task is {kind}")
    if isinstance(data, Data):
        refuse(OPEN_DATA_OPTIONS - {"seed"}, "the data is open, and open_data takes it")
    _refuse(reasons, options)


def check_validation(data: Data, options: TrainOptions) -> None:
    """Whether there is a split that ``monitor`` and ``patience`` go by.

    Raises:
        UsageError: E801, there is none, and one of them was given.
    """
    if "validation" not in data.splits:
        _refuse(dict.fromkeys(("monitor", "patience"), "there is no validation split"), options)


def _refuse(reasons: Mapping[str, str], options: TrainOptions) -> None:
    infos, given = option_infos(TrainOptions), options.given
    problems = [
        Problem("E801", f"{name} has no effect: {reasons[name]}", hint="leave it out")
        for name, info in infos.items()
        if name in reasons and name in given and (given[name] or given[name] != info.default)
    ]
    if problems:
        raise UsageError(problems)
