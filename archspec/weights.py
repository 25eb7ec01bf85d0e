"""Checkpoints: tensors of a file assigned to a model, memory-mapped, never initialised first."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from archspec import patterns, source
from archspec.elaborate import walk
from archspec.errors import Problem, WeightsError, listing
from archspec.patterns import Entry, Tree
from archspec.schema import Checkpoint as Layout
from archspec.spec import Spec

MAX_INDEX_BYTES = 100_000_000


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that has been found to fit a model.

    Attributes:
        files: our tensor name → the file and the name there.
    """

    files: Mapping[str, tuple[Path, str]]

    @classmethod
    def open(cls, path: str | os.PathLike[str], spec: Spec, model: nn.Module) -> Checkpoint:
        """Find each tensor of the model in a checkpoint, by its own names or a declared layout.

        Args:
            path: a safetensors file, or a folder with ``model.safetensors`` or its index.
            spec: declares foreign layouts under ``checkpoints``.
            model: gives names and shapes; it may be on ``meta``.

        Raises:
            WeightsError: E601 if the file cannot be read, E602 for tensors that are missing or
                unexpected, E603 for shapes that differ; all of them at once.
        """
        held = _headers(Path(path))
        state = {name: tuple(t.shape) for name, t in model.state_dict(keep_vars=True).items()}
        shared = _shared(model)
        layouts = {"": Layout(), **spec.architecture.checkpoints}
        older = older_names(spec, state)
        fits = [
            _Fit.make(name, layout, state, older, shared, held) for name, layout in layouts.items()
        ]
        best = min(fits, key=lambda fit: len(fit.missing) + len(fit.unexpected))
        if problems := best.problems(state, held):
            raise WeightsError(problems)
        return cls({ours: (held[foreign][0], foreign) for ours, foreign in best.names.items()})

    def tensors(self, device: torch.device, dtype: torch.dtype | None) -> dict[str, torch.Tensor]:
        """The tensors under our names; on a CPU they are views of the mapped file."""
        found: dict[str, torch.Tensor] = {}
        for file in {file for file, _ in self.files.values()}:
            with safe_open(file, framework="pt", device=str(device)) as opened:
                for ours, (where, foreign) in self.files.items():
                    if where == file:
                        tensor = opened.get_tensor(foreign)
                        kind = dtype or torch.get_default_dtype()
                        found[ours] = tensor.to(kind) if tensor.is_floating_point() else tensor
        return found


def assign(model: nn.Module, given: Mapping[str, torch.Tensor]) -> None:
    """Put the tensors in their places; shared parameters stay shared."""
    made: dict[int, nn.Parameter] = {}
    for path, module in model.named_modules():
        for name, old in list(module._parameters.items()):
            tensor = given.get(f"{path}.{name}" if path else name)
            if old is not None and tensor is not None:
                if id(old) not in made:
                    made[id(old)] = nn.Parameter(tensor, requires_grad=old.requires_grad)
                setattr(module, name, made[id(old)])  # an LSTM keeps a list of them, too
        for name in list(module._buffers):
            tensor = given.get(f"{path}.{name}" if path else name)
            if tensor is not None:
                setattr(module, name, tensor)


@dataclass(frozen=True, slots=True)
class _Fit:
    """How one layout's names meet the names in a checkpoint."""

    layout: str
    names: dict[str, str]
    missing: list[str]
    unexpected: list[str]

    @classmethod
    def make(
        cls,
        name: str,
        layout: Layout,
        state: Mapping[str, tuple[int, ...]],
        older: Mapping[str, str],
        shared: Mapping[str, list[str]],
        held: Mapping[str, Any],
    ) -> _Fit:
        found = {ours: foreign for ours in state if (foreign := to_foreign(ours, layout)) in held}
        for ours, old in older.items():
            if ours not in found and (foreign := to_foreign(old, layout)) in held:
                found[ours] = foreign
        for ours, others in shared.items():
            known = [found[other] for other in others if other in found]
            if ours not in found and known:
                found[ours] = known[0]
        optional = _selected(layout.optional, state)
        ignored = _selected(layout.ignore, held)
        missing = [ours for ours in state if ours not in found and ours not in optional]
        taken = set(found.values())
        unexpected = [foreign for foreign in held if foreign not in taken | ignored]
        return cls(name, found, missing, unexpected)

    def problems(
        self, state: Mapping[str, tuple[int, ...]], held: Mapping[str, tuple[Path, tuple[int, ...]]]
    ) -> list[Problem]:
        layout = f" in the layout '{self.layout}'" if self.layout else ""
        problems: list[Problem] = []
        if self.missing:
            message = f"{len(self.missing)} tensors are missing{layout}: {listing(self.missing)}"
            problems.append(Problem("E602", message))
        if self.unexpected:
            count = len(self.unexpected)
            message = f"{count} tensors have no place{layout}: {listing(self.unexpected)}"
            hint = "name what may be left unread under checkpoints: {…: {ignore: […]}}"
            problems.append(Problem("E602", message, hint=hint))
        for ours, foreign in self.names.items():
            if state[ours] != held[foreign][1]:
                theirs = list(held[foreign][1])
                message = f"'{ours}' has the shape {list(state[ours])}, in the file {theirs}"
                problems.append(Problem("E603", message))
        return problems


def to_foreign(name: str, layout: Layout) -> str:
    """Our tensor name as a layout writes it: the first rename that applies, then the prefix."""
    for ours, foreign in layout.rename.items():
        renamed = patterns.parse_rename(ours, foreign).to_foreign(name)
        if renamed is not None:
            return layout.prefix + renamed
    return layout.prefix + name


def older_names(spec: Spec, names: Iterable[str]) -> dict[str, str]:
    """What the tensors were called before their modules were renamed (``renamed_from``)."""
    older: dict[str, str] = {}
    for path, instance in walk(spec.root):
        parent, _, name = path.rpartition(".")
        node = source.find(spec.document.root, (*instance.path, "renamed_from"))
        old = str(node.value) if isinstance(node, source.Scalar) else name
        prefix = older.get(parent, parent)
        older[path] = f"{prefix}.{old}" if prefix else old
    found: dict[str, str] = {}
    for name in names:
        module, _, tensor = name.rpartition(".")
        if older.get(module, module) != module:
            found[name] = f"{older[module]}.{tensor}"
    return found


def _selected(texts: list[str], names: Mapping[str, Any]) -> set[str]:
    if not texts:
        return set()
    tree = Tree([Entry(name, None) for name in names])
    chosen = [tree.select(patterns.parse(text)) for text in texts]
    return {tree.entries[i].path for i in frozenset[int]().union(*chosen)}


def _shared(model: nn.Module) -> dict[str, list[str]]:
    """Each shared parameter's names, by any of them."""
    groups: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        groups.setdefault(id(parameter), []).append(name)
    return {name: names for names in groups.values() if len(names) > 1 for name in names}


# ------------------------------------------------------------------------------------------ files


def _headers(path: Path) -> dict[str, tuple[Path, tuple[int, ...]]]:
    """Every tensor's file and shape, without reading any data."""
    found: dict[str, tuple[Path, tuple[int, ...]]] = {}
    for file in _files(path):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118 (not a mapping)
                    shape = cast("list[int]", opened.get_slice(name).get_shape())
                    found[name] = (file, tuple(shape))
        except (SafetensorError, OSError) as error:
            raise WeightsError(Problem("E601", f"{file}: {error}")) from None
    return found


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        single, index = path / "model.safetensors", path / "model.safetensors.index.json"
        if not single.exists() and index.exists():
            return _indexed(index)
        path = single
    if not path.is_file():
        hint = "give a safetensors file, or a folder with model.safetensors"
        raise WeightsError(Problem("E601", f"{path}: no such file", hint=hint))
    if path.suffix != ".safetensors":
        hint = "only safetensors files are read: others can run code"
        raise WeightsError(Problem("E601", f"{path}: not a safetensors file", hint=hint))
    return [path]


def _indexed(index: Path) -> list[Path]:
    """The files of a sharded checkpoint; none may lie outside its folder."""
    try:
        if index.stat().st_size > MAX_INDEX_BYTES:
            raise ValueError("too large for an index")
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise WeightsError(Problem("E601", f"{index}: not an index ({error})")) from None
    for name in names:
        if (
            not isinstance(name, str)
            or Path(name).name != name
            or not name.endswith(".safetensors")
        ):
            raise WeightsError(Problem("E601", f"{index}: {name!r} is not a file of its folder"))
    return [index.parent / name for name in names]
