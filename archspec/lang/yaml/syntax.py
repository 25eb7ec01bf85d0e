"""PyYAML's syntax errors, in plain words and with the place where the mistake is.

PyYAML tells which production of the grammar failed, and where it noticed. People need the other
end: the bracket that is never closed, the value that wants quotes.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from yaml import Mark, MarkedYAMLError

from archspec.errors import Note, Place, Problem
from archspec.lang.yaml.tree import SourceFile

_TOKEN = re.compile(r"[^\s,\[\]{}]+|\S")
_TAG = re.compile(r"(?:&\S+\s+)?(![^\s,{}]*)")
_FOUND = re.compile(r"'<?([^']*?)>?'$")
_LONGEST_KEY = 1024  # YAML's own bound

_QUOTE_VALUE = "put quotes around the whole value"
_QUOTE_BRACKETS = "in { } and [ ], a value that holds one of []{},? must be quoted"
_NO_KEY = "a key is missing before the ':'"
_NAMES = {
    "scalar": "text",
    "stream end": "the end of the text",
    "block end": "the end of the block",
    "document start": "'---'",
    "document end": "'...'",
    "alias": "an alias",
    "anchor": "an anchor",
}


def explain(error: MarkedYAMLError, file: SourceFile, innermost: Mark | None = None) -> Problem:
    """The problem that PyYAML's pure Python parser means by ``error``.

    Args:
        error: what the parser raised.
        file: the text that it read.
        innermost: where the innermost list or mapping begins that is not closed yet.
    """
    noticed = error.problem_mark or error.context_mark
    assert noticed is not None, "every error of PyYAML's scanner and parser has a mark"
    if "'<tag>'" in (error.problem or "") or "undefined tag handle" in (error.problem or ""):
        return tag_problem(tag_at(file, noticed))
    if " a tag" in (error.context or ""):
        return tag_problem(tag_at(file, error.context_mark or noticed))
    failure = _Failure(
        error.problem or "not valid YAML",
        token_at(file, noticed),
        token_at(file, error.context_mark or noticed),
        token_at(file, innermost or noticed),
    )
    for context, problem, tell in _RULES:
        if context in (error.context or "") and problem in failure.problem:
            return tell(failure)
    return _problem(failure.here, failure.problem)


def token_at(file: SourceFile, mark: Mark) -> Place:
    """The run of visible characters at a mark; one column if there is none."""
    found = _TOKEN.match(file.line(mark.line + 1), mark.column)
    width = len(found[0]) if found else 1
    return file.place(mark.line + 1, mark.column + 1, mark.column + 1 + width)


def tag_at(file: SourceFile, mark: Mark) -> Place:
    """The tag of the node at a mark, without a bracket that closes a list around it."""
    place = file.place(mark.line + 1, mark.column + 1, mark.column + 2)
    found = _TAG.match(place.source, mark.column)
    if found is None:  # an anchor stands before it, on a line above
        return place
    tag, start = found[1], found.start(1) + 1
    closing = len(tag) - len(tag.rstrip("]"))
    too_many = max(0, min(closing, tag.count("]") - tag.count("[")))
    return _stretch(place, start, start + len(tag) - too_many)


def tag_problem(place: Place, *, of_text: bool = True) -> Problem:
    """The tag at ``place``; ``of_text`` if it stands where ``"!fc"`` may have been meant."""
    tag = _text(place)
    meant_as_text = of_text and not tag.startswith("!!")
    hint = f"to mean the text, quote it: {_quoted(tag)}" if meant_as_text else "remove it"
    return Problem("E103", f"the tag '{shortened(tag)}' is not allowed", place, hint)


def shortened(text: str, most: int = 60) -> str:
    """The text, cut if it is longer than what a message can hold."""
    return text if len(text) <= most else text[: most - 1] + "…"


def is_crowded(text: str) -> bool:
    """Whether the text seems to be meant as a key and a value, as in ``a:1``."""
    return re.match(r"[^\s:]+:\S", text) is not None


@dataclass(frozen=True, slots=True)
class _Failure:
    """What PyYAML says; where it noticed; where what it was reading, or stands inside, begins."""

    problem: str
    here: Place
    began: Place
    inside: Place

    @property
    def found(self) -> str:
        """The token that was not expected, as a reader would name it."""
        match = _FOUND.search(self.problem)
        name = match[1] if match else _text(self.here)
        return _NAMES.get(name, f"'{name}'")


def _problem(place: Place, message: str, hint: str = "", *notes: Note) -> Problem:
    return Problem("E101", message, place, hint, notes)


def _text(place: Place) -> str:
    return place.source[place.column - 1 : place.end_column - 1]


def _stretch(place: Place, column: int, end_column: int) -> Place:
    return Place(place.file, place.line, column, max(end_column, column + 1), place.source)


def _first(place: Place) -> Place:
    return _stretch(place, place.column, place.column + 1)


def _quoted(text: str) -> str:
    """The text as a YAML string, in the kind of quotes that needs no escapes."""
    text = shortened(text)
    return "'" + text.replace("'", "''") + "'" if set(text) & {'"', "\\"} else f'"{text}"'


# ------------------------------------------------------------------------------------------ rules


def _bad_start(failure: _Failure) -> Problem:
    place = failure.here
    before, c = place.source[: place.column - 1], _text(_first(place))
    if c == "\t":
        message = "a tab cannot separate values" if before.strip() else "a tab cannot indent a line"
        return _problem(_first(place), message, "use spaces")
    return _problem(place, f"a value cannot begin with '{c}'", f"quote it: {_quoted(_text(place))}")


def _reference(failure: _Failure) -> Problem:
    place = failure.began
    message = f"a value cannot begin with '{_text(_first(place))}'"
    return _problem(place, message, f"quote it: {_quoted(_text(place))}")


def _no_colon(failure: _Failure) -> Problem:
    place = failure.began
    hint = (
        "put a space behind the ':'"
        if is_crowded(_text(place))
        else "or indent the line, if it is a value"
    )
    return _problem(place, "expected a key with a ':' behind it", hint)


def _colon(failure: _Failure) -> Problem:
    colon = _first(failure.here)
    before = colon.source[: colon.column - 1]
    if re.search(r":\s", before):
        return _problem(colon, "a value that holds ': ' must be quoted", _QUOTE_VALUE)
    indent = len(before) - len(before.lstrip(" "))
    key = _stretch(colon, indent + 1, colon.column)
    if colon.column - key.column > _LONGEST_KEY:
        return _problem(key, f"a key of more than {_LONGEST_KEY} characters")
    message = f"the key '{shortened(_text(key))}' is read as part of the value above it"
    return _problem(key, message, "check the indentation, and that the line above has its ':'")


def _block_header(failure: _Failure) -> Problem:
    sign = _text(_first(failure.began))
    message = f"only a comment may follow '{sign}' on its line"
    return _problem(failure.here, message, f"if '{sign}' is part of the value, {_QUOTE_VALUE}")


def _escape(failure: _Failure) -> Problem:
    place = _stretch(failure.here, failure.here.column - 1, failure.here.column + 1)
    message = f"unknown escape '{_text(place)}' in double quotes"
    return _problem(place, message, "write the backslash twice, or use single quotes")


def _hexadecimal(failure: _Failure) -> Problem:
    digits = int(re.findall(r"\d+", failure.problem)[0])
    column, end = failure.here.column - 2, len(failure.here.source.rstrip()) + 1
    escape = _stretch(failure.here, column, min(column + 2 + digits, end))
    return _problem(escape, f"this escape needs {digits} hexadecimal digits")


def _open_quote(failure: _Failure) -> Problem:
    quote = _first(failure.began)
    hint = "inside '…' an apostrophe is written twice" if _text(quote) == "'" else ""
    return _problem(quote, "this quote is not closed", hint)


def _open_bracket(failure: _Failure) -> Problem:
    bracket = failure.inside if "node content" in failure.problem else failure.began
    expected = f"expected {_closing(bracket)}"
    if "<stream end>" in failure.problem:
        return _problem(bracket, f"this '{_text(bracket)}' is not closed", expected)
    note = Note(f"{expected} here, not {failure.found}", failure.here)
    return _problem(bracket, f"this '{_text(bracket)}' is not closed", "", note)


def _closing(bracket: Place) -> str:
    return "',' or '}'" if _text(bracket) == "{" else "',' or ']'"


def _flow(failure: _Failure) -> Problem:
    if failure.here.line > failure.began.line or "<stream end>" in failure.problem:
        return _open_bracket(failure)
    message = f"expected {_closing(failure.began)}, not {failure.found}"
    if failure.found == "':'":
        return _problem(failure.here, "a value that holds ': ' must be quoted", _QUOTE_VALUE)
    hint = "put a ',' between the two" if failure.found == "text" else _QUOTE_BRACKETS
    before = failure.here.source[: failure.here.column - 1]
    if failure.found == "'{'" and before.endswith("$"):
        hint = "a parameter's value is $name, without braces"
    elif re.search(r"type: *\w+$", before):
        hint = "a parameter that may be null is declared with default: null, or with nullable: true"
    return _problem(failure.here, message, hint)


def _block(failure: _Failure) -> Problem:
    place, found = failure.here, failure.found
    if found in ("']'", "'}'"):
        return _problem(place, f"unexpected {found}", "no bracket is open here")
    if found in ("'block mapping start'", "'block sequence start'"):
        message = "the indentation fits none of the lines above"
        return _problem(place, message, "what belongs together begins in the same column")
    if found == "'-'":
        return _problem(
            place, "a list item cannot follow a key in its column", "check the indentation"
        )
    if found == "'?'":
        return _problem(place, "expected '- ', the next item of the list", "check the indentation")
    if found == "':'":
        return _problem(place, _NO_KEY)
    hint = f"if it belongs to the value, {_QUOTE_VALUE}"
    return _problem(place, f"unexpected {found} behind the value", hint)


def _no_value(failure: _Failure) -> Problem:
    if failure.found in ("','", "']'", "'}'"):
        return _problem(failure.here, f"expected a value before {failure.found}")
    if failure.found == "':'":
        return _problem(failure.here, _NO_KEY)
    return _problem(failure.here, f"expected a value, not {failure.found}")


def _behind_end(failure: _Failure) -> Problem:
    hint = "top-level keys begin in the same column"
    return _problem(failure.here, "expected '---' or the end of the text", hint)


def _list_item(failure: _Failure) -> Problem:
    hint = "put the list on lines of its own, or quotes around the value"
    return _problem(_first(failure.here), "a list item cannot begin here", hint)


def _question(failure: _Failure) -> Problem:
    return _problem(_first(failure.here), "a value cannot begin with '? '", _QUOTE_VALUE)


# In the error's context, in its problem, and who tells it; the first that fits.
_RULES: list[tuple[str, str, Callable[[_Failure], Problem]]] = [
    ("next token", "", _bad_start),
    (" an alias", "", _reference),
    (" an anchor", "", _reference),
    ("simple key", "", _no_colon),
    ("block scalar", "", _block_header),
    ("double-quoted", "unknown escape", _escape),
    ("double-quoted", "hexadecimal", _hexadecimal),
    ("quoted scalar", "", _open_quote),
    ("a flow node", "<stream end>", _open_bracket),
    ("a flow", "but got", _flow),
    ("parsing a block mapping", "", _block),
    ("parsing a block collection", "", _block),
    ("node", "node content", _no_value),
    ("", "<document start>", _behind_end),
    ("", "incompatible YAML", lambda it: _problem(it.here, "the YAML version must be 1.2 or 1.1")),
    ("", "sequence entries", _list_item),
    ("", "mapping keys", _question),
    ("", "mapping values", _colon),
]
