"""The card of a trained model, in Markdown: how it is loaded, its data, plan and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from archspec.data import TextEncoder
from archspec.drawing import draw
from archspec.lang.spec import Spec
from archspec.report.markdown import code, plain, table
from archspec.report.text import printable_lines
from archspec.tasks import tags_words
from archspec.tasks.figures import FIGURES, figure_name
from archspec.training.run import Run

_OPTIONS = ("epochs", "batch_size", "learning_rate", "optimizer", "schedule", "precision", "seed")
_FOLDER = """\
```python
import torch
from safetensors.torch import load_model

from model import {kind}

model = {kind}()
load_model(model, "model.safetensors")
model.eval()
```
"""
_TOKENS = """\
```python
from tokenizers import Tokenizer

ids = Tokenizer.from_file("tokenizer.json").encode("A text.").ids
with torch.inference_mode():
    output = model(torch.tensor([ids]))
```
"""
_TRANSFORMERS = """\
```python
from transformers import {kind}

model = {kind}.from_pretrained("path/to/this/folder")
```
"""


def card(run: Run, spec: Spec, to: str, encoder: TextEncoder | None) -> str:
    """The card of a run's model.

    Args:
        to: how it is loaded, ``folder`` or ``transformers``.
        encoder: of texts; None for images.
    """
    kind = spec.architecture.model
    usage = (_TRANSFORMERS if to == "transformers" else _FOLDER).format(kind=kind)
    parts = [f"# {code(run.path.name)}", "", plain(spec.architecture.description), "", usage]
    parts += [_TOKENS] if encoder is not None and to == "folder" else []
    parts += [*_model(run, spec), *_data(run.facts.get("data", {}), spec), *_training(run)]
    parts += ["## Diagram", "", "````text", printable_lines(str(draw(spec))).rstrip(), "````"]
    return "\n".join(parts) + "\n"


def _model(run: Run, spec: Spec) -> Iterator[str]:
    yield from ("## Model", "")
    task = spec.architecture.task
    rows = [("class", code(spec.architecture.model)), ("task", plain(task.kind if task else ""))]
    rows += [("parameters", f"{run.facts['parameters']:,}")]
    rows += [("paper", plain(spec.architecture.paper))] if spec.architecture.paper else []
    yield from table(("", ""), rows)
    if run.labels:
        yield from (f"Labels, in the order of the outputs: {', '.join(map(code, run.labels))}.", "")


def _data(data: Mapping[str, Any], spec: Spec) -> Iterator[str]:
    yield from ("## Data", "", f"{code(Path(str(data.get('source', ''))).name)}", "")
    classes = cast("Mapping[str, Mapping[str, int]]", data.get("classes", {}))
    rows = [
        (plain(split), f"{count:,}", ", ".join(f"{code(c)} {n:,}" for c, n in by_class.items()))
        for split, count in cast("Mapping[str, int]", data.get("counts", {})).items()
        for by_class in (classes.get(split, {}),)
    ]
    task = spec.architecture.task
    unit = "words of each tag" if task and tags_words(task.kind) else "rows of each class"
    yield from table(("split", "rows", unit), rows)


def _training(run: Run) -> Iterator[str]:
    facts, options = run.facts, cast("Mapping[str, Any]", run.facts.get("options", {}))
    yield from ("## Training", "")
    values = {"plan": facts.get("plan"), "trained parameters": f"{facts['trainable']:,}"}
    values |= {name.replace("_", " "): facts.get(name, options.get(name)) for name in _OPTIONS}
    yield from table(("", ""), [(n, plain(str(v))) for n, v in values.items() if v is not None])
    measured = {"validation, best epoch": run.best, "test": run.test}
    lines = {name: line for name, line in measured.items() if line is not None}
    keys = [key for key in FIGURES if any(key in line for line in lines.values())]
    rows = [
        (name, *(f"{line[key]:.4f}" if key in line else "" for key in keys))
        for name, line in lines.items()
    ]
    yield from table(("split", *map(figure_name, keys)), rows, "---:")
