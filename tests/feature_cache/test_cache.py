"""Values on disk: what comes back, what is refused, what survives damage and other processes."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from archspec.errors import UsageError
from archspec.feature_cache import ActivationCache, StoredValue, activation_key
from tests.feature_cache.models import from_text, frontier_of

HIDDEN = StoredValue("hidden", (None, 3), torch.float32)
SQUARE = StoredValue("square", (2, None, None), torch.bfloat16)
ACROSS = StoredValue("across", (None, 2), torch.int64, axis=1)
FLAG = StoredValue("flag", (), torch.bool)
VALUES = (HIDDEN, SQUARE, ACROSS, FLAG)


def batch(values: tuple[StoredValue, ...], lengths: list[int], seed: int = 0) -> dict[str, Tensor]:
    """Values as a model gives them: what stands behind a sample's length is noise."""
    generator = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    for value in values:
        shape = (len(lengths), *value.sizes(max(lengths)))
        noise = torch.randint(-9, 9, shape, generator=generator).to(value.dtype)
        found[value.name] = noise.movedim(0, value.axis)
    return found


def padded(value: StoredValue, values: Tensor, lengths: list[int], length: int) -> Tensor:
    """What should come back: zeros behind each length."""
    rows = values.movedim(value.axis, 0)
    result = torch.zeros((len(lengths), *value.sizes(length)), dtype=value.dtype)
    for i, size in enumerate(lengths):
        at = (i, *map(slice, value.sizes(size)))
        result[at] = rows[at]
    return result.movedim(0, value.axis)


def opened(folder: Path, lengths: list[int], **options: Any) -> ActivationCache:
    return ActivationCache(folder, "key", VALUES, lengths, **options)


# ------------------------------------------------------------------------------------ round trips


@settings(max_examples=60)
@given(
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=7),
    data=st.data(),
    more=st.integers(0, 3),
)
def test_what_is_written_comes_back(
    tmp_path_factory: pytest.TempPathFactory, lengths: list[int], data: Any, more: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache = opened(folder, lengths)
    values = batch(VALUES, lengths)
    order = data.draw(st.permutations(range(len(lengths))))
    for part in (order[: len(order) // 2], order[len(order) // 2 :]):
        one = {v.name: values[v.name].movedim(v.axis, 0)[part].movedim(0, v.axis) for v in VALUES}
        if part:
            cache.write(part, one)
    rows = data.draw(st.lists(st.sampled_from(range(len(lengths))), min_size=1, max_size=9))
    longest = max(lengths[row] for row in rows)
    for reader in (cache, opened(folder, lengths), pickle.loads(pickle.dumps(cache))):
        found = reader.read(rows, length=longest + more)
        for value in VALUES:
            picked = values[value.name].movedim(value.axis, 0)[rows].movedim(0, value.axis)
            sizes = [lengths[row] for row in rows]
            expected = padded(value, picked, sizes, longest + more)
            assert found[value.name].dtype == value.dtype
            assert torch.equal(found[value.name], expected)
    assert cache.missing() == []
    shutil.rmtree(folder)


def test_the_size_is_exact(tmp_path: Path) -> None:
    lengths = [4, 0, 2]
    cache = opened(tmp_path, lengths)
    expected = sum(12 * n + 4 * n * n + 16 * n + 1 for n in lengths)
    assert cache.total == expected == (cache.path / "values.bin").stat().st_size


def test_a_smaller_dtype(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, "key", [HIDDEN, FLAG], [2, 2], dtype=torch.bfloat16)
    assert cache.total == 2 * (2 * 3 * 2 + 1)
    values = {"hidden": torch.full((2, 2, 3), 1.001), "flag": torch.tensor([True, False])}
    cache.write([0, 1], values)
    found = cache.read([0, 1])
    assert found["hidden"].dtype == torch.float32
    assert torch.equal(found["hidden"], torch.ones(2, 2, 3))
    assert torch.equal(found["flag"], values["flag"])


def test_only_what_is_missing_is_computed(tmp_path: Path) -> None:
    asked: list[list[int]] = []

    def compute(rows: list[int]) -> dict[str, Tensor]:
        asked.append(rows)
        return {"hidden": torch.stack([torch.full((2, 3), float(row)) for row in rows])}

    cache = ActivationCache(tmp_path, "key", [HIDDEN], [2] * 5)
    assert cache.fetch([3, 1, 3], compute)["hidden"][:, 0, 0].tolist() == [3, 1, 3]
    assert cache.missing() == [0, 2, 4]
    assert cache.fetch([1, 0], compute)["hidden"][:, 0, 0].tolist() == [1, 0]
    again = ActivationCache(tmp_path, "key", [HIDDEN], [2] * 5)
    assert again.fetch([0, 1, 3], compute)["hidden"][:, 0, 0].tolist() == [0, 1, 3]
    assert asked == [[3, 1], [0]]


# ------------------------------------------------------------------------------------------ damage


def filled(folder: Path) -> ActivationCache:
    cache = ActivationCache(folder, "key", [HIDDEN], [2, 1, 3])
    cache.write([0, 1, 2], {"hidden": torch.arange(27.0).reshape(3, 3, 3)})
    return cache


def reopened(folder: Path) -> ActivationCache:
    return ActivationCache(folder, "key", [HIDDEN], [2, 1, 3])


def test_a_row_that_is_damaged_is_computed_anew(tmp_path: Path) -> None:
    path = filled(tmp_path).path / "values.bin"
    content = bytearray(path.read_bytes())
    content[2 * 12] ^= 1  # the first byte of row 1
    path.write_bytes(content)
    cache = reopened(tmp_path)
    with pytest.raises(UsageError, match="1 rows are not in the cache, the first is 1"):
        cache.read([0, 1, 2])
    asked: list[int] = []

    def compute(rows: list[int]) -> dict[str, Tensor]:
        asked.extend(rows)
        return {"hidden": torch.full((1, 1, 3), 9.0)}

    assert cache.fetch([0, 1], compute)["hidden"][1, 0].tolist() == [9, 9, 9]
    assert asked == [1]
    assert reopened(tmp_path).read([1])["hidden"].tolist() == [[[9, 9, 9]]]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: (path / "header.json").write_text("{"),
        lambda path: (path / "header.json").write_text("[" * 100_000),
        lambda path: (path / "header.json").write_bytes(b"\xff"),
        lambda path: (path / "header.json").unlink(),
        lambda path: (path / "header.json").write_text(json.dumps({"format": 0})),
        lambda path: (path / "header.json").write_text(
            (path / "header.json").read_text() + " " * 1_000_000
        ),
        lambda path: ((path / "header.json").unlink(), os.mkfifo(path / "header.json")),
        lambda path: (path / "values.bin").write_bytes(b"short"),
        lambda path: (path / "rows.bin").unlink(),
        lambda path: (shutil.rmtree(path), path.write_text("a file")),
    ],
)
def test_a_folder_that_is_damaged_is_made_anew(tmp_path: Path, damage: Any) -> None:
    damage(filled(tmp_path).path)
    cache = reopened(tmp_path)
    assert cache.missing() == [0, 1, 2]
    cache.write([0], {"hidden": torch.ones(1, 2, 3)})
    assert reopened(tmp_path).missing() == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["key"]  # nothing is left behind


def test_rows_that_another_has_written_stay(tmp_path: Path) -> None:
    one, other = filled(tmp_path), reopened(tmp_path)
    one._rows[1] = 0
    assert one.absent([0, 1, 2]) == other.absent([0, 1, 2]) == [1]
    one.write([1], {"hidden": torch.full((1, 1, 3), 9.0)})
    other.write([1, 0], {"hidden": torch.zeros(2, 2, 3)})
    assert one.read([1])["hidden"].tolist() == other.read([1])["hidden"].tolist() == [[[9, 9, 9]]]
    assert one.read([0])["hidden"].tolist() == [[[0, 1, 2], [3, 4, 5]]]


@pytest.mark.parametrize("entry", [1, 2**32 - 1, 2**32, 2**64 - 1])
def test_an_entry_that_is_damaged_counts_as_missing(tmp_path: Path, entry: int) -> None:
    path = filled(tmp_path).path / "rows.bin"
    rows = np.fromfile(path, np.uint64)
    rows[2] = entry
    path.write_bytes(rows.tobytes())
    with pytest.raises(UsageError, match="1 rows are not in the cache, the first is 2"):
        reopened(tmp_path).read([0, 1, 2])


def test_another_data_set_under_the_same_key_is_made_anew(tmp_path: Path) -> None:
    filled(tmp_path)
    assert ActivationCache(tmp_path, "key", [HIDDEN], [1, 2, 3]).missing() == [0, 1, 2]


# ------------------------------------------------------------------------------------------ limits


def test_more_than_the_limit(tmp_path: Path) -> None:
    value = StoredValue("hidden", (1024, 1024), torch.float32)
    with pytest.raises(UsageError) as caught:
        ActivationCache(tmp_path, "key", [value], [None] * 512, max_bytes=2**30)
    assert caught.value.code == "E802"
    expected = "the activations of 512 samples take 2.000 GiB, the limit is 1.000 GiB"
    assert caught.value.message == expected
    assert list(tmp_path.iterdir()) == []


def test_more_than_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(0, 0, 3 * 2**30))
    value = StoredValue("hidden", (1024, 1024), torch.float32)
    with pytest.raises(UsageError) as caught:
        ActivationCache(tmp_path, "key", [value], [None] * 1024)
    expected = "the activations of 1,024 samples take 4.000 GiB, 3.000 GiB is free on the disk"
    assert (caught.value.code, caught.value.message) == ("E802", expected)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("key", "lengths", "message"),
    [
        ("../key", [1], "a key is letters and digits"),
        ("", [1], "a key is letters and digits"),
        ("key", [], "there are no rows"),
        ("key", [1, None], "row 1 has no length"),
        ("key", [1, -1], "a length is negative"),
    ],
)
def test_calls_that_make_no_sense(
    tmp_path: Path, key: str, lengths: list[int | None], message: str
) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        ActivationCache(tmp_path, key, [HIDDEN], lengths)
    assert caught.value.code == "E801"


def test_values_that_do_not_fit(tmp_path: Path) -> None:
    cache = ActivationCache(tmp_path, "key", [HIDDEN], [2, 1])
    with pytest.raises(UsageError, match=r"'hidden' has the shape \[1, 1, 3\], expected is \[1, 2"):
        cache.write([0], {"hidden": torch.zeros(1, 1, 3)})
    with pytest.raises(UsageError, match="the value 'hidden' is missing"):
        cache.write([0], {})
    with pytest.raises(UsageError, match="there is no row 2: the cache has 2"):
        cache.write([2], {"hidden": torch.zeros(1, 2, 3)})
    with pytest.raises(UsageError, match="there is no row -1"):
        cache.read([-1])
    cache.write([0], {"hidden": torch.zeros(1, 2, 3)})
    with pytest.raises(UsageError, match="a row of 2 positions does not fit into 1"):
        cache.read([0], length=1)


# --------------------------------------------------------------------------------------- processes

WRITER = """
import sys, torch
from archspec.feature_cache import ActivationCache, StoredValue
value = StoredValue("hidden", (None, 3), torch.float32)
cache = ActivationCache(sys.argv[1], "key", [value], [1 + i % 5 for i in range(200)])
order = range(200) if sys.argv[2] == "0" else range(199, -1, -1)
for row in order:
    cache.fetch([row], lambda rows: {"hidden": torch.full((1, 5, 3), float(rows[0]))})
"""


def test_two_processes_fill_one_cache(tmp_path: Path) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), str(i)]) for i in range(2)
    ]
    assert [process.wait(60) for process in both] == [0, 0]
    lengths = [1 + i % 5 for i in range(200)]
    cache = ActivationCache(tmp_path, "key", [HIDDEN], lengths)
    assert cache.missing() == []
    found = cache.read(range(200))["hidden"]
    for row, length in enumerate(lengths):
        assert found[row, :length].eq(row).all() and found[row, length:].eq(0).all()
    assert [path.name for path in tmp_path.iterdir()] == ["key"]


# --------------------------------------------------------------------------------------------- key


def test_the_key_is_that_of_what_the_values_depend_on() -> None:
    modules = (
        "      a: {type: Linear, in_features: 4, out_features: 4}\n"
        "      n: {type: BatchNorm1d, num_features: 4}\n"
        "      b: {type: Linear, in_features: 4, out_features: 2}\n"
    )
    inputs = {"x": torch.rand(3, 4)}

    def made(forward: str = "b(n(a(x)))") -> Any:
        return from_text(f"      - return: {forward}\n", modules, ["a", "n"])

    model = made()
    found = frontier_of(model, inputs)
    facts = {"data": "rows", "preprocessing": "resize"}
    key = activation_key(found, **facts)
    other_head = frontier_of(made("b(n(a(x))) * 2"), inputs)
    assert len(key) == 64 and key == activation_key(other_head, **facts)
    others = [{"data": "x"}, {"preprocessing": "x"}, {"precision": "bf16"}]
    keys = [activation_key(found, **{**facts, **other}) for other in others]
    keys.append(activation_key(frontier_of(made("b(n(2 * a(x)))"), inputs), **facts))
    model.get_parameter("b.weight").data.add_(1)  # behind the frontier
    assert activation_key(found, **facts) == key
    for tensor in (model.get_buffer("n.running_mean"), model.get_parameter("a.weight").data):
        tensor.add_(1)
        keys.append(activation_key(found, **facts))
    assert len({key, *keys}) == 7
