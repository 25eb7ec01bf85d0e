"""Finds the columns of texts that language models learn from."""

from __future__ import annotations

from typing import Literal

from archspec.data.column_errors import ambiguous, existing_column, with_columns
from archspec.data.columns import TEXT_NAMES, check, text_candidates
from archspec.data.report import Columns
from archspec.data.tables import Table
from archspec.data.unsupported_tasks import holds_prose, refuse_tokens
from archspec.errors import DataError, Problem, UsageError, listing
from archspec.lang.schema import TaskKind

_ANSWERS = {  # of prompts, by the names of both columns
    "prompt": ("completion", "response", "answer", "output"),
    "instruction": ("output", "response", "completion", "answer"),
    "question": ("answer",),
    "input": ("output",),
}


def find_language_columns(
    table: Table,
    kind: TaskKind,
    *,
    text: str | None,
    text_pair: str | None = None,
    image: str | None = None,
    label: str | Literal[False] | None = None,
) -> Columns:
    """The column of texts, or those of prompts and their answers.

    Args:
        table: the split whose columns count: ``train`` if there is one.
        text, text_pair, image, label: as the user says; None: guess. A label of False: prompts are
            to be continued, and no answers are read.

    Raises:
        DataError: E902, there is no such column, or several are possible; E907, its rows are of
            something that is not supported.
        UsageError: E801, a column was given that the task does not read.
    """
    useless = {"image_column": image, "label_column": label}
    if kind != "causal-lm" or label is False:
        useless["text_pair_column"] = text_pair
    for name, column in useless.items():
        if column:
            message = f"the task is {kind}: it learns from texts alone"
            raise UsageError(Problem("E801", message, hint=f"leave {name} out"))
    if text_pair is not None and text in (None, text_pair):
        message = "text_pair_column is the column of answers: text_column is that of prompts"
        raise UsageError(Problem("E801", message, hint="give both, of two columns"))
    refuse_tokens(table, text)
    first, second = existing_column(table, text), existing_column(table, text_pair)
    if first is None:
        first, second = _find_prompts(table) if kind == "causal-lm" else (None, None)
    if first is None:
        first = _find_text(table, kind)
    columns = Columns(text=first, text_pair=None if label is False else second)
    check(table, columns, kind)
    return columns


def _find_prompts(table: Table) -> tuple[str | None, str | None]:
    """The columns of prompts and answers, as their names say; None of other data.

    Raises:
        DataError: E902, a prompt has two parts.
    """
    by_name = {name.strip().casefold(): name for name in reversed(text_candidates(table))}
    if any(name in by_name for name in TEXT_NAMES):
        return None, None
    if {"instruction", "input", "output"} <= by_name.keys():
        message = f"{table.files[0]}: instruction and input are parts of one prompt"
        hint = "write both into one column, 'prompt', or name what is read: text_column= and "
        hint += "text_pair_column= (--text-column, --text-pair-column)"
        raise DataError(Problem("E902", message, hint=with_columns(table, hint)))
    for prompt, answers in _ANSWERS.items():
        for answer in answers:
            if {prompt, answer} <= by_name.keys():
                return by_name[prompt], by_name[answer]
    return None, None


def _find_text(table: Table, kind: TaskKind) -> str:
    """The column with the usual name, or the only one of texts, or of several words.

    Raises:
        DataError: E902, it cannot be told.
    """
    candidates = text_candidates(table)
    if named := [name for name in TEXT_NAMES if name in candidates]:
        return named[0]
    prose = [name for name in candidates if holds_prose(table, name)]
    found = candidates if len(candidates) == 1 else prose
    if len(found) == 1:
        return found[0]
    if kind != "causal-lm" or not found:
        raise ambiguous(table, "text", found or candidates)
    message = (
        f"{table.files[0]}: {listing(found)} could each be the text, or be prompts and answers"
    )
    hint = "one of them: text_column= (--text-column); its answers: text_pair_column= as well"
    raise DataError(Problem("E902", message, hint=with_columns(table, hint)))
