"""Which values an argument takes, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import hypothesis.strategies as st
import torch
from hypothesis import given
from torch import nn

from archspec.lang.registry import layers
from archspec.lang.registry.arguments import Argument, kinds_of
from tests.tables import every


def argument(path: str) -> Argument:
    name, _, word = path.partition(".")
    layer = layers.find(name)
    assert layer is not None
    found = layer.argument(word)
    assert found is not None
    return found


@every(
    ("path", "expects"),
    [
        ("Linear.in_features", "an integer"),
        ("Linear.bias", "true or false"),
        ("Conv2d.kernel_size", "an integer or a list of integers"),
        ("Conv2d.padding", "an integer, a list of integers, 'valid' or 'same'"),
        ("GELU.approximate", "'none' or 'tanh'"),
        ("LayerNorm.normalized_shape", "an integer or a list of integers"),
        ("AdaptiveAvgPool2d.output_size", "an integer, null or a list of integers or nulls"),
        ("BatchNorm2d.momentum", "a number or null"),
        ("Upsample.scale_factor", "a number, a list of numbers or null"),
        ("TransformerEncoder.encoder_layer", "a module"),
        ("TransformerEncoderLayer.activation", "a module, 'relu' or 'gelu'"),
        ("CrossEntropyLoss.weight", "null"),
        ("ZeroPad2d.padding", "an integer or a list of integers"),
        ("Identity.whatever", "anything"),
    ],
)
def test_what_an_argument_expects(path: str, expects: str) -> None:
    assert argument(path).expects == expects


@every(
    ("path", "accepted", "refused"),
    [
        ("Linear.in_features", [3, -1], [True, 3.0, "3", None, [3], {}]),
        ("Linear.bias", [True, False], [1, 0, "yes", None]),
        ("Dropout.p", [0.5, 1, 0], [True, "0.5", None, [0.5]]),
        ("Conv2d.kernel_size", [3, [3, 3], (3, 3), []], [3.0, [3.0], [True], "same", None]),
        ("Conv2d.padding", [1, [1, 1], "same", "valid"], ["full", "", None, 1.5]),
        ("Conv2d.padding_mode", ["zeros", "circular"], ["zero", 0, None]),
        ("AdaptiveAvgPool2d.output_size", [1, None, [None, 7]], [[1.0], [[1]], "7"]),
        ("MaxPool2d.stride", [2, None, [2, 1]], [[None, 1], 2.0]),
        ("Upsample.scale_factor", [2, 2.5, [2, 2.5], None], [[None], "2", [True]]),
        ("TransformerEncoder.norm", [None, {"type": "LayerNorm"}], ["LayerNorm", 1]),
        ("TransformerEncoderLayer.activation", ["gelu", {"type": "SiLU"}], ["silu", None]),
        ("RNN.nonlinearity", ["tanh", "relu"], ["gelu"]),
        ("KLDivLoss.reduction", ["batchmean"], ["average"]),
        ("Identity.whatever", [1, None, "x", {}], []),
    ],
)
def test_what_an_argument_accepts(path: str, accepted: list[Any], refused: list[Any]) -> None:
    assert [v for v in accepted if not argument(path).accepts(v)] == []
    assert [v for v in refused if argument(path).accepts(v)] == []


@every(
    ("annotation", "kinds", "choices"),
    [
        (int, ["int"], []),
        (float | None, ["float", "none"], []),
        (None, ["none"], []),
        (list[int], ["ints"], []),
        (tuple[float, ...], ["floats"], []),
        (Sequence[int | None], ["ints?"], []),
        (int | tuple[int, int], ["int", "ints"], []),
        (Literal["mean", "sum"] | None, ["str", "none"], ["mean", "sum"]),
        (Literal[1, "two"], ["int", "str"], ["two"]),
        (nn.Linear, ["module"], []),
        (Callable[[torch.Tensor], torch.Tensor], ["module"], []),
        (torch.Tensor | None, ["none"], []),
        (torch.Size, ["ints"], []),
        (list[str], ["any"], []),
        (dict[str, int], ["any"], []),
        ("a string", ["any"], []),
        (Any, ["any"], []),
    ],
)
def test_kinds_of_annotations(annotation: Any, kinds: list[str], choices: list[str]) -> None:
    assert kinds_of(annotation) == (tuple(kinds), tuple(choices))


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@given(st.recursive(plain, lambda inner: st.lists(inner, max_size=3), max_leaves=5))
def test_kinds_agree_with_each_other(value: object) -> None:
    accepted = {
        kind: Argument("x", (kind,), required=True).accepts(value)
        for kind in ("int", "float", "bool", "str", "none", "ints", "ints?", "floats", "any")
    }
    assert accepted["any"]
    assert accepted["float"] or not accepted["int"]
    assert accepted["floats"] or not accepted["ints"]
    assert accepted["ints?"] or not accepted["ints"]
    exclusive = ("float", "bool", "str", "none")
    assert sum(accepted[kind] for kind in exclusive) == (not isinstance(value, list))
    if isinstance(value, list):
        assert accepted["ints"] == all(type(entry) is int for entry in value)
