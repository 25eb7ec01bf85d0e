"""The toolbar, the editor with its problems, and the form of parameters."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import gradio as gr

import archspec
from archspec.errors import Problem, UsageError
from archspec.lang.yaml import MAX_BYTES
from archspec_app.component import view
from archspec_app.event_binding import Ask, EventBinder
from archspec_app.events import Event, flag_of, text_of
from archspec_app.param_form import changed, kind_of, param_value, params_data
from archspec_app.session import Session, SpecRequest

NEW = """archspec: 1
model: Net

blocks:
  Net:
    inputs: {x: [batch, 8]}
    outputs: {y: [batch, 2]}
    modules:
      fc: {type: Linear, in_features: 8, out_features: 2}
    forward:
      - return: fc(x)

dims: {batch: 1}
"""


def begin(ask: Ask) -> EventBinder:
    """The toolbar across the page, and the editor's component, which ``build`` puts in place."""
    toolbar = view("toolbar", label="Spec")
    code = gr.Code(
        language="yaml", label="Spec", elem_id="editor", interactive=True, render=False,
        show_label=False, lines=20, max_lines=34, buttons=[],
    )  # fmt: skip
    face = EventBinder(code, ask)
    face.shows([toolbar], _toolbar)
    for name, act in _ACTS.items():
        _listen(face, toolbar, name, act)
    return face


def build(face: EventBinder) -> None:
    """Editor and problems; beside them, in a tab of its own, the form."""
    with gr.Tabs(elem_id="spec-tabs"):
        with gr.Tab("YAML", id="yaml", elem_id="tab-yaml"):
            face.code.render()
            problems = view("editor", label="Problems", elem_id="problems")
        with gr.Tab("Parameters", id="parameters", elem_id="tab-parameters"):
            form = view("form", label="Parameters", elem_id="params")
    face.shows([problems, form], _shown)
    _listen(face, form, "field", _set_param)


def wire(face: EventBinder, page: gr.Blocks) -> None:
    """Typing, and what a page shows when it is loaded."""

    def start(desk: Session, data: dict[str, Any], draft: str | None) -> None:
        try:
            name, asked = _draft(draft)
        except (ValueError, RecursionError):
            desk.open(desk.workspace.first)
        else:
            desk.restore(name, asked)

    def keep(desk: Session, event: Event, why: Problem) -> None:
        try:
            name, asked = _draft(event.values[1])
        except (ValueError, RecursionError):
            return
        desk.restore_unbuilt(name, asked, why)

    draft = gr.Textbox(visible=False)
    nothing = gr.State(None)
    page.load(
        face.does(start, keep=keep), [nothing, draft], face.outputs, show_progress="hidden",
        js="() => [null, sessionStorage.getItem('archspec') ?? '']",
        api_visibility="private",
    )  # fmt: skip
    face.code.input(
        face.does(lambda desk, data: None, replaceable=True), [face.code], face.outputs,
        show_progress="hidden", trigger_mode="always_last", api_visibility="private",
    )  # fmt: skip


def _listen(face: EventBinder, part: gr.HTML, name: str, act: Any) -> None:
    getattr(part, name)(
        face.does(act), [face.code], face.outputs,
        show_progress="hidden", trigger_mode="multiple", api_visibility="private",
    )  # fmt: skip


# ---------------------------------------------------------------------------------------- showing


def _toolbar(desk: Session) -> list[Any]:
    good = desk.good
    download = desk.download and {
        "id": f"{desk.revision}", "name": desk.download[0], "text": desk.download[1]
    }  # fmt: skip
    return [
        {
            "name": desk.name,
            "names": desk.workspace.names(),
            "plans": list(good.plans) if good else [],
            "plan": desk.plan,
            "undo": desk.can_undo,
            "redo": desk.can_redo,
            "notice": desk.complaint or desk.notice,
            "wrong": bool(desk.complaint),
            "download": download,
            "draft": _as_draft(desk),
            "revision": desk.revision,  # so that every answer is seen
            "mark": desk.mark,
        }
    ]


def _shown(desk: Session) -> list[Any]:
    problems = [
        {
            "text": str(problem),
            "code": problem.code,
            "message": problem.message,
            "file": problem.place.file if problem.place else None,
            "line": problem.place.line if problem.place else None,
            "column": problem.place.column if problem.place else None,
        }
        for problem in desk.problems
    ]
    patch = desk.patch and desk.patch.old != desk.patch.new and asdict(desk.patch)
    told = {
        "problems": problems,
        "file": desk.file,
        "good": desk.good is not None,
        "patch": patch or None,
        "revision": desk.revision,
    }
    return [told, {"fields": params_data(*desk.params, desk.asked)}]


_LISTS = ("checkpoint_blocks", "without")


def _as_draft(desk: Session) -> dict[str, Any]:
    asked = desk.asked
    return {
        "name": desk.name,
        "text": asked.text,
        "params": dict(asked.params),
        "plan": asked.plan,
        "sizes": dict(asked.sizes),
        "precision": asked.precision,
        "optimizer": asked.optimizer,
        "checkpoint_blocks": list(asked.checkpoint_blocks),
        "without": list(asked.without),
    }


def _draft(text: str | None) -> tuple[str, SpecRequest]:
    """What a browser kept of its page.

    Raises:
        ValueError: it is not what ``_as_draft`` gave.
    """
    if not isinstance(text, str) or len(text) > 3 * MAX_BYTES:
        raise ValueError
    found = json.loads(text)
    if not isinstance(found, dict) or set(found) != {
        "name", "text", "params", "plan", "sizes", "precision", "optimizer", *_LISTS
    }:  # fmt: skip
        raise ValueError
    kinds = {"name": str, "text": str, "params": dict, "sizes": dict, "precision": str}
    if not all(isinstance(found[key], kind) for key, kind in kinds.items()):
        raise ValueError
    if not isinstance(found["plan"], str | None) or not isinstance(found["optimizer"], str):
        raise ValueError
    for key in _LISTS:
        if not isinstance(found[key], list) or not all(isinstance(one, str) for one in found[key]):
            raise ValueError
        found[key] = tuple(found[key])
    name = found.pop("name")
    return name, SpecRequest(**found)


# ------------------------------------------------------------------------------------------ doing


def _open(desk: Session, data: dict[str, Any]) -> None:
    name = text_of(data, "spec")
    if name:
        desk.open(name)
    else:
        desk.paste("untitled.yaml", NEW)


def _upload(desk: Session, data: dict[str, Any]) -> None:
    text = text_of(data, "text", MAX_BYTES)
    name = text_of(data, "spec").replace("\\", "/").split("/")[-1].lstrip(".") or "untitled"
    if not text:
        raise UsageError(
            Problem("E801", f"the file is empty, or has more than {MAX_BYTES:,} bytes")
        )
    desk.paste(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml", text)


def _save(desk: Session, data: dict[str, Any]) -> None:
    desk.save(text_of(data, "spec"))
    desk.notice = f"saved {desk.name}"


def _python(desk: Session, data: dict[str, Any]) -> None:
    if desk.good is None:
        raise UsageError(Problem("E801", "nothing has been built yet"))
    desk.download = (f"{desk.good.spec.name}.py", archspec.to_python(desk.good.spec))


def _plan(desk: Session, data: dict[str, Any]) -> None:
    desk.change(plan=text_of(data, "plan") or None)


def _save_plan(desk: Session, data: dict[str, Any]) -> None:
    name = text_of(data, "plan").strip()
    if not name:
        raise UsageError(Problem("E801", "a plan needs a name to be saved under"))
    there = desk.good is not None and name in desk.good.plans and name != desk.plan
    desk.save_plan(name)
    desk.notice = f"the plan {name} was replaced" if there else f"the plan is in the text as {name}"


def _set_param(desk: Session, data: dict[str, Any]) -> None:
    key = text_of(data, "key")
    reset = flag_of(data, "reset")
    declared, resolved = desk.params
    if key not in declared:
        raise UsageError(Problem("E801", "there is no such parameter"))
    kind = kind_of(declared[key], resolved.get(key))
    value = None if reset else param_value(data.get("text"), kind)
    desk.change(params=changed(desk.asked.params, key, value, reset=reset))


_ACTS = {
    "open": _open,
    "upload": _upload,
    "save": _save,
    "undo": lambda desk, data: desk.undo(),
    "redo": lambda desk, data: desk.redo(),
    "sync": lambda desk, data: None,
    "python": _python,
    "plan": _plan,
    "saveplan": _save_plan,
}
