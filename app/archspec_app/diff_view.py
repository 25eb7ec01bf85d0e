"""Compares two specs for the tab Diff, by default the saved text and the edited one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import archspec
from archspec.differences import Diff, text_lines
from archspec.differences.comparing import LEVELS
from archspec.errors import Place, Problem, UsageError
from archspec.lang.packaged import packaged_specs
from archspec.lang.spec import Spec, loads_with
from archspec_app.session import Session
from archspec_app.workspace import SUFFIXES

SAVED, EDITED = "@saved", "@edited"
"""The text as last opened or saved, and as it is now; no spec can have these names."""

MAX_LINES = 1000
"""Of one section."""

_SIGNS = {"kept": "=", "added": "+", "removed": "−", "changed": "~", "moved": "→"}
_SIDES = {SAVED: "saved", EDITED: "editor"}


@dataclass(frozen=True)
class Pair:
    """What to compare: two names, and the levels."""

    a: str
    b: str
    levels: tuple[str, ...]

    @classmethod
    def of(cls, a: str, b: str, levels: Sequence[object]) -> Pair:
        """From an event's values; without levels, all of them."""
        known = tuple(level for level in LEVELS if level in levels)
        return cls(a or SAVED, b or EDITED, known or LEVELS)


@dataclass(frozen=True)
class Comparison:
    """The two specs of a pair.

    Attributes:
        file: the editor's file name in the places of problems.
        plan: the freeze plan that the costs are computed for.
    """

    old: Spec
    new: Spec
    pair: Pair
    file: str
    plan: str | None


def names_data(session: Session) -> dict[str, Any]:
    """The specs that can be compared."""
    return {
        "names": session.workspace.names(),
        "open": session.name,
        "has_saved": _saved(session) is not None,
        "has_problems": bool(session.problems),
        "all_levels": list(LEVELS),
    }


def load_pair(session: Session, pair: Pair) -> Comparison:
    """Read both specs.

    Raises:
        UsageError: E801, there is no such spec.
        SpecError: one of them has problems.
    """
    old, new = spec_named(session, pair.a), spec_named(session, pair.b)
    plan = session.built.request.plan if session.built else None
    known = all(plan in spec.architecture.freeze for spec in (old, new))
    return Comparison(old, new, pair, session.file, plan if known else None)


def spec_named(session: Session, name: str) -> Spec:
    """The spec of a name, with ``SAVED`` and ``EDITED`` for the two texts of the open one.

    Raises:
        UsageError: E801, there is no such spec.
        SpecError: it has problems.
    """
    if name == EDITED:
        if session.built is None:
            raise UsageError(
                Problem("E801", "the text in the editor has problems", hint="fix them first")
            )
        return session.built.spec
    if name == SAVED:
        text, name = _saved(session), session.name
        if text is None:
            hint = "save it, or choose another spec to compare with"
            raise UsageError(Problem("E801", "this text has no saved version", hint=hint))
    else:
        text = session.workspace.read(name)
    file = name if name.endswith(SUFFIXES) else f"{name}.yaml"
    return loads_with(text, {}, name=file, folder=session.workspace.folder_of(name))


def diff_data(comparison: Comparison) -> dict[str, Any]:
    """The differences, as sections of lines and tables of figures; raises as ``diff``."""
    pair = comparison.pair
    diff = archspec.diff(comparison.old, comparison.new, levels=pair.levels, freeze=comparison.plan)
    diff = replace(diff, old=side_label(diff.old, pair.a), new=side_label(diff.new, pair.b))
    return {
        "a": pair.a,
        "b": pair.b,
        "levels": list(pair.levels),
        "old": diff.old,
        "new": diff.new,
        "different": bool(diff),
        "verdict": "" if diff else text_lines.verdict(diff),
        "sections": _sections(diff, comparison),
        "figures": [
            {"title": table.title, "rows": [list(row) for row in table.rows]}
            for table in text_lines.figures(diff)
        ],
        "notes": list(diff.notes),
        "markdown": diff.to_markdown(),
    }


def _sections(diff: Diff, comparison: Comparison) -> list[dict[str, Any]]:
    return [
        {
            "title": title,
            "lines": [_line(line, comparison) for line in lines[:MAX_LINES]],
            "omitted": max(0, len(lines) - MAX_LINES),
        }
        for title, lines in text_lines.sections(diff)
    ]


def _line(line: text_lines.Line, comparison: Comparison) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "sign": _SIGNS[line.kind],
        "what": line.what,
        "how": line.how,
        "where": line.where,
        "line": _in_editor(line, comparison),
    }


def _in_editor(line: text_lines.Line, comparison: Comparison) -> int | None:
    """The line of a change in the editor's text."""

    def of(place: Place | None, side: str) -> int | None:
        return place.line if side == EDITED and place and place.file == comparison.file else None

    return of(line.new, comparison.pair.b) or of(line.old, comparison.pair.a)


def side_label(name: str, side: str) -> str:
    """A spec's name, with which text of the open one it is."""
    return f"{name} ({_SIDES[side]})" if side in _SIDES else name


def _saved(session: Session) -> str | None:
    if session.saved is None and session.name in packaged_specs():
        return session.workspace.read(session.name)
    return session.saved
