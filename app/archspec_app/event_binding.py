"""How the page's components and a visitor's session are connected: events in, outputs back."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from archspec.errors import ArchspecError, Problem
from archspec_app.events import Event
from archspec_app.framework import LISTENER, event_data, session_id
from archspec_app.session import Session
from archspec_app.text_patch import Patch

Render = Callable[[Session], Sequence[Any]]
ModelKey = Callable[[Event], str | None]
"""Names the model that an event needs in memory, if it needs one."""


class NoAnswer(Exception):
    """An event could not be handled at all; the text is shown on the page."""


Dispatch = Callable[[str, int, Event], Awaitable[Any]]
"""Sends an event of a session to a handler, by its number; raises ``NoAnswer``."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What handles an event, in the process that has the session.

    Attributes:
        run: returns the outputs.
        failed: returns outputs that report a problem: ``run`` took too long, or has a defect.
        model_key: see ``ModelKey``.
        replaceable: whether a later event of the same kind replaces one that still waits.
    """

    run: Callable[[Session, Event], Any]
    failed: Callable[[Session, Event, Problem], Any]
    model_key: ModelKey
    replaceable: bool


class EventBinder:
    """Binds components to what they show of a session, and events to handlers.

    A tab registers its components with ``add_outputs``. ``on_change`` makes a handler that changes
    the session and refreshes all of them; ``on_query`` one that answers with a single value.

    Args:
        code: the editor, whose text is sent with every event; see ``component.editor``.
        messages: what the editor is sent; see ``component.editor_messages``.
        dispatch: sends events to the process of their session, where the handlers run.

    Attributes:
        handlers: all of them; the page is built alike in every process, so a number names one.
    """

    def __init__(self, code: gr.HTML, messages: gr.HTML, dispatch: Dispatch) -> None:
        self.code, self.messages, self.dispatch = code, messages, dispatch
        self.outputs: list[Any] = [messages]
        self.handlers: list[Handler] = []
        self._renders: list[tuple[int, Render]] = []

    def add_outputs(self, components: Sequence[Any], render: Render) -> None:
        """Fill components with what ``render`` returns; ``gr.skip()`` leaves one as it is."""
        self.outputs += components
        self._renders.append((len(components), render))

    def listen(self, view: gr.HTML, name: str, act: Callable[..., None]) -> None:
        """Call ``act`` when a view triggers an event, and refresh everything."""
        getattr(view, name)(self.on_change(act), [self.code], self.outputs, **LISTENER)

    def on_change(
        self,
        act: Callable[..., None],
        *,
        keep: Callable[[Session, Event, Problem], None] | None = None,
        replaceable: bool = False,
    ) -> Callable[..., Any]:
        """A handler for an event with ``code`` as its first input and ``outputs`` as outputs.

        Args:
            act: is called with the session, the event's data, and the other inputs.
            keep: what remains of an event that failed; by default the typed text.
            replaceable: see ``Handler``.
        """

        def run(session: Session, event: Event) -> list[Any]:
            session.notice = session.error = ""
            session.download = session.field_error = None
            typed, session.patch, name = None, None, session.name
            try:
                event.check()
                if event.text is not None:
                    typed = session.request.text
                    session.edit(event.text)
                    typed = session.request.text
                act(session, event.data, *event.values[1:])
            except ArchspecError as error:
                session.error = str(error)
            if typed is not None and session.name == name:
                session.patch = Patch.between(typed, session.request.text)
            return self._render_all(session, typed)

        def failed(session: Session, event: Event, problem: Problem) -> list[Any]:
            session.notice, session.error = "", str(problem)
            session.download = session.patch = None
            (keep or _keep_text)(session, event, problem)
            return self._render_all(
                session, session.request.text if event.text is not None else None
            )

        handler = Handler(run, failed, lambda event: None, replaceable)
        return self._register(handler, self._as_outputs)

    def on_query(
        self,
        act: Callable[[Session, Event], dict[str, Any]],
        failed: Callable[[Session, Event, str], dict[str, Any]],
        *,
        model_key: ModelKey = lambda event: None,
        replaceable: bool = False,
    ) -> Callable[..., Any]:
        """A handler for an event with one output: the view that sent it.

        Args:
            act: returns the view's value.
            failed: returns a value that reports a problem, given its text.
            model_key, replaceable: see ``Handler``.
        """

        def run(session: Session, event: Event) -> dict[str, Any]:
            try:
                event.check()
                return _numbered(act(session, event))
            except ArchspecError as error:
                return report(session, event, error)

        def report(session: Session, event: Event, problem: object) -> dict[str, Any]:
            return _numbered(failed(session, event, str(problem)))

        return self._register(
            Handler(run, report, model_key, replaceable),
            lambda output: gr.skip() if output is None else output,
        )

    def _register(self, handler: Handler, finish: Callable[[Any], Any]) -> Callable[..., Any]:
        number = len(self.handlers)
        self.handlers.append(handler)

        async def handle(request: gr.Request, event: gr.EventData, *values: Any) -> Any:
            try:
                sent = Event.of(event_data(event), values)
                output = await self.dispatch(session_id(request), number, sent)
            except NoAnswer as error:
                raise gr.Error(str(error), print_exception=False) from None
            return finish(output)

        return handle

    def _as_outputs(self, answer: list[Any] | None) -> list[Any]:
        """The outputs of a handler; an event that was replaced changes none of them."""
        if answer is None:
            return [gr.skip() for _ in self.outputs]
        message, *rest = answer
        return [gr.skip() if message is None else message, *rest]

    def _render_all(self, session: Session, typed: str | None) -> list[Any]:
        """Everything that the page shows, where the editor holds what was typed."""
        session.revision += 1
        outputs: list[Any] = [_editor_message(session, typed)]
        for count, render in self._renders:
            values = list(render(session))
            assert len(values) == count
            outputs += values
        return outputs


def _numbered(value: dict[str, Any]) -> dict[str, Any]:
    # Gradio's page ignores an answer that equals the one before it.
    return {**value, "answer_id": time.monotonic_ns()}


def _keep_text(session: Session, event: Event, problem: Problem) -> None:
    session.keep_unbuilt(event.text, problem)


def _editor_message(session: Session, typed: str | None) -> dict[str, Any] | None:
    """What the editor has to change, if anything, where it holds what was typed."""
    if (patch := session.patch) is not None:
        is_change = patch.old != patch.new
        return {"patch": asdict(patch), "revision": session.revision} if is_change else None
    text = session.request.text
    if typed == text:
        return None
    return {"text": text, "spec": session.name, "revision": session.revision}
