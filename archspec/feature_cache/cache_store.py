"""Keeps caches of several keys in one folder, within a limit together."""

from __future__ import annotations

import contextlib
import re
import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from archspec.feature_cache.cache_file import (
    IN_USE,
    INDEX_BYTES,
    ActivationCache,
    check_space,
    no_space_error,
)
from archspec.feature_cache.report import StoredValue
from archspec.file_lock import is_shared, locked

SPARE = 2**30  # bytes that stay free on the disk, for checkpoints
_KEY = re.compile(r"[0-9a-f]{64}")
_LEFT_OVER = re.compile(r"\.[0-9a-f]{64}-[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class CacheStore:
    """A folder of caches. Only entries with the name of a key are touched.

    Attributes:
        folder: created with the first cache.
        max_bytes: maximum size of all caches together.
    """

    folder: Path
    max_bytes: int

    def __contains__(self, key: str) -> bool:
        return bool(_KEY.fullmatch(key)) and (self.folder / key / "header.json").is_file()

    def open(
        self, key: str, values: Sequence[StoredValue], lengths: Sequence[int | None]
    ) -> ActivationCache:
        """The cache of a key; the least recently used ones are removed to make room for a new one.

        A cache that a process has open is not removed.

        Args:
            key: from ``activation_key``.
            values: ``frontier.values``.
            lengths: of every row, in positions; None for rows without a length.

        Raises:
            UsageError: E802, there is not enough space.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with locked(self.folder / ".lock", wait=True):
                self._make_room(key, values, lengths)
                return ActivationCache(self.folder, key, values, lengths)
        except OSError as error:
            raise no_space_error(f"{self.folder}: {error.strerror or error}") from error

    def _make_room(
        self, key: str, values: Sequence[StoredValue], lengths: Sequence[int | None]
    ) -> None:
        """Remove caches as needed; none if that would not be enough."""
        self._clear()
        needed = INDEX_BYTES * len(lengths)
        needed += sum(value.bytes(length) for value in values for length in lengths)
        others = {path: _bytes(path) for path in self._caches() if path.name != key}
        unused = [path for path in others if not is_shared(path / IN_USE)]
        used_bytes = sum(size for path, size in others.items() if path not in unused)
        limit, reclaimable = (
            max(0, self.max_bytes - used_bytes),
            sum(map(others.__getitem__, unused)),
        )
        check_space(len(lengths), needed, limit, self._free(key) + reclaimable)
        while unused and needed > min(limit - reclaimable, self._free(key)):
            oldest = unused.pop(0)
            self._remove(oldest)
            reclaimable -= others[oldest]

    def _free(self, key: str) -> int:
        """Bytes available for this key, with those that it has already."""
        free = shutil.disk_usage(self.folder).free
        return max(0, free - SPARE) + _bytes(self.folder / key)

    def _caches(self) -> list[Path]:
        """All caches, the least recently used first."""
        folders = [path for path in self.folder.iterdir() if _KEY.fullmatch(path.name)]
        return sorted(filter(Path.is_dir, folders), key=lambda path: (_last_use(path), path.name))

    def _remove(self, cache: Path) -> None:
        """Remove a cache after renaming it, so that no incomplete cache has its name."""
        renamed = self.folder / f".{cache.name}-{uuid.uuid4().hex}"
        with contextlib.suppress(OSError):
            cache.rename(renamed)
            shutil.rmtree(renamed, ignore_errors=True)

    def _clear(self) -> None:
        """Remove what killed processes left while creating or removing a cache."""
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
