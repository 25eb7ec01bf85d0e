"""The tab Train: a form, the runs of the folder, and the curves of the selected run."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from archspec.errors import Problem, UsageError
from archspec.tasks.figures import FIGURES, figure_name
from archspec.training.option_info import OptionInfo
from archspec_app import example
from archspec_app.component import hint, view
from archspec_app.data_files import data_below, tokenizers_below
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, number_of, text_of, texts_of
from archspec_app.folder_entries import SUITS, folder_entries
from archspec_app.framework import LISTENER
from archspec_app.session import Session
from archspec_app.tabs.tree import choose_plan, plan_choices
from archspec_app.training.jobs import Jobs
from archspec_app.training.preview import estimate, preview
from archspec_app.training.run_report import report_of
from archspec_app.training.run_rows import JobRow
from archspec_app.training.run_table import (
    compare_runs,
    delete_run,
    form_of,
    rename_run,
    spec_differences,
    write_note,
)
from archspec_app.training.train_request import (
    EXAMPLE_BUTTON,
    OPTIONS,
    SWITCH,
    example_options,
    field_label,
    fields_named,
    in_words_of_the_form,
    read_request,
    takes_example,
)
from archspec_app.weight_files import weights_below

Action = Callable[[Jobs, Session, dict[str, Any]], dict[str, Any]]

_MAIN = ("weights", "freeze", "epochs", "max_steps", "batch_size", "learning_rate")
_ADAPTER = "One of the spec's adapters, none, or a mapping; it brings its own freeze plan."
_EXAMPLE = '{kind: lora, match: ["**.query", "**.value"], rank: 8}'
_LONGEST_PLACEHOLDER = 20  # characters that a narrow field shows
_HELP = {  # where an option's description speaks of the command line, or is long for a narrow field
    "freeze": "One of the spec's freeze plans. An adapter brings its own, unless one is chosen.",
    "checkpoint_blocks": "Modules to use activation checkpointing for: a pattern of their names. "
    "Their activations are recomputed in the backward pass.",
    "class_weights": "Weight of each class in the loss: balanced (inversely proportional to its "
    "rows), or a file in the working folder: YAML or JSON with labels and weights, or CSV with the "
    "columns label and weight.",
    "layout": "Layout of the checkpoint's names: archspec, or one of the spec's checkpoints.",
    "learning_rates": "Peak learning rate of the parameters that a pattern selects, such as "
    'bert.embeddings=1e-5, instead of "Learning rate".',
    "max_steps": "Stop after this many optimizer steps.",
    "phases": "Several freeze plans in sequence, each with its epochs, such as "
    'head-only:2,none:1. Used instead of "Freeze" and "Epochs".',
    "resize": "Model tensors that may differ in shape, such as bert.embeddings=rows, which copies "
    "the leading part that both have; =fresh keeps the initial values.",
    "tokenizer": "A tokenizer.json or vocab.txt in the working folder.",
    "weights": "Checkpoint in the working folder to start from, or the folder of an earlier run. "
    "Left empty, training starts from random values.",
}
_UNSET = {  # likewise, where nothing is chosen
    "monitor": "the task's own",
    "negative_column": "detected",
    "task": "the spec's",
    "text_pair_column": "detected",
    "weights": "random values",
}
_SUGGESTIONS = {
    "device": ["auto", "cpu", "cuda", "mps"],
    "encoding": ["utf-8", "utf-16", "cp1252"],
}


def build(binder: EventBinder) -> None:
    hint("Fine-tune the open spec on data in this folder. A run goes on when this page is closed.")
    train = view("train", label="Training", elem_id="train")
    nothing = gr.State(None)
    actions = {
        "preview": _preview, "start": _start, "stop": _stop, "resume": _resume, "poll": _poll,
        "compare": _compare, "again": _again, "shorten": _shorten, "note": _note,
        "rename": _rename, "remove": _remove, "example": _example,
    }  # fmt: skip
    for name, act in actions.items():
        inputs = [binder.code if name in ("preview", "start") else nothing]
        getattr(train, name)(_handler(binder, name, act), inputs, [train], **LISTENER)
    binder.listen(train, "plan", choose_plan)
    train.estimate(_estimates(binder), [binder.code], [train], **LISTENER)
    train.report(_reports(binder), [nothing], [train], **LISTENER)
    train.entries(
        binder.on_query(_entries, _no_entries, replaceable=True), [nothing], [train], **LISTENER
    )


def build_run_status(binder: EventBinder) -> None:
    """Tells the toolbar which runs are under way, whichever tab is open."""
    status = view("run_status", label="Runs under way", elem_id="run-status")
    status.poll(binder.on_query(_active, _no_runs, replaceable=True), [], [status], **LISTENER)


def _active(session: Session, event: Event) -> dict[str, Any]:
    rows = _jobs(session.workspace.folder).rows()
    return {
        "active": [
            {
                "key": row.key,
                "share": row.share,
                "computing": row.computing,
                "evaluating": row.evaluating,
            }
            for row in rows
            if row.is_active
        ]
    }


def _no_runs(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"active": []}


def _estimates(binder: EventBinder) -> Callable[..., Any]:
    """A handler that measures in a process of its own: it keeps nobody waiting."""

    def run(session: Session, event: Event) -> dict[str, Any]:
        if event.text is not None:
            session.edit(event.text)
        options, folder = _options(session, dict(event.data)), session.workspace.folder
        request = read_request(folder, session.request.text, session.name, options)
        return {"estimate": estimate(folder, request)}

    def failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
        return {"estimate": {"problem": in_words_of_the_form(problem)}}

    return binder.on_query(run, failed, model_key=lambda event: "estimate", replaceable=True)


def _reports(binder: EventBinder) -> Callable[..., Any]:
    """A handler of its own, so that polling reads no report."""

    def run(session: Session, event: Event) -> dict[str, Any]:
        key, split = text_of(event.data, "run"), text_of(event.data, "split")
        return {"report": {"key": key, **report_of(_jobs(session.workspace.folder), key, split)}}

    def failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
        return {"report": {"key": event.data.get("run"), "splits": [], "problem": problem}}

    return binder.on_query(run, failed, replaceable=True)


def _entries(session: Session, event: Event) -> dict[str, Any]:
    name, purpose, search = (text_of(event.data, key) for key in ("folder", "purpose", "search"))
    return {"entries": folder_entries(session.workspace.folder, name, purpose, search)}


def _no_entries(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"entries": {"folder": event.data.get("folder"), "entries": [], "error": problem}}


def _handler(binder: EventBinder, name: str, act: Action) -> Callable[..., Any]:
    """A handler that acts, and answers with the current runs."""

    def run(session: Session, event: Event) -> dict[str, Any]:
        if event.text is not None:
            session.edit(event.text)
        answer = act(_jobs(session.workspace.folder), session, dict(event.data))
        return {**answer, **_current(session), "event": name}

    def failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
        error = in_words_of_the_form(problem)
        fields = fields_named(error)
        return {"error": error, "wrong": fields, **_current(session), "event": name}

    return binder.on_query(run, failed)


@cache
def _jobs(folder: Path) -> Jobs:
    return Jobs(folder)


def _start(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    key = jobs.start(session.request.text, session.name, _options(session, data))
    return {"started": key, "notice": f"started {key}"}


def _preview(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    options, folder = _options(session, data), session.workspace.folder
    request = read_request(folder, session.request.text, session.name, options)
    return {"preview": {**preview(folder, session.name, request), "saved": not session.is_modified}}


def _options(session: Session, data: dict[str, Any]) -> dict[str, Any]:
    """Of the form; the spec must be one that can be trained."""
    options = data.get("options")
    if not isinstance(options, dict):
        raise UsageError(Problem("E801", "the options are missing"))
    if session.problems:
        hint = "fix them first"
        raise UsageError(Problem("E801", "the text in the editor has problems", hint=hint))
    return options


def _stop(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    jobs.stop(text_of(data, "run"))
    return {"notice": "the run saves and stops after the current step"}


def _resume(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    jobs.resume(text_of(data, "run"))
    return {}


def _compare(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    keys = texts_of(data, "runs")
    return {"compared": compare_runs(jobs, keys), "specs": spec_differences(jobs, keys)}


def _again(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    key = text_of(data, "run")
    again = form_of(jobs, key)
    notice = (
        f"the form has the options of {key}, which trained {again['spec']}; change them and start"
    )
    return {"again": again["options"], "notice": f"{notice}: the spec that is open is trained"}


def _shorten(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    key, steps = text_of(data, "run"), number_of(data, "steps", 1)
    started = jobs.shorten(key, steps)
    notice = f'{key} stops; started {started} with "{field_label("max_steps")}" {steps}'
    return {"started": started, "notice": notice}


def _note(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    write_note(jobs, text_of(data, "run"), text_of(data, "note"))
    return {}


def _rename(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    key = text_of(data, "run")
    name = rename_run(jobs, key, text_of(data, "name"))
    return {"renamed": {"from": key, "to": name}, "notice": f"{key} is called {name} now"}


def _remove(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    key = text_of(data, "run")
    delete_run(jobs, key)
    return {"removed": key, "notice": f"deleted {key}"}


def _example(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    if session.built is None or not takes_example(session.built.spec):
        raise UsageError(Problem("E801", f"the example's data are for {example.TASK}"))
    folder, spec = session.workspace.folder, session.built.spec
    chosen = text_of(data, "tokenizer") or text_of(data, "weights")
    options = example_options(folder, session.name, spec, has_tokenizer=bool(chosen))
    example.write_example(folder)
    notice = f"The example's data are filled in: {example.DATA}."
    if "tokenizer" in options:
        notice += f" So is a tokenizer, {example.TOKENIZER}: training starts from random values."
    return {"filled": options, "notice": notice}


def _poll(jobs: Jobs, session: Session, data: dict[str, Any]) -> dict[str, Any]:
    key = text_of(data, "run")
    if not key:
        return {}
    offset, version = number_of(data, "offset", 0), number_of(data, "version", 0)
    update = jobs.follow(key, offset, version)
    return {"update": {**update.to_dict(), "row": _row(update.row), "key": key, "start": offset}}


def _row(row: JobRow) -> dict[str, Any]:
    error = row.error and in_words_of_the_form(row.error)
    return {**row.to_dict(), "error": error, "wrong": fields_named(error or "")}


def _current(session: Session) -> dict[str, Any]:
    rows = [_row(row) for row in _jobs(session.workspace.folder).rows()]
    figures = {name: figure_name(name) for name in FIGURES}
    return {"spec": session.name, "fields": form_fields(session), "rows": rows, "figures": figures}


def form_fields(session: Session) -> dict[str, Any]:
    """The fields of the form: ``main``, which are in sight, and ``more``."""
    folder = session.workspace.folder
    data: dict[str, Any] = {
        "name": "data",
        "label": "Data",
        "type": "text",
        "value": "",
        "help": "A file or folder in the working folder.",
    }
    if session.built and takes_example(session.built.spec):
        data["example"] = {"label": EXAMPLE_BUTTON, "about": example.ABOUT}
    plans = plan_choices(session)
    adapters = [*session.built.spec.architecture.adapters] if session.built else []
    layouts = [*session.built.spec.architecture.checkpoints] if session.built else []
    adapter = {
        "name": "adapter",
        "label": "Adapter",
        "group": "Model",
        "type": "text",
        "value": "",
        "help": _ADAPTER,
        "placeholder": "from the spec",
        "suggestions": [*adapters, "none", _EXAMPLE],
    }
    special: dict[str, dict[str, Any]] = {
        "weights": {"suggestions": [entry["name"] for entry in weights_below(folder)]},
        "tokenizer": {"suggestions": tokenizers_below(folder)},
        "layout": {"suggestions": layouts},
        "freeze": {
            "type": "choice",
            "value": session.request.plan or "",
            "choices": [plan["name"] for plan in plans],
            "labels": {plan["name"]: plan["label"] for plan in plans},
            "freezing": _freezing_plans(session),
        },
    }
    fields = {name: _field(info) | special.get(name, {}) for name, info in OPTIONS.items()}
    fields["data"] = data | {"suggestions": data_below(folder)}
    for name in SUITS:
        fields[name] = fields[name] | {"is_file": True}
    for name, value in session.train_defaults.items():
        fields[name] = fields[name] | {"value": value}
    return {
        "main": [fields.pop("data"), *(fields[name] for name in _MAIN)],
        "more": [adapter, *(field for name, field in fields.items() if name not in _MAIN)],
    }


def _freezing_plans(session: Session) -> list[str]:
    """The plans that freeze parameters; "" among them if the spec's own adapter does."""
    if session.built is None:
        return []
    own = [""] if session.built.spec.adapter is not None else []
    plans = session.built.plans.items()
    return own + [name for name, plan in plans if plan.gradients and plan.patterns]


def _field(info: OptionInfo) -> dict[str, Any]:
    """A field of the form as the option declares it."""
    text, unset = _HELP.get(info.name, info.description), _UNSET.get(info.name, info.unset)
    is_long = len(unset) > _LONGEST_PLACEHOLDER
    field: dict[str, Any] = {
        "name": info.name,
        "label": field_label(info.name),
        "group": info.group,
        "help": f"{text} Left empty: {unset}." if is_long else text,
        "placeholder": "" if is_long else unset,
    }
    if info.type is bool:
        choices = ["yes", "no"] if info.default is not None else ["auto", "yes", "no"]
        value = next(word for word, meaning in SWITCH.items() if meaning is info.default)
        return {**field, "type": "choice", "value": value, "choices": choices}
    if info.choices and info.default is None:
        choices = ["", *info.choices]
        return {**field, "type": "choice", "value": "", "choices": choices, "empty": unset}
    if info.choices:
        return {**field, "type": "choice", "value": info.default, "choices": [*info.choices]}
    if info.type is str:
        suggestions = _SUGGESTIONS.get(info.name)
        return {**field, "type": "text", "value": info.default or "", "suggestions": suggestions}
    value = "" if info.default is None else f"{info.default:g}"
    return {**field, "type": "number", "value": value, "min": info.low, "max": info.high}
