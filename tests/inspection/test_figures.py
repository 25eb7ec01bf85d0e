"""Parameters, MACs and memory to the unit; the expected numbers were measured elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import archspec
from archspec.inspection import Figure, Inspection, Node
from archspec.inspection.memory import OPTIMIZERS

DATA = Path(__file__).parents[1] / "inputs"
GPT2, VIT = DATA / "gpt2.yaml", DATA / "vit-b-16.yaml"
LLAMA = Path(__file__).with_name("llama-3-405b.yaml")


def nodes(root: Node) -> dict[str, Node]:
    found = {root.path: root}
    for child in root.children:
        found |= nodes(child)
    return found


@pytest.mark.parametrize(
    ("source", "dims", "parameters", "buffers", "macs"),
    [
        ("resnet18", {}, 11_689_512, 9_620, 1_814_073_344),
        ("resnet50", {}, 25_557_032, 53_173, 4_089_184_256),
        (VIT, {}, 86_567_656, 0, 17_563_828_224),
        ("bert", {}, 109_483_778, 0, 11_174_217_216),
        ("bert", {"seq": 512}, 109_483_778, 0, 48_318_973_440),
        ("bert", {"seq": 512, "batch": 8}, 109_483_778, 0, 8 * 48_318_973_440),
        ("bert-model", {}, 109_482_240, 0, 11_174_217_216 - 1_536),
        ("bert-mlm", {}, 109_514_298, 0, 14_249_558_016),
        (GPT2, {}, 124_439_808, 0, 1_981_231_104),
    ],
)
def test_totals(
    source: str, dims: dict[str, Any], parameters: int, buffers: int, macs: int
) -> None:
    found = archspec.inspect(source, **dims)
    assert found.parameters == found.trainable == Figure(parameters, "parameters")
    assert found.buffers == Figure(buffers, "elements")
    assert found.macs == Figure(macs, "MACs")
    assert found.flops == Figure(2 * macs, "FLOPs")


def test_the_parts_of_bert() -> None:
    found = nodes(archspec.inspect("bert").root)
    assert found["bert.embeddings"].parameters == 23_837_184
    assert [found[f"bert.encoder.layer.{i}"].parameters for i in range(12)] == [7_087_872] * 12
    assert found["bert.pooler"].parameters == 590_592
    assert found["classifier"].parameters == 1_538
    query = found["bert.encoder.layer.3.attention.self.query"]
    assert (query.type, query.text) == (
        "Linear",
        "Linear(in_features=768, out_features=768, bias=True)",
    )
    assert query.inputs == query.outputs == ((1, 128, 768),)
    assert query.macs == 128 * 768 * 768
    assert query.place is not None and query.place.source.strip().startswith("query: {type: Linear")
    assert found["bert.encoder.layer"].calls == 0 and found["bert.encoder.layer"].inputs == ()
    assert found["bert"].outputs == ((1, 128, 768), (1, 768))


@pytest.mark.parametrize(
    ("plan", "trainable"),
    [("last-2-and-head", 14_177_282), ("head-only", 1_538), ("all", 0), ("none", 109_483_778)],
)
def test_trainable(plan: str, trainable: int) -> None:
    found = archspec.inspect("bert", freeze=plan)
    assert found.trainable == Figure(trainable, "parameters")
    assert found.parameters.value == 109_483_778
    assert nodes(found.root)["bert.encoder.layer.0"].trainable == (
        7_087_872 if plan == "none" else 0
    )


def test_a_shared_tensor_counts_once_and_says_so() -> None:
    found = archspec.inspect(GPT2)
    below = nodes(found.root)
    assert below["transformer.wte"].parameters == 50_257 * 768
    assert below["lm_head"].parameters == 0
    assert dict(below["lm_head"].shared) == {"weight": "transformer.wte.weight"}
    assert below["lm_head"].macs == 16 * 768 * 50_257
    assert found.memory.weights.value == 4 * 124_439_808


def test_a_tied_tensor_that_is_frozen_by_one_of_its_names() -> None:
    found = archspec.inspect(GPT2, freeze=["lm_head"])
    (tie,) = found.ties
    assert tie.names == ("transformer.wte.weight", "lm_head.weight")
    assert found.to_dict()["ties"] == [
        {"names": ["transformer.wte.weight", "lm_head.weight"], "frozen_by": ["lm_head.weight"]}
    ]
    told = "Shared: lm_head.weight is transformer.wte.weight: frozen as both."
    assert told in str(found) and told in found._repr_html_()
    for plan in (None, ["lm_head", "transformer.wte"], ["transformer.h"]):
        assert archspec.inspect(GPT2, freeze=plan).ties == ()


def test_the_units_of_the_tree() -> None:
    data = archspec.inspect("resnet18").to_dict()
    assert data["units"]["macs"] == {"unit": "MACs", "exact": True}
    assert data["units"]["activations"] == {"unit": "bytes", "exact": False}
    counted = {k for k, v in data["tree"].items() if type(v) is int and k not in ("line", "column")}
    assert counted == {*data["units"], "calls"}


def test_every_node_is_the_sum_of_its_children_and_its_own() -> None:
    found = archspec.inspect("resnet18")
    for node in nodes(found.root).values():
        if node.children:
            for name in ("parameters", "trainable", "buffers", "macs", "activations"):
                below = sum(getattr(child, name) for child in node.children)
                assert getattr(node, name) >= below
            assert node.parameters == sum(child.parameters for child in node.children)
            assert node.macs == sum(child.macs for child in node.children)


def static(found: Inspection) -> int:
    memory = found.memory
    assert memory.weights.exact and memory.gradients.exact and memory.optimizer.exact
    return memory.weights.value + memory.gradients.value + memory.optimizer.value


def test_static_memory_with_adamw() -> None:
    assert static(archspec.inspect("bert")) == 1_751_740_448
    assert static(archspec.inspect("bert", freeze="head-only")) == 437_953_568
    memory = archspec.inspect("bert", precision="bf16").memory
    assert memory.weights.value == memory.gradients.value == 2 * 109_483_778
    assert memory.optimizer.value == 4 * 109_483_778


@pytest.mark.parametrize("precision", ["bf16-mixed", "fp16-mixed"])
def test_mixed_precision_holds_float32(precision: str) -> None:
    found = archspec.inspect("resnet18", precision=precision, batch=8)
    assert static(found) == 16 * 11_689_512
    plain = archspec.inspect("resnet18", batch=8).memory.activations.value
    assert plain / 2 < found.memory.activations.value < plain


OPTIMIZER_CLASSES = {
    "adamw": lambda p: torch.optim.AdamW(p),
    "adam": lambda p: torch.optim.Adam(p),
    "sgd": lambda p: torch.optim.SGD(p),
    "sgd-momentum": lambda p: torch.optim.SGD(p, momentum=0.9),
    "rmsprop": lambda p: torch.optim.RMSprop(p),
    "adagrad": lambda p: torch.optim.Adagrad(p),
    "none": lambda p: torch.optim.SGD(p),
}


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("name", OPTIMIZER_CLASSES)  # that of 8 bits is not PyTorch's
def test_optimizer_state_is_what_torch_holds(name: str, dtype: str) -> None:
    sizes: dict[str, Any] = {
        "hidden_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 50,
    }
    spec = archspec.load("bert", intermediate_size=64, max_position_embeddings=16, **sizes)
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    model = archspec.build(spec, device="cpu", dtype=kind, freeze="last-2-and-head")
    parameters = [p for p in model.parameters() if p.requires_grad]
    for parameter in parameters:
        parameter.grad = torch.ones_like(parameter)
    optimizer = OPTIMIZER_CLASSES[name](parameters)
    optimizer.step()
    held = sum(
        value.numel() * value.itemsize
        for state in optimizer.state.values()
        for key, value in state.items()
        if isinstance(value, torch.Tensor) and key != "step"
    )
    found = archspec.inspect(spec, freeze="last-2-and-head", optimizer=name, precision=dtype, seq=8)
    assert found.memory.optimizer.value == held
    assert found.memory.gradients.value == sum(p.numel() * p.itemsize for p in parameters)


def test_what_is_not_counted_is_listed() -> None:
    found = archspec.inspect("bert")
    assert found.uncounted["native_layer_norm"] == 25 and found.uncounted["gelu"] == 12
    assert not {"view", "t", "transpose", "addmm", "mm", "bmm"} & found.uncounted.keys()


def test_a_norm_without_a_momentum() -> None:
    """In training it divides by the number of batches, a value that ``meta`` has not."""
    text = (
        "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 8]}\n    modules:"
        " {norm: {type: BatchNorm1d, num_features: 8, momentum: null}}\n"
        "    forward: [{return: norm(x)}]\n"
    )
    spec = archspec.loads(text)
    assert archspec.inspect(spec, batch=4).memory.activations.value > 0


def test_llama_3_405b() -> None:
    found = archspec.inspect(LLAMA, batch=1, seq=1024)
    assert found.parameters.value == 405_853_388_800
    matrices = found.parameters.value - 128_256 * 16_384 - 253 * 16_384
    assert found.macs.value == 1024 * matrices + 126 * 2 * 128 * 1024 * 1024 * 128


# ---------------------------------------------------------------------------------------- errors


PRECISION_HINT = "there are fp32, bf16, fp16, bf16-mixed, fp16-mixed"
OPTIMIZER_HINT = f"there are {', '.join(OPTIMIZERS)}"


@pytest.mark.parametrize(
    ("wrong", "message", "hint"),
    [
        ({"sek": 4}, "bert has no dimension 'sek'", "did you mean 'seq'?"),
        ({"height": 4}, "bert has no dimension 'height'", "there are batch, seq"),
        ({"batch": 0}, "the size of 'batch' is an integer of 1 or more, not 0", ""),
        ({"seq": 2.5}, "the size of 'seq' is an integer of 1 or more, not 2.5", ""),
        ({"seq": True}, "the size of 'seq' is an integer of 1 or more, not True", ""),
        ({"seq": 1_000_001}, "the size of 'seq' is at most 1,000,000, not 1,000,001", ""),
        ({"batch": 10**18}, f"the size of 'batch' is at most 1,000,000, not {10**18:,}", ""),
        ({"precision": None}, "the precision is a name, not NoneType", PRECISION_HINT),
        ({"precision": ["fp32"]}, "the precision is a name, not list", PRECISION_HINT),
        ({"optimizer": []}, "the optimizer is a name, not list", OPTIMIZER_HINT),
        ({"precision": "bf61"}, "no precision is called 'bf61'", "did you mean 'bf16'?"),
        ({"optimizer": "adamww"}, "no optimizer is called 'adamww'", "did you mean 'adamw'?"),
    ],
)
def test_usage_errors(wrong: dict[str, object], message: str, hint: str) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        archspec.inspect("bert", **wrong)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.message) == ("E801", message)
    assert caught.value.hint == hint


UNSIZED = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, length, 4]}
    modules:
      pool: {type: Linear, in_features: 4, out_features: 2}
"""


def test_a_dimension_without_a_size() -> None:
    spec = archspec.loads(UNSIZED)
    with pytest.raises(archspec.UsageError, match="gives 'length' no size"):
        archspec.inspect(spec)
    assert archspec.inspect(spec, length=5).macs.value == 5 * 4 * 2
    assert archspec.inspect(spec, length=5, batch=3).dims == {"batch": 3, "length": 5}


def test_sizes_that_break_shapes() -> None:
    spec = archspec.loads(UNSIZED.replace("length, 4]", "length]"), name="net.yaml")
    assert archspec.inspect(spec, length=4).parameters.value == 10
    with pytest.raises(archspec.ShapeError) as caught:
        archspec.inspect(spec, length=5)
    assert caught.value.code == "E510"
    assert "takes in_features=4, its input has 5" in caught.value.message


@pytest.mark.parametrize("function", [archspec.inspect, archspec.draw])
def test_sizes_whose_product_no_tensor_has(function: Any) -> None:
    most = 1_000_000
    with pytest.raises(archspec.ShapeError) as caught:
        function("resnet18", batch=most, height=most, width=most)
    assert caught.value.code == "E510" and caught.value.place is not None
    assert caught.value.message == (
        "no tensor can have the shape [1000000, 3, 1000000, 1000000] of the input 'x'"
    )
    assert caught.value.place.source.strip().startswith("inputs: {x:")
    with pytest.raises(archspec.ArchspecError, match="Storage size calculation overflowed"):
        function("bert", batch=most, seq=most)  # in the middle of the model


def test_the_spec_itself_keeps_its_sizes() -> None:
    spec = archspec.load("bert")
    archspec.inspect(spec, seq=7)
    assert spec.architecture.dims == {"batch": 1, "seq": 128}


# --------------------------------------------------------------------------------- largest batch


@pytest.mark.parametrize("freeze", [None, "head-only"])
def test_the_largest_batch_fits_and_one_more_does_not(freeze: str | None) -> None:
    largest = archspec.largest_batch("resnet18", 1.5, freeze=freeze)
    assert largest > 10
    for batch, fits in ((largest, True), (largest + 1, False)):
        memory = archspec.inspect("resnet18", freeze=freeze, batch=batch).memory
        assert (memory.training.value <= 1.5 * 2**30) == fits


def test_largest_batch_at_the_edges() -> None:
    assert archspec.largest_batch("resnet18", 0.1) == 0
    for wrong in (-1, float("nan"), float("inf"), "4", None, True):
        with pytest.raises(archspec.UsageError) as caught:
            archspec.largest_batch("resnet18", wrong)  # type: ignore[arg-type]
        assert caught.value.message == f"the memory is a number of GiB, not {wrong!r}"
    with pytest.raises(archspec.UsageError, match="finds the batch: it cannot be given"):
        archspec.largest_batch("resnet18", 4, batch=3)
    with pytest.raises(archspec.UsageError, match="no dimension 'batch'"):
        archspec.largest_batch(archspec.loads(UNSIZED.replace("batch", "n")), 1, length=3)
