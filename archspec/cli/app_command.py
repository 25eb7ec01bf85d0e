"""``archspec app``: the inspector in a browser."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import click

from archspec.cli import options, terminal
from archspec.cli.command import Command
from archspec.errors import Problem, UsageError
from archspec.lang.inherit import locate


@click.command(cls=Command)
@click.argument("spec", metavar="[SPEC]", required=False, type=options.SpecName())
@click.option(
    "--folder",
    metavar="FOLDER",
    default=".",
    type=click.Path(path_type=Path),
    help="Working folder. The page reads and writes nothing outside it.",
)
@click.option("--host", metavar="ADDRESS", default="127.0.0.1", help="Address to listen on.")
@click.option(
    "--port", metavar="INT", default=7860, type=click.IntRange(1, 65535), help="Port to listen on."
)
@click.option(
    "--auth",
    metavar="NAME:PASSWORD",
    envvar="ARCHSPEC_AUTH",
    show_envvar=True,
    help="User name and password required to open the page.",
)
@click.option("--root-path", metavar="PATH", help="URL path under which a proxy serves the page.")
@click.option(
    "--allow-host",
    "allow_hosts",
    metavar="NAME[:PORT]",
    multiple=True,
    help="Additional Host header to accept, such as that of a proxy. May be repeated.",
)
@click.option(
    "--time-limit",
    metavar="SECONDS",
    type=click.FloatRange(1, 3600),
    default=30,
    envvar="ARCHSPEC_TIME_LIMIT",
    show_envvar=True,
    show_default=True,
    help="Time limit for one request, in seconds.",
)
def app(
    spec: str | None,
    folder: Path,
    host: str,
    port: int,
    auth: str | None,
    root_path: str | None,
    allow_hosts: tuple[str, ...],
    time_limit: float,
) -> None:
    """Open the inspector in a browser.

    The inspector edits, draws, freezes and compares specs, trains models and predicts with them.
    Without SPEC, the start page lists what can be opened: packaged specs, the specs and Hugging
    Face models in --folder, and an example. The server runs until Ctrl-C. Training runs started
    from the page continue after that.

    \b
    Examples:
      archspec app
      archspec app my-model.yaml --port 8000
      ARCHSPEC_AUTH=anna:secret archspec app --host 0.0.0.0
    """
    name, _, password = (auth or "").partition(":")
    if auth is not None and not (name and password):
        raise click.UsageError("--auth takes NAME:PASSWORD")
    _check_port(host, port)
    try:
        from archspec_app.host_check import allowed_name
        from archspec_app.serving import serve
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package.startswith("archspec"):
            raise
        message = f"the inspector needs the package {package}"
        hint = "pip install 'archspec-nn[app,train]'"
        raise UsageError(Problem("E801", message, hint=hint)) from None
    if wrong := [one for one in allow_hosts if allowed_name(one) is None]:
        raise click.UsageError(f"--allow-host takes NAME or NAME:PORT, not '{wrong[0]}'")
    if not folder.is_dir():
        raise UsageError(Problem("E801", f"{folder}: no such folder"))
    if auth is None and host not in ("127.0.0.1", "localhost", "::1"):
        terminal.put("No --auth: everybody who reaches this address can train here", err=True)
    serve(
        None if spec is None else _within(spec, folder),
        folder=folder,
        host=host,
        port=port,
        auth=(name, password) if auth else None,
        root_path=root_path,
        allow_hosts=allow_hosts,
        time_limit=time_limit,
        ready=lambda address: terminal.put(f"{address}  (Ctrl-C ends it)"),
    )


def _check_port(host: str, port: int) -> None:
    """Whether a server can listen there, before seconds are spent on importing one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror}"
        raise UsageError(Problem("E801", message, hint="try another --port or --host")) from None


def _within(spec: str, folder: Path) -> str:
    """A spec as the page names it: packaged, or relative to the folder."""
    if not spec.endswith((".yaml", ".yml")) and os.sep not in spec:
        locate(spec)
        return spec
    path, top = Path(os.path.abspath(spec)), Path(os.path.abspath(folder))
    if not path.is_relative_to(top):
        hint = "say --folder FOLDER"
        raise UsageError(Problem("E801", f"{spec} is not in {folder}", hint=hint))
    if not path.is_file():
        raise UsageError(Problem("E801", f"{spec}: no such file"))
    return path.relative_to(top).as_posix()
