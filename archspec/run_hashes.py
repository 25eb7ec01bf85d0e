"""The hashes that a run's folder keeps of its files: whoever reads one of them checks it first.

The hash of a new file is noted before the file is in place: for a moment a name has two, and what a
killed process leaves behind has one of them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from archspec import storage
from archspec.errors import Problem, RunError

HASHES, FACTS, SPEC = "hashes.json", "run.json", "spec.yaml"
ABSENT = ""  # the hash of no file
_MOST_BYTES = 10_000_000
_LOOKS = 10  # at files that a run under way replaces meanwhile

Hashes = Mapping[str, list[str]]


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read(folder: Path) -> dict[str, list[str]]:
    """File name → the hashes that it may have.

    Raises:
        RunError: E920, they are gone, or something else.
    """
    place = folder / HASHES
    try:
        if place.stat().st_size > _MOST_BYTES:
            raise ValueError
        found = json.loads(place.read_bytes())
    except FileNotFoundError:
        message = f"{place}: is gone: nothing tells whether the run's files are whole"
        hint = "put it back; or copy the weights to another folder, to use them unchecked"
        raise RunError(Problem("E920", message, hint=hint)) from None
    except OSError as error:
        raise RunError(Problem("E920", f"{place}: {error.strerror}")) from None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(map(_is_texts, cast("Any", found).values())):
        raise RunError(Problem("E920", f"{place}: not what a run writes"))
    return cast("dict[str, list[str]]", found)


def write(folder: Path, hashes: Hashes) -> None:
    """Raises OSError: they cannot be written; then the old ones are as they were."""
    storage.write(folder / HASHES, json.dumps(hashes, indent=2) + "\n")


def note(folder: Path, name: str, new: str) -> None:
    """Add the hash of a file that is about to be in place; raises as ``read`` and ``write``."""
    hashes = read(folder) if (folder / HASHES).is_file() else {}
    write(folder, {**hashes, name: [*hashes.get(name, [ABSENT])[-1:], new]})


def settle(folder: Path, name: str) -> None:
    """The file is in place: it has the last hash alone; raises as ``read`` and ``write``."""
    hashes = read(folder)
    write(folder, {**hashes, name: hashes[name][-1:]})


def check(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Whether files are as the run wrote them: neither damaged, nor edited, gone or added.

    Args:
        folder: the run's; it may be under way.
        names: of the files; left out: all that have a hash.

    Returns:
        Name → the hash that was found.

    Raises:
        RunError: E920, each file that is not.
    """
    asked, before, problems = list(read(folder) if names is None else names), None, list[Problem]()
    for _ in range(_LOOKS):
        found = {name: _found(folder, name) for name in asked}
        known = read(folder)
        wrong = [name for name, one in found.items() if one not in known.get(name, [ABSENT])]
        problems = [_problem(folder / name, found[name], name in known) for name in wrong]
        if not problems:
            return found
        if (found, known) == before:  # nobody is at it
            break
        before = found, known
    raise RunError(problems)


def check_weights(file: Path) -> None:
    """The same of a file of weights, if a run wrote it; raises as ``check``."""
    name = f"{file.absolute().parent.name}/{file.name}"
    if (folder := run_of(file)) is not None and name in read(folder):
        check(folder, [name])


def run_of(file: Path) -> Path | None:
    """The folder of the run that a file of weights is in; None if it is no run's."""
    folder = file.absolute().parent.parent
    return folder if (folder / FACTS).is_file() and (folder / SPEC).is_file() else None


def _found(folder: Path, name: str) -> str:
    try:
        return digest(folder / name)
    except (FileNotFoundError, NotADirectoryError):
        return ABSENT
    except OSError as error:
        raise RunError(Problem("E920", f"{folder / name}: {error.strerror}")) from None


def _problem(file: Path, found: str, is_known: bool) -> Problem:
    if not is_known:
        hint = "move it elsewhere: it would change what the run's model says"
        return Problem("E920", f"{file}: is not the run's", hint=hint)
    what = "is gone" if found == ABSENT else "is not as the run wrote it"
    return Problem("E920", f"{file}: {what}", hint="put back a copy of the file, or train anew")


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(x, str) for x in cast("list[Any]", value))
