"""PyTorch's own files: mapped and read by ``weights_only=True``, which runs nothing in them."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import torch

from archspec.errors import Problem, WeightsError, listing
from archspec.weights import pickles
from archspec.weights.report import Other

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts and Lightning keep the weights, the first one counts."""

MAX_PICKLE_BYTES = 100_000_000  # names, shapes and settings, without the tensors' values
_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # a number, pickled
_LEGACY_PICKLES = 5
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


@dataclass(frozen=True, slots=True)
class PyTorchFile:
    """The weights of a file, what else is in it, and the key that holds the weights, if any."""

    tensors: Mapping[str, torch.Tensor]
    others: tuple[Other, ...]
    wrapper: str


def open_pytorch(file: Path) -> PyTorchFile:
    """Map a file that ``torch.save`` wrote; one of before PyTorch 1.6 is read into memory.

    Raises:
        WeightsError: E601 if it is damaged, of another kind, or holds more than data.
    """
    legacy = _check(file)
    try:
        content = torch.load(file, map_location="cpu", weights_only=True, mmap=not legacy)
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


def _check(file: Path) -> bool:
    """Refuse what holds no tensors, or would take more than the file's size; whether it is old."""
    hint = "save the state_dict once more with today's torch.save, or as safetensors"
    try:
        size = file.stat().st_size
        with open(file, "rb") as opened:
            start = opened.read(len(_LEGACY))
            opened.seek(0)
            if not size:
                raise _refusal(file, "the file is empty")
            if start == _LEGACY:  # one pickle behind the other, then the values
                for _ in range(_LEGACY_PICKLES):
                    _check_pickle(file, opened, size)
                return True
        if not start.startswith(_ZIP):
            raise _refusal(file, "not a file of torch.save", hint)
        with zipfile.ZipFile(file) as archive:
            _check_entries(file, archive, size)
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, NotImplementedError) as error:
        raise _refusal(file, f"damaged ({error})") from None
    return False


def _check_pickle(file: Path, pickle: bytes | IO[bytes], size: int) -> None:
    try:
        pickles.check(pickle, MAX_PICKLE_BYTES, size)
    except pickles.Refused as error:
        raise _refusal(file, f"damaged, or holds more than data ({error})"[:300]) from None


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
        _check_pickle(file, archive.read(entry), size)


# --------------------------------------------------------------------------------------- contents


def _unwrapped(file: Path, content: Any) -> PyTorchFile:
    found = _split(file, content)
    if not found.tensors:
        hint = f"weights are a dict of tensors, or one under {', '.join(WRAPPERS)}"
        raise _refusal(file, f"no tensors with names: {_about(content)}", hint)
    for name, tensor in found.tensors.items():
        _check_plain(file, name, tensor)
    return found


def _split(file: Path, content: object) -> PyTorchFile:
    """Tensors beside those under a wrapper are held, too: they have a place, or are unexpected."""
    top = _sorted_out(_named(content), "")
    for key in WRAPPERS:
        inner = _sorted_out(_named(_named(content).get(key)), key)
        if inner.tensors:
            if twice := sorted(inner.tensors.keys() & top.tensors.keys()):
                raise _refusal(file, f"{listing(twice)} stand in '{key}' and beside it")
            outside = tuple(other for other in top.others if other.name != key)
            return PyTorchFile({**inner.tensors, **top.tensors}, (*inner.others, *outside), key)
    return top


def _named(value: object) -> dict[object, object]:
    return cast("dict[object, object]", value) if isinstance(value, dict) else {}


def _sorted_out(content: Mapping[object, object], wrapper: str) -> PyTorchFile:
    tensors: dict[str, torch.Tensor] = {}
    others: list[Other] = []
    for key, value in content.items():
        if isinstance(key, str) and isinstance(value, torch.Tensor):
            tensors[key] = value.detach()
        else:
            others.append(Other(_text(key), _about(value)))
    return PyTorchFile(tensors, tuple(others), wrapper)


def _check_plain(file: Path, name: str, tensor: torch.Tensor) -> None:
    dense = tensor.layout == torch.strided and not tensor.is_quantized and not tensor.is_meta
    if not dense or type(tensor) is not torch.Tensor:
        raise _refusal(file, f"'{name}' is no plain tensor: sparse, quantized or without values")


def _text(key: object) -> str:
    atom = isinstance(key, int | float | None)
    return key if isinstance(key, str) else repr(key)[:100] if atom else _about(key)


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
