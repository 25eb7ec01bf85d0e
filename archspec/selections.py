"""What a spec says of its modules by pattern or path: init rules, ties, freeze plans, layouts.

All of it is held against the elaborated tree, so that a pattern that selects nothing is an error at
its line before anything is built.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence

from archspec import initialisers, layers, patterns
from archspec.check import Checker
from archspec.errors import Problem, did_you_mean
from archspec.expressions import ExpressionError, parse
from archspec.extends import Document
from archspec.patterns import Pattern, PatternError, Tree
from archspec.schema import Architecture, Initialiser, InitRule
from archspec.source import Path

_FILL_KEY = re.compile(r"([A-Za-z_]\w*)(?:\[(.+)\])?", re.ASCII)


def split_fill(key: str) -> tuple[str, str] | None:
    """The parameter and the index of an init rule's key: ``weight[0]`` is ("weight", "0")."""
    found = _FILL_KEY.fullmatch(key)
    return (found[1], found[2] or "") if found else None


class SelectionChecker:
    """Checks the parts of a spec that speak of modules by pattern or path."""

    def __init__(self, architecture: Architecture, document: Document, tree: Tree | None) -> None:
        """``tree`` is None while the modules themselves have problems: paths cannot be judged."""
        self.architecture, self.tree = architecture, tree
        self.checker = Checker(architecture, document, [])
        self.paths = {entry.path for entry in tree.entries} if tree else set[str]()

    def check(self) -> list[Problem]:
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
            for ours, foreign in layout.rename.items():
                self._check_rename(ours, foreign, (*at, "rename", ours))
            for part, listed in (("ignore", layout.ignore), ("optional", layout.optional)):
                for i, text in enumerate(listed):
                    self.parse(text, (*at, part, i))
        return self.checker.problems

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
        self.checker.problems.append(Problem("E702", error.message, place))

    def _check_patterns(self, texts: Sequence[str], path: Path) -> None:
        for i, text in enumerate(texts):
            at = (*path, i) if self.checker.document.has((*path, i)) else path
            pattern = self.parse(text, at)
            if pattern is not None and self.tree is not None and not self.tree.select(pattern):
                near = self.tree.near_misses(pattern)
                hint = f"did you mean {', '.join(repr(n) for n in near)}?" if near else ""
                self.checker.add("E701", f"the pattern '{text}' selects nothing", at, hint=hint)

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
            chosen = [self.tree.select(patterns.parse(text)) for text in rule.match]
        except PatternError:
            return  # told already
        matched = [self.tree.entries[i] for i in sorted(frozenset[int]().union(*chosen))]
        if any(layer.registered for e in matched if e.type and (layer := layers.find(e.type))):
            return  # what a registered layer holds is unknown here
        held = {entry.path.rpartition(".")[2] for entry in matched if entry.type is None}
        for key in rule.fills:
            found = split_fill(key)
            if found and matched and found[0] not in held:
                message = f"no module that this rule matches has a parameter '{found[0]}'"
                hint = did_you_mean(found[0], held)
                self.checker.add("E201", message, (*path, key), key=True, hint=hint)

    def _check_fill_key(self, key: str, path: Path) -> None:
        found = split_fill(key)
        if found is None:
            hint = "a key is a parameter's name, or a part of it: weight[0]"
            self.checker.add("E201", f"'{key}' names no parameter", path, key=True, hint=hint)
        elif found[1]:
            try:
                expression = parse(f"_[{found[1]}]")
            except ExpressionError as error:
                self.checker.add(error.code, error.message, path, key=True, hint=error.hint)
                return
            for node in ast.walk(expression.tree):
                if isinstance(node, ast.Name) and node.id not in ("_", *self.architecture.params):
                    hint = did_you_mean(node.id, self.architecture.params)
                    self.checker.add("E303", f"unknown name '{node.id}'", path, key=True, hint=hint)

    def _check_initialiser(self, initialiser: Initialiser, path: Path) -> None:
        message, hint = initialisers.complaint(initialiser)
        if message:
            self.checker.add("E214", message, path, hint=hint)

    def _check_tie(self, name: str, target: str) -> None:
        if self.tree is None:
            return
        for path, key in ((name, True), (target, False)):
            if path not in self.paths or path == "":
                hint = did_you_mean(path, self.paths)
                self.checker.add(
                    "E213", f"no parameter '{path}'", ("tie", name), key=key, hint=hint
                )
        if name == target:
            self.checker.add("E213", "a parameter cannot share with itself", ("tie", name))

    def _check_rename(self, ours: str, foreign: str, path: Path) -> None:
        try:
            patterns.parse_rename(ours, foreign)
        except PatternError as error:
            self._pattern_problem(error, path)
