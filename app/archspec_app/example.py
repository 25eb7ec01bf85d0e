"""The example that comes with the page: a small spec, its data, and a folder to try them in."""

from __future__ import annotations

from pathlib import Path

from archspec import storage
from archspec.errors import Problem, UsageError

FOLDER = "archspec-example"
SPEC, DATA = f"{FOLDER}/topics.yaml", f"{FOLDER}/topics"
OPTIONS = {"data": DATA, "epochs": "4", "learning_rate": "0.005"}
"""What the tab Train starts with."""
TOKENIZER = f"{FOLDER}/vocab.txt"
TASK = "text-classification"
"""What its data are for."""
ABOUT = (
    "2,400 definitions from WordNet 3.0 in 8 topics, and 400 to test on; free to use with the "
    f"notice in {FOLDER}/LICENSE."
)

_FILES = ("topics.yaml", "vocab.txt", "topics/train.csv", "topics/test.csv", "LICENSE")
_SOURCE = Path(__file__).parent / "example"


def write_example(folder: Path) -> list[str]:
    """Copy the files of the example that are missing; those that are there stay as they are.

    Args:
        folder: that the page works in.

    Returns:
        The names of the files that were written.

    Raises:
        UsageError: E801, a file cannot be written.
    """
    written: list[str] = []
    for name in _FILES:
        target = folder / FOLDER / name
        if target.exists():
            continue
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.resolve().is_relative_to(folder.resolve()):
                raise UsageError(
                    Problem("E801", f"{FOLDER} is a link that leads out of the folder")
                )
            storage.write(target, (_SOURCE / name).read_text(encoding="utf-8"))
        except OSError as error:
            reason = error.strerror or "no access"
            message = f"the example cannot be written to {FOLDER}: {reason}"
            hint = "start the inspector in a folder that you may write to"
            raise UsageError(Problem("E801", message, hint=hint)) from None
        written.append(f"{FOLDER}/{name}")
    return written
