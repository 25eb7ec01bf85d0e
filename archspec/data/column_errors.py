"""Errors about columns, which list those that there are."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.data.header_check import NO_HEADER, has_doubtful_names, looks_like_data
from archspec.data.splitting import choose_hint
from archspec.data.tables import Table
from archspec.errors import DataError, Problem, did_you_mean, listing


def names(table: Table) -> list[str]:
    return list(table.dataset.column_names)


def existing_column(table: Table, name: str | None) -> str | None:
    """The name of a column, or None.

    Raises:
        DataError: E902, there is no such column.
    """
    if name is not None and name not in names(table):
        raise DataError(unknown_column(table, name))
    return name


def unknown_column(table: Table, name: str) -> Problem:
    hint = did_you_mean(name, names(table)) or list_columns(table)
    return Problem("E902", f"{table.files[0]} has no column '{name}'", hint=hint)


def list_columns(table: Table) -> str:
    text = f"the columns are {listing([name[:60] for name in names(table)], 20)}"
    if has_doubtful_names(table) and any(map(looks_like_data, names(table))):
        text += f" (if this first line is a row: {NO_HEADER})"
    return text


def ambiguous(
    table: Table, role: str, candidates: Sequence[str], what: str | None = None
) -> DataError:
    """E902 for a role that no column has, or several could have.

    Args:
        what: the role in words, if they are others.
    """
    if candidates:
        message = f"{table.files[0]}: {listing(candidates)} could each be the {what or role}"
    else:
        message = f"{table.files[0]}: no column looks like the {what or role}"
    hint = with_columns(table, choose_hint(f"{role}_column"))
    return DataError(Problem("E902", message, hint=hint))


def with_columns(table: Table, hint: str) -> str:
    return f"{list_columns(table)}: {hint}"
