"""Fine-tuning what a spec says: ``train``, ``resume``, and the runs that come of it.

``options`` declares what a run is asked, ``run_folder`` where it writes; ``model_setup`` and
``data_feed`` bring spec, weights and data together; ``loop`` trains, on the devices and processes
of ``engine``, and ``recorder`` writes down what happens; ``run`` is the result. Lightning Fabric is
imported when a run starts.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from archspec.training.options import TrainOptions
from archspec.training.run import Run, runs

if TYPE_CHECKING:
    from archspec.training.api import resume, train
    from archspec.training.callbacks import TrainCallback, TrainState

__all__ = ["Run", "TrainCallback", "TrainOptions", "TrainState", "resume", "runs", "train"]

_LATER = {"resume": "api", "train": "api", "TrainCallback": "callbacks", "TrainState": "callbacks"}
"""Names whose modules import torch."""


def __getattr__(name: str) -> object:
    if name not in _LATER:
        raise AttributeError(f"module 'archspec.training' has no attribute {name!r}")
    return getattr(import_module(f"archspec.training.{_LATER[name]}"), name)
