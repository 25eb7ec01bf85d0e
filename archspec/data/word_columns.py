"""Rows of words with a tag for each: which columns they are in, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from archspec.data.checking import Fault
from archspec.data.column_errors import ambiguous, existing_column, names
from archspec.data.extras import train_extra
from archspec.data.labels import class_order
from archspec.data.report import Columns, Targets
from archspec.data.tables import Table, arrow_column, is_text, is_text_list, plain_values
from archspec.data.targets import declared_label_set
from archspec.data.unsupported_tasks import holds_lists
from archspec.errors import DataError, Problem

with train_extra():
    import pyarrow as pa

WORD_NAMES = ("tokens", "words", "token", "word", "tokenized")
TAG_NAMES = ("tags", "ner_tags", "labels", "label", "tag", "ner", "pos_tags", "pos", "upos")
_MAX_TAGS = 1_000


def find_word_columns(
    table: Table, text: str | None, label: str | None, *, tagged: bool
) -> Columns:
    """The columns of words and of tags: lists, or texts with spaces between words.

    Args:
        text, label: as the user says; None: by their names, or the only one that it can be.
        tagged: whether tags are read.

    Raises:
        DataError: E902.
    """
    text = existing_column(table, text) or _find_words(table, label, tagged=tagged)
    if not tagged:
        return Columns(text=text)
    label = label or _find_tags(table, text)
    for name in (text, label):
        if name in names(table) and is_text(_kind(table, name)) and holds_lists(table, name):
            message = f"{table.files[0]}: column '{name}' holds lists that are written as text"
            hint = "write them as lists, in JSON lines or Parquet"
            raise DataError(Problem("E902", message, hint=hint))
    return Columns(text=text, label=label)


def _find_words(table: Table, label: str | None, *, tagged: bool) -> str:
    free = [name for name in names(table) if name != label]
    plain = [name for name in free if is_text(_kind(table, name))]
    lists = [name for name in free if _holds_parts(table, name) or holds_lists(table, name)]
    found = _by_name(lists, WORD_NAMES) or _by_name(plain, (*WORD_NAMES, "text", "sentence"))
    if found is not None:
        return found
    texts = [name for name in lists if holds_words(table, name)]
    others = [name for name in texts if not (tagged and name.casefold() in TAG_NAMES)]
    if not others and not tagged:
        others = plain
    if len(others) != 1:
        raise _no_words(table, others)
    return others[0]


def _find_tags(table: Table, text: str) -> str:
    others = [name for name in names(table) if name != text]
    if _holds_parts(table, text):
        others = [name for name in others if _holds_parts(table, name)]
    named = [name for name in others if name.casefold() in TAG_NAMES]
    if "tags" in named:
        return "tags"
    found = named or others
    if len(found) != 1:
        raise ambiguous(table, "label", found, "tags")
    return found[0]


def _no_words(table: Table, candidates: Sequence[str]) -> DataError:
    error = ambiguous(table, "text", candidates, "words")
    if candidates:
        return error
    (problem,) = error.problems
    rows = (
        'a row is {"tokens": ["a", "word"], "tags": ["O", "O"]}; one word a line is a .conll file'
    )
    return DataError(Problem("E902", problem.message, hint=f"{rows}; {problem.hint}"))


def _by_name(candidates: Sequence[str], usual: Sequence[str]) -> str | None:
    folded = {name.casefold(): name for name in reversed(candidates)}
    return next((folded[name] for name in usual if name in folded), None)


def _kind(table: Table, name: str) -> Any:
    return arrow_column(table.dataset, name).type


def _holds_parts(table: Table, name: str) -> bool:
    kind = _kind(table, name)
    return pa.types.is_list(kind) or pa.types.is_large_list(kind)


def holds_words(table: Table, name: str) -> bool:
    """Whether a column can be words: lists of texts, or texts."""
    kind = _kind(table, name)
    return is_text(kind) or is_text_list(kind)


def holds_tags(table: Table, name: str) -> bool:
    """Whether a column can be tags: lists of texts or whole numbers, or texts."""
    is_whole = _holds_parts(table, name) and pa.types.is_integer(_kind(table, name).value_type)
    return is_whole or holds_words(table, name)


def read_tags(
    table: Table, column: str, lengths: Sequence[int], known: Sequence[str] | None = None
) -> tuple[list[list[str]], dict[int, Fault], tuple[str, ...] | None]:
    """The tags of each row, what is wrong with a row, and the tags that the data declares.

    Args:
        lengths: the number of words of each row.
        known: the tags that whole numbers count, unless the data declares them.
    """
    misfits, declared = table.misfits.get(column, {}), declared_label_set(table, column)
    numbered = declared or known
    rows: list[list[str]] = []
    faults: dict[int, Fault] = {}
    for i, cell in enumerate(plain_values(arrow_column(table.dataset, column))):
        parts: list[Any] = cell.split() if isinstance(cell, str) else cell or []
        tags = [_tag(part, numbered) for part in parts]
        if i in misfits:
            faults[i] = ("wrong type of label", misfits[i])
        elif not parts:
            faults[i] = ("no label", "")
        elif len(tags) != lengths[i]:
            faults[i] = ("not a tag for each word", f"{len(tags)} for {lengths[i]} words")
        elif None in tags:
            faults[i] = ("unknown label", repr(parts[tags.index(None)])[:60])
        rows.append([tag or "" for tag in tags])
    return rows, faults, declared


def _tag(part: Any, numbered: Sequence[str] | None) -> str | None:
    if numbered is not None and isinstance(part, int):
        return numbered[part] if 0 <= part < len(numbered) else None
    return None if part is None else str(part).strip() or None


def tag_names(rows: Sequence[Sequence[str]], source: str) -> tuple[str, ...]:
    """The tags of all rows, sorted.

    Raises:
        DataError: E906, there are fewer than two, or too many to be tags.
    """
    found = {tag for tags in rows for tag in tags}
    if len(found) == 1:
        message = f"{source}: every tag is {found.pop()}"
        raise DataError(Problem("E906", message, hint="a model learns to tell tags apart"))
    if len(found) > _MAX_TAGS:
        message = f"{source}: {len(found):,} different tags, more than {_MAX_TAGS:,}"
        raise DataError(Problem("E906", message))
    return class_order(found)


def as_numbers(rows: Sequence[Sequence[str]], labels: Sequence[str]) -> Targets:
    """An array of int64 for each row: the numbers of its tags, -1 for one that is no label."""
    number_of = {name: i for i, name in enumerate(labels)}
    arrays = np.empty(len(rows), dtype=object)
    for i, tags in enumerate(rows):
        arrays[i] = np.array([number_of.get(tag, -1) for tag in tags], dtype=np.int64)
    return arrays
