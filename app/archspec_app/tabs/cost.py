"""The tab Cost: totals and memory, for chosen sizes, inputs, precision and optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.lang.spec import Spec
from archspec_app.component import hint, view
from archspec_app.costs import cost_data, summary_data
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, flag_of, text_of
from archspec_app.framework import LISTENER
from archspec_app.param_form import (
    at_field,
    param_value,
    sizes_data,
    with_error,
    with_field,
)
from archspec_app.session import BuiltSpec, Session, SpecRequest, optional_inputs
from archspec_app.training_memory import gpus_data, plans_data

PRECISIONS = ["fp32", "bf16-mixed", "fp16-mixed", "bf16", "fp16"]
OPTIMIZERS = ["adamw", "adamw-8bit", "adam", "sgd", "sgd-momentum", "rmsprop", "adagrad", "none"]
DEVICES = ["cpu", "cuda"]

CHECKPOINTS = (
    "Activation checkpointing: patterns of module names, such as bert.encoder.layer.*, separated by"
    " spaces. The activations of these modules are recomputed in the backward pass to save memory."
)
_INPUT = "input:"
_PASSED, _OMITTED = "passed", "omitted"


def build(binder: EventBinder) -> None:
    hint(
        "What the model costs for these sizes. Exact figures are counted,"
        " estimated ones (≈) are computed from them; nothing has been run."
    )
    form = view("form", label="Sizes", elem_id="sizes")
    costs = view("cost", label="Cost", elem_id="costs")
    binder.add_outputs([form, costs], _render)
    binder.listen(form, "field", set_field)
    memory = view("memory", label="Memory of a training step", elem_id="memory")
    memory.compute(binder.on_query(_memory, _failed, replaceable=True), [], [memory], **LISTENER)


def _memory(session: Session, event: Event) -> dict[str, Any]:
    if session.built is None:
        raise UsageError(Problem("E801", "there is no model yet"))
    plans, left_out = plans_data(session.built)
    return {"plans": plans, "left_out": left_out, "gpus": gpus_data(session.built)}


def _failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"error": problem}


def render_summary(session: Session) -> list[Any]:
    return [{"figures": summary_data(session.built) if session.built else []}]


def _render(session: Session) -> list[Any]:
    if session.built is None:
        return [{"fields": []}, {"groups": []}]
    shown = with_error(fields(session.built, session.request), session.field_error)
    return [{"fields": shown}, cost_data(session.built)]


def fields(built: BuiltSpec, request: SpecRequest) -> list[dict[str, Any]]:
    """The form: everything that decides the figures, apart from text, parameters and plan."""
    return [
        *sizes_data(built, request),
        *_inputs(built.spec, request.without),
        _choice("precision", request.precision, PRECISIONS),
        _choice("optimizer", request.optimizer, OPTIMIZERS),
        _choice("device", request.device, DEVICES),
        {
            "name": "checkpoint_blocks",
            "label": "checkpointed modules",
            "type": "patterns",
            "value": " ".join(request.checkpoint_blocks),
            "changed": bool(request.checkpoint_blocks),
            "help": CHECKPOINTS,
        },
    ]


def _inputs(spec: Spec, without: Sequence[str]) -> list[dict[str, Any]]:
    """A field for each optional input."""
    return [
        {
            **_choice(_INPUT + name, _OMITTED if name in without else _PASSED, [_PASSED, _OMITTED]),
            "label": name,
            "changed": name in without,
        }
        for name in optional_inputs(spec)
    ]


def _choice(name: str, value: str, choices: list[str]) -> dict[str, Any]:
    return {"name": name, "type": "choice", "value": value, "choices": choices}


def set_field(session: Session, data: dict[str, Any]) -> None:
    """Set a field, or reset it to the spec's value."""
    key, reset = text_of(data, "key"), flag_of(data, "reset")
    text = "" if reset else text_of(data, "text")
    with at_field(session, key, text):
        _set_field(session, key, text, reset=reset)


def _set_field(session: Session, key: str, text: str, *, reset: bool) -> None:
    if key in ("precision", "optimizer", "device"):
        session.try_change(**{key: text})
    elif key == "checkpoint_blocks":
        session.try_change(checkpoint_blocks=tuple(text.split()))
    elif key.startswith(_INPUT):
        name = key.removeprefix(_INPUT)
        others = tuple(other for other in session.request.without if other != name)
        session.try_change(without=(*others, name) if text == _OMITTED else others)
    else:
        value = None if reset else param_value(text, "int")
        if not reset and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise UsageError(Problem("E801", f"{key} must be an integer of at least 1"))
        session.try_change(sizes=with_field(session.request.sizes, key, value, reset=reset))
