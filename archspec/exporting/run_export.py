"""The model of a run as a folder that others open: plain Python, or ``transformers``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from archspec.building.built_specs import spec_of
from archspec.codegen import generate
from archspec.data import TextEncoder, encoder_for
from archspec.errors import ArchspecError, Problem, UsageError
from archspec.exporting.merging import merge
from archspec.exporting.model_card import card
from archspec.lang.spec import Spec, load
from archspec.lang.written_config import config_of
from archspec.training.run import Run, tokenizer_of
from archspec.training.run_folder import SPEC
from archspec.weights import save_weights

LAYOUT = "transformers"
_WEIGHTS, _SOURCE, _CONFIG, _README = "model.safetensors", "model.py", "config.json", "README.md"


def export(
    run: str | os.PathLike[str] | Run,
    folder: str | os.PathLike[str],
    *,
    to: Literal["folder", "transformers"] = "folder",
    weights: Literal["best", "last"] = "best",
) -> tuple[Path, ...]:
    """Write the model of a run into a new folder that is used without archspec.

    An adapter is merged into the weights. Each folder has a ``README.md``, the model's card: its
    data, plan, figures and diagram, and the lines that load it. Texts also have ``tokenizer.json``.

    Args:
        run: a run, or its folder.
        folder: a new folder, or an empty one; it is written as a whole or not at all.
        to: ``folder`` for ``model.py``, which only needs PyTorch, and ``model.safetensors``;
            ``transformers`` for what its ``from_pretrained`` and ``pipeline`` open.
        weights: of the best epoch, or as they were last saved.

    Returns:
        The files.

    Raises:
        UsageError: E801, the folder is not empty or cannot be written, or ``transformers`` has no
            such model: the spec says no ``config`` or no layout ``transformers``.
        RunError: E920, a file of the run was damaged, changed or is gone.

    Example:
        >>> export("runs/none", "out")
        Traceback (most recent call last):
        archspec.errors.RunError: error[E920]: runs/none: no run
          a run's folder has a run.json: 'archspec runs' lists them
    """
    run = run if isinstance(run, Run) else Run.of(run)
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(Problem("E801", f"{target} is not empty", hint="give a new folder"))
    model = run.model(weights=weights, device="cpu")
    spec = spec_of(model)
    assert spec is not None
    encoder = _text_encoder(run, spec)
    config = _config(run, spec.plain) if to == "transformers" else None
    if config is not None and encoder is not None:
        # Left out, they would be those of the type's first model, which this vocabulary may lack.
        config |= {"bos_token_id": encoder.begin_id, "eos_token_id": encoder.end_id}
    model = merge(model) if spec.adapter is not None else model
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as name:
            made = Path(name) / "made"
            made.mkdir()
            if config is None:
                (made / _SOURCE).write_text(generate(spec.plain).text, encoding="utf-8")
                save_weights(model, made / _WEIGHTS)
            else:
                _write_json(made / _CONFIG, config)
                save_weights(model, made / _WEIGHTS, layout=LAYOUT)
            if encoder is not None:
                _write_tokenizer(made, encoder, for_transformers=config is not None)
            (made / _README).write_text(card(run, spec.plain, to, encoder), encoding="utf-8")
            if target.exists():
                target.rmdir()
            shutil.move(made, target)
    except OSError as error:
        message = f"{target} cannot be written: {error.strerror or error}"
        raise UsageError(Problem("E801", message)) from error
    return tuple(sorted(target.iterdir()))


def _config(run: Run, spec: Spec) -> dict[str, Any]:
    """What ``config.json`` says; read again, it gives the values of the run."""
    kind = spec.architecture.model
    said = spec.architecture.config
    if LAYOUT not in spec.architecture.checkpoints:
        raise _unknown(f"{spec.name} has no layout '{LAYOUT}' among its checkpoints")
    if spec.architecture.task is not None and spec.architecture.task.multi_label:
        raise _unknown("a model of several labels is not written for transformers yet")
    config = config_of(spec, run.labels)
    assert said is not None and said.model_type
    if not _letters(kind).startswith(_letters(said.model_type[0])):
        raise _unknown(f"{kind} is no class of transformers' '{said.model_type[0]}'")
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / _CONFIG
        _write_json(file, config)
        try:
            again = load(run.path / SPEC, config=file)
        except ArchspecError as error:
            raise _unknown(f"its config.json would not be read: {error.message}") from error
    if other := [n for n, value in spec.values.items() if again.values[n] != value]:
        raise _unknown(f"a config.json cannot say what '{other[0]}' is here")
    return {**config, "dtype": "float32"}


def _unknown(message: str) -> UsageError:
    return UsageError(Problem("E801", message, hint="--to folder writes any model"))


def _letters(name: str) -> str:
    """``xlm-roberta`` as ``XLMRobertaModel`` begins."""
    return "".join(filter(str.isalnum, name.casefold()))


def _text_encoder(run: Run, spec: Spec) -> TextEncoder | None:
    if tokenizer_of(run, spec) is None:
        return None
    encoder = encoder_for(spec)
    return encoder if isinstance(encoder, TextEncoder) else None


def _write_tokenizer(folder: Path, encoder: TextEncoder, *, for_transformers: bool) -> None:
    (folder / "tokenizer.json").write_text(encoder.json, encoding="utf-8")
    if for_transformers:
        settings = {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": encoder.max_length,
            "model_input_names": list(encoder.pair_inputs),
            **encoder.special_tokens,
        }
        _write_json(folder / "tokenizer_config.json", settings)


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
