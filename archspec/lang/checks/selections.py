"""What a spec says of its modules by pattern or path: init rules, ties, freeze plans, layouts.

All of it is held against the elaborated tree, so that a pattern that selects nothing is an error at
its line before anything is built.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from functools import cached_property

from archspec.errors import Problem, did_you_mean, shown
from archspec.lang import patterns
from archspec.lang.checks.checker import Checker
from archspec.lang.expr.expressions import Expression, ExpressionError, Value, evaluate_part, parse
from archspec.lang.instances import Instance, entries, walk
from archspec.lang.patterns import Pattern, PatternError, Tree
from archspec.lang.registry import initializers, layers
from archspec.lang.schema import Initialiser, InitRule
from archspec.lang.yaml import Path

MAX_COMPARISONS = 600_000  # of modules with the parts of patterns
_MOST_REPAIRS = 80_000  # paths that are searched for what a pattern may have meant
_UNKNOWN = object()
_FILL_KEY = re.compile(r"([A-Za-z_]\w*)(?:\[(.+)\])?", re.ASCII)


def split_fill(key: str) -> tuple[str, str] | None:
    """The parameter and the index of an init rule's key: ``weight[0]`` is ("weight", "0")."""
    found = _FILL_KEY.fullmatch(key)
    return (found[1], found[2] or "") if found else None


def _is_dots(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...


class SelectionChecker:
    """Checks the parts of a spec that speak of modules by pattern or path."""

    def __init__(
        self, checker: Checker, root: Instance | None, values: Mapping[str, Value]
    ) -> None:
        """
        Args:
            root: None while the modules themselves have problems: paths cannot be judged.
            values: the global parameters, as far as they have values.
        """
        self.checker, self.root, self.values = checker, root, values
        self.architecture = checker.architecture
        self._selected: dict[str, frozenset[int]] = {}
        self._repairs = _MOST_REPAIRS

    @cached_property
    def tree(self) -> Tree | None:
        """The paths of the model; made only if something selects among them."""
        return Tree(entries(self.root)) if self.root else None

    @cached_property
    def tensors(self) -> dict[str, None]:
        """The paths of all parameters and buffers."""
        found = self.tree.entries if self.tree else ()
        return {entry.path: None for entry in found if entry.type is None}

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
        for i, rule in enumerate(self.architecture.init):
            self._check_rule(rule, ("init", i))
        for block_name, block in self.architecture.blocks.items():
            for part, tensors in (("parameters", block.parameters), ("buffers", block.buffers)):
                for name, tensor in tensors.items():
                    path = ("blocks", block_name, part, name, "init")
                    self._check_initialiser(tensor.init, path)
        for name, target in self.architecture.tie.items():
            self._check_tie(name, target)
        for name, plan in self.architecture.freeze.items():
            path: Path = ("freeze", name)
            if self.checker.document.has((*path, "patterns")):
                path = (*path, "patterns")
            self._check_patterns(plan.patterns, path)
        for name, layout in self.architecture.checkpoints.items():
            at = ("checkpoints", name)
            if name == "archspec":
                message = "'archspec' is the layout of the model's own names"
                self.checker.add("E207", message, at, key=True)
            for ours, foreign in layout.rename.items():
                self._check_rename(ours, foreign, (*at, "rename", ours))
            for part, listed in (("ignore", layout.ignore), ("optional", layout.optional)):
                for i, text in enumerate(listed):
                    self.parse(text, (*at, part, i))

    def _too_many(self) -> bool:
        """Whether comparing all patterns with all paths would take too long."""
        texts = [text for rule in self.architecture.init for text in rule.match]
        texts += [text for plan in self.architecture.freeze.values() for text in plan.patterns]
        modules = self.root.modules if self.root else 0
        if modules * sum(text.count(".") + 1 for text in texts) <= MAX_COMPARISONS:
            return False
        message = f"{len(texts):,} patterns are too many for {modules:,} modules"
        at = "freeze" if self.architecture.freeze else "init"
        self.checker.add("E401", message, (at,), key=True)
        return True

    def parse(self, text: str, path: Path, *, key: bool = False) -> Pattern | None:
        """A pattern, or None and a problem at its place."""
        try:
            return patterns.parse(text)
        except PatternError as error:
            self._pattern_problem(error, path, key=key)
            return None

    def _pattern_problem(self, error: PatternError, path: Path, *, key: bool = False) -> None:
        document = self.checker.document
        place = (
            document.place(path, key=True)
            if key
            else document.stretch(path, error.start, error.end)
        )
        self.checker.findings.add(Problem("E702", error.message, place))

    def _check_patterns(self, texts: Sequence[str], path: Path) -> None:
        for i, text in enumerate(texts):
            at = (*path, i) if self.checker.document.has((*path, i)) else path
            pattern = self.parse(text, at)
            if pattern is not None and self.tree is not None and not self._select(pattern, text):
                hint = self._near_misses(pattern, self.tree)
                self.checker.add("E701", f"the pattern '{text}' selects nothing", at, hint=hint)

    def _select(self, pattern: Pattern, text: str) -> frozenset[int]:
        if text not in self._selected and self.tree is not None:
            self._selected[text] = self.tree.select(pattern)
        return self._selected.get(text, frozenset())

    def _near_misses(self, pattern: Pattern, tree: Tree) -> str:
        """What may have been meant; in large trees for the first mistakes only."""
        self._repairs -= len(tree.entries)
        near = tree.near_misses(pattern) if self._repairs > 0 else ()
        return f"did you mean {', '.join(repr(n) for n in near)}?" if near else ""

    def _check_rule(self, rule: InitRule, path: Path) -> None:
        self._check_patterns(rule.match, (*path, "match"))
        for i, text in enumerate(rule.match):
            if text.startswith("!"):
                at = (*path, "match", i) if len(rule.match) > 1 else (*path, "match")
                hint = "rules apply in order: let a later rule win"
                self.checker.add("E702", "an init rule cannot exclude", at, hint=hint)
        if not rule.fills:
            hint = "for example weight: {normal_: {std: 0.02}}"
            self.checker.add("E202", "this rule initialises nothing", path, hint=hint)
        for key, initialiser in rule.fills.items():
            self._check_fill_key(key, (*path, key))
            self._check_initialiser(initialiser, (*path, key))
        self._check_fills(rule, path)

    def _check_fills(self, rule: InitRule, path: Path) -> None:
        """Each parameter that a rule names must be held by a module that it matches."""
        if self.tree is None:
            return
        try:
            chosen = [self._select(patterns.parse(text), text) for text in rule.match]
        except PatternError:
            return  # told already
        matched = [self.tree.entries[i] for i in sorted(frozenset[int]().union(*chosen))]
        if any(layer.registered for e in matched if e.type and (layer := layers.find(e.type))):
            return  # what a registered layer holds is unknown here
        tensors = (entry.path.rpartition(".")[2] for entry in matched if entry.type is None)
        held = dict.fromkeys(tensors)
        for key in rule.fills:
            found = split_fill(key)
            if found and matched and found[0] not in held:
                message = f"no module that this rule matches has a parameter '{found[0]}'"
                hint = did_you_mean(found[0], held)
                self.checker.add("E201", message, (*path, key), key=True, hint=hint)

    def _check_fill_key(self, key: str, path: Path) -> None:
        """``weight``, or a part of it: ``weight[0]``, ``weight[:, pad_token_id]``."""
        found = split_fill(key)
        if found is None:
            hint = "a key is a parameter's name, or a part of it: weight[0]"
            self.checker.add("E201", f"'{key}' names no parameter", path, key=True, hint=hint)
        elif found[1]:
            try:
                self._check_index(found[1])
            except ExpressionError as error:
                self.checker.add(error.code, error.message, path, key=True, hint=error.hint)

    def _check_index(self, text: str) -> None:
        expression = parse(f"_[{text}]")
        tree = expression.tree
        if not (isinstance(tree, ast.Subscript) and isinstance(tree.value, ast.Name)):
            raise ExpressionError("E301", "not one index")
        parts = tree.slice.elts if isinstance(tree.slice, ast.Tuple) else [tree.slice]
        for part in parts:
            bounds = [] if _is_dots(part) else [part]
            if isinstance(part, ast.Slice):
                bounds = [bound for bound in (part.lower, part.upper, part.step) if bound]
            for bound in bounds:
                value = self._evaluated(expression, bound)
                if value is not _UNKNOWN and (
                    isinstance(value, bool) or not isinstance(value, int)
                ):
                    raise ExpressionError("E205", f"an index is an integer, not {shown(value)}")

    def _check_initialiser(self, initialiser: Initialiser, path: Path) -> None:
        message, hint = initializers.complaint(initialiser)
        if message:
            self.checker.add("E214", message, path, hint=hint)
            return
        name, arguments = initializers.parts(initialiser)
        for key, given in arguments.items():
            at = (*path, name, key)
            parsed = self.checker.literal(given, at)
            try:
                is_expression = isinstance(parsed, Expression)
                value = self._evaluated(parsed, parsed.tree) if is_expression else parsed
            except ExpressionError as error:
                self.checker.add_expression(error, at, 1)
                continue
            argument = initializers.argument(key)
            if value is not _UNKNOWN and not argument.accepts(value):
                message = f"{name}'s {key} takes {argument.expects}, not {shown(value)}"
                self.checker.add("E205", message, at)

    def _evaluated(self, expression: Expression, node: ast.expr) -> Value:
        """The value of a node; ``_UNKNOWN`` while a parameter that it uses has none.

        Raises:
            ExpressionError: as ``evaluate``.
        """
        names = [part for part in ast.walk(node) if isinstance(part, ast.Name)]
        declared = self.architecture.params
        if any(name.id in declared and name.id not in self.values for name in names):
            return _UNKNOWN
        try:
            return evaluate_part(expression, node, self.values)
        except ExpressionError as error:
            if error.code == "E303":
                unknown = [name for name in names if name.id not in self.values]
                error.hint = did_you_mean(unknown[0].id, declared)
            raise

    def _check_tie(self, name: str, target: str) -> None:
        if self.tree is None:
            return
        for path, key in ((name, True), (target, False)):
            if path not in self.tensors:
                hint = did_you_mean(path, self.tensors)
                message = f"no parameter '{path}'"
                self.checker.add("E213", message, ("tie", name), key=key, hint=hint)
            elif path in self.buffers:
                message = f"'{path}' is a buffer: only parameters are shared"
                self.checker.add("E213", message, ("tie", name), key=key)
        if target in self.architecture.tie:
            message = f"'{target}' is tied itself"
            hint = "tie both to the parameter that has a value of its own"
            self.checker.add("E213", message, ("tie", name), hint=hint)

    def _check_rename(self, ours: str, foreign: str, path: Path) -> None:
        try:
            patterns.parse_rename(ours, foreign)
        except PatternError as error:
            self._pattern_problem(error, path)
