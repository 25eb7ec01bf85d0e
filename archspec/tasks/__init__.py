"""What can be trained: of each task the loss, the scores, and what the model must give.

A task is one file with an ``Objective``. ``find`` is what data, training and predictions ask.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from archspec.errors import Problem, UsageError

if TYPE_CHECKING:
    from archspec.tasks.objective import Objective

_CLASSES = {
    "text-classification": "TextClassification",
    "text-regression": "TextRegression",
    "token-classification": "TokenClassification",
    "question-answering": "QuestionAnswering",
    "image-classification": "ImageClassification",
    "image-segmentation": "ImageSegmentation",
    "text-embedding": "TextEmbedding",
    "masked-lm": "MaskedLm",
    "causal-lm": "CausalLm",
}
IGNORED = -100
"""The label of a token or pixel without one, which PyTorch's cross entropy leaves out."""
KINDS = tuple(_CLASSES)
"""The kinds of task that can be trained."""


def takes_pairs(kind: str) -> bool:
    """Whether a kind of task is one on a text or a pair of texts."""
    return kind in _CLASSES and find(kind).takes_pairs


def predicts_numbers(kind: str) -> bool:
    """Whether a kind of task has a number for each row, not labels."""
    return kind in ("text-regression", "text-embedding")


def finds_answers(kind: str) -> bool:
    """Whether a row of a kind of task is a question, with a context that holds its answer."""
    return kind == "question-answering"


def tags_words(kind: str) -> bool:
    """Whether a row of a kind of task is words with a label for each."""
    return kind == "token-classification"


def takes_images(kind: str) -> bool:
    """Whether the input of a kind of task is an image."""
    return kind in ("image-classification", "image-segmentation")


def labels_pixels(kind: str) -> bool:
    """Whether a row of a kind of task is an image with a label for each pixel: a mask."""
    return kind == "image-segmentation"


def sizes_outputs(kind: str) -> bool:
    """Whether a kind of task says how many numbers a model gives: one, or one for each label."""
    return kind != "text-embedding" and not models_language(kind)


def models_language(kind: str) -> bool:
    """Whether a kind of task has no labels beside its texts: their tokens are what is predicted."""
    return kind in ("masked-lm", "causal-lm")


def has_labels(kind: str) -> bool:
    """Whether a kind of task tells which of some named labels a row, or a word of it, has."""
    is_other = predicts_numbers(kind) or finds_answers(kind) or models_language(kind)
    return kind in _CLASSES and not is_other


def ranks_names(kind: str) -> bool:
    """Whether a prediction of a kind of task is several names with probabilities."""
    of_parts = tags_words(kind) or labels_pixels(kind)
    return kind == "masked-lm" or (has_labels(kind) and not of_parts)


def find(kind: str, *, multi_label: bool = False, scored: bool = False) -> type[Objective]:
    """The objective of a kind of task; it is made for the labels of some data.

    Args:
        multi_label: whether a row may have several labels, or none.
        scored: whether pairs of texts, of which embeddings are learned, have scores.

    Raises:
        UsageError: E801, no row of such a task has several labels.

    >>> find("text-classification")(["no", "yes"]).monitors
    ('accuracy', 'macro_f1', 'loss')
    """
    module = import_module(f"archspec.tasks.{kind.replace('-', '_')}")
    name = "MultiLabel" * multi_label + "Scored" * scored + _CLASSES[kind]
    found = getattr(module, name, None)
    if found is None:
        hint = "leave multi_label out of the spec's task"
        raise UsageError(Problem("E801", f"no row of {kind} has several labels", hint=hint))
    return found
