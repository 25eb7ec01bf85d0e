"""The tensors of a file held against those of a model, by name, shape and dtype."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from math import prod

from archspec.errors import Note, Problem, listing
from archspec.weights.hints import adapter_hint, exact_patterns, quantized_hint, relations
from archspec.weights.layout_plans import Piece, arranged
from archspec.weights.layouts import Naming, tensorflow_name, unwrapped, wrapper_rule
from archspec.weights.rows import Kind, Row, Rule, TensorInfo
from archspec.weights.tensor_names import ModelAndFile, RowsOf

_MAX_NOTES = 3
_COUNTER_RULE = Rule("old batch norms count no batches")
_SEE_LAYOUTS = "a layout says how names and tensors differ: checkpoints in the spec"


@dataclass(frozen=True, slots=True)
class Fit:
    """How the names of one layout meet the names in a file.

    Attributes:
        names: our tensor name → the file's; tied names have the one that the file has.
        rows: the report's rows.
        pieces: what the file has otherwise than we do, by what ``names`` and rows call it.
        clashes: two of our names that the layout makes one, and that one.
        rivals: namings that fit as well, but say otherwise what the file's names mean.
    """

    naming: Naming
    sides: ModelAndFile
    names: Mapping[str, str]
    rows: tuple[Row, ...]
    clashes: tuple[tuple[str, str, str], ...]
    pieces: Mapping[str, Piece]
    rivals: tuple[Naming, ...] = ()

    @classmethod
    def make(cls, naming: Naming, sides: ModelAndFile) -> Fit:
        return _Matcher(naming, sides).fit()

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
        """Everything that is not explained; only the choice, if there is one to make."""
        if self.rivals:
            return list(self._ambiguity())
        bad = [row for row in self.rows if not row.explained]
        missing = [row.ours for row in bad if row.kind == "missing" and row.ours]
        unexpected = [row.theirs for row in bad if row.kind == "unexpected" and row.theirs]
        related = list(islice(relations(missing, unexpected), _MAX_NOTES))
        optional, ignore = ("", "") if related else self._hints(missing, unexpected)
        # What is not read is trained or packed, and no rest.
        if other := adapter_hint(unexpected) or quantized_hint(unexpected):
            optional, ignore, related = other, other, []
        return [
            *self.naming.unmet,
            *map(self._clash, self.clashes),
            *self._missing(missing, optional, related),
            *self._unexpected(unexpected, ignore),
            *self._unfit([row for row in bad if row.kind == "unfit"]),
            *self._untouched(),
        ]

    def _hints(
        self, missing: Sequence[TensorInfo], unexpected: Sequence[TensorInfo]
    ) -> tuple[str, str]:
        """How to say that tensors may be missing or stay unread, if all others are loaded then."""
        sides = self.sides
        names = [[tensor.name for tensor in some] for some in (missing, unexpected)]
        optional = exact_patterns(names[0], sides.ours, sides.target.tensors)
        ignore = exact_patterns(names[1], sides.theirs, sides.in_file)
        if bool(optional) != bool(missing) or bool(ignore) != bool(unexpected):
            return "", ""
        followed = Fit.make(self.naming, sides.with_choices(ignore, optional))
        if not all(row.explained or row.kind == "unfit" for row in followed.rows):
            return "", ""
        if any(followed._untouched()):
            return "", ""
        return _may_be("allow_missing", optional), _may_be("ignore", ignore)

    @property
    def _where(self) -> str:
        naming = self.naming
        layout = f" in the layout '{naming.name}'" if naming.place else ""
        return f"{layout} ({naming.prefix_rule.text})" if naming.prefix_rule else layout

    def _ambiguity(self) -> Iterator[Problem]:
        namings = (self.naming, *self.rivals)
        ways = list(dict.fromkeys(naming.described for naming in namings))
        message = f"the names fit in more than one way: {listing(ways, sign='; ')}"
        names = list(dict.fromkeys(f"layout='{naming.name}'" for naming in namings))
        if len(keys := dict.fromkeys(naming.added for naming in namings)) > 1:
            options = [f"key={key.rstrip('.')!r}" for key in keys]
            hint = f"say which is meant: {' or '.join(options)}, or --key" if all(keys) else ""
        elif len(names) > 1:
            hint = f"say which is meant: {listing(names)}, or --layout"
        else:
            hint = "load it into the module that is meant, or rename under checkpoints"
        yield Problem("E604", message, self.naming.place, hint)

    def _clash(self, clash: tuple[str, str, str]) -> Problem:
        first, second, foreign = clash
        message = f"'{first}' and '{second}' are both '{foreign}'{self._where}"
        return Problem("E605", message, self.naming.place)

    def _missing(
        self, missing: Sequence[TensorInfo], hint: str, related: Sequence[str]
    ) -> Iterator[Problem]:
        if missing:
            names = [tensor.name for tensor in missing]
            message = f"{len(names)} tensors are missing{self._where}: {listing(names)}"
            notes = tuple(map(Note, related))
            yield Problem("E602", message, hint=hint or _SEE_LAYOUTS, notes=notes)

    def _unexpected(self, unexpected: Sequence[TensorInfo], hint: str) -> Iterator[Problem]:
        if unexpected:
            names = [tensor.name for tensor in unexpected]
            message = f"{len(names)} tensors have no place{self._where}: {listing(names)}"
            yield Problem("E602", message, hint=hint or _SEE_LAYOUTS)

    def _untouched(self) -> Iterator[Problem]:
        """Patterns that select much may leave next to nothing to load, without a word."""
        choices, target = self.sides.choices, self.sides.target
        rows = [
            row
            for row in self.rows
            if row.ours and row.ours.name not in choices.aside
            and row.kind != "tied" and row.ours.name not in target.counters
        ]  # fmt: skip
        stay = [row for row in rows if row.explained and not self._is_read(row)]
        values = [sum(prod(row.ours.shape) for row in some if row.ours) for some in (stay, rows)]
        if choices.allow_partial or max(2 * len(stay) - len(rows), 2 * values[0] - values[1]) <= 0:
            return
        message = f"most of the model would stay as it is: {len(stay):,} of {len(rows):,} tensors"
        message = f"{message}, {values[0]:,} of {values[1]:,} values{self._where}"
        yield Problem(
            "E608", message, hint="if that is meant: allow_partial=True, or --allow-partial"
        )

    def _is_read(self, row: Row) -> bool:
        """Whether a tensor of the model takes values of the file."""
        return row.theirs is not None and not row.kept

    def _unfit(self, rows: Sequence[Row]) -> Iterator[Problem]:
        for row in rows:
            assert row.ours and row.theirs
            ours, theirs = row.ours, row.theirs
            if row.shares and (two := self._two_values(row.shares, ours, theirs)):
                exact = exact_patterns([theirs.name], self.sides.theirs, self.sides.in_file)
                hint = f"leave one unread: ignore={exact}, or --ignore" if exact else ""
                yield Problem("E607", two, hint=hint)
            elif ours.shape != theirs.shape:
                shapes = f"{list(ours.shape)}, in the file {list(theirs.shape)}"
                hint = "the weights are of another size: set the parameters of the spec to theirs"
                if sorted(ours.shape) == sorted(theirs.shape):
                    hint = "the file may hold it transposed: see transpose, of layouts"
                elif len(rows) <= _MAX_NOTES and not row.shares:
                    hint += self._resizing(ours, theirs)
                yield Problem("E603", f"'{ours.name}' has the shape {shapes}", hint=hint)
            else:
                message = f"'{ours.name}' has the dtype {ours.dtype}, in the file {theirs.dtype}"
                yield Problem("E606", message)

    def _resizing(self, ours: TensorInfo, theirs: TensorInfo) -> str:
        """How to say that one of few tensors may have another shape."""
        if not exact_patterns([ours.name], self.sides.ours, self.sides.target.tensors):
            return ""
        alike = len(ours.shape) == len(theirs.shape) and castable(theirs.dtype, ours.dtype)
        how = "rows" if alike else "fresh"
        what = {"rows": "copy the part that both have", "fresh": "keep the initial values"}[how]
        pair = f"resize={{'{ours.name}': '{how}'}}, --resize {ours.name}={how}"
        return f"; or, to {what}: {pair}"

    def _two_values(self, shared: str, ours: TensorInfo, theirs: TensorInfo) -> str:
        """How two tensors of the file, that are one in the model, differ; "" if they may not."""
        counterpart = self.sides.in_file[self.names[shared]]
        message = f"'{ours.name}' and '{shared}' are one tensor, the file has two"
        if theirs.dtype != counterpart.dtype:
            return f"{message}, of {theirs.dtype} and {counterpart.dtype}"
        if theirs.shape != counterpart.shape:
            return f"{message}, of the shapes {list(theirs.shape)} and {list(counterpart.shape)}"
        return message if self.sides.may_meet(theirs, ours, shared) else ""


def _may_be(argument: str, patterns: list[str]) -> str:
    """How to say that tensors may be missing or left unread."""
    if not patterns:
        return ""
    condition = {"allow_missing": "they may be missing", "ignore": "they may stay unread"}[argument]
    option = f"--{argument.replace('_', '-')}"
    key = {"allow_missing": "optional"}.get(argument, argument)
    in_spec = f"checkpoints: {{…: {{{key}: […]}}}} in the spec"
    return f"if {condition}: {argument}={patterns}, {option}, or {in_spec}"


class _Matcher:
    """Names first, then what the names' tensors are like."""

    def __init__(self, naming: Naming, sides: ModelAndFile) -> None:
        naming, sides, self.pieces = arranged(naming, sides)
        self.naming, self.sides, self.target = naming, sides, sides.target
        self.ignored, self.optional = sides.under(naming)
        self.names: dict[str, str] = {}
        self.rules: dict[str, tuple[Rule, ...]] = {}
        self.taken: dict[str, str] = {}
        self.clashes: list[tuple[str, str, str]] = []

    def fit(self) -> Fit:
        for name in self.target.tensors:
            if foreign_name := self.naming.foreign(name):
                self._take(name, *foreign_name, direct=True)
        for name, (old, rule) in self.target.older.items():
            if foreign_name := self.naming.foreign(old):
                self._take(name, foreign_name[0], (rule, *foreign_name[1]))
        for name in self.target.tensors:
            self._take_tensorflow(name, name)
        for name, (old, rule) in self.target.older.items():
            self._take_tensorflow(name, old, rule)
        for name in self.target.tensors:  # the model is wrapped, and the file is not
            foreign_name = self.naming.foreign(name) if name not in self.names else None
            if foreign_name and (bare := unwrapped(foreign_name[0])) != foreign_name[0]:
                self._take(name, bare, (*foreign_name[1], wrapper_rule(foreign_name[0])))
        rows = [self._row(name) for name in self.target.tensors]
        rows += [
            self._left(theirs)
            for name, theirs in self.sides.in_file.items()
            if name not in self.taken
        ]
        names = dict(self.names)
        for name in self.target.tensors:
            if name not in names and (source := self._shared_source(name)):
                names[name] = self.names[source]
        return Fit(self.naming, self.sides, names, tuple(rows), tuple(self.clashes), self.pieces)

    def _take(
        self, name: str, foreign: str, rules: tuple[Rule, ...], *, direct: bool = False
    ) -> None:
        if foreign not in self.sides.in_file and (wrapped := self.sides.bare.get(foreign)):
            foreign, rules = wrapped, (*rules, wrapper_rule(wrapped))
        if foreign not in self.sides.in_file or foreign in self.ignored:
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
        foreign_name = self.naming.foreign(known) if name not in self.names else None
        kind = self.target.type_of(name)
        if foreign_name and (older := tensorflow_name(foreign_name[0], kind)):
            self._take(name, older[0], (*rules, *foreign_name[1], older[1]))

    def _shared_source(self, name: str) -> str:
        """The one of a shared tensor's names whose values count; "" if the file has none."""
        return next((n for n in self.target.shared.get(name, ()) if n in self.names), "")

    def _row(self, name: str) -> Row:
        ours, source = self.target.tensors[name], self._shared_source(name)
        if name not in self.names:
            if source:
                return Row("tied", ours, None, shares=source)
            rule = self.optional.get(name) or self._counter_rule(name)
            return Row("missing", ours, None, (rule,) if rule else ())
        foreign, rules = self.names[name], self.rules[name]
        theirs = self.sides.in_file[foreign]
        if source and source != name:
            return Row(self._tied(ours, theirs, source), ours, theirs, rules, source)
        return self._matched(ours, theirs, rules)

    def _counter_rule(self, name: str) -> Rule | None:
        """Before version 2 of PyTorch's batch norms, none counted its batches."""
        if name not in self.target.counters:
            return None
        mean = self.names.get(f"{name.rpartition('.')[0]}.running_mean".lstrip("."))
        if mean is None:  # the whole module is missing
            return None
        version = self.sides.versions.get(mean.rpartition(".")[0], 1)
        return _COUNTER_RULE if version < 2 or not self.has_counters else None

    @cached_property
    def has_counters(self) -> bool:
        """Whether the file counts the batches of any norm."""
        return any(name.endswith("num_batches_tracked") for name in self.sides.in_file)

    def _tied(self, ours: TensorInfo, theirs: TensorInfo, source: str) -> Kind:
        """Values are compared last, and only of sizes that the model has or was asked to expect."""
        other = self.sides.in_file[self.names[source]]
        alike = (theirs.shape, theirs.dtype) == (other.shape, other.dtype)
        if not alike or not self.sides.may_meet(theirs, ours, source):
            return "unfit"
        return "tied" if self.sides.same(theirs.name, other.name) else "unfit"

    def _matched(self, ours: TensorInfo, theirs: TensorInfo, rules: tuple[Rule, ...]) -> Row:
        how, rule = self.sides.resized.get(ours.name, ("", None))
        fits = castable(theirs.dtype, ours.dtype)
        if ours.shape != theirs.shape or isinstance(how, tuple):
            kept = how == "fresh" or how == (None,) * len(how)
            if rule is None or not _is_apt(how, ours.shape, theirs.shape) or not (kept or fits):
                return Row("unfit", ours, theirs, rules)
            return Row("resized", ours, theirs, (*rules, rule), kept=kept)
        kind = "renamed" if ours.name != theirs.name else "loaded"
        return Row(kind if fits else "unfit", ours, theirs, rules)

    def _left(self, theirs: TensorInfo) -> Row:
        rule = self.ignored.get(theirs.name)
        return Row("ignored" if rule else "unexpected", None, theirs, (rule,) if rule else ())


def _is_apt(how: str | RowsOf, ours: tuple[int, ...], theirs: tuple[int, ...]) -> bool:
    if isinstance(how, tuple):
        alike = ours[1:] == theirs[1:] and len(how) == ours[0] and bool(theirs)
        return alike and all(row is None or row < theirs[0] for row in how)
    return how == "fresh" or len(ours) == len(theirs)


def best_fit(sides: ModelAndFile, layouts: Iterable[Naming]) -> Fit:
    """The layout that leaves the fewest tensors unexplained, with another prefix if need be.

    Of those that explain all, the one with the most tensors; ``rivals`` are those that disagree.
    """
    layouts = list(layouts)
    fits = [Fit.make(naming, sides) for naming in layouts]
    if min(fit.score for fit in fits)[0]:  # a prefix changes names only
        for naming in layouts:
            as_written = dict(zip(sides.bare.values(), sides.bare, strict=True))
            in_file = [as_written.get(name, name) for name in sides.in_file]
            others = naming.with_prefixes(sides.target.tensors, in_file)
            fits += [Fit.make(other, sides) for other in others]
    best = min(fits, key=lambda fit: (fit.score, -len(fit.names)))
    if any(best.score):
        others = [fit.naming for fit in fits if best.naming.added and _instead(fit, best)]
        return replace(best, rivals=tuple(others))
    rivals = [fit.naming for fit in fits if fit.score == best.score and best.contradicts(fit)]
    return replace(best, rivals=tuple(rivals))


def _instead(fit: Fit, best: Fit) -> bool:
    """Whether a file has the whole model a second time, such as a teacher beside its student."""
    whole = all(row.explained for row in fit.rows if row.ours)
    return whole and fit.naming.added != best.naming.added and best.contradicts(fit)


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
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 0
