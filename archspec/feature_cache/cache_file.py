"""Values of samples on disk: one file, mapped into memory, read by row in any order.

    KEY/
      header.json   what is kept: key, values, a hash of the lengths
      rows.bin      8 bytes a row: 0, or 2**32 + the CRC-32 of its values
      values.bin    the values of row after row, each without padding
  in-use        empty: a process that has the cache open holds a shared lock on it

The length of every row is known beforehand, and so is where it stands: any process may write any
row at any time. A row counts once its checksum stands, and is computed anew if that is not right.
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
BYTES_OF_A_ROW = 8  # beside its values
_MOST_BYTES = 1_000_000  # of a header
_TRIES = 3
_DONE = 2**32
_UNSIGNED: dict[int, tuple[torch.dtype, Any]] = {
    1: (torch.uint8, np.uint8),
    2: (torch.int16, np.int16),
    4: (torch.int32, np.int32),
    8: (torch.int64, np.int64),
}
"""Bytes of an element → a dtype that torch and numpy both have, to move any element as it is."""

Compute = Callable[[list[int]], Mapping[str, Tensor]]


class ActivationCache:
    """The values in front of a frontier for all rows of a data set.

    Attributes:
        path: the folder, named for the key.
        values: what is kept of each row.
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
        """Open the cache of that key, or make an empty one if there is none that fits.

        Args:
            folder: where caches stand, each under its key; made if it is not there.
            key: as ``activation_key`` gives it: letters and digits.
            values: ``frontier.values``.
            lengths: of every row, in positions; None for rows that have none.
            max_bytes: the most that the values may take on disk.
            dtype: floating-point values are kept in; their own if left out.

        Raises:
            UsageError: E802, the values take more than ``max_bytes``, or than is free on the disk;
                E801, the key is no plain name, there is no row, or a length is missing.
        """
        _check(key, values, lengths)
        self.path, self.values = Path(folder) / key, tuple(values)
        self._lengths, self._max_bytes, self._dtype = tuple(lengths), max_bytes, dtype
        sizes = [sum(self._bytes(value, n) for value in self.values) for n in self._lengths]
        self._starts = np.concatenate(([0], np.cumsum(sizes, dtype=np.int64)))
        self.total = int(self._starts[-1])
        if not self._is_there():
            self._make()
        self._lock = SharedLock(self.path / IN_USE)
        self._rows = np.memmap(self.path / "rows.bin", np.uint64, "r+", shape=(len(self),))
        self._data = np.memmap(self.path / "values.bin", np.uint8, "r") if self.total else _EMPTY
        self._checked = np.zeros(len(self), np.bool_)

    def __len__(self) -> int:
        return len(self._lengths)

    def __reduce__(self) -> Any:
        arguments = (self.path.parent, self.path.name, self.values, self._lengths)
        return _reopened, (arguments, self._max_bytes, self._dtype)

    def missing(self) -> list[int]:
        """The rows that no process has written yet."""
        return np.flatnonzero(self._rows < _DONE).tolist()

    def absent(self, rows: Sequence[int]) -> list[int]:
        """Each of these rows that is not there, or is damaged, once.

        What is there is checked when it is first read.
        """
        self._check_rows(rows)
        return [row for row in dict.fromkeys(rows) if not self._is_good(row)]

    def write(self, rows: Sequence[int], values: Mapping[str, Tensor]) -> None:
        """Keep the values of a batch; rows that are there by now stay as they are.

        Args:
            rows: one for each sample.
            values: as ``frontier.frozen`` gives them, padded.

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
                    self._rows[row] = _DONE + zlib.crc32(content)
        except OSError as error:
            raise full(f"the activations cannot be written: {error.strerror}") from error

    def read(self, rows: Sequence[int], *, length: int | None = None) -> dict[str, Tensor]:
        """The values of rows as a batch, with zeros behind each row's length.

        Args:
            rows: in any order.
            length: to which the batch is padded; that of the longest row if left out.

        Raises:
            UsageError: E801, a row has not been written, is damaged, or is longer than ``length``.
        """
        if absent := self.absent(rows):
            raise usage(f"{len(absent)} rows are not in the cache, the first is {absent[0]}")
        longest = max((self._lengths[row] or 0 for row in rows), default=0)
        if length is not None and length < longest:
            raise usage(f"a row of {longest} positions does not fit into {length}")
        padded = longest if length is None else length
        return {v.name: self._decoded(i, rows, padded) for i, v in enumerate(self.values)}

    def fetch(
        self, rows: Sequence[int], compute: Compute, *, length: int | None = None
    ) -> dict[str, Tensor]:
        """As ``read``; rows that are not there, or are damaged, are computed and written first.

        Args:
            compute: the values of these rows, as ``frontier.frozen`` gives them.
        """
        for _ in range(_TRIES):  # another process may find a row damaged, and write it anew
            if not (absent := self.absent(rows)):
                break
            self.write(absent, compute(absent))
        return self.read(rows, length=length)

    # ------------------------------------------------------------------------------ the folder

    def _header(self) -> dict[str, Any]:
        lengths = hashlib.sha256(json.dumps(self._lengths).encode()).hexdigest()
        values = [{**v.to_dict(), "kept": str(self._kept(v))} for v in self.values]
        return {
            "format": FORMAT,
            "key": self.path.name,
            "rows": len(self),
            "lengths": lengths,
            "values": values,
        }

    def _is_there(self) -> bool:
        """Whether the folder holds just this; of the rows each has a checksum of its own."""
        try:
            about = (self.path / "header.json").stat()
            if not stat.S_ISREG(about.st_mode) or about.st_size > _MOST_BYTES:
                return False
            header = json.loads((self.path / "header.json").read_bytes())
            sizes = [(self.path / name).stat().st_size for name in ("rows.bin", "values.bin")]
        except (OSError, ValueError, RecursionError):
            return False
        return header == self._header() and sizes == [BYTES_OF_A_ROW * len(self), self.total]

    def _make(self) -> None:
        """Made under another name, so that nobody sees half a cache."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._check_space()
        new = self.path.parent / f".{self.path.name}-{uuid.uuid4().hex}"
        try:
            new.mkdir()
            _reserve(new / "rows.bin", BYTES_OF_A_ROW * len(self))
            _reserve(new / "values.bin", self.total)
            (new / "header.json").write_text(json.dumps(self._header()), encoding="utf-8")
            self._put(new)
        except OSError as error:
            raise full(f"the activations cannot be kept: {error.strerror}") from error
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _put(self, new: Path) -> None:
        for _ in range(10):
            with contextlib.suppress(OSError):  # another process was faster
                new.rename(self.path)
            if self._is_there():
                return
            old = self.path.parent / f".{self.path.name}-{uuid.uuid4().hex}"
            with contextlib.suppress(OSError):
                self.path.rename(old)
                _remove(old)
        raise OSError(0, f"'{self.path.name}' cannot be replaced")

    def _check_space(self) -> None:
        needed = self.total + BYTES_OF_A_ROW * len(self)
        free = shutil.disk_usage(self.path.parent).free
        check_space(len(self), needed, self._max_bytes, free)

    # -------------------------------------------------------------------------------- the rows

    def _kept(self, value: StoredValue) -> torch.dtype:
        return self._dtype if self._dtype and value.dtype.is_floating_point else value.dtype

    def _bytes(self, value: StoredValue, length: int | None) -> int:
        return value.bytes(length) // value.dtype.itemsize * self._kept(value).itemsize

    def _check_rows(self, rows: Sequence[int]) -> None:
        for row in rows:
            if not 0 <= row < len(self):
                raise usage(f"there is no row {row}: the cache has {len(self)}")

    def _is_good(self, row: int) -> bool:
        entry = int(self._rows[row])
        if entry >= _DONE and not self._checked[row]:
            content = self._data[self._starts[row] : self._starts[row + 1]]
            self._checked[row] = entry == _DONE + zlib.crc32(content.data)
        return entry >= _DONE and bool(self._checked[row])

    def _batched(
        self, value: StoredValue, values: Mapping[str, Tensor], rows: Sequence[int]
    ) -> tuple[StoredValue, Any]:
        """A value as an array with the samples in front, of a dtype that numpy has."""
        if value.name not in values:
            raise usage(f"the value '{value.name}' is missing")
        given = values[value.name].detach().movedim(value.axis, 0).to("cpu", self._kept(value))
        longest = max((self._lengths[row] or 0 for row in rows), default=0)
        wanted = (len(rows), *value.sizes(longest))
        ragged = (False, *(size is None for size in value.shape))
        fits = given.ndim == len(wanted) and all(
            a >= b if free else a == b
            for a, b, free in zip(given.shape, wanted, ragged, strict=True)
        )
        if not fits:
            found = list(given.shape)
            raise usage(f"'{value.name}' has the shape {found}, expected is {list(wanted)}")
        return value, given.contiguous().view(_UNSIGNED[given.itemsize][0]).numpy()

    def _encoded(self, value: StoredValue, batched: Any, i: int, row: int) -> bytes:
        sizes = value.sizes(self._lengths[row])
        return np.ascontiguousarray(batched[i][tuple(map(slice, sizes))]).tobytes()

    def _decoded(self, index: int, rows: Sequence[int], padded: int) -> Tensor:
        value = self.values[index]
        kept = self._kept(value)
        batch = torch.zeros((len(rows), *value.sizes(padded)), dtype=kept)
        portable, plain = _UNSIGNED[kept.itemsize]
        target = batch.view(portable).numpy()
        for i, row in enumerate(rows):
            length = self._lengths[row]
            before = sum(self._bytes(v, length) for v in self.values[:index])
            start = int(self._starts[row]) + before
            sizes = value.sizes(length)
            content = self._data[start : start + self._bytes(value, length)]
            target[(i, *map(slice, sizes))] = content.view(plain).reshape(sizes)
        return batch.to(value.dtype).movedim(0, value.axis).contiguous()


_EMPTY = np.zeros(0, np.uint8)


def _reopened(arguments: tuple[Any, ...], max_bytes: int | None, dtype: Any) -> ActivationCache:
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
    """A file of zeros that has its place on the disk, where the system can promise that."""
    with open(path, "xb") as file:
        if size and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _write_all(file: Any, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def check_space(rows: int, needed: int, limit: int | None, free: int) -> None:
    """Raise UsageError E802 if a cache takes more bytes than it may, or than there are."""
    takes = f"the activations of {rows:,} samples take {format_size(needed)}"
    if limit is not None and needed > limit:
        raise full(f"{takes}, the limit is {format_size(limit)}")
    if needed > free:
        raise full(f"{takes}, {format_size(free)} is free on the disk")


def full(message: str) -> UsageError:
    """E802."""
    hint = "raise the limit, keep them in a smaller dtype, or train without the cache"
    return UsageError(Problem("E802", message, hint=hint))
