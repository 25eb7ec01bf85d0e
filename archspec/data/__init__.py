"""Data in the forms people have, as batches that a model learns from or predicts on.

    open_data      files, folders, a hub → ``Data``: splits, classes, bad rows, a fingerprint
    encoder_for    a spec's ``task`` → ``TextEncoder`` or ``ImageEncoder``
    batches        rows and an encoder → a PyTorch ``DataLoader``

The libraries behind it come with the extra ``train`` and are imported when they are needed.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from archspec.data.encoders import encoder_for, model_inputs
from archspec.data.opening import open_data
from archspec.data.report import BadRow, Columns, Data, Rows

if TYPE_CHECKING:
    from archspec.data.batching import batches
    from archspec.data.images import ImageEncoder, UnreadableImage
    from archspec.data.texts import TextEncoder

__all__ = [
    "BadRow",
    "Columns",
    "Data",
    "ImageEncoder",
    "Rows",
    "TextEncoder",
    "UnreadableImage",
    "batches",
    "encoder_for",
    "model_inputs",
    "open_data",
]

_HOMES = {
    "ImageEncoder": "archspec.data.images",
    "TextEncoder": "archspec.data.texts",
    "UnreadableImage": "archspec.data.images",
    "batches": "archspec.data.batching",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'archspec.data' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
