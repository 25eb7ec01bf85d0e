"""A model's tensors and a file's, and what a call allows of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, cast

from archspec.errors import Problem, UsageError, WeightsError, did_you_mean, listing
from archspec.lang import patterns
from archspec.lang.patterns import Entry, Pattern, PatternError, Tree
from archspec.weights.layouts import Naming, unwrapped
from archspec.weights.rows import Rule, TensorInfo

Resize = Literal["fresh", "rows"]
RowsOf = tuple[int | None, ...]
"""For each row of ours the file's row; None: it keeps its values."""
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
        counters: the ``num_batches_tracked`` of batch norms, which old files lack.
    """

    name: str
    tensors: Tensors
    shared: Mapping[str, tuple[str, ...]]
    types: Mapping[str, str]
    older: Mapping[str, tuple[str, Rule]]
    counters: frozenset[str] = frozenset()

    def owner(self, name: str) -> str:
        return self.shared[name][0] if name in self.shared else name

    def type_of(self, name: str) -> str:
        """The class of the module that holds a tensor."""
        return self.types.get(name.rpartition(".")[0], "")


@dataclass(frozen=True, slots=True)
class Choices:
    """What a caller allows: patterns over the file's names, and over ours.

    ``allow_partial``: most of the model may stay as it is. ``aside``: tensors of ours that do not
    count for that. ``rows`` are those of a head whose labels the file knows by other numbers.
    """

    ignore: Sequence[str] = ()
    allow_missing: Sequence[str] = ()
    resize: Mapping[str, Resize] = field(default_factory=dict[str, Resize])
    allow_partial: bool = False
    aside: frozenset[str] = frozenset()
    rows: Mapping[str, RowsOf] = field(default_factory=dict[str, RowsOf])

    @classmethod
    def checked(
        cls, ignore: object, allow_missing: object, resize: object, allow_partial: bool = False
    ) -> Choices:
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
        if not isinstance(allow_partial, bool):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(Problem("E801", "allow_partial is True or False"))
        resizes = cast("Mapping[str, Resize]", dict(pairs))
        missing = _texts("allow_missing", allow_missing)
        return cls(_texts("ignore", ignore), missing, resizes, allow_partial)

    @property
    def given(self) -> dict[str, bool]:
        """Whether each argument of a call says anything."""
        return {
            "ignore": bool(self.ignore),
            "allow_missing": bool(self.allow_missing),
            "resize": bool(self.resize),
            "allow_partial": self.allow_partial,
        }


def _texts(argument: str, value: object) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, str) else value
    if not isinstance(texts, Iterable) or isinstance(texts, bytes):
        raise UsageError(Problem("E801", f"{argument} takes patterns"))
    patterns_given = tuple(cast("Iterable[object]", texts))
    if not all(isinstance(text, str) for text in patterns_given):
        raise UsageError(Problem("E801", f"{argument} takes patterns"))
    return cast("tuple[str, ...]", patterns_given)


Rules = Sequence[tuple[str, Rule]]


class Names:
    """The names of one side, to select from as a freeze plan does: the last match wins."""

    def __init__(self, names: Iterable[str], types: Mapping[str, str] | None = None) -> None:
        self._entries = [Entry(path, kind) for path, kind in (types or {}).items()]
        self._entries += [Entry(name, None) for name in names]

    @cached_property
    def _tree(self) -> Tree:
        return Tree(self._entries)

    def selected(self, rules: Rules) -> dict[str, Rule]:
        """The tensors that patterns select, each with the pattern that decides it.

        Raises:
            WeightsError: E702 for what is no pattern.
        """
        return {name: rule for name, rule in self.decided(rules).items() if rule}

    def decided(self, rules: Rules) -> dict[str, Rule | None]:
        """The tensors that patterns speak of; None for those that the last one takes back."""
        if not rules:
            return {}
        parsed = [_parsed(text) for text, _ in rules]
        last = zip(self._entries, self._tree.last_match(parsed), strict=True)
        return {
            entry.path: None if parsed[position].negated else rules[position][1]
            for entry, position in last
            if entry.type is None and position is not None
        }

    def select_exactly(self, texts: Iterable[str], names: frozenset[str]) -> bool:
        """Whether patterns select these tensors and no other; names may be no patterns at all."""
        rule = Rule("")
        try:
            return self.selected([(text, rule) for text in texts]).keys() == names
        except WeightsError:
            return False

    def require(self, texts: Iterable[str]) -> None:
        """Raise E701 for a pattern that selects nothing, and E702 for what is none."""
        for pattern in map(_parsed, texts):
            if not self._tree.select(pattern):
                near = listing([repr(one) for one in self._tree.near_misses(pattern)])
                hint = f"did you mean {near}?" if near else ""
                message = f"the pattern '{pattern}' selects nothing"
                raise WeightsError(Problem("E701", message, hint=hint))


def _parsed(text: str) -> Pattern:
    try:
        return patterns.parse(text)
    except PatternError as error:
        raise WeightsError(Problem("E702", f"'{text}': {error.message}")) from None


@dataclass(frozen=True, slots=True)
class ModelAndFile:
    """What is the same for every layout: both sides, and what the call's patterns select.

    Attributes:
        choices: the call's own.
        same: whether two tensors of the file hold equal values.
        versions: of the file's modules, as PyTorch writes them.
        bare: the file's names without wrappers → as they are, where that says which is meant.
    """

    target: Target
    in_file: Tensors
    ours: Names
    theirs: Names
    ignore: Rules
    optional: Rules
    resized: Mapping[str, tuple[Resize | RowsOf, Rule]]
    same: Callable[[str, str], bool]
    choices: Choices
    versions: Mapping[str, int]
    bare: Mapping[str, str]

    @classmethod
    def make(
        cls,
        target: Target,
        in_file: Tensors,
        choices: Choices,
        same: Callable[[str, str], bool],
        versions: Mapping[str, int] | None = None,
    ) -> ModelAndFile:
        """Raises WeightsError: E702 for what is no pattern, E701 for one that selects nothing."""
        ours, theirs = Names(target.tensors, target.types), Names(in_file)
        ours.require([*choices.resize, *choices.allow_missing])
        resized: dict[str, tuple[Resize | RowsOf, Rule]] = {}
        for text, how in choices.resize.items():
            if text.startswith("!"):
                hint = "let a later pattern say otherwise"
                raise WeightsError(Problem("E702", f"'{text}': resize excludes none", hint=hint))
            rule = Rule(f"resize {text}: {how}")
            resized |= dict.fromkeys(ours.selected([(text, rule)]), (how, rule))
        for name, rows in choices.rows.items():
            kept = sum(row is not None for row in rows)
            resized[name] = rows, Rule(f"{kept} of {len(rows)} rows by their labels' names")
        ignore = [(text, Rule(f"ignore {text}")) for text in choices.ignore]
        optional = [(text, Rule(f"optional {text}")) for text in choices.allow_missing]
        theirs.selected(ignore)  # what is no pattern is reported whatever the layout
        return cls(
            target, in_file, ours, theirs, ignore, optional, resized, same, choices, versions or {},
            _bare(in_file),
        )  # fmt: skip

    def with_choices(self, ignore: Sequence[str], optional: Sequence[str]) -> ModelAndFile:
        """The same, if these patterns were among the call's."""
        choices = self.choices
        extended = replace(
            choices,
            ignore=[*choices.ignore, *ignore],
            allow_missing=[*choices.allow_missing, *optional],
        )
        return ModelAndFile.make(self.target, self.in_file, extended, self.same, self.versions)

    def may_meet(self, theirs: TensorInfo, ours: TensorInfo, shared: str) -> bool:
        """Whether the shapes are equal, or the call says that they may differ."""
        return theirs.shape == ours.shape or not self.resized.keys().isdisjoint((ours.name, shared))

    def under(self, naming: Naming) -> tuple[Mapping[str, Rule], Mapping[str, Rule]]:
        """What is ignored and what is optional: first the layout's say, then the call's.

        A layout speaks of names without the wrappers and the prefix that were found in front.
        """
        decided: dict[str, Rule | None] = {}
        if naming.ignore:
            as_written = dict(zip(self.bare.values(), self.bare, strict=True))
            known = {naming.known(as_written.get(name, name)): name for name in self.in_file}
            decided = {
                known[name]: rule for name, rule in Names(known).decided(naming.ignore).items()
            }
        decided |= self.theirs.decided(self.ignore)
        ignored = {name: rule for name, rule in decided.items() if rule}
        return ignored, self.ours.selected([*naming.optional, *self.optional])


def _bare(in_file: Tensors) -> dict[str, str]:
    bare_names: dict[str, str] = {}
    ambiguous: set[str] = set()
    for name in in_file:
        if (bare := unwrapped(name)) != name:
            if bare in bare_names or bare in in_file:
                ambiguous.add(bare)
            bare_names[bare] = name
    return {bare: name for bare, name in bare_names.items() if bare and bare not in ambiguous}
