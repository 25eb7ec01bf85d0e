"""Making a model: without memory, and with its first values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import torch
from torch import nn

import archspec
from benchmarks.pairs import Pair
from benchmarks.references import bert


def on_meta() -> Iterator[Pair]:
    spec = archspec.load("bert")

    def theirs() -> nn.Module:
        with torch.device("meta"):
            return bert()

    yield Pair(
        "BERT on meta, spec loaded", lambda: archspec.build(spec, device="meta"), theirs, target=1.0
    )


def initialised() -> Iterator[Pair]:
    spec = archspec.load("bert")
    yield Pair("BERT on CPU, filled", lambda: archspec.build(spec, device="cpu"), bert, target=0.7)


FIRST = """
import time
import archspec, torch, transformers
from archspec import builder
from benchmarks.references import bert
from transformers import BertForSequenceClassification
start = time.perf_counter()
spec = archspec.load("bert")
loaded = time.perf_counter()
archspec.build(spec, device="meta")
built = time.perf_counter()
with torch.device("meta"):
    bert()
theirs = time.perf_counter()
print(loaded - start, built - loaded, theirs - built)
"""


def first() -> str:
    """The same in a new process, everything imported: what the first build pays once."""
    done = subprocess.run([sys.executable, "-c", FIRST], stdout=subprocess.PIPE, check=True)
    load, ours, theirs = (1000 * float(word) for word in done.stdout.split())
    return (
        f"first BERT on meta in a process: load {load:.0f} ms, build {ours:.0f} ms "
        f"(code generated, compiled, shapes checked); transformers {theirs:.0f} ms"
    )
