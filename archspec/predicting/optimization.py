"""A faster way to run a model, taken only where its first batch shows that nothing is lost."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from archspec.feature_cache.tracing import Untraceable
from archspec.predicting.batchnorm_folding import fold_batchnorm
from archspec.predicting.variants import Variant
from archspec.report.text import first_line

Batch = Mapping[str, Tensor]

MOST_DIFFERENCE = 0.01  # of a probability, where numbers are shorter
LEAST_COSINE = 0.999  # of an embedding with the one that it stands for
ROUNDING = 1e-4  # the same, where only the order of operations differs
WORTH = 0.95  # of the time, that bf16 may take at most
_ROWS = 8  # of the first batch that a CPU is timed with
_TIMES = 3


def optimized(plain: Variant, batch: Batch) -> tuple[Variant, tuple[str, ...]]:
    """The fastest of a few ways to run a model that says the same of a batch.

    Args:
        plain: the model as it is, in inference mode.
        batch: the first one.

    Returns:
        The way, and what was done or left in words. The model itself is never changed.
    """
    reference = _scores(plain, batch)
    variant, notes = plain, list[str]()
    if _has_images(batch):
        variant = _folded(variant, batch, reference, notes)
        variant = _channels_last(variant, batch, reference, notes)
    variant = _bf16(variant, batch, reference, notes)
    return variant, tuple(notes)


def _has_images(batch: Batch) -> bool:
    """Whether every batch has the sizes of this one, and one dimension of it is channels."""
    return all(one.is_floating_point() and one.ndim == 4 for one in batch.values())


def _folded(variant: Variant, batch: Batch, reference: Tensor, notes: list[str]) -> Variant:
    model = copy.deepcopy(variant.model)
    given = {name: one.to(variant.device) for name, one in batch.items()}
    try:
        with torch.no_grad():
            count = fold_batchnorm(model, given)
    except Untraceable as error:
        notes.append(f"BatchNorm not folded: {error}")
        return variant
    found = replace(variant, model=model)
    if not count:
        return variant
    if not _difference(found, batch, reference) <= ROUNDING:
        notes.append("BatchNorm not folded: the output would differ by more than rounding")
        return variant
    notes.append(f"BatchNorm folded into {count} convolutions")
    return found


def _channels_last(variant: Variant, batch: Batch, reference: Tensor, notes: list[str]) -> Variant:
    if not any(isinstance(module, nn.Conv2d) for module in variant.model.modules()):
        return variant
    model = copy.deepcopy(variant.model).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    found = replace(variant, model=model, channels_last=True)
    if not _difference(found, batch, reference) <= ROUNDING:
        notes.append("channels-last left: the output would differ by more than rounding")
        return variant
    ratio = _time_of(found, variant, batch)
    if ratio >= 1:
        notes.append("channels-last left: not faster")
        return variant
    notes.append(f"channels-last: {1 / ratio:.1f} × as fast")
    return found


def _bf16(variant: Variant, batch: Batch, reference: Tensor, notes: list[str]) -> Variant:
    if not has_bf16(variant.device):
        notes.append(f"bf16 left: the {variant.device.type} has no instructions for it")
        return variant
    found = replace(variant, model=copy.deepcopy(variant.model).bfloat16(), dtype=torch.bfloat16)
    try:
        difference = _difference(found, batch, reference)
    except (RuntimeError, TypeError, ValueError) as error:
        notes.append(f"bf16 left: {first_line(error, 100)}")
        return variant
    allowed = MOST_DIFFERENCE if variant.classifies else 1 - LEAST_COSINE
    what = "probabilities differ" if variant.classifies else "1 − cosine differs"
    said = f"{what} by at most {difference:.2g} on the first batch, {allowed:.2g} is allowed"
    if not difference <= allowed:
        notes.append(f"bf16 left: {said}")
        return variant
    ratio = _time_of(found, variant, batch)
    if ratio > WORTH:
        notes.append("bf16 left: not faster")
        return variant
    notes.append(f"bf16: {1 / ratio:.1f} × as fast; {said}")
    return found


def has_bf16(device: torch.device) -> bool:
    """Whether the processor itself calculates with bfloat16."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type != "cpu":
        return False
    if hasattr(torch.cpu, "get_capabilities"):
        return any(there for name, there in torch.cpu.get_capabilities().items() if "bf16" in name)
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


@torch.inference_mode()
def _scores(variant: Variant, batch: Batch) -> Tensor:
    return variant.scores(batch)


def _difference(variant: Variant, batch: Batch, reference: Tensor) -> float:
    """How far it is from the reference: of probabilities the most, of embeddings 1 − cosine."""
    found = _scores(variant, batch)
    if variant.classifies:
        return float((found - reference).abs().max())
    return float(1 - torch.cosine_similarity(found, reference).min())


def _time_of(one: Variant, other: Variant, batch: Batch) -> float:
    """The time of one as a multiple of the other's: the shortest of a few, in turns."""
    rows = _ROWS if one.device.type == "cpu" else None
    sample = {name: tensor[:rows] for name, tensor in batch.items()}
    times: dict[Variant, list[float]] = {one: [], other: []}
    for _ in range(1 + _TIMES):
        for variant, found in times.items():
            start = time.perf_counter()
            _scores(variant, sample).sum().item()  # waits for the device
            found.append(time.perf_counter() - start)
    return min(times[one][1:]) / min(times[other][1:])
