"""What CUDA's kernels save for backward, and the most that a step needs at once."""

from __future__ import annotations

import pytest

import archspec

MEASURED = [  # with PyTorch 2.11 on an H200, by ``python -m benchmarks gpu``
    ("bert", {"batch": 32, "seq": 128}, None, "fp32", 2_523_390_976),
    ("bert", {"batch": 32, "seq": 128}, None, "bf16-mixed", 1_775_743_168),
    ("bert", {"batch": 32, "seq": 128}, "last-2-and-head", "fp32", 416_014_336),
    ("bert", {"batch": 32, "seq": 128}, "last-2-and-head", "bf16-mixed", 290_860_064),
    ("bert", {"batch": 64, "seq": 128}, "head-only", "fp32", 196_608),
    ("bert", {"batch": 16, "seq": 512}, None, "fp32", 5_046_452_224),
    ("bert", {"batch": 16, "seq": 512}, None, "bf16", 2_605_121_728),
    ("gpt2", {"batch": 8, "seq": 512}, None, "fp32", 2_925_625_344),
    ("gpt2", {"batch": 8, "seq": 512}, None, "bf16-mixed", 1_908_106_944),
    ("t5", {"batch": 16}, None, "fp32", 650_774_528),
    ("mamba", {"batch": 4}, None, "fp32", 3_420_493_824),
    ("deberta-v3", {"batch": 32, "seq": 128}, None, "bf16-mixed", 4_297_706_496),
    ("modernbert", {"batch": 32, "seq": 128}, None, "bf16-mixed", 2_749_484_640),
    ("resnet50", {"batch": 64}, None, "fp32", 5_498_420_736),
    ("resnet50", {"batch": 64}, None, "bf16-mixed", 2_851_702_656),
    ("resnet50", {"batch": 64}, "head-only", "fp32", 524_288),
    ("efficientnet-b0", {"batch": 64}, None, "fp32", 5_644_342_656),
    ("convnext-tiny", {"batch": 64}, None, "bf16-mixed", 3_936_027_712),
    ("vit-b-16", {"batch": 64}, None, "bf16-mixed", 4_423_498_432),
    ("unet", {"batch": 4}, None, "fp32", 1_372_633_088),
    ("whisper", {"batch": 8}, None, "bf16-mixed", 1_049_364_416),
    ("clip", {"texts": 32, "images": 32}, None, "bf16-mixed", 1_717_829_612),
]
SMALL = """
archspec: 1
model: Small
dims: { batch: 16 }
blocks:
  Small:
    inputs: { x: [batch, 4] }
    outputs: { y: [batch, 2] }
    modules:
      first: { type: Linear, in_features: 4, out_features: 8 }
      last: { type: Linear, in_features: 8, out_features: 2 }
    forward:
      - return: last(relu(first(x)))
"""


def test_activations_are_those_that_were_measured_on_a_gpu() -> None:
    for spec, sizes, plan, precision, saved in MEASURED:
        found = archspec.inspect(spec, freeze=plan, precision=precision, device="cuda", **sizes)
        case = f"{spec} {plan} {precision}"
        assert found.memory.activations.value == pytest.approx(saved, rel=2e-4), case


@pytest.mark.parametrize("precision", ["fp32", "bf16-mixed"])
def test_kernels_compute_the_same(precision: str) -> None:
    """Whatever they save: each has a formula of its own for its multiply-accumulates."""
    for name in ("albert", "gemma3", "siglip", "convnext-tiny", "mixtral"):
        cpu, cuda = (
            archspec.inspect(name, precision=precision, device=device) for device in ("cpu", "cuda")
        )
        assert (cuda.macs, cuda.training_macs) == (cpu.macs, cpu.training_macs), name


def test_the_peak_of_a_step() -> None:
    """It is where the gradients of the ReLU's input and output are there, and both its weights'."""
    always = 3 * 4 * (4 * 8 + 8 + 8 * 2 + 2)  # weights, and two tensors of AdamW
    held, saved, last = 4 * 16 * 2, 4 * 16 * (4 + 8), 4 * (8 * 2 + 2)
    peak = always + held + saved + last + 2 * 4 * 16 * 8
    spec = archspec.loads(SMALL)
    assert archspec.inspect(spec).memory.peak.value == peak
    assert archspec.inspect(spec, device="cuda").memory.peak.value == peak + 32 * 2**20
    step = archspec.inspect(spec, optimizer="none", freeze=["first"]).memory
    assert step.gradients.value == last
    frozen = archspec.inspect(spec, freeze=["**"]).memory
    assert frozen.peak.value == frozen.weights.value + 4 * 16 * (4 + 8 + 8)  # of the forward pass


def test_an_unknown_device() -> None:
    with pytest.raises(archspec.UsageError, match="no device is called 'gpu'") as caught:
        archspec.inspect(archspec.loads(SMALL), device="gpu")
    assert caught.value.hint == "there are cpu, cuda"  # no near miss in letters: cpu
