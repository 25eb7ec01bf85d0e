"""On a GPU: forward passes and training steps with the same weights, and the memory of a step.

A step is forward, backward and AdamW in one kernel; ``bf16`` is autocast. The memory is that of the
third step, without a loss: backward starts with a gradient of the first output.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

import archspec
from archspec.inspection.inspecting import example_run
from archspec.tracing.forward_record import tensors_in
from benchmarks.pairs import Pair
from benchmarks.references import bert, torchvision, with_weights_of

IMAGE_MODELS = {"resnet50": 64, "vit-b-16": 64, "convnext-tiny": 64}
"""Name → the size of the batch."""

Case = tuple[str, dict[str, int], str | None, str]
CASES: list[Case] = [  # spec, sizes, freeze plan, precision
    ("bert", {"batch": 32, "seq": 128}, None, "fp32"),
    ("bert", {"batch": 32, "seq": 128}, None, "bf16-mixed"),
    ("bert", {"batch": 32, "seq": 128}, "last-2-and-head", "fp32"),
    ("bert", {"batch": 32, "seq": 128}, "last-2-and-head", "bf16-mixed"),
    ("bert", {"batch": 64, "seq": 128}, "head-only", "fp32"),
    ("bert", {"batch": 16, "seq": 512}, None, "fp32"),
    ("bert", {"batch": 16, "seq": 512}, None, "bf16"),
    ("gpt2", {"batch": 8, "seq": 512}, None, "fp32"),
    ("gpt2", {"batch": 8, "seq": 512}, None, "bf16-mixed"),
    ("t5", {"batch": 16}, None, "fp32"),
    ("mamba", {"batch": 4}, None, "fp32"),
    ("deberta-v3", {"batch": 32, "seq": 128}, None, "bf16-mixed"),
    ("modernbert", {"batch": 32, "seq": 128}, None, "bf16-mixed"),
    ("resnet50", {"batch": 64}, None, "fp32"),
    ("resnet50", {"batch": 64}, None, "bf16-mixed"),
    ("resnet50", {"batch": 64}, "head-only", "fp32"),
    ("efficientnet-b0", {"batch": 64}, None, "fp32"),
    ("convnext-tiny", {"batch": 64}, None, "bf16-mixed"),
    ("vit-b-16", {"batch": 64}, None, "bf16-mixed"),
    ("swin-t", {"batch": 64}, None, "bf16-mixed"),
    ("unet", {"batch": 4}, None, "fp32"),
    ("whisper", {"batch": 8}, None, "bf16-mixed"),
    ("clip", {"texts": 32, "images": 32}, None, "bf16-mixed"),
]


def pairs() -> Iterator[Pair]:
    """Ours against ``transformers`` and torchvision, both on the GPU."""
    theirs = bert()
    ours = with_weights_of(theirs, "bert")
    ids = torch.randint(30522, (32, 128), device="cuda")
    mask = torch.ones_like(ids)
    mask[::2, 100:] = 0
    yield from _pairs("BERT, 32×128", ours, theirs, input_ids=ids, attention_mask=mask)
    for name, batch in IMAGE_MODELS.items():
        theirs = torchvision(name)
        images = torch.randn(batch, 3, 224, 224, device="cuda")
        yield from _pairs(f"{name}, {batch}×224×224", with_weights_of(theirs, name), theirs, images)


def _pairs(
    name: str, ours: nn.Module, theirs: nn.Module, *images: Tensor, **inputs: Tensor
) -> Iterator[Pair]:
    models = ours.cuda(), theirs.cuda()
    for dtype in (None, torch.bfloat16):
        kind = "fp32" if dtype is None else "bf16"
        passes = [_forward(model.eval(), dtype, *images, **inputs) for model in models]
        yield Pair(f"{name}, {kind}, forward", *passes, target=1.0)
    for dtype in (None, torch.bfloat16):
        kind = "fp32" if dtype is None else "bf16"
        steps = [_step(model.train(), dtype, *images, **inputs) for model in models]
        yield Pair(f"{name}, {kind}, training step", *steps, target=1.0)


def _forward(
    model: nn.Module, dtype: torch.dtype | None, *images: Tensor, **inputs: Tensor
) -> Callable[[], None]:
    def run() -> None:
        with torch.inference_mode(), torch.autocast("cuda", dtype, enabled=dtype is not None):
            model(*images, **inputs)
        torch.cuda.synchronize()

    return run


def _step(
    model: nn.Module, dtype: torch.dtype | None, *images: Tensor, **inputs: Tensor
) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def run() -> None:
        with torch.autocast("cuda", dtype, enabled=dtype is not None):
            logits = model(*images, **inputs)
        logits = logits if isinstance(logits, Tensor) else logits.logits
        logits.float().logsumexp(-1).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        torch.cuda.synchronize()

    return run


def memory() -> Iterator[str]:
    """A line for each case: what ``inspect`` estimates, and what was used."""
    for spec, sizes, plan, precision in CASES:
        options: dict[str, Any] = {"freeze": plan, "precision": precision, **sizes}
        estimated = archspec.inspect(spec, device="cuda", **options).memory
        saved, peak = _measured(spec, sizes, plan, precision)
        name = " ".join([spec, *map(str, sizes.values()), plan or "", precision])
        ratios = estimated.activations.value / max(saved, 1), estimated.peak.value / peak
        yield (
            f"{name:50} saved {estimated.activations.value:>14,} {saved:>14,} {ratios[0]:6.3f}"
            f"   peak {estimated.peak.value:>14,} {peak:>14,} {ratios[1]:6.3f}"
        )


def _measured(
    spec: str, sizes: dict[str, int], plan: str | None, precision: str
) -> tuple[int, int]:
    """Bytes that a step saves for backward, and the most that it has allocated."""
    gc.collect()  # the model of the case before
    before = torch.cuda.memory_allocated()
    dtype = torch.bfloat16 if precision == "bf16" else None
    model = archspec.build(spec, device="cuda", dtype=dtype, freeze=plan).train()
    inputs = {name: _real(value, dtype) for name, value in example_run(spec, sizes)[1].items()}
    trained = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    own = {one.untyped_storage().data_ptr() for one in (*model.parameters(), *model.buffers())}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if tensor.is_cuda and storage.data_ptr() not in own:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    for _ in range(3):
        saved.clear()
        torch.cuda.reset_peak_memory_stats()
        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16-mixed"):
                found = model(**inputs)
            output = _first_output(found)
        output.backward(torch.ones_like(output))
        del found, output
        optimizer.step()
        optimizer.zero_grad()
    return sum(saved.values()), torch.cuda.max_memory_allocated() - before


def _real(value: Any, dtype: torch.dtype | None) -> Any:
    if isinstance(value, list | tuple):
        return [_real(item, dtype) for item in value]
    if not isinstance(value, Tensor):
        return value
    if value.is_floating_point():
        return torch.rand(value.shape, dtype=dtype or value.dtype, device="cuda")
    return torch.ones(value.shape, dtype=value.dtype, device="cuda")


def _first_output(found: Any) -> Tensor:
    """The first tensor of what a model returns that depends on what is trained."""
    values = found if isinstance(found, Tensor | dict | list | tuple) else vars(found)
    return next(one for one in tensors_in(values) if one.requires_grad)
