"""Totals and memory, for sizes, inputs, a precision and so on that can be chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from archspec.errors import Problem, UsageError
from archspec.lang.spec import Spec
from archspec_app.component import view
from archspec_app.costs import cost_data, summary_data
from archspec_app.event_binding import EventBinder
from archspec_app.events import flag_of, text_of
from archspec_app.param_form import changed, param_value, sizes_data
from archspec_app.session import BuiltSpec, Session, SpecRequest, optional_inputs

PRECISIONS = ["fp32", "bf16-mixed", "fp16-mixed", "bf16", "fp16"]
OPTIMIZERS = ["adamw", "adamw-8bit", "adam", "sgd", "sgd-momentum", "rmsprop", "adagrad", "none"]

CHECKPOINTS = (
    "Patterns of modules, such as bert.encoder.layer.*, separated by spaces. The backward pass"
    " computes their activations again, so less memory is needed."
)
_INPUT = "input:"
_GIVEN, _LEFT_OUT = "given", "left out"


def build(face: EventBinder) -> None:
    form = view("form", label="Sizes", elem_id="sizes")
    costs = view("cost", label="Cost", elem_id="costs")
    face.shows([form, costs], _shown)
    form.field(
        face.does(set_field), [face.code], face.outputs,
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip


def summary(desk: Session) -> list[Any]:
    return [{"figures": summary_data(desk.good) if desk.good else []}]


def _shown(desk: Session) -> list[Any]:
    if desk.good is None:
        return [{"fields": []}, {"groups": []}]
    return [{"fields": fields(desk.good, desk.asked)}, cost_data(desk.good)]


def fields(good: BuiltSpec, asked: SpecRequest) -> list[dict[str, Any]]:
    """Of the form: all that decides the figures beside the text, its parameters and the plan."""
    return [
        *sizes_data(good, asked),
        *_inputs(good.spec, asked.without),
        _choice("precision", asked.precision, PRECISIONS),
        _choice("optimizer", asked.optimizer, OPTIMIZERS),
        {
            "name": "checkpoint_blocks",
            "label": "checkpoint",
            "type": "patterns",
            "value": " ".join(asked.checkpoint_blocks),
            "changed": bool(asked.checkpoint_blocks),
            "help": CHECKPOINTS,
        },
    ]


def _inputs(spec: Spec, without: Sequence[str]) -> list[dict[str, Any]]:
    """A field for each input that is optional."""
    return [
        {
            **_choice(_INPUT + name, _LEFT_OUT if name in without else _GIVEN, [_GIVEN, _LEFT_OUT]),
            "label": name,
            "changed": name in without,
        }
        for name in optional_inputs(spec)
    ]


def _choice(name: str, value: str, choices: list[str]) -> dict[str, Any]:
    return {"name": name, "type": "choice", "value": value, "choices": choices}


def set_field(desk: Session, data: dict[str, Any]) -> None:
    """What was chosen in a field, or that one goes back to what the spec says."""
    key, reset = text_of(data, "key"), flag_of(data, "reset")
    if key in ("precision", "optimizer"):
        desk.change(**{key: text_of(data, "text")})
        return
    if key == "checkpoint_blocks":
        desk.change(checkpoint_blocks=() if reset else tuple(text_of(data, "text").split()))
        return
    if key.startswith(_INPUT):
        name = key.removeprefix(_INPUT)
        others = [one for one in desk.asked.without if one != name]
        left_out = not reset and text_of(data, "text") == _LEFT_OUT
        desk.change(without=(*others, name) if left_out else tuple(others))
        return
    value = None if reset else param_value(data.get("text"), "int")
    if not reset and (not isinstance(value, int) or isinstance(value, bool)):
        raise UsageError(Problem("E801", f"{key} is a whole number"))
    desk.change(sizes=changed(desk.asked.sizes, key, value, reset=reset))
