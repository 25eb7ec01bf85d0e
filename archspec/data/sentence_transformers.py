"""Checks that a spec pools and normalises as the sentence-transformer whose weights it loads.

A spec computes its embedding itself and declares in ``task.text`` how. The folder's settings are
compared with that, so that weights are never used with a pooling they were not trained with.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, cast

from archspec.data.tokenizer_files import check_text
from archspec.errors import DataError, Problem, listing
from archspec.lang.catalog import catalog
from archspec.lang.schema import Task, TextInput
from archspec.lang.spec import load

_MODES = {
    "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max", "pooling_mode_mean_sqrt_len_tokens": "mean-sqrt-len",
    "pooling_mode_weightedmean_tokens": "weighted-mean", "pooling_mode_lasttoken": "last-token",
}  # fmt: skip
_NAMES = {"mean_sqrt_len_tokens": "mean-sqrt-len", "weightedmean": "weighted-mean",
          "lasttoken": "last-token"}  # fmt: skip
_ORDER = ["Transformer", "Pooling", "Normalize"]
_MAX_BYTES = 1_000_000
_MODULES = "modules.json"


def sentence_length(folder: Path, task: Task, name: str) -> int | None:
    """The number of tokens at which a sentence-transformer cuts texts; None if not given.

    Args:
        folder: of the weights.
        task: of the spec.
        name: of the spec.

    Raises:
        DataError: E905, the sentence-transformer works differently from the spec.
    """
    modules = _modules_file(folder)
    if task.kind != "text-embedding" or not modules.is_file():
        return None
    root = modules.parent
    settings = task.text or TextInput.model_validate({})
    entries = _read_modules(modules)
    kinds = [_module_kind(modules, module) for module in entries]
    if "Pooling" not in kinds:
        raise _unsupported(modules, "a model without Pooling")
    if kinds not in (_ORDER, _ORDER[:2]):
        raise _unsupported(modules, f"the order {', '.join(kinds[:10])}")
    pooling = _read_pooling(root / _module_path(modules, entries[1]) / "config.json")
    _check_pooling(modules, name, settings, pooling, "Normalize" in kinds)
    _refuse_settings(root / "config_sentence_transformers.json")
    return _read_max_length(folder / "sentence_bert_config.json")


def _modules_file(folder: Path) -> Path:
    """The list of modules beside the model, or above it: older ones keep it in a folder below."""
    above = folder.absolute().parent / _MODULES
    if not (folder / _MODULES).is_file() and above.is_file():
        entries = _read_modules(above)
        if entries and _module_path(above, entries[0]) == PurePosixPath(folder.absolute().name):
            return above
    return folder / _MODULES


def _module_kind(path: Path, module: dict[str, Any]) -> str:
    package, _, kind = str(module.get("type", "")).rpartition(".")
    if kind not in _ORDER or package.partition(".")[0] != "sentence_transformers":
        raise _unsupported(path, f"the module {f'{package}.{kind}'[:80]}")
    return kind


def _check_pooling(
    modules: Path, name: str, settings: TextInput, pooling: str, normalize: bool
) -> None:
    expected = f"pooling: {pooling}, normalize: {str(normalize).lower()}"
    if settings.pooling is None or settings.normalize is None:
        fitting = _packaged_with(pooling, normalize)
        way = f"{fitting} pools so: give it the folder's --config and --weights"
        hint = way if fitting else "no packaged spec pools so"
        hint += f"; a spec whose forward does it has task: {{text: {{{expected}}}}}"
        message = f"{modules}: {expected}, and {name} does not say what it does"
        raise DataError(Problem("E905", message, hint=hint))
    if (settings.pooling, settings.normalize) != (pooling, normalize):
        actual = f"pooling: {settings.pooling}, normalize: {str(settings.normalize).lower()}"
        hint = "take a spec that does the same"
        raise DataError(Problem("E905", f"{modules}: {expected}; {name} has {actual}", hint=hint))


def _packaged_with(pooling: str, normalize: bool) -> str:
    """The packaged specs whose embedding is made in a way; "" if there is none."""
    found: list[str] = []
    for entry in catalog():
        if entry.task == "text-embedding":
            task = load(entry.name).architecture.task
            text = task.text if task else None
            if text and (text.pooling, text.normalize) == (pooling, normalize):
                found.append(entry.name)
    return listing(found)


def _read_modules(path: Path) -> list[dict[str, Any]]:
    value = _read_json(path)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(Problem("E905", f"{path}: not a list of modules"))
    return cast("list[dict[str, Any]]", value)


def _module_path(path: Path, module: dict[str, Any]) -> PurePosixPath:
    place = PurePosixPath(str(module.get("path", "")))
    if place.is_absolute() or ".." in place.parts:
        raise DataError(Problem("E905", f"{path}: a module outside its folder"))
    return place


def _read_pooling(path: Path) -> str:
    config = _read_object(path)
    enabled = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    modes = [_MODES.get(key, key) for key in enabled]
    if isinstance(mode := config.get("pooling_mode"), str):
        modes = [*dict.fromkeys([_NAMES.get(mode, mode), *modes])]
    if len(modes) != 1:
        raise _unsupported(path, f"pooling by {listing(sorted(modes)) or 'nothing'}")
    if config.get("include_prompt") is False:
        raise _unsupported(path, "include_prompt: false")
    return modes[0]


_LOADING = frozenset(  # says how weights are loaded and computed with, not what is computed
    "add_pooling_layer attn_implementation dtype torch_dtype trust_remote_code".split()
)
_USUAL = {  # of sentence_bert_config.json, with the values that change nothing
    "transformer_task": "feature-extraction", "model_args": _LOADING, "model_kwargs": _LOADING,
    "tokenizer_args": _LOADING, "processor_kwargs": _LOADING, "processing_kwargs": None,
    "config_args": _LOADING, "config_kwargs": _LOADING,
}  # fmt: skip


def _refuse_settings(path: Path) -> None:
    config = _read_object(path) if path.is_file() else {}
    for name in ("default_prompt_name", "truncate_dim"):
        if config.get(name) is not None:
            raise _unsupported(path, name)


def _read_max_length(path: Path) -> int | None:
    if not path.is_file():
        return None
    config = _read_object(path)
    if config.get("do_lower_case"):
        raise _unsupported(path, "do_lower_case: true")
    for key, usual in _USUAL.items():
        value = config.get(key)
        if isinstance(usual, frozenset) and isinstance(value, dict):
            value = {k: v for k, v in cast("dict[str, Any]", value).items() if k not in usual}
        if value and value != usual:
            raise _unsupported(path, f"{key}: {json.dumps(value)[:60]}")
    length = config.get("max_seq_length")
    if length is None:
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise _unsupported(path, f"max_seq_length: {str(length)[:40]}")
    return length


def _read_object(path: Path) -> dict[str, Any]:
    value = _read_json(path)
    if not isinstance(value, dict):
        raise DataError(Problem("E905", f"{path}: not a JSON object"))
    return cast("dict[str, Any]", value)


def _read_json(path: Path) -> object:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(Problem("E905", f"{path}: more than {_MAX_BYTES:,} bytes"))
        data = path.read_bytes()
        check_text(path, data)
        return json.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise DataError(Problem("E905", f"{path}: {error.strerror or error}")) from None
    except (ValueError, RecursionError) as error:
        raise DataError(Problem("E905", f"{path}: not JSON: {str(error)[:200]}")) from None


def _unsupported(path: Path, what: str) -> DataError:
    return DataError(Problem("E905", f"{path}: {what} is not supported"))
