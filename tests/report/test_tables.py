"""Tables and texts that are safe to print; folding and numbers have their examples as tests."""

from __future__ import annotations

from typing import Any

import click

from archspec.report.folding import fold_neighbours, unfold_path
from archspec.report.subtrees import SubtreeNumbers
from archspec.report.tables import format_rows
from archspec.report.text import first_line, printable


def test_tables_are_aligned_and_wrapped_to_the_width_only() -> None:
    rows = [("a", "x" * 30, "1\n2"), ("bcd", "y", "")]
    text = click.unstyle(format_rows(rows))
    assert text == f"a    {'x' * 30}  1\n{' ' * 37}2\nbcd  y"
    assert max(map(len, click.unstyle(format_rows(rows, 20)).splitlines())) <= 20
    assert click.unstyle(format_rows(rows, 20)).count("x") == 30
    assert format_rows([]) == ""


def test_markup_and_control_characters_are_text() -> None:
    assert format_rows([("[bold]:smile:[/]", "\x1b[31m\r\u202e")]) == "[bold]:smile:[/]  �[31m��"
    assert printable("é × → \x00\x7f\n") == "é × → ���"


def test_no_break_spaces_stay() -> None:
    assert printable("Réseau\xa0: déjà\xa0vu") == "Réseau\xa0: déjà\xa0vu"


def test_first_lines_of_errors() -> None:
    errors = {
        ValueError("a\nb"): "a",
        ValueError("\n  a  \n"): "a",
        KeyError(): "KeyError",
        RuntimeError("x" * 400): f"{'x' * 299}…",
        OSError("\x1b[2J"): "�[2J",
    }
    assert {first_line(error): expected for error, expected in errors.items()} == {
        expected: expected for expected in errors.values()
    }


def test_neighbours_fold_if_they_count_up_and_are_equal() -> None:
    names = ["0", "1", "3", "4", "a", "5", "6"]
    groups = fold_neighbours(names, str, lambda name: name == "6")
    assert [label for label, _ in groups] == ["(0-1)", "(3-4)", "a", "5", "6"]
    assert unfold_path("a.(3-4).b", 2) == ["a.3.b", "a.4.b"]


def test_equal_subtrees_have_equal_numbers() -> None:
    tree: dict[str, dict[str, dict[str, Any]]] = {
        "a": {"x": {}},
        "b": {"x": {}},
        "c": {"y": {}},
    }
    numbers = SubtreeNumbers[dict[str, Any]](len, lambda node: node.items())
    a, b, c = (numbers.number(child) for child in tree.values())
    assert a == b != c
    assert [len(first) for first in numbers.firsts] == [0, 1, 1]
