"""Training: a form, the runs of the folder, and the curves of the one that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from archspec.errors import Problem, UsageError
from archspec_app.component import view
from archspec_app.data_files import data_below
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, number_of, text_of
from archspec_app.session import Session
from archspec_app.training.jobs import Jobs
from archspec_app.weight_files import weights_below

Act = Callable[[Jobs, Session, dict[str, Any]], dict[str, Any]]

KEY = "Key under which the file has the weights, such as params_ema or teacher."
PARTIAL = "Allow weights that leave most of the model as it is."


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
    plans = ["", *desk.good.plans] if desk.good else [""]
    plan = desk.asked.plan or ""
    weights = [one["name"] for one in weights_below(folder)]
    return {
        "main": [
            _text("data", "Data", data_below(folder), "a file or folder"),
            _text("weights", "Weights", weights, "from scratch"),
            _choice("freeze", "Freeze plan", plan, plans),
            _number("epochs", "Epochs", 3),
            _number("batch_size", "Batch size", 32),
            _number("learning_rate", "Learning rate", 2e-4),
        ],
        "more": [
            _choice("optimizer", "Optimizer", "adamw", ["adamw", "adam", "sgd"]),
            _choice(
                "schedule", "Schedule", "linear", ["linear", "cosine", "one-cycle", "constant"]
            ),
            _choice("precision", "Precision", "fp32", ["fp32", "bf16-mixed", "fp16-mixed"]),
            _text("device", "Device", ["auto", "cpu", "cuda", "mps"], "auto"),
            _number("weight_decay", "Weight decay", 0.01),
            _number("warmup", "Warm-up, share", None),
            _number("accumulate", "Batches a step", 1),
            _number("clip", "Clip gradients at", 1.0),
            _choice("monitor", "Best by", "accuracy", ["accuracy", "loss", "macro_f1"]),
            _number("patience", "Patience, epochs", None),
            _number("seed", "Seed", 0),
            _number("max_length", "Tokens at most", None),
            _text("text", "Text column", None, "guessed"),
            _text("image", "Image column", None, "guessed"),
            _text("label", "Label column", None, "guessed"),
            _choice("header", "First line of a CSV", "auto", ["auto", "names", "row"]),
            _text("encoding", "Encoding", ["utf-8", "utf-16", "cp1252"], "utf-8"),
            _text("tokenizer", "Tokenizer", None, "beside the weights"),
            {**_text("key", "Key of the weights", None, "state_dict, model, or none"), "help": KEY},
            {**_choice("partial", "Partial weights", "no", ["no", "yes"]), "help": PARTIAL},
            _number("save_every", "Save every, seconds", 120),
        ],
    }


def _text(name: str, label: str, suggestions: list[str] | None, placeholder: str) -> dict[str, Any]:
    found = {"suggestions": suggestions, "placeholder": placeholder, "value": ""}
    return {"name": name, "label": label, "type": "text", **found}


def _number(name: str, label: str, value: float | None) -> dict[str, Any]:
    shown = "" if value is None else f"{value:g}"
    return {"name": name, "label": label, "type": "number", "value": shown}


def _choice(name: str, label: str, value: str, choices: list[str]) -> dict[str, Any]:
    return {"name": name, "label": label, "type": "choice", "value": value, "choices": choices}
