"""Figures that once were wrong: long inputs with masks, PyTorch's Transformer, training alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.checkpoint import checkpoint

import archspec
from archspec.building.examples import example_inputs
from archspec.errors import BuildError, SpecError, UsageError
from archspec.lang.spec import Spec

HERE = Path(__file__).parent
BERT: dict[str, Any] = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 1,
    "intermediate_size": 32,
    "vocab_size": 20,
    "max_position_embeddings": 8192,
}
ATTENTION = """\
archspec: 1
model: N
dims: {batch: 1, seq: 4097}
blocks:
  N:
    inputs: {q: [batch, 2, seq, 8]MASK}
    parameters: {w: {shape: [8], init: ones_}}
    forward: [{return: "scaled_dot_product_attention(q * w, q * w, q * wGIVEN)"}]
"""
MASKED = ", mask: {shape: [batch, 1, seq, seq], dtype: bool}", ", attn_mask=mask"


def attention(mask: str, given: str) -> Spec:
    return archspec.loads(ATTENTION.replace("MASK", mask).replace("GIVEN", given), name="n")


def test_activations_at_any_length(kept_on_cpu: Callable[..., int]) -> None:
    bert = archspec.load("bert", **{**BERT, "attention_probs_dropout_prob": 0.0})
    gqa = archspec.load(HERE / "gqa-decoder.yaml", depth=1, width=16, heads=2, kv_heads=1)
    rows: list[tuple[Spec, int, tuple[str, ...]]] = [
        (archspec.load("bert", **BERT), 64, ()),
        *((bert, seq, without) for seq in (64, 4097) for without in ((), ("attention_mask",))),
        (bert, 8192, ()),
        (gqa, 64, ()),
        (gqa, 64, ("keep",)),
        (gqa, 4097, ()),
        (gqa, 8192, ("keep",)),
        (attention("", ", is_causal=True"), 4097, ()),
    ]
    wrong: list[object] = []
    for spec, seq, without in rows:
        found = archspec.inspect(spec, without=without, seq=seq).memory.activations.value
        expected = kept_on_cpu(spec, None, {"seq": seq}, without=without)
        if abs(found - expected) > 0.02 * expected:
            wrong.append((spec.name, seq, without, found, expected))
    assert not wrong


def test_inputs_that_are_left_out() -> None:
    text = ATTENTION.replace("[batch, 2, seq, 8]MASK", "[batch, 2, seq, 8], m: {shape: [rows],")
    text = text.replace("shape: [rows],", "shape: [rows], optional: true, keyword: true}")
    spec = archspec.loads(text.replace("GIVEN", ""), name="n")
    with pytest.raises(UsageError, match="n gives 'rows' no size"):
        archspec.inspect(spec)
    found = archspec.inspect(spec, without=["m", "m"])  # nothing else needs its sizes
    assert found.without == ("m",) and found.to_dict()["without"] == ["m"]
    assert "; without m; fp32" in found.text(100)
    wrong = {"q": "n needs its input 'q'", "mm": "did you mean 'm'", "": "n has no input ''"}
    for name, message in wrong.items():
        with pytest.raises(UsageError, match=message):
            archspec.inspect(spec, without=[name])
    with pytest.raises(UsageError, match="a list of names"):
        archspec.inspect(spec, without="m")
    masked = attention(*MASKED)
    optional = archspec.loads(
        ATTENTION.replace("MASK", MASKED[0][:-1] + ", optional: true, keyword: true}").replace(
            "GIVEN", MASKED[1]
        )
    )
    sizes = [archspec.largest_batch(optional, 1, without=out, seq=4097) for out in ((), ("mask",))]
    assert sizes[0] == archspec.largest_batch(masked, 1, seq=4097) < sizes[1]


def test_the_largest_batch_does_not_jump_above_4096() -> None:
    sizes = [archspec.largest_batch(attention(*MASKED), 1, seq=seq) for seq in (4096, 4097)]
    assert sizes[0] - sizes[1] <= 1 and sizes[1] > 1


def test_transformers_with_masks(kept_on_cpu: Callable[..., int]) -> None:
    spec = archspec.load(HERE / "transformers.yaml")
    found = archspec.inspect(spec)
    expected = kept_on_cpu(spec, None)
    assert found.memory.activations.value == pytest.approx(expected, rel=0.02)
    assert found.macs == found.training_macs


def test_the_value_of_a_scalar_cannot_be_asked_for() -> None:
    text = (
        "archspec: 1\nmodel: N\ndims: {batch: 2}\nblocks:\n  N:\n    inputs: {x: [batch, 4], flag:"
        ' {shape: [], dtype: bool}}\n    forward: [{return: "x if flag else -x"}]\n'
    )
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    (problem,) = caught.value.problems
    assert problem.code == "E305" and problem.place is not None and problem.place.line == 7


BRANCHES = """\
archspec: 1
model: Net
dims: {batch: 3}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      main: {type: Linear, in_features: 4, out_features: 4}
      side: {type: Linear, in_features: 4, out_features: 4}
    forward: [{return: main(x) + side(x) if training else main(x)}]
freeze: {all: ["**"]}
"""


def test_training_and_inference_are_told_apart() -> None:
    spec = archspec.loads(BRANCHES, name="net")
    rows = {plan: archspec.inspect(spec, freeze=plan) for plan in (None, "all")}
    figures = {plan: (one.macs.value, one.training_macs.value) for plan, one in rows.items()}
    assert figures == {None: (48, 96), "all": (48, 48)}
    main, side = rows[None].root.children
    assert (main.macs, main.training_macs, main.calls) == (48, 48, 1)
    assert (side.macs, side.training_macs, side.calls, side.outputs) == (0, 48, 0, ((3, 4),))
    assert "MACs, forward pass in training" in rows[None].text(100)
    assert "in training" not in rows["all"].text(100)


LOOPS = """\
archspec: 1
model: Net
dims: {batch: 3}
blocks:
  Part:
    inputs: {x: [batch, 4]}
    modules: {fc: {type: Linear, in_features: 4, out_features: 4}, act: {type: Tanh}}
  Net:
    inputs: {x: [batch, 4]}
    modules:
      part: {type: Part}
      one: {type: Part}
      two: {type: Part}
    forward:
      - for: i in range(5)
        do: [{x: part(x)}]
      - return: two(one(two(x)))
tie: {two.fc.weight: one.fc.weight}
"""


def test_layers_in_a_loop_and_shared(kept_on_cpu: Callable[..., int]) -> None:
    spec = archspec.loads(LOOPS, name="net")
    found = archspec.inspect(spec)
    assert found.macs.value == 8 * 3 * 16 and found.parameters.value == 2 * 16 + 3 * 4
    assert [child.calls for child in found.root.children] == [5, 1, 2]
    assert found.memory.activations.value == kept_on_cpu(spec, None)


LOOKUP = """\
archspec: 1
model: N
dims: {batch: 2, seq: 9}
blocks:
  N:
    inputs: {x: [batch, seq, 4]}
    modules: {embed: {type: Embedding, num_embeddings: 8, embedding_dim: 4}}
    forward: [{return: "x + STEP"}]
"""


def test_more_positions_than_the_table_has() -> None:
    spec = archspec.load("bert", **{**BERT, "max_position_embeddings": 32})
    assert archspec.inspect(spec, seq=32).warnings == ()
    found = archspec.inspect(spec, seq=33)
    (warning,) = found.warnings
    assert warning.message.startswith(
        "bert.embeddings.position_embeddings has 32 rows, but is indexed with 32:"
    )
    assert warning.place is not None and "position_embeddings" in warning.place.source
    assert found.to_dict()["warnings"][0]["line"] == warning.place.line
    assert "Warning: " in found.text(100)
    steps = {
        "embed(arange(x.shape[1]) + 2)": 2,
        "embed(arange(x.shape[1]) // 2)": None,
        "embed.weight[arange(x.shape[1])]": 0,
        "index_select(embed.weight, 0, arange(x.shape[1]))": 0,
        "embed(flip(arange(x.shape[1]), [0]))": 0,
        "embed(clamp(arange(x.shape[1]), max=7))": None,
        "embed(cumsum(x[:, :, 0] != 1, 1) - 1)": 0,
        "embed(cumsum(ones_like(x[0, :, 0], dtype=int64), 0))": 1,
        "embed(full([x.shape[1]], 7))": None,
    }
    for step, offset in steps.items():
        text = LOOKUP.replace("STEP", step)
        warnings = archspec.inspect(archspec.loads(text)).warnings
        index = None if offset is None else f"indexed with {8 + offset}:"
        assert (step, len(warnings)) == (step, 0 if offset is None else 1)
        assert all(index in one.message for one in warnings if index)


NORM = """\
archspec: 1
model: Net
dims: {batch: 1}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules: {norm: {type: BatchNorm1d, num_features: 4}}
"""


def test_one_value_per_channel_in_training() -> None:
    spec = archspec.loads(NORM, name="net")
    with pytest.raises(BuildError) as caught:
        archspec.inspect(spec)
    (problem,) = caught.value.problems
    assert problem.code == "E512" and problem.place is not None and problem.place.line == 7
    assert "cannot be run in training mode, nor can it in plain PyTorch" in problem.message
    assert problem.hint == "give a larger size: --dim batch=2"
    assert archspec.inspect(spec, batch=2).parameters.value == 8
    most = archspec.largest_batch(spec, 1e-6)
    needed = [archspec.inspect(spec, batch=n).memory.training.value for n in (most, most + 1)]
    assert needed[0] <= 1e-6 * 2**30 < needed[1]
    assert archspec.largest_batch(spec, 1e-9) == 0


def test_a_layer_that_fails_in_training_only() -> None:
    text = NORM.replace("[batch, 4]", "[]").replace("BatchNorm1d, num_features: 4", "Dropout2d")
    with pytest.raises(BuildError) as caught:
        archspec.inspect(archspec.loads(text, name="net"))
    (problem,) = caught.value.problems
    assert problem.code == "E512" and problem.place is not None and problem.place.line == 7
    assert "cannot be run in training mode, nor can it in plain PyTorch" in problem.message
    assert problem.hint == ""


# ------------------------------------------------------------------------------- checkpoints


def _kept_with_checkpoints(spec: Spec, paths: tuple[str, ...]) -> int:
    """Bytes that a CPU saves outside the checkpointed modules, their inputs included."""
    model = archspec.build(spec, device="cpu", seed=0)
    weights = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    def checkpointed(module: nn.Module) -> Any:
        forward = module.forward

        def called(*args: Any, **kwargs: Any) -> Any:
            for value in (*args, *kwargs.values()):
                if isinstance(value, torch.Tensor):
                    keep(value)
            return checkpoint(forward, *args, use_reentrant=False, **kwargs)

        return called

    for path in paths:
        module = model.get_submodule(path)
        module.forward = checkpointed(module)
    with saved_tensors_hooks(keep, lambda tensor: tensor):
        model(**example_inputs(spec, spec.architecture.dims, "cpu"))
    return sum(t.untyped_storage().nbytes() for at, t in kept.items() if at not in weights)


def test_checkpointed_blocks() -> None:
    spec = archspec.load("bert", **{**BERT, "num_hidden_layers": 4})
    whole = archspec.inspect(spec).memory
    assert whole.recomputed.value == 0 and "recomputed" not in whole.training_parts
    for pattern, count in {
        "bert.encoder.layer.*": 4,
        "bert.encoder.layer": 4,  # a list is never called
        "bert.encoder.layer[-2:]": 2,
        "@BertAttention": 4,
        "bert.encoder": 1,
    }.items():
        found = archspec.inspect(spec, checkpoint_blocks=[pattern])
        assert (pattern, len(found.checkpointed)) == (pattern, count)
        expected = _kept_with_checkpoints(spec, found.checkpointed)
        assert (pattern, found.memory.activations.value) == (pattern, expected)
        assert 0 < found.memory.recomputed.value < whole.activations.value
        assert f"{count} module" in found.text(100)
    frozen = archspec.inspect(spec, freeze="head-only", checkpoint_blocks=["bert.encoder.layer.*"])
    assert (
        frozen.memory.activations == archspec.inspect(spec, freeze="head-only").memory.activations
    )


def test_8_bit_states_and_the_kv_cache() -> None:
    spec = archspec.loads(
        "archspec: 1\nmodel: N\ndims: {batch: 2}\nblocks:\n  N:\n    inputs: {x: [batch, 100]}\n"
        "    modules: {a: {type: Linear, in_features: 100, out_features: 41}}\n"
    )
    found = archspec.inspect(spec, optimizer="adamw-8bit").memory.optimizer
    assert found.value == 2 * (4100 + 4 * 17) + 2 * 4 * 41  # a small tensor: float32
    assert not found.exact
    decoder = archspec.load(HERE / "gqa-decoder.yaml")
    memory = archspec.inspect(decoder, batch=3, seq=10).memory
    assert memory.kv_cache.value == 2 * 2 * (3 * 10 * 2 * 8) * 4  # layers; keys and values
    assert memory.generation.value == memory.weights.value + memory.kv_cache.value
    halved = archspec.inspect(decoder, batch=3, seq=10, precision="bf16").memory
    assert 2 * halved.kv_cache.value == memory.kv_cache.value
    assert "KV cache" in archspec.inspect(decoder).text(100)
    assert archspec.inspect("bert").memory.to_dict()["generation"] == {}
