"""Adapters: a transformation of the module tree that puts small trained parts in place of layers.

What takes the place of a layer is a block like any other, in ``adapter_blocks.yaml``: whatever
reads the tree knows it without knowing of adapters.
"""

from __future__ import annotations

import functools
import keyword
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from archspec.errors import Findings, Problem, SpecError, did_you_mean, listing
from archspec.lang import patterns, schema, yaml
from archspec.lang.build_tree import read
from archspec.lang.checker import Checker
from archspec.lang.expand import Instantiator
from archspec.lang.expr import Value
from archspec.lang.expr.nodes import Attribute, Name, Node, walk
from archspec.lang.inherit import Document
from archspec.lang.instances import Instance, ancestors
from archspec.lang.instances import walk as walk_instances
from archspec.lang.layer_parts import entries
from archspec.lang.limits import MODULES_VARIABLE, max_modules
from archspec.lang.params import Override
from archspec.lang.patterns import Tree
from archspec.lang.schema import Architecture
from archspec.lang.tree import SpecTree, forward_expressions
from archspec.lang.yaml import Entry, Listing, find

CHOICE = "adapter"  # the name under which an override chooses one
BASE = "base_layer"  # what a layer is called inside of what takes its place
_NONE = (None, "none")
_CLASSES = {
    ("lora", "Linear"): "LoraLinear",
    ("lora", "Embedding"): "LoraEmbedding",
    ("lora", "Conv1d"): "LoraConv1d",
    ("lora", "Conv2d"): "LoraConv2d",
    ("dora", "Linear"): "DoraLinear",
    ("ia3", "Linear"): "Ia3Linear",
}
_FEEDFORWARD = "Ia3FeedforwardLinear"
_OWN = frozenset(
    "lora_A lora_B lora_dropout lora_embedding_A lora_embedding_B lora_magnitude_vector "
    "ia3_l".split()
)
_SETTINGS = ("rank", "alpha", "dropout", "rslora")  # which ia3 has not


@dataclass(frozen=True, slots=True)
class AppliedAdapter:
    """An adapter in a model.

    Attributes:
        name: in the spec; one that was given from outside has that of its kind.
        declared: what it says.
        classes: path of a layer → the block that took its place.
    """

    name: str
    declared: schema.Adapter
    classes: Mapping[str, str]

    def plain_name(self, path: str) -> str:
        """What a tensor or module of the adapted model is called in the plain one.

        >>> AppliedAdapter("lora", None, {"fc": "LoraLinear"}).plain_name("fc.base_layer.weight")
        'fc.weight'
        """
        for length in (1, 2):
            owner, *rest = path.rsplit(".", length)
            if rest[:1] == [BASE] and owner in self.classes:
                return ".".join([owner, *rest[1:]])
        return path

    def adapted_name(self, path: str) -> str:
        """What a tensor of the plain model is called in the adapted one."""
        owner, _, name = path.rpartition(".")
        return f"{owner}.{BASE}.{name}" if owner in self.classes and name not in _OWN else path

    def is_own(self, tensor: str) -> bool:
        """Whether a tensor belongs to the adapter, not to the plain model."""
        return bool(self.part_of(tensor))

    def part_of(self, tensor: str) -> str:
        """The part of the adapter that a tensor belongs to, such as ``lora_A``; "" for none."""
        return self.split(tensor)[1].partition(".")[0]

    def split(self, tensor: str) -> tuple[str, str]:
        """A tensor of the adapter as its layer and what follows; else nothing.

        >>> AppliedAdapter("lora", None, {"fc": "LoraLinear"}).split("fc.lora_A.weight")
        ('fc', 'lora_A.weight')
        """
        for owner in ancestors(tensor):
            rest = tensor[len(owner) + 1 :]
            if owner in self.classes and rest.partition(".")[0] in _OWN:
                return owner, rest
        return "", ""


@dataclass(frozen=True, slots=True)
class Chosen:
    """An adapter that is to be applied; ``given`` if it comes from outside of the spec."""

    name: str
    declared: schema.Adapter
    given: Override | None = None


@dataclass(frozen=True, slots=True)
class Adapted:
    """The parts of an adapted spec."""

    document: Document
    architecture: Architecture
    tree: SpecTree
    root: Instance
    adapter: AppliedAdapter


def choice(document: Document, overrides: Mapping[str, Override]) -> Override | None:
    """The override that chooses an adapter; none where that is the name of a parameter."""
    params = find(document.root, ("params",))
    if isinstance(params, yaml.Mapping) and CHOICE in params.entries:
        return None
    return overrides.get(CHOICE)


def chosen(architecture: Architecture, given: Override | None) -> Chosen | None:
    """The adapter that is applied; None for the plain model.

    Raises:
        SpecError: E706 for a name that there is not, E205 for what is no adapter.
    """
    if given is None:
        name = architecture.adapter
        return None if name is None else _named(architecture, name, None)
    if given.value in _NONE and given.value not in architecture.adapters:
        return None
    if isinstance(given.value, str):
        return _named(architecture, given.value, given)
    try:
        adapter = schema.Adapter.model_validate(given.value)
    except ValidationError as error:
        raise SpecError(_complaints(error, given)) from None
    if problem := _settings_complaint(adapter):
        raise SpecError(Problem("E205", f"adapter: {problem}", given.place))
    return Chosen(adapter.kind, adapter, given)


def _named(architecture: Architecture, name: str, given: Override | None) -> Chosen:
    if name not in architecture.adapters:
        known = list(architecture.adapters)
        hint = did_you_mean(name, known)
        if not hint:
            example = 'adapter={"kind": "lora", "match": ["**.query"]}'
            hint = f"adapters: {listing(known)}" if known else f"the spec has none; give {example}"
        origin = f" ({given.origin})" if given else ""
        message = f"no adapter is called '{name}'{origin}"
        raise SpecError(Problem("E706", message, given.place if given else None, hint))
    return Chosen(name, architecture.adapters[name])


def _complaints(error: ValidationError, given: Override) -> Iterator[Problem]:
    fields = schema.Adapter.model_fields
    for one in error.errors(include_url=False):
        key = str(one["loc"][0]) if one["loc"] else ""
        if one["type"] == "extra_forbidden":
            hint = did_you_mean(key, fields) or f"keys here: {listing(list(fields))}"
            yield Problem("E201", f"adapter: unknown key '{key}'", given.place, hint)
        elif one["type"] == "missing":
            yield Problem("E202", f"adapter: the key '{key}' is missing", given.place)
        else:
            where = f"'{key}' " if key else "a name or a mapping: "
            yield Problem("E205", f"adapter: {where}{one['msg'].lower()}", given.place)


def _settings_complaint(adapter: schema.Adapter) -> str:
    """What is said that means nothing for the kind; "" if nothing is."""
    given = adapter.model_fields_set
    if adapter.kind == "ia3" and (wrong := [key for key in _SETTINGS if key in given]):
        return f"'{wrong[0]}' means nothing for ia3"
    if adapter.kind != "ia3" and adapter.feedforward:
        return "'feedforward' means nothing but for ia3"
    return ""


# ----------------------------------------------------------------------------------------- checks


def check_adapters(checker: Checker) -> None:
    """What an adapter of the spec says, but for its patterns."""
    architecture = checker.architecture
    for name, adapter in architecture.adapters.items():
        path = ("adapters", name)
        if problem := _settings_complaint(adapter):
            checker.add("E205", problem, path, key=True)
        if name in architecture.freeze:
            hint = "its own plan, in which only the adapter is trained, has the adapter's name"
            checker.add("E207", f"a freeze plan is called '{name}', too", path, key=True, hint=hint)
    known = architecture.adapters
    if architecture.adapter is not None and architecture.adapter not in known:
        hint = did_you_mean(architecture.adapter, known)
        hint = hint or f"adapters: {listing(list(known)) or 'none'}"
        checker.add("E706", f"no adapter is called '{architecture.adapter}'", (CHOICE,), hint=hint)


# ------------------------------------------------------------------------------------ transforming


@dataclass(frozen=True, slots=True)
class PlainModel:
    """What an adapter needs to know of a checked spec.

    Attributes:
        values: of the global parameters and local values.
        ties: path → the path of the parameter whose tensor it shares.
    """

    document: Document
    architecture: Architecture
    tree: SpecTree
    root: Instance
    values: Mapping[str, Value]
    ties: Mapping[str, str]

    def unfit(self) -> Iterator[Problem]:
        """Which adapters of the spec do not fit the model, applied or not."""
        for name, adapter in self.architecture.adapters.items():
            try:
                _Target(self, Chosen(name, adapter)).classes()
            except SpecError as error:
                # What selects nothing may speak of what these values leave out.
                yield from (problem for problem in error.problems if problem.code == "E707")


def adapted(model: PlainModel, chosen: Chosen) -> Adapted:
    """A spec with an adapter in it.

    Raises:
        SpecError: E701 and E702 for patterns, E707 for layers that the adapter cannot replace, E207
            for a block that is called as one of the adapter's.
    """
    document, architecture, root = model.document, model.architecture, model.root
    name, adapter = chosen.name, chosen.declared
    target = _Target(model, chosen)
    if chosen.given is not None and name in architecture.freeze:
        hint = "give it a name under adapters in the spec"
        raise SpecError(target.problem("E207", f"a freeze plan is called '{name}'", hint=hint))
    replaced = target.classes()
    needed = frozenset(replaced.values())
    if clash := sorted(needed & architecture.blocks.keys()):
        message = f"the adapter '{name}' brings a block '{clash[0]}'"
        path = ("blocks", clash[0])
        raise SpecError(document.problem("E207", message, path, key=True, hint="rename the block"))
    document = _with_blocks(document, needed)
    library = _library()
    trained = [t.removeprefix("!") if t.startswith("!") else f"!{t}" for t in adapter.train]
    own = [f"!@{kind}.{part}" for kind in sorted(needed) for part in _parts(kind)]
    plan = schema.FreezePlan(patterns=["**", *own, *trained])
    changes: dict[str, Any] = {
        "blocks": {**architecture.blocks, **{n: library.blocks[n] for n in sorted(needed)}},
        "init": [*architecture.init, *library.init],
        "freeze": {**architecture.freeze, name: plan},
        "adapters": {**architecture.adapters, name: adapter},
        "adapter": name,
    }
    architecture = architecture.model_copy(update=changes)
    checker = Checker(architecture, document, Findings())
    tree = read(checker)
    maker = Instantiator(checker, tree, model.values)
    plain = dict(walk_instances(root))
    new: dict[str, Instance] = {}
    for path, kind in replaced.items():
        made = maker.made(kind, _arguments(kind, plain[path], adapter, tree))
        if made is None:
            raise SpecError(checker.findings.in_order())
        new[path] = replace(made, path=plain[path].path, declared=plain[path].declared)
    root = _with(root, new, "")
    if root.modules > max_modules():
        message = f"with the adapter, the model has more than {max_modules():,} modules"
        hint = f"raise the limit with {MODULES_VARIABLE}"
        raise SpecError(target.problem("E401", message, hint=hint))
    applied = AppliedAdapter(name, adapter, replaced)
    return Adapted(document, architecture, tree, root, applied)


def _with(instance: Instance, new: Mapping[str, Instance], path: str) -> Instance:
    """The tree with other modules at some paths."""
    if path in new:
        return new[path]
    prefix = f"{path}." if path else ""
    if path and not any(one.startswith(prefix) for one in new):
        return instance
    children = tuple((n, _with(child, new, prefix + n)) for n, child in instance.children)
    pairs = zip(children, instance.children, strict=True)
    changes = [(after, before) for (_, after), (_, before) in pairs if after is not before]
    return replace(
        instance,
        children=children,
        modules=instance.modules + sum(a.modules - b.modules for a, b in changes),
        elements=instance.elements + sum(a.elements - b.elements for a, b in changes),
        work=instance.work + sum(a.work - b.work for a, b in changes),
    )


def _arguments(
    kind: str, layer: Instance, adapter: schema.Adapter, tree: SpecTree
) -> dict[str, Value]:
    """What the block is given: the layer's own arguments, and the adapter's settings."""
    settings = {
        "rank": adapter.rank,
        "scaling": adapter.scaling,
        "dropout": float(adapter.dropout),
    }
    given = {**layer.arguments, **settings}
    return {name: given[name] for name in tree.blocks[kind].params if name in given}


def _parts(kind: str) -> list[str]:
    """The parts of an adapter's block that are its own."""
    block = _library().blocks[kind]
    return [name for name in (*block.modules, *block.parameters) if name in _OWN]


class _Target:
    """Which layers of a model an adapter replaces."""

    def __init__(self, model: PlainModel, chosen: Chosen) -> None:
        self.document, self.blocks, self.adapter = (
            model.document,
            model.tree.blocks,
            chosen.declared,
        )
        self.given, self.at = chosen.given, ("adapters", chosen.name)
        self.instances = dict(walk_instances(model.root))
        self.tree = Tree(entries(model.root))
        self.shared = {path.rpartition(".")[0] for tie in model.ties.items() for path in tie}

    def problem(self, code: str, message: str, *keys: str | int, hint: str = "") -> Problem:
        """A problem with what the adapter says, at its place in the spec if it stands there."""
        if self.given is not None:
            return Problem(code, f"adapter: {message}", self.given.place, hint)
        path = (*self.at, *keys)
        while not self.document.has(path):  # a text is short for a list of one
            path = path[:-1]
        return self.document.problem(code, message, path, hint=hint)

    def classes(self) -> dict[str, str]:
        """Path of each layer that is replaced → the block that replaces it."""
        kind = self.adapter.kind
        known = [layer for other, layer in _CLASSES if other == kind]
        trained = self._selected(self.adapter.train, "train")
        chosen = self._selected(self.adapter.match, "match")
        feedforward = self._selected(self.adapter.feedforward, "feedforward")
        layers = [p for p in chosen if p not in trained and self.instances[p].type in known]
        if not layers:
            types = dict.fromkeys(self.instances[p].type for p in chosen)
            found = f"they select {listing(list(types))}" if types else "they select no whole layer"
            message = f"no layer of the adapter's patterns can have {kind}: {found}"
            hint = f"{kind} replaces {listing(known)}; what 'train' selects is left as it is"
            raise SpecError(self.problem("E707", message, hint=hint))
        outside = (path for path in feedforward if path not in layers)
        if stray := [path for path in outside if self.instances[path].type in known]:
            message = f"feedforward selects '{stray[0]}', which the adapter does not replace"
            raise SpecError(self.problem("E707", message, "feedforward"))
        if problems := [*self._complaints(layers)]:
            raise SpecError(problems)
        return {
            path: _FEEDFORWARD if path in feedforward else _CLASSES[kind, self.instances[path].type]
            for path in layers
        }

    def _selected(self, texts: list[str], key: str) -> dict[str, None]:
        """The modules that patterns select; the last one that selects a module decides."""
        found: dict[str, None] = {}
        for i, text in enumerate(texts):
            try:
                pattern = patterns.parse(text)
            except patterns.PatternError as error:
                message = f"'{text}': {error.message}"
                raise SpecError(self.problem("E702", message, key, i)) from None
            selected = [self.tree.entries[n] for n in sorted(self.tree.select(pattern))]
            if not selected:
                near = self.tree.near_misses(pattern)
                hint = f"did you mean {', '.join(map(repr, near))}?" if near else ""
                message = f"the pattern '{text}' selects nothing"
                raise SpecError(self.problem("E701", message, key, i, hint=hint))
            for entry in selected:
                if pattern.negated:
                    found.pop(entry.path, None)
                elif entry.type is not None:
                    found[entry.path] = None
        return {path: None for path in self.instances if path in found}

    def _complaints(self, layers: list[str]) -> Iterator[Problem]:
        """Why layers cannot be replaced, each declaration once."""
        found: dict[tuple[yaml.Path, str], list[str]] = {}
        for path in layers:
            if reason := self._complaint(path):
                found.setdefault((self.instances[path].path, reason), []).append(path)
        for (at, reason), (first, *others) in found.items():
            more = f" and {len(others)} more like it" if others else ""
            message = f"'{first}'{more} cannot have {self.adapter.kind}: {reason}"
            out = "them out with patterns" if others else f"it out: match takes '!{first}'"
            hint = f"leave {out}" if not others else f"leave {out} that begin with !"
            yield self.document.problem("E707", message, at, hint=hint)

    def _complaint(self, path: str) -> str:
        """Why a layer cannot be replaced; "" if it can."""
        layer = self.instances[path]
        kind = _CLASSES[self.adapter.kind, layer.type]
        params = _library().blocks[kind].params
        odd = [name for name in layer.arguments if name not in params and not _usual(layer, name)]
        name = path.rpartition(".")[2]
        if not path:
            return "it is the whole model"
        if path in self.shared:
            return "it shares its weight with another one (tie)"
        if odd:
            return f"its {odd[0]} is {layer.arguments[odd[0]]!r}"
        if not name.isdecimal() and (not name.isidentifier() or keyword.iskeyword(name)):
            return "its name is no name of Python"
        reader = self._reader(path)
        return f"{reader} reads its tensors past it" if reader else ""

    def _reader(self, path: str) -> str:
        """The block around a layer whose steps read a tensor of the layer themselves."""
        for above in ancestors(path):
            block = self.blocks.get(self.instances[above].type)
            inside = path[len(above) + 1 :] if above else path
            for node in forward_expressions(block) if block else ():
                if any(_chain(part).startswith(f"{inside}.") for part in walk(node)):
                    return self.instances[above].type
        return ""


def _usual(layer: Instance, name: str) -> bool:
    """Whether an argument that the adapter's block does not take has its default."""
    from archspec.lang.registry import layers

    known = layers.find(layer.type)
    argument = known.argument(name) if known else None
    default: object = argument.default if argument else None
    return layer.arguments[name] == default


def _chain(node: Node) -> str:
    """``a.b.weight`` for attributes of a name; "" for anything else."""
    parts: list[str] = []
    while isinstance(node, Attribute):
        parts.append(node.name)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, Name) and parts else ""


# ---------------------------------------------------------------------------------------- library


@functools.cache
def _source() -> yaml.Mapping:
    file = Path(__file__).with_name("adapter_blocks.yaml")
    return yaml.read(file, shown_as=f"archspec/{file.name}")[0]


@functools.cache
def _library() -> Architecture:
    return Architecture.model_validate(yaml.plain(_source()))


def _with_blocks(document: Document, names: frozenset[str]) -> Document:
    """The document with blocks of the adapters, and the rules of how they start."""
    root, source = document.root, _source()
    blocks, more = find(root, ("blocks",)), find(source, ("blocks",))
    assert isinstance(blocks, yaml.Mapping) and isinstance(more, yaml.Mapping)
    joined = {**blocks.entries, **{name: more.entries[name] for name in sorted(names)}}
    changed = {"blocks": Entry(root.entries["blocks"].key, replace(blocks, entries=joined))}
    rules = source.entries["init"]
    own = root.entries.get("init")
    added = cast("Listing", rules.value).items
    if own is not None and isinstance(own.value, Listing):
        rules = replace(own, value=replace(own.value, items=(*own.value.items, *added)))
    changed["init"] = rules
    return replace(document, root=replace(root, entries={**root.entries, **changed}))
