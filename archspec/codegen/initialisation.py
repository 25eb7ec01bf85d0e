"""The spec's ``init`` rules as one function of the generated module."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from archspec.codegen.constructor import BODY, class_text, initialiser_text
from archspec.codegen.names import Names
from archspec.codegen.printing import Printer, constant
from archspec.codegen.writer import Writer
from archspec.lang import patterns
from archspec.lang.checks.selections import split_fill
from archspec.lang.expr.expressions import Expression, parse
from archspec.lang.instances import Instance, entries, walk
from archspec.lang.params import literal
from archspec.lang.patterns import Tree, Typed
from archspec.lang.registry import layers
from archspec.lang.schema import InitRule
from archspec.lang.yaml import Path

_ALWAYS = ("Linear", "Bilinear", "Embedding", "EmbeddingBag", "Conv", "PReLU")


@dataclass(frozen=True, slots=True)
class _Chosen:
    """The modules that a rule matches, and the condition that says so in Python."""

    condition: str
    modules: dict[str, Instance]


class Initialisation:
    """Writes ``initialize``, which each module of the tree is passed to."""

    def __init__(self, names: Names, writer: Writer) -> None:
        self.names, self.writer = names, writer
        self.rules = names.spec.architecture.init
        self.tree = Tree(entries(names.spec.root))
        self.instances = dict(walk(names.spec.root))
        self.printer = Printer(self._name)

    def _name(self, name: str) -> str:
        if name in self.names.classes:
            return constant(self.names.classes[name])
        return f"config.{name}"

    def arguments(self) -> list[str]:
        """What the function needs beside the module: written, so that it takes no more."""
        body = Writer()
        Initialisation(self.names, body)._body()
        text = body.text()
        return [
            word
            for word, sign in (("name", ", name)"), ("name", "name in "), ("config", "config."))
            if sign in text
        ]

    def filled(self) -> dict[str, frozenset[str]]:
        """Module path → its parameters that some rule fills as a whole."""
        found: dict[str, set[str]] = {}
        for rule in self.rules:
            whole = {key for key in rule.fills if "[" not in key}
            for path in self._chosen(rule).modules:
                found.setdefault(path, set()).update(whole)
        return {path: frozenset(names) for path, names in found.items()}

    def write(self) -> None:
        uses = dict.fromkeys(self.arguments())
        kinds = {"name": "name: str", "config": "config: Config"}
        signature = ["module: nn.Module", *(kinds[use] for use in uses)]
        add = self.writer.add
        add("@torch.no_grad()")
        add(f"def initialize({', '.join(signature)}, generator: torch.Generator | None = None):")
        add('"""Give the parameters that a module itself holds their first values."""', 4)
        self._body()

    def _body(self) -> None:
        for i, rule in enumerate(self.rules):
            self._rule(rule, ("init", i))

    def _rule(self, rule: InitRule, path: Path) -> None:
        chosen = self._chosen(rule)
        fills = [self._fill(key, initialiser, chosen) for key, initialiser in rule.fills.items()]
        condition = chosen.condition
        if len(fills) == 1 and fills[0][0]:  # one condition, not one inside the other
            condition = f"({condition})" if " or " in condition else condition
            condition = f"{condition} and {fills[0][0]}"
            fills = [("", fills[0][1])]
        self.writer.add(f"if {condition}:", 4, path)
        for key, (guard, text) in zip(rule.fills, fills, strict=True):
            if guard:
                self.writer.add(f"if {guard}:", BODY, (*path, key))
            self.writer.add(text, BODY + 4 * bool(guard), (*path, key))

    def _fill(self, key: str, initialiser: Any, chosen: _Chosen) -> tuple[str, str]:
        """When a matched module holds the tensor, and the call that fills it."""
        found = split_fill(key)
        assert found, key  # checked when the spec was loaded
        name, index = found
        target = f"module.{name}"
        if index:
            tree = parse(f"_[{index}]").tree
            target += Printer(lambda n: "" if n == "_" else self._name(n)).text(tree)
        text = initialiser_text(initialiser, target, self._value, ["generator=generator"])
        return _guard(name, chosen.modules.values()), text

    def _value(self, value: Any) -> str:
        parsed = literal(value)
        return (
            self.printer.text(parsed.tree) if isinstance(parsed, Expression) else constant(parsed)
        )

    # ------------------------------------------------------------------------------- matching

    def _chosen(self, rule: InitRule) -> _Chosen:
        conditions: list[str] = []
        types: list[str] = []
        matched: dict[str, Instance] = {}
        for text in rule.match:
            pattern = patterns.parse(text)
            last = pattern.segments[-1]
            if isinstance(last, Typed) and len(pattern.segments) <= 2 and text.startswith("@"):
                # In a rule, a type means the modules of that type, not what is below them.
                types.append(class_text(last.type, self.names))
                matched |= {p: m for p, m in self.instances.items() if m.type == last.type}
                continue
            paths = [self.tree.entries[i].path for i in sorted(self.tree.select(pattern))]
            selected = {path: self.instances[path] for path in paths if path in self.instances}
            matched |= selected
            try:
                conditions.append(f're.fullmatch(r"{patterns.regex(pattern, self.tree)}", name)')
            except ValueError:  # a type among the names: no text says it but the paths themselves
                conditions.append(f"name in {{{', '.join(constant(path) for path in selected)}}}")
        if types:
            one = types[0] if len(types) == 1 else f"({', '.join(dict.fromkeys(types))})"
            conditions.insert(0, f"isinstance(module, {one})")
        return _Chosen(" or ".join(conditions), matched)


def _guard(name: str, instances: Iterable[Instance]) -> str:
    """The condition under which the matched modules have the parameter, "" if they all do."""
    guard = ""
    for instance in instances:
        layer = layers.find(instance.type)
        if layer and (layer.registered or layer.children or layer.stacked):
            # What it holds depends on its arguments, and a path may match what is inside it.
            return f'getattr(module, "{name}", None) is not None'
        if name not in instance.tensors:
            return f'getattr(module, "{name}", None) is not None'
        if layer is not None and not _always(name, layer, instance):
            guard = f"module.{name} is not None"
    return guard


def _always(name: str, layer: layers.Layer, instance: Instance) -> bool:
    """Whether no argument of this instance takes the parameter away."""
    if name == "weight" and layer.name.startswith(_ALWAYS):
        return True
    switches = ("bias", "affine", "elementwise_affine", "track_running_stats")
    return all(instance.arguments.get(switch, True) is True for switch in switches)
