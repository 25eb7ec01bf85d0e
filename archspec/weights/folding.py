"""The rows of a report as lines: the tensors of numbered modules that are alike are one line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import takewhile

from archspec.errors import listing
from archspec.report.folding import fold_neighbours, format_ranges
from archspec.weights.rows import Row, Rule, TensorInfo


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a report.

    Attributes:
        row: the row, or the first of those that are folded.
        ours, theirs: names, ``bert.encoder.layer.(0-11).…`` if rows are folded; "" for none.
        tensors: how many of each module are folded.
        times: how many modules are.
    """

    row: Row
    ours: str
    theirs: str
    tensors: int = 1
    times: int = 1


@dataclass(frozen=True, slots=True)
class _Split:
    """A name around its first number: ``encoder.layer.``, 3, ``.output.dense.bias``."""

    head: str
    number: int
    tail: str

    @classmethod
    def of(cls, tensor: TensorInfo | None) -> _Split | None:
        names = tensor.name.split(".") if tensor else []
        for i, name in enumerate(names):
            if name.isdecimal() and name.isascii() and len(name) < 10 and str(int(name)) == name:
                head, tail = ".".join(names[:i]), ".".join(names[i + 1 :])
                return cls(f"{head}." if head else "", int(name), f".{tail}" if tail else "")
        return None


Key = tuple[object, ...]


@dataclass(slots=True)
class _Block:
    """The rows of one numbered module that have the same outcome."""

    number: int
    rows: list[Row]
    tails: list[Key]


def fold_rows(rows: Iterable[Row]) -> list[Line]:
    """The rows in order, those of equal numbered modules as one line."""
    singles: list[tuple[int, Line]] = []
    blocks: dict[Key, dict[int, _Block]] = {}
    starts: dict[Key, int] = {}
    for position, row in enumerate(rows):
        ours, theirs = _Split.of(row.ours), _Split.of(row.theirs)
        first = ours or theirs
        if first is None or row.kind == "resized" or not row.explained:
            singles.append((position, _single(row)))
            continue
        key = (_outcome(row), *_heads(row, ours, theirs, first.number))
        block = blocks.setdefault(key, {}).setdefault(first.number, _Block(first.number, [], []))
        block.rows.append(row)
        block.tails.append(_contents(row, ours, theirs))
        starts.setdefault((key, first.number), position)
    lines = list(singles)
    for key, by_number in blocks.items():
        lines += [(starts[(key, run[0].number)], _line(run)) for run in _runs(by_number.values())]
    return [line for _, line in sorted(lines, key=lambda pair: pair[0])]


def _single(row: Row) -> Line:
    return Line(row, row.ours.name if row.ours else "", row.theirs.name if row.theirs else "")


def _outcome(row: Row) -> Key:
    dtypes = (row.ours.dtype, row.theirs.dtype) if row.ours and row.theirs and row.cast else ()
    return (row.kind, *(rule.text for rule in row.rules), dtypes)


def _heads(row: Row, ours: _Split | None, theirs: _Split | None, number: int) -> Key:
    """What precedes the number on both sides, and the distance of the numbers."""
    our_head = ours.head if ours else row.ours and row.ours.name
    their_head = theirs.head if theirs else row.theirs and row.theirs.name
    return our_head, their_head, theirs.number - number if theirs else None


def _contents(row: Row, ours: _Split | None, theirs: _Split | None) -> Key:
    tensor = row.ours or row.theirs
    assert tensor
    return ours and ours.tail, theirs and theirs.tail, tensor.shape


def _runs(blocks: Iterable[_Block]) -> Iterator[list[_Block]]:
    """Blocks with consecutive numbers and the same contents."""
    in_order = sorted(blocks, key=lambda block: block.number)
    groups = fold_neighbours(in_order, lambda block: str(block.number), lambda block: block.tails)
    return (group for _, group in groups)


def _line(run: list[_Block]) -> Line:
    rows, times = run[0].rows, len(run)
    if times == 1 and len(rows) == 1:
        return _single(rows[0])
    sides = [[row.ours for row in rows], [row.theirs for row in rows]]
    first, second = (_name(tensors, times) for tensors in sides)
    return Line(rows[0], first, second, len(rows), times)


def _name(tensors: list[TensorInfo | None], times: int) -> str:
    split = _Split.of(tensors[0])
    if split is None:
        return tensors[0].name if tensors[0] else ""
    numbers = format_ranges(range(split.number, split.number + times))
    tail = split.tail if len(tensors) == 1 else f"{_common_tail(tensors)}.…"
    return f"{split.head}{numbers}{tail}"


def _common_tail(tensors: list[TensorInfo | None]) -> str:
    """What follows the number in all names: ``.shortcut``."""
    tails = [split.tail.split(".") for split in map(_Split.of, tensors) if split]
    shortest = min(tails, key=len)[:-1]
    common = takewhile(lambda i: len({tail[i] for tail in tails}) == 1, range(len(shortest)))
    return ".".join(shortest[i] for i in common)


def left_unread(rows: Iterable[Row]) -> str:
    """How many tensors of a file are ignored, and which, as a sentence; "" if none are.

    >>> tensors = [TensorInfo(f"heads.{i}.bias", (2,), "float32") for i in range(2)]
    >>> left_unread([Row("ignored", None, tensor) for tensor in tensors])
    '2 tensors of the file are left unread: heads.(0-1).bias'
    """
    ignored = [row for row in rows if row.kind == "ignored"]
    if not ignored:
        return ""
    count = f"{len(ignored):,} tensors of the file are"
    count = "1 tensor of the file is" if len(ignored) == 1 else count
    return f"{count} left unread: {listing([line.theirs for line in fold_rows(ignored)])}"


def resized(rows: Iterable[Row]) -> str:
    """Which tensors take a part of the file's, as the call says, in a sentence; "" if none do.

    >>> ours, theirs = (TensorInfo("fc.bias", (size,), "float32") for size in (2, 3))
    >>> resized([Row("resized", ours, theirs, (Rule("resize fc: rows"),))])
    'resized: fc.bias [3] → [2]'
    """
    some = [row for row in rows if row.kind == "resized" and not row.kept]
    asked = [row for row in some if row.rules[-1].text.startswith("resize ")]  # not by labels
    pairs = [(row.ours, row.theirs) for row in asked]
    texts = [f"{a.name} {list(b.shape)} → {list(a.shape)}" for a, b in pairs if a and b]
    return f"resized: {listing(texts)}" if texts else ""


def rules_of(rows: Iterable[Row]) -> list[tuple[Rule, int]]:
    """Each rule and the number of its rows, in order."""
    return list(Counter(rule for row in rows for rule in row.rules).items())
