"""The values of tensors that a file has joined, apart or turned, in both directions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch

from archspec.errors import Problem, WeightsError, listing
from archspec.weights.layout_plans import Piece

State = Mapping[str, torch.Tensor]


def ours_of(piece: Piece, file_tensors: State) -> torch.Tensor:
    """One of our tensors, in memory of its own."""
    tensors = [file_tensors[name] for name in piece.foreign]
    match piece.how:
        case "part":
            tensor = tensors[0].narrow(piece.dim, piece.start, piece.size)
        case "item":
            tensor = tensors[0].select(piece.dim, piece.index)
        case "cat":
            tensor = torch.cat(tensors, piece.dim)
        case "stack":
            tensor = torch.stack(tensors, piece.dim)
        case "whole":
            tensor = tensors[0]
    tensor = tensor if piece.reshaped is None else tensor.reshape(piece.reshaped[0])
    tensor = tensor.mT if piece.transposed else tensor
    return tensor.clone(memory_format=torch.contiguous_format)


def theirs_of(pieces: Mapping[str, Piece], state: State) -> dict[str, torch.Tensor]:
    """The tensors of a file, by its names.

    Args:
        pieces: our name → how it stands in the file.
        state: our tensors.

    Raises:
        WeightsError: E605 if a tensor of the file lacks a part, or ours cannot be taken apart.
    """
    tensors_of_file: dict[str, torch.Tensor] = {}
    groups: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for name, piece in pieces.items():
        if piece.how in ("part", "item"):
            groups[piece.foreign[0]][piece.index] = name
            continue
        tensor = _turned(state[name], piece)
        if piece.how == "whole":
            tensors_of_file[piece.foreign[0]] = tensor
        elif piece.how == "stack":
            tensors_of_file |= zip(piece.foreign, tensor.unbind(piece.dim), strict=True)
        else:
            sizes = piece.sizes(tensor.shape[piece.dim])
            if not sizes:
                how = ":".join(map(str, piece.ratio))
                parts = f"parts of {how}" if how else f"{piece.count} equal parts"
                message = f"'{name}' cannot be split into {parts}: {list(state[name].shape)}"
                hint = "" if how else "say under split how they differ: sizes: […]"
                raise WeightsError(Problem("E605", message, hint=hint))
            tensors_of_file |= zip(piece.foreign, tensor.split(sizes, piece.dim), strict=True)
    for foreign, members in groups.items():
        first = pieces[members[min(members)]]
        if len(members) != first.count:
            names = listing(list(members.values()))
            message = f"'{foreign}' is of {first.count} tensors, and only these are there: {names}"
            raise WeightsError(Problem("E605", message))
        parts = [_turned(state[members[i]], pieces[members[i]]) for i in range(first.count)]
        tensors_of_file[foreign] = _joined(foreign, first, parts)
    return tensors_of_file


def _joined(foreign: str, piece: Piece, parts: list[torch.Tensor]) -> torch.Tensor:
    dim = piece.dim
    outlines = {(t.dtype, t.ndim, *t.shape[:dim], -1, *t.shape[dim + 1 :]) for t in parts}
    alike = outlines if piece.how == "part" else {(t.dtype, t.shape) for t in parts}
    if len(alike) > 1:
        shapes = "; ".join(str(list(tensor.shape)) for tensor in parts)
        message = f"'{foreign}' cannot be joined of tensors of the shapes {shapes}"
        raise WeightsError(Problem("E605", message))
    return torch.cat(parts, piece.dim) if piece.how == "part" else torch.stack(parts, piece.dim)


def _turned(tensor: torch.Tensor, piece: Piece) -> torch.Tensor:
    tensor = tensor.detach()
    tensor = tensor.mT if piece.transposed else tensor
    return tensor if piece.reshaped is None else tensor.reshape(piece.reshaped[1])
