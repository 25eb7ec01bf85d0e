"""The tensors of a file held against those of a model, by name, shape and dtype."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from archspec.errors import Note, Problem, listing
from archspec.weights.layouts import Naming, near, tensorflow_name
from archspec.weights.report import Kind, Row, Rule, TensorInfo
from archspec.weights.sides import Given


@dataclass(frozen=True, slots=True)
class Fit:
    """How the names of one layout meet the names in a file.

    Attributes:
        names: our tensor name → the file's; tied names have the one that the file has.
        rows: the report's rows.
        clashes: two of our names that the layout makes one, and that one.
        rivals: namings that fit as well, but say otherwise what the file's names mean.
    """

    naming: Naming
    given: Given
    names: Mapping[str, str]
    rows: tuple[Row, ...]
    clashes: tuple[tuple[str, str, str], ...]
    rivals: tuple[Naming, ...] = ()

    @classmethod
    def make(cls, naming: Naming, given: Given) -> Fit:
        return _Matcher(naming, given).fit()

    @property
    def score(self) -> tuple[int, int]:
        """The smaller the better: names that do not meet, then tensors that do not fit."""
        bad = [row.kind for row in self.rows if not row.explained]
        unfit = bad.count("unfit")
        return len(bad) - unfit + len(self.clashes), unfit

    def contradicts(self, other: Fit) -> bool:
        """Whether one of our tensors would have other values, and not only none."""
        return not other.names.items() <= self.names.items()

    def problems(self) -> list[Problem]:
        """Everything that is not explained."""
        bad = [row for row in self.rows if not row.explained]
        missing = [row.ours for row in bad if row.kind == "missing" and row.ours]
        unexpected = [row.theirs for row in bad if row.kind == "unexpected" and row.theirs]
        return [
            *self._ambiguity(),
            *map(self._clash, self.clashes),
            *self._missing(missing, unexpected),
            *self._unexpected(unexpected),
            *self._unfit([row for row in bad if row.kind == "unfit"]),
        ]

    @property
    def _where(self) -> str:
        naming = self.naming
        layout = f" in the layout '{naming.name}'" if naming.place else ""
        return f"{layout} ({naming.prefix_rule.text})" if naming.prefix_rule else layout

    def _ambiguity(self) -> Iterator[Problem]:
        if not self.rivals:
            return
        ways = list(dict.fromkeys(one.described for one in (self.naming, *self.rivals)))
        message = f"the names fit in more than one way: {listing(ways, sign='; ')}"
        names = list(dict.fromkeys(f"layout='{one.name}'" for one in (self.naming, *self.rivals)))
        if len(names) > 1:
            hint = f"say which is meant: {listing(names)}, or --layout"
        else:
            hint = "load it into the module that is meant, or rename under checkpoints"
        yield Problem("E604", message, self.naming.place, hint)

    def _clash(self, clash: tuple[str, str, str]) -> Problem:
        first, second, foreign = clash
        message = f"'{first}' and '{second}' are both '{foreign}'{self._where}"
        return Problem("E605", message, self.naming.place)

    def _missing(
        self, missing: Sequence[TensorInfo], unexpected: Sequence[TensorInfo]
    ) -> Iterator[Problem]:
        if not missing:
            return
        names = [tensor.name for tensor in missing]
        notes: list[Note] = []
        for tensor in missing[:50]:
            like = [one.name for one in unexpected if one.shape == tensor.shape]
            found = self.naming.foreign(tensor.name)
            if found and (other := near(found[0], like)) and len(notes) < 3:
                notes.append(Note(f"'{tensor.name}' may be '{other}' in the file"))
        message = f"{len(names)} tensors are missing{self._where}: {listing(names)}"
        yield Problem("E602", message, hint=_may_be("optional", names), notes=tuple(notes))

    def _unexpected(self, unexpected: Sequence[TensorInfo]) -> Iterator[Problem]:
        if unexpected:
            names = [tensor.name for tensor in unexpected]
            message = f"{len(names)} tensors have no place{self._where}: {listing(names)}"
            yield Problem("E602", message, hint=_may_be("ignore", names))

    def _unfit(self, rows: Sequence[Row]) -> Iterator[Problem]:
        for row in rows:
            assert row.ours and row.theirs
            ours, theirs = row.ours, row.theirs
            if row.shares and (two := self._two_values(row.shares, ours, theirs)):
                hint = f"leave one unread: ignore=['{theirs.name}'], or --ignore"
                yield Problem("E607", two, hint=hint)
            elif ours.shape != theirs.shape:
                shapes = f"{list(ours.shape)}, in the file {list(theirs.shape)}"
                hint = "the weights are of another size; or say how to resize it"
                yield Problem("E603", f"'{ours.name}' has the shape {shapes}", hint=hint)
            else:
                message = f"'{ours.name}' has the dtype {ours.dtype}, in the file {theirs.dtype}"
                yield Problem("E606", message)

    def _two_values(self, shared: str, ours: TensorInfo, theirs: TensorInfo) -> str:
        """How two tensors of the file, that are one in the model, differ; "" if they may not."""
        other = self.given.held[self.names[shared]]
        message = f"'{ours.name}' and '{shared}' are one tensor, the file has two"
        if theirs.dtype != other.dtype:
            return f"{message}, of {theirs.dtype} and {other.dtype}"
        if theirs.shape != other.shape:
            return f"{message}, of the shapes {list(theirs.shape)} and {list(other.shape)}"
        return message if self.given.may_meet(theirs, ours, shared) else ""


def _may_be(argument: str, names: Sequence[str]) -> str:
    """How to say that tensors may be missing or left unread."""
    ends = {name.rpartition(".")[2] for name in names}
    first, *others = [name.split(".") for name in names]
    common = [
        part for at, part in enumerate(first) if all(o[: at + 1] == first[: at + 1] for o in others)
    ]
    pattern = f"**.{ends.pop()}" if len(ends) == 1 < len(names) else ".".join(common) or "…"
    be = {"optional": "be missing", "ignore": "stay unread"}[argument]
    in_spec = f"checkpoints: {{…: {{{argument}: […]}}}} in the spec"
    return f"if it may {be}: {argument}=['{pattern}'], --{argument}, or {in_spec}"


class _Matcher:
    """Names first, then what the names' tensors are like."""

    def __init__(self, naming: Naming, given: Given) -> None:
        self.naming, self.given, self.target = naming, given, given.target
        self.ignored, self.optional = given.under(naming)
        self.names: dict[str, str] = {}
        self.rules: dict[str, tuple[Rule, ...]] = {}
        self.taken: dict[str, str] = {}
        self.clashes: list[tuple[str, str, str]] = []

    def fit(self) -> Fit:
        for name in self.target.tensors:
            if found := self.naming.foreign(name):
                self._take(name, *found, direct=True)
        for name, (old, rule) in self.target.older.items():
            if found := self.naming.foreign(old):
                self._take(name, found[0], (rule, *found[1]))
        for name in self.target.tensors:
            self._take_tensorflow(name, name)
        for name, (old, rule) in self.target.older.items():
            self._take_tensorflow(name, old, rule)
        rows = [self._row(name) for name in self.target.tensors]
        rows += [
            self._left(theirs) for name, theirs in self.given.held.items() if name not in self.taken
        ]
        names = dict(self.names)
        for name in self.target.tensors:
            if name not in names and (source := self._shared_source(name)):
                names[name] = self.names[source]
        return Fit(self.naming, self.given, names, tuple(rows), tuple(self.clashes))

    def _take(
        self, name: str, foreign: str, rules: tuple[Rule, ...], *, direct: bool = False
    ) -> None:
        if foreign not in self.given.held or foreign in self.ignored:
            return
        other = self.taken.get(foreign)
        if other is None and name not in self.names:
            self.taken[foreign] = name
            self.names[name], self.rules[name] = foreign, rules
        elif direct and other is not None and self._apart(other, name):
            self.clashes.append((other, name, foreign))

    def _apart(self, first: str, second: str) -> bool:
        return self.target.owner(first) != self.target.owner(second)

    def _take_tensorflow(self, name: str, known: str, *rules: Rule) -> None:
        found = self.naming.foreign(known) if name not in self.names else None
        kind = self.target.type_of(name)
        if found and (older := tensorflow_name(found[0], kind)):
            self._take(name, older[0], (*rules, *found[1], older[1]))

    def _shared_source(self, name: str) -> str:
        """The one of a shared tensor's names whose values count; "" if the file has none."""
        return next((n for n in self.target.shared.get(name, ()) if n in self.names), "")

    def _row(self, name: str) -> Row:
        ours, source = self.target.tensors[name], self._shared_source(name)
        if name not in self.names:
            if source:
                return Row("tied", ours, None, shares=source)
            rule = self.optional.get(name)
            return Row("missing", ours, None, (rule,) if rule else ())
        foreign, rules = self.names[name], self.rules[name]
        theirs = self.given.held[foreign]
        if source and source != name:
            return Row(self._tied(ours, theirs, source), ours, theirs, rules, source)
        return self._matched(ours, theirs, rules)

    def _tied(self, ours: TensorInfo, theirs: TensorInfo, source: str) -> Kind:
        """Values are compared last, and only of sizes that the model has or was told to expect."""
        other = self.given.held[self.names[source]]
        alike = (theirs.shape, theirs.dtype) == (other.shape, other.dtype)
        if not alike or not self.given.may_meet(theirs, ours, source):
            return "unfit"
        return "tied" if self.given.same(theirs.name, other.name) else "unfit"

    def _matched(self, ours: TensorInfo, theirs: TensorInfo, rules: tuple[Rule, ...]) -> Row:
        if not castable(theirs.dtype, ours.dtype):
            return Row("unfit", ours, theirs, rules)
        if ours.shape != theirs.shape:
            how, rule = self.given.resized.get(ours.name, ("", None))
            apt = how == "fresh" or (how == "rows" and len(ours.shape) == len(theirs.shape))
            if rule is None or not apt:
                return Row("unfit", ours, theirs, rules)
            return Row("resized", ours, theirs, (*rules, rule))
        return Row("renamed" if ours.name != theirs.name else "loaded", ours, theirs, rules)

    def _left(self, theirs: TensorInfo) -> Row:
        rule = self.ignored.get(theirs.name)
        return Row("ignored" if rule else "unexpected", None, theirs, (rule,) if rule else ())


def best_fit(given: Given, layouts: Iterable[Naming]) -> Fit:
    """The layout that leaves the fewest tensors unexplained, with another prefix if need be.

    Of those that explain all, the one with the most tensors; ``rivals`` are those that disagree.
    """
    layouts = list(layouts)
    fits = [Fit.make(naming, given) for naming in layouts]
    if min(fit.score for fit in fits)[0]:  # a prefix changes names only
        for naming in layouts:
            others = naming.with_prefixes(given.target.tensors, given.held)
            fits += [Fit.make(other, given) for other in others]
    best = min(fits, key=lambda fit: (fit.score, -len(fit.names)))
    if any(best.score):
        return best
    rivals = [fit.naming for fit in fits if fit.score == best.score and best.contradicts(fit)]
    return replace(best, rivals=tuple(rivals))


# ------------------------------------------------------------------------------------------ dtypes


def castable(source: str, target: str) -> bool:
    """Whether values may be cast: among floats, and among integers that lose nothing.

    >>> castable("float64", "bfloat16"), castable("int32", "int64"), castable("float32", "int64")
    (True, True, False)
    """
    if source == target:
        return True
    ours, theirs = _sort(target), _sort(source)
    if "int" in ours and "int" in theirs:
        wider = _bits(target) > _bits(source)
        return wider and not (ours == "uint" and theirs == "int")
    return ours == theirs and ours in ("float", "complex")


def _sort(dtype: str) -> str:
    return re.split(r"\d", dtype)[0].replace("bfloat", "float")


def _bits(dtype: str) -> int:
    found = re.search(r"\d+", dtype)
    return int(found[0]) if found else 0
