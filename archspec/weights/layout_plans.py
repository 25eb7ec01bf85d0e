"""Tensors that are one on one side and several on the other, or transposed: plans, no values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from archspec.weights.layouts import Join, Naming
from archspec.weights.rows import Rule, TensorInfo
from archspec.weights.tensor_names import ModelAndFile, Names, Target

Shape = tuple[int, ...]
How = Literal["part", "item", "cat", "stack", "whole"]


@dataclass(frozen=True, slots=True)
class Piece:
    """How one of our tensors stands in a file.

    Attributes:
        how: ``part`` of a longer tensor, ``item`` of a stack, the ``cat`` or ``stack`` of several,
            or a ``whole`` that is transposed.
        foreign: names of the file, of one tensor or of several.
        index: which part or item it is, ``count`` how many there are.
        ratio: of the sizes of a ``cat``, where the layout says it.
        start, size: of a part, along ``dim``, of ``total``.
        dim: a dimension of the file's one tensor; of those of a ``cat`` or ``stack``, joined.
        transposed: whether the last two dimensions of ours are swapped in the file.
        rules: where the spec says so.
    """

    how: How
    foreign: tuple[str, ...]
    rules: tuple[Rule, ...]
    dim: int = 0
    index: int = 0
    count: int = 1
    start: int = 0
    size: int = 0
    total: int = 0
    transposed: bool = False
    ratio: tuple[int, ...] = ()

    def sizes(self, total: int) -> list[int]:
        """Those of the several tensors that ours is split into; none if it cannot be.

        >>> Piece("cat", ("q", "k", "v"), (), ratio=(2, 1, 1)).sizes(8)
        [4, 2, 2]
        """
        ratio = self.ratio or (1,) * self.count
        unit, rest = divmod(total, sum(ratio))
        return [] if rest else [unit * share for share in ratio]

    @property
    def name(self) -> str:
        """What a report calls it: the file has no tensor of that name."""
        first = self.foreign[0]
        match self.how:
            case "part":
                at = f"dim {self.dim}, " if self.dim else ""
                return f"{first}[{at}{self.start}:{self.start + self.size}]"
            case "item":
                return f"{first}[{self.index}]"
            case "whole":
                return f"{first}.T"
            case _:
                return f"{first} … {self.foreign[-1]}"


def pieces_of(naming: Naming, target: Target) -> dict[str, Piece]:
    """Our tensors that a layout joins, takes apart or transposes.

    Args:
        naming: its prefixes are those of the file.
        target: the model's side.
    """
    if not naming.joins and not naming.transposed:
        return {}
    swapped = Names(target.tensors, target.types).selected(naming.transposed)
    shapes = {n: _swapped(t.shape) if n in swapped else t.shape for n, t in target.tensors.items()}
    pieces: dict[str, Piece] = {}
    for join in naming.joins:
        shapes_left = {name: shape for name, shape in shapes.items() if name not in pieces}
        pieces |= dict(
            _several(join, shapes_left) if join.is_ours_several else _one(join, shapes_left)
        )
    for name, rule in swapped.items():
        if len(target.tensors[name].shape) < 2:
            continue
        joined = pieces.get(name)
        if joined is None and (plain := naming.renamed(name)):
            pieces[name] = Piece("whole", (plain[0],), (*plain[1], rule), transposed=True)
        elif joined is not None:
            pieces[name] = replace(joined, transposed=True, rules=(*joined.rules, rule))
    return {name: _placed(piece, naming) for name, piece in pieces.items()}


def _placed(piece: Piece, naming: Naming) -> Piece:
    names = [naming.in_front(name) for name in piece.foreign]
    return replace(piece, foreign=tuple(name or "" for name in names))


def _several(join: Join, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Piece]]:
    """Ours are parts or items of one tensor of the file."""
    groups: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for name in shapes:
        if place := join.place_of(name):
            groups[place[1]].setdefault(place[0], name)
    for foreign, members in groups.items():
        count = join.parts or len(members)
        if sorted(members) != list(range(count)):
            continue  # not all of them are there: reported as missing
        sides = [shapes[members[index]] for index in range(count)]
        if join.kind == "stack":
            for index, shape in enumerate(sides):
                dim = join.dim % (len(shape) + 1)
                yield members[index], Piece("item", (foreign,), (join.rule,), dim, index, count)
        elif all(sides):
            dims = [join.dim % len(shape) for shape in sides]
            sizes = [shape[dim] for shape, dim in zip(sides, dims, strict=True)]
            for index, (dim, size) in enumerate(zip(dims, sizes, strict=True)):
                piece = Piece("part", (foreign,), (join.rule,), dim, index, count)
                start = sum(sizes[:index])
                yield members[index], replace(piece, start=start, size=size, total=sum(sizes))


def _one(join: Join, shapes: Mapping[str, Shape]) -> Iterator[tuple[str, Piece]]:
    """Ours is joined of several tensors of the file."""
    for name, shape in shapes.items():
        if not shape or not (names := join.places_of(name, shape[join.dim % len(shape)])):
            continue
        how: How = "stack" if join.kind == "stack" else "cat"
        dim = join.dim % len(shape)
        count, ratio = len(names), join.ratio
        yield name, Piece(how, tuple(names), (join.rule,), dim, count=count, ratio=ratio)


# ----------------------------------------------------------------------------------- a file's side


def arranged(naming: Naming, sides: ModelAndFile) -> tuple[Naming, ModelAndFile, dict[str, Piece]]:
    """A file as if its tensors were already apart or joined; the pieces by what they are called."""
    pieces = pieces_of(naming, sides.target)
    tensors_by_name, made = dict(sides.in_file), dict[str, Piece]()
    placed: dict[str, tuple[str, tuple[Rule, ...]]] = {}
    used: set[str] = set()
    for ours, piece in pieces.items():
        names = [n if n in sides.in_file else sides.bare.get(n, n) for n in piece.foreign]
        piece = replace(piece, foreign=tuple(names))
        tensors = [sides.in_file[name] for name in names if name in sides.in_file]
        one_dtype = len({tensor.dtype for tensor in tensors}) == 1
        shape = _shape_of(piece, [t.shape for t in tensors]) if one_dtype else None
        if len(tensors) != len(names) or shape is None or piece.name in sides.in_file:
            continue
        shape = _swapped(shape) if piece.transposed else shape
        tensors_by_name[piece.name] = TensorInfo(piece.name, shape, tensors[0].dtype)
        placed[ours], made[piece.name] = (piece.name, piece.rules), piece
        used |= set(names)
    if not made:
        return naming, sides, {}
    remaining = {name: tensor for name, tensor in tensors_by_name.items() if name not in used}
    same = sides.same

    def equal(first: str, second: str) -> bool:
        return first not in made and second not in made and same(first, second)

    separated = ModelAndFile.make(sides.target, remaining, sides.choices, equal, sides.versions)
    return replace(naming, placed=placed), separated, made


def _shape_of(piece: Piece, shapes: list[Shape]) -> Shape | None:
    """What ours would be, as the file turns it; None if the file's do not fit together."""
    if not shapes or (piece.how != "whole" and not shapes[0]):
        return None
    first, dim = shapes[0], piece.dim
    if piece.how == "whole":
        return first if len(first) > 1 else None
    if piece.how == "stack":
        return (*first[:dim], len(shapes), *first[dim:]) if len(set(shapes)) == 1 else None
    if dim >= len(first):
        return None
    before, behind = first[:dim], first[dim + 1 :]
    if piece.how == "cat":
        alike = all((s[:dim], s[dim + 1 :]) == (before, behind) for s in shapes)
        sizes = [shape[dim] for shape in shapes] if alike else []
        fits = alike and (not piece.ratio or piece.sizes(sum(sizes)) == sizes)
        return (*before, sum(sizes), *behind) if fits else None
    if piece.how == "item":
        return (*before, *behind) if first[dim] == piece.count else None
    return (*before, piece.size, *behind) if first[dim] == piece.total else None


def _swapped(shape: Shape) -> Shape:
    return (*shape[:-2], *reversed(shape[-2:]))
