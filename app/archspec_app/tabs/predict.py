"""The tab Predict: probabilities of labels for a text or an image."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import gradio as gr

from archspec.errors import Problem, UsageError
from archspec.lang.schema import Task
from archspec.tasks import takes_pairs
from archspec_app.component import hint, view
from archspec_app.data_files import data_below
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, flag_of, number_of, text_of, texts_of
from archspec_app.framework import LISTENER
from archspec_app.predictions import (
    MAX_IMAGE_BYTES,
    MAX_TEXT_LENGTH,
    Models,
    RunSource,
    Source,
    SpecSource,
)
from archspec_app.session import Session

Predict = Callable[[Models, Session, Mapping[str, Any]], dict[str, Any]]


def build(binder: EventBinder) -> None:
    hint("Try a finished run, or weights for the open spec, on an input of yours.")
    predict = view("predict", label="Prediction", elem_id="predict")
    nothing = gr.State(None)
    answers = {
        "text": _text, "image": _image, "rows": _rows, "file": _file, "nearest": _nearest,
        "inside": _inside,
    }  # fmt: skip
    for name, act in answers.items():
        getattr(predict, name)(_predictions(binder, act), [binder.code], [predict], **LISTENER)
    predict.examples(binder.on_query(_examples, _list_failed), [nothing], [predict], **LISTENER)
    predict.sources(binder.on_query(_list, _list_failed), [nothing], [predict], **LISTENER)


def _predictions(binder: EventBinder, act: Predict) -> Callable[..., Any]:
    def run(session: Session, event: Event) -> dict[str, Any]:
        if event.text is not None:
            session.edit(event.text)
        answer = act(_models(session.workspace.folder), session, event.data)
        return {"request_id": _request_id(event), "answer": answer}

    def failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
        return {"request_id": _request_id(event), "error": problem}

    return binder.on_query(run, failed, model_key=_model_key)


def _list(session: Session, event: Event) -> dict[str, Any]:
    sources = _sources(_models(session.workspace.folder), session)
    return {"request_id": _request_id(event), "sources": sources}


def _list_failed(session: Session, event: Event, problem: str) -> dict[str, Any]:
    return {"request_id": _request_id(event), "error": problem}


def _request_id(event: Event) -> str:
    value = event.data.get("request_id")
    return value[:20] if isinstance(value, str) else ""


def _model_key(event: Event) -> str | None:
    """Names the model: that of a run, or of the visitor's own spec."""
    source = event.data.get("source")
    return f"run {source}" if isinstance(source, str) and source else "spec"


@cache
def _models(folder: Path) -> Models:
    """One at a time: each model has a process of its own."""
    return Models(folder, max_models=1)


def _text(models: Models, session: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    text = text_of(data, "text", MAX_TEXT_LENGTH)
    if not text.strip():
        raise UsageError(Problem("E801", f"enter a text of 1 to {MAX_TEXT_LENGTH:,} characters"))
    second = text_of(data, "second", MAX_TEXT_LENGTH)
    source = _source(session, data)
    return models.predict_text(source, text, second, explain=flag_of(data, "explain"))


def _image(models: Models, session: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    content = _content(data)
    if not content:
        raise UsageError(Problem("E801", f"choose an image of at most {MAX_IMAGE_BYTES:,} bytes"))
    return models.predict_image(_source(session, data), content)


def _content(data: Mapping[str, Any]) -> bytes:
    """Of an image's file; empty if there is none."""
    encoded = text_of(data, "data", 4 * MAX_IMAGE_BYTES // 3 + 4)
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return b""


def _inside(models: Models, session: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    texts = [text_of(data, name, MAX_TEXT_LENGTH) for name in ("text", "second")]
    chosen = number_of(data, "map", 0)
    return models.look_inside(_source(session, data), texts, _content(data), chosen)


def _rows(models: Models, session: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    firsts, seconds = texts_of(data, "texts"), texts_of(data, "seconds")
    if len(firsts) != len(seconds):
        raise UsageError(Problem("E801", "every text has a second one, which may be empty"))
    return models.predict_rows(_source(session, data), [*zip(firsts, seconds, strict=True)])


def _file(models: Models, session: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    return models.inputs_of_file(_source(session, data), _file_name(data))


def _nearest(models: Models, session: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    text = text_of(data, "text", MAX_TEXT_LENGTH)
    return models.nearest(_source(session, data), text, _file_name(data))


def _file_name(data: Mapping[str, Any]) -> str:
    name = text_of(data, "file")
    if not name:
        hint = "a table in the working folder, such as data/test.csv"
        raise UsageError(Problem("E801", "choose a file of texts", hint=hint))
    return name


def _examples(session: Session, event: Event) -> dict[str, Any]:
    name = text_of(event.data, "source")
    found = _models(session.workspace.folder).examples(name)
    return {"request_id": _request_id(event), "examples": found}


def _source(session: Session, data: Mapping[str, Any]) -> Source:
    if run := text_of(data, "source"):
        return RunSource(run)
    weights = text_of(data, "weights")
    if session.built is None or session.problems:
        raise UsageError(
            Problem("E801", "the text in the editor has problems", hint="fix them first")
        )
    if not weights:
        raise UsageError(
            Problem("E801", "choose weights", hint="a file or folder in the working folder")
        )
    return SpecSource(session.built.spec, weights, key=text_of(data, "key") or None)


def _sources(models: Models, session: Session) -> dict[str, Any]:
    spec = session.built.spec if session.built else None
    task = spec.architecture.task if spec else None
    name = spec.name if spec else session.name
    return {
        **models.sources(),
        "files": [name for name in data_below(session.workspace.folder) if "." in Path(name).name],
        "spec": name,
        "kind": task.kind if task else None,
        "pair": task is not None and takes_pairs(task.kind) and _may_be_pair(task),
    }


def _may_be_pair(task: Task) -> bool:
    return task.text is None or task.text.pair is not False
