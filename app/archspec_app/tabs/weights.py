"""The tab Weights: what the values of a checkpoint are like, tensor by tensor."""

from __future__ import annotations

from typing import Any

from archspec.errors import Problem, UsageError
from archspec.training.run_folder import BEST
from archspec.weights import TensorStatistics, weight_statistics
from archspec_app.component import hint, view
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, text_of
from archspec_app.framework import LISTENER
from archspec_app.session import Session
from archspec_app.weight_files import companion_files, runs_with_weights, stamp, weights_below
from archspec_app.workspace import inside

MAX_SHOWN = 2_000


def build(binder: EventBinder) -> None:
    hint("Look into a run's weights or a checkpoint: extremes, zeros and a histogram per tensor.")
    weights = view("weights", label="Weights", elem_id="weights")
    weights.files(binder.on_query(_files, _failed), [], [weights], **LISTENER)
    describe = binder.on_query(_describe, _failed, model_key=_model_key, replaceable=True)
    weights.describe(describe, [], [weights], **LISTENER)


def _model_key(event: Event) -> str:
    """A process of its own: a large file keeps nobody waiting."""
    return "weights"


def _files(session: Session, event: Event) -> dict[str, Any]:
    folder = session.workspace.folder
    files = [one["name"] for one in weights_below(folder)]
    return {"runs": runs_with_weights(folder), "files": files}


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"error": problem}


def _describe(session: Session, event: Event) -> dict[str, Any]:
    folder, name = session.workspace.folder, text_of(event.data, "file")
    if not name:
        hint = "a file or folder in the working folder"
        raise UsageError(Problem("E801", "choose weights", hint=hint))
    path = inside(folder, name, must_exist=True)
    path = path / BEST if (path / BEST).is_file() else path
    stamp(folder, [path, *companion_files(path)])  # no links that lead out
    found = weight_statistics(path)
    noted_first = sorted(found, key=lambda one: not one.notes)[:MAX_SHOWN]
    kept = {one.name for one in noted_first}
    return {
        "file": name,
        "tensors": [_row(one) for one in found if one.name in kept],
        "left_out": len(found) - len(kept),
    }


def _row(one: TensorStatistics) -> dict[str, Any]:
    return {**one.to_dict(), "shape": list(one.shape)}
