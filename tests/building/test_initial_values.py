"""First values: the same for the same seed, independent of each other, and all of them there."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archspec
from archspec import build
from archspec.building import initial_values

DATA = Path(__file__).parents[1] / "inputs"
SPECS = ["bert", "bert-mlm", "resnet50", *sorted(DATA.glob("*.yaml"))]
SMALL = {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 90}


def state(source: Any, **options: Any) -> dict[str, torch.Tensor]:
    return build(source, **{"device": "cpu", "seed": 0, **options}).state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


def one_layer(layer: str, inputs: str = "[batch, 8]") -> archspec.Spec:
    text = f"""
archspec: 1
model: Net
blocks:
  Net:
    inputs: {{x: {inputs}}}
    modules:
      layer: {layer}
    forward:
      - return: x
"""
    return archspec.loads(text)


# -------------------------------------------------------------------------------------------- seeds


@pytest.mark.parametrize("name", ["features", "torch-layers"])
def test_a_seed_gives_the_same_values_every_time(name: str) -> None:
    source = DATA / f"{name}.yaml"
    assert same(state(source, seed=1), state(source, seed=1))
    assert not same(state(source, seed=1), state(source, seed=2))


def test_values_do_not_depend_on_the_neighbours() -> None:
    """A model of two layers is the beginning of one of four."""
    two = state("bert", num_hidden_layers=2, **SMALL)
    four = state("bert", num_hidden_layers=4, num_labels=2, **SMALL)
    assert two.keys() < four.keys()
    assert all(torch.equal(two[name], four[name]) for name in two)
    query, other = (four[f"bert.encoder.layer.{i}.attention.self.query.weight"] for i in (0, 1))
    assert not torch.equal(query, other)


def test_defaults_do_not_depend_on_the_neighbours_either() -> None:
    path = DATA / "torch-layers.yaml"
    whole = state(path)
    alone = state(one_layer("{type: Linear, in_features: 8, out_features: 8}"), seed=0)
    again = state(one_layer("{type: Linear, in_features: 8, out_features: 8}"), seed=0)
    assert same(alone, again)
    inner = [n for n in whole if n.endswith("linear1.weight") and n.startswith("encoder")]
    assert len(inner) == 2
    assert not torch.equal(whole[inner[0]], whole[inner[1]])


@pytest.mark.parametrize("processors", [1, 3, 64, None])
def test_values_do_not_depend_on_threads(
    processors: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = state(DATA / "features.yaml"), state("bert", num_hidden_layers=2, **SMALL)
    threads = torch.get_num_threads()
    monkeypatch.setattr(os, "cpu_count", lambda: processors)
    try:
        torch.set_num_threads(processors or 2)
        found = state(DATA / "features.yaml"), state("bert", num_hidden_layers=2, **SMALL)
    finally:
        torch.set_num_threads(threads)
    assert same(found[0], expected[0])
    assert same(found[1], expected[1])


@pytest.mark.parametrize("source", ["resnet18", DATA / "torch-layers.yaml"])
def test_with_a_seed_the_global_generator_stands_still(source: Any) -> None:
    before = torch.random.get_rng_state()
    build(source, device="cpu", seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_other_devices_are_not_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    build(DATA / "torch-layers.yaml", device="cpu", seed=3)
    assert seeded == []
    torch.manual_seed(3)
    assert seeded == [3]


def test_without_a_seed_the_global_generator_decides() -> None:
    source = DATA / "features.yaml"
    torch.manual_seed(5)
    first, second = state(source, seed=None), state(source, seed=None)
    torch.manual_seed(5)
    assert same(state(source, seed=None), first)
    assert same(state(source, seed=None), second)
    assert not same(first, second)


def test_seeds_of_paths_differ() -> None:
    seeds = {initial_values.seed_of(seed, path) for seed in range(10) for path in ("", "a", "a.b")}
    assert len(seeds) == 30
    assert all(0 <= seed < 2**63 for seed in seeds)


# --------------------------------------------------------------------------------- declared values


@pytest.fixture(scope="module")
def bert() -> dict[str, torch.Tensor]:
    return state("bert", num_hidden_layers=1)


def test_bert_starts_as_declared(bert: dict[str, torch.Tensor]) -> None:
    for name, tensor in bert.items():
        if "LayerNorm.weight" in name:
            assert torch.equal(tensor, torch.ones_like(tensor)), name
        elif name.endswith("bias"):
            assert torch.equal(tensor, torch.zeros_like(tensor)), name
        else:
            spread = 5 / math.sqrt(tensor.numel())
            assert tensor.std().item() == pytest.approx(0.02, rel=spread), name
            assert tensor.mean().item() == pytest.approx(0, abs=0.02 * spread), name


def test_the_row_of_the_padding_is_zero(bert: dict[str, torch.Tensor]) -> None:
    words = bert["bert.embeddings.word_embeddings.weight"]
    assert not words[0].any()
    assert words[1:].any(dim=1).all()
    assert bert["bert.embeddings.position_embeddings.weight"][0].any()
    other = state("bert", num_hidden_layers=1, pad_token_id=7, **SMALL)
    zeros = other["bert.embeddings.word_embeddings.weight"].any(dim=1).logical_not()
    assert zeros.nonzero().tolist() == [[7]]


def test_values_are_drawn_independently(bert: dict[str, torch.Tensor]) -> None:
    name = "bert.encoder.layer.0.attention.self.{}.weight"
    query, key = (bert[name.format(part)].flatten() for part in ("query", "key"))
    assert abs(torch.corrcoef(torch.stack([query, key]))[0, 1]) < 0.01
    quarters = query.unflatten(0, (4, -1))
    assert (torch.corrcoef(quarters) - torch.eye(4)).abs().max() < 0.02


def test_resnet_starts_by_its_fan_out() -> None:
    for name, tensor in state("resnet18", num_classes=10).items():
        if tensor.ndim == 4:
            fan_out = tensor.shape[0] * tensor.shape[2] * tensor.shape[3]
            spread = 5 / math.sqrt(tensor.numel())
            assert tensor.std().item() == pytest.approx(math.sqrt(2 / fan_out), rel=spread), name


def test_rules_of_every_kind() -> None:
    """The features spec: indices, paths, slices, types, and later rules that win."""
    found = state(DATA / "features.yaml", width=64)
    assert torch.equal(found["embed.weight"][0], torch.zeros(64))
    assert found["embed.weight"][1:].std().item() == pytest.approx(0.02, rel=0.2)
    assert torch.equal(found["mixer.table"][-1], torch.full((64,), 3.0))
    assert found["mixer.table"][0].std().item() == pytest.approx(0.5, rel=0.5)
    assert found["mixer.temperature"] == 1
    assert torch.equal(found["mixer.count"], torch.zeros(1, dtype=torch.int64))
    assert torch.equal(found["seen"], torch.ones(2, 64))
    assert torch.equal(found["conv.bias"], torch.full((64,), 0.125))
    first, second = found["mixer.pairs.0.0.weight"], found["mixer.pairs.1.0.weight"]
    xavier = 0.5 * math.sqrt(6 / 128)
    assert first.abs().max().item() == pytest.approx(xavier, rel=0.02)
    assert second.std().item() == pytest.approx(1 / 64, rel=0.1)
    assert found["mixer.steps.more_1.weight"].abs().max().item() == pytest.approx(0.25, rel=0.02)
    assert found["mixer.gains.2.weight"].abs().max().item() == pytest.approx(0.25, rel=0.1)
    window = build(DATA / "features.yaml", device="cpu").get_buffer("mixer.window")
    assert torch.equal(window, torch.full((3,), 0.25))


TIED = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {{ids: {{shape: [batch, seq], dtype: int64, below: 400}}}}
    modules:
      words: {{type: Embedding, num_embeddings: 400, embedding_dim: 60, padding_idx: 0}}
      head: {{type: Linear, in_features: 60, out_features: 400}}
    forward:
      - return: head(words(ids))
init:
  - {{match: words, weight: {{normal_: {{std: 0.02}}}}, "weight[0]": zeros_}}
  - {{match: head, weight: {{normal_: {{mean: 9}}}}, bias: ones_}}
tie: {{{tie}}}
"""


@pytest.mark.parametrize(
    ("tie", "owner"),
    [("head.weight: words.weight", "words"), ("words.weight: head.weight", "head")],
)
def test_who_is_shared_decides_the_values(tie: str, owner: str) -> None:
    spec = archspec.loads(TIED.format(tie=tie))
    model = build(spec, device="cpu", seed=0)
    words, head = model.get_submodule("words"), model.get_submodule("head")
    assert words.weight is head.weight
    assert torch.equal(head.get_parameter("bias"), torch.ones(400))
    weight = words.get_parameter("weight")
    if owner == "words":
        assert not weight[0].any()
        assert weight[1:].std().item() == pytest.approx(0.02, rel=0.05)
    else:
        assert weight.mean().item() == pytest.approx(9, rel=0.01)
    assert same(model.state_dict(), state(spec))
    ejected: dict[str, Any] = {"__name__": "ejected"}
    exec(archspec.to_python(spec), ejected)
    alone = ejected["Net"]()
    assert alone.words.weight is alone.head.weight
    assert alone.words.weight.mean().item() == pytest.approx(weight.mean().item(), abs=0.05)


@pytest.mark.parametrize(
    ("tie", "std"),
    [("head.weight: words.weight", 1.0), ("words.weight: head.weight", 1 / math.sqrt(3 * 60))],
)
def test_who_is_shared_decides_the_default_values(tie: str, std: float) -> None:
    """An Embedding's are normal, a Linear's uniform up to 1 / sqrt(60), whichever stands first."""
    before, _, after = TIED.format(tie=tie).partition("init:\n")
    spec = archspec.loads(before + after[after.index("tie:") :])
    weight = build(spec, device="cpu", seed=0).get_parameter("head.weight")
    assert weight.std().item() == pytest.approx(std, rel=0.05)


# ------------------------------------------------------------------------------- PyTorch's defaults


@pytest.mark.parametrize(
    ("layer", "own"),
    [
        ("{type: Linear, in_features: 300, out_features: 200}", lambda: nn.Linear(300, 200)),
        (
            "{type: Conv2d, in_channels: 40, out_channels: 60, kernel_size: 5}",
            lambda: nn.Conv2d(40, 60, 5),
        ),
        (
            "{type: Embedding, num_embeddings: 300, embedding_dim: 90}",
            lambda: nn.Embedding(300, 90),
        ),
        (
            "{type: LSTM, input_size: 70, hidden_size: 60, num_layers: 2}",
            lambda: nn.LSTM(70, 60, num_layers=2),
        ),
        (
            "{type: MultiheadAttention, embed_dim: 128, num_heads: 4}",
            lambda: nn.MultiheadAttention(128, 4),
        ),
        (
            "{type: Bilinear, in1_features: 20, in2_features: 30, out_features: 40}",
            lambda: nn.Bilinear(20, 30, 40),
        ),
        (
            "{type: Transformer, d_model: 64, nhead: 2, num_encoder_layers: 2,"
            " num_decoder_layers: 1, dim_feedforward: 200, batch_first: true}",
            lambda: nn.Transformer(64, 2, 2, 1, 200, batch_first=True),
        ),
        ("{type: BatchNorm2d, num_features: 9}", lambda: nn.BatchNorm2d(9)),
        ("{type: PReLU, num_parameters: 5}", lambda: nn.PReLU(5)),
        ("{type: GRUCell, input_size: 80, hidden_size: 90}", lambda: nn.GRUCell(80, 90)),
    ],
    ids=lambda value: value.split()[1][:-1] if isinstance(value, str) else "",
)
def test_without_a_rule_a_layer_starts_as_pytorch_has_it(layer: str, own: Any) -> None:
    torch.manual_seed(0)
    expected = own().state_dict()
    found = state(one_layer(layer, "[batch, 8]"))
    assert {name.removeprefix("layer.") for name in found} == expected.keys()
    for name, tensor in expected.items():
        ours = found[f"layer.{name}"].float()
        theirs = tensor.float()
        if theirs.numel() < 2 or theirs.std() == 0:
            assert torch.equal(ours, theirs), name
        else:
            spread = 6 / math.sqrt(theirs.numel())
            assert ours.std() / theirs.std() == pytest.approx(1, abs=spread), name
            assert ours.abs().max() / theirs.abs().max() == pytest.approx(1, abs=0.35), name
            assert not torch.equal(ours, theirs), name


def test_a_recurrent_layer_runs_with_the_values_it_shows() -> None:
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
    model = build(archspec.loads(text), device="cpu", seed=0)
    own = nn.LSTM(3, 5, 2, batch_first=True)
    own.load_state_dict(model.get_submodule("lstm").state_dict())
    x = torch.randn(2, 7, 3)
    assert torch.equal(model(x), own(x)[0])


# ---------------------------------------------------------------------------------- nothing is left


class _Poisoned:
    """``torch`` as ``materialise`` sees it, with memory that nobody has written to."""

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)

    def empty(self, *size: Any, **options: Any) -> torch.Tensor:
        empty = torch.empty(*size, **options)
        return empty.fill_(math.nan if empty.is_floating_point() else -77)


@pytest.mark.parametrize("dtype", [None, "bfloat16"])
@pytest.mark.parametrize("source", SPECS, ids=lambda s: getattr(s, "stem", s))
def test_every_tensor_is_written(
    source: Any, dtype: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    smaller = {"hidden_size": 48, "num_attention_heads": 4, "vocab_size": 90, "n_embd": 48}
    smaller |= {"hidden_dim": 48, "image_size": 32}
    spec = archspec.load(source)
    spec = spec.with_params(**{k: v for k, v in smaller.items() if k in spec.params})
    monkeypatch.setattr(initial_values, "torch", _Poisoned())
    model = build(spec, device="cpu", dtype=dtype)
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    assert tensors
    for name, tensor in tensors.items():
        assert not tensor.is_meta, name
        assert not tensor.isnan().any(), name
        assert not (tensor == -77).any(), name
