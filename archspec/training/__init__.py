"""Fine-tuning what a spec says: ``train``, ``resume``, and the runs that come of it.

``options`` declares what a run is asked, ``run_folder`` where it writes; ``model_setup``,
``data_feed`` and ``data_source`` bring spec, weights and data together; ``runner`` drives
Lightning's trainer over ``classifier_module``, with ``checkpoint_callback`` to record,
``resume_file`` to resume and ``progress_bar`` to show; ``run`` is the result. Lightning is imported
when a run starts.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from archspec.training.options import TrainOptions
from archspec.training.run import Run, runs

if TYPE_CHECKING:
    from archspec.training.api import resume, train

__all__ = ["Run", "TrainOptions", "resume", "runs", "train"]


def __getattr__(name: str) -> object:
    if name not in ("resume", "train"):
        raise AttributeError(f"module 'archspec.training' has no attribute {name!r}")
    return getattr(import_module("archspec.training.api"), name)
