"""What a spec says of its modules by pattern or path: init rules, ties, freeze plans, layouts.

All of it is held against the instantiated tree, so that a pattern that selects nothing is an error
at its line before anything is built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TypeVar

from archspec.errors import did_you_mean, listing, shown
from archspec.lang import patterns
from archspec.lang.checker import Checker
from archspec.lang.expr import ExpressionError, Node, Span, Value, nodes
from archspec.lang.expr.nodes import Constant, names
from archspec.lang.instances import Instance, walk
from archspec.lang.layer_parts import entries
from archspec.lang.patterns import Pattern, PatternError, Tree
from archspec.lang.registry import initializers, layers
from archspec.lang.tree import InitNode, RuleNode, SpecTree, TieNode
from archspec.lang.yaml import Path

MAX_COMPARISONS = 600_000  # of modules with the parts of patterns
MAX_FILLS = 50_000  # of tensors by init rules
_MOST_REPAIRS = 80_000  # paths that are searched for what a pattern may have meant
P = TypeVar("P")


class SelectionChecker:
    """Checks the parts of a spec that speak of modules by pattern or path."""

    def __init__(
        self,
        checker: Checker,
        declared: SpecTree,
        root: Instance | None,
        values: Mapping[str, Value],
        everything: Callable[[], Tree | None],
    ) -> None:
        """
        Args:
            root: None while the modules themselves have problems: paths cannot be judged.
            values: the global parameters, as far as they have values.
            everything: gives the paths of a model in which nothing is left out.
        """
        self.checker, self.declared, self.root, self.values = checker, declared, root, values
        self.architecture = checker.architecture
        self._everything = everything
        self._selected: dict[str, frozenset[int]] = {}
        self._repairs = _MOST_REPAIRS
        self._fills = 0

    @cached_property
    def tree(self) -> Tree | None:
        """The paths of the model; made only if something selects among them."""
        return Tree(entries(self.root)) if self.root else None

    @cached_property
    def everything(self) -> Tree | None:
        """The paths of a model in which nothing is left out.

        None if those are too many, or the same as in ``tree``. Made only if something selects
        nothing in the model.
        """
        tree = self._everything()
        if tree and self.tree and tree.entries == self.tree.entries:
            return None
        modules = sum(entry.type is not None for entry in tree.entries) if tree else 0
        return tree if modules * self._parts <= MAX_COMPARISONS else None

    @cached_property
    def tensors(self) -> dict[str, None]:
        """The paths of all parameters and buffers."""
        return dict.fromkeys(tensors_of(self.tree)) if self.tree else {}

    @cached_property
    def buffers(self) -> frozenset[str]:
        """The paths of all buffers."""
        found: list[str] = []
        for path, instance in walk(self.root) if self.root else ():
            block = self.architecture.blocks.get(instance.type)
            layer = None if block else layers.find(instance.type)
            names = block.buffers if block else layer.buffers if layer else ()
            found += [f"{path}.{name}" if path else name for name in names]
        return frozenset(found)

    def check(self) -> None:
        if self._too_many():
            return
        for rule in self.declared.init:
            self._check_rule(rule)
        for block in self.declared.blocks.values():
            for tensor in block.tensors.values():
                self._check_initializer(tensor.init)
        for tie in self.declared.ties:
            self._check_tie(tie)
        for name, plan in self.architecture.freeze.items():
            path: Path = ("freeze", name)
            if self.checker.document.has((*path, "patterns")):
                path = (*path, "patterns")
            self._check_patterns(plan.patterns, path)
        for name, adapter in self.architecture.adapters.items():
            for key in ("match", "feedforward", "train"):
                self._check_patterns(getattr(adapter, key), ("adapters", name, key))

    @cached_property
    def _texts(self) -> list[str]:
        """All patterns over our paths."""
        texts = [text for rule in self.architecture.init for text in rule.match]
        texts += [text for plan in self.architecture.freeze.values() for text in plan.patterns]
        for one in self.architecture.adapters.values():
            texts += [*one.match, *one.feedforward, *one.train]
        for one in self.architecture.checkpoints.values():
            texts += [*one.rename, *one.then, *one.optional, *one.transpose, *one.reshape]
            texts += [text for joined in (*one.split, *one.stack) for text in joined.ours]
        return texts

    @property
    def _parts(self) -> int:
        return sum(text.count(".") + 1 for text in self._texts)

    def _too_many(self) -> bool:
        """Whether comparing all patterns with all paths would take too long."""
        modules = self.root.modules if self.root else 0
        if modules * self._parts <= MAX_COMPARISONS:
            return False
        message = f"{len(self._texts):,} patterns are too many for {modules:,} modules"
        parts = (("freeze", self.architecture.freeze), ("init", self.architecture.init))
        at = next((name for name, said in parts if said), "checkpoints")
        self.checker.add("E401", message, (at,), key=True)
        return True

    def _parsed(self, path: Path, parse: Callable[..., P], *texts: str) -> P | None:
        """What ``parse`` makes of patterns, or None and a problem at its place."""
        try:
            return parse(*texts)
        except PatternError as error:
            span = Span(path, error.start, error.end)
            self.checker.report(ExpressionError("E702", error.message, span))
            return None

    def _check_patterns(self, texts: Sequence[str], path: Path) -> None:
        """Each pattern must select something."""
        for i, text in enumerate(texts):
            at = (*path, i) if self.checker.document.has((*path, i)) else path
            if (pattern := self._parsed(at, patterns.parse, text)) is not None:
                self._check_pattern(pattern, text, at)

    def _check_pattern(self, pattern: Pattern, text: str, path: Path, *, key: bool = False) -> None:
        if self.tree is None or self._selects(pattern, text):
            return
        if self.everything is None or not self.everything.selects(pattern):
            self._report_idle(pattern, text, path, key=key)

    def _report_idle(self, pattern: Pattern, text: str, path: Path, *, key: bool = False) -> None:
        hint = self._near_misses(pattern, self.tree) if self.tree else ""
        message = f"the pattern '{text}' selects nothing"
        self.checker.add("E701", message, path, key=key, hint=hint)

    def _selects(self, pattern: Pattern, text: str) -> bool:
        """Whether a pattern selects anything; in large trees that is told long before all is."""
        if self.tree is None:
            return False
        return bool(self._selected[text]) if text in self._selected else self.tree.selects(pattern)

    def _select(self, pattern: Pattern, text: str) -> frozenset[int]:
        if text not in self._selected and self.tree is not None:
            self._selected[text] = self.tree.select(pattern)
        return self._selected.get(text, frozenset())

    def _near_misses(self, pattern: Pattern, tree: Tree) -> str:
        """What may have been meant; in large trees for the first mistakes only."""
        self._repairs -= len(tree.entries)
        near = tree.near_misses(pattern) if self._repairs > 0 else ()
        return f"did you mean {', '.join(repr(n) for n in near)}?" if near else ""

    def _check_rule(self, rule: RuleNode) -> None:
        path, match = rule.path, rule.declared.match
        self._check_patterns(match, (*path, "match"))
        for i, text in enumerate(match):
            if text.startswith("!"):
                at = (*path, "match", i) if len(match) > 1 else (*path, "match")
                hint = "rules apply in order: let a later rule win"
                self.checker.add("E702", "an init rule cannot exclude", at, hint=hint)
        if not rule.fills:
            hint = "for example weight: {normal_: {std: 0.02}}"
            self.checker.add("E202", "this rule initialises nothing", path, hint=hint)
        for fill in rule.fills:
            if not fill.tensor:
                message = f"'{fill.path[-1]}' names no parameter"
                hint = "a key is a parameter's name, or a part of it: weight[0]"
                self.checker.add("E201", message, fill.path, key=True, hint=hint)
            elif fill.index is not None:
                self._check_index(fill.index)
            self._check_initializer(fill.init)
        self._check_fills(rule)

    def _check_fills(self, rule: RuleNode) -> None:
        """Each parameter that a rule names must be held by a module that it matches."""
        if self.tree is None:
            return
        try:
            chosen = [self._select(patterns.parse(text), text) for text in rule.declared.match]
        except PatternError:
            return  # reported already
        matched = [self.tree.entries[i] for i in sorted(frozenset[int]().union(*chosen))]
        if any(layer.registered for e in matched if e.type and (layer := layers.find(e.type))):
            return  # what a registered layer holds is unknown here
        tensors = [entry.path.rpartition(".")[2] for entry in matched if entry.type is None]
        self._count_fills(rule, tensors)
        held = dict.fromkeys(tensors)
        for fill in rule.fills:
            if not fill.tensor or not matched or fill.tensor in held:
                continue
            if fill.tensor not in self._held_elsewhere(rule):
                message = f"no module that this rule matches has a parameter '{fill.tensor}'"
                hint = did_you_mean(fill.tensor, held)
                self.checker.add("E201", message, fill.path, key=True, hint=hint)

    def _held_elsewhere(self, rule: RuleNode) -> set[str]:
        """The parameters of what a rule matches in a model in which nothing is left out."""
        if self.everything is None:
            return set()
        chosen = (self.everything.select(patterns.parse(text)) for text in rule.declared.match)
        entries = [self.everything.entries[i] for i in frozenset[int]().union(*chosen)]
        return {entry.path.rpartition(".")[2] for entry in entries if entry.type is None}

    def _count_fills(self, rule: RuleNode, tensors: Sequence[str]) -> None:
        filled = {fill.tensor for fill in rule.fills}
        before, self._fills = self._fills, self._fills + sum(name in filled for name in tensors)
        if before <= MAX_FILLS < self._fills:
            message = f"the rules up to this one fill {self._fills:,} tensors"
            hint = f"at most {MAX_FILLS:,}, each counted as often as it is filled"
            self.checker.add("E401", message, rule.path, hint=hint)

    def _check_index(self, index: Node) -> None:
        """What stands in the brackets of ``weight[0]``, ``weight[:, pad_token_id]``."""
        for part in nodes.index_parts(index):
            bounds = nodes.children(part) if isinstance(part, nodes.Slice) else (part,)
            for bound in bounds:
                if isinstance(bound, Constant) and bound.value is ...:
                    continue
                value = self._evaluated(bound, key=True)
                if value and (isinstance(value[0], bool) or not isinstance(value[0], int)):
                    message = f"an index is an integer, not {shown(value[0])}"
                    self.checker.add("E205", message, bound.span.path, key=True)

    def _check_initializer(self, init: InitNode) -> None:
        message, hint = initializers.complaint(init.declared)
        if message:
            self.checker.add("E214", message, init.path, hint=hint)
            return
        for key, node in init.arguments.items():
            value, argument = self._evaluated(node), initializers.argument(key)
            if value and not argument.accepts(value[0]):
                message = f"{init.function}'s {key} takes {argument.expects}, not {shown(value[0])}"
                self.checker.add("E205", message, (*init.path, init.function, key))

    def _evaluated(self, node: Node, *, key: bool = False) -> tuple[Value] | None:
        """The value of a node; None if it has a problem, or uses a parameter that has one."""
        needed = (n.id for n in names(node) if n.symbol is None or n.symbol.kind != "constant")
        if any(name not in self.values for name in needed):
            return None
        return self.checker.evaluated(node, self.values, key=key)

    def _check_tie(self, tie: TieNode) -> None:
        holds = self._evaluated(tie.when)
        if holds and not isinstance(holds[0], bool):
            message = f"when takes true or false, not {shown(holds[0])}"
            hint = "an expression begins with $" if isinstance(holds[0], str) else ""
            self.checker.add("E205", message, (*tie.path, "when"), hint=hint)
        if self.tree is None or not holds:
            return
        name, target = tie.name, tie.to
        for path, key in ((name, True), (target, False)):
            if path not in self.tensors:
                # Where it does not hold, a path may be of what other values lead to.
                if not holds[0] and self._may_have(path):
                    continue
                hint = did_you_mean(path, self.tensors)
                if inside := [t for t in self.tensors if t.startswith(f"{path}.")]:
                    hint = f"tie each of its parameters, such as {listing(inside)}"
                elif not {*path}.isdisjoint("*{[@"):
                    hint = "a tie is of two parameters, by whole paths such as layers.0.fc.weight"
                message = f"no parameter '{path}'"
                self.checker.add("E213", message, ("tie", name), key=key, hint=hint)
            elif path in self.buffers:
                message = f"'{path}' is a buffer: only parameters are shared"
                self.checker.add("E213", message, ("tie", name), key=key)
        if not holds[0]:
            return
        others = (self._evaluated(one.when) for one in self.declared.ties if one.name == target)
        if any(other and other[0] for other in others):
            message = f"'{target}' is tied itself"
            hint = "tie both to the parameter that has a value of its own"
            self.checker.add("E213", message, ("tie", name), hint=hint)

    def _may_have(self, path: str) -> bool:
        """Whether a tensor would be there if nothing was left out, as far as that is known."""
        tree = self._everything()
        return tree is None or path in tensors_of(tree)


def tensors_of(tree: Tree) -> Iterator[str]:
    """The paths of all parameters and buffers."""
    return (entry.path for entry in tree.entries if entry.type is None)
