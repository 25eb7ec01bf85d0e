"""Finds splits by their names, and cuts validation rows from ``train``."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from archspec.data.report import Integers
from archspec.errors import DataError, Problem, did_you_mean, listing

SPLITS = ("train", "validation", "test")
_WORDS = {
    "train": "train", "training": "train", "validation": "validation", "valid": "validation",
    "val": "validation", "dev": "validation", "eval": "validation", "test": "test",
    "testing": "test",
}  # fmt: skip


def split_word(name: str) -> str | None:
    """The split that the name of a file or folder contains.

    >>> [split_word(name) for name in ("dev", "my_train-data", "training set", "latest", "")]
    ['validation', 'train', 'train', None, None]
    """
    words = re.split(r"[^a-z]+", name.lower())
    splits = {_WORDS[word] for word in words if word in _WORDS}
    return splits.pop() if len(splits) == 1 else None


def choose_hint(argument: str) -> str:
    """How a caller, or a user of the command line, settles what is ambiguous.

    >>> choose_hint("train_split")
    'say which with train_split= (--train-split)'
    """
    return f"say which with {argument}= (--{argument.replace('_', '-')})"


@dataclass(frozen=True, slots=True)
class Choice:
    """Which of the data's own splits each split is.

    Attributes:
        of: split → its name in the data.
        unused: the other names.
    """

    of: Mapping[str, str]
    unused: tuple[str, ...]


def choose(
    names_in_data: Collection[str],
    wanted: Mapping[str, str | Literal[False] | None],
    *,
    labelled: bool = True,
) -> Choice:
    """Choose which of the data's splits is which.

    Args:
        names_in_data: the data's names of its splits.
        wanted: split → the name that the user says, or None; False for none.
        labelled: whether the data is to be learned from: a lone split is ``train`` then, else
            ``all``.

    Raises:
        DataError: E904, a name is not there, or two could be the same split.
    """
    names = list(names_in_data)
    problems: list[Problem] = []
    chosen = {split: name for split, name in wanted.items() if isinstance(name, str)}
    for name in chosen.values():
        if name not in names:
            hint = did_you_mean(name, names) or f"there is {listing(names)}"
            problems.append(Problem("E904", f"the data has no split '{name}'", hint=hint))
    free = [name for name in names if name not in chosen.values()]
    for split in (one for one in SPLITS if one not in chosen and wanted.get(one) is not False):
        matches = [name for name in free if split_word(name) == split]
        exact = [name for name in matches if name.lower() in _WORDS]
        matches = exact if len(exact) == 1 else matches
        if len(matches) > 1:
            message = f"{listing(matches)} could each be the {split} split"
            problems.append(Problem("E904", message, hint=choose_hint(f"{split}_split")))
        elif matches:
            chosen[split] = matches[0]
    if problems:
        raise DataError(problems)
    if not chosen and len(names) == 1:
        chosen = {"train" if labelled else "all": names[0]}
    if not chosen:
        hint = f"name the files train and test, or {choose_hint('train_split')}"
        message = f"no split is named train, validation or test: there is {listing(names)}"
        raise DataError(Problem("E904", message, hint=hint))
    unused = tuple(name for name in names if name not in chosen.values())
    return Choice({s: chosen[s] for s in (*SPLITS, "all") if s in chosen}, unused)


def stratified_split(labels: Integers, share: float, seed: int) -> tuple[Integers, Integers]:
    """Cut random rows off, in equal fractions of each class: the remaining rows and the others.

    Args:
        labels: [n] class numbers.
        share: of the rows to cut off, above 0 and below 1; a class of two rows or more keeps one
            on each side.
        seed: decides which.

    >>> [part.tolist() for part in stratified_split(np.array([0, 0, 0, 0, 1, 1]), 0.5, seed=0)]
    [[1, 3, 5], [0, 2, 4]]
    """
    parts: list[Integers] = []
    for name in np.unique(labels):
        rows = np.flatnonzero(labels == name)
        max_count = max(len(rows) - 1, 0)
        n = min(max(round(len(rows) * share), 1), max_count)
        generator = np.random.Generator(np.random.PCG64([seed, int(name)]))
        parts.append(generator.permutation(rows)[:n])
    cut_off = np.sort(np.concatenate(parts)) if parts else np.array([], dtype=np.int64)
    kept = np.setdiff1d(np.arange(len(labels)), cut_off)
    return kept, cut_off


def absent_class_notes(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Notes on classes that ``train`` has and a split that is scored has not.

    Args:
        counts: split → class → number of rows, words or pixels.

    >>> absent_class_notes({"train": {"a": 4, "b": 2}, "test": {"a": 3, "b": 0}})
    ['test has none of 1 of the 2 classes: b, so its figures say nothing of it']
    """
    notes: list[str] = []
    learned = [name for name, count in counts.get("train", {}).items() if count]
    for split in ("validation", "test"):
        absent = [name for name in learned if counts.get(split, {}).get(name) == 0]
        if absent:
            which = f"{len(absent):,} of the {len(learned):,} classes: {listing(absent)}"
            them = "it" if len(absent) == 1 else "them"
            notes.append(f"{split} has none of {which}, so its figures say nothing of {them}")
    return notes
