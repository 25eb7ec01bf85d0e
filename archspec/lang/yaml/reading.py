"""From files and text to the tree: what is read, what is refused, and by which parser.

PyYAML has two parsers: libyaml, in C, about ten times as fast, which not every installation has,
and one in Python. They differ in the words and places of their errors and in some corners of what
they accept. The answer must not depend on the installation, so the one in Python is the reference,
and libyaml a shortcut to the same answer: its tree is taken only if there is no problem at all, and
the text has none of the constructs that the two are known to read differently. Any other text is
read again by the reference, which costs time only where something is wrong.
"""

from __future__ import annotations

import codecs
import contextlib
import functools
import os
import re
import stat
from itertools import islice
from pathlib import Path
from typing import Any, cast

import yaml

from archspec.errors import Problem, SpecError
from archspec.file_kinds import START, placeholder_kind
from archspec.lang.yaml.tree import Mapping, SourceFile
from archspec.lang.yaml.tree_builder import SURROGATE, TreeBuilder, in_order

MAX_BYTES = 1_000_000

_FAST: Any = getattr(yaml, "CSafeLoader", None)
# White space made of tabs, '?' in a plain scalar in brackets, a comment glued to a '|' or '>'.
_READ_DIFFERENTLY = re.compile(r"[\t?]|[|>][-+0-9]*#")
# What YAML 1.2 forbids; also byte order marks inside a text, and the breaks (U+0085, U+2028,
# U+2029) that end a line for PyYAML but not for YAML 1.2 or for editors.
_FORBIDDEN = re.compile(
    "[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)
_MAX_FORBIDDEN = 20  # reported at once


def read(path: Path, shown_as: str | None = None) -> tuple[Mapping, list[Problem]]:
    """The tree of a YAML file, as ``parse`` makes it of a text.

    Args:
        path: the file; at most ``MAX_BYTES`` of UTF-8, with or without a byte order mark.
        shown_as: its name in places and messages; the path if not given.

    Raises:
        SpecError: E106 if there is no such file, or it is not one that can be read, or not UTF-8,
            or stands for another file, as a Git LFS pointer does;
            E105 if it is too large; else as ``parse``.
    """
    name = str(path) if shown_as is None else shown_as
    try:
        data = _bytes(path, name)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        missing = isinstance(error, FileNotFoundError)
        reason = error.strerror if isinstance(error, OSError) else None
        message = f"{name}: {'no such file' if missing else reason or error}"
        raise SpecError(Problem("E106", message)) from error
    if kind := placeholder_kind(data[:START]):
        raise SpecError(Problem("E106", f"{name}: {kind.name}", hint=kind.hint))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise SpecError(_not_utf8(data, error.start, name)) from error
    return parse(text, name)


def parse(text: str, file: str = "<spec>") -> tuple[Mapping, list[Problem]]:
    """The tree of a YAML text, and the problems that did not prevent it, in order.

    Whoever uses the tree has to report the problems: a duplicate key is left out of it (the first
    one stays), a tag is ignored.

    Args:
        text: one YAML document, a mapping; at most ``MAX_BYTES`` as UTF-8.
        file: the text's name in places.

    Raises:
        SpecError: no tree can be made. E101 for YAML syntax, E104 and E105 for the limits, E107 if
            there is not exactly one document, E202 if it is not a mapping; and with it every
            problem found before.

    >>> root, problems = parse("params: {depth: 2, depth: 3}", "mini.yaml")
    >>> print(problems[0])
    mini.yaml:1:20: error[E102]: the key 'depth' occurs twice
        1 | params: {depth: 2, depth: 3}
          |                    ^^^^^
      mini.yaml:1:10: the first one
        1 | params: {depth: 2, depth: 3}
          |          ^^^^^
    """
    text = text.removeprefix("\ufeff")
    root = _read_fast(text, file)
    return (root, []) if root else _read_by_reference(SourceFile(file, text))


@functools.lru_cache(maxsize=32)  # many specs have the same parents, and a page reads them again
def _read_fast(text: str, file: str) -> Mapping | None:
    """The tree as libyaml makes it, which nobody changes; None if the reference has to look."""
    source = SourceFile(file, text)
    _refuse_unreadable(source)
    if _FAST and not _READ_DIFFERENTLY.search(text):
        builder = TreeBuilder(source)
        with contextlib.suppress(SpecError, yaml.YAMLError, ValueError):
            root = builder.build(_FAST(text))
            if not builder.problems:
                return root
    return None


def _read_by_reference(source: SourceFile) -> tuple[Mapping, list[Problem]]:
    builder, loader = TreeBuilder(source), yaml.SafeLoader(source.text)
    try:
        root = builder.build(loader)
    except yaml.MarkedYAMLError as error:
        raise builder.syntax_error(error) from error
    except (ValueError, OverflowError) as error:  # PyYAML lets "\UFFFFFFFF" through to chr()
        mark = cast(Any, loader).get_mark()
        beyond = yaml.MarkedYAMLError(problem="a number beyond all bounds", problem_mark=mark)
        raise builder.syntax_error(beyond) from error
    return root, in_order(builder.problems)


def _bytes(path: Path, name: str) -> bytes:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise SpecError(Problem("E106", f"{name}: is {kind}"))
    if status.st_size > MAX_BYTES:
        raise SpecError(_too_large(name))
    with open(path, "rb", opener=_open_at_once) as file:
        data = file.read(MAX_BYTES + 1)  # it may have grown, or be another file by now
    if len(data) > MAX_BYTES:
        raise SpecError(_too_large(name))
    return data.removeprefix(codecs.BOM_UTF8)


def _open_at_once(file: str, flags: int) -> int:
    """Open without waiting for the other end, should the file be a pipe."""
    return os.open(file, flags | getattr(os, "O_NONBLOCK", 0))


def _not_utf8(data: bytes, start: int, name: str) -> Problem:
    file = SourceFile(name, data.decode(errors="replace"))
    place = file.place_at(len(data[:start].decode()))
    return Problem("E106", f"{name}: not UTF-8 text", place, "save the file as UTF-8")


def _too_large(name: str) -> Problem:
    return Problem("E105", f"{name}: larger than {MAX_BYTES:,} bytes")


def _refuse_unreadable(source: SourceFile) -> None:
    if len(source.text.encode(errors="surrogatepass")) > MAX_BYTES:
        raise SpecError(_too_large(source.name))
    found = _FORBIDDEN.finditer(source.text)
    if problems := [_forbidden(source, match) for match in islice(found, _MAX_FORBIDDEN)]:
        raise SpecError(problems)


def _forbidden(source: SourceFile, match: re.Match[str]) -> Problem:
    code = ord(match[0])
    written = "" if SURROGATE.match(match[0]) else f', or write it as "\\u{code:04X}" in quotes'
    message = f"the character U+{code:04X} is not allowed"
    return Problem("E101", message, source.place_at(match.start()), f"remove it{written}")
