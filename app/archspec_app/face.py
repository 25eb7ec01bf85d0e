"""How the page's parts and a visitor's desk meet: one way in, one way out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from archspec.errors import ArchspecError
from archspec_app.desk import Desk
from archspec_app.desks import Desks
from archspec_app.typed import Patch

Show = Callable[[Desk], Sequence[Any]]


class Face:
    """What is shown of a desk, and what is done to it.

    A part registers with ``shows`` what it shows. ``does`` makes a handler for an event of the
    page: it changes the desk, and everything is shown anew.

    Attributes:
        code: the editor, whose text goes with every event.
    """

    def __init__(self, desks: Desks, code: gr.Code) -> None:
        self.desks, self.code = desks, code
        self.outputs: list[Any] = [code]
        self._shown: list[tuple[int, Show]] = []

    def shows(self, components: Sequence[Any], show: Show) -> None:
        """Let components show what ``show`` says of a desk; ``gr.skip()`` leaves one as it is."""
        self.outputs += components
        self._shown.append((len(components), show))

    def does(self, act: Callable[..., None]) -> Callable[..., list[Any]]:
        """A handler for an event with ``code`` as its first input and ``outputs`` as outputs.

        Args:
            act: is given the desk, the event's data, and the other inputs.
        """

        def handle(
            request: gr.Request, event: gr.EventData, text: str | None, *values: Any
        ) -> list[Any]:
            desk = self.desks.of(session(request))
            with desk.lock:
                desk.notice = desk.complaint = ""
                desk.download = None
                typed, desk.patch, name = None, None, desk.name
                try:
                    if text is not None:
                        typed = desk.asked.text
                        desk.edit(sendable(text))
                        typed = desk.asked.text
                    act(desk, data_of(event), *values)
                except ArchspecError as error:
                    desk.complaint = str(error)
                if typed is not None and desk.name == name:
                    desk.patch = Patch.between(typed, desk.asked.text)
                return self._all(desk, typed)

        return handle

    def _all(self, desk: Desk, typed: str | None) -> list[Any]:
        """What the page shows now, where the editor holds what was typed."""
        desk.revision += 1
        whole = desk.patch is None and typed != desk.asked.text
        found: list[Any] = [_Whole(desk.asked.text) if whole else gr.skip()]
        for count, show in self._shown:
            values = list(show(desk))
            assert len(values) == count
            found += values
        return found


class _Whole(str):
    """A text that keeps its blank ends: Gradio's editor strips what it is given to show."""

    def strip(self, chars: str | None = None, /) -> str:
        return str(self)


def session(request: gr.Request) -> str:
    return str(request.session_hash or "")


def data_of(event: gr.EventData) -> dict[str, Any]:
    """What an event of the page carries; nothing is known of its values."""
    data = event._data  # pyright: ignore[reportPrivateUsage]
    found = data.items() if isinstance(data, dict) else ()
    return {key: sendable(value) if isinstance(value, str) else value for key, value in found}


def sendable(text: str) -> str:
    """Without halves of characters, which JSON can say and no answer may hold."""
    return text.encode("utf-8", "replace").decode()


def text_of(data: dict[str, Any], key: str, most: int = 1000) -> str:
    """A text among an event's data; "" if there is none, or one that is too long."""
    value = data.get(key)
    return value if isinstance(value, str) and len(value) <= most else ""
