"""BERT as an HTML file that works offline; beside it, torchvista's.

Ours reads the spec, builds it on ``meta`` and draws it with everything that its blocks compute.
Theirs has the built model already, runs it on the CPU and draws the operations with all modules
closed but the outermost. torchvista is not among the packages for developers.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch

import archspec
from benchmarks.pairs import Pair
from benchmarks.references import bert

LENGTH = 128
OURS, THEIRS = "ours.html", "theirs.html"


def is_possible() -> bool:
    return importlib.util.find_spec("torchvista") is not None


def pairs() -> Iterator[Pair]:
    model, ids = bert().eval(), torch.zeros(1, LENGTH, dtype=torch.int64)
    trace_model = importlib.import_module("torchvista").trace_model
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)

        def ours() -> object:
            return archspec.draw_canvas("bert", seq=LENGTH).save(folder / OURS)

        def theirs() -> None:
            with contextlib.redirect_stdout(io.StringIO()):
                trace_model(model, ids, export_format="html", export_path=folder / THEIRS)

        yield Pair("BERT drawn as HTML", ours, theirs, target=1.0)
        sizes = [(folder / name).stat().st_size / 1e6 for name in (OURS, THEIRS)]
        print("  files of {:.2f} and {:.2f} MB".format(*sizes))
