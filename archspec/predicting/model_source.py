"""Loads what predictions need: spec, model, encoder and labels."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archspec import run_hashes
from archspec.builder import build, weights_report
from archspec.building.built_specs import spec_of
from archspec.data import encoder_for
from archspec.errors import DataError, Problem, UsageError, WeightsError, listing
from archspec.lang.spec import Spec, as_spec
from archspec.training.model_setup import class_param
from archspec.training.run import Run, tokenizer_of
from archspec.training.run_folder import REPORT, SPEC, RunFolder
from archspec.weights.adapter_files import as_adapted_spec, tensors_of_folder

if TYPE_CHECKING:
    from archspec.data import ImageEncoder, TextEncoder

Source = str | os.PathLike[str] | Spec | Run | nn.Module


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """The arguments of ``Predictor`` other than the source.

    ``loading`` has those that say how the weights are read, as ``build`` takes them.
    """

    weights: str | os.PathLike[str] | None
    loading: Mapping[str, Any]
    device: str | torch.device
    tokenizer: str | os.PathLike[str] | None
    max_length: int | None
    labels: tuple[str, ...] | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model with its spec and encoder; ``labels`` is None if they have no names.

    Attributes:
        report: on the best weights of a run, if these are loaded and there is one.
    """

    spec: Spec
    model: nn.Module
    encoder: TextEncoder | ImageEncoder
    labels: tuple[str, ...] | None
    report: Mapping[str, Any] | None = None


def load_model(source: Source, options: SourceOptions) -> LoadedModel:
    """The model of a run, of a spec with weights, or a built one; raises as ``Predictor``."""
    if isinstance(source, nn.Module):
        spec, model = _of_module(source, options)
        return _with_encoder(spec, model, options, None)
    if isinstance(source, str | os.PathLike) and is_folder(source):
        source = Run.of(source)
    if isinstance(source, Run):
        return _of_run(source, options)
    return _of_spec(source, options)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder, as a run is; False for invalid paths."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def _of_run(run: Run, options: SourceOptions) -> LoadedModel:
    if options.params:
        raise _usage("a run has its own spec: no parameters can be given")
    if useless := [name for name, value in options.loading.items() if value]:
        raise _usage(f"{useless[0]} says how weights are read, and a run knows its own")
    if options.weights is None or options.weights in ("best", "last"):
        model = run.model(
            weights="last" if options.weights == "last" else "best", device=options.device
        )
        spec = spec_of(model)
        assert spec is not None
    else:
        run_hashes.check(run.path, [SPEC])
        spec = as_spec(run.path / SPEC, {})
        model = build(spec, device=options.device, weights=options.weights)
    if options.tokenizer is None:
        tokenizer_of(run, spec)  # raises if it is damaged
    loaded = _with_encoder(spec, model, options, run.labels or None)
    is_best = options.weights in (None, "best")
    return replace(loaded, report=_report(run)) if is_best else loaded


def _report(run: Run) -> Mapping[str, Any] | None:
    """What was found of the best weights; None if there is no report.

    Raises:
        RunError: E920, it was damaged or changed.
    """
    if not (run.path / REPORT).is_file():
        return None
    run_hashes.check(run.path, [REPORT])
    return RunFolder(run.path).read_json(REPORT)


def _of_spec(source: str | os.PathLike[str] | Spec, options: SourceOptions) -> LoadedModel:
    spec = as_adapted_spec(source, options.params)
    if options.weights is None:
        options = replace(options, weights=spec.weights)
    if options.weights is None:
        hint = "give weights=, --weights, or a run's folder instead of the spec"
        raise _usage(f"{spec.name} has no weights: its predictions would be chance", hint)
    name = class_param(spec)
    if options.labels is not None and name is not None and name not in spec.overrides:
        spec = spec.with_params(**{name: len(options.labels)})
    encoder = _encoder(spec, options)  # before the weights are read, which takes longer
    model = build(spec, device=options.device, weights=options.weights, **options.loading)
    report = weights_report(model)
    brought = tensors_of_folder(spec)
    if report is not None and (fresh := [n for n in report.unasked if n not in brought]):
        message = f"{listing(report.files)}: no weights for {listing(fresh)}"
        hint = "what it predicted would be chance: train it first; "
        hint += "or, where they do not matter, allow_missing=[…], --allow-missing"
        raise WeightsError(Problem("E602", message, hint=hint))
    return LoadedModel(spec, model, encoder, _label_names(spec, options, None))


def _of_module(model: nn.Module, options: SourceOptions) -> tuple[Spec, nn.Module]:
    spec = spec_of(model)
    if spec is None:
        raise _usage("the module was not built from a spec", "archspec.build makes one that was")
    if (
        options.weights is not None
        or options.params
        or any(options.loading.values())
        or str(options.device) != "auto"
    ):
        message = "a built module has its weights, its device and its parameters"
        raise _usage(message, "leave weights, how they are read, device and parameters out")
    if any(tensor.is_meta for tensor in model.parameters()):
        raise _usage("the module is on 'meta': it has no weights")
    return spec, model


def _with_encoder(
    spec: Spec, model: nn.Module, options: SourceOptions, labels: tuple[str, ...] | None
) -> LoadedModel:
    return LoadedModel(spec, model, _encoder(spec, options), _label_names(spec, options, labels))


def _encoder(spec: Spec, options: SourceOptions) -> TextEncoder | ImageEncoder:
    from archspec.inspection.text_lengths import fit_length  # the package imports rich

    beside = None if options.weights in (None, "best", "last") else options.weights
    encoder = encoder_for(
        spec, weights=beside, tokenizer=options.tokenizer, max_length=options.max_length
    )
    fit_length(spec, encoder, options.max_length)
    return encoder


def _label_names(
    spec: Spec, options: SourceOptions, run_labels: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    names = options.labels or run_labels or spec.labels or None
    if names and (duplicates := [name for name, n in Counter(names).items() if n > 1]):
        raise DataError(Problem("E906", f"two labels have the name {duplicates[0]!r}"))
    return names


def label_names(loaded: LoadedModel, size: int) -> tuple[str, ...]:
    """The labels of a classifier's outputs; numbers from 0 if they have no names.

    Raises:
        DataError: E906, the number of names is not that of the outputs, or there is only one.
    """
    names = loaded.labels or tuple(map(str, range(size)))
    if size < 2:
        raise DataError(
            Problem("E906", f"{loaded.spec.name} has {size} output: it cannot classify")
        )
    if len(names) != size:
        message = f"{len(names)} labels are named, and {loaded.spec.name} has {size} outputs"
        raise DataError(Problem("E906", message))
    return names


@dataclass(frozen=True, slots=True)
class OutputSelector:
    """Selects the output tensor with so many dimensions, and with the expected size, if any.

    Attributes:
        axes: 2 for [batch, size], 3 for [batch, seq, size].
    """

    size: int | None
    axes: int = 2

    def __call__(self, output: Any) -> Tensor | None:
        if isinstance(output, Mapping):
            output = output.get("logits", tuple(output.values()))
        outputs: Sequence[Any] = output if isinstance(output, tuple | list) else (output,)
        tensors = [one for one in outputs if isinstance(one, Tensor) and one.ndim == self.axes]
        if len(tensors) > 1:
            tensors = [one for one in tensors if one.shape[-1] == self.size]
        return tensors[0] if len(tensors) == 1 else None


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
