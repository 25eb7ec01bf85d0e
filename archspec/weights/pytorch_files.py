"""PyTorch's own files: mapped and read by ``weights_only=True``, which runs nothing in them."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, cast

import torch

from archspec.errors import Problem, WeightsError, did_you_mean, listing
from archspec.report.text import first_line
from archspec.weights import pickles
from archspec.weights.rows import Other
from archspec.weights.skipped_objects import SkippedObject, skipping

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")

WRAPPERS = ("state_dict", "model_state_dict", "model")
"""Keys under which training scripts and Lightning keep the weights, the first one counts."""

MAX_PICKLE_BYTES = 100_000_000  # names, shapes and settings, without the tensors' values
MAX_ENTRIES = 20_000  # of an archive, each a storage
_AGAIN = "the file was changed or cut: get it once more"
_ANEW = "save the state_dict once more with today's torch.save, or as safetensors"
_MAX_DIRECTORY_BYTES = 100 * MAX_ENTRIES
_OPERATIONS = 200_000  # of all pickles of a file, beside those of tensors
_MAX_KEYS = 1_000  # looked at for tensors below them
_ZIP = b"PK\x03\x04"
_LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # a number, pickled
_LEGACY_PICKLES = 5
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")
_FILLED = re.compile(r"Can only \w+ .* but got <class '[\w.]*?(\w+)'>")


@dataclass(frozen=True, slots=True)
class PyTorchFile:
    """The weights of a file, what else is in it, and the key that holds the weights, if any.

    ``versions`` are those of the modules, as far as the file says them.
    """

    tensors: Mapping[str, torch.Tensor]
    others: tuple[Other, ...]
    wrapper: str
    versions: Mapping[str, int] = field(default_factory=dict[str, int])


def open_pytorch(file: Path, key: str | None = None) -> PyTorchFile:
    """Map a file that ``torch.save`` wrote; one of before PyTorch 1.6 is read into memory.

    Args:
        key: under which the weights stand, keys in keys joined by dots; left out, one of
            ``WRAPPERS``, or none. A key of no mapping is what names of tensors begin with.

    Raises:
        WeightsError: E601 if it is damaged, of another kind, holds more than data, or has no such
            key.
    """
    legacy = _check(file)
    try:
        with skipping():
            content = torch.load(file, map_location="cpu", weights_only=True, mmap=not legacy)
    except Exception as error:
        raise _refusal(file, *_reason(error)) from None
    return _unwrapped(file, content, key)


def _refusal(file: Path, reason: str, hint: str = "") -> WeightsError:
    return WeightsError(Problem("E601", f"{file}: {reason}", hint=hint))


def _reason(error: Exception) -> tuple[str, str]:
    text = str(error)
    if match := _GLOBAL.search(text):
        hint = "where you trust who made it, open it there and save the tensors alone: "
        reason = f"holds more than data: {match[1]}; it is not opened, as it could run code"
        return reason, f"{hint}torch.save(model.state_dict(), …), or as safetensors"
    text = text.partition("WeightsUnpickler error: ")[2] or text
    if match := _FILLED.search(text):
        return f"holds more than data: a {match[1]} that is filled is not read", _ANEW
    return f"damaged, or holds more than data ({first_line(text, 200)})", _ANEW


def _check(file: Path) -> bool:
    """Refuse what holds no tensors, or would take more than the file's size; whether it is old."""
    try:
        size = file.stat().st_size
        with open(file, "rb") as opened:
            start = opened.read(len(_LEGACY))
            opened.seek(0)
            if start == _LEGACY:  # one pickle behind the other, then the values
                left = _OPERATIONS
                for _ in range(_LEGACY_PICKLES):
                    left -= _check_pickle(file, opened, size, left)
                return True
        if not start.startswith(_ZIP):
            raise _refusal(file, "not a file of torch.save", _ANEW)
        if _directory_bytes(file) > _MAX_DIRECTORY_BYTES:
            raise _refusal(file, f"more than {MAX_ENTRIES:,} entries", _ANEW)
        with zipfile.ZipFile(file) as archive:
            _check_entries(file, archive, size)
    except (OSError, zipfile.BadZipFile, RuntimeError, ValueError, NotImplementedError) as error:
        raise _refusal(file, f"damaged, or cut short ({error})", _AGAIN) from None
    return False


def _directory_bytes(file: Path) -> int:
    """What the end of an archive says of its directory, before anything of it is unpacked."""
    with open(file, "rb") as opened:
        opened.seek(max(0, file.stat().st_size - 2**16 - 100))
        end = opened.read()
    position = end.rfind(b"PK\x05\x06")
    if position < 0 or len(end) < position + 16:
        return 0  # no archive: reported by whoever reads it
    size = int.from_bytes(end[position + 12 : position + 16], "little")
    large = end.rfind(b"PK\x06\x06", 0, position)
    if large >= 0 and len(end) >= large + 48:
        size = max(
            size if size < 2**32 - 1 else 0, int.from_bytes(end[large + 40 : large + 48], "little")
        )
    return size


def _check_pickle(file: Path, pickle: bytes | IO[bytes], size: int, max_operations: int) -> int:
    try:
        return pickles.check(pickle, MAX_PICKLE_BYTES, size, max_operations)
    except pickles.Refused as error:
        reason = f"damaged, or holds more than data ({error})"[:300]
        raise _refusal(file, reason, _ANEW) from None


def _check_entries(file: Path, archive: zipfile.ZipFile, size: int) -> None:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _refusal(file, f"more than {MAX_ENTRIES:,} entries", _ANEW)
    if any(entry.filename.lower().endswith("/constants.pkl") for entry in entries):
        hint = "save its state_dict with torch.save"
        raise _refusal(file, "a TorchScript archive: it holds code", hint)
    packed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries)
    if packed or sum(entry.file_size for entry in entries) > size:
        raise _refusal(file, "compressed, or claims more than its size: not from torch.save")
    if not any(entry.filename.lower().endswith("data.pkl") for entry in entries):
        arrays = any(entry.filename.endswith(".npy") for entry in entries)
        what = "arrays of NumPy" if arrays else "an archive without a data.pkl"
        hint = "save the weights as safetensors, under their names" if arrays else ""
        raise _refusal(file, f"{what}, not from torch.save", hint)
    left = _OPERATIONS
    for entry in entries:
        if not entry.filename.lower().endswith(".pkl"):  # PyTorch looks it up in any case
            continue
        if entry.file_size > MAX_PICKLE_BYTES:
            raise _refusal(file, "too much beside the tensors")
        left -= _check_pickle(file, archive.read(entry), size, left)


# --------------------------------------------------------------------------------------- contents


def _unwrapped(file: Path, content: Any, key: str | None) -> PyTorchFile:
    weights = _split(file, content) if key is None else _below(file, content, key)
    if not weights.tensors:
        kinds = _keys_with_tensors(content)
        if kinds:
            hint = f"say under which the weights stand: {_as_options(kinds)}, or --key"
            raise _refusal(file, f"no tensors at the top: {_counted(kinds)}", hint)
        hint = f"weights are a dict of tensors (not arrays), or one under {', '.join(WRAPPERS)}"
        raise _refusal(file, f"no tensors with names: {_about(content)}", hint)
    for name, tensor in weights.tensors.items():
        _check_plain(file, name, tensor)
    return weights


def _split(file: Path, content: object) -> PyTorchFile:
    """Tensors beside those under a wrapper are held, too: they have a place, or are unexpected."""
    top = _sorted_out(_named(content), "")
    for key in WRAPPERS:
        inner = _sorted_out(_named(_named(content).get(key)), key)
        if inner.tensors:
            if twice := sorted(inner.tensors.keys() & top.tensors.keys()):
                raise _refusal(file, f"{listing(twice)} stand in '{key}' and beside it")
            outside = tuple(other for other in top.others if other.name != key)
            both = {**inner.tensors, **top.tensors}
            return PyTorchFile(both, (*inner.others, *outside), key, inner.versions)
    return top


def _below(file: Path, content: object, key: str) -> PyTorchFile:
    """The tensors under a key that was given, and those only."""
    mappings = _mappings(content)
    if key in mappings:
        inner = _sorted_out(mappings[key], key)
        first = next(name for name in mappings if key == name or key.startswith(f"{name}."))
        beside = [(_text(name), value) for name, value in _named(content).items()]
        outside = [Other(name, _about(value)) for name, value in beside if name != first]
        return replace(inner, others=(*inner.others, *outside))
    weights = _split(file, content)
    chosen = {name: t for name, t in weights.tensors.items() if name.startswith(f"{key}.")}
    if chosen:
        others = (
            *weights.others,
            *count_prefixes(name for name in weights.tensors if name not in chosen),
        )
        return PyTorchFile(chosen, others, weights.wrapper, weights.versions)
    kinds = _keys_with_tensors(content) | {head.name: 0 for head in count_prefixes(weights.tensors)}
    raise no_key(file, key, list(kinds))


def no_key(file: Path, key: str, keys: list[str]) -> WeightsError:
    """An error for a key that there is not."""
    hint = did_you_mean(key, keys) or (f"there are: {listing(keys)}" if keys else "")
    return _refusal(file, f"no tensors stand under '{key}'", hint)


def count_prefixes(names: Iterable[str]) -> tuple[Other, ...]:
    """What names begin with, and how many there are of each.

    >>> count_prefixes(["teacher.a", "teacher.b", "center"])
    (Other(name='teacher', about='2 tensors'), Other(name='center', about='1 tensor'))
    """
    counts = Counter(name.partition(".")[0] for name in names)
    pairs = counts.most_common()
    return tuple(Other(head, f"{n:,} tensor{'s' * (n > 1)}") for head, n in pairs)


def _mappings(content: object) -> dict[str, dict[object, object]]:
    """The mappings in a file by their keys, ``ema.params`` for one in another."""
    mappings: dict[str, dict[object, object]] = {}
    pending, seen = [("", _named(content))], set[int]()
    for path, mapping in pending:
        if id(mapping) in seen:  # a mapping may hold itself
            continue
        seen.add(id(mapping))
        for key, value in mapping.items():
            if isinstance(key, str) and isinstance(value, dict) and len(pending) < _MAX_KEYS:
                below = f"{path}.{key}" if path else key
                mappings[below] = _named(cast("object", value))
                pending.append((below, mappings[below]))
    return mappings


def _keys_with_tensors(content: object) -> dict[str, int]:
    counts = {path: len(_sorted_out(m, path).tensors) for path, m in _mappings(content).items()}
    return {path: count for path, count in counts.items() if count}


def _counted(kinds: Mapping[str, int]) -> str:
    return listing([f"{count:,} under '{path}'" for path, count in kinds.items()])


def _as_options(kinds: Mapping[str, int]) -> str:
    return " or ".join(f"key={path!r}" for path in list(kinds)[:6])


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
    return PyTorchFile(tensors, tuple(others), wrapper, _versions(content))


def _versions(content: Mapping[object, object]) -> dict[str, int]:
    """The versions of modules that a ``state_dict`` carries."""
    metadata: object = getattr(content, "_metadata", None)
    versions: dict[str, int] = {}
    for path, module_metadata in _named(metadata).items():
        version = _named(module_metadata).get("version")
        if isinstance(path, str) and isinstance(version, int):
            versions[path] = version
    return versions


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
    if isinstance(value, SkippedObject):
        return f"{kind}, skipped"
    return f"{kind}, {tensors} tensors" if tensors and kind != "Tensor" else kind


def _count(value: object) -> int:
    """How many tensors are in nested dicts and lists; a shared or cyclic part counts once."""
    count, seen, stack = 0, set[int](), [value]
    while stack:
        item = stack.pop()
        if isinstance(item, torch.Tensor):
            count += 1
        elif isinstance(item, dict | list | tuple) and id(item) not in seen:
            seen.add(id(item))
            parts = cast("dict[object, object]", item).values() if isinstance(item, dict) else item
            stack.extend(cast("list[object]", parts))
    return count
