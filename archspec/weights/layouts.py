"""How a checkpoint names our tensors: declared layouts, prefixes, older and TensorFlow's names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from archspec.errors import (
    Place,
    Problem,
    UsageError,
    WeightsError,
    did_you_mean,
    listing,
    shown,
)
from archspec.lang import patterns, yaml
from archspec.lang.config_specs import listed
from archspec.lang.instances import walk
from archspec.lang.params import as_tuples
from archspec.lang.patterns import Rename
from archspec.lang.schema import Checkpoint as Layout
from archspec.lang.schema import Joined
from archspec.lang.spec import Spec
from archspec.weights.rows import Rule

OWN = "archspec"  # the model's own names, as a layout

WRAPPERS = ("module", "_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module")
"""What DataParallel, ``torch.compile``, checkpointing and FSDP put into names, at any depth."""

_ANCHORS = 16  # names by which prefixes are found
_MAX_PREFIXES = 4
_TENSORFLOW = {"weight": "gamma", "bias": "beta"}
_TENSORFLOW_RULE = Rule("TensorFlow's gamma and beta")


@dataclass(frozen=True, slots=True)
class Join:
    """Tensors that are several on one side and one on the other.

    Attributes:
        kind: ``split``: they lie behind each other; ``stack``: in a dimension of their own.
        renames: one for each of a list, else one, with ``#`` for a number.
        is_ours_several: whether ours are the several.
        dim: of the one tensor.
        ratio: of the sizes of the several, where the layout says it.
    """

    kind: str
    renames: tuple[Rename, ...]
    is_ours_several: bool
    dim: int
    rule: Rule
    ratio: tuple[int, ...] = ()

    @property
    def parts(self) -> int:
        """How many there are; 0 where they are numbered."""
        return len(self.renames) if self.kind == "split" else 0

    def place_of(self, name: str) -> tuple[int, str] | None:
        """Which of several one of our tensors is, and of what."""
        if self.kind == "stack":
            return self.renames[0].numbered(name)
        for index, rename in enumerate(self.renames):
            if (foreign := rename.to_foreign(name)) is not None:
                return index, foreign
        return None

    def places_of(self, name: str, size: int) -> list[str]:
        """The several that one of our tensors is, of ``size`` along the dimension; none if not."""
        names = [
            foreign for rename in self.renames if (foreign := rename.to_foreign(name)) is not None
        ]
        if self.kind == "stack" and names:
            return [names[0].replace("#", str(i)) for i in range(size)]
        return names if len(names) == len(self.renames) else []


@dataclass(frozen=True, slots=True)
class Naming:
    """How a file writes our names.

    Attributes:
        name: of the layout.
        prefix: what the layout says that every name begins with, and where it says so.
        place: where the spec declares it.
        renames: the layout's renames, in order; the first that applies counts.
        then: those of the names that ``renames`` give.
        ignore: patterns over the file's names.
        optional: patterns over ours.
        joins: tensors that are several on one side.
        transposed: patterns over ours.
        reshaped: patterns over ours, with the sizes of the file as the layout says them.
        unmet: problems of a model whose parameters are not those of the files' models.
        placed: our names of tensors that stand otherwise in a file → what they are called.
        added: what the file's names begin with besides.
        lacking: what the file's names should begin with and do not.
    """

    name: str = OWN
    prefix: tuple[str, Rule] | None = None
    place: Place | None = None
    renames: tuple[tuple[Rename, Rule], ...] = ()
    then: tuple[tuple[Rename, Rule], ...] = ()
    ignore: tuple[tuple[str, Rule], ...] = ()
    optional: tuple[tuple[str, Rule], ...] = ()
    joins: tuple[Join, ...] = ()
    transposed: tuple[tuple[str, Rule], ...] = ()
    reshaped: tuple[tuple[str, Rule, tuple[int, ...]], ...] = ()
    unmet: tuple[Problem, ...] = ()
    placed: Mapping[str, tuple[str, tuple[Rule, ...]]] = field(
        default_factory=dict[str, tuple[str, tuple[Rule, ...]]]
    )
    added: str = ""
    lacking: str = ""

    @property
    def prefix_rule(self) -> Rule | None:
        """The prefix that is not the layout's own, as a rule."""
        if self.added:
            return Rule(f"the file's prefix '{self.added}'")
        return Rule(f"the file lacks the prefix '{self.lacking}'") if self.lacking else None

    @property
    def described(self) -> str:
        """``the layout 'theirs' (the file's prefix 'module.')``."""
        name = "the model's own names" if self.name == OWN else f"the layout '{self.name}'"
        return f"{name} ({self.prefix_rule.text})" if self.prefix_rule else name

    def foreign(self, name: str) -> tuple[str, tuple[Rule, ...]] | None:
        """The file's name of one of our tensors, and why it differs; None if it can have none."""
        if name in self.placed:
            return self.placed[name]
        renamed, rules = self.renamed(name)
        if self.prefix:
            rules = (*rules, self.prefix[1])
        if self.prefix_rule is not None:
            rules = (*rules, self.prefix_rule)
        full_name = self.in_front(renamed)
        return None if full_name is None else (full_name, rules)

    def in_front(self, name: str) -> str | None:
        """A foreign name with what the file has in front; None if the file cannot have it."""
        full_name = self.prefix[0] + name if self.prefix else name
        if self.lacking and not full_name.startswith(self.lacking):
            return None
        return self.added + full_name.removeprefix(self.lacking)

    def renamed(self, name: str) -> tuple[str, tuple[Rule, ...]]:
        """The foreign name without any prefix, and why it differs."""
        rules: list[Rule] = []
        for step in (self.renames, self.then):
            for rename, rule in step:
                if (renamed := rename.to_foreign(name)) is not None:
                    rules += [rule] if renamed != name else []
                    name = renamed
                    break
        return name, tuple(rules)

    def foreign_all(self, names: Iterable[str]) -> dict[str, str]:
        """Our names → the file's."""
        return {name: found[0] for name in names if (found := self.foreign(name))}

    def known(self, foreign: str) -> str:
        """A name of the file as the layout itself would write it."""
        return self.lacking + foreign.removeprefix(self.added)

    def with_prefixes(self, ours: Collection[str], theirs: Collection[str]) -> Iterator[Naming]:
        """The same with prefixes that would make names meet, the likeliest first."""
        own = list(self.foreign_all(ours).values())
        for prefix in _prefixes(_spread(own), theirs):
            yield replace(self, added=prefix)
        for prefix in _prefixes(_spread(list(theirs)), own):
            yield replace(self, lacking=prefix)


def _spread(names: Sequence[str]) -> list[str]:
    step = max(1, len(names) // _ANCHORS)
    return list(names[::step])[:_ANCHORS]


def _prefixes(shorter: Iterable[str], longer: Collection[str]) -> list[str]:
    """What ``longer`` names have in front of ``shorter`` ones, the most frequent first."""
    counts = Counter(
        name.removesuffix(anchor)
        for anchor in shorter
        for name in longer
        if anchor and name.endswith(f".{anchor}")
    )
    return [prefix for prefix, _ in counts.most_common(_MAX_PREFIXES)]


def to_foreign(name: str, layout: Layout) -> str:
    """Our tensor name as a layout writes it: the first rename that applies, then the prefix.

    Of ``rename`` and of ``then``, in this order.
    """
    for step in (layout.rename, layout.then):
        lines = (patterns.parse_rename(*line) for line in step.items())
        name = next((new for one in lines if (new := one.to_foreign(name)) is not None), name)
    return layout.prefix + name


def namings(spec: Spec | None) -> dict[str, Naming]:
    """Our own names and the layouts of the spec, by name."""
    declared = spec.architecture.checkpoints if spec else {}
    return {OWN: Naming()} | {
        name: _declared(spec, name, layout) for name, layout in declared.items() if spec
    }


def naming_of(name: str, spec: Spec | None) -> Naming:
    """The layout of that name.

    Raises:
        WeightsError: E604 if there is none.
        UsageError: E801 for anything but a name.
    """
    if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise UsageError(Problem("E801", f"a layout is a name, not {type(name).__name__}"))
    known = namings(spec)
    if name not in known:
        whose = spec.name if spec else "a model that archspec did not build"
        hint = did_you_mean(name, known) or f"layouts: {listing(list(known))}"
        raise WeightsError(Problem("E604", f"{whose} has no layout '{name}'", hint=hint))
    return known[name]


def _declared(spec: Spec, name: str, layout: Layout) -> Naming:
    path = ("checkpoints", name)

    def renames(part: str, lines: Mapping[str, str]) -> tuple[tuple[Rename, Rule], ...]:
        return tuple(
            (
                patterns.parse_rename(ours, foreign),
                Rule(
                    f"{part} {ours}: {foreign}", spec.document.place((*path, part, ours), key=True)
                ),
            )
            for ours, foreign in lines.items()
        )

    def patterns_of(part: str, texts: Sequence[str]) -> tuple[tuple[str, Rule], ...]:
        places = [spec.document.place((*path, part, i)) for i in range(len(texts))]
        pairs = zip(texts, places, strict=True)
        return tuple((text, Rule(f"{part} {text}", place)) for text, place in pairs)

    ignore = patterns_of("ignore", layout.ignore)
    optional = patterns_of("optional", layout.optional)
    place = spec.document.place(path, key=True)
    prefix = None
    if layout.prefix:
        rule = Rule(f"prefix '{layout.prefix}'", spec.document.place((*path, "prefix")))
        prefix = layout.prefix, rule
    joins = [
        _join(kind, joined, spec.document.place((*path, kind, i)))
        for kind, several in (("split", layout.split), ("stack", layout.stack))
        for i, joined in enumerate(several)
    ]
    transposed = patterns_of("transpose", layout.transpose)
    reshaped = tuple(
        (
            text,
            Rule(f"reshape {text}", spec.document.place((*path, "reshape", text), key=True)),
            tuple(sizes),
        )
        for text, sizes in layout.reshape.items()
    )
    return Naming(
        name,
        prefix,
        place,
        renames("rename", layout.rename),
        renames("then", layout.then),
        ignore,
        optional,
        tuple(joins),
        transposed,
        reshaped,
        tuple(_unmet(spec, name, layout)),
    )


def _unmet(spec: Spec, name: str, layout: Layout) -> Iterator[Problem]:
    """What keeps a model from computing what the models of such files compute."""
    for param, required in layout.require.items():
        value, alternatives = spec.params[param].value, listed(required)
        if value in map(as_tuples, alternatives):
            continue
        expected = " or ".join(map(shown, alternatives))
        message = f"the layout '{name}' is of models with {param} {expected}: here it is"
        place = spec.document.place(("checkpoints", name, "require", param))
        first = shown(alternatives[0])
        hint = f"build it with -p {param}={first}; in Python, {param}={alternatives[0]!r}"
        yield Problem("E609", f"{message} {shown(value)}", place, hint)


def _join(kind: str, joined: Joined, place: Place | None) -> Join:
    ours, theirs = joined.ours, joined.theirs
    count = max(len(ours), len(theirs))
    pairs = zip(ours * (count // len(ours)), theirs * (count // len(theirs)), strict=True)
    renames = tuple(patterns.parse_rename(*pair) for pair in pairs)
    several = len(ours) > 1 or "#" in ours[0]
    rule = Rule(f"{kind} {', '.join(ours)}: {', '.join(theirs)}", place)
    return Join(kind, renames, several, joined.dim, rule, tuple(joined.sizes))


def older_names(spec: Spec, names: Iterable[str]) -> dict[str, tuple[str, Rule]]:
    """What the tensors were called before their modules were renamed (``renamed_from``)."""
    older: dict[str, str] = {}
    rules: dict[str, Rule] = {}
    for path, instance in walk(spec.root):
        parent, _, name = path.rpartition(".")
        declared_at = (*instance.path, "renamed_from")
        node = yaml.find(spec.document.root, declared_at)
        old = name
        if isinstance(node, yaml.Scalar):
            old = str(node.value)
            rules[path] = Rule(f"renamed_from {old}", spec.document.place(declared_at))
        elif parent in rules:
            rules[path] = rules[parent]
        prefix = older.get(parent, parent)
        older[path] = f"{prefix}.{old}" if prefix else old
    older_tensors: dict[str, tuple[str, Rule]] = {}
    for name in names:
        module = name.rpartition(".")[0]
        while module not in older:  # a part of a layer, such as out_proj
            module = module.rpartition(".")[0]
        if older[module] != module:
            older_tensors[name] = f"{older[module]}{name[len(module) :]}", rules[module]
    return older_tensors


def tensorflow_name(foreign: str, module_type: str) -> tuple[str, Rule] | None:
    """What TensorFlow calls the weight or bias of a norm; None for any other tensor."""
    module, dot, tensor = foreign.rpartition(".")
    if "Norm" not in module_type or tensor not in _TENSORFLOW:
        return None
    return f"{module}{dot}{_TENSORFLOW[tensor]}", _TENSORFLOW_RULE


def unwrapped(name: str) -> str:
    """A name without what wrappers put into it.

    >>> unwrapped("module._orig_mod.layers.0.module.fc.weight")
    'layers.0.fc.weight'
    """
    parts = name.split(".")
    if not any(part in WRAPPERS for part in parts):
        return name
    return ".".join(part for part in parts if part not in WRAPPERS)


def wrapper_rule(name: str) -> Rule:
    """Why a name with wrappers is one without."""
    wrappers = dict.fromkeys(f"'{part}.'" for part in name.split(".") if part in WRAPPERS)
    return Rule(f"without the wrapper {' and '.join(wrappers)}")


def closest_name(name: str, candidates: Iterable[str]) -> str:
    """The candidate that ``name`` most likely means, or ""."""
    last = name.rpartition(".")[2]
    alike = islice((c for c in candidates if c.rpartition(".")[2] == last), 500)
    hint = did_you_mean(name, alike)
    return hint.removeprefix("did you mean '").removesuffix("'?")
