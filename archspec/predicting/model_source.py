"""What is predicted with: spec, model, encoder and labels, from wherever they are."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from archspec import run_hashes
from archspec.builder import build, weights_report
from archspec.building.origins import spec_of
from archspec.data import encoder_for
from archspec.errors import DataError, Problem, UsageError, WeightsError, listing
from archspec.lang.spec import Spec, as_spec
from archspec.training.model_setup import class_param
from archspec.training.run import Run, tokenizer_of
from archspec.training.run_folder import SPEC

if TYPE_CHECKING:
    from archspec.data import ImageEncoder, TextEncoder

Source = str | os.PathLike[str] | Spec | Run | nn.Module


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What the arguments of ``Predictor`` say beside the source."""

    weights: str | os.PathLike[str] | None
    layout: str | None
    key: str | None
    device: str | torch.device
    tokenizer: str | os.PathLike[str] | None
    max_length: int | None
    labels: tuple[str, ...] | None
    params: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model and what belongs to it; ``labels`` is None where nobody has named them."""

    spec: Spec
    model: nn.Module
    encoder: TextEncoder | ImageEncoder
    labels: tuple[str, ...] | None


def loaded(source: Source, given: SourceOptions) -> Loaded:
    """The model of a run, of a spec with weights, or a built one; raises as ``Predictor``."""
    if isinstance(source, nn.Module):
        spec, model = _of_module(source, given)
        return _with_encoder(spec, model, given, None)
    if isinstance(source, str | os.PathLike) and is_folder(source):
        source = Run.of(source)
    if isinstance(source, Run):
        return _of_run(source, given)
    return _of_spec(source, given)


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether it is a folder, as a run is; no name is too long to ask."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False


def _of_run(run: Run, given: SourceOptions) -> Loaded:
    if given.params or given.layout is not None or given.key is not None:
        raise _usage("a run has its own spec: no parameters, layout or key can be given")
    if given.weights is None or given.weights in ("best", "last"):
        model = run.model(
            weights="last" if given.weights == "last" else "best", device=given.device
        )
        spec = spec_of(model)
        assert spec is not None
    else:
        run_hashes.check(run.path, [SPEC])
        spec = as_spec(run.path / SPEC, {})
        model = build(spec, device=given.device, weights=given.weights)
    if given.tokenizer is None:
        tokenizer_of(run, spec)  # is whole
    return _with_encoder(spec, model, given, run.labels or None)


def _of_spec(source: str | os.PathLike[str] | Spec, given: SourceOptions) -> Loaded:
    spec = as_spec(source, given.params)
    if given.weights is None:
        hint = "give weights=, --weights, or a run's folder instead of the spec"
        raise _usage(f"{spec.name} has no weights: its predictions would be chance", hint)
    name = class_param(spec)
    if given.labels is not None and name is not None and name not in spec.overrides:
        spec = spec.with_params(**{name: len(given.labels)})
    encoder = _encoder(spec, given)  # before the weights are read: it may not be there
    model = build(
        spec, device=given.device, weights=given.weights, layout=given.layout, key=given.key
    )
    report = weights_report(model)
    if report is not None and report.fresh:
        message = f"{listing(report.files)}: no weights for {listing(report.fresh)}"
        hint = "what it predicted would be chance: train it first"
        raise WeightsError(Problem("E602", message, hint=hint))
    return Loaded(spec, model, encoder, _named(spec, given, None))


def _of_module(model: nn.Module, given: SourceOptions) -> tuple[Spec, nn.Module]:
    spec = spec_of(model)
    if spec is None:
        raise _usage("the module was not built from a spec", "archspec.build makes one that was")
    if (
        given.weights is not None
        or given.params
        or given.layout
        or given.key
        or str(given.device) != "auto"
    ):
        message = "a built module has its weights, its device and its parameters"
        raise _usage(message, "leave weights, layout, device and parameters out")
    if any(tensor.is_meta for tensor in model.parameters()):
        raise _usage("the module is on 'meta': it has no weights")
    return spec, model


def _with_encoder(
    spec: Spec, model: nn.Module, given: SourceOptions, labels: tuple[str, ...] | None
) -> Loaded:
    return Loaded(spec, model, _encoder(spec, given), _named(spec, given, labels))


def _encoder(spec: Spec, given: SourceOptions) -> TextEncoder | ImageEncoder:
    beside = None if given.weights in (None, "best", "last") else given.weights
    return encoder_for(spec, weights=beside, tokenizer=given.tokenizer, max_length=given.max_length)


def _named(
    spec: Spec, given: SourceOptions, labels: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    names = given.labels or labels or spec.labels or None
    if names and (twice := [name for name, n in Counter(names).items() if n > 1]):
        raise DataError(Problem("E906", f"two labels have the name {twice[0]!r}"))
    return names


def label_names(loaded: Loaded, size: int) -> tuple[str, ...]:
    """The labels of a classifier's outputs; numbers from 0 where nobody has named them.

    Raises:
        DataError: E906, there are as many names as the model has outputs, or it has but one.
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
class Pick:
    """The output that counts: of two dimensions, and of the size that is expected, if one is."""

    size: int | None

    def __call__(self, output: Any) -> Tensor | None:
        outputs: Sequence[Any] = output if isinstance(output, tuple | list) else (output,)
        found = [one for one in outputs if isinstance(one, Tensor) and one.ndim == 2]
        if len(found) > 1:
            found = [one for one in found if one.shape[1] == self.size]
        return found[0] if len(found) == 1 else None


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
