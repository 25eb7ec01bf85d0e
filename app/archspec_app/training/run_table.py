"""What the table of runs can do with them: compare, repeat, rename, annotate and delete."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import archspec
from archspec import storage
from archspec.differences import text_lines
from archspec.differences.text_lines import Line
from archspec.errors import ArchspecError, Problem, UsageError
from archspec.training.run_folder import SPEC, check_name
from archspec_app.training.job_status import JOBS, MAX_NOTE_BYTES, RUNS, Job, JobState
from archspec_app.training.jobs import Jobs
from archspec_app.training.metric_points import new_points
from archspec_app.workspace import without_paths

MAX_COMPARED = 4
MAX_LINES = 200
"""Of the differences between two specs."""
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


def rename_run(jobs: Jobs, key: str, name: str) -> str:
    """Give a run another name, that of its folder; returns the name.

    Raises:
        UsageError: E801, there is no such run, it is active, or it cannot have this name.
    """
    job, runs = jobs.known(key), jobs.folder / RUNS
    name = name.strip()
    if name == key:
        return key
    with jobs.writing():
        if job.is_held:
            raise _usage("this run is active", "stop it first")
        try:
            check_name(runs, name)
        except UsageError as error:
            raise UsageError([without_paths(one, jobs.folder) for one in error.problems]) from None
        moves = [(job.run, runs / name), (job.page_folder, runs / JOBS / name)]
        if any(os.path.lexists(new) for _, new in moves):
            raise _usage(f"there is a run '{name}' already")
        for old, new in moves:
            if old.exists():
                old.rename(new)
    return name


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
            "options": _cleaned(jobs, _options(state)) if state else {},
        })  # fmt: skip
    return compared


def spec_differences(jobs: Jobs, keys: Sequence[str]) -> list[dict[str, Any]]:
    """In what the specs of runs differ from that of the first.

    Returns:
        For each run but the first ``key``, ``lines`` (with ``kind``, ``what`` and ``how``),
        ``omitted``, the number of further lines, and ``error``: "" if both could be read.
    """
    first, *others = [jobs.known(key) for key in keys]
    found: list[dict[str, Any]] = []
    for other in others:
        lines: list[Line] = []
        error = ""
        try:
            diff = archspec.diff(_spec(jobs, first), _spec(jobs, other), levels=("spec",))
            lines = [line for _, section in text_lines.sections(diff) for line in section]
        except ArchspecError as problem:
            error = without_paths(problem.problems[0], jobs.folder).message
        shown = [{"kind": one.kind, "what": one.what, "how": one.how} for one in lines[:MAX_LINES]]
        omitted = max(0, len(lines) - MAX_LINES)
        found.append({"key": other.key, "lines": shown, "omitted": omitted, "error": error})
    return found


def _spec(jobs: Jobs, job: Job) -> archspec.Spec:
    file = job.run / SPEC
    if not file.is_file() or file.is_symlink():
        raise _usage(f"{job.key} has no spec yet")
    return archspec.load(file)


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
    own = {"name": None, "output_dir": None}  # where the run is, which its name says
    return _plain({**about, **options, **own, **({"phases": None} if one_phase else {})})


def _cleaned(jobs: Jobs, options: Mapping[str, Any]) -> dict[str, Any]:
    """Without the paths of the server, which a run of a terminal has."""
    return {
        name: jobs.clean(value) if isinstance(value, str) else value
        for name, value in options.items()
    }


def _plain(options: Mapping[str, Any]) -> dict[str, Any]:
    known = (int, float, str, bool)
    return {
        str(name): value if isinstance(value, known) else json.dumps(value)[:MAX_NOTE]
        for name, value in options.items()
        if value is not None
    }


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
