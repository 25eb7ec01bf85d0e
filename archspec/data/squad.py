"""Questions in the forms of SQuAD as plain rows: question, context, answers and their places."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

ANSWERS, START = "answers", "answer_start"


def article_rows(items: list[Any]) -> list[Any]:
    """The questions of SQuAD's articles, a row each; other items as they are.

    >>> qas = [{"id": "1", "question": "What?", "answers": [{"text": "it", "answer_start": 0}]}]
    >>> article_rows([{"paragraphs": [{"context": "it is", "qas": qas}]}])[0]["context"]
    'it is'
    """
    if not items or not all(isinstance(one, dict) and "paragraphs" in one for one in items):
        return items
    rows: list[Any] = []
    for article in items:
        for paragraph in _dicts(article["paragraphs"]):
            for question in _dicts(paragraph.get("qas")):
                rows.append({**question, "context": paragraph.get("context")})
    return rows


def _dicts(value: Any) -> list[dict[str, Any]]:
    items = cast("list[Any]", value) if isinstance(value, list) else []
    return [one for one in items if isinstance(one, dict)]


def with_flat_answers(columns: Mapping[str, list[Any]]) -> Mapping[str, list[Any]]:
    """Columns with objects of answers as lists of their texts and of their places.

    >>> flat = with_flat_answers({"answers": [{"text": ["it"], "answer_start": [3]}, None]})
    >>> flat["answers"], flat["answer_start"]
    ([['it'], None], [[3], None])
    """
    cells = columns.get(ANSWERS, ())
    parts = [_parts(cell) for cell in cells]
    if START in columns or not any(part is not None for part in parts):
        return columns
    texts = [cell if part is None else part[0] for cell, part in zip(cells, parts, strict=True)]
    starts = [None if part is None else part[1] for part in parts]
    return {**columns, ANSWERS: texts, START: starts}


def _parts(cell: Any) -> tuple[Sequence[Any], Sequence[Any]] | None:
    """The texts and places in a cell: an object of two lists, or a list of objects."""
    if isinstance(cell, dict):
        answers = cast("dict[str, Any]", cell)
        texts, starts = answers.get("text"), answers.get(START)
        return (texts, starts) if isinstance(texts, list) and isinstance(starts, list) else None
    if not isinstance(cell, list) or not cell or not all(isinstance(one, dict) for one in cell):
        return None
    objects = cast("list[dict[str, Any]]", cell)
    return [one.get("text") for one in objects], [one.get(START) for one in objects]
