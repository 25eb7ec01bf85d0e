"""Whether the first line of a CSV or TSV has names of columns, or is a row like the others."""

from __future__ import annotations

import re

from archspec.data.report import Columns
from archspec.data.tables import Table, arrow_column, plain_values
from archspec.data.text_files import NAMES
from archspec.errors import DataError, Problem

NO_HEADER = "header=False (--no-header)"
_NUMBER = re.compile(r"[-+]?[0-9]+([.,][0-9]+)?")
_WORDS = 3  # of a name: so many make a text
_LETTERS = 40
_WITHOUT_SPACES = re.compile(
    "[\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff]{6}"
)  # Thai, Japanese, Chinese


def first_line_notes(table: Table, columns: Columns) -> tuple[str, ...]:
    """What makes a first line doubtful; nothing where somebody has said what it is.

    Raises:
        DataError: E902, a name of a used column is also a value of it: it is a row.
    """
    if not has_doubtful_names(table):
        return ()
    names = [name for name in (columns.text, columns.image, columns.label) if name is not None]
    if again := [name for name in names if _comes_again(table, columns, name)]:
        what = "a label" if again[0] == columns.label else f"a {_role(columns, again[0])}"
        message = (
            f"{table.files[0]}: the first line looks like a row: '{again[0][:60]}' is also {what}"
        )
        hint = (
            f"if it is one, {NO_HEADER}; if it has the names of the columns, header=True (--header)"
        )
        raise DataError(Problem("E902", message, hint=hint))
    odd = [name for name in table.dataset.column_names if looks_like_data(name)]
    if not odd:
        return ()
    message = f"{table.files[0]}: the first line was read as the names of the columns, and"
    return (f"{message} '{odd[0][:60]}' looks like data: if it is a row, {NO_HEADER}",)


def has_doubtful_names(table: Table) -> bool:
    """Whether nobody has said what the first line is, and no usual name is in it."""
    names = table.dataset.column_names
    usual = any(name.casefold() in NAMES for name in names)
    numbers = [name for name in names if name.isdecimal()]
    is_numbered = bool(numbers) and numbers == [str(i) for i in range(len(numbers))]  # by pandas
    return table.assumed and not usual and not is_numbered


def looks_like_data(name: str) -> bool:
    """Whether a name is rather a number, or a sentence.

    >>> [looks_like_data(name) for name in ("review text", "4", "a good film", "Good!", "v1")]
    [False, True, True, True, False]
    """
    is_sentence = len(name.split()) >= _WORDS or name.endswith((".", "!", "…", "。", "！"))
    if is_sentence or len(name) > _LETTERS or _WITHOUT_SPACES.search(name):
        return True
    return _NUMBER.fullmatch(name) is not None


def _comes_again(table: Table, columns: Columns, name: str) -> bool:
    """Whether a name is a value, too; where most values are different that may be by chance."""
    values = {_text(cell) for cell in _cells(table, name)}
    is_telling = looks_like_data(name)
    if name == columns.label:
        is_telling = is_telling or len(values) <= max(2, len(table) / 4)
    return is_telling and name in values


def _role(columns: Columns, name: str) -> str:
    return "text" if name == columns.text else "path of an image"


def _cells(table: Table, name: str) -> list[object]:
    column = arrow_column(table.dataset, name)
    try:
        return plain_values(column.unique())
    except (NotImplementedError, ValueError):  # of structs, as images are
        return []


def _text(cell: object) -> str:
    return str(cell).strip()
