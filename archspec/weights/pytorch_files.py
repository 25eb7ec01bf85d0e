"""PyTorch's own files: mapped and read by ``weights_only=True``, which runs nothing in them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from archspec.errors import Problem, WeightsError
from archspec.weights.report import Other

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts and Lightning keep the weights, the first one counts."""

MAX_PICKLE_BYTES = 100_000_000  # names, shapes and settings, without the tensors' values
_ZIP = b"PK\x03\x04"
_REFUSED = b"bytearray"  # a few bytes of pickle would ask for any amount of memory
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True, slots=True)
class PyTorchFile:
    """The weights of a file, what else is in it, and the key that holds the weights, if any."""

    tensors: Mapping[str, torch.Tensor]
    others: tuple[Other, ...]
    wrapper: str


def open_pytorch(file: Path) -> PyTorchFile:
    """Map a file that ``torch.save`` wrote.

    Raises:
        WeightsError: E601 if it is damaged, in an old format, or holds more than data.
    """
    _check_archive(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:
        raise _refusal(file, _reason(error)) from None
    return _unwrapped(file, content)


def _refusal(file: Path, reason: str, hint: str = "") -> WeightsError:
    return WeightsError(Problem("E601", f"{file}: {reason}", hint=hint))


def _reason(error: Exception) -> str:
    text = str(error)
    if found := _GLOBAL.search(text):
        return f"holds more than data: {found[1]}; it is not opened, as it could run code"
    text = text.partition("WeightsUnpickler error: ")[2] or text
    return f"damaged, or holds more than data ({text.strip().partition(chr(10))[0][:200]})"


def _check_archive(file: Path) -> None:
    """Refuse what is no archive of tensors, or would unpack to more than the file's size."""
    hint = "save the state_dict once more with today's torch.save, or as safetensors"
    try:
        size = file.stat().st_size
        with open(file, "rb") as opened:
            start = opened.read(4)
        if not size:
            raise _refusal(file, "the file is empty")
        if start != _ZIP:
            raise _refusal(file, "not a file that torch.save has written since PyTorch 1.6", hint)
        with zipfile.ZipFile(file) as archive:
            _check_entries(file, archive, size)
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, NotImplementedError) as error:
        raise _refusal(file, f"damaged ({error})") from None


def _check_entries(file: Path, archive: zipfile.ZipFile, size: int) -> None:
    entries = archive.infolist()
    if any(entry.filename.lower().endswith("/constants.pkl") for entry in entries):
        hint = "save its state_dict with torch.save"
        raise _refusal(file, "a TorchScript archive: it holds code", hint)
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > size:
        raise _refusal(file, "compressed, or claims more than its size: not from torch.save")
    for entry in entries:
        if not entry.filename.lower().endswith(".pkl"):  # PyTorch looks it up in any case
            continue
        if entry.file_size > MAX_PICKLE_BYTES:
            raise _refusal(file, "too much beside the tensors")
        if _REFUSED in archive.read(entry):
            raise _refusal(file, "holds more than data: bytearray")


# --------------------------------------------------------------------------------------- contents


def _unwrapped(file: Path, content: Any) -> PyTorchFile:
    found = _split(content)
    if not found.tensors:
        hint = f"weights are a dict of tensors, or one under {', '.join(WRAPPERS)}"
        raise _refusal(file, f"no tensors with names: {_about(content)}", hint)
    for name, tensor in found.tensors.items():
        _check_plain(file, name, tensor)
    return found


def _split(content: object) -> PyTorchFile:
    top = _named(content)
    for key in WRAPPERS:
        inner = _named(top.get(key))
        if any(isinstance(value, torch.Tensor) for value in inner.values()):
            outside = tuple(Other(_text(k), _about(v)) for k, v in top.items() if k != key)
            return _sorted_out(inner, outside, key)
    return _sorted_out(top, (), "")


def _named(value: object) -> dict[object, object]:
    return cast("dict[object, object]", value) if isinstance(value, dict) else {}


def _sorted_out(
    content: Mapping[object, object], outside: tuple[Other, ...], wrapper: str
) -> PyTorchFile:
    tensors: dict[str, torch.Tensor] = {}
    others: list[Other] = []
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, torch.Tensor):
            tensors[key] = value.detach()
        else:
            others.append(Other(_text(key), _about(value)))
    return PyTorchFile(tensors, (*others, *outside), wrapper)


def _check_plain(file: Path, name: str, tensor: torch.Tensor) -> None:
    dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
    if not dense or type(tensor) is not torch.Tensor:
        raise _refusal(file, f"'{name}' is no plain tensor: sparse, quantized or without values")


def _text(key: object) -> str:
    return key if isinstance(key, str) else repr(key)[:100]


def _about(value: object) -> str:
    """``a dict, 3 tensors``, ``int``: enough to see what was left unread."""
    tensors = _count(value)
    kind = type(value).__name__
    return f"{kind}, {tensors} tensors" if tensors and kind != "Tensor" else kind


def _count(value: object) -> int:
    """How many tensors are in nested dicts and lists; a shared or cyclic part counts once."""
    found, seen, stack = 0, set[int](), [value]
    while stack:
        item = stack.pop()
        if isinstance(item, torch.Tensor):
            found += 1
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            parts = cast("dict[object, object]", item).values() if isinstance(item, dict) else item
            stack.extend(cast("list[object]", parts))
    return found
