"""What a model costs, as the cost page and the line above all pages show it."""

from __future__ import annotations

from typing import Any

from archspec.inspection import Figure
from archspec.inspection.report import grouped_figures
from archspec.report.numbers import format_count, format_size
from archspec_app.session import BuiltSpec

_KINDS = {
    "parameters": "parameters",
    "elements": "elements",
    "MACs": "multiply-accumulates",
    "FLOPs": "floating-point operations",
    "bytes": "bytes",
}


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure in four digits, and in all of them."""
    rounded = (format_size if figure.unit == "bytes" else format_count)(figure.value)
    return {
        "short": rounded if figure.exact else f"≈ {rounded}",
        "full": f"{figure.value:,} {_KINDS[figure.unit]}",
        "value": figure.value,
        "exact": figure.exact,
    }


def cost_data(opened: BuiltSpec) -> dict[str, Any]:
    """Every figure of the inspection, and what it was made for."""
    found = opened.inspection
    return {
        "groups": [
            {
                "title": title,
                "figures": [{"name": name, **figure_data(f)} for name, f in figures.items()],
            }
            for title, figures in grouped_figures(found).items()
        ],
        "precision": found.precision,
        "optimizer": found.optimizer,
        "plan": opened.asked.plan,
        "uncounted": dict(found.uncounted),
        "warnings": [warning.message for warning in found.warnings],
    }


def summary_data(opened: BuiltSpec) -> list[dict[str, Any]]:
    """The figures that are always on screen."""
    found = opened.inspection
    told = {
        "Parameters": found.parameters,
        "Trainable": found.trainable,
        "MACs": found.macs,
        "Training memory": found.memory.training,
        "Inference memory": found.memory.inference,
    }
    return [{"name": name, **figure_data(figure)} for name, figure in told.items()]
