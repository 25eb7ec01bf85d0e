"""Freeze plans: no gradient, and inference mode that outlasts ``model.train()``."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from archspec import build, freeze, loads

SMALL: dict[str, Any] = {
    "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 4, "intermediate_size": 8,
    "vocab_size": 20, "max_position_embeddings": 16,
}  # fmt: skip

NET = """
archspec: 1
model: Net
blocks:
  Stage:
    inputs: {x: [batch, 4, size]}
    modules:
      conv: {type: Conv1d, in_channels: 4, out_channels: 4, kernel_size: 1}
      norm: {type: BatchNorm1d, num_features: 4}
      drop: {type: Dropout, p: 0.5}
    forward:
      - return: drop(norm(conv(x)))
  Functional:
    inputs: {x: [batch, 4]}
    modules: {inner: {type: Linear, in_features: 4, out_features: 4}}
    forward:
      - return: inner(dropout(x, 0.5, training))
  Net:
    inputs: {x: [batch, 4, size]}
    modules:
      body: {type: Sequential, items: [{type: Stage, repeat: 2}]}
      extra: {type: Functional}
      rate: {type: InstanceNorm1d, num_features: 4, track_running_stats: true}
      head: {type: Linear, in_features: 4, out_features: 2}
    forward:
      - x: mean(rate(body(x)), -1)
      - return: head(extra(x))
freeze:
  all: ["**"]
  body: [body, rate]
  first: ["body[0]"]
  all-but-a-norm-weight: ["**", "!body.0.norm.weight"]
  norms: ["@BatchNorm1d"]
  moving-statistics: {patterns: ["**"], statistics: false}
  dropout-on: {patterns: ["**"], dropout: false}
  both: {patterns: ["**"], statistics: false, dropout: false}
  none: []
"""
X = torch.randn(6, 4, 5, generator=torch.Generator().manual_seed(0))


def net(freeze: Any = None, **options: Any) -> nn.Module:
    return build(loads(NET), device="cpu", seed=0, freeze=freeze, **options)


def trainable(model: nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.requires_grad}


def in_training(model: nn.Module) -> set[str]:
    return {name for name, module in model.named_modules() if module.training}


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def changed(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    return {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}


def train(model: nn.Module, x: Tensor, steps: int = 3) -> None:
    """Steps of AdamW over all parameters that want a gradient, with weight decay."""
    model.train()
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(chosen, lr=0.1, weight_decay=0.1) if chosen else None
    for _ in range(steps):
        loss = model(x).square().mean()
        if optimizer is not None:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()


# ------------------------------------------------------------------------------ what has a gradient


@pytest.mark.parametrize(
    ("plan", "count"),
    [("last-2-and-head", 14_177_282), ("head-only", 1_538), ("none", 109_483_778), ("all", 0)],
)
def test_the_plans_of_bert(plan: str, count: int) -> None:
    model = build("bert", device="meta", freeze=plan)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count
    prefixes = {
        "last-2-and-head": ("bert.encoder.layer.10.", "bert.encoder.layer.11.", "classifier."),
        "head-only": ("classifier.",),
        "none": ("",),
        "all": (),
    }[plan]
    names = [name for name, _ in model.named_parameters()]
    assert trainable(model) == {name for name in names if name.startswith(prefixes)}


@pytest.mark.parametrize(
    ("plan", "free"),
    [
        ("none", ("",)),
        ("all", ()),
        ("head-only", ("fc",)),
        ("last-stage-and-head", ("layer4", "fc")),
    ],
)
def test_the_plans_of_resnet(plan: str, free: tuple[str, ...]) -> None:
    model = build("resnet18", device="meta", freeze=plan)
    assert trainable(model) == {n for n, _ in model.named_parameters() if n.startswith(free)}
    model.train()
    modules = {name for name, _ in model.named_modules() if name.startswith(free)}
    assert in_training(model) == modules | ({""} if free else set())


def test_patterns_in_place_of_a_name() -> None:
    for patterns in (["**", "!classifier"], ("**", "!classifier")):
        model = build("bert", device="meta", freeze=patterns, **SMALL)
        assert trainable(model) == {"classifier.weight", "classifier.bias"}


@pytest.mark.parametrize(
    ("patterns", "frozen"),
    [
        ([], ""),
        (["head"], "head.weight head.bias"),
        (["head.bias"], "head.bias"),
        (["head", "!head.bias"], "head.weight"),
        (["!head.bias", "head"], "head.weight head.bias"),
        (["@BatchNorm1d", "!body[0]"], "body.1.norm.weight body.1.norm.bias"),
        (["body[-1:]"], "body.1.conv.weight body.1.conv.bias body.1.norm.weight body.1.norm.bias"),
        (["body.*.conv.weight"], "body.0.conv.weight body.1.conv.weight"),
        (["**.bias", "!body", "!extra"], "head.bias"),
    ],
)  # fmt: skip
def test_the_last_match_wins(patterns: list[str], frozen: str) -> None:
    model = net(patterns)
    names = {name for name, _ in model.named_parameters()}
    assert names - trainable(model) == set(frozen.split())


def test_frozen_parameters_have_no_gradient() -> None:
    model = net()
    model(X).sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    freeze(model, "body")
    assert {n for n, p in model.named_parameters() if p.grad is None} == {
        n for n, _ in model.named_parameters() if n.startswith("body.")
    }
    before = state(model)
    # A stale gradient of zeros would let AdamW's weight decay move what is frozen.
    torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.5).step()
    assert changed(before, model) == {n for n, _ in model.named_parameters() if n[:4] != "body"}


# -------------------------------------------------------------------------- what stays in inference


BODY = {
    f"body{path}"
    for path in ["", *(f".{i}{part}" for i in (0, 1) for part in ("", ".conv", ".norm", ".drop"))]
}
EVERYTHING = {"", *BODY, "extra", "extra.inner", "rate", "head"}
NORMS = {"body.0.norm", "body.1.norm"}
DROPS = {"body.0.drop", "body.1.drop"}


@pytest.mark.parametrize(
    ("plan", "training"),
    [
        ("none", EVERYTHING),
        ("all", set()),
        ("body", EVERYTHING - BODY - {"rate"}),
        ("first", EVERYTHING - {name for name in BODY if name.startswith("body.0")}),
        ("norms", EVERYTHING - NORMS),
        ("all-but-a-norm-weight", {"", "body", "body.0", "body.0.norm"}),
    ],
)
def test_a_module_that_is_frozen_whole_stays_in_inference_mode(
    plan: str, training: set[str]
) -> None:
    model = net(plan)
    assert in_training(model) == training
    for _ in range(2):
        assert in_training(model.eval()) == set()
        assert in_training(model.train()) == training
    assert model.train() is model and model.train(False) is model
    for module in model.modules():
        module.train()  # one by one, as some training loops do
    assert in_training(model) == training


COPIES: dict[str, Callable[[nn.Module], nn.Module]] = {
    "itself": lambda model: model,
    "deepcopy": copy.deepcopy,
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy of a copy": lambda model: copy.deepcopy(copy.deepcopy(model)),
    "torch.save": lambda model: saved_and_loaded(model),
    "to": lambda model: model.to(torch.float64).to(torch.float32),
}


def saved_and_loaded(model: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(model, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("how", COPIES)
def test_frozen_tensors_stand_still_through_training(how: str) -> None:
    original = net("body")
    model = COPIES[how](original)
    before, was = state(model), state(original)
    train(model, X)
    moved = {"head.weight", "head.bias", "extra.inner.weight", "extra.inner.bias"}
    assert changed(before, model) == moved  # neither weights nor statistics below body
    assert in_training(model) == EVERYTHING - BODY - {"rate"}
    if model is not original:
        assert changed(was, original) == set()
        assert model.get_submodule("body.0").__dict__["train"].module is model.get_submodule(
            "body.0"
        )


def test_without_a_plan_everything_moves() -> None:
    model = net()
    before = state(model)
    train(model, X)
    assert changed(before, model) == before.keys() - {
        "rate.num_batches_tracked"
    }  # torch never does


@pytest.mark.parametrize("name", ["resnet18", "bert"])
def test_real_models_stand_still_but_for_their_heads(name: str) -> None:
    if name == "bert":
        model = build("bert", device="cpu", seed=0, freeze="head-only", **SMALL)
        x, head = torch.arange(12).view(2, 6), ("classifier.",)
    else:
        model = build("resnet18", device="cpu", seed=0, freeze="head-only", num_classes=3)
        x, head = torch.randn(2, 3, 32, 32), ("fc.",)
    before = state(model)
    train(model, x, steps=2)
    assert changed(before, model) == {n for n in before if n.startswith(head)}


def test_frozen_dropout_is_off() -> None:
    model = build("bert", device="cpu", seed=0, freeze="all", **SMALL).train()
    x = torch.arange(12).view(2, 6)
    assert torch.equal(model(x), model(x))  # attention's own dropout, in the forward, too
    free = build("bert", device="cpu", seed=0, **SMALL).train()
    assert not torch.equal(free(x), free(x))


def test_moving_statistics() -> None:
    model = net("moving-statistics")
    assert trainable(model) == set()
    assert in_training(model) >= NORMS and not DROPS & in_training(model)
    before = state(model)
    train(model, X)
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    moved = {f"{norm}.{kind}" for norm in NORMS for kind in kinds}
    assert changed(before, model) - {n for n in before if n.startswith("rate.")} == moved


def test_dropout_that_stays_on() -> None:
    model = net("dropout-on")
    assert trainable(model) == set()
    assert in_training(model) >= DROPS and not NORMS & in_training(model)
    before = state(model)
    train(model, X)
    assert {name for name in changed(before, model) if name.startswith("body")} == set()
    assert not torch.equal(model(X), model(X))


def test_both_stay_on() -> None:
    model = net("both")
    assert (trainable(model), in_training(model)) == (set(), EVERYTHING)


def test_moving_statistics_leave_functional_dropout_off() -> None:
    model = net("moving-statistics")
    x = torch.randn(3, 4)
    extra = model.get_submodule("extra")
    assert torch.equal(extra(x), extra(x))


def test_all_running_statistics_obey_the_plan() -> None:
    assert "rate" in in_training(net("moving-statistics"))
    assert "rate" not in in_training(net("dropout-on"))


# -------------------------------------------------------------- through the rest of build, and ties


def test_freezing_together_with_weights(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    source = net()
    safetensors.torch.save_file(source.state_dict(), file)
    model = net("body", weights=file)
    assert trainable(model) == {n for n, _ in source.named_parameters() if n[:4] != "body"}
    assert changed(state(source), model) == set()
    train(model, X)
    assert not {n for n in changed(state(source), model) if n.startswith("body")}


def test_freezing_changes_no_number() -> None:
    assert changed(state(net()), net("all")) == set()
    half = net("body", dtype="float64")
    assert {p.dtype for p in half.parameters()} == {torch.float64}
    assert trainable(half) == trainable(net("body"))


def test_the_plan_is_no_part_of_the_state() -> None:
    assert list(net("all").state_dict()) == list(net().state_dict())
    fresh = net()
    fresh.load_state_dict(net("all").state_dict())
    assert trainable(fresh) == {name for name, _ in fresh.named_parameters()}
    assert str(net("all")) == str(net())


TIED = """
archspec: 1
model: M
blocks:
  M:
    inputs: {x: {shape: [batch, seq], dtype: int64, below: 10}}
    modules:
      embed: {type: Embedding, num_embeddings: 10, embedding_dim: 4}
      out: {type: Linear, in_features: 4, out_features: 10, bias: false}
    forward: [{return: out(embed(x))}]
tie: {out.weight: embed.weight}
"""


@pytest.mark.parametrize(
    ("patterns", "frozen"),
    [(["embed"], True), (["out"], True), (["**"], True), (["**", "!out"], True), ([], False)],
)
def test_a_shared_parameter_is_frozen_through_each_of_its_names(
    patterns: list[str], frozen: bool
) -> None:
    model = build(loads(TIED), device="cpu", seed=0, freeze=patterns)
    assert model.get_parameter("out.weight") is model.get_parameter("embed.weight")
    assert model.get_parameter("out.weight").requires_grad is not frozen
    before = state(model)
    train(model, torch.arange(6).view(2, 3))
    assert changed(before, model) == (set() if frozen else {"out.weight", "embed.weight"})
