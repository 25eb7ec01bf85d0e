"""The folder that the page was started in: nothing outside it is read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from archspec import storage
from archspec.errors import Note, Place, Problem, UsageError
from archspec.lang.inherit import packaged_folder, packaged_names
from archspec.lang.yaml import MAX_BYTES

MOST_LISTED = 500
MOST_NAME = 1_000  # characters
MOST_ENTRIES = 20_000
DEEPEST = 4  # folders
LONGEST = 200  # bytes of one name; file systems take 255
SUFFIXES = (".yaml", ".yml")
_SKIPPED = frozenset({"node_modules", "__pycache__", "runs", "site-packages"})


class Workspace:
    """Specs below one folder, and the packaged ones, by names that are safe to show.

    Args:
        folder: where the page was started.
        first: the spec that a page opens with: packaged, or relative to the folder.
    """

    def __init__(self, folder: Path, first: str = "bert") -> None:
        self.folder, self.first = Path(os.path.realpath(folder)), first

    def names(self) -> list[str]:
        """The specs that can be opened: paths relative to the folder, then packaged names."""
        found = islice(files_below(self.folder, SUFFIXES), MOST_LISTED)
        names = sorted(path.relative_to(self.folder).as_posix() for path in found)
        return [*names, *packaged_names()]

    def read(self, name: str) -> str:
        """The text of a spec.

        Raises:
            UsageError: E801, there is no such spec, or it cannot be shown as text.
        """
        if name in packaged_names():
            path = packaged_folder() / f"{name}.yaml"
        else:
            path = self._spec_file(name)
        try:
            with path.open("rb") as file:
                data = file.read(MAX_BYTES + 1)
            if len(data) > MAX_BYTES:
                raise UsageError(Problem("E801", f"{name}: more than {MAX_BYTES:,} bytes"))
            return data.decode("utf-8")
        except (OSError, UnicodeDecodeError):
            raise UsageError(Problem("E801", f"{name}: not a text that can be read")) from None

    def save(self, name: str, text: str, *, opened: str | None) -> str:
        """Write a spec's text; returns the name under which it is found.

        Args:
            name: relative to the folder; ``.yaml`` is added where it is missing.
            text: UTF-8.
            opened: what the file said when it was opened; None if it was not: then there
                may be no such file.

        Raises:
            UsageError: E801, the name leads out of the folder, the file is there or was changed
                since, or it cannot be written.
        """
        name = name if name.endswith(SUFFIXES) else f"{name}.yaml"
        path = self._spec_file(name)
        if path.exists() and (opened is None or self.read(name) != opened):
            hint = "save under another name" if opened is None else "open it again first"
            why = "there is such a file" if opened is None else "changed since it was opened"
            raise UsageError(Problem("E801", f"{name}: {why}", hint=hint))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            storage.write(path, text)
        except (OSError, UnicodeEncodeError) as error:
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UsageError(Problem("E801", f"{name}: cannot be written: {reason}")) from None
        return name

    def folder_of(self, name: str) -> Path:
        """Where the text of a name may look for the files that it extends."""
        return self.folder if name in packaged_names() else self._spec_file(name).parent

    def _spec_file(self, name: str) -> Path:
        if not name.endswith(SUFFIXES) or any(p.startswith(".") for p in name.split("/")):
            raise _refused(name)
        return inside(self.folder, name)


def inside(folder: Path, name: object, *, there: bool = False) -> Path:
    """The file or folder of a name that comes from outside.

    Args:
        folder: that it lies in.
        name: relative to it, with slashes.
        there: whether it must exist.

    Raises:
        UsageError: E801, it leads out of the folder, links followed, or is not there.
    """
    # What is printable can be encoded, too: half a character is not.
    parts = name.split("/") if isinstance(name, str) and name.isprintable() else [".."]
    text = "/".join(parts)
    if ".." in parts or "\\" in text or os.path.isabs(text) or not 0 < len(text) <= MOST_NAME:
        raise _refused(name)
    if any(len(part.encode()) > LONGEST for part in parts):
        raise _refused(name)
    path = folder / text
    real, top = Path(os.path.realpath(path)), Path(os.path.realpath(folder))
    if not real.is_relative_to(top) or real == top:
        raise _refused(name)
    if there and not real.exists():
        raise UsageError(Problem("E801", f"{text}: nothing of this name in the folder"))
    return path


def refuse_links_out(folder: Path, path: Path) -> None:
    """Look at everything below a folder that is to be read as a whole.

    Args:
        folder: the page's.
        path: inside it; a file is what it is.

    Raises:
        UsageError: E801, an entry is a link that leads out of ``folder``.
    """
    top = Path(os.path.realpath(folder))
    for place, folders, files in os.walk(path):
        for entry in (Path(place, name) for name in (*folders, *files)):
            if entry.is_symlink() and not Path(os.path.realpath(entry)).is_relative_to(top):
                name = entry.relative_to(path).as_posix()
                hint = "put the file itself there"
                message = f"{name!r:.200} is a link that leads out of the folder of this page"
                raise UsageError(Problem("E801", message, hint=hint))


def files_below(folder: Path, suffixes: tuple[str, ...] = ("",)) -> Iterator[Path]:
    """Files below a folder, the nearest first; links are not followed, nothing hidden is told."""
    level, left = [folder], MOST_ENTRIES
    for _ in range(DEEPEST):
        below: list[Path] = []
        for entry in (entry for place in level for entry in entries_of(place)):
            left -= 1
            if left < 0:
                return
            if entry.is_dir(follow_symlinks=False):
                below.append(Path(entry.path))
            elif entry.name.endswith(suffixes) and entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
        level = below


def entries_of(place: Path) -> list[os.DirEntry[str]]:
    """What is in a folder and not hidden, by name; nothing if it cannot be read."""
    try:
        found = [one for one in os.scandir(place) if _is_shown(one.name)]
    except OSError:
        return []
    return sorted(found, key=lambda one: one.name)


def _is_shown(name: str) -> bool:
    return not name.startswith((".", "_")) and name not in _SKIPPED


def without_paths(problem: Problem, folder: Path) -> Problem:
    """The same problem; where the folder is on this machine is nobody's business."""

    def cut(text: str) -> str:
        for place in (str(folder), str(packaged_folder())):
            text = text.replace(place + os.sep, "").replace(place, ".")
        return text

    def placed(place: Place | None) -> Place | None:
        return replace(place, file=cut(place.file)) if place else None

    notes = tuple(Note(cut(note.message), placed(note.place)) for note in problem.notes)
    texts = {"message": cut(problem.message), "hint": cut(problem.hint)}
    return replace(problem, place=placed(problem.place), notes=notes, **texts)


def _refused(name: object) -> UsageError:
    message = f"{name!r:.200} is not a name inside the folder of this page"
    return UsageError(
        Problem("E801", message, hint="names are relative to it, like part/file.yaml")
    )
