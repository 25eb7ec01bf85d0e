"""Quantized weights: what is computed from them, what they take, and which are left alone."""

from __future__ import annotations

import copy
import importlib.util
import sys
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archspec.errors import UsageError
from archspec.freezing.quantized import (
    Quantization,
    is_quantized,
    quantizable,
    quantized_copy,
    quantized_line,
    saving,
)

KINDS: list[tuple[Quantization, float]] = [("int8", 0.01), ("nf4", 0.12)]


class Net(nn.Module):
    """A frozen and a trained layer, a shared weight, and one that is no whole number of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(64, 32)
        self.first = nn.Linear(32, 96)
        self.odd = nn.Linear(96, 33)
        self.last = nn.Linear(33, 32)
        self.decoder = nn.Linear(32, 64, bias=False)
        self.decoder.weight = self.words.weight
        for module in (self.words, self.first, self.odd):
            module.requires_grad_(False)

    def forward(self, ids: Tensor) -> Tensor:
        return self.decoder(self.last(self.odd(torch.relu(self.first(self.words(ids))))))


@pytest.fixture
def net() -> Net:
    torch.manual_seed(0)
    return Net()


def stored(tensor: Any) -> int:
    """The bytes of all tensors that a quantized one consists of."""
    names, _ = tensor.__tensor_flatten__()
    return sum(getattr(tensor, name).nbytes for name in names)


@pytest.mark.parametrize(("kind", "error"), KINDS)
def test_what_is_frozen_takes_fewer_bits(net: Net, kind: Quantization, error: float) -> None:
    before = copy.deepcopy(net.state_dict())
    copied = quantized_copy(net, kind)
    names = {name for name, one in copied.named_parameters() if is_quantized(one)}
    # 33 rows of 96 weights are no blocks of 64
    assert names == {"first.weight", "odd.weight"} - ({"odd.weight"} if kind == "nf4" else set())
    layers, whole, less = saving(net, kind)
    weights = [copied.get_parameter(name) for name in names]
    assert (layers, less) == (len(names), sum(map(stored, weights)))
    assert whole == sum(net.get_parameter(name).nbytes for name in names)
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())

    ids = torch.arange(64).view(4, 16)
    wanted, found = net(ids), copied(ids)
    assert 0 < (found - wanted).abs().max() < error * wanted.abs().max()
    found.square().mean().backward()
    wanted.square().mean().backward()
    gradients: list[Any] = [net.last.weight.grad, copied.get_parameter("last.weight").grad]
    assert (gradients[1] - gradients[0]).norm() < 3 * error * gradients[0].norm()
    assert all(one.grad is None for one in weights)


def test_gradients_go_through_to_the_inputs(net: Net) -> None:
    for kind, error in KINDS:
        x = torch.randn(5, 32, requires_grad=True)
        y = torch.randn(5, 96)
        (wanted,) = torch.autograd.grad(net.first(x), x, y)
        (found,) = torch.autograd.grad(quantized_copy(net, kind).get_submodule("first")(x), x, y)
        assert (found - wanted).norm() < error * wanted.norm()


def test_what_is_said_of_it(net: Net) -> None:
    assert quantized_line(net, "nf4") == (
        "1 frozen Linear layer in nf4: 1.625 KiB instead of 12.00 KiB"
    )
    assert quantized_line(net, "int8").startswith("2 frozen Linear layers in int8: ")


def test_a_torchao_that_cannot_be_used(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(UsageError, match=r"torchao cannot be used: (.|\n)*pip install -U"):
        quantized_copy(net, "int8")


def test_nothing_to_quantize(net: Net, monkeypatch: pytest.MonkeyPatch) -> None:
    net.requires_grad_(True)
    assert not list(quantizable(net, "int8"))
    with pytest.raises(UsageError, match="no Linear layer is frozen to quantize"):
        quantized_copy(net, "int8")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"quantize needs torchao(.|\n)*archspec-nn\[quantize\]"):
        quantized_copy(net, "int8")
