"""Tensors that are one on one side and several on the other, or turned: plans, no values."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from archspec.errors import Problem, WeightsError
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
            or a ``whole`` that is transposed or has another shape.
        foreign: names of the file, of one tensor or of several.
        index: which part or item it is, ``count`` how many there are.
        ratio: of the sizes of a ``cat``, where the layout says it.
        start, size: of a part, along ``dim``, of ``total``.
        dim: a dimension of the file's one tensor; of those of a ``cat`` or ``stack``, joined.
        transposed: whether the last two dimensions of ours are swapped in the file.
        reshaped: the shape before and after, of what is ours and perhaps transposed; None if alike.
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
    reshaped: tuple[Shape, Shape] | None = None
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
                shape = f" as {list(self.reshaped[0])}" if self.reshaped else ""
                return f"{first}{shape}{'.T' if self.transposed else ''}"
            case _:
                return f"{first} … {self.foreign[-1]}"


def pieces_of(naming: Naming, target: Target) -> dict[str, Piece]:
    """Our tensors that a layout joins, takes apart, transposes or reshapes.

    Args:
        naming: its prefixes are those of the file.
        target: the model's side.

    Raises:
        WeightsError: E603, a tensor cannot have the shape that the layout says.
    """
    if not naming.joins and not naming.transposed and not naming.reshaped:
        return {}
    names = Names(target.tensors, target.types)
    swapped = {
        name: rule
        for name, rule in names.selected(naming.transposed).items()
        if len(target.tensors[name].shape) > 1
    }
    shapes = {n: _swapped(t.shape) if n in swapped else t.shape for n, t in target.tensors.items()}
    reshaped: dict[str, tuple[Rule, tuple[Shape, Shape]]] = {}
    for pattern, rule, sizes in naming.reshaped:
        for name in names.selected(((pattern, rule),)):
            there = _resolved(name, shapes[name], sizes, rule)
            reshaped[name] = rule, (shapes[name], there)
    shapes |= {name: there for name, (_, (_, there)) in reshaped.items()}
    pieces: dict[str, Piece] = {}
    for join in naming.joins:
        shapes_left = {name: shape for name, shape in shapes.items() if name not in pieces}
        pieces |= dict(
            _several(join, shapes_left) if join.is_ours_several else _one(join, shapes_left)
        )
    for name in swapped | reshaped:
        foreign, rules = naming.renamed(name)
        piece = pieces.get(name) or Piece("whole", (foreign,), rules)
        if name in swapped:
            piece = replace(piece, transposed=True, rules=(*piece.rules, swapped[name]))
        if name in reshaped:
            rule, both = reshaped[name]
            piece = replace(piece, reshaped=both, rules=(*piece.rules, rule))
        pieces[name] = piece
    return {name: _placed(piece, naming) for name, piece in pieces.items()}


def _resolved(name: str, shape: Shape, sizes: tuple[int, ...], rule: Rule) -> Shape:
    """The shape in the file, of the layout's sizes.

    >>> _resolved("fc", (4096, 25088), (0, -1, 7, 7), Rule(""))
    (4096, 512, 7, 7)
    """
    known = [shape[i] if not size and i < len(shape) else size for i, size in enumerate(sizes)]
    rest = math.prod(size for size in known if size != -1)
    if -1 in known and rest:
        known[known.index(-1)] = math.prod(shape) // rest
    if math.prod(known) != math.prod(shape) or -1 in known:
        message = f"'{name}' of shape {list(shape)} cannot have the shape {list(sizes)} in a file"
        raise WeightsError(Problem("E603", message, rule.place))
    return tuple(known)


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
        if piece.reshaped is not None:
            here, there = piece.reshaped
            if shape != there:
                continue
            shape = here
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
    if not shapes:
        return None
    first, dim = shapes[0], piece.dim
    if piece.how == "whole":
        return first if len(first) > 1 or piece.reshaped or not piece.transposed else None
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
