"""The classic table of torchinfo, without its totals.

torchinfo counts shared tensors twice and no matrix product of attention, so its totals are left
out; its layers and shapes are right.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import torchinfo

from archspec.builder import build
from archspec.building.run_errors import run_error
from archspec.inspection.inspecting import example_run
from archspec.lang.spec import Spec
from archspec.tracing.forward_record import ForwardRecord
from archspec.tracing.loops import short_loops
from archspec.tracing.meta_run import MetaRun


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
        UsageError, ShapeError, SpecError, BuildError, FreezeError: as ``inspect``.
    """
    spec, inputs = example_run(source, sizes or {}, without)
    model = build(spec, device="meta", freeze=freeze)
    try:
        with MetaRun(model), short_loops(ForwardRecord(model)):
            summary = torchinfo.summary(
                model,
                input_data=inputs,
                device="meta",
                depth=1_000,
                col_names=("input_size", "output_size", "num_params", "trainable"),
                row_settings=("var_names",),
                verbose=0,
            )
    except RuntimeError as error:  # torchinfo's own, of whatever went wrong in the model
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        action = f"{spec.name} cannot be run on meta"
        raise run_error(spec, model, cause, action) from error
    return _without_totals(str(summary))


def _without_totals(text: str) -> str:
    """The heading and the layers: everything down to the third ruler."""
    lines = text.split("\n")
    rulers = [i for i, line in enumerate(lines) if line and set(line) == {"="}]
    return "\n".join(lines[: rulers[2] + 1] if len(rulers) > 2 else lines)
