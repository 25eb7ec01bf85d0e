"""A JSON file as plain data in which every key knows its place.

The standard library says what JSON is. What it lets through (keys that occur twice, ``NaN``,
numbers beyond a float, half a surrogate pair) is refused here, with its place.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias, cast

from archspec.errors import MAX_PROBLEMS, Note, Place, Problem, SpecError, shown
from archspec.file_kinds import text_kind
from archspec.lang import yaml

KeyPath: TypeAlias = "tuple[str | int, ...]"
_Stretch = tuple[int, int]  # of the text: from, up to

_LINE_BREAK = re.compile("\r\n|\r|\n")
_TOKEN = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[{}\[\]:,]|[^\s"{}\[\]:,]+', re.DOTALL)


@dataclass(frozen=True, slots=True, eq=False)
class JsonFile:
    """The object that a JSON file holds.

    Attributes:
        name: the path, as users are shown it.
        data: the object.
    """

    name: str
    data: dict[str, Any]
    _text: _Text = field(repr=False)
    _keys: Mapping[KeyPath, _Stretch] = field(repr=False)

    def place(self, path: KeyPath) -> Place:
        """Where the key at ``path`` stands; the beginning for the empty path."""
        return self._text.place(*(self._keys[path] if path else (0, 1)))


def read(path: Path) -> JsonFile:
    """Read a JSON file.

    Raises:
        SpecError: E106 if it cannot be read or is no JSON object, E102 for a key that occurs twice.
    """
    text = _Text(str(path), _decoded(path))
    scan = _Scan(text)
    try:
        data = json.loads(text.text)
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg[:1].lower()}{error.msg[1:]}"
        raise _unreadable(text, reason, (error.pos, error.pos + 1)) from None
    except (ValueError, RecursionError):  # too many digits, too many levels: the scan has them
        data = None
    if scan.problems:
        raise SpecError(scan.problems)
    if not isinstance(data, dict):
        raise _unreadable(text, "not a JSON object", (0, 1))
    return JsonFile(text.name, cast("dict[str, Any]", data), text, scan.keys)


def _decoded(path: Path) -> str:
    try:
        if not path.is_file() and path.exists():
            raise SpecError(Problem("E106", f"{path}: not a file"))
        if path.stat().st_size > yaml.MAX_BYTES:
            message = f"{path}: larger than {yaml.MAX_BYTES:,} bytes"
            raise SpecError(Problem("E106", message))
        data = path.read_bytes()
    except OSError as error:
        reason = error.strerror or "cannot be read"
        raise SpecError(Problem("E106", f"{path}: {reason}")) from None
    except ValueError:
        raise SpecError(Problem("E106", "no file has a NUL in its name")) from None
    if kind := text_kind(data):
        raise SpecError(Problem("E106", f"{path}: {kind.name}", hint=kind.hint))
    try:
        return data.decode("utf-8-sig")  # a mark of UTF-8 is no text
    except UnicodeDecodeError as error:
        before = _Text(str(path), error.object[: error.start].decode())
        end = len(before.text)
        hint = "save it as UTF-8"
        raise _unreadable(before, "not UTF-8 text", (end, end + 1), hint) from None


class _Text:
    """A text with its lines."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.text = name, text
        self._source = yaml.SourceFile(name, text)
        self._starts = [0, *(found.end() for found in _LINE_BREAK.finditer(text))]

    def place(self, start: int, end: int) -> Place:
        line = bisect_right(self._starts, start)
        first = self._starts[line - 1]
        return self._source.place(line, start - first + 1, end - first + 1)


def _unreadable(text: _Text, reason: str, at: _Stretch, hint: str = "") -> SpecError:
    return SpecError(Problem("E106", f"{text.name}: {reason}", text.place(*at), hint))


class _Scan:
    """One pass over the tokens: where each key stands, and what ``json`` would let through.

    Attributes:
        keys: the path of each key, through objects by key and lists by index → its stretch.
    """

    def __init__(self, text: _Text) -> None:
        self.keys: dict[KeyPath, _Stretch] = {}
        self.problems: list[Problem] = []
        self._text = text
        self._path: list[str | int] = []
        last = None
        for token in _TOKEN.finditer(text.text):
            self._step(token, last)
            if len(self.problems) > MAX_PROBLEMS or len(self._path) > yaml.MAX_DEPTH:
                break
            last = token

    def _step(self, token: re.Match[str], last: re.Match[str] | None) -> None:
        path = self._path
        match token[0][0]:
            case "{" | "[":
                path.append("" if token[0] == "{" else 0)
                if len(path) > yaml.MAX_DEPTH:
                    self._add("E106", f"nested more than {yaml.MAX_DEPTH} levels deep", token)
            case "}" | "]":
                del path[-1:]
            case ",":
                if path and isinstance(path[-1], int):
                    path[-1] += 1
            case ":":
                if path and last is not None and last[0][0] == '"':
                    self._key(last)
            case '"':
                if "\\u" in token[0] and not _is_text(token[0]):
                    self._add("E106", "half a surrogate pair is no text", token)
            case _:
                self._literal(token)

    def _key(self, token: re.Match[str]) -> None:
        key = _decode(token[0])
        self._path[-1] = key
        path = tuple(self._path)
        if (first := self.keys.setdefault(path, token.span())) != token.span():
            note = Note("it stands here, too", self._text.place(*first))
            self._add("E102", f"the key {shown(key)} occurs twice", token, note)

    def _literal(self, token: re.Match[str]) -> None:
        text = token[0]
        if text in ("NaN", "Infinity", "-Infinity"):
            self._add("E106", f"not JSON: {text}", token)
        elif text.lstrip("-")[:1].isdigit() and math.isinf(_float(text)):
            self._add("E106", "a number that is too large", token)

    def _add(self, code: str, message: str, token: re.Match[str], *notes: Note) -> None:
        message = f"{self._text.name}: {message}" if code == "E106" else message
        self.problems.append(Problem(code, message, self._text.place(*token.span()), notes=notes))


def _decode(token: str) -> str:
    try:
        return str(json.loads(token))
    except ValueError:  # no JSON; the standard library says so at its place
        return token


def _is_text(token: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in _decode(token))


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0
