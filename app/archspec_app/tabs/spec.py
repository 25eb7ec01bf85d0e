"""The toolbar, the editor with its problems, and the form of parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import gradio as gr
from pydantic import BaseModel, ConfigDict, ValidationError

import archspec
from archspec.errors import Problem, UsageError
from archspec.lang.yaml import MAX_BYTES
from archspec_app.component import view
from archspec_app.event_binding import LISTENER, Dispatch, EventBinder
from archspec_app.events import Event, flag_of, text_of
from archspec_app.param_form import param_value, params_data, type_of, with_field
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


class _Draft(BaseModel):
    """What a browser stores of its page, to survive a reload."""

    model_config = ConfigDict(extra="forbid", strict=True)

    name: str
    text: str
    params: dict[str, Any]
    plan: str | None
    sizes: dict[str, Any]
    precision: str
    optimizer: str
    checkpoint_blocks: tuple[str, ...]
    without: tuple[str, ...]

    @classmethod
    def parse(cls, text: str | None) -> _Draft | None:
        """None if a text is not a draft."""
        try:
            return cls.model_validate_json(text or "") if len(text or "") <= 3 * MAX_BYTES else None
        except ValidationError:
            return None

    @property
    def request(self) -> SpecRequest:
        return SpecRequest(**self.model_dump(exclude={"name"}))


def build_toolbar(dispatch: Dispatch) -> EventBinder:
    """The toolbar; and the editor, which ``build`` puts in its place."""
    toolbar = view("toolbar", label="Spec")
    code = gr.Code(
        language="yaml", label="Spec", elem_id="editor", interactive=True, render=False,
        show_label=False, lines=20, max_lines=34, buttons=[],
    )  # fmt: skip
    binder = EventBinder(code, dispatch)
    binder.add_outputs([toolbar], _render_toolbar)
    for name, act in _ACTIONS.items():
        binder.listen(toolbar, name, act)
    return binder


def build(binder: EventBinder) -> None:
    """The editor with its problems in one tab, the form of parameters in another."""
    with gr.Tabs(elem_id="spec-tabs"):
        with gr.Tab("YAML", id="yaml", elem_id="tab-yaml"):
            binder.code.render()
            problems = view("editor", label="Problems", elem_id="problems")
        with gr.Tab("Parameters", id="parameters", elem_id="tab-parameters"):
            form = view("form", label="Parameters", elem_id="params")
    binder.add_outputs([problems, form], _render)
    binder.listen(form, "field", _set_param)


def bind_page_events(binder: EventBinder, page: gr.Blocks) -> None:
    """What happens when the page is loaded, and when somebody types."""

    def load(session: Session, data: dict[str, Any], stored: str | None) -> None:
        draft = _Draft.parse(stored)
        if draft is None:
            session.open(session.workspace.first)
        else:
            session.restore(draft.name, draft.request)

    def keep(session: Session, event: Event, problem: Problem) -> None:
        if draft := _Draft.parse(event.values[1]):
            session.restore_unbuilt(draft.name, draft.request, problem)

    stored = gr.Textbox(visible=False)
    nothing = gr.State(None)
    page.load(
        binder.on_change(load, keep=keep), [nothing, stored], binder.outputs,
        show_progress="hidden", api_visibility="private",
        js="() => [null, sessionStorage.getItem('archspec') ?? '']",
    )  # fmt: skip
    binder.code.input(
        binder.on_change(lambda session, data: None, replaceable=True),
        [binder.code], binder.outputs, **{**LISTENER, "trigger_mode": "always_last"},
    )  # fmt: skip


# --------------------------------------------------------------------------------------- rendering


def _render_toolbar(session: Session) -> list[Any]:
    built, download = session.built, None
    if session.download:
        name, text = session.download
        download = {"id": str(session.revision), "name": name, "text": text}
    return [
        {
            "name": session.name,
            "names": session.workspace.names(),
            "plans": list(built.plans) if built else [],
            "plan": session.plan,
            "can_undo": session.can_undo,
            "can_redo": session.can_redo,
            "notice": session.error or session.notice,
            "is_error": bool(session.error),
            "download": download,
            "draft": {"name": session.name, **vars(session.request)},
            "revision": session.revision,  # so that no answer equals the one before
            "instance_id": session.instance_id,
        }
    ]


def _render(session: Session) -> list[Any]:
    problems = [
        {
            "text": str(problem),
            "code": problem.code,
            "message": problem.message,
            "file": problem.place.file if problem.place else None,
            "line": problem.place.line if problem.place else None,
            "column": problem.place.column if problem.place else None,
        }
        for problem in session.problems
    ]
    patch = session.patch
    value = {
        "problems": problems,
        "file": session.file,
        "has_model": session.built is not None,
        "patch": asdict(patch) if patch and patch.old != patch.new else None,
        "revision": session.revision,
    }
    return [value, {"fields": params_data(*session.params, session.request)}]


# ----------------------------------------------------------------------------------------- actions


def _open(session: Session, data: dict[str, Any]) -> None:
    if name := text_of(data, "spec"):
        session.open(name)
    else:
        session.paste("untitled.yaml", NEW)


def _upload(session: Session, data: dict[str, Any]) -> None:
    text = text_of(data, "text", MAX_BYTES)
    name = text_of(data, "spec").replace("\\", "/").split("/")[-1].lstrip(".") or "untitled"
    if not text:
        message = f"the file is empty, or has more than {MAX_BYTES:,} bytes"
        raise UsageError(Problem("E801", message))
    session.paste(name if name.endswith((".yaml", ".yml")) else f"{name}.yaml", text)


def _save(session: Session, data: dict[str, Any]) -> None:
    session.save(text_of(data, "spec"))
    session.notice = f"saved {session.name}"


def _python(session: Session, data: dict[str, Any]) -> None:
    if session.built is None:
        raise UsageError(Problem("E801", "there is no model yet"))
    spec = session.built.spec
    session.download = (f"{spec.name}.py", archspec.to_python(spec))


def _choose_plan(session: Session, data: dict[str, Any]) -> None:
    session.change(plan=text_of(data, "plan") or None)


def _save_plan(session: Session, data: dict[str, Any]) -> None:
    name = text_of(data, "plan").strip()
    if not name:
        raise UsageError(Problem("E801", "enter a name for the plan"))
    exists = session.built is not None and name in session.built.plans and name != session.plan
    session.save_plan(name)
    session.notice = f"replaced the plan {name}" if exists else f"added the plan {name} to the text"


def _set_param(session: Session, data: dict[str, Any]) -> None:
    key = text_of(data, "key")
    reset = flag_of(data, "reset")
    declared, resolved = session.params
    if key not in declared:
        raise UsageError(Problem("E801", "there is no such parameter"))
    param_type = type_of(declared[key], resolved.get(key))
    value = None if reset else param_value(data.get("text"), param_type)
    session.change(params=with_field(session.request.params, key, value, reset=reset))


_ACTIONS = {
    "open": _open,
    "upload": _upload,
    "save": _save,
    "undo": lambda session, data: session.undo(),
    "redo": lambda session, data: session.redo(),
    "sync": lambda session, data: None,
    "python": _python,
    "plan": _choose_plan,
    "save_plan": _save_plan,
}
