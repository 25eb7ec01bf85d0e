"""The page on a port of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import gradio as gr

from archspec_app import look
from archspec_app.page import make_page


def serve(
    spec: str = "bert",
    *,
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 7860,
    auth: tuple[str, str] | None = None,
    root_path: str | None = None,
    wait: bool = True,
) -> gr.Blocks:
    """Show the inspector until Ctrl-C.

    Args:
        spec: the one that is open at first.
        folder: nothing outside it is read or written.
        host: of the interface to listen at.
        port: of it.
        auth: a name and a password, which everybody has to give.
        root_path: the path below which a proxy shows the page.
        wait: for Ctrl-C; else return while the page is served.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    page = make_page(folder, spec)
    page.launch(
        server_name=host,
        server_port=port,
        auth=auth,
        root_path=root_path,
        share=False,
        quiet=True,
        prevent_thread_lock=True,
        footer_links=[],
        max_file_size="32mb",
        allowed_paths=[],
        ssr_mode=False,
        theme=look.theme(),
        css=look.css(),
    )
    if wait:
        page.block_thread()
    return page
