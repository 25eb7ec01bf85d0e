"""Weights from safetensors into a model that is ready to run."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn
from transformers import AutoModel, BertForSequenceClassification

import archspec
from benchmarks.pairs import Pair
from benchmarks.references import bert, minilm


def pairs() -> Iterator[Pair]:
    folder = minilm()
    if folder is not None:
        yield from _pairs("minilm-l6", AutoModel, folder)
    with tempfile.TemporaryDirectory() as folder:
        bert().save_pretrained(folder)  # type: ignore[operator]
        yield from _pairs("bert", BertForSequenceClassification, Path(folder))


def _pairs(name: str, theirs: Any, folder: Path) -> Iterator[Pair]:
    """A mapped file costs nothing until it is read: once without, once with reading it all."""
    spec = archspec.load(name)

    def reference() -> nn.Module:
        return theirs.from_pretrained(folder, local_files_only=True)

    def ours(source: str | archspec.Spec = spec) -> nn.Module:
        return archspec.build(source, weights=folder, device="cpu")

    yield Pair(f"{name} from a file, spec loaded", ours, reference, target=1.0)
    yield Pair(
        f"{name} from a file, every weight read",
        lambda: _read(ours()),
        lambda: _read(reference()),
        target=1.0,
    )
    yield Pair(f"{name} from a file, spec by name", lambda: ours(name), reference, target=None)


def _read(model: nn.Module) -> float:
    return sum(float(parameter.detach().sum()) for parameter in model.parameters())
