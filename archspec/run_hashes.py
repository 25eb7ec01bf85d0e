"""The hashes of the files in a run's folder, which are checked before a file is read.

The hash of a new file is added before the file is replaced: for a moment a name has two, and what a
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
_MAX_BYTES = 10_000_000
_ATTEMPTS = 10  # while a running process replaces files

Hashes = Mapping[str, list[str]]


def digest(file: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def read(folder: Path) -> dict[str, list[str]]:
    """File name → its valid hashes.

    Raises:
        RunError: E920, the file of hashes is missing or invalid.
    """
    path = folder / HASHES
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise ValueError
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        message = f"{path}: is gone: nothing tells whether the run's files are whole"
        hint = "put it back; or copy the weights to another folder, to use them unchecked"
        raise RunError(Problem("E920", message, hint=hint)) from None
    except OSError as error:
        raise RunError(Problem("E920", f"{path}: {error.strerror}")) from None
    except (ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not all(map(_is_text_list, cast("Any", content).values())):
        raise RunError(Problem("E920", f"{path}: not what a run writes"))
    return cast("dict[str, list[str]]", content)


def write(folder: Path, hashes: Hashes) -> None:
    """Write the hashes; raises OSError if that fails, the old ones are then unchanged."""
    storage.write(folder / HASHES, json.dumps(hashes, indent=2) + "\n")


def note(folder: Path, name: str, new: str) -> None:
    """Add the hash of a file that is about to be replaced; raises as ``read`` and ``write``."""
    hashes = read(folder) if (folder / HASHES).is_file() else {}
    write(folder, {**hashes, name: [*hashes.get(name, [ABSENT])[-1:], new]})


def settle(folder: Path, name: str) -> None:
    """Keep only the last hash of a file that was replaced; raises as ``read`` and ``write``."""
    hashes = read(folder)
    write(folder, {**hashes, name: hashes[name][-1:]})


def check(folder: Path, names: Iterable[str] | None = None) -> dict[str, str]:
    """Check that files are as the run wrote them: not damaged, edited, removed or added.

    Args:
        folder: of the run, which may be running.
        names: of the files. Default: all that have a hash.

    Returns:
        Name → hash of the file.

    Raises:
        RunError: E920, each file that is not.
    """
    files, previous, problems = (
        list(read(folder) if names is None else names),
        None,
        list[Problem](),
    )
    for _ in range(_ATTEMPTS):
        actual = {name: _digest_of(folder, name) for name in files}
        expected = read(folder)
        wrong = [
            name
            for name, digest_found in actual.items()
            if digest_found not in expected.get(name, [ABSENT])
        ]
        problems = [_problem(folder / name, actual[name], name in expected) for name in wrong]
        if not problems:
            return actual
        if (actual, expected) == previous:  # no process is changing it
            break
        previous = actual, expected
    raise RunError(problems)


def check_weights(file: Path) -> None:
    """Check a file of weights, if a run wrote it; raises as ``check``."""
    name = f"{file.absolute().parent.name}/{file.name}"
    if (folder := run_of(file)) is not None and name in read(folder):
        check(folder, [name])


def run_of(file: Path) -> Path | None:
    """The folder of the run that a file of weights belongs to; None if there is none."""
    folder = file.absolute().parent.parent
    if (folder / HASHES).is_file() and file.parent.name == "checkpoints":
        return folder  # whatever else of it is gone
    return folder if (folder / FACTS).is_file() and (folder / SPEC).is_file() else None


def _digest_of(folder: Path, name: str) -> str:
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


def _is_text_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(x, str) for x in cast("list[Any]", value))
