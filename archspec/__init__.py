"""archspec: neural networks as short YAML specs, compiled into plain PyTorch.

    >>> import archspec
    >>> model = archspec.build("resnet18", device="meta")
    >>> sum(p.numel() for p in model.parameters())
    11689512

Names are imported when they are first used: reading and checking specs never imports torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from archspec.builder import build, to_python
    from archspec.data import Data, open_data
    from archspec.differences import Diff, diff
    from archspec.differences.lock_files import Lock, lock
    from archspec.drawing import Canvas, Drawing, draw, draw_all, draw_canvas
    from archspec.errors import (
        ArchspecError,
        BuildError,
        DataError,
        FreezeError,
        Note,
        Place,
        Problem,
        RunError,
        ShapeError,
        SpecError,
        UsageError,
        WeightsError,
    )
    from archspec.exporting import export, merge
    from archspec.feature_cache import Frontier, NoFrontier, find_frontier
    from archspec.freezing import (
        FreezeProof,
        FreezeReport,
        freeze,
        freeze_proof,
        trainable_parameters,
    )
    from archspec.generation import generate
    from archspec.inspection import Inspection, inspect, largest_batch
    from archspec.lang.registry.functions import register_op
    from archspec.lang.registry.layers import register_layer
    from archspec.lang.spec import Spec, load, loads
    from archspec.predicting import (
        AnswerPrediction,
        ContinuationPrediction,
        Explanation,
        MaskPrediction,
        MultiLabelPrediction,
        NumberPrediction,
        PredictedFile,
        Prediction,
        Predictor,
        SegmentationPrediction,
        TaggedSpan,
        TaggedWord,
        TokenPrediction,
    )
    from archspec.sweeps import Sweep, Trial, sweep
    from archspec.training import Run, TrainCallback, TrainOptions, TrainState, resume, runs, train
    from archspec.weights import WeightsReport, load_weights, save_adapter, save_weights

__version__ = "0.1.0"

_HOMES = {
    "archspec.builder": ("build", "to_python"),
    "archspec.data": ("Data", "open_data"),
    "archspec.differences": ("Diff", "diff"),
    "archspec.drawing": ("Canvas", "Drawing", "draw", "draw_all", "draw_canvas"),
    "archspec.errors": (
        "ArchspecError", "BuildError", "DataError", "FreezeError", "Note", "Place", "Problem",
        "RunError", "ShapeError", "SpecError", "UsageError", "WeightsError",
    ),
    "archspec.freezing": (
        "FreezeProof", "FreezeReport", "freeze", "freeze_proof", "trainable_parameters",
    ),
    "archspec.exporting": ("export", "merge"),
    "archspec.feature_cache": ("Frontier", "NoFrontier", "find_frontier"),
    "archspec.generation": ("generate",),
    "archspec.lang.registry.functions": ("register_op",),
    "archspec.inspection": ("Inspection", "inspect", "largest_batch"),
    "archspec.lang.registry.layers": ("register_layer",),
    "archspec.differences.lock_files": ("Lock", "lock"),
    "archspec.predicting": (
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
    ),
    "archspec.lang.spec": ("Spec", "load", "loads"),
    "archspec.sweeps": ("Sweep", "Trial", "sweep"),
    "archspec.training": (
        "Run", "TrainCallback", "TrainOptions", "TrainState", "resume", "runs", "train",
    ),
    "archspec.weights": ("WeightsReport", "load_weights", "save_adapter", "save_weights"),
}  # fmt: skip
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AnswerPrediction",
    "ArchspecError",
    "BuildError",
    "Canvas",
    "ContinuationPrediction",
    "Data",
    "DataError",
    "Diff",
    "Drawing",
    "Explanation",
    "FreezeError",
    "FreezeProof",
    "FreezeReport",
    "Frontier",
    "Inspection",
    "Lock",
    "MaskPrediction",
    "MultiLabelPrediction",
    "NoFrontier",
    "Note",
    "NumberPrediction",
    "Place",
    "PredictedFile",
    "Prediction",
    "Predictor",
    "Problem",
    "Run",
    "RunError",
    "SegmentationPrediction",
    "ShapeError",
    "Spec",
    "SpecError",
    "Sweep",
    "TaggedSpan",
    "TaggedWord",
    "TokenPrediction",
    "TrainCallback",
    "TrainOptions",
    "TrainState",
    "Trial",
    "UsageError",
    "WeightsError",
    "WeightsReport",
    "__version__",
    "build",
    "diff",
    "draw",
    "draw_all",
    "draw_canvas",
    "export",
    "find_frontier",
    "freeze",
    "freeze_proof",
    "generate",
    "inspect",
    "largest_batch",
    "load",
    "load_weights",
    "loads",
    "lock",
    "merge",
    "open_data",
    "register_layer",
    "register_op",
    "resume",
    "runs",
    "save_adapter",
    "save_weights",
    "sweep",
    "to_python",
    "train",
    "trainable_parameters",
]


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'archspec' has no attribute {name!r}")
    value = getattr(import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
