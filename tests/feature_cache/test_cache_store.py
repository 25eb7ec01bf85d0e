"""Several caches in one folder: which go to make room, and which never do."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest
import torch

from archspec.errors import UsageError
from archspec.feature_cache import ActivationCache, CacheStore, StoredValue

VALUE = StoredValue("value", (250,), torch.float32)  # 1,000 bytes
ROWS: list[int | None] = [None] * 100
A, B, C, D = (letter * 64 for letter in "abcd")


def opened(store: CacheStore, key: str, rows: int = 100) -> ActivationCache:
    cache = store.open(key, [VALUE], ROWS[:rows])
    return cache


def used(folder: Path, key: str, when: int) -> None:
    gc.collect()
    os.utime(folder / key / "in-use", (when, when))


def keys(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_the_least_recently_used_makes_room(tmp_path: Path) -> None:
    store = CacheStore(tmp_path / "new", 205_000)
    for when, key in enumerate((A, B)):
        opened(store, key)
        used(store.folder, key, 1000 + when)
    assert len(opened(store, A)) == 100 and keys(store.folder) == {A, B}
    gc.collect()
    cache = opened(store, C)
    assert keys(store.folder) == {A, C} and A in store and B not in store
    cache.write([3], {"value": torch.ones(1, 250)})
    assert cache.read([3])["value"].sum() == 250


def test_what_is_in_use_stays(tmp_path: Path) -> None:
    store = CacheStore(tmp_path, 205_000)
    first = opened(store, A)
    opened(store, B)
    used(tmp_path, A, 1000)
    used(tmp_path, B, 2000)
    opened(store, C)
    assert keys(tmp_path) == {A, C}
    used(tmp_path, C, 3000)
    with pytest.raises(UsageError) as caught:  # not even with all that may go
        store.open(D, [VALUE], ROWS + ROWS)
    assert caught.value.code == "E802" and keys(tmp_path) == {A, C}
    assert caught.value.message == (
        "the activations of 200 samples take 196.9 KiB, the limit is 101.5 KiB"
    )
    assert first.missing() == [*range(100)]
    del first
    gc.collect()
    store.open(D, [VALUE], ROWS + ROWS[:90])
    assert keys(tmp_path) == {D}


def test_nothing_else_is_touched(tmp_path: Path) -> None:
    kept = [".git", "notes", A.upper(), f".{A}-old"]
    for name in kept:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(bytes(300_000))
    left = tmp_path / f".{A}-{'0' * 32}"
    left.mkdir()
    opened(CacheStore(tmp_path, 150_000), A)
    assert keys(tmp_path) == {*kept, A} and "../x" not in CacheStore(tmp_path, 1)


def test_a_disk_that_is_nearly_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 2**30 + 50_000

    monkeypatch.setattr("archspec.feature_cache.cache_store.shutil.disk_usage", lambda path: Usage)
    with pytest.raises(UsageError) as caught:
        opened(CacheStore(tmp_path, 10**12), A)
    assert caught.value.message.endswith("take 98.44 KiB, 48.83 KiB is free on the disk")
    with pytest.raises(UsageError, match=r"take 98.44 KiB, the limit is 0 B\n"):
        opened(CacheStore(tmp_path, 0), A)
    assert keys(tmp_path) == set()
