"""Long lines folded the way formatters do, so that a formatter has nothing left to change."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator

LINE_LENGTH = 88

# What a statement or an element begins with, before the expression that can be folded.
_LEAD = re.compile(r"(return |if |for [\w, ]+ in |[\w., ]+(?:: [^=]+)? = )")
_ELEMENT_LEAD = re.compile(r"""(\w+=(?!=)|[fr]?"[^"]*": |\*\*?(?=[\[{(]))""")
# Operators, the loosest first; only those of one row stand on a level.
_OPERATORS = (
    (" if ", " else "), (" or ", " and "),
    (" == ", " != ", " <= ", " >= ", " < ", " > ", " is not ", " is ", " not in ", " in "),
    (" | ",), (" ^ ",), (" & ",), (" << ", " >> "), (" + ", " - "),
    (" * ", " / ", " // ", " % ", " @ "), (" ** ",),
)  # fmt: skip


def fold(text: str, indent: int) -> list[str]:
    """One statement as lines of at most ``LINE_LENGTH``, if brackets allow it.

    A comment stays one line: what came behind a break would be code.
    """
    pad = " " * indent
    if indent + len(text) <= LINE_LENGTH or text.startswith("#"):
        return [pad + text]
    tail = ":" if text.endswith(":") else ""
    match = _LEAD.match(text)
    lead = match[0] if match else ""
    value = text[len(lead) : len(text) - len(tail)]
    if not lead:
        return _at_brackets("", value, tail, indent)
    if len(items := split(value, ", ")) > 1:
        return [f"{pad}{lead}(", *_one_a_line(items, indent + 4), f"{pad}){tail}"]
    operands = _operands(value)
    if len(operands) == 1 and not any(_brackets(value)):
        fits = indent + 4 + len(value) <= LINE_LENGTH  # brackets that help nothing are left out
        return [f"{pad}{lead}(", f"{pad}    {value}", f"{pad}){tail}"] if fits else [pad + text]
    if len(operands) == 1 or (len(operands) == 2 and _may_break(value)):
        lines = _at_brackets(lead, value, tail, indent)
        if len(operands) == 1 or max(map(len, lines)) <= LINE_LENGTH:
            return lines
    if indent + 4 + len(value) <= LINE_LENGTH:
        return [f"{pad}{lead}(", f"{pad}    {value}", f"{pad}){tail}"]
    if len(operands) == 1:
        return _at_brackets(lead, value, tail, indent)
    return [f"{pad}{lead}(", *_element(value, "", indent + 4), f"{pad}){tail}"]


def _element(text: str, tail: str, indent: int) -> list[str]:
    """An argument, an item or an operand: what stands inside brackets on lines of its own."""
    if indent + len(text) + len(tail) <= LINE_LENGTH:
        return [" " * indent + text + tail]
    match = _ELEMENT_LEAD.match(text)
    lead = match[0] if match else ""
    operands = _operands(text[len(lead) :])
    if len(operands) == 1:
        return _at_brackets(lead, operands[0], tail, indent)
    operands[0] = lead + operands[0]
    lines: list[str] = []
    for operand in operands[:-1]:
        lines += _element(operand, "", indent)
    return lines + _element(operands[-1], tail, indent)


def _one_a_line(items: list[str], indent: int) -> list[str]:
    return [line for item in items for line in _element(item, ",", indent)]


def _at_brackets(lead: str, text: str, tail: str, indent: int) -> list[str]:
    """``text`` from left to right; a bracket opens if the line does not fit up to the next one."""
    pad = " " * indent
    lines, line, at = list[str](), pad + lead, 0
    brackets = list(_brackets(text))
    for i, (start, end) in enumerate(brackets):
        last = i + 1 == len(brackets)
        until = len(text) if last else brackets[i + 1][0] + 1
        if end == start + 1 or len(line) + until - at + len(tail) * last <= LINE_LENGTH:
            continue
        lines.append(line + text[at : start + 1])
        lines += _inside(text[start + 1 : end], _kind(text, start), indent + 4)
        line, at = pad, end
    return [*lines, line + text[at:] + tail]


def _inside(body: str, kind: str, indent: int) -> list[str]:
    """What a bracket holds, on lines of its own."""
    items = split(body.removesuffix(","), ", ")
    element, *loops = split(body, " for ")
    if loops:  # an `if` of the element is no clause
        clauses = [element, *_cut(body[len(element) + 1 :], (" for ", " if "))]
    elif len(items) == 1 and not body.endswith(","):
        clauses = [body]  # one item has no comma behind it
    else:
        clauses = []
    if (kind == "call" or clauses) and indent + len(body) <= LINE_LENGTH:
        return [" " * indent + body]
    if clauses:
        return [line for clause in clauses for line in _element(clause, "", indent)]
    return _one_a_line(items, indent)


def _kind(text: str, start: int) -> str:
    """The bracket itself, or "call" if it follows what it calls or indexes."""
    follows = start > 0 and (text[start - 1].isalnum() or text[start - 1] in "_)]")
    return "call" if follows else text[start]


def _may_break(text: str) -> bool:
    """Whether formatters break an operation inside its last bracket, or its first, alone."""
    start, end = [(0, 0), *_brackets(text)][-1]
    subscript = text[start] == "[" and _kind(text, start) == "call"
    return text[0] in "([{" or (end == len(text) - 1 and end > start + 1 and not subscript)


def _operands(text: str) -> list[str]:
    """``text`` cut before its loosest operators; by itself if it has none."""
    for words in _OPERATORS:
        if any(word in text for word in words) and len(parts := _cut(text, words)) > 1:
            return parts
    return [text]


def _cut(text: str, words: tuple[str, ...]) -> list[str]:
    """``text`` cut before each of the words; a word that holds another one comes first."""
    cuts = [0]
    for at in _outside(text):
        if at > cuts[-1] and text.startswith(words, at):
            cuts.append(at + 1)
    return [text[a:b].rstrip() for a, b in zip(cuts, [*cuts[1:], len(text)], strict=True)]


def split(text: str, separator: str) -> list[str]:
    """``text`` cut at each ``separator`` outside brackets and strings."""
    parts: list[str] = []
    start = 0
    for at in _outside(text):
        if at >= start and text.startswith(separator, at):
            parts.append(text[start:at])
            start = at + len(separator)
    return [*parts, text[start:]]


def _brackets(text: str) -> Iterator[tuple[int, int]]:
    """Where each of the outermost brackets opens and closes."""
    start = 0
    for at in _outside(text):
        if text[at] in "([{":
            start = at
        elif text[at] in ")]}":
            yield start, at


@functools.lru_cache(maxsize=64)  # one text is cut at several separators, one after another
def _outside(text: str) -> tuple[int, ...]:
    """The positions outside brackets and strings; the outermost brackets themselves included."""
    depth, quote, at = 0, "", 0
    found: list[int] = []
    while at < len(text):
        c = text[at]
        if quote:
            if c == "\\":
                at += 1
            elif c == quote:
                quote = ""
        else:
            depth -= c in ")]}"
            if depth == 0:
                found.append(at)
            depth += c in "([{"
            quote = c if c in "\"'" else ""
        at += 1
    return tuple(found)
