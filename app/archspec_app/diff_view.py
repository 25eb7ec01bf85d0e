"""Two specs side by side: one of them the text in the editor, mostly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import archspec
from archspec.differences import Diff, text_lines
from archspec.differences.comparing import LEVELS
from archspec.errors import Place, Problem, UsageError
from archspec.lang.inherit import packaged_names
from archspec.lang.spec import Spec, loads_with
from archspec_app.session import Session
from archspec_app.workspace import SUFFIXES

SAVED, EDITED = "@saved", "@edited"
"""The text as it was opened or saved last, and as it is now; no spec is called so."""

MOST_LINES = 1000
"""Of one section."""

_SIGNS = {"kept": "=", "added": "+", "removed": "−", "changed": "~", "moved": "→"}
_SIDES = {SAVED: "saved", EDITED: "editor"}


@dataclass(frozen=True)
class Pair:
    """What is compared: two names, and the levels."""

    a: str
    b: str
    levels: tuple[str, ...]

    @classmethod
    def of(cls, a: str, b: str, levels: Sequence[object]) -> Pair:
        """What came from a page; without levels all of them."""
        known = tuple(level for level in LEVELS if level in levels)
        return cls(a or SAVED, b or EDITED, known or LEVELS)


@dataclass(frozen=True)
class DiffView:
    """Both specs, and what the page needs to know beside them.

    Attributes:
        file: what the editor's text is called in places.
        plan: the freeze plan under which the cost is measured.
    """

    old: Spec
    new: Spec
    pair: Pair
    file: str
    plan: str | None


def names_data(desk: Session) -> dict[str, Any]:
    """The specs that can be compared."""
    return {
        "names": desk.workspace.names(),
        "open": desk.name,
        "has_saved": _saved(desk) is not None,
        "broken": bool(desk.problems),
        "all_levels": list(LEVELS),
    }


def sides(desk: Session, pair: Pair) -> DiffView:
    """Read both specs.

    Raises:
        UsageError: E801, there is no such spec.
        SpecError: one of them is wrong.
    """
    old, new = _spec(desk, pair.a), _spec(desk, pair.b)
    plan = desk.good.asked.plan if desk.good else None
    known = all(plan in spec.architecture.freeze for spec in (old, new))
    return DiffView(old, new, pair, desk.file, plan if known else None)


def diff_data(given: DiffView) -> dict[str, Any]:
    """Their difference, in sections of lines and tables of figures; raises as ``diff``."""
    pair = given.pair
    found = archspec.diff(given.old, given.new, levels=pair.levels, freeze=given.plan)
    found = replace(found, old=_called(found.old, pair.a), new=_called(found.new, pair.b))
    return {
        "a": pair.a,
        "b": pair.b,
        "levels": list(pair.levels),
        "old": found.old,
        "new": found.new,
        "different": bool(found),
        "verdict": "" if found else text_lines.verdict(found),
        "sections": _sections(found, given),
        "figures": [
            {"title": table.title, "rows": [list(row) for row in table.rows]}
            for table in text_lines.figures(found)
        ],
        "notes": list(found.notes),
        "markdown": found.to_markdown(),
    }


def _sections(found: Diff, given: DiffView) -> list[dict[str, Any]]:
    return [
        {
            "title": title,
            "lines": [_line(line, given) for line in lines[:MOST_LINES]],
            "left": max(0, len(lines) - MOST_LINES),
        }
        for title, lines in text_lines.sections(found)
    ]


def _line(line: text_lines.Line, given: DiffView) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "sign": _SIGNS[line.kind],
        "what": line.what,
        "how": line.how,
        "where": line.where,
        "line": _in_editor(line, given),
    }


def _in_editor(line: text_lines.Line, given: DiffView) -> int | None:
    """The line of the editor's text that a change stands in."""

    def of(place: Place | None, side: str) -> int | None:
        return place.line if side == EDITED and place and place.file == given.file else None

    return of(line.new, given.pair.b) or of(line.old, given.pair.a)


def _called(name: str, side: str) -> str:
    return f"{name} ({_SIDES[side]})" if side in _SIDES else name


def _spec(desk: Session, name: str) -> Spec:
    if name == EDITED:
        if desk.good is None:
            raise UsageError(Problem("E801", "the text in the editor has problems that come first"))
        return desk.good.spec
    if name == SAVED:
        text, name = _saved(desk), desk.name
        if text is None:
            hint = "save it, or choose a spec to compare it with"
            raise UsageError(Problem("E801", "this text has no saved version", hint=hint))
    else:
        text = desk.workspace.read(name)
    file = name if name.endswith(SUFFIXES) else f"{name}.yaml"
    return loads_with(text, {}, name=file, folder=desk.workspace.folder_of(name))


def _saved(desk: Session) -> str | None:
    if desk.saved is None and desk.name in packaged_names():
        return desk.workspace.read(desk.name)
    return desk.saved
