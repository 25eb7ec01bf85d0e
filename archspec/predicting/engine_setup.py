"""What a ``Predictor`` is made of, as its task says: pairs or not, objective and engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from archspec.data import TextEncoder
from archspec.freezing.modes import evaluating
from archspec.predicting.answers import AnswerSelector
from archspec.predicting.batching import prepare_images, prepare_texts
from archspec.predicting.engine import Engine, model_device
from archspec.predicting.image_inputs import pixels
from archspec.predicting.model_source import LoadedModel, OutputSelector
from archspec.predicting.segmentation import MaskSelector
from archspec.predicting.variants import Variant
from archspec.tasks import find, finds_answers, takes_pairs

if TYPE_CHECKING:
    from archspec.lang.schema import Task
    from archspec.tasks.language_model import LanguageModel
    from archspec.tasks.objective import Activation, Objective


def input_is_pair(task: Task) -> bool | None:
    """Whether an input is a pair of texts; None: a text or a pair."""
    if not takes_pairs(task.kind):
        return False
    if finds_answers(task.kind):
        return True
    return task.text.pair if task.text else None


def objective_of(task: Task) -> Objective | None:
    """What the task is for training; None for embeddings."""
    if task.kind == "text-embedding":
        return None
    return find(task.kind, multi_label=bool(task.multi_label))(task.labels or ())


def prepared_engine(
    loaded: LoadedModel,
    kind: str,
    pair: bool | None,
    activation: Activation,
    axes: int,
    *,
    optimize: bool,
) -> Engine:
    """An engine that has been run once, on a short text or a black image.

    Args:
        axes: dimensions of the output: 2 of rows, 3 of tokens, 4 of pixels.
    """
    encoder, size = loaded.encoder, len(loaded.labels) if loaded.labels and activation else None
    select = OutputSelector(size, axes)
    if finds_answers(kind):
        select = AnswerSelector()
    if axes == 4:
        select = MaskSelector()
    variant = Variant(loaded.model, model_device(loaded.model), select, activation)
    engine = Engine(variant, optimize, axes=axes)
    if isinstance(encoder, TextEncoder):
        sample = prepare_texts(encoder, [("a", "a") if pair else "a"], 1)
    else:
        size = encoder.settings.crop
        black = np.zeros((size, size), dtype=np.uint8)
        sample = prepare_images(encoder, lambda i: pixels(encoder, black), 1, 1)
    engine.probe(sample.batches[0][1], loaded.spec.name)
    return engine


def check_language(loaded: LoadedModel, objective: LanguageModel, encoder: TextEncoder) -> None:
    """Raise as ``LanguageModel.check``."""
    device = model_device(loaded.model)
    batch = encoder.collate(encoder.encode(["a b c d"]))
    with evaluating(loaded.model), torch.inference_mode():
        inputs = {name: one.to(device) for name, one in batch.items()}
        objective.check(loaded.model, inputs, encoder.size)
