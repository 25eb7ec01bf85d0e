"""The tensors of a file held against those of a model, by name, shape and dtype."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from archspec import patterns
from archspec.errors import Note, Problem, UsageError, WeightsError, did_you_mean, listing
from archspec.patterns import Entry, PatternError, Tree
from archspec.weights.layouts import Naming, near, tensorflow_name
from archspec.weights.report import Row, Rule, TensorInfo

Resize = Literal["fresh", "rows"]
RESIZES: tuple[str, ...] = ("fresh", "rows")
Tensors = Mapping[str, TensorInfo]


@dataclass(frozen=True, slots=True)
class Target:
    """A model's side.

    Attributes:
        name: the class of the model.
        tensors: in the order of the ``state_dict``.
        shared: the names of a shared tensor, the owner first, by each of them.
        types: path of a module → name of its class.
        older: name → the name it had before, and why.
    """

    name: str
    tensors: Tensors
    shared: Mapping[str, tuple[str, ...]]
    types: Mapping[str, str]
    older: Mapping[str, tuple[str, Rule]]

    def owner(self, name: str) -> str:
        return self.shared[name][0] if name in self.shared else name

    def type_of(self, name: str) -> str:
        """The class of the module that holds a tensor."""
        return self.types.get(name.rpartition(".")[0], "")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a caller allows: patterns over the file's names, and over ours."""

    ignore: Sequence[str] = ()
    optional: Sequence[str] = ()
    resize: Mapping[str, Resize] = field(default_factory=dict[str, Resize])

    @classmethod
    def checked(cls, ignore: object, optional: object, resize: object) -> Choices:
        """The arguments of a call.

        Raises:
            UsageError: E801 for anything but patterns, or a way to resize that there is not.
        """
        pairs = cast("Mapping[object, object]", resize if isinstance(resize, Mapping) else {})
        if pairs != (resize or {}) or not all(isinstance(text, str) for text in pairs):
            hint = "resize={'classifier': 'fresh'}"
            raise UsageError(Problem("E801", "resize takes patterns and what is done", hint=hint))
        for how in pairs.values():
            if how not in RESIZES:
                hint = did_you_mean(str(how), RESIZES) or f"ways: {listing(RESIZES)}"
                raise UsageError(Problem("E801", f"no way to resize is called '{how}'", hint=hint))
        resizes = cast("Mapping[str, Resize]", dict(pairs))
        return cls(_texts("ignore", ignore), _texts("optional", optional), resizes)


def _texts(argument: str, given: object) -> tuple[str, ...]:
    texts = (given,) if isinstance(given, str) else given
    if not isinstance(texts, Iterable) or isinstance(texts, bytes):
        raise UsageError(Problem("E801", f"{argument} takes patterns"))
    found = tuple(cast("Iterable[object]", texts))
    if not all(isinstance(text, str) for text in found):
        raise UsageError(Problem("E801", f"{argument} takes patterns"))
    return cast("tuple[str, ...]", found)


@dataclass(frozen=True, slots=True)
class Given:
    """What is the same for every layout: both sides, and what the call's patterns select.

    ``same`` says whether two tensors of the file hold equal values.
    """

    target: Target
    held: Tensors
    ignored: Mapping[str, Rule]
    optional: Mapping[str, Rule]
    resized: Mapping[str, tuple[Resize, Rule]]
    same: Callable[[str, str], bool]

    @classmethod
    def make(
        cls, target: Target, held: Tensors, choices: Choices, same: Callable[[str, str], bool]
    ) -> Given:
        """Raises WeightsError: E702 for what is no pattern, E701 for one that selects nothing."""
        ignore = [(text, Rule(f"ignore {text}")) for text in choices.ignore]
        optional = [(text, Rule(f"optional {text}")) for text in choices.optional]
        rules = {text: Rule(f"resize {text}: {how}") for text, how in choices.resize.items()}
        resized: dict[str, tuple[Resize, Rule]] = {
            name: (how, rules[text])
            for text, how in choices.resize.items()
            for name in _selected([(text, rules[text])], _entries(target), strict=True)
        }
        return cls(
            target,
            held,
            _selected(ignore, _entries_of(held)),
            _selected(optional, _entries(target), strict=True),
            resized,
            same,
        )

    def under(self, naming: Naming) -> tuple[Mapping[str, Rule], Mapping[str, Rule]]:
        """What is ignored and what is optional, with what the layout says about it."""
        ignored = _selected(naming.ignore, _entries_of(self.held))
        optional = _selected(naming.optional, _entries(self.target))
        return {**ignored, **self.ignored}, {**optional, **self.optional}


def _entries_of(names: Iterable[str]) -> Iterator[Entry]:
    return (Entry(name, None) for name in names)


def _entries(target: Target) -> Iterator[Entry]:
    yield from (Entry(path, kind) for path, kind in target.types.items())
    yield from _entries_of(target.tensors)


def _selected(
    rules: Sequence[tuple[str, Rule]], entries: Iterator[Entry], *, strict: bool = False
) -> dict[str, Rule]:
    """The tensors that patterns select, each with the first pattern's rule."""
    if not rules:
        return {}
    found: dict[str, Rule] = {}
    tree = Tree(list(entries))
    for text, rule in rules:
        try:
            pattern = patterns.parse(text)
        except PatternError as error:
            raise WeightsError(Problem("E702", f"'{text}': {error.message}")) from None
        chosen = sorted(tree.select(pattern))
        if strict and not chosen:
            hint = listing([repr(one) for one in tree.near_misses(pattern)])
            hint = f"did you mean {hint}?" if hint else ""
            raise WeightsError(Problem("E701", f"the pattern '{text}' selects nothing", hint=hint))
        for entry in (tree.entries[i] for i in chosen):
            if entry.type is None:
                found.setdefault(entry.path, rule)
    return found


# --------------------------------------------------------------------------------------------- fit


@dataclass(frozen=True, slots=True)
class Fit:
    """How the names of one layout meet the names in a file.

    Attributes:
        names: our tensor name → the file's; tied names have the one that the file has.
        rows: the report's rows.
        clashes: two of our names that the layout makes one, and that one.
    """

    naming: Naming
    given: Given
    names: Mapping[str, str]
    rows: tuple[Row, ...]
    clashes: tuple[tuple[str, str, str], ...]

    @classmethod
    def make(cls, naming: Naming, given: Given) -> Fit:
        return _Matcher(naming, given).fit()

    @property
    def score(self) -> tuple[int, int]:
        """The smaller the better: names that do not meet, then tensors that do not fit."""
        bad = [row.kind for row in self.rows if not row.explained]
        unfit = bad.count("unfit")
        return len(bad) - unfit + len(self.clashes), unfit

    def problems(self) -> list[Problem]:
        """Everything that is not explained."""
        bad = [row for row in self.rows if not row.explained]
        missing = [row.ours for row in bad if row.kind == "missing" and row.ours]
        unexpected = [row.theirs for row in bad if row.kind == "unexpected" and row.theirs]
        return [
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
        yield Problem("E602", message, notes=tuple(notes))

    def _unexpected(self, unexpected: Sequence[TensorInfo]) -> Iterator[Problem]:
        if unexpected:
            names = [tensor.name for tensor in unexpected]
            message = f"{len(names)} tensors have no place{self._where}: {listing(names)}"
            hint = "name what may be left unread under checkpoints: {…: {ignore: […]}}"
            yield Problem("E602", message, hint=hint)

    def _unfit(self, rows: Sequence[Row]) -> Iterator[Problem]:
        for row in rows:
            assert row.ours and row.theirs
            ours, theirs = row.ours, row.theirs
            if row.shares:
                message = f"'{ours.name}' and '{row.shares}' are one tensor, the file has two"
                yield Problem("E607", message, hint="ignore one of them")
            elif ours.shape != theirs.shape:
                shapes = f"{list(ours.shape)}, in the file {list(theirs.shape)}"
                hint = "the weights are of another size; or say how to resize it"
                yield Problem("E603", f"'{ours.name}' has the shape {shapes}", hint=hint)
            else:
                message = f"'{ours.name}' has the dtype {ours.dtype}, in the file {theirs.dtype}"
                yield Problem("E606", message)


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
            self._take_tensorflow(name)
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

    def _take_tensorflow(self, name: str) -> None:
        found = self.naming.foreign(name) if name not in self.names else None
        kind = self.target.type_of(name)
        if found and (older := tensorflow_name(found[0], kind)):
            self._take(name, older[0], (*found[1], older[1]))

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
            other = self.given.held[self.names[source]]
            same = theirs.shape == other.shape and self.given.same(foreign, other.name)
            return Row("tied" if same else "unfit", ours, theirs, rules, source)
        return self._matched(ours, theirs, rules)

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
    """The layout that leaves the fewest tensors unexplained, with another prefix if need be."""
    layouts = list(layouts)
    fits: list[Fit] = []
    for naming in layouts:
        fits.append(Fit.make(naming, given))
        if fits[-1].score == (0, 0):
            return fits[-1]
    best = min(fits, key=lambda fit: fit.score)
    if best.score[0]:  # a prefix changes names only
        for naming in layouts:
            others = naming.with_prefixes(given.target.tensors, given.held)
            fits += [Fit.make(other, given) for other in others]
        best = min(fits, key=lambda fit: fit.score)
    return best


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
