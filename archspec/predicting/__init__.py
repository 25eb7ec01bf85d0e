"""Predicts with trained models: ``Predictor`` and its predictions.

``model_source`` loads spec, model, encoder and labels; ``batching`` makes batches; ``engine`` runs
them; ``batchnorm_folding`` and ``optimization`` make the model faster;
``row_reader``, ``row_writer`` and ``files`` predict on a file in windows; ``saliency`` and
``explanation`` find the tokens that a label comes from; ``activations`` looks into modules;
``words`` tags words, ``answers`` finds answers, ``masks`` tokens for masks, ``continuations``
continues prompts, ``segmentation`` finds a class for each pixel; ``report``, ``span_report``,
``token_report`` and ``segmentation_report`` have the results.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from archspec.predicting.report import (
    Explanation,
    MultiLabelPrediction,
    NumberPrediction,
    PredictedFile,
    Prediction,
)
from archspec.predicting.segmentation_report import SegmentationPrediction
from archspec.predicting.span_report import (
    AnswerPrediction,
    TaggedSpan,
    TaggedWord,
    TokenPrediction,
)
from archspec.predicting.token_report import ContinuationPrediction, MaskPrediction

if TYPE_CHECKING:
    from archspec.predicting.predictor import Predictor

__all__ = [
    "AnswerPrediction",
    "ContinuationPrediction",
    "Explanation",
    "MaskPrediction",
    "MultiLabelPrediction",
    "NumberPrediction",
    "PredictedFile",
    "Prediction",
    "Predictor",
    "SegmentationPrediction",
    "TaggedSpan",
    "TaggedWord",
    "TokenPrediction",
]


def __getattr__(name: str) -> object:
    if name != "Predictor":
        raise AttributeError(f"module 'archspec.predicting' has no attribute {name!r}")
    return import_module("archspec.predicting.predictor").Predictor
