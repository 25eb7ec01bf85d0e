"""A run's folder: names, files that are replaced as a whole or not at all, and who writes there."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

from archspec.errors import Problem, RunError, UsageError

SPEC, SOURCE, FACTS, FREEZE = "spec.yaml", "model.py", "run.json", "freeze.json"
METRICS, CURVES, LOG, LOCK = "metrics.jsonl", "curves.svg", "train.log", ".lock"
BEST, LAST = "checkpoints/best.safetensors", "checkpoints/last.safetensors"
STATE = "checkpoints/resume.pt"
_MOST_BYTES = 1_000_000_000  # of a text file that is read back
_TRIES, _PAUSE = 20, 0.02  # seconds
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", re.ASCII)


class RunFolder:
    """The files of one run.

    Attributes:
        path: the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def create(cls, out: Path, stem: str, name: str | None = None) -> RunFolder:
        """A new folder in ``out``, named ``name``, else for the time and ``stem``.

        Raises:
            RunError: E921, it cannot be made.
        """
        tries = 1_000 if name is None else 2  # a name that was given is taken as it is
        name = folder_name(stem) if name is None else name
        with _told(out, ""):
            out.mkdir(parents=True, exist_ok=True)
            for number in range(1, tries):
                path = out / (name if number == 1 else f"{name}-{number}")
                with contextlib.suppress(FileExistsError):
                    path.mkdir()
                    (path / "checkpoints").mkdir()
                    return cls(path)
        many = "there are a thousand runs of this name"
        raise _unwritable(out, many if tries > 2 else f"'{name}' is there already")

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def write(self, name: str, content: str | bytes) -> None:
        """Put a file in place as a whole; the old one stays if that fails.

        Raises:
            RunError: E921, it cannot be written.
        """
        data = content.encode() if isinstance(content, str) else content
        with _told(self / name), self.replacing(name) as file:
            file.write(data)

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[IO[bytes]]:
        """A file that takes the place of ``name`` at the end, if nothing fails before."""
        place = self / name
        temporary = place.with_name(f".{place.name}.{uuid4().hex[:8]}")
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, place)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def write_json(self, name: str, data: object) -> None:
        """As ``write``, of plain data."""
        self.write(name, json.dumps(data, indent=2) + "\n")

    def read_json(self, name: str) -> dict[str, Any]:
        """A mapping that ``write_json`` wrote.

        Raises:
            RunError: E920, it is not there, or something else.
        """
        try:
            found = json.loads(self.read(name))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise RunError(Problem("E920", f"{self / name}: not what a run writes"))
        return found

    def read(self, name: str) -> str:
        """A text.

        Raises:
            RunError: E920, it is not there, or no text.
        """
        place = self / name
        try:
            if place.stat().st_size > _MOST_BYTES:
                raise RunError(Problem("E920", f"{place}: too large"))
            return place.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
            raise RunError(Problem("E920", f"{place}: {reason}")) from None

    def append(self, name: str, lines: list[str]) -> None:
        """Add whole lines to a text.

        Raises:
            RunError: E921, it cannot be written.
        """
        with _told(self / name), open(self / name, "ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def keep_lines(self, name: str, count: int) -> None:
        """Cut a text after so many lines."""
        if (self / name).is_file():
            lines = self.read(name).splitlines(keepends=True)
            self.write(name, "".join(lines[:count]))

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """While this holds, no other process can go on with the run; the file says which it is.

        Raises:
            RunError: E920, another process does.
        """
        with _told(self.path):
            file = open(self / LOCK, "ab")  # noqa: SIM115 (closed below)
        with file:
            if not _acquired_soon(file):
                raise RunError(Problem("E920", f"{self.path}: another process is at it"))
            with contextlib.suppress(OSError):  # on a full disk nobody learns who holds it
                file.truncate(0)
                file.write(b"%d\n" % os.getpid())
                file.flush()
            yield

    @property
    def is_held(self) -> bool:
        """Whether a process is at it."""
        try:
            with open(self / LOCK, "rb") as file:
                return not _acquired(file, shared=True)
        except OSError:
            return False


def _acquired_soon(file: IO[bytes]) -> bool:
    """Who looks whether a run is held keeps it from being held, for a moment."""
    for _ in range(_TRIES):
        if _acquired(file):
            return True
        time.sleep(_PAUSE)
    return False


def _acquired(file: IO[bytes], *, shared: bool = False) -> bool:
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def folder_name(stem: str) -> str:
    """A name for a run's folder that begins now."""
    return f"{datetime.now():%Y%m%d-%H%M%S}-{_plain(stem)}"


def check_name(out: Path, name: str) -> None:
    """Whether a run's folder can have a name.

    Raises:
        UsageError: E801, it cannot, or there is one.
    """
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:  # pyright: ignore[reportUnnecessaryIsInstance]
        hint = "letters, digits, '.', '_' and '-', at most 120, the first a letter or digit"
        raise UsageError(Problem("E801", f"no name for a run's folder: {name!r}", hint=hint))
    if os.path.lexists(out / name):
        hint = "another name, or 'archspec resume' to go on with a run"
        raise UsageError(Problem("E801", f"{out / name}: is there already", hint=hint))


def _plain(stem: str) -> str:
    """Of letters, digits, dots and lines, and not long: a plan may be patterns, a name anything."""
    return re.sub(r"[^A-Za-z0-9._]+", "-", stem).strip("-.")[:80] or "run"


def lines_of(metrics: str) -> list[Mapping[str, Any]]:
    """The lines of ``metrics.jsonl``; one that was cut off at the end is left out."""
    found: list[Mapping[str, Any]] = []
    for line in metrics.splitlines():
        with contextlib.suppress(ValueError, RecursionError):
            data = json.loads(line)
            if isinstance(data, dict):
                found.append(data)
    return found


_SAVED = "what was saved before is still there: 'archspec resume' goes on from it"


@contextlib.contextmanager
def _told(place: Path, hint: str = _SAVED) -> Iterator[None]:
    try:
        yield
    except ValueError as error:  # a NUL character, or half of one that UTF-8 has no bytes for
        raise _unwritable(place, str(error)) from None
    except OSError as error:
        raise _unwritable(place, error.strerror or str(error), hint) from None


def _unwritable(place: Path, reason: str, hint: str = "") -> RunError:
    return RunError(Problem("E921", f"{place}: cannot be written: {reason}", hint=hint))
