"""Finds the column of texts that language models learn from."""

from __future__ import annotations

from typing import Literal

from archspec.data.column_errors import ambiguous, existing_column
from archspec.data.columns import TEXT_NAMES, check, text_candidates
from archspec.data.report import Columns
from archspec.data.tables import Table
from archspec.data.unsupported_tasks import holds_prose, refuse_tokens
from archspec.errors import Problem, UsageError
from archspec.lang.schema import TaskKind


def find_language_columns(
    table: Table,
    kind: TaskKind,
    *,
    text: str | None,
    text_pair: str | None = None,
    image: str | None = None,
    label: str | Literal[False] | None = None,
) -> Columns:
    """The column of texts.

    Args:
        table: the split whose columns count: ``train`` if there is one.
        text, text_pair, image, label: as the user says; None: guess.

    Raises:
        DataError: E902, there is no such column, or several are possible; E907, its rows are of
            something that is not supported.
        UsageError: E801, a column was given that the task does not read.
    """
    useless = {"text_pair_column": text_pair, "image_column": image, "label_column": label}
    for name, column in useless.items():
        if column:
            message = f"the task is {kind}: it learns from one column of texts"
            raise UsageError(Problem("E801", message, hint=f"leave {name} out"))
    refuse_tokens(table, text)
    columns = Columns(text=existing_column(table, text) or _find_text(table))
    check(table, columns, kind)
    return columns


def _find_text(table: Table) -> str:
    """The column with the usual name, or the only one of texts, or of several words.

    Raises:
        DataError: E902, it cannot be told.
    """
    candidates = text_candidates(table)
    if named := [name for name in TEXT_NAMES if name in candidates]:
        return named[0]
    prose = [name for name in candidates if holds_prose(table, name)]
    found = candidates if len(candidates) == 1 else prose
    if len(found) != 1:
        raise ambiguous(table, "text", found or candidates)
    return found[0]
