"""Predicting: a text or an image in, labels with their probabilities out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from archspec.errors import Problem, UsageError
from archspec_app.component import view
from archspec_app.event_binding import EventBinder
from archspec_app.events import Event, flag_of, text_of
from archspec_app.predictions import (
    MOST_IMAGE_BYTES,
    MOST_LETTERS,
    Models,
    RunSource,
    Source,
    SpecSource,
)
from archspec_app.session import Session

Act = Callable[[Models, Session, Mapping[str, Any]], dict[str, Any] | None]


def build(face: EventBinder) -> None:
    part = view("predict", label="Prediction", elem_id="predict")
    for name, act in (("text", _text), ("image", _image), ("sources", None)):
        getattr(part, name)(
            _handler(face, act), [face.code], [part], show_progress="hidden",
            trigger_mode="multiple", api_visibility="private",
        )  # fmt: skip


def _handler(face: EventBinder, act: Act | None) -> Callable[..., Any]:
    def run(desk: Session, event: Event) -> dict[str, Any]:
        if event.text is not None:
            desk.edit(event.text)
        models = _models(desk.workspace.folder)
        told: dict[str, Any] = {"asked": text_of(event.data, "asked", 20)}
        if act is not None:
            told["answer"] = act(models, desk, event.data)
        return {**told, "sources": _sources(models, desk)}

    def failed(desk: Session, event: Event, problem: str) -> dict[str, Any]:
        asked = event.data.get("asked")
        asked = asked[:20] if isinstance(asked, str) else ""
        sources = _sources(_models(desk.workspace.folder), desk)
        return {"asked": asked, "error": problem, "sources": sources}

    return face.tells(run, failed, lane=_lane if act else lambda event: None)


def _lane(event: Event) -> str | None:
    """Which model: one of a run, or that of the visitor's own spec."""
    source = event.data.get("source")
    return f"run {source}" if isinstance(source, str) and source else "spec"


@cache
def _models(folder: Path) -> Models:
    """One at a time: each model has a process of its own."""
    return Models(folder, most=1)


def _text(models: Models, desk: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    text = text_of(data, "text", MOST_LETTERS)
    if not text.strip():
        raise UsageError(Problem("E801", f"a text of 1 to {MOST_LETTERS:,} characters is needed"))
    return models.predict_text(_source(desk, data), text, explain=flag_of(data, "explain"))


def _image(models: Models, desk: Session, data: Mapping[str, Any]) -> dict[str, Any]:
    encoded = text_of(data, "data", 4 * MOST_IMAGE_BYTES // 3 + 4)
    try:
        content = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not content:
        hint = f"of at most {MOST_IMAGE_BYTES:,} bytes"
        raise UsageError(Problem("E801", "an image is needed", hint=hint))
    return models.predict_image(_source(desk, data), content)


def _source(desk: Session, data: Mapping[str, Any]) -> Source:
    if run := text_of(data, "source"):
        return RunSource(run)
    weights = text_of(data, "weights")
    if desk.good is None or desk.problems:
        raise UsageError(Problem("E801", "the text in the editor has problems that come first"))
    if not weights:
        raise UsageError(
            Problem("E801", "weights are needed", hint="a file or folder below this one")
        )
    return SpecSource(desk.good.spec, weights, key=text_of(data, "key") or None)


def _sources(models: Models, desk: Session) -> dict[str, Any]:
    spec = desk.good.spec if desk.good else None
    task = spec.architecture.task if spec else None
    name = spec.name if spec else desk.name
    return {**models.sources(), "spec": name, "kind": task.kind if task else None}
