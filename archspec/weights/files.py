"""Files of weights: found, their headers read, their tensors mapped. Nothing in them is run."""

from __future__ import annotations

import json
import os
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError, safe_open

from archspec import run_hashes
from archspec.errors import Problem, UsageError, WeightsError, listing
from archspec.file_kinds import AGAIN, START
from archspec.report.text import first_line
from archspec.weights import pytorch_files
from archspec.weights.file_kinds import kind_by_name, kind_of
from archspec.weights.layout_plans import Piece
from archspec.weights.layout_values import ours_of
from archspec.weights.rows import Other, TensorInfo

MAX_INDEX_BYTES = 100_000_000
MAX_TENSORS = 250_000
MAX_HEADER_BYTES = 100_000_000  # safetensors' own limit
_MAX_COMMAS = 12 * MAX_TENSORS  # between tensors, their facts and their sizes
_MAX_QUOTES = 12 * MAX_TENSORS  # five names and words of a tensor, and what is said of the file
_LONG_LIST = re.compile(rb"\[[\d,\s]{2000}")  # PyTorch has at most 64 dimensions
MAX_NAME = 500  # characters of a tensor's name
MAX_DEPTH = 60  # dots in it

_ADAPTER = "adapter_model.safetensors"
_SHARD = re.compile(r".*-\d{5}-of-\d{5}\.\w+")
_BESIDE = re.compile(
    "optimizer|scheduler|scaler|training_args|rng_state|random_states|zero_pp_rank"
)
INDEX = ".index.json"
IN_FOLDER = tuple(
    name + end for name in ("model.safetensors", "pytorch_model.bin") for end in ("", INDEX)
)
IN_RUN = ("checkpoints/best.safetensors", "checkpoints/last.safetensors")

DTYPES = {
    "BOOL": "bool", "U8": "uint8", "I8": "int8", "U16": "uint16", "I16": "int16", "U32": "uint32",
    "I32": "int32", "U64": "uint64", "I64": "int64", "F16": "float16", "BF16": "bfloat16",
    "F32": "float32", "F64": "float64", "C64": "complex64", "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2", "F8_E8M0": "float8_e8m0fnu",
}  # fmt: skip

_ERRORS = (SafetensorError, OSError, RuntimeError, KeyError, AttributeError)
"""Damage, a dtype that PyTorch has not, a file that is larger than memory."""


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """One checkpoint, in one file or several.

    Attributes:
        paths: its files.
        tensors: name → what is there.
        where: name → its file.
        mapped: the tensors of PyTorch files, views of the mapped files.
        others: what else PyTorch files hold.
        wrapper: the key under which a PyTorch file has its weights, else "".
        versions: of modules, as far as a PyTorch file says them.
        pieces: what can be read besides: tensors that the files have joined, apart or transposed.
    """

    paths: tuple[Path, ...]
    tensors: Mapping[str, TensorInfo]
    where: Mapping[str, Path]
    mapped: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    others: tuple[Other, ...] = ()
    wrapper: str = ""
    versions: Mapping[str, int] = field(default_factory=dict[str, int])
    pieces: Mapping[str, Piece] = field(default_factory=dict[str, Piece])

    @classmethod
    def open(cls, path: str | os.PathLike[str], key: str | None = None) -> WeightFiles:
        """Find a checkpoint's files and read what tensors they hold, not the tensors.

        Args:
            key: under which the weights stand, or what the names of their tensors begin with.

        Raises:
            WeightsError: E601 if they cannot be read, or are not what they should be.
            RunError: E920 for a file that is not as the run wrote it.
            UsageError: E801 for anything but a path and a key.
        """
        if key is not None and (not isinstance(key, str) or not key):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UsageError(Problem("E801", f"a key is a text, not {key!r}"))
        if not isinstance(path, str | os.PathLike):
            kind = type(path).__name__
            raise UsageError(Problem("E801", f"weights are a file or a folder, not {kind}"))
        where = _found(Path(path))
        run_hashes.check_weights(where)
        if where.name.endswith(INDEX):
            listed = _indexed(where)
            found = cls._joined([_read(file) for file in dict.fromkeys(listed.values())])
            _agree(where, listed, found)
            return found if key is None else found.below(key)
        if where.suffix == ".safetensors" and key is not None:
            return _read(where).below(key)
        return _read(where, key)

    @classmethod
    def _joined(cls, parts: list[WeightFiles]) -> WeightFiles:
        where: dict[str, Path] = {}
        tensors: dict[str, TensorInfo] = {}
        mapped: dict[str, torch.Tensor] = {}
        for part in parts:
            if twice := sorted(part.tensors.keys() & tensors.keys()):
                other = where[twice[0]].name
                message = f"{part.paths[0]}: {listing(twice)} stand in {other}, too"
                raise WeightsError(Problem("E601", message))
            where |= part.where
            tensors |= part.tensors
            mapped |= part.mapped
        paths = tuple(path for part in parts for path in part.paths)
        others = tuple(other for part in parts for other in part.others)
        versions = {path: version for part in parts for path, version in part.versions.items()}
        wrapper = "".join({part.wrapper for part in parts})
        return cls(paths, tensors, where, mapped, others, wrapper, versions)

    def below(self, key: str) -> WeightFiles:
        """The tensors whose names begin with a key; all others are listed, and left unread."""
        chosen = {name: t for name, t in self.tensors.items() if name.startswith(f"{key}.")}
        left_out = pytorch_files.count_prefixes(name for name in self.tensors if name not in chosen)
        if not chosen:
            raise pytorch_files.no_key(self.paths[0], key, [head.name for head in left_out])
        return replace(self, tensors=chosen, others=(*self.others, *left_out))

    def read(self, names: Collection[str], device: torch.device | str) -> dict[str, torch.Tensor]:
        """The tensors of those names; on a CPU they are views of the mapped files.

        Raises:
            WeightsError: E601 if PyTorch has no such tensors.
        """
        if pieces := {name: self.pieces[name] for name in names if name in self.pieces}:
            plain = [name for name in names if name not in pieces]
            parts = [name for piece in pieces.values() for name in piece.foreign]
            raw = replace(self, pieces={}).read([*plain, *parts], device)
            assembled = {name: ours_of(piece, raw) for name, piece in pieces.items()}
            return {name: raw[name] for name in plain} | assembled
        tensors: dict[str, torch.Tensor] = {}
        in_file: defaultdict[Path, list[str]] = defaultdict(list)
        for name in dict.fromkeys(names):
            if name in self.mapped:
                tensors[name] = self.mapped[name].to(device)
            else:
                in_file[self.where[name]].append(name)
        for file, file_names in in_file.items():
            try:
                with safe_open(file, framework="pt", device=str(device)) as opened:
                    tensors |= {name: opened.get_tensor(name) for name in file_names}
            except _ERRORS as error:
                raise _unreadable(file, error) from None
        return tensors

    def same(self, first: str, second: str) -> bool:
        """Whether two tensors hold equal values, as bytes: NaN is equal to itself."""
        if self.tensors[first].dtype != self.tensors[second].dtype:
            return False
        pair = self.read([first, second], "cpu")
        return _equal(pair[first], pair[second])


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Compared as bytes. What a file repeats is looked at once, and what overlaps is not equal."""
    if a.shape != b.shape:
        return False
    for dim, steps in enumerate(zip(a.stride(), b.stride(), strict=True)):
        if steps == (0, 0) and a.shape[dim]:
            a, b = a.narrow(dim, 0, 1), b.narrow(dim, 0, 1)
    if (a.data_ptr(), a.stride()) == (b.data_ptr(), b.stride()):
        return True
    storage_bytes = max(a.untyped_storage().nbytes(), b.untyped_storage().nbytes())
    if a.numel() * a.element_size() > storage_bytes:
        return False
    return torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (a, b)))


def _unreadable(file: Path, error: object, hint: str = "") -> WeightsError:
    return WeightsError(Problem("E601", f"{file}: {error}", hint=hint))


def _found(path: Path) -> Path:
    """The file, or the folder's file or index; of a run's folder the best weights."""
    try:
        if path.is_dir():
            there = [path / name for name in (*IN_FOLDER, *IN_RUN) if (path / name).is_file()]
            if there:
                if there[0] == path / IN_RUN[1]:
                    run_hashes.check_weights(path / IN_RUN[0])  # is not there yet, or is gone
                return there[0]
            path = path / IN_FOLDER[0]
        if path.is_file():
            return path
    except OSError as error:
        raise _unreadable(path, error.strerror) from None
    reason = "neither a file nor a folder" if os.path.exists(path) else "no such file"
    raise WeightsError(Problem("E601", f"{path}: {reason}", hint=_instead_of(path)))


def _instead_of(path: Path) -> str:
    """What to give where a folder lacks the files that are looked for."""
    try:
        names = sorted(file.name for file in path.parent.iterdir())
    except (OSError, ValueError):
        names = []
    if path.name != IN_FOLDER[0]:  # it is no folder
        names = []
    if shards := [name for name in names if _SHARD.fullmatch(name)]:
        index = IN_FOLDER[1] if shards[0].endswith(".safetensors") else IN_FOLDER[3]
        return f"{listing(shards)}: their index, {index}, is missing"
    if _ADAPTER in names:
        return f"{_ADAPTER} is an adapter: give the model that it belongs to"
    suffixes = (".safetensors", *pytorch_files.SUFFIXES)
    if some := [n for n in names if n.endswith(suffixes) and _BESIDE.match(n) is None]:
        return f"give one of the files that are there: {listing(some)}"
    if others := [name for name in names if kind_by_name(name)]:
        return f"no weights are read from what is there: {listing(others)}"
    return f"give a file, or a folder with {IN_FOLDER[0]} or {IN_FOLDER[2]}"


def _read(file: Path, key: str | None = None) -> WeightFiles:
    _check_kind(file)
    if file.suffix == ".safetensors":
        found = WeightFiles((file,), _headers(file), {})
    elif file.suffix in pytorch_files.SUFFIXES:
        held = pytorch_files.open_pytorch(file, key)
        tensors = {name: _info(name, tensor) for name, tensor in held.tensors.items()}
        found = WeightFiles(
            (file,), tensors, {}, held.tensors, held.others, held.wrapper, held.versions
        )
    else:
        hint = f"files of weights end in .safetensors, {listing(pytorch_files.SUFFIXES)}"
        message = f"{file}: neither a safetensors file nor one of PyTorch's"
        raise WeightsError(Problem("E601", message, hint=hint))
    if len(found.tensors) > MAX_TENSORS:
        raise _unreadable(file, f"more than {MAX_TENSORS:,} tensors")
    for name in found.tensors:
        if is_name_too_long(name):
            raise _unreadable(file, f"'{name[:40]}…' is too long or too deep for a tensor's name")
    return replace(found, where=dict.fromkeys(found.tensors, file))


def _check_kind(file: Path) -> None:
    """A file that was downloaded may be anything but what its name says."""
    try:
        with open(file, "rb") as opened:
            is_known = file.suffix in (".safetensors", *pytorch_files.SUFFIXES)
            kind = kind_of(opened.read(START), file.suffix if is_known else "")
            kind = kind or (None if is_known else kind_by_name(file.name))
    except OSError as error:
        raise _unreadable(file, error.strerror) from None
    if kind is not None:
        raise WeightsError(Problem("E601", f"{file}: {kind.name}", hint=kind.hint))


def is_shard(file: Path) -> bool:
    """Whether a file is one of several, by its name.

    >>> is_shard(Path("model-00001-of-00002.safetensors"))
    True
    """
    return _SHARD.fullmatch(file.name) is not None


def is_name_too_long(name: str) -> bool:
    """Whether a tensor's name is too long or too deep, to be read or to be written."""
    return len(name) > MAX_NAME or name.count(".") > MAX_DEPTH


def _info(name: str, tensor: torch.Tensor) -> TensorInfo:
    return TensorInfo(name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))


def _headers(file: Path) -> dict[str, TensorInfo]:
    """Every tensor's shape and dtype, without reading any data."""
    _check_header(file)
    headers: dict[str, TensorInfo] = {}
    try:
        with safe_open(file, framework="np") as opened:  # "pt" would map it as private memory
            for name in opened.keys():  # noqa: SIM118 (not a mapping)
                tensor: Any = opened.get_slice(name)
                dtype = str(tensor.get_dtype())
                headers[name] = TensorInfo(
                    name, tuple(tensor.get_shape()), DTYPES.get(dtype, dtype.lower())
                )
    except _ERRORS as error:
        hint = "the file was changed or cut: get it once more"
        raise _unreadable(file, first_line(error), hint) from None
    return headers


def _check_header(file: Path) -> None:
    """A header is unpacked as a whole: what is in it is counted before, as its bytes."""
    with open(file, "rb") as opened:
        size = int.from_bytes(opened.read(8), "little")
        if size > MAX_HEADER_BYTES:
            raise _unreadable(file, f"a header of {size:,} bytes: damaged, or not safetensors")
        header = opened.read(size)
    _check_counts(file, header)


def _check_counts(file: Path, text: bytes) -> None:
    """Whether a text of JSON says more than the most tensors that there may be."""
    if text.count(b"{") > MAX_TENSORS + 100 or text.count(b",") > _MAX_COMMAS:
        raise _unreadable(file, f"more than {MAX_TENSORS:,} tensors")
    if text.count(b'"') > _MAX_QUOTES:
        raise _unreadable(file, "more in its header than names of tensors")
    if text.count(b"[") > 4 * MAX_TENSORS or _LONG_LIST.search(text):
        raise _unreadable(file, "lists beyond reason in its header")


# ------------------------------------------------------------------------------------------- index


def _indexed(index: Path) -> dict[str, Path]:
    """Name → its file, of a sharded checkpoint; none may lie outside its folder."""
    _check_kind(index)
    try:
        if index.stat().st_size > MAX_INDEX_BYTES:
            raise ValueError("too large for an index")
        text = index.read_bytes()
        if text.count(b",") > MAX_TENSORS:
            raise ValueError(f"more than {MAX_TENSORS:,} tensors")
        listed = json.loads(text.decode("utf-8"))["weight_map"]
        files = cast("dict[str, object]", listed)
        names = sorted(set(files.values()), key=str)
    except (KeyError, TypeError, AttributeError):
        hint = "an index has a weight_map: the name of each tensor, and its file"
        raise _unreadable(index, "not an index: no weight_map", hint) from None
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(index, f"not an index ({error})", AGAIN) from None
    kind = Path(index.name.removesuffix(INDEX)).suffix
    shards = {str(name): _shard(index, name, kind) for name in names}
    return {name: shards[str(file)] for name, file in files.items()}


def _shard(index: Path, name: object, kind: str) -> Path:
    """One file of an index. Links may lead to its folder, and to where the index itself lies."""
    if isinstance(name, str) and Path(name).name == name and name.endswith(kind):
        try:
            lies = (index.parent / name).resolve().parent
            inside = lies in (index.parent.resolve(), index.resolve().parent)
            if inside and (index.parent / name).is_file():
                return index.parent / name
        except (OSError, ValueError, RuntimeError):  # RuntimeError: links that go round in a circle
            pass
    is_plain = isinstance(name, str) and Path(name).name == name
    hint = "get the files that it names, too: they lie beside it" if is_plain else ""
    raise _unreadable(index, f"{name!r} is not a file of its folder", hint)


def _agree(index: Path, listed: Mapping[str, Path], found: WeightFiles) -> None:
    """The index and its files must say the same."""
    wrong = [n for n, file in listed.items() if found.where.get(n) != file]
    wrong += [name for name in found.tensors if name not in listed]
    if wrong:
        message = f"{index}: does not say what its files hold: {listing(wrong)}"
        raise WeightsError(Problem("E601", message))
