"""Recognises data for other tasks than the one at hand, by its columns, and refuses it.

Nobody shall train on combinations of labels, or on half of what a label is about, without noticing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

from archspec.data.extras import train_extra
from archspec.data.report import Columns
from archspec.data.tables import Table, arrow_column, is_text, plain_values
from archspec.errors import DataError, Problem, listing
from archspec.tasks import KINDS

with train_extra():
    import pyarrow as pa

SAMPLE = 10_000  # rows that are looked at
_MIN_FRACTION = 0.1  # of the rows: too many to be mistakes
_MIN_WORDS = 2.5  # of a text, on average
_PAIRS = (  # whatever their content
    ("premise", "hypothesis"), ("question", "sentence"), ("question", "passage"),
    ("query", "passage"), ("question", "context"), ("query", "document"), ("query", "doc"),
    ("claim", "evidence"), ("anchor", "positive"), ("anchor", "negative"),
)  # fmt: skip
_PAIRS_OF_TEXTS = (  # unless one of them looks like a label
    ("question", "answer"), ("query", "text"), ("query", "title"), ("source", "target"),
    ("src", "tgt"),
    ("context", "response"), ("prompt", "response"), ("prompt", "completion"),
    ("chosen", "rejected"), ("instruction", "output"), ("input", "output"), ("term", "definition"),
    ("document", "summary"), ("article", "summary"), ("headline", "body"),
    ("post", "reply"), ("comment", "reply"), ("tweet", "reply"), ("original", "paraphrase"),
)  # fmt: skip
_WRITTEN = {  # the second text is written from the first
    "translation": (
        ("source", "target"), ("src", "tgt"), ("source_text", "target_text"),
        ("source_sentence", "target_sentence"),
    ),
    "summarization": (
        ("document", "summary"), ("article", "summary"), ("article", "highlights"),
        ("dialogue", "summary"), ("text", "summary"),
    ),
}  # fmt: skip
_LANGUAGES = frozenset(
    "ar bg bn ca cs da de el en es et fa fi fr he hi hr hu id it ja ko lt lv nl no pl pt ro ru sk "
    "sl sr sv sw ta th tr uk ur vi zh".split()
)
_STEMS = {"text", "sentence", "sent", "question", "query", "premise", "passage", "document", "doc"}
_ENDS = (("1", "2"), ("a", "b"), ("first", "second"), ("left", "right"), ("one", "two"))
_ANSWERS = {"answer", "answers", "answer_start"}
TOKEN_NAMES = {"token", "tokens", "words", "tokenized"}
_FRACTION = re.compile(r"[-+]?(?:[0-9]+[.,][0-9]*|[.,][0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9]+(?:\.0*)?")
_ANY_LIST = re.compile(r"""\[.*[,'"].*\]|\{.*[,'"].*\}|\(.*,.*\)""", re.DOTALL)
_WRITTEN_LIST = re.compile(r"""\[\s*(?:['"].*['"]|[-+0-9.,\s]*)\s*\]""", re.DOTALL)
_TAG = re.compile(r"O|[BIESLU][-_]\S+")  # of a token: begin, inside, …
_CHOICES = {"choices", "options", "endings", "candidates"}
_CHOICE = re.compile(r"(?:choice|option|ending|candidate|sol|solution)_?(?:[a-e]|[0-5])")
_CONVERSATIONS = {"messages", "conversation", "conversations", "dialog", "dialogue"}
_SEPARATORS = (",", ";", "|", "/", "+", "&", "#", "\n", " ")  # between labels in one cell


def not_supported(table: Table, task: str, evidence: str) -> DataError:
    """E907 for a task, with what it was recognised by."""
    message = f"{table.files[0]}: {evidence}: {task} not supported yet"
    hint = f"archspec trains models for {listing(KINDS)}"
    return DataError(Problem("E907", message, hint=hint))


def _tokens(table: Table, evidence: str) -> DataError:
    message = f"{table.files[0]}: {evidence}: words and their tags are another task"
    hint = "for it: --task token-classification, with a model of [batch, seq, labels], such as "
    return DataError(Problem("E907", message, hint=f"{hint}bert-token-classifier"))


def _several(table: Table, evidence: str) -> DataError:
    message = f"{table.files[0]}: {evidence}: as text, they are not read as several"
    hint = 'write them as lists of names in JSON lines or Parquet: ["a", "b"]'
    return DataError(Problem("E907", message, hint=hint))


def _numbers(table: Table, evidence: str) -> DataError:
    message = f"{table.files[0]}: {evidence}, and the task is to tell classes"
    hint = "to predict the number: task=text-regression (--task text-regression)"
    return DataError(Problem("E907", message, hint=hint))


# ------------------------------------------------------------------------------------------- inputs


def refuse_tokens(table: Table, text: str | None) -> None:
    """Stop if texts are lists of tokens, or objects with a text in each of several languages.

    Args:
        text: the column of texts that the user gives, if any.

    Raises:
        DataError: E907.
    """
    lists = [name for name in table.dataset.column_names if holds_lists(table, name)]
    tokens = [name for name in lists if name.casefold() in TOKEN_NAMES]
    for name in lists if text is None else ():
        if name.casefold() in _CONVERSATIONS:
            raise not_supported(table, "conversations are", f"column '{name}' holds lists")
        if name.casefold() in _CHOICES:
            raise not_supported(table, "multiple choice is", f"column '{name}' holds lists")
    choices = [name for name in table.dataset.column_names if _CHOICE.fullmatch(_normalised(name))]
    if text is None and len([name for name in choices if sample_texts(table, name)]) > 1:
        raise not_supported(table, "multiple choice is", f"columns named {listing(choices)}")
    for name in table.dataset.column_names if text is None else ():
        if _normalised(name) == "translation" and _holds_objects(table, name):
            evidence = f"column '{name}' holds a text and its translations"
            raise _written(table, "translation", evidence, "write two of them into columns: ")
    names = table.dataset.column_names
    texts = [name for name in names if holds_prose(table, name) or _is_text_by_name(table, name)]
    if text in lists or (text is None and lists and (tokens or not texts)):
        shown = listing([text] if text in lists and len(lists) == 1 else lists)
        have = "holds a list for each row" if len(lists) == 1 else "hold lists"
        raise _tokens(table, f"{shown} {have}")


def _is_text_by_name(table: Table, name: str) -> bool:
    """Whether a column is called as texts are, and holds some, however short."""
    return _normalised(name) in _STEMS and bool(sample_texts(table, name))


def refuse_answers(table: Table) -> None:
    """Stop if texts are questions with contexts and answers.

    Raises:
        DataError: E907.
    """
    folded = {name.casefold() for name in table.dataset.column_names}
    if {"question", "context"} <= folded and folded & _ANSWERS:
        message = f"{table.files[0]}: questions with their contexts and answers are another task"
        hint = "for it: --task question-answering, with a model of two [batch, seq], such as "
        raise DataError(Problem("E907", message, hint=f"{hint}bert-question-answering"))


def refuse_written_texts(table: Table, labels: Collection[str]) -> None:
    """Stop if the names of columns say that a text is to be written from another one.

    Args:
        labels: the columns that may hold labels or numbers; texts with one are a pair.

    Raises:
        DataError: E907.
    """
    by_name = {_normalised(name): name for name in reversed(table.dataset.column_names)}
    codes = [name for name in by_name if name in _LANGUAGES and holds_prose(table, by_name[name])]
    pairs = [(job, pair) for job, pairs in _WRITTEN.items() for pair in pairs]
    pairs += [("translation", (codes[1], codes[0]))] if len(codes) == 2 else []
    for job, (first, second) in pairs:
        found = [by_name[name] for name in (first, second) if name in by_name]
        is_pair = len(found) == 2 and all(_has_many_values(table, name) for name in found)
        if is_pair and {*labels} <= {*found} and holds_prose(table, found[1]):
            raise _written(table, job, f"columns named {listing(found)}")


def _written(table: Table, job: str, evidence: str, before: str = "") -> DataError:
    message = f"{table.files[0]}: {evidence}: {job} is not supported yet"
    hint = f"{before}--task causal-lm learns to go on from one with the other, and --task "
    hint += "text-embedding to find one by the other, of text_column= and text_pair_column="
    return DataError(Problem("E907", message, hint=hint))


def _holds_objects(table: Table, name: str) -> bool:
    is_struct = pa.types.is_struct(arrow_column(table.dataset, name).type)
    return is_struct or _misfit_fraction(table, name, "an object") > _MIN_FRACTION


def in_order(name: str, partner: str) -> tuple[str, str]:
    """Two columns that form a pair, as the names say which is first.

    >>> in_order("sentence2", "sentence1"), in_order("premise", "hypothesis")
    (('sentence1', 'sentence2'), ('premise', 'hypothesis'))
    """
    one, other = _normalised(name), _normalised(partner)
    is_second = (other, one) in (*_PAIRS, *_PAIRS_OF_TEXTS) or any(
        one.startswith(f"{end}_") or (one.endswith(end) and not other.endswith(end))
        for end in (*(ends[1] for ends in _ENDS), "pair")
    )
    return (partner, name) if is_second else (name, partner)


def partner_of(table: Table, chosen: str, candidates: Sequence[str]) -> str | None:
    """The column that forms a pair with a column, by their names: ``premise``, ``hypothesis``."""
    others = {_normalised(name): name for name in candidates if name != chosen}
    name = _normalised(chosen)
    for pair in (pair for pair in (*_PAIRS, *_PAIRS_OF_TEXTS) if name in pair):
        other = others.get(pair[1 - pair.index(name)])
        if other is not None and (pair in _PAIRS or _has_many_values(table, other)):
            return other
    alike = [one for one in _similar_names(name) if one in others]
    known = {re.sub("_?(?:[12ab]|pair)$", "", one) for one in (name, *alike)} <= _STEMS
    return next((others[one] for one in alike if known or holds_prose(table, others[one])), None)


def _has_many_values(table: Table, name: str) -> bool:
    return len({*sample_texts(table, name)}) > min(100, len(table) / 4)


def _normalised(name: str) -> str:
    """``Text A``, ``textA`` and ``text_a`` are one name."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.strip())
    return re.sub(r"[^a-z0-9]+", "_", spaced.casefold()).strip("_")


def _similar_names(name: str) -> list[str]:
    """Names that differ from a name as ``text_a`` does from ``text_b``."""
    if re.fullmatch(r"column_\d+", name):  # columns without names are called so
        return []
    names: list[str] = []
    for ends in _ENDS:
        for end, other in (ends, ends[::-1]):
            if name.startswith(f"{end}_"):
                names.append(other + name.removeprefix(end))
            if name.endswith(end):
                stem = name.removesuffix(end).rstrip("_")
                names += [f"{stem}{other}", f"{stem}_{other}"]
    return [*names, f"{name}_pair", f"{name}2", f"{name}_2"]


def unread_notes(table: Table, columns: Columns) -> tuple[str, ...]:
    """Notes on other columns of texts: the label may depend on them, too."""
    if columns.text is None:
        return ()
    used = (*columns.inputs, columns.label)
    names = [name for name in table.dataset.column_names if name not in used]
    others = [name for name in names if holds_prose(table, name)]
    if not others:
        return ()
    pair = None if columns.text_pair else partner_of(table, columns.text, others)
    why = f"; {listing(in_order(columns.text, pair))} look like a pair" if pair else ""
    read = listing([f"'{name}'" for name in columns.inputs])
    return (f"texts that are not read, beside column {read}: {listing(others)}{why}",)


# ------------------------------------------------------------------------------------------- labels


def refuse_other_labels(table: Table, column: str) -> None:
    """Stop if labels are not one class per row.

    Raises:
        DataError: E907 if they are several per row, fractions, or texts; E902 if they are objects.
    """
    if holds_lists(table, column) and is_text(arrow_column(table.dataset, column).type):
        raise _several(table, f"column '{column}' holds lists of labels, or of other things")
    if holds_lists(table, column):
        message = f"{table.files[0]}: column '{column}' holds lists of labels"
        hint = "the task is one label for each row: leave multi_label out of the spec's task"
        raise DataError(Problem("E902", message, hint=hint))
    if _misfit_fraction(table, column, "an object") > _MIN_FRACTION:
        message = f"{table.files[0]}: column '{column}' holds objects, which are no labels"
        raise DataError(Problem("E902", message))
    texts = sample_texts(table, column)
    if (example := _example_of_tags(texts)) is not None:
        evidence = f"column '{column}' holds tags of tokens, such as {example[:60]!r}"
        raise _tokens(table, evidence)
    if (example := example_of_fraction(texts)) is not None:
        evidence = f"column '{column}' holds numbers such as {example}"
        raise _numbers(table, evidence)
    if holds_prose(table, column) and len(texts) >= 20 and len({*texts}) > len(texts) / 2:
        evidence = f"column '{column}' holds a text of its own in most rows"
        raise not_supported(table, "generation of text is", evidence)
    if (example := _example_of_several(texts)) is not None:
        evidence = f"column '{column}' holds several labels in a row, such as {example[:60]!r}"
        raise _several(table, evidence)


def refuse_other_targets(table: Table, columns: Columns) -> None:
    """Stop if no column is the label, but one holds targets of another task.

    Raises:
        DataError: E907.
    """
    for name in (name for name in table.dataset.column_names if name not in columns.inputs):
        if (example := _example_of_tags(sample_texts(table, name))) is not None:
            evidence = f"column '{name}' holds tags of tokens, such as {example[:60]!r}"
            raise _tokens(table, evidence)
        if (example := example_of_fraction(sample_texts(table, name))) is not None:
            evidence = f"no column holds classes, and '{name}' numbers such as {example}"
            raise _numbers(table, evidence)
    if columns.text_pair is not None:
        message = f"{table.files[0]}: {listing(columns.inputs)} are a pair of texts without a label"
        hint = "to learn vectors of texts that belong together: a spec that gives vectors, and "
        hint += "task=text-embedding (--task text-embedding)"
        raise DataError(Problem("E907", f"{message}, and the task is to tell classes", hint=hint))


def example_of_fraction(texts: Sequence[str]) -> str | None:
    """A cell with a fraction, if the cells are numbers and enough of them have one.

    >>> example_of_fraction(["0.5", "1", "0.25"]), example_of_fraction(["1.0", "2.0"])
    ('0.5', None)
    """
    numbers = [text for text in texts if _FRACTION.fullmatch(text)]
    parts = [text for text in numbers if not _WHOLE.fullmatch(text)]
    if len(numbers) < (1 - _MIN_FRACTION) * len(texts) or len(parts) <= _MIN_FRACTION * len(texts):
        return None
    return parts[0]


def _example_of_tags(texts: Sequence[str]) -> str | None:
    """A cell with tags of tokens, if all cells have them.

    >>> _example_of_tags(["O B-PER I-PER", "O O"]), _example_of_tags(["O", "A", "B", "AB"])
    ('O B-PER I-PER', None)
    """
    if not all(map(_TAG.fullmatch, (tag for text in texts for tag in text.split()))):
        return None
    return next((text for text in texts if {*text.split()} - {"O"}), None)


def _example_of_several(texts: Sequence[str]) -> str | None:
    """A cell with several labels, if cells hold lists or labels with separators.

    >>> _example_of_several(["a", "b", "a,b", "b"])
    'a,b'
    >>> _example_of_several(["Home, Garden", "Health, Beauty"])
    """
    list_texts = [text for text in texts if _ANY_LIST.fullmatch(text)]
    if len(list_texts) > _MIN_FRACTION * len(texts):
        return list_texts[0]
    distinct = {*texts}
    for separator in _SEPARATORS:
        split_texts = {text: _parts(text, separator) for text in distinct if separator in text}
        split_texts = {text: parts for text, parts in split_texts.items() if len(parts) > 1}
        if sum(text in split_texts for text in texts) <= _MIN_FRACTION * len(texts):
            continue
        if separator == " " and not all(
            part.isdecimal() for labels in split_texts.values() for part in labels
        ):
            continue
        counts = Counter(part for text in distinct for part in {*_parts(text, separator)})
        parts = {part for labels in split_texts.values() for part in labels}
        # The name of one class may have a comma, too, but its parts occur in no other name.
        if sum(counts[part] > 1 for part in parts) > 0.6 * len(parts):
            return next(text for text in texts if text in split_texts)
    return None


def _parts(text: str, joint: str) -> list[str]:
    return [part.strip() for part in text.split(joint) if part.strip()]


# ---------------------------------------------------------------------------------- kinds of column


def holds_lists(table: Table, name: str) -> bool:
    """Whether the cells are lists, in Arrow or JSON, or written as text."""
    kind = arrow_column(table.dataset, name).type
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return True
    if _misfit_fraction(table, name, "a list") > _MIN_FRACTION:
        return True
    texts = sample_texts(table, name)
    written = sum(_WRITTEN_LIST.fullmatch(text) is not None for text in texts)
    return written > len(texts) / 2


def holds_prose(table: Table, name: str) -> bool:
    """Whether the cells are texts of several words."""
    if name == table.image or not is_text(arrow_column(table.dataset, name).type):
        return False
    texts = sample_texts(table, name)
    if not texts:
        return False
    words = sum(len(text.split()) for text in texts) / len(texts)
    spaceless = sum(not text.isascii() and len(text) > 12 for text in texts) > len(texts) / 2
    return words >= _MIN_WORDS or spaceless


def _misfit_fraction(table: Table, name: str, kind: str) -> float:
    """The fraction of cells of a kind other than that of most."""
    misfits = table.misfits.get(name, {})
    return sum(misfit == kind for misfit in misfits.values()) / max(len(table), 1)


def sample_texts(table: Table, name: str) -> list[str]:
    """The first cells as texts, without empty ones; none of a column of lists or structs."""
    column: Any = arrow_column(table.dataset, name).slice(0, SAMPLE)
    if pa.types.is_struct(column.type) or pa.types.is_nested(column.type):
        return []
    cells = (str(cell).strip() for cell in plain_values(column) if cell is not None)
    return [cell for cell in cells if cell and cell != "nan"]
