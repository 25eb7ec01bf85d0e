"""Specs full of mistakes: each is told once, in order, with its code, place and message.

In ``mistakes/*.yaml`` a comment says what is wrong with its line: code, the stretch of it that
is marked, and the message; several are separated by semicolons. Whatever has no such comment is
right, or wrong only because of something that has been told.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import archspec
from archspec.errors import Place, SpecError
from tests.tables import every

FILES = sorted((Path(__file__).parent / "mistakes").glob("*.yaml"))
_EXPECTED = re.compile(r"(E\d{3}) «(.*?)» (.*?)(?=; E\d{3} «|$)")


def expected(text: str) -> Iterator[tuple[int, str, str, str]]:
    """Line, code, marked stretch and message of each mistake."""
    for number, line in enumerate(text.splitlines(), 1):
        _, _, comment = line.partition("  #! ")
        for code, marked, message in _EXPECTED.findall(comment):
            yield number, code, marked, message


def marked(place: Place | None) -> str:
    assert place is not None
    return place.source[place.column - 1 : place.end_column - 1]


@every("path", FILES)
def test_every_mistake_is_told_once_and_in_order(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    with pytest.raises(SpecError) as caught:
        archspec.loads(text, name=path.name)
    problems = caught.value.problems
    found = [(p.place.line, p.code, marked(p.place), p.message) for p in problems if p.place]
    assert found == list(expected(text))
    assert len(found) == len(problems)


def test_there_are_mistakes_of_every_kind() -> None:
    codes = {code for path in FILES for _, code, _, _ in expected(path.read_text("utf-8"))}
    assert {"E2", "E3", "E4", "E7"} == {code[:2] for code in codes}
    assert len(codes) > 20
