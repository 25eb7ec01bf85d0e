"""Serves the page on a port of this machine."""

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
from archspec_app.component import served_files
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
from archspec_app.served_files import CompressedPage, ServedFiles
from archspec_app.session_pool import TIME_LIMIT, SessionPool
from archspec_app.worker_pool import WorkerEnded, WorkerPool
from archspec_app.workspace import Workspace

MAX_EVENTS = 2_000
"""That all visitors together may have under way; they need no thread while they wait."""


class _WrappedApp(App):
    """Gradio's application behind middleware that sees every request first."""

    wrapped: Application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        await self.wrapped(scope, receive, send)

    async def gradio(self, scope: Message, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, send)


def serve(
    spec: str | None = None, *, ready: Callable[[str], None] = print, **options: object
) -> None:
    """Show the inspector until Ctrl-C.

    Args:
        spec: opened at first: a packaged name, or a path relative to the folder; None for the
            start view.
        ready: called with the page's address as soon as it answers.
        **options: of ``launched``.

    Raises:
        UsageError: E801, the port is not available.
    """
    with launched(spec, **options) as (page, address):  # pyright: ignore[reportArgumentType]
        ready(address)
        page.block_thread()


@contextmanager
def launched(
    spec: str | None = None,
    *,
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: tuple[str, str] | None = None,
    root_path: str | None = None,
    allow_hosts: Sequence[str] = (),
    time_limit: float = TIME_LIMIT,
    workers: WorkerPool | None = None,
) -> Iterator[tuple[gr.Blocks, str]]:
    """Run the inspector inside a context; yields the page and its address.

    Args:
        spec: opened at first: a packaged name, or a path relative to the folder; None for the
            start view.
        folder: that the page works in; nothing outside it is read or written.
        host: address to listen on.
        port: of it.
        auth: name and password that a visitor must enter.
        root_path: the path at which a proxy serves the page.
        allow_hosts: host names other than ``host`` that requests may name.
        time_limit: seconds that one event may take.
        workers: where visitors' processes come from.

    Raises:
        UsageError: E801, the port is not available.
    """
    workers = workers or WorkerPool()
    workers.start()  # it imports everything while this process does the same

    async def dispatch(session_id: str, number: int, event: Event) -> object:
        return await sessions.dispatch(session_id, number, event)

    page, binder = make_page(dispatch, lambda session_id: sessions.close(session_id))
    workspace = Workspace(folder, spec)
    sessions = SessionPool(workspace, binder.handlers, workers, time_limit=time_limit)
    app = _WrappedApp()
    inputs = {number: len(function.inputs) for number, function in page.fns.items()}
    events = EventBodies(app.gradio, inputs)
    app.wrapped = HostCheck(
        HiddenErrors(ServedFiles(CompressedPage(BoundedBody(events)), served_files())),
        host,
        port,
        allow_hosts,
        root_path,
    )
    try:
        workers.wait()
        yield page, _launch(page, app, host, port, auth, root_path)
    except WorkerEnded as error:
        raise UsageError(Problem("E801", f"the page {error}")) from None
    finally:
        sessions.shut_down()
        page.close()


def _launch(
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
            max_threads=MAX_EVENTS,
            allowed_paths=[],
            ssr_mode=False,
            run_history=False,
            theme=theme.theme(),
            css=theme.css(),
            head=theme.head(),
            _app=app,
        )
    except OSError as error:
        reason = error.strerror or "the port is in use"  # Gradio's own message is for programmers
        message = f"cannot listen on {host}:{port}: {reason}"
        raise UsageError(Problem("E801", message, hint="try another --port")) from None
    return address
