"""The folder of a sentence-transformer: its pooling and normalisation are what the spec does.

A spec computes its embedding itself, and says in ``task.text`` how: what the folder says is held
against that, so that weights are never used with another pooling than they were trained with.
"""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import Any, cast

from archspec.errors import DataError, Problem, listing
from archspec.lang.schema import Task, TextInput

_MODES = {
    "pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max", "pooling_mode_mean_sqrt_len_tokens": "mean-sqrt-len",
    "pooling_mode_weightedmean_tokens": "weighted-mean", "pooling_mode_lasttoken": "last-token",
}  # fmt: skip
_NAMES = {"mean_sqrt_len_tokens": "mean-sqrt-len", "weightedmean": "weighted-mean",
          "lasttoken": "last-token"}  # fmt: skip
_ORDER = ["Transformer", "Pooling", "Normalize"]
_MAX_BYTES = 1_000_000


def sentence_length(folder: Path, task: Task, name: str) -> int | None:
    """The number of tokens at which a sentence-transformer cuts texts; None if it does not say.

    Args:
        folder: of the weights.
        task: of the spec.
        name: of the spec.

    Raises:
        DataError: E905, the folder is of a sentence-transformer that does something else.
    """
    modules = folder / "modules.json"
    if task.kind != "text-embedding" or not modules.is_file():
        return None
    settings = task.text or TextInput.model_validate({})
    several = _modules(modules)
    kinds = [_kind(modules, module) for module in several]
    if "Pooling" not in kinds:
        raise _refused(modules, "a model without Pooling")
    if kinds not in (_ORDER, _ORDER[:2]):
        raise _refused(modules, f"the order {', '.join(kinds[:10])}")
    pooling = _pooling(folder / _inside(modules, several[1]) / "config.json")
    _compare(modules, name, settings, pooling, "Normalize" in kinds)
    _refuse_settings(folder / "config_sentence_transformers.json")
    return _length(folder / "sentence_bert_config.json")


def _kind(path: Path, module: dict[str, Any]) -> str:
    package, _, kind = str(module.get("type", "")).rpartition(".")
    if kind not in _ORDER or package.partition(".")[0] != "sentence_transformers":
        raise _refused(path, f"the module {f'{package}.{kind}'[:80]}")
    return kind


def _compare(modules: Path, name: str, settings: TextInput, pooling: str, normalize: bool) -> None:
    wanted = f"pooling: {pooling}, normalize: {str(normalize).lower()}"
    if settings.pooling is None or settings.normalize is None:
        hint = f"if that is what the spec does, write task: {{text: {{{wanted}}}}}"
        message = f"{modules}: {wanted}, and {name} does not say what it does"
        raise DataError(Problem("E905", message, hint=hint))
    if (settings.pooling, settings.normalize) != (pooling, normalize):
        done = f"pooling: {settings.pooling}, normalize: {str(settings.normalize).lower()}"
        hint = "take a spec that does the same"
        raise DataError(Problem("E905", f"{modules}: {wanted}; {name} has {done}", hint=hint))


def _modules(path: Path) -> list[dict[str, Any]]:
    value = _json(path)
    if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
        raise DataError(Problem("E905", f"{path}: not a list of modules"))
    return cast("list[dict[str, Any]]", value)


def _inside(path: Path, module: dict[str, Any]) -> PurePosixPath:
    place = PurePosixPath(str(module.get("path", "")))
    if place.is_absolute() or ".." in place.parts:
        raise DataError(Problem("E905", f"{path}: a module outside its folder"))
    return place


def _pooling(path: Path) -> str:
    said = _object(path)
    flags = [key for key, value in said.items() if key.startswith("pooling_mode_") and value]
    found = [_MODES.get(key, key) for key in flags]
    if isinstance(mode := said.get("pooling_mode"), str):
        found = [*dict.fromkeys([_NAMES.get(mode, mode), *found])]
    if len(found) != 1:
        raise _refused(path, f"pooling by {listing(sorted(found)) or 'nothing'}")
    if said.get("include_prompt") is False:
        raise _refused(path, "include_prompt: false")
    return found[0]


def _refuse_settings(path: Path) -> None:
    said = _object(path) if path.is_file() else {}
    for name in ("default_prompt_name", "truncate_dim"):
        if said.get(name) is not None:
            raise _refused(path, name)


def _length(path: Path) -> int | None:
    if not path.is_file():
        return None
    said = _object(path)
    if said.get("do_lower_case"):
        raise _refused(path, "do_lower_case: true")
    length = said.get("max_seq_length")
    if length is None:
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise _refused(path, f"max_seq_length: {str(length)[:40]}")
    return length


def _object(path: Path) -> dict[str, Any]:
    value = _json(path)
    if not isinstance(value, dict):
        raise DataError(Problem("E905", f"{path}: not a JSON object"))
    return cast("dict[str, Any]", value)


def _json(path: Path) -> object:
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise DataError(Problem("E905", f"{path}: more than {_MAX_BYTES:,} bytes"))
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(Problem("E905", f"{path}: {error.strerror or error}")) from None
    except (ValueError, RecursionError) as error:
        raise DataError(Problem("E905", f"{path}: not JSON: {str(error)[:200]}")) from None


def _refused(path: Path, what: str) -> DataError:
    return DataError(Problem("E905", f"{path}: {what} is not supported"))
