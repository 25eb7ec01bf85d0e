"""What reads well, and of which no module can be made: an error of ours at its place."""

from __future__ import annotations

from typing import Any

import pytest

from archspec import BuildError, build, inspect
from archspec.lang.spec import loads

LAYER = """archspec: 1
model: Net
blocks:
  Net:
    inputs: {{x: [batch, 4]}}
    modules: {{fc: {{type: {}}}}}
"""
LINEAR = LAYER.format("Linear, in_features: 4, out_features: 2")
RULES = [
    ("bias: kaiming_normal_", "Fan in and fan out can not be computed for tensor with fewer than"),
    ("bias: orthogonal_", "Only tensors with 2 or more dimensions are supported"),
    ("weight: dirac_", "Only tensors with 3, 4, or 5 dimensions are supported"),
    ("weight: {normal_: {std: -1}}", "normal expects std >= 0.0, but found std -1"),
    ("weight: {trunc_normal_: {std: 0.0}}", "float division by zero"),
    ("weight: {uniform_: {a: 3, b: 1}}", "uniform_ expects to return a [from, to) range"),
    ('"weight[1000]": zeros_', "index 1000 is out of bounds for dimension 0 with size 2"),
    ('"weight[0, 0, 0]": zeros_', "too many indices for tensor of dimension 2"),
]


def refusal(make: Any, text: str) -> tuple[str, str, str]:
    """Code, message and the marked stretch of an error, in one line each."""
    with pytest.raises(BuildError) as caught:
        make(loads(text))
    place = caught.value.place
    assert place is not None
    marked = place.source[place.column - 1 : place.end_column - 1]
    return caught.value.code, caught.value.message, marked


def test_initializers_that_refuse_a_tensor_are_told_at_their_rule() -> None:
    wrong: list[Any] = []
    for rule, message in RULES:
        text = f'{LINEAR}init:\n  - {{match: "@Linear", {rule}}}\n'
        found = refusal(lambda spec: build(spec, device="cpu"), text)
        value = rule.partition(": ")[2]
        if found[:1] + found[2:] != ("E501", value) or not found[1].startswith(
            f"no first values: {message}"
        ):
            wrong.append((rule, found))
    assert not wrong


@pytest.mark.parametrize("make", [inspect, lambda spec: build(spec, device="meta")])
@pytest.mark.parametrize(
    ("layer", "message", "hint"),
    [
        (
            "LazyLinear, out_features: 2",
            "LazyLinear knows no sizes before its first input",
            "use Linear, and give the sizes",
        ),
        (
            "LazyBatchNorm3d, affine: false",
            "LazyBatchNorm3d knows no sizes before its first input",
            "use BatchNorm3d, and give the sizes",
        ),
        (
            "RNNBase, mode: LSTM, input_size: 4, hidden_size: 4",
            "RNNBase has no forward of its own",
            "use LSTM, GRU or RNN, or a cell",
        ),
        (
            "RNNCellBase, input_size: 4, hidden_size: 4, bias: false, num_chunks: 1",
            "RNNCellBase has no forward of its own",
            "use LSTM, GRU or RNN, or a cell",
        ),
    ],
)
def test_layers_without_sizes_or_forward(make: Any, layer: str, message: str, hint: str) -> None:
    text = LAYER.format(layer)
    assert refusal(make, text) == ("E501", message, f"{{type: {layer}}}")
    with pytest.raises(BuildError, match="E501") as caught:
        make(loads(text))
    assert caught.value.hint == hint


def test_renamed_arguments_are_not_known() -> None:
    with pytest.raises(Exception, match="Hardtanh has no argument 'min_value'"):
        loads(LAYER.format("Hardtanh, min_value: 0.0"))
