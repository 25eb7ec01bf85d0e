"""Data in the forms people have, as batches that a model learns from or predicts on.

    open_data      files, folders, a hub → ``Data``: splits, classes, bad rows, a fingerprint
    encoder_for    a spec's ``task`` → ``TextEncoder`` or ``ImageEncoder``
    batches        rows and an encoder → a PyTorch ``DataLoader``

The libraries behind it come with the extra ``train`` and are imported when they are needed.
"""

from archspec.data.opening import open_data
from archspec.data.report import BadRow, Columns, Data, Rows

__all__ = ["BadRow", "Columns", "Data", "Rows", "open_data"]
