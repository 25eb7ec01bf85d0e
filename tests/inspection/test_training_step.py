"""Floating-point operations of a training step, beside those that PyTorch counts in a real one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

import archspec
from archspec.building.examples import example_inputs
from archspec.inspection import Figure

SMALL_BERT: dict[str, Any] = {
    "vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 32, "max_position_embeddings": 16,
}  # fmt: skip
LAYERS = """
archspec: 1
model: Net
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, 3, 8, 8]}
    modules:
      conv: {type: Conv2d, in_channels: 3, out_channels: 4, kernel_size: 3, stride: 2}
      up: {type: ConvTranspose2d, in_channels: 4, out_channels: 6, kernel_size: 2, stride: 2}
      lines: {type: Linear, in_features: 36, out_features: 8}
      attention: {type: MultiheadAttention, embed_dim: 8, num_heads: 2, batch_first: true}
      gru: {type: GRU, input_size: 8, hidden_size: 5, batch_first: true}
      head: {type: Linear, in_features: 5, out_features: 2, bias: false}
    forward:
      - y: up(conv(x))
      - y: lines(flatten(y, 2))
      - y, _: attention(y, y, y, need_weights=False)
      - z, _: gru(y)
      - return: mean(head(z), 1)
"""
BY_HAND = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 4, 8, 8]}
    modules:
      depthwise: {type: Conv2d, in_channels: 4, out_channels: 8, kernel_size: 3, groups: 4}
      pointwise: {type: Conv2d, in_channels: 8, out_channels: 2, kernel_size: 1}
      pair: {type: Bilinear, in1_features: 6, in2_features: 6, out_features: 5}
    forward:
      - y: pointwise(depthwise(x))
      - return: pair(y, y)
"""
RECURRENT = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 7, 4]}
    modules:
      rnn: {type: LSTM, input_size: 4, hidden_size: 3, batch_first: true}
    forward:
      - y, _: rnn(x)
      - return: y
"""


def counted(spec: archspec.Spec, freeze: Any, **sizes: int) -> int:
    """What PyTorch's counter says of a forward and a backward pass on the CPU."""

    def forward(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return sdpa_flop_count(query, key, value)

    def backward(grad: Any, query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> int:
        return sdpa_backward_flop_count(grad, query, key, value)

    aten = torch.ops.aten
    missing = {
        aten._scaled_dot_product_flash_attention_for_cpu: forward,
        aten._scaled_dot_product_flash_attention_for_cpu_backward: backward,
    }
    model = archspec.build(spec, device="cpu", freeze=freeze)
    inputs = example_inputs(spec, {**spec.architecture.dims, **sizes}, "cpu")
    counter = FlopCounterMode(display=False, custom_mapping=missing)
    with counter:
        result = model(**inputs)
        if result.requires_grad:
            result.sum().backward()
    return counter.get_total_flops()


@pytest.mark.parametrize("freeze", [None, "last-2-and-head", "head-only", "all"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_step_of_bert(freeze: str | None, dropout: float) -> None:
    """Without dropout a CPU's attention is fused, and its backward pass computes it again."""
    names = ("attention_probs_dropout_prob", "hidden_dropout_prob")
    spec = archspec.load("bert", **SMALL_BERT, **dict.fromkeys(names, dropout))
    found = archspec.inspect(spec, freeze=freeze, seq=8)
    assert found.step_flops == Figure(counted(spec, freeze, seq=8), "FLOPs")
    assert (freeze == "all") == (found.step_flops.value == found.flops.value)


@pytest.mark.parametrize(
    "freeze", [None, ["conv"], ["conv", "up"], ["**", "!lines"], ["**", "!lines.bias"]]
)
def test_a_step_of_each_kind_of_layer(freeze: list[str] | None) -> None:
    spec = archspec.loads(LAYERS)
    found = archspec.inspect(spec, freeze=freeze)
    assert found.step_flops == Figure(counted(spec, freeze), "FLOPs")


def test_channels_in_groups_and_products_of_three() -> None:
    """Where PyTorch's counter has no formula, or takes grouped weights for full ones."""
    depthwise, pointwise, pair = 8 * 9 * 36, 2 * 8 * 36, 12 * 5 * 36
    found = archspec.inspect(archspec.loads(BY_HAND))
    assert found.macs.value == depthwise + pointwise + pair
    passes = 2 * depthwise + 3 * pointwise + 4 * pair  # x needs no gradient
    assert found.step_flops == Figure(2 * passes, "FLOPs")


@pytest.mark.parametrize(("freeze", "passes"), [(None, 3), (["**"], 1)])
def test_the_fused_kernel_of_lstm_makes_all_gradients(freeze: Any, passes: int) -> None:
    found = archspec.inspect(archspec.loads(RECURRENT), freeze=freeze)
    assert found.macs.value == 7 * (4 * 3) * (4 + 3)
    assert found.step_flops.value == passes * 2 * found.macs.value


def test_a_checkpointed_module_runs_again() -> None:
    spec = archspec.load("bert", **SMALL_BERT)
    plain = archspec.inspect(spec, freeze="last-2-and-head").step_flops
    again = archspec.inspect(
        spec, freeze="last-2-and-head", checkpoint_blocks=["bert.encoder.layer.*"]
    )
    layer = again.root.children[0].children[1].children[0].children[3]
    assert layer.path == "bert.encoder.layer.3"
    # Frozen layers in front of the first trainable one save nothing, and are not run again.
    assert again.step_flops == Figure(plain.value + 2 * 2 * layer.training_macs, "FLOPs", False)


def test_what_returns_several_tensors_is_estimated() -> None:
    """A loss may leave some of them out."""
    found = archspec.inspect(archspec.load("bert-model", **SMALL_BERT))
    assert not found.step_flops.exact and found.flops.exact
    assert found.step_flops.value == 3 * found.flops.value
    assert found.to_dict()["step_flops"] == {
        "value": found.step_flops.value, "unit": "FLOPs", "exact": False,
    }  # fmt: skip
