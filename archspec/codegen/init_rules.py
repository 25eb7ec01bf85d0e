"""The spec's ``init`` rules as one function of the generated module.

Which modules a rule selects is decided here, and written down in the plainest condition that
selects them and no others: no pattern of the spec is carried out when the module runs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

from archspec.codegen.constructor import BODY, class_text, initializer_text
from archspec.codegen.names import Names
from archspec.codegen.printing import ArgumentPrinter, constant, identifier
from archspec.codegen.writer import Writer
from archspec.lang import patterns
from archspec.lang.expr.nodes import Name, Span, Subscript, names
from archspec.lang.instances import Instance
from archspec.lang.layer_parts import entries, walk_with_parts
from archspec.lang.patterns import Tree, Typed
from archspec.lang.registry import layers
from archspec.lang.tree import FillNode, RuleNode

_ALWAYS = ("Linear", "Bilinear", "Embedding", "EmbeddingBag", "Conv", "PReLU")
_MOST_SUFFIXES = 8  # endings that one condition lists, before it lists the names themselves


@dataclass(frozen=True, slots=True)
class _Selected:
    """The modules that a rule fills something of, and the condition that says so in Python."""

    condition: str
    modules: dict[str, Instance]
    by_name: bool  # whether the condition asks for the name


class Initialisation:
    """Writes ``initialize``, which each module of the tree is passed to."""

    def __init__(self, names: Names, writer: Writer) -> None:
        self.names, self.writer = names, writer
        self.printer = ArgumentPrinter(names.classes)

    @cached_property
    def instances(self) -> dict[str, Instance]:
        """Path → module, of all that rules may select."""
        return dict(walk_with_parts(self.names.spec.root))

    @cached_property
    def rules(self) -> list[tuple[RuleNode, _Selected]]:
        """The rules that select something, with what they do."""
        if not self.names.tree.init:
            return []
        tree = Tree(entries(self.names.spec.root))
        known: dict[tuple[tuple[str, ...], frozenset[str]], _Selected] = {}
        selected: list[tuple[RuleNode, _Selected]] = []
        for rule in self.names.tree.init:  # many rules select the same
            tensors = frozenset(fill.tensor for fill in rule.fills)
            key = (tuple(rule.declared.match), tensors)
            if key not in known:
                known[key] = self._selected(rule.declared.match, tensors, tree)
            if known[key].modules:  # else all that it selects is left out
                selected.append((rule, known[key]))
        return selected

    @cached_property
    def arguments(self) -> tuple[str, ...]:
        """What the function needs beside the module."""
        by_name = any(selected.by_name for _, selected in self.rules)
        nodes = [
            node
            for rule, _ in self.rules
            for fill in rule.fills
            for node in (fill.index, *fill.init.arguments.values())
            if node is not None
        ]
        configured = any(name.id in self.names.values for node in nodes for name in names(node))
        return tuple(["name"] * by_name + ["config"] * configured)

    def filled(self) -> dict[str, frozenset[str]]:
        """Module path → its parameters that some rule fills as a whole."""
        filled: dict[str, set[str]] = {}
        for rule, selected in self.rules:
            whole = {fill.tensor for fill in rule.fills if fill.index is None}
            for path in selected.modules:
                filled.setdefault(path, set()).update(whole)
        return {path: frozenset(tensors) for path, tensors in filled.items()}

    def write(self) -> None:
        kinds = {"name": "name: str", "config": "config: Config"}
        signature = ["module: nn.Module", *(kinds[use] for use in self.arguments)]
        add = self.writer.add
        add("@torch.no_grad()")
        add(f"def initialize({', '.join(signature)}, generator: torch.Generator | None = None):")
        add('"""Give the parameters that a module itself holds their first values."""', 4)
        for rule, selected in self.rules:
            self._rule(rule, selected)

    def _rule(self, rule: RuleNode, selected: _Selected) -> None:
        fills = [(fill, *self._fill(fill, selected)) for fill in rule.fills]
        condition = selected.condition
        if len(fills) == 1 and (guard := fills[0][1]):  # one condition, not one inside the other
            condition = f"({condition})" if " or " in condition else condition
            condition = f"{condition} and {guard}"
            fills = [(fills[0][0], "", fills[0][2])]
        self.writer.add(f"if {condition}:", 4, rule.path)
        for fill, guard, text in fills:
            if guard:
                self.writer.add(f"if {guard}:", BODY, fill.path)
            self.writer.add(text, BODY + 4 * bool(guard), fill.path)

    def _fill(self, fill: FillNode, selected: _Selected) -> tuple[str, str]:
        """When a selected module holds the tensor, and the call that fills it."""
        target = f"module.{identifier(fill.tensor)}"
        if fill.index is not None:
            part = Subscript(Span(), Name(Span(), "_"), fill.index)
            target += self.printer.text(part).removeprefix("_")
        values = [(key, self.printer.text(node)) for key, node in fill.init.arguments.items()]
        text = initializer_text(fill.init, target, values, ["generator=generator"])
        return _guard(fill.tensor, selected.modules.values()), text

    # ------------------------------------------------------------------------------ selecting

    def _selected(self, match: list[str], tensors: frozenset[str], tree: Tree) -> _Selected:
        types: dict[str, None] = {}
        modules: dict[str, Instance] = {}
        by_path: set[str] = set()
        for text in match:
            pattern = patterns.parse(text)
            last = pattern.segments[-1]
            if isinstance(last, Typed) and len(pattern.segments) <= 2 and text.startswith("@"):
                # In a rule, a type means the modules of that type, not what is below them.
                instances = {p: m for p, m in self.instances.items() if m.type == last.type}
                types |= {class_text(m.type, self.names): None for m in instances.values()}
                modules |= instances
            else:
                by_path |= {tree.entries[i].path for i in tree.select(pattern)}
        chosen = {p: m for p, m in self.instances.items() if p in by_path and _may_hold(m, tensors)}
        conditions = [f"isinstance(module, {_one_of(list(types))})"] if types else []
        conditions += [_condition(list(chosen), list(self.instances))] if chosen else []
        condition = " or ".join(conditions)
        return _Selected(condition, modules | chosen, bool(chosen) and "name" in condition)


def _one_of(texts: list[str]) -> str:
    return texts[0] if len(texts) == 1 else f"({', '.join(texts)})"


def _may_hold(instance: Instance, tensors: frozenset[str]) -> bool:
    """Whether a module may have one of these tensors itself."""
    layer = layers.find(instance.type)
    return (layer is not None and layer.registered) or not tensors.isdisjoint(instance.tensors)


def _condition(chosen: list[str], known: list[str]) -> str:
    """The plainest condition on ``name`` that selects ``chosen`` and nothing else of ``known``.

    >>> _condition(["a.fc", "b.fc"], ["", "a", "a.fc", "b", "b.fc"])
    'name.endswith(".fc")'
    """
    if len(chosen) == 1:
        return f"name == {constant(chosen[0])}"
    if len(chosen) == len(known):
        return "isinstance(module, nn.Module)"
    inside = _common(chosen)
    if inside and [path for path in known if path.startswith(f"{inside}.")] == chosen:
        return f"name.startswith({constant(f'{inside}.')})"
    if inside and [path for path in known if f"{path}.".startswith(f"{inside}.")] == chosen:
        return f"name == {constant(inside)} or name.startswith({constant(f'{inside}.')})"
    for length in (1, 2, 3):
        ends = dict.fromkeys("." + ".".join(path.split(".")[-length:]) for path in chosen)
        if len(ends) > _MOST_SUFFIXES or any(end.split(".")[1].isdecimal() for end in ends):
            continue  # endings that begin with a number say nothing to a reader
        if [path for path in known if path.endswith(tuple(ends))] == chosen:
            return f"name.endswith({_one_of([constant(end) for end in ends])})"
    return f"name in {{{', '.join(map(constant, chosen))}}}"


def _common(paths: list[str]) -> str:
    """The path that all begin with."""
    columns = zip(*(path.split(".") for path in paths), strict=False)
    return ".".join(names[0] for names in takewhile(lambda names: len({*names}) == 1, columns))


def _guard(name: str, instances: Iterable[Instance]) -> str:
    """The condition under which the selected modules have the parameter, "" if they all do."""
    guard = ""
    there = f'getattr(module, "{identifier(name)}", None) is not None'
    for instance in instances:
        layer = layers.find(instance.type)
        if layer and (layer.registered or layer.children or layer.stacked):
            return there  # what it holds depends on its arguments
        if name not in instance.tensors:
            return there
        if layer is not None and not _always(name, layer, instance):
            guard = f"module.{identifier(name)} is not None"
    return guard


def _always(name: str, layer: layers.Layer, instance: Instance) -> bool:
    """Whether no argument of this instance takes the parameter away."""
    if name == "weight" and layer.name.startswith(_ALWAYS):
        return True
    switches = ("bias", "affine", "elementwise_affine", "track_running_stats")
    return all(instance.arguments.get(switch, True) is True for switch in switches)
