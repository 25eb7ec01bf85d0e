"""The page on a port of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported

import gradio as gr
from gradio.routes import App

from archspec.errors import Problem, UsageError
from archspec_app import theme
from archspec_app.event_bodies import EventBodies
from archspec_app.events import Event
from archspec_app.host_check import HostCheck
from archspec_app.page import make_page
from archspec_app.request_limits import (
    Application,
    BoundedBody,
    HiddenErrors,
    Message,
    Receive,
    Send,
)
from archspec_app.session_pool import SECONDS, SessionPool
from archspec_app.worker_pool import Ended, Workers
from archspec_app.workspace import Workspace

MOST_EVENTS = 2_000
"""At once, of all visitors; they wait without a thread."""


class _Guarded(App):
    """Gradio's application behind others, which see every request before any part of it does."""

    outer: Application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await self.outer(scope, receive, send)

    async def inner(self, scope: Message, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


def serve(spec: str = "bert", *, ready: Callable[[str], None] = print, **options: object) -> None:
    """Show the inspector until Ctrl-C.

    Args:
        spec: the one that is open at first: packaged, or relative to the folder.
        ready: is told the page's address as soon as it answers.
        **options: as ``launched`` takes them.

    Raises:
        UsageError: E801, the port cannot be had.
    """
    with launched(spec, **options) as (page, address):  # pyright: ignore[reportArgumentType]
        ready(address)
        page.block_thread()


@contextmanager
def launched(
    spec: str = "bert",
    *,
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: tuple[str, str] | None = None,
    root_path: str | None = None,
    allow_hosts: Sequence[str] = (),
    seconds: float = SECONDS,
    workers: Workers | None = None,
) -> Iterator[tuple[gr.Blocks, str]]:
    """The inspector, and its address, while the context is open.

    Args:
        spec: the one that is open at first: packaged, or relative to the folder.
        folder: nothing outside it is read or written.
        host: address to listen at.
        port: of it.
        auth: a name and a password, which everybody has to give.
        root_path: the path below which a proxy shows the page.
        allow_hosts: names other than ``host`` that the page may be asked for by.
        seconds: that one event may take.
        workers: where visitors' processes come from.

    Raises:
        UsageError: E801, the port cannot be had.
    """
    workers = workers or Workers()
    workers.start()  # imports everything, while this process does, too

    async def ask(session: str, number: int, event: Event) -> object:
        return await sessions.ask(session, number, event)

    page, face = make_page(ask, lambda session: sessions.close(session))
    sessions = SessionPool(Workspace(folder, spec), face.handlers, workers, seconds=seconds)
    app = _Guarded()
    inputs = {number: len(one.inputs) for number, one in page.fns.items()}
    app.outer = HostCheck(
        HiddenErrors(BoundedBody(EventBodies(app.inner, inputs))),
        host,
        port,
        allow_hosts,
        root_path,
    )
    try:
        workers.wait()
        yield page, _address(page, app, host, port, auth, root_path)
    except Ended as error:
        raise UsageError(Problem("E801", f"the page {error}")) from None
    finally:
        sessions.end()
        page.close()


def _address(
    page: gr.Blocks,
    app: App,
    host: str,
    port: int,
    auth: tuple[str, str] | None,
    root_path: str | None,
) -> str:
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port,
            auth=auth,
            root_path=root_path,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            max_threads=MOST_EVENTS,
            allowed_paths=[],
            ssr_mode=False,
            run_history=False,
            theme=theme.theme(),
            css=theme.css(),
            _app=app,
        )
    except OSError as error:
        reason = error.strerror or "the port is taken"  # Gradio's words are for programmers
        message = f"cannot listen at {host}:{port}: {reason}"
        raise UsageError(Problem("E801", message, hint="another --port may be free")) from None
    return address
