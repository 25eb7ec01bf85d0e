"""``save_weights``: names, shared tensors, shards, and files that are whole or as they were."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

import archspec
from archspec import UsageError, WeightsError, build, load_weights, save_weights, storage
from archspec.weights import saving
from archspec.weights.files import DTYPES

NET = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {ids: {shape: [batch], dtype: int64, below: 5}}
    modules:
      lm: {type: Linear, in_features: 4, out_features: 5, bias: false}
      embed: {type: Embedding, num_embeddings: 5, embedding_dim: 4}
      bn: {type: BatchNorm1d, num_features: 4}
    forward:
      - return: lm(bn(embed(ids)))
tie: {lm.weight: embed.weight}
checkpoints:
  theirs: {prefix: "net.", rename: {"embed": "words"}}
  meeting: {rename: {"embed": "bn"}}
"""
NAMES = ["embed.weight", *(f"bn.{n}" for n in ("weight", "bias", "running_mean", "running_var"))]
NAMES += ["bn.num_batches_tracked"]


@pytest.fixture
def model() -> nn.Module:
    return build(archspec.loads(NET, name="net.yaml"), device="cpu", seed=0)


def same(one: nn.Module, other: nn.Module) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(t, theirs[n]) for n, t in mine.items())


def again(path: Path, **options: Any) -> nn.Module:
    """Another model, with the weights of the file."""
    model = build(archspec.loads(NET, name="net.yaml"), device="cpu", seed=1)
    load_weights(model, path, **options)
    return model


def test_one_file(model: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    assert save_weights(model, path) == (path,)
    with safe_open(path, "pt") as opened:
        assert opened.metadata() == {"format": "pt"}
        assert set(opened.keys()) == set(NAMES), "the tied tensor once, under its owner's name"
    assert same(again(path), model)
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("there", [True, False])
def test_a_folder(there: bool, model: nn.Module, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    if there:
        folder.mkdir()
    assert save_weights(model, str(folder)) == (folder / "model.safetensors",)
    assert same(again(folder), model)


def test_a_foreign_layout(model: nn.Module, tmp_path: Path) -> None:
    (path,) = save_weights(model, tmp_path, layout="theirs")
    expected = {f"net.{n}".replace("embed", "words") for n in NAMES}
    assert load_file(path).keys() == expected
    assert same(again(path), model)
    assert same(again(path, layout="theirs"), model)


def test_other_modules_know_their_own_names_only(tmp_path: Path) -> None:
    model = nn.Linear(2, 3)
    (path,) = save_weights(model, tmp_path)
    assert load_file(path).keys() == {"weight", "bias"}
    with pytest.raises(WeightsError) as caught:
        save_weights(model, tmp_path, layout="theirs")
    assert caught.value.code == "E604"


def test_two_tensors_under_one_name(model: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        save_weights(model, tmp_path, layout="meeting")
    (problem,) = caught.value.problems
    assert problem.code == "E605" and problem.place and problem.place.line == 15
    message = "'embed.weight' and 'bn.weight' are both 'bn.weight' in the layout 'meeting'"
    assert problem.message == message
    assert list(tmp_path.iterdir()) == []


def test_views_and_tensors_in_one_memory(tmp_path: Path) -> None:
    model = nn.Module()
    whole = torch.arange(12.0).reshape(3, 4)
    model.register_buffer("left", whole[:, :2])
    model.register_buffer("right", whole[:, 2:])
    model.register_buffer("all", whole)
    model.register_buffer("first", whole[0])
    model.register_buffer("spread", torch.ones(1).expand(5))
    (path,) = save_weights(model, tmp_path)
    found = load_file(path)
    assert all(torch.equal(found[name], t) for name, t in model.named_buffers())
    assert path.stat().st_size < 1000


def test_a_file_can_be_replaced_by_what_was_mapped_from_it(tmp_path: Path) -> None:
    spec = archspec.loads(NET, name="net.yaml")
    save_weights(build(spec, device="cpu", seed=3), tmp_path)
    model = build(spec, weights=tmp_path, device="cpu")
    with torch.no_grad():
        model.get_parameter("embed.weight").mul_(2)
    save_weights(model, tmp_path)
    assert same(again(tmp_path), model)


def test_a_link_stays_a_link(model: nn.Module, tmp_path: Path) -> None:
    real, link = tmp_path / "real.safetensors", tmp_path / "link.safetensors"
    real.write_bytes(b"")
    link.symlink_to(real)
    save_weights(model, link)
    assert link.is_symlink() and same(again(real), model)


# ------------------------------------------------------------------------------------------ shards


def test_shards(model: nn.Module, tmp_path: Path) -> None:
    files = save_weights(model, tmp_path, max_shard_bytes=80)
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert [f.name for f in files] == [*names, "model.safetensors.index.json"]
    index = json.loads(files[-1].read_text())
    assert index["metadata"] == {"total_size": 5 * 4 * 4 + 4 * 4 * 4 + 8}
    held = {name: set(load_file(tmp_path / name)) for name in names}
    assert held[names[0]] == {"embed.weight"} and held[names[1]] == set(NAMES[1:])
    assert index["weight_map"] == {n: file for file, ns in held.items() for n in ns}
    assert same(again(tmp_path), model) and same(again(files[-1]), model)


@pytest.mark.parametrize("most", [1, 16, 100, 151, 152, 10**9])
def test_shards_are_as_large_as_asked(most: int, model: nn.Module, tmp_path: Path) -> None:
    files = save_weights(model, tmp_path / "x.safetensors", max_shard_bytes=most)
    held = [load_file(f) for f in files if f.suffix == ".safetensors"]
    sizes = [[t.nbytes for t in one.values()] for one in held]
    assert all(sum(one) <= most or len(one) == 1 for one in sizes)
    assert sum(map(sum, sizes)) == 152
    assert len(held) >= math.ceil(152 / most) or len(held) == len(NAMES)
    assert len(files) == (len(held) if len(held) == 1 else len(held) + 1)
    assert {n for one in held for n in one} == set(NAMES)


def test_what_an_earlier_checkpoint_left_is_removed(model: nn.Module, tmp_path: Path) -> None:
    other = tmp_path / "other-00001-of-00002.safetensors"
    other.write_bytes(b"mine")
    save_weights(model, tmp_path)
    save_weights(model, tmp_path, max_shard_bytes=10)
    save_weights(model, tmp_path, max_shard_bytes=100)
    names = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    assert {p.name for p in tmp_path.iterdir()} == {
        *names, "model.safetensors.index.json", other.name
    }  # fmt: skip
    save_weights(model, tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"model.safetensors", other.name}


# ---------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize("most", [None, 80])
def test_a_write_that_fails_leaves_the_old_files(
    most: int | None, model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_weights(model, tmp_path, max_shard_bytes=most)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with torch.no_grad():
        model.get_parameter("embed.weight").zero_()
    written: list[str] = []

    def fails(tensors: dict[str, torch.Tensor], file: Path, **_: Any) -> None:
        file.write_bytes(b"half")
        written.append(file.name)
        if len(written) == len(before) - (most is not None):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(saving, "save_file", fails)
    with pytest.raises(WeightsError) as caught:
        save_weights(model, tmp_path, max_shard_bytes=most)
    assert caught.value.code == "E601"
    assert caught.value.message.endswith("cannot be written: [Errno 28] No space left on device")
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    "broken", ["model-00002-of-00002.safetensors", "index", "model.safetensors"]
)
def test_a_move_that_fails_brings_the_old_files_back(
    broken: str, model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever move it is; and while files move there is nothing that could be read."""
    most = None if broken == "model.safetensors" else 80
    save_weights(model, tmp_path, max_shard_bytes=80)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with torch.no_grad():
        model.get_parameter("embed.weight").zero_()
    moves: list[str] = []

    def fails(source: Path, target: Path) -> None:
        index = tmp_path / "model.safetensors.index.json"
        assert moves or source == index or not index.exists() or most is None
        if broken in target.name and source.name.startswith(".") and not moves:
            moves.append(target.name)
            raise OSError(5, "Input/output error")
        os.rename(source, target)

    monkeypatch.setattr(storage.os, "replace", fails)
    with pytest.raises(WeightsError) as caught:
        save_weights(model, tmp_path, max_shard_bytes=most)
    assert caught.value.message.endswith("cannot be written: [Errno 5] Input/output error")
    monkeypatch.undo()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_killed_write_cannot_be_read(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_weights(model, tmp_path, max_shard_bytes=80)
    seen: list[str] = []
    replace = os.replace

    def watched(source: Path, target: Path) -> None:
        replace(source, target)
        with pytest.raises(WeightsError) as caught:
            load_weights(model, tmp_path)
        seen.append(caught.value.code)
        if len(seen) == 5:  # three are out, two are in: the index is the last
            monkeypatch.setattr(storage.os, "replace", replace)

    monkeypatch.setattr(storage.os, "replace", watched)
    save_weights(model, tmp_path, max_shard_bytes=80)
    assert seen == ["E601"] * 5
    assert same(again(tmp_path), model)


def test_what_cannot_be_removed_stays(model: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00009.safetensors").mkdir()
    save_weights(model, tmp_path)
    save_weights(model, tmp_path, max_shard_bytes=80)
    assert same(again(tmp_path), model)


def test_a_folder_in_the_way(model: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "model-00002-of-00002.safetensors" / "x").mkdir(parents=True)
    save_weights(model, tmp_path)
    before = {p.name for p in tmp_path.iterdir()}
    with pytest.raises(WeightsError) as caught:
        save_weights(model, tmp_path, max_shard_bytes=80)
    assert caught.value.code == "E601" and {p.name for p in tmp_path.iterdir()} == before
    assert same(again(tmp_path), model)


def test_folders_that_are_not_there(model: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "a" / "b" / "c.safetensors", tmp_path / "file" / "c.safetensors"):
        with pytest.raises(WeightsError) as caught:
            save_weights(model, path)
        assert caught.value.code == "E601" and f"{path}: cannot be written" in str(caught.value)


def test_arguments_that_make_no_sense(model: nn.Module, tmp_path: Path) -> None:
    on_meta = build("resnet18", device="meta")
    for call, message in [
        (lambda: save_weights(model, tmp_path / "a.bin"), "are written as .safetensors files only"),
        (lambda: save_weights(model, cast("Any", 3)), "to a file or a folder, not int"),
        (lambda: save_weights(cast("Any", {}), tmp_path), "a model is a module, not dict"),
        (lambda: save_weights(on_meta, tmp_path), "'conv1.weight' is on meta"),
        (lambda: save_weights(model, tmp_path, max_shard_bytes=0), "a number of bytes, not 0"),
        (lambda: save_weights(model, tmp_path, max_shard_bytes=True), "of bytes, not True"),
    ]:
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.code == "E801" and message in caught.value.message
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (torch.eye(3).to_sparse(), "is sparse or quantized: safetensors has no such tensors"),
        (
            torch.ones(2, dtype=torch.complex128),
            "has the dtype complex128: safetensors has no such",
        ),
    ],
)
def test_tensors_that_the_format_has_not(tensor: torch.Tensor, reason: str, tmp_path: Path) -> None:
    model = nn.Module()
    model.register_buffer("odd", tensor)
    with pytest.raises(UsageError) as caught:
        save_weights(model, tmp_path)
    assert (caught.value.code, caught.value.message) == ("E801", f"'odd' {reason}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", sorted(set(DTYPES.values())))
def test_every_dtype_comes_back(name: str, tmp_path: Path) -> None:
    kind = getattr(torch, name)
    model = nn.Module()
    values = torch.tensor([1, 0, 1])
    model.register_buffer("x", values.to(kind) if name != "complex64" else torch.conj(values * 1j))
    (path,) = save_weights(model, tmp_path)
    assert load_file(path)["x"].dtype == kind
    expected = model.get_buffer("x").to(torch.complex64)
    assert torch.equal(load_file(path)["x"].to(torch.complex64), expected)
    assert load_weights(model, path).complete


@pytest.mark.parametrize("name", ["a" * 501, "__".join("a" * 40)])
def test_names_that_could_not_be_read_again(name: str, tmp_path: Path) -> None:
    model = nn.Module()
    model.register_buffer(name, torch.ones(1))
    if len(name) <= 500:
        assert save_weights(model, tmp_path)
        return
    with pytest.raises(UsageError) as caught:
        save_weights(model, tmp_path)
    assert caught.value.message.endswith("…' is too long or too deep for a tensor's name")


class Extra(nn.Module):
    def __init__(self, state: Any) -> None:
        super().__init__()
        self.w, self.state = nn.Parameter(torch.ones(2)), state

    def get_extra_state(self) -> Any:
        return self.state

    def set_extra_state(self, state: Any) -> None:
        self.state = state


@pytest.mark.parametrize("state", [torch.ones(1), {"a": 1}, 3])
def test_state_that_is_kept_elsewhere(state: Any, tmp_path: Path) -> None:
    for call in (save_weights, load_weights):
        with pytest.raises(UsageError) as caught:
            call(Extra(state), tmp_path)
        message = "'_extra_state' is no parameter and no buffer: the module keeps it in its own way"
        assert caught.value.message == message


def test_modules_without_shapes(tmp_path: Path) -> None:
    for call in (save_weights, load_weights):
        with pytest.raises(UsageError) as caught:
            call(nn.Sequential(nn.LazyLinear(3)), tmp_path)
        assert (caught.value.code, caught.value.message) == ("E801", "'0.weight' has no shape yet")


def test_two_parameters_in_one_memory(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    first, second = (model.get_parameter(f"{i}.weight") for i in (0, 1))
    second.data = first.data
    (path,) = save_weights(model, tmp_path)
    assert load_file(path).keys() == {"0.weight"}
    save_file({"0.weight": torch.zeros(2, 2), "1.weight": torch.ones(2, 2)}, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert caught.value.code == "E607"
    report = load_weights(model, path, ignore="0.weight")
    assert report.counts["tied"] == 1 and torch.equal(first, torch.ones(2, 2))
