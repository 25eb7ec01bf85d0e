"""Predicting: a text or an image in, labels with their probabilities out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from itertools import count
from typing import Any

import gradio as gr

from archspec.errors import ArchspecError, Problem, UsageError
from archspec_app.desk import Desk
from archspec_app.face import Face, data_of, sendable, session, text_of
from archspec_app.predictions import (
    MOST_IMAGE_BYTES,
    MOST_LETTERS,
    Models,
    RunSource,
    Source,
    SpecSource,
)
from archspec_app.view import view


def build(face: Face) -> None:
    models = Models(face.desks.workspace.folder)
    part = view("predict", label="Prediction", elem_id="predict")

    turns = count()  # a page takes no notice of an answer like the one before

    def answers(act: Callable[[Desk, dict[str, Any]], Any]) -> Callable[..., Any]:
        def handle(request: gr.Request, event: gr.EventData, text: str | None) -> dict[str, Any]:
            desk, data = face.desks.of(session(request)), data_of(event)
            told: dict[str, Any] = {"asked": text_of(data, "asked", 20)}
            try:
                if text is not None:
                    with desk.lock:
                        desk.edit(sendable(text))
                told["answer"] = act(desk, data)
            except ArchspecError as error:
                told["error"] = str(error)
            return {**told, "sources": _sources(models, desk), "turn": next(turns)}

        return handle

    def text(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
        given = data.get("text")
        if not isinstance(given, str) or not given.strip() or len(given) > MOST_LETTERS:
            raise UsageError(
                Problem("E801", f"a text of 1 to {MOST_LETTERS:,} characters is needed")
            )
        return models.predict_text(_source(desk, data), given, explain=bool(data.get("explain")))

    def image(desk: Desk, data: dict[str, Any]) -> dict[str, Any]:
        encoded = text_of(data, "data", 4 * MOST_IMAGE_BYTES // 3 + 4)
        try:
            content = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            content = b""
        if not content:
            hint = f"of at most {MOST_IMAGE_BYTES:,} bytes"
            raise UsageError(Problem("E801", "an image is needed", hint=hint))
        return models.predict_image(_source(desk, data), content)

    for name, act in (("text", text), ("image", image), ("sources", lambda desk, data: None)):
        getattr(part, name)(
            answers(act), [face.code], [part], show_progress="hidden",
            trigger_mode="multiple", api_visibility="private",
        )  # fmt: skip


def _source(desk: Desk, data: dict[str, Any]) -> Source:
    if run := text_of(data, "source"):
        return RunSource(run)
    weights = text_of(data, "weights")
    if desk.good is None or desk.problems:
        raise UsageError(Problem("E801", "the text in the editor has problems that come first"))
    if not weights:
        raise UsageError(
            Problem("E801", "weights are needed", hint="a file or folder below this one")
        )
    return SpecSource(desk.good.spec, weights)


def _sources(models: Models, desk: Desk) -> dict[str, Any]:
    spec = desk.good.spec if desk.good else None
    task = spec.architecture.task if spec else None
    name = spec.name if spec else desk.name
    return {**models.sources(), "spec": name, "kind": task.kind if task else None}
