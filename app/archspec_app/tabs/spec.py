"""The toolbar, the editor with its problems, and the form of parameters."""

from __future__ import annotations

import posixpath
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import Any

import gradio as gr
from pydantic import BaseModel, ConfigDict, ValidationError

import archspec
from archspec.errors import Problem, UsageError, place_fields
from archspec.lang.inherit import Document
from archspec.lang.yaml import MAX_BYTES
from archspec_app.component import editor, editor_messages, view
from archspec_app.event_binding import Dispatch, EventBinder
from archspec_app.events import Event, number_of, text_of
from archspec_app.framework import LISTENER
from archspec_app.inherited_names import known_names
from archspec_app.param_form import at_field, param_value, params_data, type_of
from archspec_app.session import Session, SpecRequest
from archspec_app.tabs.start import open_spec, upload
from archspec_app.text_patch import with_unix_breaks

_LOAD = """() => [
    null,
    sessionStorage.getItem("archspec") ?? "",
    new URLSearchParams(location.hash.slice(1)).get("spec") ?? "",
]"""


class _Chosen(BaseModel):
    """What was chosen for a spec."""

    model_config = ConfigDict(extra="forbid", strict=True)

    plan: str | None
    sizes: dict[str, Any]
    precision: str
    optimizer: str
    checkpoint_blocks: tuple[str, ...]
    without: tuple[str, ...]
    device: str


class _Draft(_Chosen):
    """What a browser stores of its page, to survive a reload.

    Attributes:
        choices: for the specs that were open before.
    """

    name: str
    text: str
    choices: dict[str, _Chosen]

    @classmethod
    def parse(cls, text: str | None) -> _Draft | None:
        """None if a text is not a draft."""
        try:
            return cls.model_validate_json(text or "") if len(text or "") <= 3 * MAX_BYTES else None
        except ValidationError:
            return None

    def is_unsaved(self, session: Session) -> bool:
        """Whether its text is not that of the spec's file, or of the packaged spec."""
        try:
            saved = session.workspace.read(self.name)
        except UsageError:
            saved = ""
        return with_unix_breaks(self.text) != with_unix_breaks(saved)

    @property
    def request(self) -> SpecRequest:
        return SpecRequest(**self.model_dump(exclude={"name", "choices"}))

    @property
    def all_choices(self) -> dict[str, SpecRequest]:
        """For all specs; that of the draft is the last one."""
        before = {name: SpecRequest("", **one.model_dump()) for name, one in self.choices.items()}
        return before | {self.name: self.request}


def build_toolbar(dispatch: Dispatch) -> EventBinder:
    """The toolbar; and the editor, which ``build`` puts in its place."""
    toolbar = view("toolbar", label="Spec")
    binder = EventBinder(editor(), editor_messages(), dispatch)
    binder.add_outputs([toolbar], _render_toolbar)
    for name, act in _ACTIONS.items():
        binder.listen(toolbar, name, act)
    return binder


def build(binder: EventBinder) -> None:
    """The editor with its problems in one tab, the form of parameters in another."""
    with gr.Tabs(elem_id="spec-tabs"):
        with gr.Tab("YAML", id="yaml", elem_id="tab-yaml"):
            binder.code.render()
            binder.messages.render()
            reader = view("reader", label="Files and merged text", elem_id="reader")
            problems = view("problems", label="Problems", elem_id="problems")
        with gr.Tab("Parameters", id="parameters", elem_id="tab-parameters"):
            form = view("form", label="Parameters", elem_id="params")
    binder.add_outputs([problems, form], _render)
    binder.listen(form, "field", _set_param)
    for name, act in ("file", _read_file), ("resolved", _read_resolved):
        handler = binder.on_query(act, lambda session, event, problem: {"error": problem})
        getattr(reader, name)(handler, [binder.code], [reader], **LISTENER)


def bind_page_events(binder: EventBinder, page: gr.Blocks) -> None:
    """What happens when the page is loaded, and when somebody types."""

    def load(
        session: Session, data: dict[str, Any], stored: str | None, addressed: str | None
    ) -> None:
        draft = _Draft.parse(stored)
        if draft is not None:
            session.remember(draft.all_choices)
        is_same = draft is not None and addressed in (None, "", draft.name)
        if draft is not None and (is_same or draft.is_unsaved(session)):
            session.restore(draft.name, draft.request)  # the page asks, and then opens the other
        elif addressed:
            session.open(addressed)
        elif session.workspace.first is not None:
            session.open(session.workspace.first)

    def keep(session: Session, event: Event, problem: Problem) -> None:
        if draft := _Draft.parse(event.values[1]):
            session.restore_unbuilt(draft.name, draft.request, problem)

    stored, addressed = gr.Textbox(visible=False), gr.Textbox(visible=False)
    nothing = gr.State(None)
    page.load(
        binder.on_change(load, keep=keep), [nothing, stored, addressed], binder.outputs,
        show_progress="hidden", api_visibility="private",
        js=_LOAD,
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
            "is_empty": session.is_empty,
            "is_modified": session.is_modified,
            "problems": len(session.problems),
            "has_model": built is not None,
            "can_undo": session.can_undo,
            "can_redo": session.can_redo,
            "notice": session.error or session.notice,
            "is_error": bool(session.error),
            "download": download,
            "draft": {
                "name": session.name,
                **vars(session.request),
                "choices": {name: _chosen(request) for name, request in session.choices.items()},
            },
            "revision": session.revision,  # so that no answer equals the one before
            "instance_id": session.instance_id,
        }
    ]


def _chosen(request: SpecRequest) -> dict[str, Any]:
    return {key: value for key, value in vars(request).items() if key != "text"}


def _render(session: Session) -> list[Any]:
    problems = [
        {
            "text": str(problem),
            "code": problem.code,
            "message": problem.message,
            **place_fields(problem.place, "file", "line", "column", "end_column"),
        }
        for problem in session.problems
    ]
    value = {
        "problems": problems,
        "file": session.file,
        "has_model": session.built is not None,
        "names": known_names(session.built.spec) if session.built else None,
        "revision": session.revision,
    }
    return [value, {"fields": params_data(session)}]


# ----------------------------------------------------------------------------------------- reading


def _document(session: Session) -> Document:
    if session.built is None:
        raise UsageError(Problem("E801", "there is no model yet", hint="fix the problems first"))
    return session.built.spec.document


def _read_file(session: Session, event: Event) -> dict[str, Any]:
    """The text of a file that the spec is made of; a visitor can name no other."""
    asked = text_of(event.data, "file")
    sources = _document(session).sources()
    beside = posixpath.normpath(posixpath.join(posixpath.dirname(session.file), asked))
    packaged = [name for name in sources if fnmatchcase(name, "specs/*/*.yaml")]
    candidates = [asked, beside, *(name for name in packaged if PurePosixPath(name).stem == asked)]
    name = next((name for name in candidates if name in sources), None)
    if name is None:
        raise UsageError(Problem("E801", f"{asked!r:.200}: the spec does not extend or use it"))
    return {"name": name, "text": sources[name], "line": number_of(event.data, "line", 1, 1)}


def _read_resolved(session: Session, event: Event) -> dict[str, Any]:
    """The spec with its parents merged."""
    text = _document(session).resolved()
    return {"name": f"{session.name}, parents merged", "text": text, "line": 1}


# ----------------------------------------------------------------------------------------- actions


def _save(session: Session, data: dict[str, Any]) -> None:
    session.save(text_of(data, "spec"))
    session.notice = f"saved {session.name}"


def _python(session: Session, data: dict[str, Any]) -> None:
    if session.built is None:
        raise UsageError(Problem("E801", "there is no model yet"))
    spec = session.built.spec
    session.download = (f"{spec.name}.py", archspec.to_python(spec))


def _set_param(session: Session, data: dict[str, Any]) -> None:
    key = text_of(data, "key")
    declared, resolved = session.params
    if key not in declared:
        raise UsageError(Problem("E801", "there is no such parameter"))
    param_type = type_of(declared[key], resolved.get(key))
    with at_field(session, key, data.get("text")):
        session.set_param(key, param_value(data.get("text"), param_type))


_ACTIONS = {
    "open": open_spec,
    "upload": upload,
    "save": _save,
    "undo": lambda session, data: session.undo(),
    "redo": lambda session, data: session.redo(),
    "sync": lambda session, data: None,
    "python": _python,
}
