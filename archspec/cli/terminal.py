"""The standard streams: colours, encodings that lack a character, and pipes that close early."""

from __future__ import annotations

import contextlib
import errno
import io
import json
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn, TextIO

import click

from archspec import storage
from archspec.errors import ArchspecError

_BROKEN_PIPE = 128 + 13  # what a shell reports of a program that SIGPIPE ended
_HEAD = re.compile(r"^(\S.*?:\d+:\d+: )?(error\[E\d{3}\])", re.MULTILINE)
_NOTE = re.compile(r"^(  \S.*?:\d+:\d+: )", re.MULTILINE)
_CARETS = re.compile(r"^( +\| *)(\^+)", re.MULTILINE)


def prepare(environ: Mapping[str, str] = os.environ) -> bool | None:
    """Make the streams print every text; returns what ``Context.color`` should be.

    True and False are the user's wish (``FORCE_COLOR``, ``NO_COLOR``); None means colours on a
    terminal only.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    if environ.get("NO_COLOR"):
        return False
    return True if environ.get("FORCE_COLOR") else None


def width() -> int | None:
    """Columns of the terminal; None where the output goes elsewhere and need not be wrapped."""
    there = sys.stdout is not None and sys.stdout.isatty()  # None: the shell closed it
    return shutil.get_terminal_size().columns if there else None


def put(text: str | bytes, *, err: bool = False) -> None:
    """Write a text and a line break; styles are left out where no terminal would show them."""
    stream = sys.stderr if err else sys.stdout
    try:
        click.echo(text, err=err)
    except OSError as error:
        _give_up(stream, error)


def put_bytes(data: bytes) -> None:
    """Write what is no text, as it is.

    Raises:
        click.UsageError: standard output is a terminal.
    """
    if width() is not None:
        raise click.UsageError("this is no text for a terminal: write it to a file with -o FILE")
    try:
        click.echo(data, nl=False)
    except OSError as error:
        _give_up(sys.stdout, error)


def put_json(data: object) -> None:
    """Write one JSON document."""
    put(json_text(data))


def json_text(data: object) -> str:
    """In ASCII, so that no encoding can spoil it."""
    return json.dumps(data, indent=2, allow_nan=False)


def put_error(error: ArchspecError) -> None:
    """Tell every problem on standard error: places bold, codes and carets red."""
    put(painted(str(error)), err=True)


def painted(text: str) -> str:
    """The text of an error, with styles."""
    text = _HEAD.sub(lambda m: _bold(m[1]) + click.style(m[2], fg="red", bold=True), text)
    text = _NOTE.sub(lambda m: _bold(m[1]), text)
    return _CARETS.sub(lambda m: m[1] + click.style(m[2], fg="red"), text)


def _bold(text: str | None) -> str:
    return click.style(text, bold=True) if text else ""


def write_text(text: str, path: Path | None) -> None:
    """Write a text as UTF-8, to standard output without a path; else as ``write_bytes``."""
    if path is None or path == Path("-"):
        put(text.removesuffix("\n").encode())
    else:
        write_bytes(text.encode(), path)


def write_bytes(data: bytes, path: Path) -> None:
    """Write a file.

    A file is replaced as a whole or not at all; what is no regular file, such as a pipe, is
    written to.

    Raises:
        click.FileError: the file cannot be written.
    """
    try:
        if path.exists() and not path.is_file():
            path.write_bytes(data)
        else:
            storage.write(path, data)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that go round in a circle
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise click.FileError(str(path), reason) from None


def _give_up(stream: TextIO, error: OSError) -> NoReturn:
    """End quietly if the reader has gone, else say why nothing more can be written."""
    # What is still buffered would fail once more when Python exits.
    with open(os.devnull, "wb") as null, contextlib.suppress(OSError):
        os.dup2(null.fileno(), stream.fileno())
    if error.errno == errno.EPIPE:
        raise SystemExit(_BROKEN_PIPE)
    raise click.ClickException(f"cannot write the output: {error.strerror}") from None
