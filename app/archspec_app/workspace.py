"""The folder that the page was started in: nothing outside it is read or written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from archspec.errors import Problem, UsageError
from archspec.extends import packaged_folder, packaged_names
from archspec.source import MAX_BYTES

MOST_LISTED = 500
DEEPEST = 4
SUFFIXES = (".yaml", ".yml")
_SKIPPED = frozenset({"node_modules", "__pycache__", "runs", "site-packages"})


class Workspace:
    """Specs below one folder, and the packaged ones, by names that are safe to show.

    Args:
        folder: where the page was started.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(os.path.realpath(folder))

    def names(self) -> list[str]:
        """The specs that can be opened: paths relative to the folder, then packaged names."""
        found: list[str] = []
        for path in self._files():
            if len(found) == MOST_LISTED:
                break
            found.append(path.relative_to(self.folder).as_posix())
        return [*sorted(found), *packaged_names()]

    def inside(self, name: str) -> Path:
        """The file or folder of a name that comes from outside.

        Raises:
            UsageError: E801, it leads out of the folder, links followed.
        """
        if not name or "\0" in name or os.path.isabs(name) or "\\" in name:
            raise _refused(name)
        path = self.folder / name
        try:
            real = Path(os.path.realpath(path))
        except OSError:
            raise _refused(name) from None
        if not real.is_relative_to(self.folder) or real == self.folder:
            raise _refused(name)
        return path

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
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(text, encoding="utf-8", newline="")
            os.replace(temporary, path)
        except (OSError, UnicodeEncodeError) as error:
            temporary.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or "not UTF-8"
            raise UsageError(Problem("E801", f"{name}: cannot be written: {reason}")) from None
        return name

    def folder_of(self, name: str) -> Path:
        """Where the text of a name may look for the files that it extends."""
        return self.folder if name in packaged_names() else self._spec_file(name).parent

    def _spec_file(self, name: str) -> Path:
        if not name.endswith(SUFFIXES) or any(p.startswith(".") for p in name.split("/")):
            raise _refused(name)
        return self.inside(name)

    def _files(self) -> Iterator[Path]:
        level = [self.folder]
        for _ in range(DEEPEST):
            below: list[Path] = []
            for folder in level:
                try:
                    entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
                except OSError:
                    continue
                for entry in entries:
                    if entry.name.startswith((".", "_")) or entry.name in _SKIPPED:
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        below.append(Path(entry.path))
                    elif entry.name.endswith(SUFFIXES) and entry.is_file(follow_symlinks=False):
                        yield Path(entry.path)
            level = below


def _refused(name: str) -> UsageError:
    message = f"{name or 'no name'}: not a name inside the folder of this page"
    return UsageError(Problem("E801", message, hint="a spec's name is like folder/model.yaml"))
