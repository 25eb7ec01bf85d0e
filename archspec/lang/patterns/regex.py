"""Patterns as regular expressions, for generated code that must not import archspec."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from archspec.lang.patterns.automaton import Automaton, Node
from archspec.lang.patterns.grammar import AnyDepth, Named, Pattern, Pick, Segments, Typed
from archspec.lang.patterns.tree import Tree

NOTHING = r"(?!)"


def regex(pattern: Pattern, tree: Tree) -> str:
    r"""The pattern as one regular expression for ``re.fullmatch`` on the dotted paths of modules.

    Args:
        pattern: a pattern without types; a leading ``!`` is ignored.
        tree: the model for which the expression shall hold; positions become names.

    Returns:
        An expression that selects the same modules of this tree, and that no pattern can make
        hang: where plain expressions would try too much, it has ``(?>…)`` groups.

    Raises:
        ValueError: if the pattern selects by type.

    >>> from archspec.lang.patterns import parse
    >>> print(regex(parse("**.shortcut"), Tree([])))
    (.+\.)?shortcut(\..+)?
    """
    segments = pattern.segments
    if any(isinstance(segment, Typed) for segment in segments):
        raise ValueError(f"'{pattern}' selects by type, which a path does not show")
    if segments[-1] == AnyDepth():
        segments = segments[:-1]
    if not segments:
        return ".*"
    blocks = _blocks(segments, tree)
    if not blocks:
        return NOTHING
    return r"\.".join(block.regex() for block in blocks) + r"(\..+)?"


@dataclass(slots=True)
class _Block:
    """Names in a row; ``anywhere`` if a ``**`` stands before them."""

    anywhere: bool
    strict: bool
    names: list[str] = field(default_factory=list[str])

    def regex(self) -> str:
        names = r"\.".join(self.names)
        if not self.anywhere:
            return names
        # The first fit will do, as any depth follows; (?>…) keeps re from looking for others.
        return rf"(?>([^.]+\.)*?{names}(?![^.]))" if self.strict else rf"(.+\.)?{names}"


def _blocks(segments: Segments, tree: Tree) -> list[_Block]:
    """The parts between the ``**``; none if the pattern selects nothing in the tree."""
    strict = _is_loose(segments)
    automaton = Automaton(segments)
    states = tree.states(automaton)
    blocks: list[_Block] = []
    for index, step in enumerate(automaton.steps):
        if isinstance(step, AnyDepth) or not blocks:
            blocks.append(_Block(isinstance(step, AnyDepth), strict))
        if isinstance(step, Named):
            blocks[-1].names.append(_name(step.glob, strict))
        if isinstance(step, Pick):
            nodes = zip(tree.nodes, states, strict=True)
            picked = [_picked(step, node) for node, state in nodes if state >> index & 1]
            if not any(one.names for one in picked):
                return []
            if name := _common_name(picked):
                blocks[-1].names.append(name)
            else:
                blocks = [_Block(False, strict, [_listed(picked)])]
    return blocks


def _is_loose(segments: Segments) -> bool:
    """Whether there are so many places to split a path at that a plain expression may hang."""
    globs = [segment.glob for segment in segments if isinstance(segment, Named)]
    return segments.count(AnyDepth()) > 2 or sum(max(0, glob.count("*") - 1) for glob in globs) > 1


def _name(glob: str, strict: bool) -> str:
    if glob == "*":
        return "[^.]+"
    *parts, tail = map(re.escape, glob.split("*"))
    if strict and len(parts) > 1:
        head, *middle = parts
        return head + "".join(f"(?>[^.]*?{part})" for part in middle) + f"[^.]*{tail}"
    return "[^.]*".join([*parts, tail])


class _Picked(NamedTuple):
    path: str
    modules: list[str]
    names: list[str]


def _picked(pick: Pick, container: Node) -> _Picked:
    modules = [node.name for node in container.items if node.is_module()]
    return _Picked(container.path, modules, [modules[at] for at in pick.of(len(modules))])


def _common_name(picked: Sequence[_Picked]) -> str:
    """One expression for what is picked from every container, "" if it would match other names."""
    chosen = dict.fromkeys(name for one in picked for name in one.names)
    if any(len(chosen.keys() & one.modules) > len(one.names) for one in picked):
        return ""
    if chosen.keys() == {name for one in picked for name in one.modules}:
        return "[^.]+"
    return _either(map(re.escape, chosen))


def _listed(picked: Sequence[_Picked]) -> str:
    """The picked paths one by one."""
    lines = ((one.path, _either(map(re.escape, one.names))) for one in picked if one.names)
    return _either(rf"{re.escape(path)}\.{names}" for path, names in lines)


def _either(expressions: Iterable[str]) -> str:
    one, *others = expressions
    return f"({'|'.join([one, *others])})" if others else one
