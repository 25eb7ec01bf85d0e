"""Caches of several keys in one folder, which together stay within a limit."""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archspec.feature_cache.cache_file import (
    BYTES_OF_A_ROW,
    IN_USE,
    ActivationCache,
    check_space,
    full,
)
from archspec.feature_cache.report import StoredValue
from archspec.file_lock import is_shared, locked

SPARE = 2**30  # bytes that stay free on the disk, for what else is to be saved
_KEY = re.compile(r"[0-9a-f]{64}")
_LEFT_OVER = re.compile(r"\.[0-9a-f]{64}-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class CacheStore:
    """A folder of caches. Nothing in it is touched that has not the name of a key.

    Attributes:
        folder: made when the first cache is.
        max_bytes: the most that all caches may take together.
    """

    folder: Path
    max_bytes: int

    def __contains__(self, key: str) -> bool:
        return bool(_KEY.fullmatch(key)) and (self.folder / key / "header.json").is_file()

    def open(
        self, key: str, values: Sequence[StoredValue], lengths: Sequence[int | None]
    ) -> ActivationCache:
        """The cache of a key; those that were used least recently make room for a new one.

        A cache that a process has open stays.

        Args:
            key: as ``activation_key`` gives it.
            values: ``frontier.values``.
            lengths: of every row, in positions; None for rows that have none.

        Raises:
            UsageError: E802, there is no room for it.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock", wait=True):
                self._make_room(key, values, lengths)
                return ActivationCache(self.folder, key, values, lengths)
        except OSError as error:
            raise full(f"{self.folder}: {error.strerror or error}") from error

    def _make_room(
        self, key: str, values: Sequence[StoredValue], lengths: Sequence[int | None]
    ) -> None:
        """Nothing is removed if that would not help."""
        self._clear()
        needed = BYTES_OF_A_ROW * len(lengths)
        needed += sum(value.bytes(length) for value in values for length in lengths)
        others = {path: _bytes(path) for path in self._caches() if path.name != key}
        loose = [path for path in others if not is_shared(path / IN_USE)]
        kept = sum(size for path, size in others.items() if path not in loose)
        limit, gain = max(0, self.max_bytes - kept), sum(map(others.__getitem__, loose))
        check_space(len(lengths), needed, limit, self._free(key) + gain)
        while loose and needed > min(limit - gain, self._free(key)):
            oldest = loose.pop(0)
            self._remove(oldest)
            gain -= others[oldest]

    def _free(self, key: str) -> int:
        """Bytes for this key: what it has already counts."""
        free = shutil.disk_usage(self.folder).free
        return max(0, free - SPARE) + _bytes(self.folder / key)

    def _caches(self) -> list[Path]:
        """All of them, the least recently used first."""
        found = [path for path in self.folder.iterdir() if _KEY.fullmatch(path.name)]
        return sorted(filter(Path.is_dir, found), key=lambda path: (_last_use(path), path.name))

    def _remove(self, cache: Path) -> None:
        """Moved away first: half a cache is never found under its name."""
        gone = self.folder / f".{cache.name}-{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            cache.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def _clear(self) -> None:
        """What a process left that was killed while it made or removed a cache."""
        for path in self.folder.iterdir():
            if _LEFT_OVER.fullmatch(path.name):
                shutil.rmtree(path, ignore_errors=True)


def _last_use(cache: Path) -> float:
    try:
        return (cache / IN_USE).stat().st_mtime
    except OSError:
        return 0.0


def _bytes(cache: Path) -> int:
    try:
        return sum(file.stat().st_size for file in cache.iterdir())
    except OSError:
        return 0
