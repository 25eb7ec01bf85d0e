"""Spec, data and weights brought together: the model that is about to be trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from archspec.builder import build
from archspec.data import Data
from archspec.errors import DataError, Problem, UsageError, listing
from archspec.lang.spec import Spec
from archspec.tasks import KINDS
from archspec.training.options import TrainOptions
from archspec.weights import WeightsReport
from archspec.weights.folding import left_unread
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
    """

    spec: Spec
    model: nn.Module
    fresh: tuple[str, ...]
    weights: WeightsReport | None

    @property
    def has_rows(self) -> bool:
        """Whether rows of the weights' head were chosen by their labels."""
        return self.weights is not None and any(
            row.kind == "resized" and row.ours and row.ours.name not in self.fresh
            for row in self.weights.rows
        )

    @property
    def notes(self) -> list[str]:
        """What to report about the weights, a line each."""
        if self.weights is None:
            return []
        fresh = f"not in the weights, and start anew: {listing(self.fresh)}" if self.fresh else ""
        return [line for line in (fresh, left_unread(self.weights.rows)) if line]


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
    """The spec with as many outputs, and their names, as the data has classes.

    Raises:
        DataError: E906, the spec has a number of outputs that cannot be changed, or was given.
    """
    name, count = class_param(spec), len(data.labels)
    if name is not None and name not in spec.overrides:
        return spec.with_params(**{name: count})
    size = spec.values[name] if name is not None else _last_dimension(spec)
    if isinstance(size, int) and size != count:
        outputs = f"{name} is {size}" if name else f"the model has {size} outputs"
        hint = f"leave {name} out: it is set from the data" if name else ""
        if name is not None and (place := spec.params[name].place):
            hint = f"it is from {place}: give {name} = {count} to train on this data"
        message = f"{outputs}, and the data has {count} labels: {listing(data.labels)}"
        raise DataError(Problem("E906", message, hint=hint))
    return spec


def class_param(spec: Spec) -> str | None:
    """The parameter that is the size of the root's outputs, such as ``num_labels``.

    >>> from archspec import load
    >>> class_param(load("bert")), class_param(load("resnet18"))
    ('num_labels', 'num_classes')
    """
    last = _last_dimension(spec)
    match = _PARAM.fullmatch(last) if isinstance(last, str) else None
    return match[1] if match and match[1] in spec.params else None


def _last_dimension(spec: Spec) -> Any:
    architecture = spec.architecture
    for contract in architecture.blocks[architecture.model].outputs.values():
        if contract.shape is not None and len(contract.shape) == 2:
            return contract.shape[-1]
    return None


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
    head = class_tensors(spec)
    choices = Choices(
        options.ignore,
        [*options.allow_missing, *head],
        dict.fromkeys(head, "fresh"),
        options.allow_partial,
        aside=frozenset(head),
        rows=dict.fromkeys(head if rows else (), rows or ()),
    )
    report = load_chosen(
        model, options.weights, spec, choices, layout=options.layout, key=options.key
    )
    fresh = [
        row.ours.name
        for row in report.rows
        if row.ours and (row.kind == "missing" or (row.kind == "resized" and not rows))
    ]
    return Prepared(spec, model, tuple(fresh), report)


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
