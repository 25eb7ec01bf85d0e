"""Modules of JavaScript as one script, without a bundler: each file has what its name says."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

_IMPORT = re.compile(r"^import [^;]*? from \"\./([\w/]+\.js)\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export (?=\w)", re.MULTILINE)


@cache
def bundle(name: str, folders: Sequence[Path]) -> str:
    """A module and those that it imports, as one script.

    They share one scope: no two of them may have the same name at their top level.

    Args:
        name: of the module's file.
        folders: where modules are; the first that has a name is taken.
    """
    sources: dict[str, str] = {}

    def add(file: str) -> None:
        if file not in sources:
            place = next(path for folder in folders if (path := folder / file).exists())
            source = place.read_text(encoding="utf-8")
            for imported in _IMPORT.findall(source):
                add(imported)
            sources[file] = _EXPORT.sub("", _IMPORT.sub("", source))

    add(name)
    return "\n".join(['(() => {"use strict";', *sources.values(), "})();"])
