"""Finds the columns of texts that belong together, of which embeddings are learned."""

from __future__ import annotations

from typing import Literal

from archspec.data.column_errors import existing_column, names
from archspec.data.columns import NUMBER_NAMES, check, find_pair, text_candidates
from archspec.data.extras import train_extra
from archspec.data.report import Columns
from archspec.data.tables import Table, arrow_column
from archspec.data.targets import is_number
from archspec.data.unsupported_tasks import refuse_tokens, sample_texts
from archspec.errors import DataError, Problem, UsageError

with train_extra():
    import pyarrow as pa

_NEGATIVES = ("negative", "hard_negative", "negative_1")
_MIN_NUMBERS = 0.9  # of the cells


def find_embedding_columns(
    table: Table,
    text: str | None,
    text_pair: str | None,
    negative: str | None,
    label: str | Literal[False] | None,
) -> Columns:
    """The columns that embeddings are learned of: two texts, and a third one or a similarity.

    Args:
        table: the split whose columns count: ``train`` if there is one.
        text, text_pair, negative, label: as the user says; None: guess. Texts that the user gives
            are not guessed to have a third one beside them.

    Raises:
        DataError: E902, there is no such column, or several are possible; E907, the data is for a
            task that is not supported.
        UsageError: E801, columns were given that cannot be used together.
    """
    given = [name for name in (text, text_pair, negative, label) if name]
    message = hint = ""
    if len({*given}) < len(given):
        message = "one column was given for two of the texts and the label"
    elif negative is not None and label:
        message, hint = "a negative and a similarity were given", "give one of them"
    elif text is None and (text_pair or negative):
        message = "another text was given, and not the first"
        hint = "give text_column (--text-column) as well"
    if message:
        raise UsageError(Problem("E801", message, hint=hint))
    refuse_tokens(table, text)
    third = _third_texts(table)
    if text is None and not label and third:
        negative = third[0]
    score = label or None
    if negative is None and not label:
        score = _similarity(table, are_named=text is not None and text_pair is not None)
    if text is not None and text_pair is not None:
        first, second = existing_column(table, text), existing_column(table, text_pair)
    else:
        first, second = find_pair(table, text, {negative, score, *third})
    columns = Columns(first, text_pair=second, negative=negative, label=score)
    check(table, columns, "text-embedding")
    return columns


def _third_texts(table: Table) -> list[str]:
    """Columns of texts that are called negatives."""
    by_name = {name.strip().casefold().replace(" ", "_"): name for name in text_candidates(table)}
    return [by_name[name] for name in _NEGATIVES if name in by_name]


def _similarity(table: Table, *, are_named: bool) -> str | None:
    """A column of numbers that has the name of a score or a label.

    Args:
        are_named: whether the user has named both texts; else a label that is no number is an
            error: it could be meant.

    Raises:
        DataError: E902, it holds no numbers, or there are images in place of texts.
    """
    by_name = {name.casefold(): name for name in reversed(names(table))}
    for name in (by_name[usual] for usual in NUMBER_NAMES if usual in by_name):
        kind = arrow_column(table.dataset, name).type
        cells = sample_texts(table, name)
        if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            return name
        if cells and sum(map(is_number, cells)) >= _MIN_NUMBERS * len(cells):
            return name
        if name.casefold() in NUMBER_NAMES[:3] and not are_named:
            text_candidates(table, {name})  # where all others are images, that is the mistake
            message = f"{table.files[0]}: column '{name}' holds no numbers, as similarities are"
            hint = "to learn from pairs alone, give their columns: text_column= and "
            hint += "text_pair_column= (--text-column, --text-pair-column)"
            raise DataError(Problem("E902", message, hint=hint))
    return None
