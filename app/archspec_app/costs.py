"""The cost of a model, for the tab Cost and the summary above the tabs."""

from __future__ import annotations

from typing import Any

from archspec.inspection import Figure
from archspec.inspection.report import grouped_figures
from archspec.report.numbers import format_count, format_operations, format_size
from archspec_app.session import BuiltSpec

_KINDS = {
    "parameters": "parameters",
    "elements": "elements",
    "MACs": "MACs",
    "FLOPs": "FLOPs",
    "bytes": "bytes",
}

_FORMATS = {"bytes": format_size, "MACs": format_operations, "FLOPs": format_operations}


def figure_data(figure: Figure) -> dict[str, Any]:
    """A figure, rounded to four digits and in full."""
    rounded = _FORMATS.get(figure.unit, format_count)(figure.value)
    return {
        "short": rounded if figure.exact else f"≈ {rounded}",
        "full": f"{figure.value:,} {_KINDS[figure.unit]}",
        "value": figure.value,
        "exact": figure.exact,
    }


def cost_data(built: BuiltSpec) -> dict[str, Any]:
    """All figures of the inspection, and the options that they hold for."""
    inspection = built.inspection
    return {
        "groups": [
            {
                "title": title,
                "figures": [{"name": name, **figure_data(f)} for name, f in figures.items()],
            }
            for title, figures in grouped_figures(inspection).items()
        ],
        "precision": inspection.precision,
        "optimizer": inspection.optimizer,
        "plan": built.request.plan,
        "uncounted": dict(inspection.uncounted),
        "warnings": [warning.message for warning in inspection.warnings],
    }


def summary_data(built: BuiltSpec) -> list[dict[str, Any]]:
    """The figures that are always on screen."""
    inspection = built.inspection
    figures = {
        "Parameters": inspection.parameters,
        "Trainable": inspection.trainable,
        "MACs": inspection.macs,
        "Training memory": inspection.memory.training,
        "Inference memory": inspection.memory.inference,
    }
    batch = f"batch {inspection.dims['batch']:,}" if "batch" in inspection.dims else ""
    notes = {
        "Trainable": built.request.plan or "nothing frozen",
        "Training memory": batch,
        "Inference memory": batch,
    }
    return [
        {"name": name, **figure_data(figure), "note": notes.get(name, "")}
        for name, figure in figures.items()
    ]
