"""Checkpoints: found, checked as a whole, mapped and assigned."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import archspec
from archspec import Spec, UsageError, WeightsError, build

NET = """
archspec: 1
model: Net
params: {size: 4}
blocks:
  Net:
    inputs: {x: [batch, $size]}
    modules:
      body:
        type: Sequential
        items:
          - {type: Linear, in_features: $size, out_features: $size}
          - {type: BatchNorm1d, num_features: $size}
      head: {type: Linear, in_features: $size, out_features: 2}
    buffers:
      seen: {shape: [2], init: ones_}
checkpoints:
  theirs:
    prefix: "net."
    rename: {"body.*.**": "trunk.*.**"}
    ignore: ["**.junk"]
    optional: ["seen"]
  older: {rename: {"head": "fc"}}
"""
State = dict[str, torch.Tensor]


@pytest.fixture
def spec() -> Spec:
    return archspec.loads(NET, name="net.yaml")


@pytest.fixture
def state(spec: Spec) -> State:
    """Other values than those a model starts with."""
    model = build(spec, device="cpu", seed=11)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["body.1.running_mean"] += 5
    state["seen"] += 1
    return state


def equal(model: nn.Module, state: State) -> bool:
    found = model.state_dict()
    return found.keys() == state.keys() and all(torch.equal(found[n], state[n]) for n in found)


def failure(spec: Spec, weights: Path, **options: Any) -> list[str]:
    """The problems that the weights have, a code and a sentence each."""
    with pytest.raises(WeightsError) as caught:
        build(spec, **{"device": "meta", **options}, weights=weights)
    return [f"{problem.code} {problem.message}" for problem in caught.value.problems]


def saved(state: State, path: Path) -> Path:
    save_file(state, path)
    return path


# ------------------------------------------------------------------------------------------- found


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_our_own_names(device: str, spec: Spec, state: State, tmp_path: Path) -> None:
    weights = saved(state, tmp_path / "any.safetensors")
    assert equal(build(spec, weights=weights, device=device), state)
    assert equal(build(spec, weights=str(weights), device=device), state)


def test_a_folder(spec: Spec, state: State, tmp_path: Path) -> None:
    saved(state, tmp_path / "model.safetensors")
    assert equal(build(spec, weights=tmp_path, device="cpu"), state)


def test_a_renamed_layout(spec: Spec, state: State, tmp_path: Path) -> None:
    theirs = {"net." + re.sub("^body", "trunk", name): t for name, t in state.items()}
    theirs["net.trunk.junk"] = torch.zeros(3)
    assert equal(
        build(spec, weights=saved(theirs, tmp_path / "a.safetensors"), device="cpu"), state
    )


def test_the_layout_that_fits_best_is_taken(spec: Spec, state: State, tmp_path: Path) -> None:
    older = {re.sub("^head", "fc", name): t for name, t in state.items()}
    assert equal(build(spec, weights=saved(older, tmp_path / "a.safetensors"), device="cpu"), state)


def test_what_is_optional_keeps_its_first_value(spec: Spec, state: State, tmp_path: Path) -> None:
    theirs = {"net." + re.sub("^body", "trunk", n): t for n, t in state.items() if n != "seen"}
    model = build(spec, weights=saved(theirs, tmp_path / "a.safetensors"), device="cpu", seed=0)
    assert equal(model, {**state, "seen": torch.ones(2)})


def test_what_may_differ(
    spec: Spec, state: State, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As ``load_weights`` does it after building, and told."""
    other = {name: tensor for name, tensor in state.items() if not name.startswith("body.0")}
    other["head.weight"], other["head.bias"] = torch.rand(3, 4), torch.rand(3)
    other["spare"] = torch.rand(2)
    path = saved(other, tmp_path / "any.safetensors")
    choices: dict[str, Any] = {
        "ignore": ["spare"], "allow_missing": ["body.0"],
        "resize": {"head": "rows", "head.bias": "fresh"},
    }  # fmt: skip
    model = build(spec, device="cpu", seed=3)
    archspec.load_weights(model, path, **choices)
    assert torch.equal(model.get_parameter("head.weight"), other["head.weight"][:2])
    for device in ("meta", "cpu"):
        caplog.clear()
        built = build(spec, device=device, seed=3, weights=path, **choices)
        fresh = "body.0.weight, body.0.bias, head.bias"
        assert [record.getMessage() for record in caplog.records] == [
            f"any.safetensors: without 3 tensors, which start anew: {fresh}",
            "any.safetensors: resized: head.weight [3, 4] → [2, 4]",
            "any.safetensors: 1 tensor of the file is left unread: spare",
        ]
    assert equal(built, model.state_dict())
    for name, value in {**choices, "allow_partial": True}.items():
        with pytest.raises(UsageError, match=f"{name} says how weights are read"):
            build(spec, device="meta", **{name: value})


def test_shared_parameters_need_one_name(tmp_path: Path) -> None:
    path = Path(__file__).parents[1] / "inputs" / "gpt2.yaml"
    spec = archspec.load(path, vocab_size=20, n_positions=8, n_embd=6, n_layer=1, n_head=2)
    state = build(spec, device="cpu").state_dict()
    for name in ("lm_head.weight", "transformer.wte.weight"):
        one = {n: t.clone() for n, t in state.items() if n != name}
        model = build(spec, weights=saved(one, tmp_path / "a.safetensors"), device="cpu")
        assert equal(model, state)
        weight = model.get_parameter("lm_head.weight")
        assert weight is model.get_parameter("transformer.wte.weight")


def test_tensors_of_one_memory_in_a_file_are_apart_in_the_model(
    spec: Spec, state: State, tmp_path: Path
) -> None:
    """``torch.save`` keeps that tensors share memory; the model's are none the less its own."""
    whole = torch.cat([tensor.flatten() for tensor in state.values() if tensor.is_floating_point()])
    theirs, at = dict(state), 0
    for name, tensor in state.items():
        if tensor.is_floating_point():
            theirs[name] = whole[at : at + tensor.numel()].view(tensor.shape)
            at += tensor.numel()
    torch.save(theirs, tmp_path / "a.pt")
    model = build(spec, weights=tmp_path / "a.pt", device="cpu")
    assert equal(model, state)
    memories = [t.untyped_storage().data_ptr() for t in model.state_dict().values()]
    assert len(set(memories)) == len(memories)


def test_layers_that_keep_lists_of_their_weights(tmp_path: Path) -> None:
    text = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, time, 3]}
    modules:
      lstm: {type: LSTM, input_size: 3, hidden_size: 5, num_layers: 2, batch_first: true}
    forward:
      - y, _: lstm(x)
      - return: y
"""
    spec = archspec.loads(text)
    first = build(spec, device="cpu", seed=0)
    weights = saved(first.state_dict(), tmp_path / "a.safetensors")
    second = build(spec, device="cpu", seed=1, weights=weights)
    x = torch.randn(2, 7, 3)
    assert torch.equal(first(x), second(x))


# ------------------------------------------------------------------------------------------ shards


@pytest.fixture
def sharded(state: State, tmp_path: Path) -> Callable[[Any], Path]:
    """A folder with two files and an index, whose text can be replaced."""
    names = list(state)
    files = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
    for file in set(files.values()):
        saved({n: state[n] for n in names if files[n] == file}, tmp_path / file)

    def make(index: Any = None) -> Path:
        index = {"weight_map": files} if index is None else index
        text = index if isinstance(index, str) else json.dumps(index)
        (tmp_path / "model.safetensors.index.json").write_text(text)
        return tmp_path

    return make


def test_shards(spec: Spec, state: State, sharded: Callable[[Any], Path]) -> None:
    assert equal(build(spec, weights=sharded(None), device="cpu"), state)


@pytest.mark.parametrize(
    "name",
    [
        "../outside.safetensors",
        "/outside.safetensors",
        "sub/a.safetensors",
        "model.bin",
        3,
        "..",
    ],
)
def test_an_index_stays_in_its_folder(
    name: Any, spec: Spec, state: State, sharded: Callable[[Any], Path], tmp_path: Path
) -> None:
    saved(state, tmp_path.parent / "outside.safetensors")
    found = failure(spec, sharded({"weight_map": {"head.weight": name}}))
    assert len(found) == 1
    assert found[0].startswith("E601 ")
    assert found[0].endswith(f"{name!r} is not a file of its folder")


@pytest.mark.parametrize(
    "index", ["{", "[]", "{}", "3", '{"weight_map": 3}', '{"weight_map": ["a"]}', "[" * 100_000]
)
def test_not_an_index(index: str, spec: Spec, sharded: Callable[[Any], Path]) -> None:
    found = failure(spec, sharded(index))
    assert len(found) == 1
    assert found[0].startswith("E601 ")
    assert "model.safetensors.index.json: not an index" in found[0]


def test_a_shard_that_is_a_pipe(spec: Spec, sharded: Callable[[Any], Path], tmp_path: Path) -> None:
    """Nothing waits for what never comes."""
    os.mkfifo(tmp_path / "model-7.safetensors")
    (found,) = failure(spec, sharded({"weight_map": {"head.weight": "model-7.safetensors"}}))
    assert found.endswith("'model-7.safetensors' is not a file of its folder")


def test_a_shard_that_is_not_there(spec: Spec, sharded: Callable[[Any], Path]) -> None:
    index = {"weight_map": {"head.weight": "model-7.safetensors"}}
    (found,) = failure(spec, sharded(index))
    assert found.startswith("E601 ")
    assert "model-7.safetensors" in found


# ----------------------------------------------------------------------------------------- unread


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 7,
        b"not a safetensors file at all",
        b"\xff" * 64,
        (2**40).to_bytes(8, "little") + b"{}",
        b"PK\x03\x04" + b"\x00" * 60,
    ],
    ids=["empty", "short", "text", "ones", "long header", "zip"],
)
def test_files_that_are_something_else(content: bytes, spec: Spec, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(content)
    (found,) = failure(spec, weights)
    assert found.startswith(f"E601 {weights}: ")


def test_a_file_without_tensors(spec: Spec, tmp_path: Path) -> None:
    weights = tmp_path / "model.safetensors"
    weights.write_bytes((8).to_bytes(8, "little") + b"{}      ")
    (found,) = failure(spec, weights)
    assert found.startswith("E602 9 tensors are missing in the layout 'theirs': body.0.weight")


def test_a_truncated_file(spec: Spec, state: State, tmp_path: Path) -> None:
    weights = saved(state, tmp_path / "model.safetensors")
    whole = weights.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 9):
        weights.write_bytes(whole[:length])
        (found,) = failure(spec, weights)
        assert found.startswith(f"E601 {weights}: ")


def test_a_file_of_torch_save(spec: Spec, state: State, tmp_path: Path) -> None:
    weights = tmp_path / "pytorch_model.bin"
    torch.save(state, weights)
    assert equal(build(spec, weights=weights, device="cpu"), state)
    assert equal(build(spec, weights=tmp_path, device="cpu"), state)


def test_tensors_that_a_file_lets_overlap_become_separate(spec: Spec, tmp_path: Path) -> None:
    """Training one parameter must not change another."""
    one = torch.arange(6.0)
    state = build(spec, device="cpu").state_dict()
    state |= {"body.0.bias": one[:4], "body.1.bias": one[2:], "body.1.weight": one[:1].expand(4)}
    weights = tmp_path / "model.pt"
    torch.save(state, weights)
    model = build(spec, weights=weights, device="cpu")
    assert equal(model, state)
    with torch.no_grad():
        for name in ("body.0.bias", "body.1.bias"):
            model.get_parameter(name).zero_()
    assert model.get_parameter("body.1.weight").tolist() == [0.0] * 4
    with torch.no_grad():
        model.get_parameter("body.1.weight")[0] = 7
    assert model.get_parameter("body.1.weight").tolist() == [7.0, 0.0, 0.0, 0.0]
    assert model.get_parameter("body.1.bias").tolist() == [0.0] * 4


def test_files_of_another_kind_are_not_read(spec: Spec, state: State, tmp_path: Path) -> None:
    weights = saved(state, tmp_path / "model.weights")
    (found,) = failure(spec, weights)
    assert found == f"E601 {weights}: neither a safetensors file nor one of PyTorch's"
    weights = saved(state, tmp_path / "model.h5")
    assert failure(spec, weights) == [f"E601 {weights}: a model of TensorFlow"]


def test_no_such_file(spec: Spec, tmp_path: Path) -> None:
    for weights in (tmp_path, tmp_path / "a.safetensors"):
        (found,) = failure(spec, weights)
        assert found.startswith("E601 ")
        assert found.endswith(": no such file")


# ----------------------------------------------------------------------------------------- no fit


def test_every_problem_at_once(spec: Spec, state: State, tmp_path: Path) -> None:
    wrong = {name: t for name, t in state.items() if name not in ("head.bias", "body.0.weight")}
    wrong |= {"tail.weight": torch.zeros(1), "head.weight": torch.zeros(3, 4)}
    wrong["body.0.bias"] = torch.zeros(4, 1)
    assert failure(spec, saved(wrong, tmp_path / "a.safetensors"), device="cpu") == [
        "E602 2 tensors are missing: body.0.weight, head.bias",
        "E602 1 tensors have no place: tail.weight",
        "E603 'body.0.bias' has the shape [4], in the file [4, 1]",
        "E603 'head.weight' has the shape [2, 4], in the file [3, 4]",
    ]


def test_problems_name_the_nearest_layout(spec: Spec, state: State, tmp_path: Path) -> None:
    theirs = {"net." + re.sub("^body", "trunk", name): t for name, t in state.items()}
    del theirs["net.trunk.0.bias"]
    (found,) = failure(spec, saved(theirs, tmp_path / "a.safetensors"))
    assert found == "E602 1 tensors are missing in the layout 'theirs': body.0.bias"


def test_a_model_of_another_size(state: State, tmp_path: Path) -> None:
    found = failure(archspec.loads(NET, size=5), saved(state, tmp_path / "a.safetensors"))
    assert {line[:4] for line in found} == {"E603"}
    assert "E603 'body.1.running_var' has the shape [5], in the file [4]" in found


# ------------------------------------------------------------------------------------------ values


@pytest.mark.parametrize("held", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("asked", [None, "float32", "bfloat16"])
def test_dtypes(
    held: torch.dtype, asked: str | None, spec: Spec, state: State, tmp_path: Path
) -> None:
    """Floating-point tensors come in the dtype that is asked for; counters stay integers."""
    stored = {n: t.to(held) if t.is_floating_point() else t for n, t in state.items()}
    weights = saved(stored, tmp_path / "a.safetensors")
    model = build(spec, weights=weights, dtype=asked, device="cpu")
    wanted = getattr(torch, asked or "float32")
    expected = {n: t.to(wanted) if t.is_floating_point() else t for n, t in stored.items()}
    assert equal(model, expected)
    assert model.get_buffer("body.1.num_batches_tracked").dtype == torch.int64


def test_declared_dtypes_stay(tmp_path: Path) -> None:
    """Unless another one is asked for."""
    text = NET.replace("{shape: [2], init: ones_}", "{shape: [2], dtype: float64, init: ones_}")
    spec = archspec.loads(text)
    first = build(spec, device="cpu")
    third = torch.tensor([1 / 3, 2 / 3], dtype=torch.float64)
    weights = saved({**first.state_dict(), "seen": third}, tmp_path / "a.safetensors")
    model = build(spec, weights=weights, device="cpu")
    assert model.get_buffer("seen").dtype == torch.float64
    assert torch.equal(model.get_buffer("seen"), third)
    assert model.get_parameter("head.bias").dtype == torch.float32
    weights = saved({**first.state_dict(), "seen": third.float()}, tmp_path / "b.safetensors")
    assert build(spec, weights=weights, device="cpu").get_buffer("seen").dtype == torch.float64
    half = build(spec, weights=weights, device="cpu", dtype="bfloat16")
    assert half.get_buffer("seen").dtype == torch.bfloat16


def test_training_leaves_the_file_alone(spec: Spec, state: State, tmp_path: Path) -> None:
    """The parameters are views of the mapped file, and private."""
    weights = saved(state, tmp_path / "a.safetensors")
    before = weights.read_bytes()
    model = build(spec, weights=weights, device="cpu")
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(torch.randn(3, 4)).square().sum().backward()
    optimizer.step()
    assert not torch.equal(model.get_parameter("head.weight"), state["head.weight"])
    assert weights.read_bytes() == before
    assert equal(build(spec, weights=weights, device="cpu"), state)


def test_given_tensors_are_trainable_unless_frozen(
    spec: Spec, state: State, tmp_path: Path
) -> None:
    weights = saved(state, tmp_path / "a.safetensors")
    model = build(spec, weights=weights, freeze=["body"], device="cpu")
    assert {n: p.requires_grad for n, p in model.named_parameters()} == {
        "body.0.weight": False,
        "body.0.bias": False,
        "body.1.weight": False,
        "body.1.bias": False,
        "head.weight": True,
        "head.bias": True,
    }


def test_nothing_is_drawn_when_all_is_given(spec: Spec, state: State, tmp_path: Path) -> None:
    weights = saved(state, tmp_path / "a.safetensors")
    before = torch.random.get_rng_state()
    build(spec, weights=weights, device="cpu", seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
