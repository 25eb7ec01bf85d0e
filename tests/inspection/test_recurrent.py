"""Recurrent layers on meta as a CPU runs them; products of Bilinear."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.inspection.recurrent import LAYER, workspace_bytes
from archspec.lang.spec import Spec

needs_fused = pytest.mark.skipif(
    not torch.backends.mkldnn.is_available(), reason="this PyTorch has no oneDNN"
)


def behind_a_linear(layer: str, call: str = "layer(x)[0]") -> Spec:
    return archspec.loads(
        f"""
archspec: 1
model: Net
dims: {{batch: 4, seq: 24}}
blocks:
  Net:
    inputs: {{x: [batch, seq, 32]}}
    modules:
      stem: {{type: Linear, in_features: 32, out_features: 32}}
      layer: {layer}
    forward:
      - x: stem(x)
      - return: {call}
""",
        name="net",
    )


def lstm(more: str = "") -> Spec:
    return behind_a_linear(
        f"{{type: LSTM, input_size: 32, hidden_size: 48, batch_first: true{more}}}"
    )


@pytest.mark.parametrize(
    ("more", "freeze", "kept"),
    [
        ("", None, 345_088),
        ("", ["layer"], 345_088),
        ("", ["stem", "layer"], 0),
        (", num_layers: 2, dropout: 0.3", None, 702_464),
        (", num_layers: 2, dropout: 0.3", ["layer"], 665_600),
    ],
)
def test_what_an_lstm_keeps(more: str, freeze: list[str] | None, kept: int) -> None:
    found = archspec.inspect(lstm(more), freeze=freeze)
    assert found.memory.activations.value == kept


@needs_fused
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("freeze", [None, ["layer"]])
@pytest.mark.parametrize(
    "more",
    [
        "",
        ", num_layers: 3, dropout: 0.5",
        ", num_layers: 2, bidirectional: true, bias: false",
    ],
)
def test_lstm_as_measured_on_a_cpu(
    kept_on_cpu: Callable[..., int], more: str, freeze: list[str] | None, mixed: bool
) -> None:
    if mixed and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("this processor has no bf16 in oneDNN: PyTorch does not fuse an LSTM on it")
    precision = "bf16-mixed" if mixed else "fp32"
    found = archspec.inspect(lstm(more), freeze=freeze, precision=precision)
    assert found.memory.activations.value == kept_on_cpu(lstm(more), freeze, mixed=mixed)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize("freeze", [None, ["layer"]])
def test_an_lstm_with_projection_is_not_fused(
    kept_on_cpu: Callable[..., int], freeze: list[str] | None
) -> None:
    found = archspec.inspect(lstm(", proj_size: 16"), freeze=freeze)
    expected = kept_on_cpu(lstm(", proj_size: 16"), freeze, mixed=False)
    assert found.memory.activations.value == expected


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_long_sequences_are_measured_in_constant_work(monkeypatch: pytest.MonkeyPatch) -> None:
    more = ", hidden_size: 48, batch_first: true, num_layers: 2, bidirectional: true}"
    rnn, gru = (behind_a_linear(f"{{type: {kind}, input_size: 32{more}") for kind in ("RNN", "GRU"))
    projected = lstm(", proj_size: 16")
    cases = [(rnn, None), (gru, ["stem"]), (gru, ["**"]), (projected, None), (projected, ["layer"])]
    short = [archspec.inspect(spec, freeze=freeze).to_dict() for spec, freeze in cases]
    monkeypatch.setattr("archspec.inspection.recurrent._RUN", 24)
    every_step = [archspec.inspect(spec, freeze=freeze).to_dict() for spec, freeze in cases]
    for found, expected in zip(short, every_step, strict=True):
        live, known = (
            d["memory"].pop("inference")["activations"]["value"] for d in (found, expected)
        )
        assert abs(live - known) < known / 50
        assert found == expected


def test_inference_holds_no_workspace() -> None:
    memory = archspec.inspect(lstm()).memory
    assert memory.live.value < 100_000 < memory.activations.value


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "bf16-mixed", "fp16-mixed"])
@pytest.mark.parametrize("type", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_run_in_every_precision(type: str, precision: str) -> None:
    gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[type]
    spec = behind_a_linear(f"{{type: {type}, input_size: 32, hidden_size: 48}}")
    found = archspec.inspect(spec, precision=precision, seq=3)
    assert found.macs.value == 4 * 3 * (32 * 32 + gates * 48 * (32 + 48))


size = st.integers(1, 300)


@needs_fused
@given(
    seq=st.integers(1, 30),
    batch=st.integers(1, 9),
    features=size,
    hidden=size,
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
)
@settings(max_examples=30)
def test_the_workspace(
    seq: int, batch: int, features: int, hidden: int, dtype: torch.dtype
) -> None:
    if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        dtype = torch.float32
    shapes = [(seq, batch, features), (4 * hidden, features), (4 * hidden, hidden)]
    shapes += [(4 * hidden,), (4 * hidden,), (batch, hidden), (batch, hidden)]
    tensors = [torch.zeros(shape, dtype=dtype) for shape in shapes]
    made = LAYER(*tensors, False, [], 2, hidden, 1, True, False, False, True)
    assert workspace_bytes(tensors[0], hidden) == made[3].numel()


def test_the_products_of_bilinear() -> None:
    spec = behind_a_linear(
        "{type: Bilinear, in1_features: 32, in2_features: 32, out_features: 8}", "layer(x, x)"
    )
    found = archspec.inspect(spec)
    assert found.macs.value == 4 * 24 * (32 * 32 + 32 * 32 * 8)
    assert "trilinear" not in found.uncounted
