"""Training: a form, the runs of the folder, and the curves of the one that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from archspec.errors import Problem, UsageError
from archspec.training.option_info import OptionInfo
from archspec_app.component import view
from archspec_app.data_files import data_below
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, number_of, text_of
from archspec_app.session import Session
from archspec_app.training.jobs import Jobs
from archspec_app.training.train_request import OPTIONS, SWITCH
from archspec_app.weight_files import weights_below

Act = Callable[[Jobs, Session, dict[str, Any]], dict[str, Any]]

_MAIN = ("weights", "freeze", "epochs", "batch_size", "learning_rate")
_SUGGESTIONS = {
    "device": ["auto", "cpu", "cuda", "mps"],
    "encoding": ["utf-8", "utf-16", "cp1252"],
}


def build(face: EventBinder) -> None:
    part = view("train", label="Training", elem_id="train")
    nothing = gr.State(None)
    for name, act in (("start", _start), ("stop", _stop), ("resume", _resume), ("poll", _poll)):
        getattr(part, name)(
            _handler(face, name, act), [face.code if name == "start" else nothing], [part],
            show_progress="hidden", api_visibility="private", trigger_mode="multiple",
        )  # fmt: skip


def _handler(face: EventBinder, name: str, act: Act) -> Callable[..., Any]:
    """What an event does, and after it the runs as they are."""

    def run(desk: Session, event: Event) -> dict[str, Any]:
        if event.text is not None:
            desk.edit(event.text)
        found = act(_jobs(desk.workspace.folder), desk, dict(event.data))
        return {**found, **_shown(desk), "act": name}

    def failed(desk: Session, event: Event, problem: str) -> dict[str, Any]:
        return {"error": problem, **_shown(desk), "act": name}

    return face.tells(run, failed)


@cache
def _jobs(folder: Path) -> Jobs:
    return Jobs(folder)


def _start(jobs: Jobs, desk: Session, data: dict[str, Any]) -> dict[str, Any]:
    options = data.get("options")
    if not isinstance(options, dict):
        raise UsageError(Problem("E801", "no options"))
    if desk.problems:
        hint = "the problems are beside the editor"
        raise UsageError(Problem("E801", "a broken text cannot be trained", hint=hint))
    asked = desk.asked
    key = jobs.start(asked.text, desk.name, asked.params, options)
    return {"started": key, "notice": f"started {key}"}


def _stop(jobs: Jobs, desk: Session, data: dict[str, Any]) -> dict[str, Any]:
    jobs.stop(text_of(data, "run"))
    return {"notice": "it saves and stops after the step under way"}


def _resume(jobs: Jobs, desk: Session, data: dict[str, Any]) -> dict[str, Any]:
    jobs.resume(text_of(data, "run"))
    return {}


def _poll(jobs: Jobs, desk: Session, data: dict[str, Any]) -> dict[str, Any]:
    key = text_of(data, "run")
    if not key:
        return {}
    after, version = number_of(data, "after", 0), number_of(data, "version", 0)
    points = jobs.follow(key, after, version)
    return {"points": {**points.to_dict(), "key": key, "after": after}}


def _shown(desk: Session) -> dict[str, Any]:
    return {"fields": _fields(desk), "rows": _rows(_jobs(desk.workspace.folder))}


def _rows(jobs: Jobs) -> list[dict[str, Any]]:
    return [row.to_dict() for row in jobs.rows()]


def _fields(desk: Session) -> dict[str, Any]:
    folder = desk.workspace.folder
    data = {
        "name": "data",
        "label": "Data",
        "type": "text",
        "value": "",
        "help": "A file or folder.",
    }
    plans = ["", *desk.good.plans] if desk.good else [""]
    special: dict[str, dict[str, Any]] = {
        "weights": {"suggestions": [one["name"] for one in weights_below(folder)]},
        "freeze": {"type": "choice", "value": desk.asked.plan or "", "choices": plans},
    }
    fields = {name: _field(info) | special.get(name, {}) for name, info in OPTIONS.items()}
    return {
        "main": [data | {"suggestions": data_below(folder)}, *(fields[name] for name in _MAIN)],
        "more": [field for name, field in fields.items() if name not in _MAIN],
    }


def _field(info: OptionInfo) -> dict[str, Any]:
    """A field of the form as the option declares it."""
    field: dict[str, Any] = {
        "name": info.name,
        "label": info.name.replace("_", " ").capitalize(),
        "help": info.description,
        "placeholder": info.unset,
    }
    if info.type is bool:
        choices = ["yes", "no"] if info.default is not None else ["auto", "yes", "no"]
        value = next(word for word, meaning in SWITCH.items() if meaning is info.default)
        return {**field, "type": "choice", "value": value, "choices": choices}
    if info.choices:
        return {**field, "type": "choice", "value": info.default, "choices": [*info.choices]}
    if info.type is str:
        suggestions = _SUGGESTIONS.get(info.name)
        return {**field, "type": "text", "value": info.default or "", "suggestions": suggestions}
    value = "" if info.default is None else f"{info.default:g}"
    return {**field, "type": "number", "value": value, "min": info.low, "max": info.high}
