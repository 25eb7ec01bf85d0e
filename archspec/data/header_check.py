"""Checks whether the first line of a CSV or TSV has column names, or is a row like the others."""

from __future__ import annotations

import re

from archspec.data.report import Columns
from archspec.data.tables import Table, arrow_column, plain_values
from archspec.data.text_files import NAMES
from archspec.errors import DataError, Problem

NO_HEADER = "header=False (--no-header)"
_NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")
_MIN_WORDS = 3  # that make a name look like a text
_MAX_LETTERS = 40
_NOUNS = frozenset(
    """
    abstract answer article body caption column comment content context definition description
    doc document example headline input line message name paragraph passage phrase post
    premise prompt query question remark review sentence snippet statement string summary term
    text title tweet utterance value word
    """.split()
)
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]{6}"
)  # Thai, Japanese, Chinese


def first_line_notes(table: Table, columns: Columns) -> tuple[str, ...]:
    """Why the first line may be a row; nothing if the user has said what it is.

    Raises:
        DataError: E902, the name of a used column is also one of its values.
    """
    if not has_doubtful_names(table):
        return ()
    names = [name for name in (*columns.inputs, columns.label) if name is not None]
    if repeated := [name for name in names if _is_value(table, columns, name)]:
        role = "a label" if repeated[0] == columns.label else f"a {_role(columns, repeated[0])}"
        name = repeated[0][:60]
        message = f"{table.files[0]}: the first line looks like a row: '{name}' is also {role}"
        hint = (
            f"if it is one, {NO_HEADER}; if it has the names of the columns, header=True (--header)"
        )
        raise DataError(Problem("E902", message, hint=hint))
    data_like = [name for name in table.dataset.column_names if looks_like_data(name)]
    only = table.dataset.column_names if len(table.dataset.column_names) == 1 else []
    if not data_like and only and not _is_usual(only[0]):  # no other column tells
        message = f"{table.files[0]}: the first line was read as the name of the column,"
        return (f"{message} '{only[0][:60]}': if it is a row, {NO_HEADER}",)
    if not data_like:
        return ()
    message = f"{table.files[0]}: the first line was read as the names of the columns, and"
    return (f"{message} '{data_like[0][:60]}' looks like data: if it is a row, {NO_HEADER}",)


def _is_usual(name: str) -> bool:
    """Whether a word of a name is one that columns of texts are called by.

    >>> [_is_usual(name) for name in ("my review", "tweet_texts", "good", "good film")]
    [True, True, False, False]
    """
    return any(word.rstrip("s") in _NOUNS for word in re.split(r"[\W_\d]+", name.casefold()))


def has_doubtful_names(table: Table) -> bool:
    """Whether the user has not said what the first line is, and it has no usual name."""
    names = table.dataset.column_names
    usual = any(name.casefold() in NAMES for name in names)
    numbers = [name for name in names if name.isdecimal()]
    is_numbered = bool(numbers) and numbers == [str(i) for i in range(len(numbers))]  # by pandas
    return table.assumed and not usual and not is_numbered


def looks_like_data(name: str) -> bool:
    """Whether a column name looks like a number or a sentence.

    >>> [looks_like_data(name) for name in ("review text", "4", "a good film", "Good!", "v1")]
    [False, True, True, True, False]
    """
    is_sentence = len(name.split()) >= _MIN_WORDS or name.endswith((".", "!", "…", "。", "！"))
    if is_sentence or len(name) > _MAX_LETTERS or _WITHOUT_SPACES.search(name):
        return True
    return _NUMBER.fullmatch(name) is not None


def _is_value(table: Table, columns: Columns, name: str) -> bool:
    """Whether a name is also a value; a coincidence if most values are different."""
    values = {_text(cell) for cell in _cells(table, name)}
    is_telling = looks_like_data(name)
    if name == columns.label:
        is_telling = is_telling or len(values) <= max(2, len(table) / 4)
    return is_telling and name in values


def _role(columns: Columns, name: str) -> str:
    return "path of an image" if name == columns.image else "text"


def _cells(table: Table, name: str) -> list[object]:
    column = arrow_column(table.dataset, name)
    try:
        return plain_values(column.unique())
    except (NotImplementedError, ValueError):  # of structs, as images are
        return []


def _text(cell: object) -> str:
    return str(cell).strip()
