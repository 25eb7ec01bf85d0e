"""The page on a port of this machine."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read when Gradio is imported

from starlette.middleware import Middleware

import archspec
from archspec.errors import Problem, UsageError
from archspec_app import look
from archspec_app.bounds import BoundedBody
from archspec_app.page import make_page

MAX_UPLOAD = "1kb"  # the page reads files itself: nothing has to be uploaded


def warm_up() -> None:
    """Have everything imported and compiled that the first page would wait for."""
    archspec.inspect("bert")


def serve(
    spec: str = "bert",
    *,
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: tuple[str, str] | None = None,
    root_path: str | None = None,
    ready: Callable[[str], None] = print,
) -> None:
    """Show the inspector until Ctrl-C.

    Args:
        spec: the one that is open at first: packaged, or relative to the folder.
        folder: nothing outside it is read or written.
        host: address to listen at.
        port: of it.
        auth: a name and a password, which everybody has to give.
        root_path: the path below which a proxy shows the page.
        ready: is told the page's address as soon as it answers.

    Raises:
        UsageError: E801, the port cannot be had.
    """
    page = make_page(folder, spec)
    warm_up()
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
            max_file_size=MAX_UPLOAD,
            allowed_paths=[],
            app_kwargs={"middleware": [Middleware(BoundedBody)]},
            ssr_mode=False,
            theme=look.theme(),
            css=look.css(),
        )
    except OSError as error:
        reason = error.strerror or "the port is taken"  # Gradio's words are for programmers
        message = f"cannot listen at {host}:{port}: {reason}"
        raise UsageError(Problem("E801", message, hint="another --port may be free")) from None
    ready(address)
    page.block_thread()
