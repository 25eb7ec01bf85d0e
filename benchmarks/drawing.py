"""BERT as an HTML file that works offline; beside it, torchvista and Model Explorer.

Ours reads the spec, builds it on ``meta``, and draws it with everything that its blocks compute and
cost. They have the built model already. torchvista runs it on the CPU and writes its operations as
an HTML file; Model Explorer exports it and makes the graph that its server shows, without the page.
Neither is among the packages for developers: what is installed is measured.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

import archspec
from benchmarks.pairs import Pair
from benchmarks.references import bert

LENGTH = 128
OURS, THEIRS = "ours.html", "theirs.html"
TORCHVISTA, EXPLORER = "torchvista", "model_explorer"


def is_possible() -> bool:
    return any(map(importlib.util.find_spec, (TORCHVISTA, EXPLORER)))


def pairs() -> Iterator[Pair]:
    model: Any = bert().eval()
    ids = torch.zeros(1, LENGTH, dtype=torch.int64)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)

        def ours() -> None:
            archspec.draw_canvas("bert", seq=LENGTH).save(folder / OURS)

        if importlib.util.find_spec(TORCHVISTA):
            trace_model = importlib.import_module(TORCHVISTA).trace_model

            def traced() -> None:
                with contextlib.redirect_stdout(io.StringIO()):
                    trace_model(model, ids, export_format="html", export_path=folder / THEIRS)

            yield Pair("BERT drawn, against torchvista", ours, traced, target=1.0)
            sizes = [(folder / name).stat().st_size / 1e6 for name in (OURS, THEIRS)]
            print("  files of {:.2f} and {:.2f} MB".format(*sizes))
        if importlib.util.find_spec(EXPLORER):
            adapters = f"{EXPLORER}.pytorch_exported_program_adapter_impl"
            adapter = importlib.import_module(adapters).PytorchExportedProgramAdapterImpl

            def explored() -> object:
                exported = torch.export.export(model, (ids,), strict=False)
                return adapter(exported, {"const_element_count_limit": 16}).convert()

            yield Pair("BERT drawn, against Model Explorer", ours, explored, target=1.0)
