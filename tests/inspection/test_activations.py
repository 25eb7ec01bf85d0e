"""What backward keeps: on meta as on a CPU, and equal modules copied as if they had run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import archspec
from archspec.building.examples import example_inputs
from archspec.inspection.measure import run
from archspec.lang.instances import walk
from archspec.lang.spec import Spec

DATA = Path(__file__).parents[1] / "inputs"
SMALL_BERT = {
    "hidden_size": 64,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "intermediate_size": 256,
    "vocab_size": 100,
}
SMALL_GPT = {"n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 100}


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed"])
@pytest.mark.parametrize(
    ("source", "params", "freeze", "dims"),
    [
        ("resnet18", {}, None, {"batch": 8}),
        ("resnet18", {}, ["**", "!@BatchNorm2d"], {"batch": 8}),
        ("resnet18", {}, "last-stage-and-head", {"batch": 8}),
        ("bert", SMALL_BERT, None, {"batch": 4, "seq": 32}),
        ("bert", SMALL_BERT, "last-2-and-head", {"batch": 4, "seq": 32}),
        ("bert", SMALL_BERT, ["**", "!bert.embeddings"], {"batch": 4, "seq": 32}),
        ("bert", {**SMALL_BERT, "attention_probs_dropout_prob": 0.0}, None, {"batch": 4}),
        (DATA / "gpt2.yaml", SMALL_GPT, None, {"batch": 4, "seq": 32}),
        (DATA / "features.yaml", {}, None, {"batch": 8, "time": 16}),
        (DATA / "vit-b-16.yaml", {}, None, {"batch": 1}),
    ],
)
def test_as_measured_on_a_cpu(
    kept_on_cpu: Callable[..., int],
    source: str,
    params: dict[str, Any],
    freeze: Any,
    dims: dict[str, Any],
    precision: str,
) -> None:
    spec = archspec.load(source, **params)
    found = archspec.inspect(spec, freeze=freeze, precision=precision, **dims)
    expected = kept_on_cpu(spec, freeze, dims, mixed=precision != "fp32")
    assert found.memory.activations.value == pytest.approx(expected, rel=0.02)
    assert not found.memory.activations.exact


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_recurrent_and_other_layers_as_measured_on_a_cpu(kept_on_cpu: Callable[..., int]) -> None:
    spec = archspec.load(DATA / "torch-layers.yaml")
    dims = {"batch": 8, "time": 16}
    found = archspec.inspect(spec, **dims)  # type: ignore[arg-type]
    expected = kept_on_cpu(spec, None, dims)
    assert found.memory.activations.value == pytest.approx(expected, rel=0.02)


def bert_with_dropout(*patterns: str) -> Spec:
    """BERT whose frozen parts keep their dropout, as where only gradients are switched off."""
    listed = ", ".join(f'"{pattern}"' for pattern in patterns)
    plan = f"{{patterns: [{listed}], statistics: false, dropout: false}}"
    return archspec.loads(f"archspec: 1\nextends: bert\nfreeze: {{plan: {plan}}}\n", name="b")


@pytest.mark.parametrize(
    ("patterns", "megabytes"),
    [
        ((), 915.7),
        (("**", "!bert.embeddings"), 648.3),
        (("**", "!bert.encoder.layer[8:]", "!bert.pooler", "!classifier"), 305.3),
        (("**", "!classifier"), 0.0),
    ],
)
def test_bert_by_trainable_position(patterns: tuple[str, ...], megabytes: float) -> None:
    spec = bert_with_dropout(*patterns)
    found = archspec.inspect(spec, freeze="plan", batch=8, seq=128)
    assert found.memory.activations.value / 1e6 == pytest.approx(megabytes, abs=0.06)


@pytest.mark.parametrize(
    ("freeze", "megabytes"),
    [(None, 177.5), (["**", "!@BatchNorm2d"], 172.7), ("last-stage-and-head", 8.9)],
)
def test_resnet_by_trainable_position(freeze: Any, megabytes: float) -> None:
    found = archspec.inspect("resnet18", freeze=freeze, batch=8)
    assert found.memory.activations.value / 1e6 == pytest.approx(megabytes, abs=0.06)


def test_frozen_dropout_keeps_less() -> None:
    """A plan's default: what is frozen runs in inference mode, and draws no masks."""
    off = archspec.inspect("bert", freeze=["**", "!bert.embeddings"], batch=8)
    on = archspec.inspect(bert_with_dropout("**", "!bert.embeddings"), freeze="plan", batch=8)
    assert off.memory.activations.value < on.memory.activations.value


def test_live_memory_of_inference() -> None:
    """The widest place: the output of a feed-forward layer's GELU beside its input."""
    found = archspec.inspect("bert", batch=8)
    wide, narrow = 8 * 128 * 3072 * 4, 8 * 128 * 768 * 4
    assert 2 * wide + narrow <= found.memory.live.value < 2 * wide + 4 * narrow
    assert found.memory.inference.value == 4 * 109_483_778 + found.memory.live.value


def test_temporary_memory_counts_where_nothing_is_kept() -> None:
    memory = archspec.inspect("bert", freeze="head-only", batch=8).memory
    assert memory.activations.value == 8 * 768 * 4
    assert memory.temporary.value == pytest.approx(memory.live.value, rel=0.01)
    parts = memory.training_parts.values()
    assert memory.training.value == sum(part.value for part in parts)


SPECS = [
    ("bert", None),
    ("bert", "last-2-and-head"),
    ("bert", ["**", "!bert.embeddings"]),
    ("resnet50", None),
    ("minilm-l6", None),
    (DATA / "gpt2.yaml", None),
    (DATA / "features.yaml", None),
    (DATA / "features.yaml", "norms"),
    (DATA / "torch-layers.yaml", None),
    (DATA / "vit-b-16.yaml", None),
]


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(("source", "freeze"), SPECS)
def test_copied_modules_count_as_if_they_had_run(
    source: str, freeze: Any, grad: bool, autocast: torch.dtype | None
) -> None:
    spec = archspec.load(source)
    model = archspec.build(spec, device="meta", freeze=freeze)
    inputs = example_inputs(spec, spec.architecture.dims, "meta")
    kinds = {path: id(instance) for path, instance in walk(spec.root)}
    with torch.set_grad_enabled(grad):
        model.train(grad)
        copied = run(model, inputs, kinds=kinds, autocast=autocast)
        assert copied == run(model, inputs, autocast=autocast)


def test_what_autocast_computes_in_float32_on_a_cpu(kept_on_cpu: Callable[..., int]) -> None:
    text = """archspec: 1
model: Net
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, 4, 8, 8], grid: [batch, 8, 8, 2]}
    modules:
      a: {type: Linear, in_features: 8, out_features: 8}
      b: {type: Linear, in_features: 8, out_features: 8}
    forward: [{y: a(x)}, {y: "STEP"}, {return: b(y)}]
"""
    steps = [
        "irfft(rfft(y) * rfft(y), n=8)",
        "grid_sample(y, grid, align_corners=False)",
        "pad(y, [1, 1, 1, 1], mode='reflect')[..., 1:-1, 1:-1]",
        "pad(y, [1, 1, 1, 1], mode='circular')[..., 1:-1, 1:-1]",
        "avg_pool3d(cdist(y, y), 3, 1, 1)",
        "y * quantile(y, 0.5, -1, keepdim=True)",
    ]
    wrong: list[str] = []
    for step in steps:
        spec = archspec.loads(text.replace("STEP", step))
        found = archspec.inspect(spec, precision="bf16-mixed").memory.activations.value
        if found != kept_on_cpu(spec, None, mixed=True):
            wrong.append(step)
    assert wrong == []


def test_only_calls_that_differ_run() -> None:
    """Of twelve equal layers one: the first gets its inputs as the others do."""
    spec = archspec.load("bert")
    model = archspec.build(spec, device="meta")
    kinds = {path: id(instance) for path, instance in walk(spec.root)}
    ran: list[str] = []
    for path, module in model.named_modules():
        if path.endswith(".intermediate.dense"):
            module.register_forward_hook(lambda *_, path=path: ran.append(path))
    found = run(model, example_inputs(spec, spec.architecture.dims, "meta"), kinds=kinds)
    assert len(ran) < 4
    assert found.calls["bert.encoder.layer.11.intermediate.dense"] == 1


def test_a_model_is_left_as_it_was() -> None:
    spec = archspec.load("bert")
    model = archspec.build(spec, device="meta")
    kinds = {path: id(instance) for path, instance in walk(spec.root)}
    run(model, example_inputs(spec, spec.architecture.dims, "meta"), kinds=kinds)
    for module in model.modules():
        assert "forward" not in vars(module)
        assert not module._forward_hooks and not module._forward_pre_hooks
