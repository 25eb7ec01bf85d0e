"""Totals and memory, for sizes, a precision and an optimizer that can be chosen."""

from __future__ import annotations

from typing import Any

from archspec.errors import Problem, UsageError
from archspec_app.costs import cost_data, summary_data
from archspec_app.desk import Desk
from archspec_app.events import flag_of, text_of
from archspec_app.face import Face
from archspec_app.form import changed, param_value, sizes_data
from archspec_app.view import view

PRECISIONS = ["fp32", "bf16-mixed", "fp16-mixed", "bf16", "fp16"]
OPTIMIZERS = ["adamw", "adamw-8bit", "adam", "sgd", "sgd-momentum", "rmsprop", "adagrad", "none"]


def build(face: Face) -> None:
    form = view("form", label="Sizes", elem_id="sizes")
    costs = view("cost", label="Cost", elem_id="costs")
    face.shows([form, costs], _shown)
    form.field(
        face.does(_set), [face.code], face.outputs,
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip


def summary(desk: Desk) -> list[Any]:
    return [{"figures": summary_data(desk.good) if desk.good else []}]


def _shown(desk: Desk) -> list[Any]:
    if desk.good is None:
        return [{"fields": []}, {"groups": []}]
    asked = desk.asked
    fields = [
        *sizes_data(desk.good, desk.asked),
        _choice("precision", asked.precision, PRECISIONS),
        _choice("optimizer", asked.optimizer, OPTIMIZERS),
    ]
    return [{"fields": fields}, cost_data(desk.good)]


def _choice(name: str, value: str, choices: list[str]) -> dict[str, Any]:
    return {"name": name, "type": "choice", "value": value, "choices": choices}


def _set(desk: Desk, data: dict[str, Any]) -> None:
    key, reset = text_of(data, "key"), flag_of(data, "reset")
    if key in ("precision", "optimizer"):
        desk.change(**{key: text_of(data, "text")})
        return
    value = None if reset else param_value(data.get("text"), "int")
    if not reset and (not isinstance(value, int) or isinstance(value, bool)):
        raise UsageError(Problem("E801", f"{key} is a whole number"))
    desk.change(sizes=changed(desk.asked.sizes, key, value, reset=reset))
