"""A freeze plan or a parameter's value written into a spec's text: the smallest edit.

All other lines stay byte for byte.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, cast

from archspec.errors import Problem, SpecError, UsageError
from archspec.lang.yaml import Entry, Listing, Mapping, Node, Scalar, Span, find, flow, parse, plain

_BREAK = re.compile("\r\n|\r|\n")
_MARKER = re.compile(r"^\.\.\.(?=\s|$)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class _Edit:
    """``text[start:end]`` becomes ``new``."""

    start: int
    end: int
    new: str


def edit_plan(text: str, name: str, patterns: Sequence[str], **switches: bool) -> str:
    """Write a freeze plan into the YAML of a spec; comments, order and layout of the rest stay.

    A plan that is there keeps its form, and of its patterns those that stay. A new one is added
    behind the others.

    Args:
        text: of a spec that can be read; it need not be right otherwise.
        name: of the plan.
        patterns: all of them, in order.
        **switches: ``gradients``, ``statistics``, ``dropout``, for a plan that is new.

    Returns:
        The new text. It reads as the old one with this plan.

    Raises:
        SpecError: the text is no YAML.
        UsageError: E801, the plan is written in a way that cannot be edited: with an alias.

    Example:
        >>> print(edit_plan('freeze:\\n  top: ["**", "!fc"]  # mine\\n', "top", ["**", "!layer4"]))
        freeze:
          top: ["**", "!layer4"]  # mine
        <BLANKLINE>
    """
    root, problems = parse(text)
    if problems:
        raise UsageError(problems)
    wanted = _with_plan(plain(root), name, list(patterns), switches)
    lines = _Lines(text)
    edits = sorted(_edits(lines, root, name, list(patterns), switches), key=lambda e: e.start)
    return _edited(text, edits, wanted, f"the freeze plan '{name}'")


def edit_param(text: str, name: str, value: object) -> str:
    """Write a parameter's value into the YAML of a spec; comments, order and layout stay.

    A declaration that is there keeps all but its default. A parameter of a parent spec gets its
    value in the short form, which keeps the rest of the parent's declaration.

    Args:
        text: of a spec that can be read; it need not be right otherwise.
        name: of the parameter.
        value: as plain data. A text that begins with ``$`` is an expression.

    Returns:
        The new text. It reads as the old one with this value.

    Raises:
        SpecError: the text is no YAML.
        UsageError: E801, the value is written in a way that cannot be edited: with an alias.

    Example:
        >>> edit_param("params: {width: 8}  # mine", "width", 16)
        'params: {width: 16}  # mine'
    """
    root, problems = parse(text)
    if problems:
        raise UsageError(problems)
    wanted = _with_param(plain(root), name, value)
    return _edited(text, [_param_edit(_Lines(text), root, name, value)], wanted, f"'{name}'")


def _edited(text: str, edits: Sequence[_Edit], wanted: object, what: str) -> str:
    """The text after edits, which are in order, if it reads as it should."""
    new = text
    for edit in reversed(edits):
        new = new[: edit.start] + edit.new + new[edit.end :]
    if _read(new) != wanted:
        hint = "edit the text by hand"
        raise UsageError(Problem("E801", f"{what} cannot be edited", hint=hint))
    return new


def _with_param(data: Any, name: str, value: object) -> Any:
    """What the new text has to say, as plain data."""
    found: object = data.get("params") or {}
    if not isinstance(found, dict):
        raise UsageError(Problem("E801", "'params' holds no parameters"))
    params = dict(cast("dict[str, Any]", found))
    old = params.get(name)
    is_declared = isinstance(old, dict)
    params[name] = {**cast("dict[str, Any]", old), "default": value} if is_declared else value
    return {**data, "params": params}


def _param_edit(lines: _Lines, root: Mapping, name: str, value: object) -> _Edit:
    section = root.entries.get("params")
    if section is None:
        return _new_section(lines, root, "params", f"{flow(name)}: {flow(value)}")
    if not isinstance(section.value, Mapping):
        return _instead(lines, section, f"{flow(name)}: {flow(value)}")
    entry = section.value.entries.get(name)
    if entry is None:
        return _added(lines, section.value, f"{flow(name)}: {flow(value)}")
    if isinstance(entry.value, Mapping):
        default = entry.value.entries.get("default")
        if default is None:
            return _added(lines, entry.value, f"default: {flow(value)}")
        entry = default
    return _replaced(lines, entry, flow(value))


def _replaced(lines: _Lines, entry: Entry, new: str) -> _Edit:
    """Another value behind a key, whatever the old one looks like."""
    node = entry.value
    start, end = lines.start(node.span), lines.end(node.span)
    if end == start:  # nothing is written there
        colon = lines.text.index(":", lines.end(entry.key)) + 1
        return _Edit(colon, colon, f" {new}")
    if lines.is_flow(node) or isinstance(node, Scalar):
        return _Edit(start, end, new)
    colon = lines.text.rfind(":", lines.end(entry.key), start)
    return _Edit(colon + 1, _last(lines, entry), f" {new}")


def _read(text: str) -> object:
    try:
        root, problems = parse(text)
    except SpecError:
        return None
    return None if problems else plain(root)


def _with_plan(data: Any, name: str, patterns: list[str], switches: dict[str, bool]) -> Any:
    """What the new text has to say, as plain data; keys in any order."""
    if section := _own_section(data, name):
        blocks, block = dict(data["blocks"]), dict(data["blocks"][section])
        blocks[section] = _with_plan(block, name, patterns, switches)
        return {**data, "blocks": blocks}
    found: object = data.get("freeze") or {}
    if not isinstance(found, dict):
        raise UsageError(Problem("E801", "'freeze' holds no plans"))
    plans = dict(cast("dict[str, Any]", found))
    old = plans.get(name)
    if isinstance(old, dict):
        plans[name] = {**cast("dict[str, Any]", old), "patterns": patterns}
    else:
        plans[name] = _new_plan(patterns, {} if name in plans else switches)
    return {**data, "freeze": plans}


def _own_section(data: Any, name: str) -> str:
    """The root's block, if that is where the plan stands; "" for the top."""
    model, held = data.get("model"), cast("object", data)
    for key in ("blocks", model, "freeze"):
        held = cast("dict[Any, object]", held).get(key) if isinstance(held, dict) else None
    return str(model) if isinstance(held, dict) and name in held else ""


def _new_plan(patterns: list[str], switches: dict[str, bool]) -> Any:
    return {"patterns": patterns, **switches} if switches else patterns


class _Lines:
    """Offsets of lines and columns in a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.shift = len(text) - len(text.removeprefix("\ufeff"))
        body = text[self.shift :]
        self.starts = [0, *(match.end() for match in _BREAK.finditer(body))]
        breaks = _BREAK.search(body)
        self.break_ = breaks[0] if breaks else "\n"

    def at(self, line: int, column: int) -> int:
        return self.shift + self.starts[line - 1] + column - 1

    def start(self, span: Span) -> int:
        return self.at(span.line, span.column)

    def end(self, span: Span) -> int:
        return self.at(span.end_line, span.end_column)

    def line_of(self, offset: int) -> tuple[int, int]:
        """Where the line of an offset starts, and where the next one does."""
        index = bisect(self.starts, offset - self.shift) - 1
        ends = [*self.starts[1:], len(self.text) - self.shift]
        return self.shift + self.starts[index], self.shift + ends[index]

    def is_flow(self, node: Node) -> bool:
        return self.text[self.start(node.span)] in "[{"


def _edits(
    lines: _Lines, root: Mapping, name: str, patterns: list[str], switches: dict[str, bool]
) -> Iterator[_Edit]:
    section = root.entries.get("freeze")
    own = _own_section(plain(root), name)
    plan = find(root, ("blocks", own, "freeze", name) if own else ("freeze", name))
    if isinstance(plan, Mapping) and "patterns" in plan.entries:
        plan = plan.entries["patterns"].value
    if isinstance(plan, Listing):
        yield from _in_list(lines, plan, patterns)
    elif isinstance(plan, Mapping):
        yield _added(lines, plan, f"patterns: {flow(patterns)}")
    elif plan is not None:
        yield _Edit(lines.start(plan.span), lines.end(plan.span), flow(patterns))
    else:
        entry = f"{flow(name)}: {flow(_new_plan(patterns, switches))}"
        if section is None:
            yield _new_section(lines, root, "freeze", entry)
        elif isinstance(section.value, Mapping):
            yield _added(lines, section.value, entry)
        else:
            yield _instead(lines, section, entry)


# ------------------------------------------------------------------------------ lists of patterns


def _in_list(lines: _Lines, plan: Listing, patterns: list[str]) -> Iterator[_Edit]:
    old = [str(item.value) if isinstance(item, Scalar) else "" for item in plan.items]
    opcodes = SequenceMatcher(None, old, patterns, autojunk=False).get_opcodes()
    changes = [change for change in opcodes if change[0] != "equal"]
    if not old or not patterns:
        if old != patterns:
            yield _whole(lines, plan, patterns)
        return
    style = (_Flow if lines.is_flow(plan) else _Block)(lines, plan)
    for _, i, j, k, m in changes:
        new = [flow(pattern) for pattern in patterns[k:m]]
        kept = i + min(j - i, len(new))
        yield from (_Edit(*style.spans[at], new[at - i]) for at in range(i, kept))
        if rest := new[kept - i :]:
            yield style.behind(kept - 1, rest) if kept else style.in_front(rest)
        if kept < j:
            yield from style.without(kept, j)


def _whole(lines: _Lines, plan: Listing, patterns: list[str]) -> _Edit:
    start, end = lines.start(plan.span), lines.end(plan.span)
    if lines.is_flow(plan):
        return _Edit(start, end, flow(patterns))
    # A block begins below its key: what is between goes with it, and the list moves up.
    last = lines.end(plan.items[-1].span)
    colon = lines.text.rfind(":", 0, start)
    return _Edit(colon + 1, last, f" {flow(patterns)}")


class _Flow:
    """A list in brackets."""

    def __init__(self, lines: _Lines, plan: Listing) -> None:
        self.lines = lines
        self.spans = [(lines.start(item.span), lines.end(item.span)) for item in plan.items]
        self.indent = " " * (plan.span.column - 1)

    def in_front(self, new: list[str]) -> _Edit:
        start = self.spans[0][0]
        return _Edit(start, start, "".join(f"{one}, " for one in new))

    def behind(self, at: int, new: list[str]) -> _Edit:
        end = self.spans[at][1]
        return _Edit(end, end, "".join(f", {one}" for one in new))

    def without(self, i: int, j: int) -> Iterator[_Edit]:
        """Items ``i`` to ``j`` and a comma: the one in front, or behind the first ones."""
        if i > 0:
            yield _Edit(self.spans[i - 1][1], self.spans[j - 1][1], "")
        else:
            yield _Edit(self.spans[0][0], self.spans[j][0], "")


class _Block(_Flow):
    """A list with an item a line."""

    def in_front(self, new: list[str]) -> _Edit:
        start = self.spans[0][0]
        return _Edit(start, start, f"{self.lines.break_}{self.indent}- ".join([*new, ""]))

    def behind(self, at: int, new: list[str]) -> _Edit:
        made = "".join(f"{self.indent}- {one}{self.lines.break_}" for one in new)
        return _behind(self.lines, self.spans[at][1], made)

    def without(self, i: int, j: int) -> Iterator[_Edit]:
        for start, end in self.spans[i:j]:
            begin, _ = self.lines.line_of(self.lines.text.rfind("-", 0, start))
            yield _Edit(begin, self.lines.line_of(end)[1], "")


def _behind(lines: _Lines, offset: int, made: str) -> _Edit:
    """Whole lines, behind the line of an offset."""
    _, end = lines.line_of(offset)
    if lines.text[end - 1 : end] in ("\n", "\r"):
        return _Edit(end, end, made)
    return _Edit(end, end, lines.break_ + made.removesuffix(lines.break_))


# --------------------------------------------------------------------------------------- mappings


def _added(lines: _Lines, mapping: Mapping, entry: str) -> _Edit:
    """An entry behind the last one."""
    if lines.is_flow(mapping):
        end = lines.end(mapping.span) - 1
        if not mapping.entries:
            return _Edit(end, end, entry)
        last = lines.end(list(mapping.entries.values())[-1].value.span)
        return _Edit(last, last, f", {entry}")
    last = list(mapping.entries.values())[-1]
    indent = " " * (last.key.column - 1)
    return _behind(lines, _last(lines, last), f"{indent}{entry}{lines.break_}")


def _last(lines: _Lines, entry: Entry) -> int:
    """Where an entry really ends: a block's own end is behind the comments that follow it."""
    node = entry.value
    if not lines.is_flow(node):
        match node:
            case Mapping():
                last = _last(lines, list(node.entries.values())[-1])
                return max(last, lines.end(entry.key))  # as below
            case Listing():
                return _last(lines, Entry(entry.key, node.items[-1]))
            case Scalar():
                pass
    end = max(lines.end(node.span), lines.end(entry.key))  # an alias is where its anchor is
    return len(lines.text[:end].rstrip())


def _instead(lines: _Lines, empty: Entry, entry: str) -> _Edit:
    """A key without anything behind it gets its first entry."""
    start, end = lines.start(empty.value.span), lines.end(empty.value.span)
    if end > start:
        return _Edit(start, end, f"{{{entry}}}")
    colon = lines.text.index(":", lines.end(empty.key)) + 1
    return _Edit(colon, colon, f" {{{entry}}}")


def _new_section(lines: _Lines, root: Mapping, key: str, entry: str) -> _Edit:
    if lines.is_flow(root):
        return _added(lines, root, f"{key}: {{{entry}}}")
    break_ = lines.break_
    marker = _MARKER.search(lines.text, lines.end(list(root.entries.values())[-1].key))
    end = marker.start() if marker else len(lines.text)
    begun = lines.text[:end]
    gap = "" if begun.endswith(("\n", "\r")) else break_
    indent = " " * (next(iter(root.entries.values())).key.column - 1)
    section = f"{gap}{break_}{indent}{key}:{break_}{indent}  {entry}{break_}"
    return _Edit(end, end, section)
