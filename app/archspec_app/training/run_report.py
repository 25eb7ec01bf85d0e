"""The report of a finished run for the page: figures, classes, confusions, mistakes.

All of it comes from files of the run's folder. They may be truncated, of any size, or not written
by a run at all, so every value is checked, and what is not as a run writes it is left out.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from archspec.data.splitting import split_word
from archspec.data.thumbnail import thumbnail
from archspec.errors import ArchspecError, Problem, UsageError
from archspec.report.text import printable, shortened
from archspec.tasks.figures import FIGURES
from archspec.training.run_folder import PAGE, REPORT
from archspec_app.training.job_status import RUNS, Job, read_bytes
from archspec_app.training.jobs import Jobs
from archspec_app.training.metric_points import number
from archspec_app.workspace import entries_of, inside

MAX_BYTES = 40_000_000  # of report.json; a thousand classes take 13 MB
MAX_METRICS = 200_000_000  # bytes of metrics.jsonl that are searched
MAX_LINE = 20_000_000  # bytes of one of its lines
MAX_CLASSES = 1_000
MAX_MATRIX = 100  # classes of a confusion matrix that is shown whole
MAX_CONFUSIONS = 20
MAX_MISTAKES = 20
MAX_LABEL, MAX_TEXT = 200, 300  # characters
MAX_IMAGE = 10_000_000  # bytes of a file
MAX_PICTURE = 100_000  # characters of a picture in the report
_MAX_SECONDS = 2.0  # for the pictures of one answer
_SPLITS = ("validation", "test")
_COLUMNS = ("iou", "precision", "recall", "f1", "support", "pixels")


def report_of(jobs: Jobs, key: str, split: str = "") -> dict[str, Any]:
    """What the best weights of a run do, as plain data.

    Args:
        jobs: the runs of the page's folder.
        key: of the run.
        split: ``validation`` or ``test``, of which everything is wanted; by default the test.

    Returns:
        - ``splits``: for each its ``name``, ``count`` and ``figures``, as ``FIGURES`` names them;
        - ``split``: the one that all else is of; ``unit``: ``rows``, ``words`` or ``pixels``;
        - ``columns`` of ``classes``, each with ``label`` and numbers, and ``omitted``, how many
          more classes there are;
        - ``confusion``: None, or ``labels`` and ``counts``, a row for each true label;
        - ``confusions``: the most frequent, with ``label``, ``predicted`` and ``count``;
        - ``mistakes``: with ``row``, ``texts``, ``is_image``, ``image`` (base64, or None),
          ``label``, ``probability``, and ``predicted`` or ``has_it``;
        - ``calibration``: None, or ``temperature``, ``error``, ``calibrated``, ``thresholds``,
          ``f1`` at the threshold 0.5, and ``best_f1`` at those;
        - ``not_finite``: how many rows are left out;
        - ``file``: where all of it is; ``problem``: why there is no more, or "".

    Raises:
        UsageError: E801, there is no such run, or ``split`` is none.
    """
    job = jobs.known(key)
    if split not in ("", *_SPLITS):
        raise UsageError(Problem("E801", f"no split is called {split!r:.100}"))
    report, problem = _read_report(job)
    kept = report or _from_metrics(job)
    found = kept.get("splits")
    splits = {
        name: one
        for name in _SPLITS
        if isinstance(found, Mapping) and isinstance(one := found.get(name), Mapping)
    }
    chosen = split if split in splits else next(reversed(splits), "")
    content = splits.get(chosen, {})
    labels = _labels(kept.get("labels"))
    unit = kept.get("unit")
    return {
        "splits": [
            {"name": name, "count": number(one.get("count")), "figures": _figures(one)}
            for name, one in splits.items()
        ],
        "split": chosen,
        "unit": unit if unit in ("words", "pixels") else "rows",
        **_classes(content.get("classes")),
        **_confusion(labels, content.get("confusion")),
        "mistakes": _mistakes(jobs, job, chosen, content.get("mistakes")),
        "calibration": _calibration(kept, content),
        "not_finite": number(content.get("not_finite")) or 0,
        "file": f"{RUNS}/{key}/{PAGE}" if report else "",
        "problem": problem,
    }


def _read_report(job: Job) -> tuple[Mapping[str, Any] | None, str]:
    """What ``report.json`` says, and what is wrong with it."""
    file, name = job.run / REPORT, f"{RUNS}/{job.key}/{REPORT}"
    if not os.path.lexists(file):
        return None, ""
    content = read_bytes(file, MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        return None, f"{name} is too large to be shown here"
    try:
        data = json.loads(content)
    except (ValueError, RecursionError):
        data = None
    return (data, "") if isinstance(data, dict) else (None, f"{name} is not what a run writes")


# ------------------------------------------------------------------------------ without report.json


def _from_metrics(job: Job) -> Mapping[str, Any]:
    """The scores of the best epoch and of the test, in the form of ``report.json``."""
    best, test = _last_scores(job.metrics)
    splits: dict[str, Any] = {}
    for name, line in (("validation", best), ("test", test)):
        if line is not None and _figures(line):
            tags = line.get("labels")
            classes = _tables(tags) + _tables(line.get("entities"), "entity: ")
            splits[name] = {**line, "classes": classes}
    return {"splits": splits, "unit": "words" if any(map(_has_tags, splits.values())) else "rows"}


def _has_tags(split: Mapping[str, Any]) -> bool:
    return bool(split["classes"])


def _tables(content: object, prefix: str = "") -> list[dict[str, Any]]:
    """What a line says of each tag, or of each type of entity."""
    if not isinstance(content, Mapping):
        return []
    return [
        {"label": f"{prefix}{name}", **one}
        for name, one in content.items()
        if isinstance(one, Mapping)
    ]


def _last_scores(file: Path) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The lines of the best epoch and of the test."""
    best = test = b""
    for line in _long_lines(file):
        if line.startswith(b'{"kind": "test"'):
            test = line
        elif line.startswith(b'{"kind": "epoch"') and b'"best": true' in line:
            best = line
    return _mapping(best), _mapping(test)


def _long_lines(file: Path) -> Iterator[bytes]:
    """The lines of a regular file, up to a number of bytes; too long ones are left out."""
    with contextlib.suppress(OSError):
        if file.is_symlink() or not file.is_file():
            return
        with open(file, "rb") as stream:
            while stream.tell() < MAX_METRICS and (line := stream.readline(MAX_LINE)):
                if line.endswith(b"\n"):
                    yield line


def _mapping(line: bytes) -> dict[str, Any] | None:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return data if isinstance(data, dict) else None


# --------------------------------------------------------------------------------- checking values


def _figures(split: Mapping[str, Any]) -> dict[str, Any]:
    values = {name: number(split.get(name)) for name in FIGURES if name in split}
    return {name: value for name, value in values.items() if value is not None}


def _labels(content: object) -> list[str]:
    return [_label(one) for one in content] if isinstance(content, list) else []


def _label(value: object) -> str:
    return printable(shortened(value, MAX_LABEL)) if isinstance(value, str) else "?"


def _classes(content: object) -> dict[str, Any]:
    rows = [one for one in content if isinstance(one, Mapping)] if isinstance(content, list) else []
    shown = rows[:MAX_CLASSES]
    columns = [name for name in _COLUMNS if any(name in row for row in shown)]
    classes = [
        {"label": _label(row.get("label")), **{name: number(row.get(name)) for name in columns}}
        for row in shown
    ]
    return {"columns": columns, "classes": classes, "omitted": len(rows) - len(shown)}


def _confusion(labels: list[str], content: object) -> dict[str, Any]:
    """The matrix, if it is not too large, and the most frequent of its confusions."""
    counts = _matrix(content, len(labels))
    if counts is None:
        return {"confusion": None, "confusions": []}
    cells = (
        (count, i, j)
        for i, row in enumerate(counts)
        for j, count in enumerate(row)
        if i != j and count > 0
    )
    most = sorted(cells, key=lambda cell: -cell[0])[:MAX_CONFUSIONS]
    whole = {"labels": labels, "counts": counts} if len(labels) <= MAX_MATRIX else None
    return {
        "confusion": whole,
        "confusions": [
            {"label": labels[i], "predicted": labels[j], "count": count} for count, i, j in most
        ],
    }


def _matrix(content: object, size: int) -> list[list[int]] | None:
    """Rows of as many numbers that are 0 or more; None if it is anything else."""
    if not isinstance(content, list) or not 0 < len(content) == size:
        return None
    for row in content:
        if not isinstance(row, list) or len(row) != size:
            return None
        if not all(type(count) is int and 0 <= count < 2**53 for count in row):
            return None
    return content


def _calibration(report: Mapping[str, Any], split: Mapping[str, Any]) -> dict[str, Any] | None:
    temperature = number(report.get("temperature"))
    if temperature is None:
        return None
    thresholds, f1 = report.get("thresholds"), split.get("f1_at")
    thresholds = thresholds if isinstance(thresholds, Mapping) else {}
    f1 = f1 if isinstance(f1, Mapping) else {}
    few = list(thresholds.items())[:MAX_CLASSES]
    return {
        "temperature": temperature,
        "error": number(split.get("calibration_error")),
        "calibrated": number(split.get("calibrated_error")),
        "thresholds": [{"label": _label(name), "value": number(one)} for name, one in few],
        "f1": number(f1.get("0.5")),
        "best_f1": number(f1.get("best")),
    }


def _mistakes(jobs: Jobs, job: Job, split: str, content: object) -> list[dict[str, Any]]:
    rows = [one for one in content if isinstance(one, Mapping)] if isinstance(content, list) else []
    rows = rows[:MAX_MISTAKES]
    folders = _picture_folders(jobs, job, split) if rows else None
    ends = time.monotonic() + _MAX_SECONDS
    found: list[dict[str, Any]] = []
    for row in rows:
        one: dict[str, Any] = {
            "row": number(row.get("row")),
            "texts": _texts(row.get("input")),
            "image": None,
            "is_image": folders is not None,
            "label": _label(row.get("label")),
            "probability": number(row.get("probability")),
        }
        if "has_it" in row:
            one["has_it"] = row["has_it"] is True
        else:
            one["predicted"] = _label(row.get("predicted"))
        if folders is not None and time.monotonic() < ends:
            one["image"] = _picture(row.get("picture")) or (
                _thumbnail(jobs.folder, folders, row["input"])
                if isinstance(row.get("input"), str)
                else None
            )
        found.append(one)
    return found


def _texts(content: object) -> list[str]:
    texts = content if isinstance(content, list) else [content]
    return [printable(shortened(one, MAX_TEXT)) for one in texts[:2] if isinstance(one, str)]


# ---------------------------------------------------------------------------------------- pictures


def _picture_folders(jobs: Jobs, job: Job, split: str) -> list[Path] | None:
    """The folders that paths of images may be relative to, the likeliest first.

    None of texts; empty for data that are not in the page's folder.
    """
    state = jobs.state(job)
    data = state.facts.get("data") if state is not None and state.facts is not None else None
    columns = data.get("columns") if isinstance(data, Mapping) else None
    if (
        not isinstance(data, Mapping)
        or not isinstance(columns, Mapping)
        or not columns.get("image")
    ):
        return None
    source = data.get("source")
    if not isinstance(source, str):
        return []
    try:
        name = Path(source)
        name = name.relative_to(jobs.folder) if name.is_absolute() else name
        path = inside(jobs.folder, name.as_posix(), must_exist=True)
    except (ArchspecError, ValueError):
        return []
    root = path if path.is_dir() else path.parent
    below = [root / entry.name for entry in entries_of(root) if entry.is_dir()]
    # A split that was taken from the training data has its images there.
    words = (split, "train")
    of_split = [folder for folder in below if split_word(folder.name) in words]
    return [root, *sorted(of_split, key=lambda folder: words.index(split_word(folder.name)))]


def _picture(content: object) -> str | None:
    """The picture that a report has of an image in a table, written anew."""
    if not isinstance(content, str) or not 0 < len(content) <= MAX_PICTURE:
        return None
    try:
        return thumbnail(base64.b64decode(content, validate=True))
    except ValueError:
        return None


def _thumbnail(folder: Path, places: Sequence[Path], name: str) -> str | None:
    """A small picture in base64; None of what cannot be read, or lies outside the folder."""
    for place in places:
        try:
            path = inside(folder, (place / name).relative_to(folder).as_posix(), must_exist=True)
        except (ArchspecError, ValueError):
            continue
        content = read_bytes(Path(os.path.realpath(path)), MAX_IMAGE + 1)
        return thumbnail(content) if 0 < len(content) <= MAX_IMAGE else None
    return None
