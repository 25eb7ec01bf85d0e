"""Checkpoints: loaded into models and saved from them, with every tensor accounted for.

``layouts`` knows how foreign files name our tensors, ``matching`` holds the names of both sides
against each other, ``report`` and ``folding`` say what was found and ``rendering`` shows it: plain
data, all of it. ``files`` and ``pytorch_files`` read, ``loading`` and ``saving`` move tensors.
"""

from archspec.weights.adapter_files import save_adapter
from archspec.weights.layouts import to_foreign
from archspec.weights.loading import Checkpoint, assign, load_weights
from archspec.weights.report import WeightsReport
from archspec.weights.rows import Row, Rule, TensorInfo
from archspec.weights.saving import save_weights
from archspec.weights.statistics import TensorStatistics, weight_statistics

__all__ = [
    "Checkpoint",
    "Row",
    "Rule",
    "TensorInfo",
    "TensorStatistics",
    "WeightsReport",
    "assign",
    "load_weights",
    "save_adapter",
    "save_weights",
    "to_foreign",
    "weight_statistics",
]
