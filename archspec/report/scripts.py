"""Modules of JavaScript as one script, without a bundler: each file has what its name says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r"^import [^;]*? from \"\./([\w/]+\.js)\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=\w)", re.MULTILINE)
_COMMENT_OR_INDENT = re.compile(r"^(?:[ \t]*//.*(?:\n|\Z)|[ \t]+|\n)", re.MULTILINE)
_LIBRARIES = "_libraries.js"


@cache
def bundle(name: str, folders: Sequence[Path]) -> str:
    """A module and those that it imports, as one script.

    They share one scope: no two of them may have the same name at their top level. No template
    literal may go over lines: comments on lines of their own and indentation are left out.

    Args:
        name: of the module's file.
        folders: where modules are; the first that has a name is taken.
    """
    return _script(_sources([name], folders).values())


@cache
def view_bundle(names: Sequence[str], folders: Sequence[Path]) -> str:
    """Modules as functions of a script, and those that they import once, for all of them.

    Args:
        names: of the files; each becomes ``archspecViews[file without .js]``, a function of
            ``{element, props, trigger, watch}``, which the module finds as its own variables.
        folders: as of ``bundle``.
    """
    sources = _sources(names, folders)
    shared = [source for name, source in sources.items() if name not in names]
    views = [
        f"{json.dumps(name.removesuffix('.js'))}({{ element, props, trigger, watch }}) {{\n"
        f"{sources[name]}}},"
        for name in names
    ]
    return _script([*shared, "Object.assign((globalThis.archspecViews ??= {}), {", *views, "});"])


def _script(sources: Iterable[str]) -> str:
    return "\n".join(['(() => {"use strict";', *sources, "})();"])


def _sources(names: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Files and what they import, each behind those that it imports."""
    sources: dict[str, str] = {}

    def add(file: str) -> None:
        if file not in sources:
            place = next(path for folder in folders if (path := folder / file).exists())
            source = place.read_text(encoding="utf-8")
            for imported in _IMPORT.findall(source):
                add(imported)
            plain = _EXPORT.sub("", _IMPORT.sub("", source))
            is_library = file.endswith(_LIBRARIES)
            sources[file] = plain if is_library else _COMMENT_OR_INDENT.sub("", plain)

    for name in names:
        add(name)
    return sources
