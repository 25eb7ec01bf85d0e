"""Predicting with what was trained: ``Predictor``, and the predictions that it gives.

``sources`` brings spec, model, encoder and labels together; ``preparing`` makes batches of similar
length; ``engine`` runs them; ``folding`` and ``optimizing`` make the model faster where nothing is
lost; ``reading``, ``writing`` and ``files`` take a file through in windows; ``saliency``
and ``explaining`` say which tokens a label comes from; ``report`` is what comes out.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from archspec.predicting.report import Explanation, PredictedFile, Prediction

if TYPE_CHECKING:
    from archspec.predicting.predictor import Predictor

__all__ = ["Explanation", "PredictedFile", "Prediction", "Predictor"]


def __getattr__(name: str) -> object:
    if name != "Predictor":
        raise AttributeError(f"module 'archspec.predicting' has no attribute {name!r}")
    return import_module("archspec.predicting.predictor").Predictor
