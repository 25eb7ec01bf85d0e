"""The parameter groups that an optimizer is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archspec import FreezeError, UsageError, build, freeze, trainable_parameters

GPT2 = Path(__file__).parents[1] / "inputs" / "gpt2.yaml"


def names(model: nn.Module, groups: list[dict[str, Any]]) -> list[set[str]]:
    """The names of each group's parameters."""
    of = {id(p): name for name, p in model.named_parameters()}
    return [{of[id(p)] for p in group["params"]} for group in groups]


def test_what_does_not_decay() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide = nn.LayerNorm([2, 3])
            self.norm = nn.Linear(2, 2)  # a name is no reason
            self.bilinear = nn.Bilinear(2, 2, 2)
            self.slope = nn.PReLU(3)
            self.lstm = nn.LSTM(2, 2)
            self.attention = nn.MultiheadAttention(2, 1)
            self.norms = nn.ModuleList([nn.GroupNorm(1, 2), nn.RMSNorm([2, 2])])
            self.running = nn.ModuleList([nn.BatchNorm3d(2), nn.InstanceNorm2d(2, affine=True)])
            self.scale = nn.Parameter(torch.zeros(()))
            self.table = nn.Parameter(torch.zeros(2, 2))
            self.bias = nn.Parameter(torch.zeros(2, 2))
            self.key_bias = nn.Parameter(torch.zeros(2, 2))

    model = Odd()
    groups = trainable_parameters(model, weight_decay=0.5)
    decaying = {
        "norm.weight", "bilinear.weight", "lstm.weight_ih_l0", "lstm.weight_hh_l0",
        "attention.in_proj_weight", "attention.out_proj.weight", "table",
    }  # fmt: skip
    everything = {name for name, _ in model.named_parameters()}
    assert names(model, groups) == [decaying, everything - decaying]
    assert [group["weight_decay"] for group in groups] == [0.5, 0.0]


def test_a_shared_tensor_stands_in_one_group_once() -> None:
    model = build(GPT2, device="meta", n_layer=1)
    groups = trainable_parameters(model)
    given = [id(p) for group in groups for p in group["params"]]
    assert sorted(given) == sorted(id(p) for p in model.parameters())
    assert "transformer.wte.weight" in names(model, groups)[0]
    freeze(model, ["lm_head"])
    assert len(given) - 1 == sum(len(group["params"]) for group in trainable_parameters(model))


def test_a_tensor_that_a_norm_shares_does_not_decay() -> None:
    model = nn.ModuleList([nn.Linear(2, 3, bias=False), nn.LayerNorm([3, 2], bias=False)])
    model[1].weight = model[0].weight  # pyright: ignore
    assert [group["weight_decay"] for group in trainable_parameters(model)] == [0.0]


def test_no_group_is_empty() -> None:
    only_biases = freeze(model := nn.Linear(2, 2), ["weight"])
    assert only_biases.trainable == 2
    assert trainable_parameters(model) == [{"params": [model.bias], "weight_decay": 0.0}]
    freeze(model, ["bias"])
    assert trainable_parameters(model, weight_decay=1) == [
        {"params": [model.weight], "weight_decay": 1.0}
    ]


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.SGD])
def test_decay_reaches_the_weights_alone(kind: type[torch.optim.Optimizer]) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.LayerNorm(2))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = kind(trainable_parameters(model, weight_decay=0.5), lr=0.1)  # pyright: ignore
    for p in model.parameters():
        p.grad = torch.zeros_like(p)
    optimizer.step()
    moved = {name for name, p in model.named_parameters() if not p.equal(before[name])}
    assert moved == {"0.weight"}


@pytest.mark.parametrize("model", [nn.ReLU(), build("bert", device="meta", freeze="all")])
def test_nothing_to_train(model: nn.Module) -> None:
    with pytest.raises(FreezeError) as caught:
        trainable_parameters(model)
    assert caught.value.code == "E705" and "archspec.freeze" in caught.value.hint


@pytest.mark.parametrize("decay", [-0.1, float("nan"), float("inf"), "0.1", True, None])
def test_what_is_no_weight_decay(decay: Any) -> None:
    with pytest.raises(UsageError) as caught:
        trainable_parameters(nn.Linear(2, 2), weight_decay=decay)
    assert caught.value.code == "E801"
