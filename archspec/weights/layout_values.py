"""The values of tensors that a file has joined, apart or transposed, in both directions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import torch

from archspec.errors import Problem, WeightsError, listing
from archspec.weights.layout_plans import Piece

State = Mapping[str, torch.Tensor]


def ours_of(piece: Piece, held: State) -> torch.Tensor:
    """One of our tensors, in memory of its own."""
    tensors = [held[name] for name in piece.foreign]
    match piece.how:
        case "part":
            found = tensors[0].narrow(piece.dim, piece.start, piece.size)
        case "item":
            found = tensors[0].select(piece.dim, piece.index)
        case "cat":
            found = torch.cat(tensors, piece.dim)
        case "stack":
            found = torch.stack(tensors, piece.dim)
        case "whole":
            found = tensors[0]
    found = found.mT if piece.transposed else found
    return found.clone(memory_format=torch.contiguous_format)


def theirs_of(pieces: Mapping[str, Piece], state: State) -> dict[str, torch.Tensor]:
    """The tensors of a file, by its names.

    Args:
        pieces: our name → how it stands in the file.
        state: our tensors.

    Raises:
        WeightsError: E605 if a tensor of the file lacks a part, or ours cannot be taken apart.
    """
    found: dict[str, torch.Tensor] = {}
    groups: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for name, piece in pieces.items():
        if piece.how in ("part", "item"):
            groups[piece.foreign[0]][piece.index] = name
            continue
        tensor = _turned(state[name], piece)
        if piece.how == "whole":
            found[piece.foreign[0]] = tensor
        elif piece.how == "stack":
            found |= zip(piece.foreign, tensor.unbind(piece.dim), strict=True)
        else:
            sizes = piece.sizes(tensor.shape[piece.dim])
            if not sizes:
                how = ":".join(map(str, piece.ratio))
                parts = f"parts of {how}" if how else f"{piece.count} equal parts"
                message = f"'{name}' cannot be split into {parts}: {list(state[name].shape)}"
                hint = "" if how else "say under split how they differ: sizes: […]"
                raise WeightsError(Problem("E605", message, hint=hint))
            found |= zip(piece.foreign, tensor.split(sizes, piece.dim), strict=True)
    for foreign, members in groups.items():
        one = pieces[members[min(members)]]
        if len(members) != one.count:
            names = listing(list(members.values()))
            message = f"'{foreign}' is of {one.count} tensors, and only these are there: {names}"
            raise WeightsError(Problem("E605", message))
        parts = [_turned(state[members[i]], pieces[members[i]]) for i in range(one.count)]
        found[foreign] = _joined(foreign, one, parts)
    return found


def _joined(foreign: str, one: Piece, parts: list[torch.Tensor]) -> torch.Tensor:
    beside = {(t.dtype, *t.shape[: one.dim], -1, *t.shape[one.dim + 1 :]) for t in parts}
    alike = beside if one.how == "part" else {(t.dtype, t.shape) for t in parts}
    if len(alike) > 1:
        shapes = "; ".join(str(list(tensor.shape)) for tensor in parts)
        message = f"'{foreign}' cannot be joined of tensors of the shapes {shapes}"
        raise WeightsError(Problem("E605", message))
    return torch.cat(parts, one.dim) if one.how == "part" else torch.stack(parts, one.dim)


def _turned(tensor: torch.Tensor, piece: Piece) -> torch.Tensor:
    tensor = tensor.detach()
    return tensor.mT if piece.transposed else tensor
