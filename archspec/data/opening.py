"""``open_data``: from files or the name of a data set to rows that a model can train on."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from archspec.data.report import BadRow, Columns, Data, Integers, Rows, Targets
from archspec.errors import DataError, Note, Problem, UsageError, listing, shown
from archspec.lang.schema import ImageInput, Task
from archspec.tasks import (
    finds_answers,
    has_labels,
    labels_pixels,
    models_language,
    predicts_numbers,
    tags_words,
    takes_images,
    takes_pairs,
)

if TYPE_CHECKING:
    from archspec.data.checking import CheckedInputs
    from archspec.data.masks import CheckedMasks
    from archspec.data.sources import Source
    from archspec.data.tables import Cells, Table

MAX_SHOWN = 10  # bad rows in an error
MAX_IMBALANCE = 10  # rows of the largest class per row of the smallest
MAX_MAJORITY = 0.8  # of the rows
MIN_ROWS = 20  # rows from which fractions mean something
MIN_CLASS_ROWS = 3  # a class with fewer rows is worth a note


def open_data(
    source: Source,
    *,
    task: Task | None,
    train_split: str | None = None,
    validation_split: str | None = None,
    test_split: str | Literal[False] | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    image_column: str | None = None,
    negative_column: str | None = None,
    label_column: str | Literal[False] | None = None,
    labels: Sequence[str] | None = None,
    validation_fraction: float = 0.1,
    max_bad_rows: float = 0.0,
    header: bool | None = None,
    encoding: str | None = None,
    seed: int = 0,
    base: str | os.PathLike[str] | None = None,
) -> Data:
    """Open data, check every row, and tell splits, columns and classes.

    Args:
        source: a file, a folder, a list of files, a mapping of splits to files, or a name on the
            hub (``owner/name`` or ``owner/name:subset``). Files are CSV, TSV, JSON lines, JSON,
            Parquet or Arrow; a folder may also hold a folder of images for each class, or folders
            ``images`` and ``masks``. Or data in
            memory: a ``datasets.Dataset`` or ``DatasetDict``, a frame of pandas or Polars, a list
            of dicts, a dict of columns, or a mapping of splits to such.
        task: what the data is for: ``spec.architecture.task``.
        train_split: the data's own name of the split to train on. By default it is found by name.
        validation_split: the split to validate on. Without one, rows are taken from training.
        test_split: the split to test on, if there is one; a split without any labels is left out.
            False: none is read.
        text_column: the column of texts. By default it is guessed.
        text_pair_column: the column of the second texts of pairs. By default it is guessed, unless
            ``text_column`` is given, which is then read alone.
        negative_column: the column of texts that do not belong to those of ``text_column``, for
            text-embedding. By default it is guessed, unless ``text_column`` is given.
        image_column: the column of images, or of their paths. By default it is guessed.
        label_column: the column of labels, or of masks. By default it is guessed. False: none is
            read, as for prediction.
        labels: the classes in order. By default those of the task, of the data, or of its training
            rows.
        validation_fraction: fraction of the training rows, taken evenly from each class, to
            validate on if there is no validation split; from 0 (none) to below 1.
        max_bad_rows: fraction of bad rows in a split, 0 to 1, above which an error is raised.
        header: whether the first line of a CSV or TSV file has the names of the columns. By default
            it has, and a first line that looks like a row is an error. False: it is a row, and the
            columns are called ``column 1``, ``column 2`` and so on.
        encoding: encoding of text files by its Python name (``cp1252``, ``utf-16``). By default
            UTF-8.
        seed: seed of the choice of validation rows.
        base: the folder that paths of images are relative to and may not leave. By default the
            folder of the data.

    Returns:
        The data. Bad rows are left out of its splits, and listed.

    Raises:
        DataError: E901 the data cannot be read, E902 its columns are ambiguous, E903 too many
            rows are bad, E904 its splits are ambiguous, E906 its labels are no classes,
            E907 it is for something that cannot be done.
        UsageError: E801 an argument makes no sense or does nothing, or the extra ``train`` is not
            installed.

    Example:
        >>> import archspec
        >>> task = archspec.load("bert").architecture.task
        >>> data = archspec.open_data("examples/wordnet-topics", task=task)
        >>> len(data.splits["train"]), data.labels[:3]
        (5394, ('animal', 'artifact', 'body'))
    """
    from archspec.data.columns import check, find_columns
    from archspec.data.embedding_columns import find_embedding_columns
    from archspec.data.header_check import first_line_notes
    from archspec.data.in_memory import is_in_memory
    from archspec.data.language_columns import find_language_columns
    from archspec.data.sources import find
    from archspec.data.split_columns import by_split_column
    from archspec.data.splitting import absent_class_notes, choose, choose_hint, split_word
    from archspec.data.tables import with_texts
    from archspec.data.targets import holds_label_lists
    from archspec.data.text_files import TextFormat
    from archspec.data.unsupported_tasks import unread_notes

    _check_fractions(validation_fraction, max_bad_rows)
    if not isinstance(task, Task):
        hint = "give the spec a task, as {kind: text-classification}"
        raise UsageError(Problem("E801", "the spec does not say what it is for", hint=hint))
    form = TextFormat(header, encoding)
    masks = labels_pixels(task.kind)
    found = find(source, None if base is None else Path(base), form, masks=masks)
    labelled = label_column is not False
    is_embedding = labelled and task.kind == "text-embedding"
    wanted = {"train": train_split, "validation": validation_split, "test": test_split}
    found, by_column = by_split_column(found, wanted)
    chosen = choose(found, wanted, labelled=labelled)
    if not isinstance(source, str | os.PathLike) and not is_in_memory(source):
        left = (
            one for one in chosen.unused if test_split is not False or split_word(one) != "test"
        )
        _check_all_used([*left])
    tables = {split: found[name]() for split, name in chosen.of.items()}
    if not takes_images(task.kind):
        tables = {split: with_texts(table) for split, table in tables.items()}
    if finds_answers(task.kind):
        from archspec.data.answer_columns import with_answer_lists

        tables = {split: with_answer_lists(table) for split, table in tables.items()}
    if labels is not None and not has_labels(task.kind):
        raise UsageError(Problem("E801", f"the task is {task.kind}: there are no labels"))
    names = _known_classes(labels, task) if has_labels(task.kind) else None
    main_split = next(iter(tables))
    names = names or tables[main_split].classes
    if labelled and main_split != "train" and names is None:
        hint = f"{choose_hint('train_split')}, or what the classes are with labels= (--labels)"
        raise DataError(Problem("E904", "there is no train split", hint=hint))
    _check_columns_exist(main_split, tables[main_split])
    if negative_column is not None and not is_embedding:
        message = f"the task is {task.kind}: no column of negatives is read"
        raise UsageError(Problem("E801", message, hint="leave negative_column out"))
    if is_embedding:
        columns = find_embedding_columns(
            tables[main_split], text_column, text_pair_column, negative_column, label_column
        )
    elif models_language(task.kind):
        columns = find_language_columns(
            tables[main_split],
            task.kind,
            text=text_column,
            text_pair=text_pair_column,
            image=image_column,
            label=label_column,
        )
    else:
        columns = find_columns(
            tables[main_split],
            task.kind,
            text=text_column,
            text_pair=text_pair_column,
            pair=task.text.pair if task.text else None,
            image=image_column,
            label=label_column,
            multi_label=task.multi_label,
        )
    is_multi = (
        labelled
        and columns.label is not None
        and not predicts_numbers(task.kind)
        and not tags_words(task.kind)
        and not finds_answers(task.kind)
        and holds_label_lists(tables[main_split], columns.label)
    )
    builder = _DataBuilder(task, columns, labelled, names, is_multi)
    if is_multi and task.multi_label is None:
        builder.notes.append(f"column '{columns.label}' holds lists: a row may have several labels")
    builder.notes += first_line_notes(tables[main_split], columns)
    builder.notes += unread_notes(tables[main_split], columns)
    is_pair = columns.text_pair is not None and not finds_answers(task.kind)
    if is_pair and text_pair_column is None:
        what = "pairs of texts" if columns.negative is None else "texts with a positive, a negative"
        what = "prompts with their answers" if models_language(task.kind) else what
        builder.notes.append(f"{listing(columns.inputs)} are read as {what}")
    if is_embedding and columns.label is not None and label_column is None:
        builder.notes.append(f"column '{columns.label}' is read as the similarity of each pair")
    if by_column:
        builder.rule = f"splits as column '{by_column}' names them"
    for split, table in tables.items():
        if split == "test" and main_split != "test" and labelled and _has_no_labels(table, columns):
            builder.leave_out(chosen.of[split])
            continue
        check(table, columns, task.kind)
        builder.add(split, table)
    builder.refuse(max_bad_rows)
    builder.cut(validation_fraction, seed)
    builder.notes += absent_class_notes({s: rows.counts for s, rows in builder.splits.items()})
    return builder.data(chosen.unused)


def _check_columns_exist(split: str, table: Table) -> None:
    """Stop if no row could be parsed, so that there are no columns.

    Raises:
        DataError: E903.
    """
    if table.broken and not any(table.dataset.column_names):
        bad = [
            BadRow(split, name, one.row, one.line or None, one.reason, one.detail)
            for name, one in table.broken
        ]
        raise DataError(_too_many(split, bad, len(bad), 0, table.misread))


def _check_all_used(names: Sequence[str]) -> None:
    """Check that nothing the user names is left out.

    Raises:
        DataError: E904.
    """
    if names:
        message = f"no split is made of {listing(names)}"
        hint = "rename them, or say what belongs together: {'train': ['a.csv', 'b.csv']}"
        raise DataError(Problem("E904", message, hint=hint))


def _has_no_labels(table: Table, columns: Columns) -> bool:
    """Whether no row of a split has a label, as in competitions."""
    from archspec.data.column_errors import names
    from archspec.data.labels import is_unlabelled

    name = columns.label
    return name is not None and (name not in names(table) or is_unlabelled(table, name))


def _check_fractions(validation_fraction: float, max_bad_rows: float) -> None:
    fractions = {"validation_fraction": validation_fraction, "max_bad_rows": max_bad_rows}
    for name, value in fractions.items():
        if isinstance(value, bool) or not isinstance(value, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(Problem("E801", f"{name} is a number, not {shown(value)}"))
    if not 0 <= validation_fraction < 1:
        message = (
            f"validation_fraction must be a number from 0 to below 1, not {validation_fraction}"
        )
        raise UsageError(Problem("E801", message))
    if not 0 <= max_bad_rows <= 1:
        message = f"max_bad_rows must be a number from 0 to 1, not {max_bad_rows}"
        raise UsageError(Problem("E801", message))


def _known_classes(labels: Sequence[str] | None, task: Task) -> tuple[str, ...] | None:
    """The classes that the user or the spec names."""
    labels_given = labels if labels is not None else task.labels
    if labels_given is None:
        return None
    names = tuple(str(name) for name in labels_given)
    if duplicates := [name for name, n in Counter(names).items() if n > 1]:
        raise DataError(Problem("E906", f"two classes have the name {duplicates[0]!r}"))
    if len(names) < 2:
        raise DataError(Problem("E906", "fewer than two classes are named"))
    return names


@dataclass(frozen=True, slots=True)
class _Fault:
    position: int
    reason: str
    detail: str = ""


class _DataBuilder:
    """Collects splits, their bad rows, and digests of their content."""

    def __init__(
        self,
        task: Task,
        columns: Columns,
        labelled: bool,
        names: tuple[str, ...] | None,
        multi_label: bool,
    ) -> None:
        self.task, self.columns, self.labelled = task, columns, labelled
        self.multi_label = multi_label
        self.names: tuple[str, ...] | None = names
        self.ordered = names is not None
        self.splits: dict[str, Rows] = {}
        self.digests: dict[str, list[bytes]] = {}
        self.bad: list[BadRow] = []
        self.totals: dict[str, int] = {}
        self.rule = "splits as the data names them"
        self.notes: list[str] = []
        self.misread: tuple[str, ...] = ()
        self.left_out: list[str] = []

    def leave_out(self, name: str) -> None:
        """Note that a test split has no labels."""
        self.left_out.append(name)
        self.notes.append(f"the test split '{name}' has no labels and is left out")

    def add(self, split: str, table: Table) -> None:
        """Check the rows of a split; the first split decides the classes."""
        from archspec.data.checking import check_inputs

        settings = self.task.image or ImageInput.model_validate({})
        checked = check_inputs(table, self.columns, settings, words=tags_words(self.task.kind))
        bad_by_row = {i: _Fault(i, *fault) for i, fault in checked.faults.items()}
        try:
            targets, masks = self._learned(split, table, checked, bad_by_row)
        except DataError as error:  # the rows that are left may lack what bad ones have
            self._add_bad_rows(split, table, bad_by_row)
            bad = tuple(Note(f"bad: {row}") for row in self.bad[:MAX_SHOWN])
            raise DataError([replace(p, notes=(*p.notes, *bad)) for p in error.problems]) from None
        self._add_bad_rows(split, table, bad_by_row)
        self.notes += (*table.notes, *table.misread, *checked.notes)
        self.misread += table.misread
        kept_rows = np.array([i for i in range(len(table)) if i not in bad_by_row], dtype=np.int64)
        kept_labels = None if targets is None else targets[kept_rows]
        cells, *others = checked.cells
        may_be_pair = takes_pairs(self.task.kind) or models_language(self.task.kind)
        pair = others.pop() if others and may_be_pair else None
        numbers = table.numbers[kept_rows]
        names = self.names or ()
        rows = Rows(split, cells, kept_rows, kept_labels, names, numbers, pair, tuple(others))
        if self.labelled and (self.task.kind == "masked-lm" or self.task.kind == "causal-lm"):
            rows = replace(rows, language=self.task.kind)
        digests = checked.digests
        if masks is not None:
            rows = replace(rows, masks=masks.cells)
            digests = [one + other for one, other in zip(digests, masks.digests, strict=True)]
        self.splits[split] = rows
        self.digests[split] = [digests[i] for i in kept_rows.tolist()]

    def _learned(
        self, split: str, table: Table, checked: CheckedInputs, bad_by_row: dict[int, _Fault]
    ) -> tuple[Targets | None, CheckedMasks | None]:
        """What is learned of each row, and masks if that; adds what is wrong there."""
        from archspec.data.targets import equal_texts

        if self.labelled and self.columns.label is not None:
            if tags_words(self.task.kind):
                return self._tags(split, table, checked.cells[0], bad_by_row), None
            if labels_pixels(self.task.kind):
                masks = self._masks(split, table, checked.sizes, bad_by_row)
                return masks.counts(len(self.names or ())), masks
            if finds_answers(self.task.kind):
                return self._answers(table, checked.cells[1], bad_by_row), None
            return self._targets(split, table, bad_by_row), None
        if self.labelled and self.task.kind == "text-embedding":
            return equal_texts(checked.cells[1].texts(np.arange(len(table)))), None
        return None, None

    def _targets(self, split: str, table: Table, bad_by_row: dict[int, _Fault]) -> Targets:
        """What is learned of each row; adds what is wrong there."""
        from archspec.data.targets import (
            MAX_NUMBER,
            MAX_SIMILARITY,
            as_matrix,
            declared_label_set,
            label_set_names,
            read_label_sets,
            read_numbers,
        )

        column = self.columns.label
        assert column is not None
        if not predicts_numbers(self.task.kind) and not self.multi_label:
            return self._classes(split, table, bad_by_row)
        source = table.files[0] if table.files else split
        if self.multi_label:
            sets, faults = read_label_sets(table, column, self.names)
            if self.names is None:
                declared = declared_label_set(table, column)
                self.names = declared or label_set_names(sets, {**bad_by_row, **faults}, source)
            values: Targets = as_matrix(sets, self.names)
        else:
            is_similarity = self.task.kind == "text-embedding"
            limit = MAX_SIMILARITY if is_similarity else MAX_NUMBER
            values, faults = read_numbers(table, column, limit)
        for i, fault in faults.items():
            bad_by_row.setdefault(i, _Fault(i, *fault))
        return values

    def _tags(
        self, split: str, table: Table, cells: Cells, bad_by_row: dict[int, _Fault]
    ) -> Targets:
        """The numbers of the tags of each row's words; adds what is wrong there."""
        from archspec.data.word_columns import as_numbers, read_tags, tag_names

        column = self.columns.label
        assert column is not None
        lengths = [*map(len, cells.words(np.arange(len(table))))]
        known = self.names if self.ordered else None
        tags, faults, declared = read_tags(table, column, lengths, known)
        if self.names is None:
            good = [row for i, row in enumerate(tags) if i not in faults and i not in bad_by_row]
            self.names = declared or tag_names(good, table.files[0] if table.files else split)
        numbers = as_numbers(tags, self.names)
        for i, row in enumerate(numbers):
            if len(unknown := np.flatnonzero(row < 0)):
                faults.setdefault(i, ("unknown label", repr(tags[i][unknown[0]])[:60]))
        for i, fault in faults.items():
            bad_by_row.setdefault(i, _Fault(i, *fault))
        return numbers

    def _masks(
        self,
        split: str,
        table: Table,
        sizes: Mapping[int, tuple[int, int]],
        bad_by_row: dict[int, _Fault],
    ) -> CheckedMasks:
        """The masks of the rows; adds what is wrong there."""
        from archspec.data.masks import check_masks, class_names

        column = self.columns.label
        assert column is not None
        found = check_masks(table, column, sizes, self.names)
        for i, fault in found.faults.items():
            bad_by_row.setdefault(i, _Fault(i, *fault))
        if self.names is None:
            self.names = class_names(found, bad_by_row, table.files[0] if table.files else split)
        return found

    def _answers(self, table: Table, contexts: Cells, bad_by_row: dict[int, _Fault]) -> Targets:
        """The places of the answers of each row; adds what is wrong there."""
        from archspec.data.answer_columns import read_answers

        texts = contexts.texts(np.arange(len(table)))
        places, faults, notes = read_answers(table, self.columns, texts)
        for i, fault in faults.items():
            bad_by_row.setdefault(i, _Fault(i, *fault))
        self.notes += notes
        return places

    def _classes(self, split: str, table: Table, bad_by_row: dict[int, _Fault]) -> Targets:
        """The class number of each row."""
        from archspec.data.labels import classes, declared_classes, read_labels, similar_label_notes

        column = self.columns.label
        assert column is not None
        labels = read_labels(table, column, self.names, ordered=self.ordered)
        for i, unread in enumerate(labels):
            if unread.reason:
                bad_by_row.setdefault(i, _Fault(i, unread.reason, unread.detail))
        if self.names is None:
            good_rows = np.array(
                [i for i in range(len(table)) if i not in bad_by_row], dtype=np.int64
            )
            declared = declared_classes(table, column)
            self.ordered = declared is not None
            self.names = declared or classes(
                labels, good_rows, table.files[0] if table.files else split
            )
            self.notes += similar_label_notes([labels[i].name for i in good_rows])
        number_of = {name: i for i, name in enumerate(self.names)}
        class_numbers: Integers = np.array(
            [number_of.get(unread.name, -1) for unread in labels], dtype=np.int64
        )
        for i in np.flatnonzero(class_numbers < 0).tolist():
            bad_by_row.setdefault(i, _Fault(i, "unknown label", repr(labels[i].name)[:60]))
        return class_numbers

    def _add_bad_rows(self, split: str, table: Table, faults: Mapping[int, _Fault]) -> None:
        bad = [
            BadRow(split, name, broken.row, broken.line or None, broken.reason, broken.detail)
            for name, broken in table.broken
        ]
        for i, fault in sorted(faults.items()):
            row = int(table.numbers[i])
            bad.append(BadRow(split, table.file(i), row, table.line(i), fault.reason, fault.detail))
        order = {name: i for i, name in enumerate(table.files)}
        self.bad += sorted(bad, key=lambda broken: (order.get(broken.file, 0), broken.row))
        self.totals[split] = len(table) + len(table.broken)

    def refuse(self, max_bad_rows: float) -> None:
        """Stop if a split has no rows or too many bad ones.

        Raises:
            DataError: E903 or E904.
        """
        problems: list[Problem] = []
        for split, total in self.totals.items():
            bad = [row for row in self.bad if row.split == split]
            if len(bad) > max_bad_rows * total:
                problems.append(_too_many(split, bad, total, max_bad_rows, self.misread))
            elif not len(self.splits[split]):
                problems.append(Problem("E904", f"the {split} split has no rows"))
        if problems:
            raise DataError(problems)

    def cut(self, share: float, seed: int) -> None:
        """Cut ``validation`` from ``train`` if the data has none."""
        self._note_small_classes()
        self._cut(share, seed)
        self._note_imbalance()

    def _cut(self, share: float, seed: int) -> None:
        from archspec.data.splitting import SPLITS, stratified_split

        rows = self.splits.get("train")
        if rows is None or not self.labelled or not share or "validation" in self.splits:
            return
        labels = rows.labels if self.names and not rows.has_tags else None
        is_classes = labels is not None and labels.ndim == 1
        strata = labels if labels is not None and is_classes else np.zeros(len(rows), np.int64)
        kept, cut_off = stratified_split(strata, share, seed)
        if not len(cut_off):
            none = "validation_fraction=0 (--validation-fraction 0)"
            hint = f"give more rows, a validation split, or {none}"
            raise DataError(Problem("E904", "too few rows to cut validation off", hint=hint))
        digests = self.digests["train"]
        for split, indices in (("train", kept), ("validation", cut_off)):
            self.splits[split] = rows.select(indices, split)
            self.digests[split] = [digests[i] for i in indices.tolist()]
        self.splits = {name: self.splits[name] for name in SPLITS if name in self.splits}
        how = "cut from each class" if is_classes else "cut at random,"
        self.rule = f"validation is {share:g} of train, {how} with seed {seed}"
        actual = len(cut_off) / len(rows)
        if is_classes and not 0.9 <= actual / share <= 1.1:
            counted = f"{len(cut_off):,} of {len(rows):,} rows"
            message = (
                f"validation is {counted}, a share of {actual:.2g}: each class gives whole rows"
            )
            self.notes.append(message)

    def _note_small_classes(self) -> None:
        rows = self.splits.get("train")
        small = [f"{c} {n}" for c, n in rows.counts.items() if n < MIN_CLASS_ROWS] if rows else []
        if small and rows:
            what, unit = ("tags", "words") if rows.has_tags else ("classes", "rows")
            unit = "pixels" if rows.masks is not None else unit
            self.notes.append(f"{what} of fewer than {MIN_CLASS_ROWS} {unit}: {listing(small)}")

    def _note_imbalance(self) -> None:
        """Note if accuracy says little, because one class has most rows, or one is rare."""
        rows = self.splits.get("train")
        counts = Counter(rows.counts).most_common() if rows else []
        if rows is None or len(counts) < 2 or len(rows) < MIN_ROWS:
            return
        if self.multi_label or rows.has_tags or rows.masks is not None:
            return
        (name, max_count), (rare, min_count) = counts[0], counts[-1]
        if max_count < MAX_IMBALANCE * min_count and max_count < MAX_MAJORITY * len(rows):
            return
        figures = f"'{name}' has {max_count:,} of {len(rows):,} rows ({max_count / len(rows):.0%})"
        figures += f", '{rare}' {min_count:,} ({min_count / len(rows):.1%})"
        advice = ""
        if "validation" in self.splits:
            advice = ': macro F1 is the better monitor, monitor="macro_f1" (--monitor macro_f1)'
        self.notes.append(f"the classes are of very unequal size: {figures}{advice}")

    def data(self, unused: tuple[str, ...]) -> Data:
        from archspec.data.fingerprint import fingerprint

        names = self.names if self.labelled and self.names is not None else ()
        columns = self.columns if self.labelled else replace(self.columns, label=None)
        digest = fingerprint(self.task.kind, columns, names, self.splits, self.digests, self.rule)
        kind = self.task.kind
        splits = {s: replace(rows, names=names) for s, rows in self.splits.items()}
        unused = (*unused, *self.left_out)
        bad, notes = tuple(self.bad), tuple(self.notes)
        multi = self.multi_label
        return Data(kind, splits, names, columns, bad, unused, self.rule, digest, notes, multi)


def _too_many(
    split: str, bad: Sequence[BadRow], total: int, max_bad_rows: float, misread: Sequence[str]
) -> Problem:
    reasons = Counter(row.reason for row in bad).most_common()
    counted = listing([f"{reason} {n:,}" for reason, n in reasons])
    message = f"{len(bad):,} of the {total:,} rows of {split} are bad: {counted}"
    rows = [Note(str(row)) for row in bad[:MAX_SHOWN]]
    if len(bad) > MAX_SHOWN:
        rows.append(Note(f"… ({len(bad) - MAX_SHOWN:,} more)"))
    allowed = f"a fraction of {max_bad_rows:g} is allowed" if max_bad_rows else "none is allowed"
    hint = f"{allowed}: mend them, or allow more with max_bad_rows= (--max-bad-rows)"
    if misread:  # to be fixed first
        hint = misread[0]
    return Problem("E903", message, hint=hint, notes=tuple(rows))
