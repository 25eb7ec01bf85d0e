"""Questions with contexts and answers in them: which columns they are in, what is wrong there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from archspec.data.checking import Fault
from archspec.data.column_errors import ambiguous, existing_column, names
from archspec.data.extras import train_extra
from archspec.data.report import Columns, Targets
from archspec.data.squad import ANSWERS, START
from archspec.data.tables import (
    Table,
    arrow_column,
    from_arrow,
    is_text,
    is_text_list,
    plain_values,
)

with train_extra():
    import pyarrow as pa

_ROLES = {  # argument of open_data → what it is, and its usual names
    "text": ("question", ("question", "query")),
    "text_pair": ("context", ("context", "passage", "paragraph", "document")),
    "label": ("answer", (ANSWERS, "answer", "answer_text", "answers_text")),
}


def find_answer_columns(
    table: Table, text: str | None, text_pair: str | None, label: str | None, *, answered: bool
) -> Columns:
    """The columns of questions, contexts, answers and their places: by their names.

    Args:
        text, text_pair, label: as the user says.
        answered: whether answers are read.

    Raises:
        DataError: E902.
    """
    given = {"text": text, "text_pair": text_pair, "label": label}
    found = {
        role: existing_column(table, given[role]) or _named(table, role)
        for role in _ROLES
        if answered or role != "label"
    }
    start = START if answered and START in names(table) else None
    return Columns(**found, answer_start=start)


def with_answer_lists(table: Table) -> Table:
    """The table with a column of objects with answers as two of lists: texts and places."""
    data = table.dataset.data.table
    if ANSWERS not in data.column_names or START in data.column_names:
        return table
    column = data.column(ANSWERS)
    kind = column.type
    fields = (
        {kind.field(i).name for i in range(kind.num_fields)} if pa.types.is_struct(kind) else ()
    )
    if not {"text", START} <= {*fields}:
        return table
    flat = pa.Table.from_arrays([column], ["it"]).flatten()
    data = data.set_column(data.column_names.index(ANSWERS), ANSWERS, flat.column("it.text"))
    data = data.append_column(START, flat.column(f"it.{START}"))
    return replace(table, dataset=from_arrow(data))


def _named(table: Table, role: str) -> str:
    what, usual = _ROLES[role]
    folded = {name.casefold(): name for name in reversed(names(table))}
    found = [folded[name] for name in usual if name in folded]
    if not found:
        raise ambiguous(table, role, found, what)
    return found[0]


def holds_answers(table: Table, name: str) -> bool:
    """Whether a column can be answers: texts, or lists of texts."""
    kind = arrow_column(table.dataset, name).type
    return is_text(kind) or is_text_list(kind)


def holds_starts(table: Table, name: str) -> bool:
    """Whether a column can be places of answers: whole numbers, or lists of them."""
    kind = arrow_column(table.dataset, name).type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return pa.types.is_integer(kind.value_type if is_list else kind) or is_text(kind)


def read_answers(
    table: Table, columns: Columns, contexts: Sequence[str | None]
) -> tuple[Targets, dict[int, Fault], list[str]]:
    """Where the answers of each row are in its context, what is wrong, and what was assumed.

    Returns:
        For each row an array of int64 [answers, 2]: the first character, and the one behind the
        last.
    """
    assert columns.label is not None
    texts = _lists(table, columns.label)
    starts = _lists(table, columns.answer_start) if columns.answer_start else [None] * len(texts)
    places = np.empty(len(texts), dtype=object)
    faults: dict[int, Fault] = {}
    several = 0
    for i, (answers, of_row, context) in enumerate(zip(texts, starts, contexts, strict=True)):
        found, fault, is_guessed = _places(answers, of_row, context or "")
        places[i] = np.array(found, dtype=np.int64).reshape(-1, 2)
        several += is_guessed and fault is None
        if fault is not None:
            faults[i] = fault
    guessed = "answers at several places of their context, of which the first is taken"
    notes = [f"{guessed}: {several:,}"] if several else []
    return places, faults, notes


def _lists(table: Table, column: str) -> list[Any]:
    cells = plain_values(arrow_column(table.dataset, column))
    return [cell if isinstance(cell, list) or cell is None else [cell] for cell in cells]


def _places(
    answers: Sequence[Any] | None, starts: Sequence[Any] | None, context: str
) -> tuple[list[tuple[int, int]], Fault | None, bool]:
    """The places of a row's answers, what is wrong with them, and whether one was chosen."""
    if not answers or not all(isinstance(one, str) and one.strip() for one in answers):
        return [], ("no answer", ""), False
    if starts is not None and len(starts) != len(answers):
        return [], ("not a place for each answer", f"{len(starts)} for {len(answers)}"), False
    places: list[tuple[int, int]] = []
    is_guessed = False
    for text, start in zip(answers, starts or [None] * len(answers), strict=True):
        if start is None:
            start = context.find(text)
            is_guessed = is_guessed or context.find(text, start + 1) >= 0 <= start
        place = int(start) if str(start).strip().isdecimal() else -1
        if place < 0 or context[place : place + len(text)] != text:
            where = "in the context" if starts is None else "where answer_start says"
            return [], (f"the answer is not {where}", repr(text[:40])), False
        places.append((place, place + len(text)))
    return places, None, is_guessed
