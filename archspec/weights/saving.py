"""Weights into safetensors files, in our names or a foreign layout's, as a whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import nn

from archspec import storage
from archspec.errors import Problem, UsageError, WeightsError
from archspec.lang.spec import Spec
from archspec.weights.file_replacement import SUFFIX, remove, replace_files
from archspec.weights.files import DTYPES, INDEX, is_name_too_long
from archspec.weights.layout_plans import pieces_of
from archspec.weights.layout_values import theirs_of
from archspec.weights.layouts import OWN, Naming, naming_of
from archspec.weights.loading import Examination, known_spec, state_of, target_of
from archspec.weights.tensor_names import Target

State = Mapping[str, torch.Tensor]


def save_weights(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    layout: str | None = None,
    spec: str | os.PathLike[str] | Spec | None = None,
    max_shard_bytes: int | None = None,
) -> tuple[Path, ...]:
    """Write a model's weights as safetensors, in its own names or a foreign layout's.

    A shared tensor is stored once, under the name that the others are tied to. Each file is written
    beside its place and moved there once all are written: if that fails, the old files stay. Of
    several files the index leaves first and comes last, so that no mix can be read, ever.

    Args:
        model: any module; one that ``build`` made knows its spec.
        path: a ``.safetensors`` file, or a folder, which then gets ``model.safetensors``.
        layout: a name from the spec's ``checkpoints``; left out, the model's own names.
        spec: declares layouts; left out, the one that the model was built from, if any.
        max_shard_bytes: larger checkpoints are split into files of at most that many bytes of
            tensors, ``model-00001-of-00003.safetensors`` and so on, with an index.

    Returns:
        The files; of several, the index is the last.

    Raises:
        WeightsError: E601 if a file cannot be written, E604 for an unknown layout, E605 if a layout
            gives two tensors one name.
        UsageError: E801 for arguments that make no sense, or tensors that the format cannot hold:
            on ``meta``, sparse, of complex128, …

    Example:
        >>> from archspec import build
        >>> folder = getfixture("tmp_path")
        >>> model = build("resnet18", device="cpu")
        >>> files = save_weights(model, folder, max_shard_bytes=32 * 2**20)
        >>> [file.name for file in files][::2]
        ['model-00001-of-00002.safetensors', 'model.safetensors.index.json']
    """
    known = known_spec(model, spec)
    state = state_of(model, known)
    target, naming = target_of(model, known), naming_of(OWN if layout is None else layout, known)
    return write(_laid_out(target, naming, state), path, max_shard_bytes)


def _laid_out(target: Target, naming: Naming, state: State) -> dict[str, torch.Tensor]:
    """Our tensors as a layout has them; raises as ``stored_names`` and ``theirs_of``."""
    if naming.unmet:
        raise WeightsError(list(naming.unmet))
    pieces = {name: p for name, p in pieces_of(naming, target).items() if name in state}
    names = stored_names(target, naming, frozenset(pieces))
    plain = {foreign: state[ours] for ours, foreign in names.items() if ours in state}
    joined = theirs_of(pieces, state)
    if twice := sorted(joined.keys() & plain.keys()):
        message = f"two tensors are both '{twice[0]}' in the layout '{naming.name}'"
        raise WeightsError(Problem("E605", message, naming.place))
    return plain | joined


def convert_weights(
    examination: Examination,
    naming: Naming,
    path: str | os.PathLike[str],
    max_shard_bytes: int | None = None,
) -> tuple[Path, ...]:
    """Write a checkpoint that fits a model in another layout, its dtypes as they are.

    Args:
        found: the checkpoint held against the model, which may be on ``meta``.
        naming: the layout to write.
        path: as ``save_weights`` takes it.
        max_shard_bytes: as ``save_weights`` takes it.

    Returns:
        The files; of several, the index is the last.

    Raises:
        WeightsError: what keeps the checkpoint from being loaded; E601 if a file cannot be
            written, E605 if the layout gives two tensors one name.
    """
    if examination.problems:
        raise WeightsError(examination.problems)
    names = examination.fit.names
    tensors = examination.files.read(names.values(), "cpu")
    state = {ours: tensors[foreign] for ours, foreign in names.items()}
    return write(_laid_out(examination.fit.sides.target, naming, state), path, max_shard_bytes)


def stored_names(
    target: Target, naming: Naming, others: frozenset[str] = frozenset()
) -> dict[str, str]:
    """Our name → the layout's, of every tensor that is stored: a shared one under one name.

    ``others`` of ours are stored otherwise.

    Raises:
        WeightsError: E605 if two tensors would have one name.
    """
    owners = [n for n in target.tensors if target.owner(n) == n and n not in others]
    names = naming.foreign_all(owners)
    taken: dict[str, str] = {}
    problems: list[Problem] = []
    for ours, foreign in names.items():
        if foreign in taken:
            message = f"'{taken[foreign]}' and '{ours}' are both '{foreign}' in the layout"
            problems.append(Problem("E605", f"{message} '{naming.name}'", naming.place))
        taken.setdefault(foreign, ours)
    if problems:
        raise WeightsError(problems)
    return names


# ------------------------------------------------------------------------------------------- files


def write(
    tensors: State, path: str | os.PathLike[str], max_shard_bytes: int | None = None
) -> tuple[Path, ...]:
    """Write tensors as one file, or as shards with an index.

    Raises:
        WeightsError: E601 if that cannot be done.
        UsageError: E801 for a path or a size that makes no sense.
    """
    place = _destination(path)
    check_tensors(tensors)
    shards = _shards(tensors, max_shard_bytes)
    names = [place.name]
    if len(shards) > 1:
        count = len(shards)
        names = [f"{place.stem}-{i:05}-of-{count:05}{SUFFIX}" for i in range(1, count + 1)]
    waiting = {place.with_name(name): storage.temporary_path(place) for name in names}
    try:
        place.parent.mkdir(exist_ok=True)
        storage.remove_unfinished(place.parent)
        for temporary, shard in zip(waiting.values(), shards, strict=True):
            save_file(_plain(shard), temporary, metadata={"format": "pt"})
        if len(shards) > 1:
            index = place.with_name(place.name + INDEX)
            waiting[index] = storage.temporary_path(place)
            waiting[index].write_text(_index(shards, names), encoding="utf-8")
        for temporary in waiting.values():
            with open(temporary, "rb+") as file:
                storage.sync(file)
        replace_files(place, waiting)
    except (OSError, SafetensorError) as error:
        raise WeightsError(Problem("E601", f"{place}: cannot be written: {error}")) from error
    finally:
        remove(waiting.values())
    return tuple(waiting)


def check_tensors(tensors: State) -> None:
    """Raise E801 for what the format cannot hold, and what ``load_weights`` would refuse."""
    problems: list[Problem] = []
    for name, tensor in tensors.items():
        if reason := _unfit(tensor):
            problems.append(Problem("E801", f"'{name}' {reason}"))
        if is_name_too_long(name):
            message = f"'{name[:40]}…' is too long or too deep for a tensor's name"
            problems.append(Problem("E801", message))
    if problems:
        raise UsageError(problems)


def _unfit(tensor: torch.Tensor) -> str:
    dtype = str(tensor.dtype).removeprefix("torch.")
    if tensor.is_meta:
        return "is on meta: it has no values to save"
    if tensor.layout != torch.strided or tensor.is_quantized:
        return "is sparse or quantized: safetensors has no such tensors"
    return "" if dtype in DTYPES.values() else f"has the dtype {dtype}: safetensors has no such"


def _destination(path: str | os.PathLike[str]) -> Path:
    if not isinstance(path, str | os.PathLike):
        kind = type(path).__name__
        raise UsageError(Problem("E801", f"weights are written to a file or a folder, not {kind}"))
    place = Path(path)
    if place.is_dir() or not place.suffix:
        return place / f"model{SUFFIX}"
    if place.suffix != SUFFIX:
        message = f"{place}: weights are written as {SUFFIX} files only"
        raise UsageError(Problem("E801", message, hint=f"{place.stem}{SUFFIX}, or a folder"))
    return place


def _shards(tensors: State, max_bytes: int | None) -> list[dict[str, torch.Tensor]]:
    """The tensors in order, so many to a file that their bytes stay within ``max_bytes``."""
    if max_bytes is None:
        return [dict(tensors)]
    if isinstance(max_bytes, bool) or not isinstance(max_bytes, int) or max_bytes < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(
            Problem("E801", f"max_shard_bytes is a number of bytes, not {max_bytes!r}")
        )
    shards: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > max_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensor
        size += tensor.nbytes
    return shards


def _index(shards: list[dict[str, torch.Tensor]], files: list[str]) -> str:
    total = sum(tensor.nbytes for shard in shards for tensor in shard.values())
    pairs = zip(shards, files, strict=True)
    weight_map = {name: file for shard, file in pairs for name in sorted(shard)}
    return json.dumps({"metadata": {"total_size": total}, "weight_map": weight_map}, indent=2)


def _plain(tensors: State) -> dict[str, torch.Tensor]:
    """Contiguous tensors, none of which shares memory with another, as safetensors wants them."""
    plain_tensors: dict[str, torch.Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        plain = tensor.detach().resolve_conj().resolve_neg().contiguous()
        memory = plain.untyped_storage().data_ptr()
        plain_tensors[name] = (
            plain.clone() if memory in taken and plain.device.type == "cpu" else plain
        )
        taken.add(memory)
    return plain_tensors
