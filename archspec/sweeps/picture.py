"""The picture of a sweep: the metric over the trials, and over each value that was searched."""

from __future__ import annotations

import math
from typing import Any

from archspec.sweeps.search_space import Range, SearchSpace
from archspec.sweeps.trials import PICTURE, Sweep, Trial
from archspec.tasks.figures import LOWER_IS_BETTER, figure_name
from archspec.training.run_folder import RunFolder

_COLUMNS = 3
_WIDTH, _HEIGHT = 4.0, 3.2  # inches, of one panel


def write_picture(sweep: Sweep, space: SearchSpace) -> None:
    """Write ``sweep.svg`` beside the runs: a panel for the trials, one for each dimension.

    Raises:
        RunError: E921, it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    known = [trial for trial in sweep.trials if trial.value is not None]
    panels = 1 + len(space.dimensions)
    columns = min(panels, _COLUMNS)
    rows = math.ceil(panels / columns)
    figure = Figure(figsize=(_WIDTH * columns, _HEIGHT * rows), layout="constrained")
    axes: Any = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for unused in axes[panels:]:
        unused.remove()
    metric = figure_name(sweep.monitor)
    _trials(axes[0], sweep, known)
    for axis, (name, dimension) in zip(axes[1:], space.dimensions.items(), strict=False):
        if isinstance(dimension, Range):
            _points(axis, known, [trial.values[name] for trial in known])
            if dimension.kind == "log":
                axis.set_xscale("log")
        else:
            values = [*dimension.values]
            _points(axis, known, [values.index(trial.values[name]) for trial in known])
            axis.set_xticks(range(len(values)), [_text(value) for value in values])
        axis.set_xlabel(_text(name))
    for axis in axes[:panels:columns]:
        axis.set_ylabel(metric)
    folder = RunFolder(sweep.path)
    with mpl.rc_context({"svg.hashsalt": "archspec"}), folder.replacing(PICTURE) as place:
        figure.savefig(place, format="svg", metadata={"Date": None})


def _trials(axis: Any, sweep: Sweep, known: list[Trial]) -> None:
    """The metric of each trial, and the best so far."""
    _points(axis, known, [trial.number for trial in known])
    choose = min if sweep.monitor in LOWER_IS_BETTER else max
    done = [trial for trial in known if trial.status == "finished"]
    best = [
        choose(one.value for one in done[: i + 1] if one.value is not None)
        for i in range(len(done))
    ]
    axis.step([trial.number for trial in done], best, where="post", color="tab:green", label="best")
    axis.set_xlabel("trial")
    if known:
        axis.legend(fontsize="small")


def _points(axis: Any, trials: list[Trial], places: list[Any]) -> None:
    for status, marker, color in (("finished", "o", "tab:blue"), ("pruned", "x", "tab:gray")):
        found = [(x, t.value) for x, t in zip(places, trials, strict=True) if t.status == status]
        if found:
            x, y = zip(*found, strict=True)
            axis.scatter(x, y, marker=marker, color=color, s=24, label=status)


def _text(value: object) -> str:
    """Text that matplotlib does not take for mathematics."""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("$", r"\$")
