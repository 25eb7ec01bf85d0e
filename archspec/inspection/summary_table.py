"""The classic table of torchinfo, without its totals.

torchinfo counts shared tensors twice and no product of attention, so that its totals are not ours
to repeat; layers and shapes are right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from archspec.builder import build
from archspec.errors import Problem, UsageError
from archspec.inspection.inspecting import example_run
from archspec.lang.spec import Spec


def summary_table(
    source: str | os.PathLike[str] | Spec,
    *,
    freeze: str | Sequence[str] | None = None,
    sizes: Mapping[str, int] | None = None,
    without: Sequence[str] = (),
) -> str:
    """The table of layers, shapes and parameters that torchinfo prints, its totals left out.

    Args:
        source, freeze: as for ``inspect``.
        sizes: symbolic dimension → size, instead of those in the spec's ``dims``.
        without: names of optional inputs to leave out.

    Raises:
        UsageError: E801, torchinfo is not installed; and as ``inspect``.
    """
    torchinfo = _torchinfo()
    spec, inputs = example_run(source, sizes or {}, without)
    model = build(spec, device="meta", freeze=freeze)
    found = torchinfo.summary(
        model,
        input_data=inputs,
        device="meta",
        depth=1_000,
        col_names=("input_size", "output_size", "num_params", "trainable"),
        row_settings=("var_names",),
        verbose=0,
    )
    return _without_totals(str(found))


def _torchinfo() -> Any:
    try:
        import torchinfo
    except ImportError:
        hint = "pip install torchinfo"
        raise UsageError(Problem("E801", "the table needs torchinfo", hint=hint)) from None
    return torchinfo


def _without_totals(text: str) -> str:
    """What stands up to the third ruler: heading and layers."""
    lines = text.split("\n")
    rulers = [i for i, line in enumerate(lines) if line and set(line) == {"="}]
    return "\n".join(lines[: rulers[2] + 1] if len(rulers) > 2 else lines)
