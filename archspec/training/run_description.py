"""The files of a run before its first step: spec, source, options, data, versions."""

from __future__ import annotations

import platform
import shutil
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from archspec.builder import to_python
from archspec.data import TextEncoder, tokenizer_files
from archspec.differences.normal_form import content
from archspec.errors import Problem, RunError
from archspec.lang.yaml import dump
from archspec.training.data_feed import DataFeed
from archspec.training.data_source import DataSource
from archspec.training.model_setup import Prepared
from archspec.training.options import TrainOptions
from archspec.training.run_folder import FACTS, FREEZE, SOURCE, SPEC, RunFolder

_PACKAGES = (
    "archspec-nn",
    "torch",
    "pytorch-lightning",
    "datasets",
    "tokenizers",
    "numpy",
    "safetensors",
)


def new_folder(
    ready: Prepared, source: DataSource, feed: DataFeed, options: TrainOptions, notes: list[str]
) -> RunFolder:
    """Create a run's folder with all that is known before it starts.

    Raises:
        RunError: E921, it cannot be written.
    """
    plan = "+".join(phase.label for phase in options.phases)
    folder = RunFolder.create(Path(options.output_dir), f"{ready.spec.name}-{plan}", options.name)
    try:
        folder.write(SPEC, dump(_resolved(ready, feed)))
        folder.write(SOURCE, to_python(ready.spec))
        if isinstance(feed.encoder, TextEncoder):
            _copy_tokenizer(folder, feed.encoder.path)
        folder.write_json(FREEZE, {"phases": []})
        folder.write_json(FACTS, _facts(ready, source, options, plan, notes))
        folder.check()
    except BaseException:  # an empty folder helps nobody
        shutil.rmtree(folder.path, ignore_errors=True)
        raise
    return folder


def _resolved(ready: Prepared, feed: DataFeed) -> dict[str, Any]:
    """The spec with all parents and values in it, the classes' names, and the text's settings."""
    resolved = content(ready.spec)
    resolved["task"]["labels"] = list(feed.data.labels)
    if isinstance(feed.encoder, TextEncoder):
        text = resolved["task"].get("text") or {}
        text |= {"tokenizer": feed.encoder.path.name, "max_length": feed.encoder.max_length}
        text["pair"] = feed.data.columns.text_pair is not None
        resolved["task"]["text"] = text
    return resolved


def _copy_tokenizer(folder: RunFolder, file: Path) -> None:
    files = [
        file,
        *(one for name in tokenizer_files.BESIDE if (one := file.parent / name).is_file()),
    ]
    for one in files:
        try:
            content = one.read_bytes()
        except OSError as error:
            raise RunError(Problem("E921", f"{one}: cannot be read: {error.strerror}")) from None
        folder.write(one.name, content)


def _facts(
    ready: Prepared, source: DataSource, options: TrainOptions, plan: str, notes: list[str]
) -> dict[str, Any]:
    weights = ready.weights
    return {
        "status": "running",
        "spec": ready.spec.name,
        "model": ready.spec.architecture.model,
        "plan": plan,
        "epochs": options.total_epochs,
        "seed": options.seed,
        "labels": list(source.data.labels),
        "parameters": sum(p.numel() for p in ready.model.parameters()),
        "trainable": None,
        "options": options.to_dict(),
        "data": source.to_dict(),
        "weights": {
            "files": list(weights.files) if weights else [],
            "layout": weights.layout if weights else None,
            "fresh": list(ready.fresh),
            "notes": notes,
        },
        "versions": versions(),
        "threads": torch.get_num_threads(),
        "started": now(),
        "ended": None,
        "seconds": 0.0,
        "resumed": [],
        "error": None,
    }


def versions() -> dict[str, str]:
    """The versions of Python, archspec and the packages that a run uses."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def now() -> str:
    """The time, with its zone, to the second."""
    return datetime.now().astimezone().isoformat(timespec="seconds")
