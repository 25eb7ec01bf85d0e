"""What the table of runs can do with them: compare, repeat, annotate and delete."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from archspec import storage
from archspec.errors import Problem, UsageError
from archspec_app.training.job_status import MAX_NOTE_BYTES, JobState
from archspec_app.training.jobs import Jobs
from archspec_app.training.metric_points import new_points

MAX_COMPARED = 4
MAX_NOTE = 300
"""Characters of a note."""


def delete_run(jobs: Jobs, key: str) -> None:
    """Delete a run with all its files.

    Raises:
        UsageError: E801, there is no such run, it is active, or its files cannot be deleted.
    """
    job = jobs.known(key)
    with jobs.writing():
        if job.is_held:
            raise _usage("this run is active", "stop it first")
        for folder in (job.run, job.page_folder):
            if folder.exists():
                shutil.rmtree(folder)  # of links, it removes the link


def write_note(jobs: Jobs, key: str, text: str) -> None:
    """Write a note on a run; an empty text removes it.

    Raises:
        UsageError: E801, there is no such run, or the note is too long.
    """
    job = jobs.known(key)
    note = " ".join(text.split())
    if len(note) > MAX_NOTE or len(note.encode()) > MAX_NOTE_BYTES:
        raise _usage(f"a note has at most {MAX_NOTE} characters")
    with jobs.writing():
        if not note:
            job.note.unlink(missing_ok=True)
            return
        job.page_folder.mkdir(exist_ok=True)
        storage.write(job.note, note)


def form_of(jobs: Jobs, key: str) -> dict[str, Any]:
    """The options of a run as they were entered on the page, to start another one.

    Raises:
        UsageError: E801, there is no such run, or it was not started on the page.
    """
    state = jobs.state(jobs.known(key))
    if state is None or not state.form:
        raise _usage("the options of this run are not known", "it was not started on this page")
    return {"options": _plain(state.form), "spec": str(state.record.get("spec") or "")}


def compare_runs(jobs: Jobs, keys: Sequence[str]) -> list[dict[str, Any]]:
    """The curves of runs, and their options.

    Args:
        keys: of two to four runs.

    Returns:
        For each run ``key``, ``steps``, ``epochs``, ``test``, and ``options`` by name.

    Raises:
        UsageError: E801, there is no such run, or they are not two to four.
    """
    if not 2 <= len(set(keys)) == len(keys) <= MAX_COMPARED:
        raise _usage(f"choose 2 to {MAX_COMPARED} different runs")
    compared: list[dict[str, Any]] = []
    for key in keys:
        job = jobs.known(key)
        state, points = jobs.state(job), new_points(job.metrics)
        compared.append({
            "key": key,
            "steps": points.steps,
            "epochs": points.epochs,
            "test": points.test,
            "options": _options(state) if state else {},
        })  # fmt: skip
    return compared


def _options(state: JobState) -> dict[str, Any]:
    """Spec, plan, data, and the options of training, as texts."""
    if state.facts is None:
        return _plain(state.form)
    facts = state.facts
    names = ("spec", "plan", "parameters", "trainable", "loss", "epochs")
    about = {name: facts.get(name) for name in names}
    data = facts.get("data")
    about["data"] = data.get("source") if isinstance(data, Mapping) else None
    options = facts.get("options")
    options = options if isinstance(options, Mapping) else {}
    phases = options.get("phases")
    one_phase = isinstance(phases, list) and len(phases) == 1  # the plan and the epochs say it
    return _plain({**about, **options, "name": None, **({"phases": None} if one_phase else {})})


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    known = (int, float, str, bool)
    return {
        str(name): value if isinstance(value, known) else json.dumps(value)[:MAX_NOTE]
        for name, value in options.items()
        if value is not None
    }


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
