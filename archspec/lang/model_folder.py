"""A Hugging Face model's folder as a spec: ``hf:FOLDER``, or ``hf:owner/name`` of the hub.

Its ``config.json`` says which packaged spec is meant, and the values of the parameters. Nothing
else of the folder is read here, and no code of it ever.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archspec.errors import Problem, SpecError, UsageError, listing, shown
from archspec.lang import json_file
from archspec.lang.config_specs import (
    classes_of,
    fitting_specs,
    packaged_of,
    value_of,
)
from archspec.lang.json_file import JsonFile
from archspec.report.text import first_line

PREFIX = "hf:"
_CONFIG, _ADAPTER = "config.json", "adapter_config.json"
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*", re.ASCII)
_FETCHED = ("*.safetensors", "*.safetensors.index.json", _CONFIG, "modules.json", "*_config.json")
_TOKENIZER = ("tokenizer.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A folder with a model's config and weights.

    Attributes:
        path: the folder.
        spec: the packaged spec of the model's class.
        config: its ``config.json``.
    """

    path: Path
    spec: str
    config: JsonFile


def is_model_folder(name: str | os.PathLike[str]) -> bool:
    """Whether a name means a model's folder.

    >>> is_model_folder("hf:models/bert"), is_model_folder("bert")
    (True, False)
    """
    return isinstance(name, str) and name.startswith(PREFIX)


def read(name: str) -> ModelFolder:
    """Find the folder and the packaged spec of its model.

    A name such as ``hf:owner/name`` that is no folder here is fetched from the hub: config,
    tokenizer and safetensors.

    Raises:
        SpecError: E106 if there is no such folder or its ``config.json`` cannot be read, E102 for a
            key that occurs twice in it, E108 if no packaged spec is of its class.
    """
    text = name.removeprefix(PREFIX)
    path = Path(text)
    if not os.path.isdir(path):
        if _HUB_NAME.fullmatch(text) is None:
            hint = f"a folder with {_CONFIG} and model.safetensors, or the hub's owner/name"
            raise SpecError(Problem("E106", f"{name}: no such folder", hint=hint))
        path = _fetched(name, text)
    if not (path / _CONFIG).exists():
        raise SpecError(_no_config(name, path))
    if (path / _ADAPTER).is_file():
        raise SpecError(_adapter_beside(name, path))
    config = json_file.read(path / _CONFIG)
    return ModelFolder(path, _spec_of(config), config)


def _adapter_beside(name: str, path: Path) -> Problem:
    """transformers opens such a folder as the adapter's model; the weights alone are another."""
    message = f"{name}: holds a model and an adapter of PEFT, {_ADAPTER}"
    model = f"--config {path / _CONFIG} --weights {path}"
    hint = f"say which is meant: a spec with {model} is the model alone, --adapter {path} adds it"
    return Problem("E106", message, hint=hint)


def _no_config(name: str, path: Path) -> Problem:
    """What a folder without a ``config.json`` is, as far as its other files tell."""
    message, hint = f"{name}: no {_CONFIG} in it", "the folder that holds it is the model's"
    below = sorted(file.parent.name for file in path.glob(f"*/{_CONFIG}"))
    if (path / _ADAPTER).is_file():
        message, hint = f"{name}: an adapter of PEFT, not a model", f"--adapter {path}, with a spec"
    elif (path / "model_index.json").is_file():
        message, hint = f"{name}: a pipeline of several models", "give the folder of one of them"
    elif transformer := [one for one in below if "Transformer" in one]:
        message = f"{name}: a sentence transformer, whose model is in {transformer[0]}"
        hint = f"{name}/{transformer[0]}"
    elif below:
        hint = f"there is one in {listing(below[:5])}"
    return Problem("E106", message, hint=hint)


def _spec_of(config: JsonFile) -> str:
    """The packaged spec of the model's class, and of the values that two of one class differ in."""
    data = config.data
    fitting, unbuilt = fitting_specs(data)
    if len(fitting) == 1:
        return fitting[0]
    model_type, classes = data.get("model_type"), classes_of(data)
    specs = packaged_of(model_type)
    hint = f"of {model_type} there are {listing(list(specs))}: give one, --config and --weights"
    if not specs:
        message, key = f"no packaged spec is of the model_type {shown(model_type)}", "model_type"
        hint = "write a spec of it, and give it this file: --config, --weights"
    elif unbuilt:
        value = shown(value_of(data, unbuilt))
        message, key = f"no packaged spec of {model_type} builds '{unbuilt}' {value}", unbuilt
    else:
        names = listing([one if isinstance(one, str) else shown(one) for one in classes])
        message = f"no packaged spec builds {names}" if classes else "no architectures"
        key = "architectures"
    at = () if value_of(data, key) is None else tuple(key.split("."))
    raise SpecError(Problem("E108", message, config.place(at), hint))


# ---------------------------------------------------------------------------------------- the hub


def _fetched(name: str, repository: str) -> Path:
    """The hub's files of a model in the cache of ``huggingface_hub``."""
    try:
        import huggingface_hub
    except ImportError:
        message = f"{name}: no such folder, and the hub needs the package huggingface_hub"
        hint = "pip install 'archspec-nn[train]'"
        raise UsageError(Problem("E801", message, hint=hint)) from None
    hub: Any = huggingface_hub
    try:
        return Path(hub.snapshot_download(repository, allow_patterns=[*_FETCHED, *_TOKENIZER]))
    except Exception as error:  # of several libraries
        message = f"{name}: no such folder, and not from the hub: {first_line(error)}"
        raise SpecError(Problem("E106", message)) from None
