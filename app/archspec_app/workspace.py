"""The folder that the page works in: nothing outside it is read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from archspec import storage
from archspec.errors import Note, Place, Problem, UsageError
from archspec.lang.packaged import packaged_folder, packaged_specs
from archspec.lang.yaml import MAX_BYTES

MAX_LISTED = 500
MAX_PATH = 1_000  # characters
MAX_ENTRIES = 20_000
MAX_DEPTH = 4  # folders
MAX_NAME = 200  # bytes of one part of a path; file systems take 255
SUFFIXES = (".yaml", ".yml")
SKIPPED = frozenset({"node_modules", "__pycache__", "runs", "site-packages"})


class Workspace:
    """The specs in a folder and the packaged ones, by names that are safe to show.

    Args:
        folder: that the page works in.
        first: the spec that a page opens with: packaged, or relative to the folder; None to let
            the visitor choose.
    """

    def __init__(self, folder: Path, first: str | None = None) -> None:
        self.folder, self.first = Path(os.path.realpath(folder)), first

    def names(self) -> list[str]:
        """The specs that can be opened: paths relative to the folder, then packaged names."""
        paths = islice(files_below(self.folder, SUFFIXES), MAX_LISTED)
        names = sorted(path.relative_to(self.folder).as_posix() for path in paths)
        return [*names, *packaged_specs()]

    def read(self, name: str) -> str:
        """The text of a spec.

        Raises:
            UsageError: E801, there is no such spec, or it is not UTF-8 text.
        """
        path = packaged_specs().get(name) or self._spec_file(name)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise UsageError(Problem("E801", f"{name}: more than {MAX_BYTES:,} bytes"))
            return data.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            raise UsageError(Problem("E801", f"{name}: no such file, or not UTF-8 text")) from None

    def save(self, name: str, text: str, *, opened: str | None) -> str:
        """Write a spec's text; returns the name of its file.

        Args:
            name: relative to the folder; ``.yaml`` is added where it is missing.
            text: UTF-8.
            opened: the content of the file when it was opened; None for a new file, which
                must not exist yet.

        Raises:
            UsageError: E801, the name leads out of the folder, the file exists or was changed
                since, or it cannot be written.
        """
        name = name if name.endswith(SUFFIXES) else f"{name}.yaml"
        path = self._spec_file(name)
        if path.exists() and (opened is None or self.read(name) != opened):
            hint = "save under another name" if opened is None else "open it again first"
            why = "this file exists" if opened is None else "changed since it was opened"
            raise UsageError(Problem("E801", f"{name}: {why}", hint=hint))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.write(path, text)
        except (OSError, UnicodeEncodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UsageError(Problem("E801", f"{name}: cannot be written: {reason}")) from None
        return name

    def folder_of(self, name: str) -> Path:
        """The folder that the paths in a spec's ``extends`` are relative to."""
        return self.folder if name in packaged_specs() else self._spec_file(name).parent

    def _spec_file(self, name: str) -> Path:
        if not name.endswith(SUFFIXES) or any(part.startswith(".") for part in name.split("/")):
            raise _refused(name)
        return inside(self.folder, name)


def inside(folder: Path, name: object, *, must_exist: bool = False) -> Path:
    """The file or folder that an untrusted name stands for.

    Args:
        folder: that it must lie in.
        name: relative to it, with slashes.
        must_exist: whether a missing file is an error.

    Raises:
        UsageError: E801, it leads out of the folder, also by a link, or does not exist.
    """
    # A printable text can be encoded: a lone surrogate is not printable.
    parts = name.split("/") if isinstance(name, str) and name.isprintable() else [".."]
    text = "/".join(parts)
    if ".." in parts or "\\" in text or os.path.isabs(text) or not 0 < len(text) <= MAX_PATH:
        raise _refused(name)
    if any(len(part.encode()) > MAX_NAME for part in parts):
        raise _refused(name)
    path = folder / text
    real, top = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    if not real.is_relative_to(top) or real == top:
        raise _refused(name)
    if must_exist and not real.exists():
        raise UsageError(Problem("E801", f"{text}: no such file in the folder"))
    return path


def refuse_links_out(folder: Path, path: Path) -> None:
    """Check everything below a path that will be read as a whole.

    Args:
        folder: that the page works in.
        path: a file or folder in it.

    Raises:
        UsageError: E801, a link below ``path`` leads out of ``folder``.
    """
    top = Path(os.path.realpath(folder))
    for parent, folders, files in os.walk(path):
        for entry in (Path(parent, name) for name in (*folders, *files)):
            if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(top):
                name = entry.relative_to(path).as_posix()
                hint = "replace the link by the file itself"
                message = f"{name!r:.200} is a link that leads out of the folder of this page"
                raise UsageError(Problem("E801", message, hint=hint))


def files_below(folder: Path, suffixes: tuple[str, ...] = ("",)) -> Iterator[Path]:
    """Files below a folder, the nearest first, without hidden ones; links are not followed."""
    level, remaining = [folder], MAX_ENTRIES
    for _ in range(MAX_DEPTH):
        below: list[Path] = []
        for entry in (entry for place in level for entry in entries_of(place)):
            remaining -= 1
            if remaining < 0:
                return
            if entry.is_dir(follow_symlinks=False):
                below.append(Path(entry.path))
            elif entry.name.endswith(suffixes) and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
        level = below


def entries_of(place: Path) -> list[os.DirEntry[str]]:
    """The entries of a folder that are not hidden, by name; none if it cannot be read."""
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return []
    return [e for e in entries if not e.name.startswith((".", "_")) and e.name not in SKIPPED]


def without_paths(problem: Problem, folder: Path) -> Problem:
    """The same problem without the path of the folder on this machine."""

    def strip(text: str) -> str:
        for place in (str(folder), str(packaged_folder())):
            text = text.replace(place + os.sep, "").replace(place, ".")
        return text

    def strip_place(place: Place | None) -> Place | None:
        return replace(place, file=strip(place.file)) if place else None

    notes = tuple(Note(strip(note.message), strip_place(note.place)) for note in problem.notes)
    texts = {"message": strip(problem.message), "hint": strip(problem.hint)}
    return replace(problem, place=strip_place(problem.place), notes=notes, **texts)


def _refused(name: object) -> UsageError:
    message = f"{name!r:.200} is not a name inside the folder of this page"
    return UsageError(
        Problem("E801", message, hint="names are relative to it, like part/file.yaml")
    )
