"""Stores values of samples on disk: one memory-mapped file, read by row in any order.

    KEY/
      header.json   what is stored: key, values, a hash of the lengths
      rows.bin      8 bytes a row: 0, or 2**32 + the CRC-32 of its values
      values.bin    the values of row after row, each without padding
  in-use        empty: a process that has the cache open holds a shared lock on it

The length of every row is known in advance, and so is its position: any process may write any row
at any time. A row exists once its checksum is written, and is recomputed if that is wrong.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import stat
import uuid
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from archspec.errors import Problem, UsageError
from archspec.feature_cache.report import StoredValue
from archspec.feature_cache.tracing import usage
from archspec.file_lock import SharedLock, locked
from archspec.report.numbers import format_size

FORMAT = 1
IN_USE = "in-use"
INDEX_BYTES = 8  # of a row, beside its values
_MAX_HEADER_BYTES = 1_000_000
_ATTEMPTS = 3
_WRITTEN = 2**32
_PORTABLE_DTYPES: dict[int, tuple[torch.dtype, Any]] = {
    1: (torch.uint8, np.uint8),
    2: (torch.int16, np.int16),
    4: (torch.int32, np.int32),
    8: (torch.int64, np.int64),
}
"""Bytes of an element → a dtype that torch and NumPy both have, to copy elements unchanged."""

Compute = Callable[[list[int]], Mapping[str, Tensor]]


class ActivationCache:
    """The values at a frontier for all rows of a data set.

    Attributes:
        path: the folder, with the key as its name.
        values: what is stored for each row.
        total: bytes of all values, exact.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        key: str,
        values: Sequence[StoredValue],
        lengths: Sequence[int | None],
        *,
        max_bytes: int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Open the cache of a key, or create an empty one if none fits.

        Args:
            folder: of all caches; created if necessary.
            key: from ``activation_key``: letters and digits.
            values: ``frontier.values``.
            lengths: of every row, in positions; None for rows without a length.
            max_bytes: maximum size of the values on disk.
            dtype: of stored floating-point values. Default: their own.

        Raises:
            UsageError: E802, the values need more than ``max_bytes`` or the free space on the disk;
                E801, the key is invalid, there is no row, or a length is missing.
        """
        _check(key, values, lengths)
        self.path, self.values = Path(folder) / key, tuple(values)
        self._lengths, self._max_bytes, self._dtype = tuple(lengths), max_bytes, dtype
        sizes = [sum(self._bytes(value, n) for value in self.values) for n in self._lengths]
        self._starts = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
        self.total = int(self._starts[-1])
        if not self._exists():
            self._create()
        self._lock = SharedLock(self.path / IN_USE)
        # Parts of a memmap are memmaps, which are slow to make: plain arrays over the same memory.
        rows = np.memmap(self.path / "rows.bin", np.uint64, "r+", shape=(len(self),))
        self._rows = np.asarray(rows)
        data = np.memmap(self.path / "values.bin", np.uint8, "r") if self.total else _EMPTY
        self._data = np.asarray(data)
        self._checked = np.zeros(len(self), np.bool_)

    def __len__(self) -> int:
        return len(self._lengths)

    def __reduce__(self) -> Any:
        arguments = (self.path.parent, self.path.name, self.values, self._lengths)
        return _reopen, (arguments, self._max_bytes, self._dtype)

    def missing(self) -> list[int]:
        """The rows that have not been written yet."""
        return np.flatnonzero(self._rows < _WRITTEN).tolist()

    def absent(self, rows: Sequence[int]) -> list[int]:
        """Each of these rows that is missing or damaged, once.

        A row is checked when it is first read.
        """
        self._check_rows(rows)
        some = np.asarray(rows, np.int64)
        if self._checked[some].all() and (self._rows[some] >= _WRITTEN).all():
            return []
        return [row for row in dict.fromkeys(rows) if not self._is_good(row)]

    def write(self, rows: Sequence[int], values: Mapping[str, Tensor]) -> None:
        """Write the values of a batch; rows that exist already stay unchanged.

        Args:
            rows: one for each sample.
            values: padded, from ``frontier.frozen``.

        Raises:
            UsageError: E801, a value is missing or has another shape; E802, the disk is full.
        """
        self._check_rows(rows)
        batched = [self._batched(value, values, rows) for value in self.values]
        try:
            with (
                locked(
                    self.path / "rows.bin", wait=True
                ),  # what a process reads is never written meanwhile
                open(self.path / "values.bin", "r+b", buffering=0) as file,
            ):
                for i, row in enumerate(rows):
                    if self._is_good(row):
                        continue
                    content = b"".join(self._encoded(*one, i, row) for one in batched)
                    self._rows[row] = 0
                    self._checked[row] = False
                    file.seek(int(self._starts[row]))
                    _write_all(file, content)
                    self._rows[row] = _WRITTEN + zlib.crc32(content)
        except OSError as error:
            raise no_space_error(f"the activations cannot be written: {error.strerror}") from error

    def read(self, rows: Sequence[int], *, length: int | None = None) -> dict[str, Tensor]:
        """The values of rows as a batch, with zeros behind each row's length.

        Args:
            rows: in any order.
            length: to which the batch is padded. Default: that of the longest row.

        Raises:
            UsageError: E801, a row has not been written, is damaged, or is longer than ``length``.
        """
        if absent := self.absent(rows):
            raise usage(f"{len(absent)} rows are not in the cache, the first is {absent[0]}")
        max_length = max((self._lengths[row] or 0 for row in rows), default=0)
        if length is not None and length < max_length:
            raise usage(f"a row of {max_length} positions does not fit into {length}")
        padded = max_length if length is None else length
        return {v.name: self._decoded(i, rows, padded) for i, v in enumerate(self.values)}

    def fetch(
        self, rows: Sequence[int], compute: Compute, *, length: int | None = None
    ) -> dict[str, Tensor]:
        """As ``read``; missing or damaged rows are computed and written first.

        Args:
            compute: rows → their values, from ``frontier.frozen``.
        """
        for _ in range(_ATTEMPTS):  # another process may find a row damaged and rewrite it
            if not (absent := self.absent(rows)):
                break
            self.write(absent, compute(absent))
        return self.read(rows, length=length)

    # ------------------------------------------------------------------------------ the folder

    def _header(self) -> dict[str, Any]:
        lengths = hashlib.sha256(json.dumps(self._lengths).encode()).hexdigest()
        values = [{**v.to_dict(), "kept": str(self._stored_dtype(v))} for v in self.values]
        return {
            "format": FORMAT,
            "key": self.path.name,
            "rows": len(self),
            "lengths": lengths,
            "values": values,
        }

    def _exists(self) -> bool:
        """Whether the folder holds this cache; each row has its own checksum."""
        try:
            info = (self.path / "header.json").stat()
            if not stat.S_ISREG(info.st_mode) or info.st_size > _MAX_HEADER_BYTES:
                return False
            header = json.loads((self.path / "header.json").read_bytes())
            sizes = [(self.path / name).stat().st_size for name in ("rows.bin", "values.bin")]
        except (OSError, ValueError, RecursionError):
            return False
        return header == self._header() and sizes == [INDEX_BYTES * len(self), self.total]

    def _create(self) -> None:
        """Create it under another name, so that no process sees an incomplete cache."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_space()
        new = self.path.parent / f".{self.path.name}-{uuid.uuid4().hex}"
        try:
            new.mkdir()
            _reserve(new / "rows.bin", INDEX_BYTES * len(self))
            _reserve(new / "values.bin", self.total)
            (new / "header.json").write_text(json.dumps(self._header()), encoding="utf-8")
            self._move_into_place(new)
        except OSError as error:
            raise no_space_error(f"the activations cannot be kept: {error.strerror}") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _move_into_place(self, new: Path) -> None:
        for _ in range(10):
            with contextlib.suppress(OSError):  # another process was faster
                new.rename(self.path)
            if self._exists():
                return
            old = self.path.parent / f".{self.path.name}-{uuid.uuid4().hex}"
            with contextlib.suppress(OSError):
                self.path.rename(old)
                _remove(old)
        raise OSError(0, f"'{self.path.name}' cannot be replaced")

    def _check_space(self) -> None:
        needed = self.total + INDEX_BYTES * len(self)
        free = shutil.disk_usage(self.path.parent).free
        check_space(len(self), needed, self._max_bytes, free)

    # -------------------------------------------------------------------------------- the rows

    def _stored_dtype(self, value: StoredValue) -> torch.dtype:
        return self._dtype if self._dtype and value.dtype.is_floating_point else value.dtype

    def _bytes(self, value: StoredValue, length: int | None) -> int:
        return value.bytes(length) // value.dtype.itemsize * self._stored_dtype(value).itemsize

    def _check_rows(self, rows: Sequence[int]) -> None:
        for row in (min(rows, default=0), max(rows, default=0)):
            if not 0 <= row < len(self):
                raise usage(f"there is no row {row}: the cache has {len(self)}")

    def _is_good(self, row: int) -> bool:
        entry = int(self._rows[row])
        if entry >= _WRITTEN and not self._checked[row]:
            content = self._data[self._starts[row] : self._starts[row + 1]]
            self._checked[row] = entry == _WRITTEN + zlib.crc32(content.data)
        return entry >= _WRITTEN and bool(self._checked[row])

    def _batched(
        self, value: StoredValue, values: Mapping[str, Tensor], rows: Sequence[int]
    ) -> tuple[StoredValue, Any]:
        """A value as an array with samples in dimension 0, of a dtype that NumPy has."""
        if value.name not in values:
            raise usage(f"the value '{value.name}' is missing")
        tensor = (
            values[value.name].detach().movedim(value.axis, 0).to("cpu", self._stored_dtype(value))
        )
        max_length = max((self._lengths[row] or 0 for row in rows), default=0)
        expected = (len(rows), *value.sizes(max_length))
        ragged = (False, *(size is None for size in value.shape))
        fits = tensor.ndim == len(expected) and all(
            a >= b if is_minimum else a == b
            for a, b, is_minimum in zip(tensor.shape, expected, ragged, strict=True)
        )
        if not fits:
            shape = list(tensor.shape)
            raise usage(f"'{value.name}' has the shape {shape}, expected is {list(expected)}")
        return value, tensor.contiguous().view(_PORTABLE_DTYPES[tensor.itemsize][0]).numpy()

    def _encoded(self, value: StoredValue, batched: Any, i: int, row: int) -> bytes:
        sizes = value.sizes(self._lengths[row])
        return np.ascontiguousarray(batched[i][tuple(map(slice, sizes))]).tobytes()

    def _decoded(self, index: int, rows: Sequence[int], padded: int) -> Tensor:
        value = self.values[index]
        dtype = self._stored_dtype(value)
        batch = torch.zeros((len(rows), *value.sizes(padded)), dtype=dtype)
        portable, plain = _PORTABLE_DTYPES[dtype.itemsize]
        target = batch.view(portable).numpy()
        if not any(None in one.shape for one in self.values):  # all rows are of one size
            before = sum(self._bytes(v, None) for v in self.values[:index])
            part = slice(before, before + self._bytes(value, None))
            content = self._data.reshape(len(self), -1)[np.asarray(rows, np.int64), part]
            target[...] = content.view(plain).reshape(target.shape)
            rows = ()
        for i, row in enumerate(rows):
            length = self._lengths[row]
            before = sum(self._bytes(v, length) for v in self.values[:index])
            start = int(self._starts[row]) + before
            sizes = value.sizes(length)
            content = self._data[start : start + self._bytes(value, length)]
            target[(i, *map(slice, sizes))] = content.view(plain).reshape(sizes)
        return batch.to(value.dtype).movedim(0, value.axis).contiguous()


_EMPTY = np.zeros(0, np.uint8)


def _reopen(arguments: tuple[Any, ...], max_bytes: int | None, dtype: Any) -> ActivationCache:
    return ActivationCache(*arguments, max_bytes=max_bytes, dtype=dtype)


def _check(key: str, values: Sequence[StoredValue], lengths: Sequence[int | None]) -> None:
    if not (key.isascii() and key.isalnum()):
        raise usage("a key is letters and digits")
    if not lengths:
        raise usage("there are no rows")
    if any(None in value.shape for value in values) and None in lengths:
        raise usage(f"row {list(lengths).index(None)} has no length")
    if any(length is not None and length < 0 for length in lengths):
        raise usage("a length is negative")


def _reserve(path: Path, size: int) -> None:
    """Create a file of zeros, with its disk space reserved where the system can do that."""
    with open(path, "xb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _write_all(file: Any, content: bytes) -> None:
    remaining = memoryview(content)
    while remaining:
        remaining = remaining[file.write(remaining) :]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_space(rows: int, needed: int, limit: int | None, free: int) -> None:
    """Raise UsageError E802 if a cache needs more bytes than the limit or the free space."""
    message = f"the activations of {rows:,} samples take {format_size(needed)}"
    if limit is not None and needed > limit:
        raise no_space_error(f"{message}, the limit is {format_size(limit)}")
    if needed > free:
        raise no_space_error(f"{message}, {format_size(free)} is free on the disk")


def no_space_error(message: str) -> UsageError:
    """E802."""
    hint = "raise the limit, keep them in a smaller dtype, or train without the cache"
    return UsageError(Problem("E802", message, hint=hint))
