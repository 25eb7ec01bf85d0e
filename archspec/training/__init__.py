"""Fine-tuning what a spec says: ``train``, ``resume``, and the runs that come of it.

``options`` and ``folder`` hold what a run is asked and where it writes; ``preparing``, ``feeding``
and ``sources`` bring spec, weights and data together; ``running`` drives Lightning's trainer over
``loop``, with ``keeping`` to record, ``states`` to resume and ``progress`` to show; ``run`` is the
result. Lightning is imported when a run starts.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from archspec.training.run import Run, runs

if TYPE_CHECKING:
    from archspec.training.api import resume, train

__all__ = ["Run", "resume", "runs", "train"]


def __getattr__(name: str) -> object:
    if name not in ("resume", "train"):
        raise AttributeError(f"module 'archspec.training' has no attribute {name!r}")
    return getattr(import_module("archspec.training.api"), name)
