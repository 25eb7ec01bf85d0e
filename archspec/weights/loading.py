"""Weights into models: examined as a whole first, then assigned or copied."""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.nn.modules.batchnorm import (
    _NormBase,  # pyright: ignore[reportPrivateUsage]
)
from torch.nn.parameter import is_lazy

from archspec.building.adapter_values import set_magnitudes
from archspec.building.built_specs import spec_of
from archspec.errors import Problem, UsageError, WeightsError
from archspec.lang.adapters import AppliedAdapter
from archspec.lang.spec import Spec, as_spec
from archspec.weights.casting import check_range
from archspec.weights.files import WeightFiles, is_shard
from archspec.weights.layouts import Naming, naming_of, namings, older_names
from archspec.weights.matching import Fit, best_fit
from archspec.weights.report import WeightsReport
from archspec.weights.rows import Kind, TensorInfo
from archspec.weights.tensor_names import Choices, ModelAndFile, Resize, RowsOf, Target


def load_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    layout: str | None = None,
    spec: str | os.PathLike[str] | Spec | None = None,
    ignore: Iterable[str] = (),
    allow_missing: Iterable[str] = (),
    resize: Mapping[str, Resize] | None = None,
    key: str | None = None,
    allow_partial: bool = False,
) -> WeightsReport:
    """Copy the weights of a checkpoint into a model, all of them or none.

    Values go into the tensors that are there: device, dtype, sharing and an optimizer's references
    stay. Everything is read and checked before the first tensor changes.

    Args:
        model: any module; one that ``build`` made knows its spec.
        path: a safetensors file, one of ``torch.save`` (``.pt``, ``.pth``, ``.bin``, ``.ckpt``), an
            index of shards, or a folder with ``model.safetensors`` or ``pytorch_model.bin``.
        layout: a name from the spec's ``checkpoints``, or ``archspec`` for the model's own names;
            left out, the one that fits best.
        spec: declares layouts; left out, the one that the model was built from, if any.
        ignore: patterns over the file's names: left unread.
        allow_missing: patterns over our names: may be missing, and then keep their values.
        resize: pattern over our names → what is done where shapes differ: ``fresh`` keeps the
            model's values, ``rows`` copies the leading part that both have and keeps the rest.
        key: under which the weights stand in the file, or what the names of their tensors begin
            with, such as ``params_ema`` or ``teacher``; left out: ``state_dict``,
            ``model_state_dict``, ``model``, or none.
        allow_partial: whether most of the model may stay as it is.

    Returns:
        What became of every tensor of the file and of the model.

    Raises:
        WeightsError: E601 if the file cannot be read, E602 to E607 for tensors that do not fit, all
            of them at once, E608 if most of the model would stay as it is; E701 and E702 for
            patterns.
        UsageError: E801 for arguments that make no sense, or a model on ``meta``.

    Example:
        >>> from archspec import build, save_weights
        >>> folder = getfixture("tmp_path")
        >>> _ = save_weights(build("resnet18", device="cpu"), folder, layout="torchvision")
        >>> model = build("resnet18", device="cpu", num_classes=10)
        >>> report = load_weights(model, folder, resize={"fc": "fresh"})
        >>> report.layout, report.counts["renamed"], report.counts["resized"]
        ('torchvision', 18, 2)
    """
    known = known_spec(model, spec)
    state = state_of(model, known)
    if unusable := [name for name, tensor in state.items() if not _is_writable(tensor)]:
        message = f"'{unusable[0]}' has no memory that values could be copied into"
        hint = "build(…, weights=…) gives a model memory and weights"
        raise UsageError(Problem("E801", message, hint=hint))
    choices = Choices.checked(ignore, allow_missing, resize, allow_partial)
    return load_chosen(model, path, known, choices, layout=layout, key=key)


def load_chosen(
    model: nn.Module,
    path: str | os.PathLike[str],
    spec: Spec | None,
    choices: Choices,
    *,
    layout: str | None = None,
    key: str | None = None,
) -> WeightsReport:
    """As ``load_weights``, of choices that have been checked, into a model that has memory."""
    examination = Examination.of(model, path, spec, layout, choices, key)
    if examination.problems:
        raise WeightsError(examination.problems)
    _copy(state_of(model, spec), examination, ("loaded", "renamed", "resized"))
    if spec is not None:
        set_magnitudes(model, spec, examination.fit.names)
    return examination.report


def known_spec(model: nn.Module, spec: str | os.PathLike[str] | Spec | None) -> Spec | None:
    """The spec that was given, else the one that the model was built from, else None.

    Raises:
        UsageError: E801 for what is no module or no spec.
        SpecError: the spec is wrong.
    """
    if not isinstance(model, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(Problem("E801", f"a model is a module, not {type(model).__name__}"))
    return spec_of(model) if spec is None else as_spec(spec, {})


def _is_writable(tensor: torch.Tensor) -> bool:
    """Whether values can be copied into it: it has memory, and each element has its own."""
    if tensor.is_meta or tensor.is_inference() or tensor.layout != torch.strided:
        return False
    pairs = zip(tensor.shape, tensor.stride(), strict=True)
    return all(step or size < 2 for size, step in pairs)


def _copy(
    state: Mapping[str, torch.Tensor], examination: Examination, kinds: Collection[Kind]
) -> None:
    rows = [row for row in examination.report.rows if row.kind in kinds and not row.kept]
    pairs = [(row, row.ours.name, row.theirs.name) for row in rows if row.ours and row.theirs]
    values = examination.files.read([foreign for _, _, foreign in pairs], "cpu")
    copies: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
    for row, ours, foreign in pairs:
        old, new = state[ours], values[foreign]
        resizing = examination.fit.sides.resized[ours][0] if row.kind == "resized" else ""
        if isinstance(resizing, tuple):
            new = _with_rows(old.detach(), new, resizing)
        elif resizing == "rows":
            both = zip(old.shape, new.shape, strict=True)
            part = tuple(slice(min(sizes)) for sizes in both)
            old, new = old.detach()[part], new[part]
        copies[ours] = old, new
    check_range((name, new, old.dtype) for name, (old, new) in copies.items())
    with torch.no_grad():
        for old, new in copies.values():
            old.copy_(new)


def _with_rows(old: torch.Tensor, new: torch.Tensor, rows: RowsOf) -> torch.Tensor:
    """Our rows, each with the file's values or, where it has none, its own."""
    ours = [i for i, row in enumerate(rows) if row is not None]
    theirs = [row for row in rows if row is not None]
    result = old.to("cpu", torch.promote_types(old.dtype, new.dtype), copy=True)
    result[ours] = new[theirs].to(result.dtype)
    return result


# ------------------------------------------------------------------------------------- examination


@dataclass(frozen=True, slots=True)
class Examination:
    """A checkpoint held against a model; nothing but headers is read.

    Attributes:
        files: the checkpoint.
        fit: how the names meet.
        report: what would become of every tensor.
        problems: what keeps the checkpoint from being loaded.
    """

    files: WeightFiles
    fit: Fit
    report: WeightsReport
    problems: list[Problem]

    @classmethod
    def of(
        cls,
        model: nn.Module,
        path: str | os.PathLike[str],
        spec: Spec | None,
        layout: str | None = None,
        choices: Choices | None = None,
        key: str | None = None,
    ) -> Examination:
        """Raises as ``load_weights``, but for what does not fit."""
        layouts = [naming_of(layout, spec)] if layout is not None else namings(spec).values()
        files = WeightFiles.open(path, key)
        target = target_of(model, spec)
        same = functools.cache(files.same)  # each layout asks
        choices = choices or Choices()
        if spec is not None and spec.adapter is not None:
            choices = _with_adapter(choices, target, spec.adapter)
            layouts = [*layouts, _as_built(target, spec.adapter)]
        sides = ModelAndFile.make(target, files.tensors, choices, same, files.versions)
        fit = best_fit(sides, layouts)
        rule = fit.naming.prefix_rule
        report = WeightsReport(
            tuple(map(str, files.paths)),
            target.name,
            fit.naming.name,
            fit.naming.place,
            rule.text if rule else "",
            files.wrapper,
            fit.rows,
            files.others,
        )
        problems = _with_other_files(files, fit.problems())
        return cls(replace(files, pieces=fit.pieces), fit, report, problems)


def _with_adapter(choices: Choices, target: Target, adapter: AppliedAdapter) -> Choices:
    """What an adapter adds may be missing: a checkpoint has the plain model, or all of it."""
    own = [name for name in target.tensors if adapter.is_own(name)]
    parts = dict.fromkeys(f"**.{part}" for name in own if (part := adapter.part_of(name)))
    return replace(
        choices,
        allow_missing=[*choices.allow_missing, *parts],
        aside=choices.aside | frozenset(own),
    )


def _as_built(target: Target, adapter: AppliedAdapter) -> Naming:
    """The names of the adapted model itself, in which layers have become ``base_layer``."""
    pairs = ((name, adapter.adapted_name(name)) for name in target.tensors)
    return Naming(placed={name: (built, ()) for name, built in pairs if built != name})


def state_of(model: nn.Module, spec: Spec | None = None) -> dict[str, torch.Tensor]:
    """The parameters and buffers of the ``state_dict`` themselves.

    Args:
        spec: if it has an adapter, what is in place of a layer counts under the layer's own name.

    Raises:
        UsageError: E801 for one without a shape yet, and for a state that is kept elsewhere.
    """
    own_ids = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
    state: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict(keep_vars=True).items():
        if id(value) not in own_ids:
            message = f"'{name}' is no parameter and no buffer: the module keeps it in its own way"
            raise UsageError(Problem("E801", message, hint="use state_dict and load_state_dict"))
        if is_lazy(value):
            hint = "run the model forward once"
            raise UsageError(Problem("E801", f"'{name}' has no shape yet", hint=hint))
        state[plain_name(name, spec)] = value
    return state


def plain_name(path: str, spec: Spec | None) -> str:
    """What something in a model is called in the plain one, without an adapter."""
    return spec.adapter.plain_name(path) if spec is not None and spec.adapter else path


def _memory(tensor: torch.Tensor) -> object:
    """What two tensors that are one have in common; a tensor without memory is itself alone."""
    strided = tensor.layout == torch.strided and not tensor.is_meta and tensor.numel()
    if not strided or not tensor.data_ptr():
        return id(tensor)
    return tensor.device, tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride()


def target_of(model: nn.Module, spec: Spec | None) -> Target:
    """A model as the pure layers see it."""
    state = state_of(model, spec)
    groups: dict[object, list[str]] = {}
    for name, tensor in state.items():
        groups.setdefault(_memory(tensor), []).append(name)
    borrowed = spec.ties if spec else {}
    shared: dict[str, tuple[str, ...]] = {}
    for names in groups.values():
        if len(names) > 1:
            owner_first = tuple(sorted(names, key=lambda name: name in borrowed))
            shared |= dict.fromkeys(names, owner_first)
    return Target(
        type(model).__name__,
        {
            name: TensorInfo(name, tuple(t.shape), str(t.dtype).removeprefix("torch."))
            for name, t in state.items()
        },
        shared,
        {plain_name(path, spec): type(one).__name__ for path, one in model.named_modules()},
        older_names(spec.plain, state) if spec else {},
        frozenset(_counters(model)),
    )


def _counters(model: nn.Module) -> Iterator[str]:
    for path, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, _NormBase):
            yield f"{path}.num_batches_tracked".lstrip(".")


# ------------------------------------------------------------------------------------------- build


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that has been found to fit a model that has no memory yet."""

    examination: Examination
    adapter: AppliedAdapter | None = None

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str],
        spec: Spec,
        model: nn.Module,
        choices: Choices,
        *,
        layout: str | None = None,
        key: str | None = None,
    ) -> Checkpoint:
        """Find each tensor of the model in a checkpoint, by its own names or a declared layout.

        Args:
            path: as ``load_weights`` takes it.
            spec: declares foreign layouts under ``checkpoints``.
            model: gives names and shapes; it may be on ``meta``.
            choices: what may be missing, left unread, or of another shape.
            layout: as ``load_weights`` takes it.
            key: as ``load_weights`` takes it.

        Raises:
            WeightsError: E601 if the file cannot be read, E602 to E608 for tensors that do not fit;
                all of them at once.
            UsageError: E801 for a layout that is no name.
        """
        examination = Examination.of(model, path, spec, layout, choices, key)
        if examination.problems:
            raise WeightsError(examination.problems)
        return cls(examination, spec.adapter)

    def tensors(self, device: torch.device, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
        """The tensors under the model's names; on a CPU they are views of the mapped file.

        Those of another shape are left to ``copy_resized``: the model has first values for them.
        """
        names = {n: f for n, f in self.examination.fit.names.items() if n not in self._resized}
        tensors = self.examination.files.read(names.values(), device)
        target = self.examination.fit.sides.target.tensors
        if self.examination.files.mapped:
            tensors = _apart(tensors)
        kinds = {ours: getattr(torch, target[ours].dtype) for ours in names}
        if dtype is not None:
            kinds |= {n: dtype for n, kind in kinds.items() if kind.is_floating_point}
        check_range((ours, tensors[foreign], kinds[ours]) for ours, foreign in names.items())
        adapter = self.adapter
        built = {ours: adapter.adapted_name(ours) if adapter else ours for ours in names}
        return {built[ours]: tensors[name].to(kinds[ours]) for ours, name in names.items()}

    def copy_resized(self, model: nn.Module, spec: Spec) -> None:
        """Copy what the file has of tensors that have another shape in it."""
        if self._resized:
            _copy(state_of(model, spec), self.examination, ("resized",))

    @property
    def _resized(self) -> frozenset[str]:
        """Our tensors that have another shape in the file, under all names of each."""
        examination = self.examination
        shared = examination.fit.sides.target.shared
        rows = [row for row in examination.report.rows if row.kind == "resized" and row.ours]
        names = [row.ours.name for row in rows if row.ours]
        return frozenset(name for one in names for name in shared.get(one, (one,)))


def _apart(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """No two tensors of a PyTorch file in one memory: training one would change the other."""
    separate: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        memory = tensor.untyped_storage().data_ptr()
        own = memory not in taken and tensor.is_contiguous()
        separate[name] = tensor if own else tensor.clone(memory_format=torch.contiguous_format)
        taken.add(memory)
    return separate


def assign(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    """Put the tensors in their places; shared parameters stay shared."""
    parameters: dict[int, nn.Parameter] = {}
    for path, module in model.named_modules():
        for name, old in list(module._parameters.items()):
            tensor = tensors.get(f"{path}.{name}" if path else name)
            if old is not None and tensor is not None:
                if id(old) not in parameters:
                    parameters[id(old)] = nn.Parameter(tensor, requires_grad=old.requires_grad)
                setattr(module, name, parameters[id(old)])  # an LSTM keeps a list of them, too
        for name in list(module._buffers):
            tensor = tensors.get(f"{path}.{name}" if path else name)
            if tensor is not None:
                setattr(module, name, tensor)


def _with_other_files(files: WeightFiles, problems: list[Problem]) -> list[Problem]:
    """What is missing in one of several files is in the others."""
    first, *others = files.paths
    if others or not is_shard(first):
        return problems
    hint = "the file is one of several: give their folder, or the index in it"
    return [replace(one, hint=hint, notes=()) if one.code == "E602" else one for one in problems]
