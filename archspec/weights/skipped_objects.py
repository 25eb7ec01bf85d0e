"""What is often saved beside weights and is no data of PyTorch's: read as nothing at all.

A scalar of NumPy, the options of a script: ``torch.load(weights_only=True)`` refuses a file for
any of them. Here each of these names stands for a class that takes whatever it is given and keeps
none of it. What has another name is refused as before.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch

_NUMPY = (
    "dtype ndarray bool_ bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32"
)
_KINDS = "Bool Int8 Int16 Int32 Int64 UInt8 UInt16 UInt32 UInt64 Float16 Float32 Float64 Str"
_PATHS = "Path PosixPath WindowsPath PurePath PurePosixPath PureWindowsPath"

SKIPPED: tuple[str, ...] = (
    "argparse.Namespace",
    "types.SimpleNamespace",
    "collections.defaultdict",
    *(f"builtins.{name}" for name in "bool int float str list tuple dict".split()),
    *(f"datetime.{name}" for name in "date time datetime timedelta timezone".split()),
    *(f"pathlib.{name}" for name in _PATHS.split()),
    *(f"numpy.{name}" for name in f"{_NUMPY} float64 str_".split()),
    *(f"numpy.dtypes.{name}DType" for name in _KINDS.split()),
    *(
        f"numpy.{core}.{name}"
        for core in ("core", "_core")
        for name in ("multiarray.scalar", "multiarray._reconstruct", "numeric._frombuffer")
    ),
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)


class SkippedObject:
    """Takes what a pickle gives it, and keeps none of it."""

    def __new__(cls, *_: Any) -> SkippedObject:
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        """State is left unread."""

    def __setitem__(self, key: object, value: object) -> None:
        """An item is left unread."""


def _named(name: str) -> type[SkippedObject]:
    """A class of its own for each, so that a report can say what was left unread."""
    last = name.rpartition(".")[2]
    kind = {"scalar": "a NumPy scalar", "_reconstruct": "a NumPy array"}.get(last, last)
    return type(kind, (SkippedObject,), {})


_CLASSES = [(_named(name), name) for name in SKIPPED]


def skipping() -> AbstractContextManager[Any]:
    """While this holds, ``torch.load(weights_only=True)`` makes nothing of what has these names."""
    return torch.serialization.safe_globals(_CLASSES)  # pyright: ignore[reportArgumentType]
