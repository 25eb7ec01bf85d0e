"""Finds a faster variant of a model whose scores on a first batch are the same."""

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

MAX_DIFFERENCE = 0.01  # of a probability, with bfloat16
MIN_COSINE = 0.999  # of an embedding and that of the plain model
MAX_ROUNDING = 1e-4  # of either, if only the order of operations differs
MAX_TIME_RATIO = 0.95  # of the plain model's time, for bf16
_TIMED_ROWS = 8  # of the first batch, for timing on a CPU
_REPEATS = 3


def optimize_variant(plain: Variant, batch: Batch) -> tuple[Variant, tuple[str, ...]]:
    """The fastest of a few variants of a model with the same scores for a batch.

    Args:
        plain: the model without optimization, in inference mode.
        batch: the first one.

    Returns:
        The variant, and what was done or not done, in words. The model itself is not changed.
    """
    reference = _scores(plain, batch)
    variant, notes = plain, list[str]()
    if _has_images(batch):
        variant = _fold_batchnorm(variant, batch, reference, notes)
        variant = _try_channels_last(variant, batch, reference, notes)
    variant = _try_bf16(variant, batch, reference, notes)
    return variant, tuple(notes)


def _has_images(batch: Batch) -> bool:
    """Whether the inputs are images: floating point, with four dimensions."""
    return all(one.is_floating_point() and one.ndim == 4 for one in batch.values())


def _fold_batchnorm(variant: Variant, batch: Batch, reference: Tensor, notes: list[str]) -> Variant:
    model = copy.deepcopy(variant.model)
    inputs = {name: one.to(variant.device) for name, one in batch.items()}
    try:
        with torch.no_grad():
            count = fold_batchnorm(model, inputs)
    except Untraceable as error:
        notes.append(f"BatchNorm not folded: {error}")
        return variant
    candidate = replace(variant, model=model)
    if not count:
        return variant
    if not _difference(candidate, batch, reference) <= MAX_ROUNDING:
        notes.append("BatchNorm not folded: the output would differ by more than rounding")
        return variant
    notes.append(f"BatchNorm folded into {count} convolutions")
    return candidate


def _try_channels_last(
    variant: Variant, batch: Batch, reference: Tensor, notes: list[str]
) -> Variant:
    if not any(isinstance(module, nn.Conv2d) for module in variant.model.modules()):
        return variant
    model = copy.deepcopy(variant.model).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    candidate = replace(variant, model=model, channels_last=True)
    if not _difference(candidate, batch, reference) <= MAX_ROUNDING:
        notes.append("channels-last left: the output would differ by more than rounding")
        return variant
    ratio = _time_ratio(candidate, variant, batch)
    if ratio >= 1:
        notes.append("channels-last left: not faster")
        return variant
    notes.append(f"channels-last: {1 / ratio:.1f} × as fast")
    return candidate


def _try_bf16(variant: Variant, batch: Batch, reference: Tensor, notes: list[str]) -> Variant:
    if not has_bf16(variant.device):
        notes.append(f"bf16 left: the {variant.device.type} has no instructions for it")
        return variant
    candidate = replace(
        variant, model=copy.deepcopy(variant.model).bfloat16(), dtype=torch.bfloat16
    )
    try:
        difference = _difference(candidate, batch, reference)
    except (RuntimeError, TypeError, ValueError) as error:
        notes.append(f"bf16 left: {first_line(error, 100)}")
        return variant
    are_vectors = not variant.activation and reference.shape[1] > 1
    allowed = 1 - MIN_COSINE if are_vectors else MAX_DIFFERENCE
    measure = "1 − cosine differs" if are_vectors else "probabilities differ"
    if not variant.activation and not are_vectors:
        measure = "numbers differ, as a fraction of the largest,"
    result = f"{measure} by at most {difference:.2g} on the first batch, {allowed:.2g} is allowed"
    if not difference <= allowed:
        notes.append(f"bf16 left: {result}")
        return variant
    ratio = _time_ratio(candidate, variant, batch)
    if ratio > MAX_TIME_RATIO:
        notes.append("bf16 left: not faster")
        return variant
    notes.append(f"bf16: {1 / ratio:.1f} × as fast; {result}")
    return candidate


def has_bf16(device: torch.device) -> bool:
    """Whether the processor has instructions for bfloat16."""
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
    """The largest difference of a probability from the reference, or 1 − cosine of an embedding.

    Of numbers, one for each row, the difference as a fraction of the largest.
    """
    scores = _scores(variant, batch)
    if variant.activation:
        return float((scores - reference).abs().max())
    if reference.shape[1] == 1:
        return float((scores - reference).abs().max() / reference.abs().max().clamp(min=1e-6))
    return float(1 - torch.cosine_similarity(scores, reference).min())


def _time_ratio(candidate: Variant, baseline: Variant, batch: Batch) -> float:
    """Time of a variant divided by that of another: the shortest of a few alternating runs."""
    rows = _TIMED_ROWS if candidate.device.type == "cpu" else None
    sample = {name: tensor[:rows] for name, tensor in batch.items()}
    times: dict[Variant, list[float]] = {candidate: [], baseline: []}
    for _ in range(1 + _REPEATS):
        for variant, seconds in times.items():
            start = time.perf_counter()
            _scores(variant, sample).sum().item()  # waits for the device
            seconds.append(time.perf_counter() - start)
    return min(times[candidate][1:]) / min(times[baseline][1:])
