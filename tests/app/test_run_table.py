"""The table of runs: compare, repeat, annotate, delete; whatever a visitor asks for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from archspec.errors import UsageError
from archspec.file_lock import locked
from archspec_app.training.jobs import Jobs
from archspec_app.training.run_table import (
    compare_runs,
    delete_run,
    form_of,
    rename_run,
    spec_differences,
    write_note,
)


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    """A finished run of the page, and one of a terminal."""
    for key, epochs in (("page", 3), ("terminal", 5)):
        run = tmp_path / "runs" / key
        run.mkdir(parents=True)
        facts = {
            "status": "finished", "started": "2026-01-02T03:04", "spec": "tiny",
            "plan": "head-only",
            "epochs": epochs,
            "options": {"seed": 1, "phases": [{"plan": None, "epochs": epochs}], "ratio": [1, 2]},
            "data": {"source": "reviews.csv"},
        }  # fmt: skip
        (run / "run.json").write_text(json.dumps(facts))
        line = {"kind": "epoch", "epoch": 1, "step": 4, "train_loss": 0.5, "loss": 0.25 * epochs}
        (run / "metrics.jsonl").write_text(json.dumps(line) + "\n")
    record = {
        "spec": "tiny",
        "resumed_before": -1,
        "form": {"options": {"epochs": 3, "data": "x.csv"}},
    }
    (tmp_path / "runs" / ".jobs" / "page").mkdir(parents=True)
    (tmp_path / "runs" / ".jobs" / "page" / "job.json").write_text(json.dumps(record))
    return Jobs(tmp_path)


def rows(jobs: Jobs) -> dict[str, dict[str, Any]]:
    return {row.key: row.to_dict() for row in jobs.rows()}


def test_runs_are_compared_by_their_curves_and_options(jobs: Jobs) -> None:
    first, second = compare_runs(jobs, ["page", "terminal"])
    assert [epoch["loss"] for one in (first, second) for epoch in one["epochs"]] == [0.75, 1.25]
    assert first["options"] == {
        "spec": "tiny", "plan": "head-only", "data": "reviews.csv", "epochs": 3, "seed": 1,
        "ratio": "[1, 2]",
    }  # fmt: skip
    for keys in ([], ["page"], ["page", "page"], ["page", "../page"], ["page"] * 5):
        with pytest.raises(UsageError):
            compare_runs(jobs, keys)


def test_a_run_is_renamed_with_all_that_is_known_of_it(jobs: Jobs) -> None:
    write_note(jobs, "page", "of mine")
    assert rename_run(jobs, "page", " better-1 ") == "better-1"
    found = rows(jobs)
    assert found.keys() == {"better-1", "terminal"} and found["better-1"]["note"] == "of mine"
    assert form_of(jobs, "better-1")["spec"] == "tiny"
    assert rename_run(jobs, "better-1", "better-1") == "better-1"
    for wrong in ("", "../x", ".x", "a b", "<b>", "terminal", "x" * 121, "a/b"):
        with pytest.raises(UsageError) as caught:
            rename_run(jobs, "better-1", wrong)
        assert caught.value.code == "E801" and str(jobs.folder) not in str(caught.value)
    with pytest.raises(UsageError, match="no such run"):
        rename_run(jobs, "page", "other")
    (jobs.folder / "runs" / ".jobs" / "kept").mkdir()
    with pytest.raises(UsageError, match="there is a run 'kept' already"):
        rename_run(jobs, "better-1", "kept")
    lock = jobs.folder / "runs" / "terminal" / ".lock"
    with locked(lock), pytest.raises(UsageError, match="active"):
        rename_run(jobs, "terminal", "other")
    assert rows(jobs).keys() == {"better-1", "terminal"}


def test_the_specs_of_runs_are_compared(jobs: Jobs) -> None:
    text = (Path(__file__).parent.parent / "training" / "tiny.yaml").read_text()
    for key, old in (("page", "p: 0.1"), ("terminal", "p: 0.5")):
        (jobs.folder / "runs" / key / "spec.yaml").write_text(text.replace("p: 0.1", old))
    if "p: 0.1" not in text:
        pytest.fail("tiny.yaml has changed")
    (found,) = spec_differences(jobs, ["page", "terminal"])
    assert (found["key"], found["omitted"], found["error"]) == ("terminal", 0, "")
    (line,) = found["lines"]
    assert (line["kind"], line["what"]) == ("changed", "params.p") and "0.5" in line["how"]
    (jobs.folder / "runs" / "terminal" / "spec.yaml").write_text("archspec: 1\nmodel: X\n")
    (found,) = spec_differences(jobs, ["page", "terminal"])
    assert found["lines"] == [] and found["error"] and str(jobs.folder) not in found["error"]


def test_options_do_not_tell_where_the_folder_is(jobs: Jobs) -> None:
    file = jobs.folder / "runs" / "page" / "run.json"
    facts = json.loads(file.read_text())
    facts["options"] |= {"output_dir": str(jobs.folder / "runs"), "tokenizer": f"{jobs.folder}/v"}
    facts["data"]["source"] = str(jobs.folder / "reviews.csv")
    file.write_text(json.dumps(facts))
    options = compare_runs(jobs, ["page", "terminal"])[0]["options"]
    assert (options["data"], options["tokenizer"]) == ("reviews.csv", "v")
    assert str(jobs.folder) not in json.dumps(options) and "output_dir" not in options


def test_a_run_of_the_page_is_started_again_with_changes(jobs: Jobs) -> None:
    assert form_of(jobs, "page") == {"options": {"epochs": 3, "data": "x.csv"}, "spec": "tiny"}
    assert {key: row["can_repeat"] for key, row in rows(jobs).items()} == {
        "page": True, "terminal": False,
    }  # fmt: skip
    with pytest.raises(UsageError, match="options of this run are not known"):
        form_of(jobs, "terminal")


def test_notes_are_bounded_and_can_be_removed(jobs: Jobs) -> None:
    for key in ("page", "terminal"):
        write_note(jobs, key, " <b>the  first\none ")
    assert {row["note"] for row in rows(jobs).values()} == {"<b>the first one"}
    assert rows(jobs)["terminal"]["status"] == "finished"
    with pytest.raises(UsageError, match="at most 300 characters"):
        write_note(jobs, "page", "x" * 301)
    write_note(jobs, "page", "")
    assert rows(jobs)["page"]["note"] == "" and rows(jobs)["terminal"]["note"]


def test_what_is_deleted_is_one_run_and_nothing_that_it_links_to(
    jobs: Jobs, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (tmp_path / "runs" / "page" / "link").symlink_to(kept)
    with locked(tmp_path / "runs" / "page" / ".lock"), pytest.raises(UsageError, match="active"):
        delete_run(jobs, "page")
    delete_run(jobs, "page")
    assert (kept / "file").exists() and list(rows(jobs)) == ["terminal"]
    assert not (tmp_path / "runs" / ".jobs" / "page").exists()
    for key in ("page", "..", "", ".jobs", "../kept"):
        with pytest.raises(UsageError, match="no such run"):
            delete_run(jobs, key)
