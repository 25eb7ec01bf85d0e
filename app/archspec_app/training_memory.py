"""Memory of a training step for each freeze plan, and the GPUs that it fits on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from archspec.inspection import Figure
from archspec.inspection.inspecting import MAX_SIZE, MeasuredModel
from archspec.inspection.report import named_parts
from archspec.report.numbers import format_size
from archspec_app.session import BuiltSpec

MAX_PLANS = 12
GPUS = {
    8: "RTX 4060",
    12: "RTX 3060, 4070",
    16: "RTX 4080, RTX A4000",
    24: "RTX 3090, 4090, A10, L4",
    32: "RTX 5090",
    40: "A100",
    48: "L40S, RTX 6000 Ada",
    80: "A100, H100",
    141: "H200",
    192: "B200",
}
"""GB of memory → some GPUs with so much, of compute capability 8.0 or newer."""

USABLE = 0.9
"""The part of a GPU's memory that a step may take; the rest is for CUDA and fragmentation."""

_BATCHES = 2, 10


def plans_data(built: BuiltSpec) -> tuple[list[dict[str, Any]], int]:
    """Nothing frozen, the chosen plan, and others that freeze something: parts and total.

    The second value is the number of plans that are left out.
    """
    chosen, whole = built.request.plan, _case(built, None)
    others = [name for name in built.spec.architecture.freeze if name != chosen]
    rows = [_row(None, whole, chosen=chosen is None)]
    if chosen is not None:
        rows.append(_row(chosen, _case(built, chosen), chosen=True))
    for name in others[:MAX_PLANS]:
        case = _case(built, name)
        if case.static != whole.static:
            rows.append(_row(name, case, chosen=False))
    return rows, len(others[MAX_PLANS:])


def _case(built: BuiltSpec, plan: str | None, device: str | None = None) -> MeasuredModel:
    request = built.request
    return MeasuredModel.of(
        built.spec,
        request.sizes,
        plan,
        request.precision,
        request.optimizer,
        request.checkpoint_blocks,
        request.without,
        device or request.device,
    )


def _row(plan: str | None, case: MeasuredModel, *, chosen: bool) -> dict[str, Any]:
    memory = case.memory()
    parts = named_parts(memory.training_parts, "activations saved for backward")
    return {
        "plan": plan or "nothing frozen",
        "chosen": chosen,
        "parts": [{"name": name, **_size(figure)} for name, figure in parts.items()],
        "total": _size(memory.training),
    }


def _size(figure: Figure) -> dict[str, Any]:
    short = format_size(figure.value)
    return {"value": figure.value, "short": short if figure.exact else f"≈ {short}"}


def gpus_data(built: BuiltSpec) -> list[dict[str, Any]]:
    """For each size of memory whether a step fits, and its largest batch, as CUDA's kernels save.

    The batch follows from two sizes, as if memory grew in proportion. It is None for a spec that
    has no dimension of that name.
    """
    needed = _needed(built, built.request.sizes)
    line = None
    if "batch" in built.spec.architecture.dims:
        few, more = (_needed(built, {**built.request.sizes, "batch": n}) for n in _BATCHES)
        slope = (more - few) / (_BATCHES[1] - _BATCHES[0])
        line = (few - _BATCHES[0] * slope, slope)
    return [
        {
            "memory": f"{size} GB",
            "examples": examples,
            "fits": needed <= USABLE * size * 10**9,
            "batch": line and _largest(USABLE * size * 10**9, *line),
        }
        for size, examples in GPUS.items()
    ]


def _needed(built: BuiltSpec, sizes: Mapping[str, int]) -> int:
    request = replace(built.request, sizes=sizes)
    case = _case(replace(built, request=request), request.plan, "cuda")
    return case.memory().training.value


def _largest(limit: float, fixed: float, slope: float) -> int:
    return min(MAX_SIZE, max(0, int((limit - fixed) / slope))) if slope > 0 else MAX_SIZE
