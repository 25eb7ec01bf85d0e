"""The folder of a run: its files, which are replaced atomically, its hashes and its lock."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from archspec import run_hashes, storage
from archspec.errors import Problem, RunError, UsageError
from archspec.file_lock import holder, locked, write_holder
from archspec.report.text import first_line

SPEC, FACTS, HASHES = run_hashes.SPEC, run_hashes.FACTS, run_hashes.HASHES
SOURCE, FREEZE = "model.py", "freeze.json"
METRICS, CURVES, LOG, LOCK = "metrics.jsonl", "curves.svg", "train.log", ".lock"
REPORT, PAGE = "report.json", "report.md"
BEST, LAST = "checkpoints/best.safetensors", "checkpoints/last.safetensors"
STATE = "checkpoints/resume.pt"
_UNHASHED = {METRICS, SOURCE, PAGE}  # grows by lines, or is only looked at, as pictures are
_MAX_BYTES = 1_000_000_000  # of a text file that is read back
_OLDER_LEFTOVER = re.compile(r"\.[0-9a-f]{8}")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}", re.ASCII)


class RunFolder:
    """The files of one run.

    Whatever is read from it has its hash in ``hashes.json``, so that a damaged file is noticed and
    does not lead to another result.

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
        tries = 1_000 if name is None else 2  # a given name is not changed
        name = folder_name(stem) if name is None else name
        with _explained(out, ""):
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
        with self._explained(name), self.replacing(name) as place:
            place.write_bytes(data)

    @contextlib.contextmanager
    def replacing(self, name: str) -> Iterator[Path]:
        """Where to write what takes the place of ``name`` at the end, if nothing fails before.

        Raises:
            RunError: E921, it cannot be put in its place.
        """
        temporary = storage.temporary_path(self / name)
        try:
            yield temporary
            with self._explained(name):
                with open(temporary, "rb+") as file:
                    storage.sync(file)
                if name in _UNHASHED or name.endswith(".svg"):
                    storage.replace(temporary, self / name)
                    return
                run_hashes.note(self.path, name, run_hashes.digest(temporary))
                storage.replace(temporary, self / name)
                with contextlib.suppress(OSError):  # then both hashes stay
                    run_hashes.settle(self.path, name)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def check(self) -> None:
        """Whether the files that resuming reads are as the run wrote them.

        Only for who holds the folder: what killed processes were writing is removed.

        Raises:
            RunError: E920, each file that was damaged, changed or is gone.
        """
        for folder in (self.path, self / "checkpoints"):
            storage.remove_unfinished(folder, age=0)
        found = run_hashes.check(self.path)
        self._remove_older_leftovers(found)
        with self._explained(HASHES):
            run_hashes.write(self.path, {name: [one] for name, one in found.items()})

    def _remove_older_leftovers(self, names: Iterable[str]) -> None:
        """Unfinished files as they were called once: ``.resume.pt.1a2b3c4d``."""
        for place in map(self.path.joinpath, names):
            for file in place.parent.glob(f".{glob.escape(place.name)}.*"):
                if _OLDER_LEFTOVER.fullmatch(file.suffix):
                    with contextlib.suppress(OSError):
                        file.unlink()

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
            if place.stat().st_size > _MAX_BYTES:
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
        with self._explained(name), open(self / name, "ab") as file:
            file.write("".join(f"{line}\n" for line in lines).encode())

    def keep_lines(self, name: str, count: int) -> None:
        """Cut a text after so many lines."""
        if (self / name).is_file():
            lines = self.read(name).splitlines(keepends=True)
            self.write(name, "".join(lines[:count]))

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run: no other process can continue it. The lock file has the process id.

        Raises:
            RunError: E920, another process does.
        """
        with contextlib.ExitStack() as stack:
            with self._explained():
                file = stack.enter_context(locked(self / LOCK))
            if file is None:
                raise RunError(Problem("E920", f"{self.path}: another process has it open"))
            write_holder(file, os.getpid())
            yield

    def unwritable(self, name: str, error: BaseException) -> RunError:
        """E921: a file cannot be written."""
        reason = (error.strerror if isinstance(error, OSError) else None) or first_line(error)
        return _unwritable(self / name, reason, self._way_on)

    @property
    def _way_on(self) -> str:
        if (self / STATE).is_file():
            return "what was saved before is still there: 'archspec resume' goes on from it"
        return "nothing was saved yet: make room, or write elsewhere: output_dir= (--output-dir)"

    def _explained(self, name: str = "") -> contextlib.AbstractContextManager[None]:
        return _explained(self / name, self._way_on)

    @property
    def is_locked(self) -> bool:
        """Whether a process has the lock."""
        return holder(self / LOCK) is not None


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
    """At most 80 letters, digits, dots and hyphens: a plan may be patterns, a name anything."""
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


@contextlib.contextmanager
def _explained(place: Path, hint: str) -> Iterator[None]:
    """Turn the system's errors about a path into ours."""
    try:
        yield
    except ValueError as error:  # a NUL character, or half of one that UTF-8 has no bytes for
        raise _unwritable(place, str(error)) from None
    except OSError as error:
        raise _unwritable(place, error.strerror or str(error), hint) from None


def _unwritable(place: Path, reason: str, hint: str = "") -> RunError:
    return RunError(Problem("E921", f"{place}: cannot be written: {reason}", hint=hint))


_Count = Annotated[int, Field(ge=0)]
_Files = str | list[str]


class _Record(BaseModel):
    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Weights(_Record):
    files: list[str] = []
    fresh: list[str] = []


class _Data(_Record):
    source: _Files | dict[str, _Files] | None = None
    fingerprint: str = ""
    counts: dict[str, _Count] = {}
    bad: list[str] = []
    tokens: dict[str, Any] | None = None


class _Tracking(_Record):
    service: str = ""
    id: str = ""


class _Computing(_Record):
    samples: _Count
    of: _Count
    seconds: Annotated[float, Field(ge=0)]


class _Evaluating(_Computing):
    split: str


class RunRecord(_Record):
    """What runs write; a file may say less, and what else it says is not read.

    The options are checked when they are used, as ``TrainOptions``.
    """

    spec: str = ""
    model: str = ""
    plan: str = ""
    epochs: _Count = 0
    seed: _Count = 0
    labels: list[str] = []
    parameters: _Count = 0
    trainable: _Count | None = None
    options: dict[str, Any] = {}
    loss: str | None = None
    data: _Data = _Data()
    weights: _Weights = _Weights()
    tracking: _Tracking | None = None
    versions: dict[str, str] = {}
    threads: _Count = 0
    started: str = ""
    ended: str | None = None
    ended_by: str | None = None
    seconds: Annotated[float, Field(ge=0)] = 0.0
    resumed: list[str] = []
    computing: _Computing | None = None
    evaluating: _Evaluating | None = None
    error: str | None = None
    metrics_hash: str | None = None


def check_record(facts: Mapping[str, Any], place: Path) -> None:
    """Whether what a file says has the shape of what runs write.

    Raises:
        RunError: E920, everything that has not.
    """
    try:
        RunRecord.model_validate(facts)
    except ValidationError as error:
        names = {".".join(_fields(one["loc"])): None for one in error.errors(include_url=False)}
        raise RunError(
            [Problem("E920", f"{place}: {name} is not what a run writes") for name in names]
        ) from None


def _fields(location: tuple[int | str, ...]) -> list[str]:
    """The names of a location, without what is inside a field: ``("data", "bad", 0)``."""
    depth = 2 if location[0] in ("data", "weights", "tracking") else 1
    return [str(part) for part in location[:depth]]
