"""How the page's parts and a visitor's desk meet: one way in, one way out."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from archspec.errors import ArchspecError, Problem
from archspec_app.events import Event, unpacked
from archspec_app.session import Session
from archspec_app.text_patch import Patch

Show = Callable[[Session], Sequence[Any]]
Lane = Callable[[Event], str | None]
"""Which model an event needs, if it needs one in memory."""


class NoAnswer(Exception):
    """Nobody was there to answer an event; says why, in words for the page."""


Ask = Callable[[str, int, Event], Awaitable[Any]]
"""Asks for a session's answer to an event of a handler, by its number; raises ``NoAnswer``."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What is done for an event, where the desk is.

    Attributes:
        run: gives the outputs.
        failed: gives outputs that tell a problem: ``run`` took too long, or has a defect.
        lane: see ``Lane``.
        replaceable: whether a later event of its kind makes one unnecessary that still waits.
    """

    run: Callable[[Session, Event], Any]
    failed: Callable[[Session, Event, Problem], Any]
    lane: Lane
    replaceable: bool


class EventBinder:
    """What is shown of a desk, and what is done to it.

    A part registers with ``shows`` what it shows. ``does`` makes a handler for an event of the
    page: it changes the desk, and everything is shown anew. ``tells`` makes one that answers with
    one value.

    Args:
        code: the editor, whose text goes with every event.
        ask: who answers events; the handlers themselves run where the desks are.

    Attributes:
        handlers: all of them; the page is built alike in every process, so a number names one.
    """

    def __init__(self, code: gr.Code, ask: Ask) -> None:
        self.code, self.ask = code, ask
        self.outputs: list[Any] = [code]
        self.handlers: list[Handler] = []
        self._shown: list[tuple[int, Show]] = []

    def shows(self, components: Sequence[Any], show: Show) -> None:
        """Let components show what ``show`` says of a desk; ``gr.skip()`` leaves one as it is."""
        self.outputs += components
        self._shown.append((len(components), show))

    def does(
        self,
        act: Callable[..., None],
        *,
        keep: Callable[[Session, Event, Problem], None] | None = None,
        replaceable: bool = False,
    ) -> Callable[..., Any]:
        """A handler for an event with ``code`` as its first input and ``outputs`` as outputs.

        Args:
            act: is given the desk, the event's data, and the other inputs.
            keep: what stays of an event that could not be done; by default the text.
            replaceable: see ``Handler``.
        """

        def run(desk: Session, event: Event) -> list[Any]:
            desk.notice = desk.complaint = ""
            desk.download = None
            typed, desk.patch, name = None, None, desk.name
            try:
                event.check()
                if event.text is not None:
                    typed = desk.asked.text
                    desk.edit(event.text)
                    typed = desk.asked.text
                act(desk, event.data, *event.values[1:])
            except ArchspecError as error:
                desk.complaint = str(error)
            if typed is not None and desk.name == name:
                desk.patch = Patch.between(typed, desk.asked.text)
            return self._all(desk, typed)

        def failed(desk: Session, event: Event, problem: Problem) -> list[Any]:
            desk.notice, desk.complaint, desk.download, desk.patch = "", str(problem), None, None
            (keep or _keep_text)(desk, event, problem)
            return self._all(desk, desk.asked.text if event.text is not None else None)

        handler = Handler(run, failed, lambda event: None, replaceable)
        return self._handler(handler, self._as_outputs)

    def tells(
        self,
        act: Callable[[Session, Event], dict[str, Any]],
        failed: Callable[[Session, Event, str], dict[str, Any]],
        *,
        lane: Lane = lambda event: None,
        replaceable: bool = False,
    ) -> Callable[..., Any]:
        """A handler for an event with one output: a part that draws itself.

        Args:
            act: its value.
            failed: the value that tells a problem, in words.
            lane, replaceable: see ``Handler``.
        """

        def run(desk: Session, event: Event) -> dict[str, Any]:
            try:
                event.check()
                return {**act(desk, event), "turn": time.monotonic_ns()}
            except ArchspecError as error:
                return told(desk, event, error)

        def told(desk: Session, event: Event, problem: object) -> dict[str, Any]:
            # The page takes no notice of an answer like the one before.
            return {**failed(desk, event, str(problem)), "turn": time.monotonic_ns()}

        return self._handler(
            Handler(run, told, lane, replaceable),
            lambda found: gr.skip() if found is None else found,
        )

    def _handler(self, handler: Handler, shown: Callable[[Any], Any]) -> Callable[..., Any]:
        number = len(self.handlers)
        self.handlers.append(handler)

        async def handle(request: gr.Request, event: gr.EventData, *values: Any) -> Any:
            data = unpacked(event._data)  # pyright: ignore[reportPrivateUsage]
            try:
                found = await self.ask(session(request), number, Event.of(data, values))
            except NoAnswer as error:
                raise gr.Error(str(error), print_exception=False) from None
            return shown(found)

        return handle

    def _as_outputs(self, found: list[Any] | None) -> list[Any]:
        """What came from where the desk is; nothing is shown for an event that was replaced."""
        if found is None:
            return [gr.skip() for _ in self.outputs]
        text, *rest = found
        return [gr.skip() if text is None else _Whole(text), *rest]

    def _all(self, desk: Session, typed: str | None) -> list[Any]:
        """What the page shows now, where the editor holds what was typed."""
        desk.revision += 1
        whole = desk.patch is None and typed != desk.asked.text
        found: list[Any] = [desk.asked.text if whole else None]
        for count, show in self._shown:
            values = list(show(desk))
            assert len(values) == count
            found += values
        return found


def _keep_text(desk: Session, event: Event, problem: Problem) -> None:
    desk.unbuilt(event.text, problem)


class _Whole(str):
    """A text that keeps its blank ends: Gradio's editor strips what it is given to show."""

    def strip(self, chars: str | None = None, /) -> str:
        return str(self)


def session(request: gr.Request) -> str:
    return str(request.session_hash or "")
