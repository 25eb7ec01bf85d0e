"""Training behind the page: processes that outlive it, told by what is on the disk."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import archspec
from archspec.errors import SpecError, UsageError
from archspec.file_lock import holder, locked
from archspec.training.run_folder import FACTS, LOCK, RunFolder
from archspec_app import example
from archspec_app.data_files import tokenizers_below
from archspec_app.training.jobs import Jobs
from archspec_app.training.metric_points import Summary, clean, new_points
from archspec_app.training.preview import estimate, preview
from archspec_app.training.processes import ask_to_stop, launch
from archspec_app.training.run_rows import JobRow, progress
from archspec_app.training.train_request import (
    example_options,
    fields_named,
    in_words_of_the_form,
    read_request,
)
from archspec_app.workspace import inside
from tests.app.browser.runs import NET

TINY = Path(__file__).parent.parent / "training"
SPECS = Path(__file__).parents[2] / "specs"
TEXT = (TINY / "tiny.yaml").read_text()
SHORT: dict[str, Any] = {
    "data": "reviews.csv", "freeze": "head-only", "epochs": 2, "batch_size": 8,
    "learning_rate": 0.05, "device": "cpu", "seed": 1,
}  # fmt: skip


def put(folder: Path) -> Path:
    """A start folder with a spec, its vocabulary and data."""
    (folder / "specs").mkdir(parents=True)
    for name in ("tiny.yaml", "vocab.txt"):
        shutil.copy(TINY / name, folder / "specs" / name)
    shutil.copy(TINY / "tiny.csv", folder / "reviews.csv")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A start folder, in which nothing runs on afterwards."""
    yield put(tmp_path / "start")
    end_all(tmp_path / "start")


def end_all(folder: Path) -> None:
    for lock in [*folder.glob("runs/.jobs/*/lock"), folder / "mine"]:
        if pid := holder(lock):
            os.kill(pid, signal.SIGKILL)


def row(jobs: Jobs, key: str) -> JobRow:
    return next(one for one in jobs.rows() if one.key == key)


def until(jobs: Jobs, key: str, wanted: Callable[[JobRow], bool]) -> JobRow:
    """The row, as soon as it is as wanted."""
    found = row(jobs, key)
    for _ in range(1_200):
        if wanted(found):
            return found
        time.sleep(0.05)
        found = row(jobs, key)
    pytest.fail(f"{found}\n{jobs.follow(key).log}")


def status(*names: str) -> Callable[[JobRow], bool]:
    return lambda found: found.status in names


ENDED = status("finished", "stopped", "failed", "killed")


def message(caught: pytest.ExceptionInfo[UsageError]) -> str:
    assert {problem.code for problem in caught.value.problems} == {"E801"}
    return "\n".join(problem.message for problem in caught.value.problems)


# ------------------------------------------------------------------------------------------ running


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Jobs, str]:
    """A run that began as it should, and has finished."""
    jobs = Jobs(put(tmp_path_factory.mktemp("done") / "start"))
    key = jobs.start(TEXT, "specs/tiny.yaml", SHORT)
    assert row(jobs, key).status == "starting" and row(jobs, key).spec == "tiny"
    until(jobs, key, ENDED)
    return jobs, key


def test_a_run_goes_to_its_end(done: tuple[Jobs, str]) -> None:
    jobs, key = done
    found = row(jobs, key)
    assert (found.status, found.plan, found.error) == ("finished", "head-only", None)
    assert (found.epoch, found.epochs, found.step, found.steps) == (2, 2, 22, 22)
    assert found.share == 1.0 and found.seconds and found.seconds_left is None
    run = archspec.Run.of(jobs.folder / "runs" / key)
    assert run.best is not None
    assert found.best == {"name": "accuracy", "value": run.best["accuracy"]}
    assert run.status == "finished" and run.path.name == key
    assert (run.path / "vocab.txt").read_bytes() == (TINY / "vocab.txt").read_bytes()
    json.dumps(found.to_dict(), allow_nan=False)


def test_points_come_once(done: tuple[Jobs, str]) -> None:
    jobs, key = done
    whole = jobs.follow(key)
    steps = whole.points.steps
    assert [one["step"] for one in steps] == [*range(1, 23)]
    assert all(one["learning_rate"] > 0 and one["seconds"] >= 0 for one in steps)
    assert all(one["grad_norm"] > 0 for one in steps)
    assert [one["samples"] for one in steps if one["step"] in (11, 22)] == [82, 82]
    assert all(one["tokens"] >= 3 * one["samples"] for one in steps)
    run = archspec.Run.of(jobs.folder / "runs" / key)
    losses = [one["train_loss"] for one in whole.points.epochs]
    assert losses == [one["train_loss"] for one in run.epochs] and len(set(losses)) == 2
    size = ((jobs.folder / "runs" / key) / "metrics.jsonl").stat().st_size
    assert whole.points.offset == size and not whole.points.more
    again = jobs.follow(key, whole.points.offset, whole.points.version).points
    assert (again.steps, again.epochs, again.offset, again.restarted) == ([], [], size, False)
    assert "epoch 2: train loss" in whole.log
    assert str(jobs.folder) not in json.dumps(whole.to_dict(), allow_nan=False)


def test_a_preview_counts_quantized_weights(folder: Path) -> None:
    """A frozen weight of 16 rows with 16 numbers: 1 byte each, and 5 for the scale of a row."""
    memory: list[int] = []
    for more in ({}, {"quantize": "int8"}):
        options = {**SHORT, "freeze": "head-only", **more}
        request = read_request(folder, TEXT, "specs/tiny.yaml", options)
        memory.append(preview(folder, "tiny.yaml", request)["memory"]["value"])
        assert estimate(folder, request)["seconds"] > 0
    assert memory[0] - memory[1] == 16 * 16 * 4 - 16 * (16 + 5)


def test_a_preview_shows_small_pictures_of_images_of_any_size(tmp_path: Path) -> None:
    for size in (8, 400):
        pixels = np.random.default_rng(size).integers(0, 256, (12, size, size, 3), np.uint8)
        images = [png(one) for one in pixels]
        table = {"image": [{"bytes": one, "path": None} for one in images], "label": [*"ab"] * 6}
        pq.write_table(pa.table(table), tmp_path / "images.parquet")
        request = read_request(tmp_path, NET, "net.yaml", {"data": "images.parquet"})
        first = preview(tmp_path, "net.yaml", request)["first"]
        assert [label in "ab" for _, label in first] == [True] * 5
        for picture, _ in first:
            image = Image.open(io.BytesIO(base64.b64decode(picture["image"])))
            assert image.size == (min(size, 96), min(size, 96))
            if size == 8:  # each pixel counts
                assert np.asarray(image).tobytes() in {one.tobytes() for one in pixels}


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_a_run_that_a_number_of_steps_ends(folder: Path) -> None:
    """SHORT has 11 steps in each of 2 epochs."""
    jobs = Jobs(folder)
    for limit, notes in ((5, 1), (15, 1), (50, 0)):
        request = read_request(folder, TEXT, "specs/tiny.yaml", {**SHORT, "max_steps": limit})
        assert f"--max-steps={limit}" in request.arguments
        said = [one for one in preview(folder, "tiny.yaml", request)["notes"] if "steps" in one]
        assert said == [f'"Max steps" ends the training after {limit} steps.'] * notes
        found = estimate(folder, request)
        count = min(limit, 22)
        assert found["seconds"] == pytest.approx(found["batch_seconds"] * count)
        assert found["max_steps"] == (limit if notes else None)
        assert found["short"] is None
        if limit == 15:
            key = jobs.start(TEXT, "specs/tiny.yaml", {**SHORT, "max_steps": limit})
            ended = until(jobs, key, ENDED)
            assert (ended.status, ended.step, ended.steps) == ("finished", 15, 15)
            assert (ended.epoch, ended.share) == (2, 1.0)
            assert ended.ended_by == "max_steps"


def test_how_far_the_frozen_part_is_computed_and_what_a_short_run_has() -> None:
    options = {"batch_size": 32, "accumulate_grad_batches": 2, "max_steps": None}
    facts = {"options": options, "computing": {"samples": 128, "of": 2400, "seconds": 16.0}}
    row = progress(facts, Summary(), "running")
    assert row["computing"] == {
        "samples": 128, "of": 2400, "share": 128 / 2400, "seconds_left": 284.0
    }  # fmt: skip
    assert row["short_steps"] == 3  # of 64 samples, at 8 a second
    assert row["seconds_left"] is None
    for one, steps in (({"samples": 0}, None), ({"of": 256}, None), ({"of": 10**400}, None)):
        said = {**facts, "computing": {**facts["computing"], **one}}
        assert progress(said, Summary(), "running")["short_steps"] == steps
    said = {**facts, "options": {**options, "max_steps": 9}}
    assert progress(said, Summary(), "running")["short_steps"] is None
    done = {"split": "test", "samples": 300, "of": 400, "seconds": 6.0}
    facts["evaluating"] = done
    assert progress(facts, Summary(), "running")["evaluating"] == {
        "split": "test", "samples": 300, "of": 400, "share": 0.75, "seconds_left": 2.0
    }  # fmt: skip
    for status in ("finished", "stopped"):
        row = progress(facts, Summary(), status)
        assert row["computing"] is None and row["short_steps"] is None
        assert row["evaluating"] is None


def test_speeds_are_of_the_latest_steps_of_one_clock(tmp_path: Path) -> None:
    """Of lines as (epoch, seconds, samples): the clock begins anew with epochs and when resumed."""
    cases: list[tuple[list[tuple[Any, ...]], float | None]] = [
        ([], None), ([(1, 1.0, 8)], None),
        ([(1, 1.0, 8), (1, 3.0, 24)], 8.0),
        ([(1, 1.0, 8), (1, 3.0, 24), (2, 0.5, 8)], None),
        ([(1, 1.0, 8), (2, 0.5, 8), (2, 1.0, 12)], 8.0),
        ([(1, 9.0, 8), (1, 0.5, 16), (1, 1.5, 32)], 16.0),  # resumed in the middle
        ([(1, 1.0, 8), (1, 1.0, 16)], None),
        ([(1, 1.0, 8), (1, 2.0, 16), (1, 2.0, 24)], 16.0),
        ([(1, 1.0, None), (1, 2.0, 16)], None), ([(1, None, 8), (1, 2.0, 16)], None),
        ([(1, 1.0, "x"), (1, 2.0, 16), (1, 4.0, 20)], 2.0),
    ]  # fmt: skip
    for number, (steps, expected) in enumerate(cases):
        file = tmp_path / f"{number}.jsonl"
        names = ("epoch", "seconds", "samples")
        rows = [dict(zip(names, step, strict=True)) for step in steps]
        lines = [{"kind": "step", "step": i, **row} for i, row in enumerate(rows)]
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
        summary = Summary()
        summary.read(file)
        assert summary.per_second("samples") == expected, steps
        assert summary.per_second("tokens") is None


def test_another_server_sees_it_and_a_finished_run_stays(done: tuple[Jobs, str]) -> None:
    jobs, key = done
    other = Jobs(jobs.folder)
    assert other.rows() == jobs.rows() and other.follow(key) == jobs.follow(key)
    other.stop(key)  # there is nothing to stop
    with pytest.raises(UsageError) as caught:
        other.resume(key)
    assert message(caught) == "this run is finished"


def test_a_terminals_run_is_stopped_resumed_killed_and_resumed(folder: Path) -> None:
    jobs, other, key = Jobs(folder, max_active=1), Jobs(folder, max_active=1), "mine"
    with locked(folder / "mine") as lock:  # as from a terminal
        assert lock is not None
        words = ["train", "specs/tiny.yaml", "--data=reviews.csv", "--epochs=2000", "--name=mine"]
        words += ["--device=cpu", "--batch-size=2", "--freeze=head-only", "--save-interval=0.2"]
        launch(words, folder, folder / "said.txt", lock)
    while not jobs.rows():
        assert holder(folder / "mine") is not None, (folder / "said.txt").read_text()
        time.sleep(0.05)
    with pytest.raises(UsageError) as caught:
        other.start(TEXT, "specs/tiny.yaml", SHORT)
    assert message(caught) == "1 of at most 1 runs are active"
    found = until(jobs, key, lambda one: one.step >= 200 and one.seconds_left is not None)
    assert found.status == "running" and found.seconds_left and found.share
    assert found.samples_per_second and found.tokens_per_second
    assert found.tokens_per_second > 3 * found.samples_per_second
    with pytest.raises(UsageError) as caught:
        Jobs(folder, max_active=3).resume(key)
    assert message(caught) == "this run is running"
    other.stop(key)
    other.stop(key)  # which does not end it at once
    assert until(jobs, key, ENDED).status == "stopped"
    before = jobs.follow(key)

    other.resume(key)
    assert row(jobs, key).status == "starting"
    until(jobs, key, lambda one: one.status == "running" and one.step > found.step + 50)
    pid = holder(folder / "runs" / ".jobs" / key / "lock")
    assert pid and pid == holder(folder / "runs" / key / LOCK)
    os.kill(pid, signal.SIGKILL)
    killed = until(jobs, key, ENDED)
    assert killed.status == "killed" and killed.can_resume
    points = jobs.follow(key, before.points.offset, before.points.version).points
    assert points.steps[-1]["step"] == killed.step > before.row.step

    facts = json.loads((folder / "runs" / key / "run.json").read_text())
    facts["options"]["phases"][0]["epochs"] = facts["epochs"] = killed.epoch + 1
    RunFolder(folder / "runs" / key).write_json(FACTS, facts)  # with its hash
    other.resume(key)
    finished = until(jobs, key, ENDED)
    assert finished.status == "finished" and finished.epoch == killed.epoch + 1
    taken_back = jobs.follow(key, points.offset, points.version).points
    assert taken_back.restarted and taken_back.steps[0]["step"] <= 41 * finished.epoch // 2_000 + 1
    assert [one["epoch"] for one in taken_back.epochs] == [*range(1, finished.epoch + 1)]


def test_stopped_before_it_begins_and_then_failing_as_in_a_terminal(folder: Path) -> None:
    (folder / "torch.py").write_text("raise SystemExit('imported from the start folder')")
    jobs = Jobs(folder)
    key = jobs.start(TEXT, "specs/tiny.yaml", SHORT)
    jobs.stop(key)
    assert row(jobs, key).status in ("stopping", "stopped")
    assert until(jobs, key, ENDED).status == "stopped" and jobs.follow(key).points.steps == []
    assert not (folder / "runs" / key).exists(), "training has not begun"
    (folder / "reviews.csv").write_text("text,label\na,\x1b[31myes\nb,\x1b[31myes\n")
    jobs.resume(key)  # it begins anew
    found = until(jobs, key, ENDED)
    assert found.status == "failed" and found.step == 0 and found.error
    assert "error[E90" in found.error and "\x1b" not in found.error
    assert str(folder) not in found.error and "Traceback" not in found.error
    assert jobs.follow(key).log == found.error and not (folder / "runs" / key).exists()


# --------------------------------------------------------------------------------------- asking


def test_a_parent_in_the_folder_is_merged_in(tmp_path: Path) -> None:
    folder = put(tmp_path / "start")
    child = "archspec: 1\nextends: tiny.yaml\nparams: {width: 8}\n"
    order = read_request(folder, child, "specs/child.yaml", {"data": "reviews.csv"})
    assert "extends" not in order.text and archspec.loads(order.text).values["width"] == 8
    assert order.stem == "child" and "--tokenizer=./specs/vocab.txt" in order.arguments
    assert "--data=./reviews.csv" in order.arguments
    same = read_request(folder, TEXT, "specs/tiny.yaml", {"data": ["reviews.csv", "reviews.csv"]})
    assert same.text == TEXT and same.arguments.count("--data=./reviews.csv") == 2


def test_key_and_partial(tmp_path: Path) -> None:
    folder = put(tmp_path / "start")
    (folder / "a.pt").touch()
    asked = {"data": "reviews.csv", "weights": "a.pt", "key": "ema", "allow_partial": "yes"}
    words = read_request(folder, TEXT, "specs/tiny.yaml", asked).arguments
    assert "--key=ema" in words and "--allow-partial" in words
    words = read_request(
        folder, TEXT, "specs/tiny.yaml", {**asked, "allow_partial": "no"}
    ).arguments
    assert "--allow-partial" not in words


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "there is no data"),
        ({"data": "reviews.csv", "epoch": 3}, "no option is called 'epoch'"),
        (
            {"data": "reviews.csv", "epochs": "3"},
            "epochs must be an integer of at least 1, not '3'",
        ),
        ({"data": "reviews.csv", "epochs": 0}, "epochs must be an integer of at least 1, not 0"),
        (
            {"data": "reviews.csv", "max_grad_norm": float("inf")},
            "max_grad_norm must be a number of at least 0, not inf",
        ),
        ({"data": "reviews.csv", "device": "meta"}, "no device is called 'meta'"),
        (
            {"data": "reviews.csv", "optimizer": "lion"},
            "optimizer must be one of adamw, adam, sgd, not 'lion'",
        ),
        ({"data": "reviews.csv", "freeze": "tail"}, "the spec has no freeze plan 'tail'"),
        ({"data": "reviews.csv", "phases": "tail:1"}, "the spec has no freeze plan 'tail'"),
        (
            {"data": "reviews.csv", "allow_partial": True},
            "allow_partial must be true or false, not 'True'",
        ),
        ({"data": "reviews.csv", "header": []}, "header must be true or false, not '[]'"),
        (
            {"data": "reviews.csv", "text_column": "a\nb"},
            "text_column must be a text of at most 200",
        ),
        ({"data": "owner/name"}, "data: owner/name: no such file"),
        ({"data": "--help"}, "data: --help: no such file"),
        ({"data": "out"}, "data: 'out' is not a name inside the folder"),
        ({"data": "reviews.csv", "weights": "/etc/passwd"}, "weights: '/etc/passwd' is not a name"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    folder = put(tmp_path / "start")
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(UsageError) as caught:
        Jobs(folder).start(TEXT, "specs/tiny.yaml", options)
    assert said in message(caught)
    assert not (folder / "runs").exists()


def test_a_wrong_spec_is_told_at_its_line(tmp_path: Path) -> None:
    jobs = Jobs(put(tmp_path / "start"))
    with pytest.raises(SpecError) as caught:
        jobs.start(TEXT.replace("Linear", "Liner"), "specs/tiny.yaml", SHORT)
    assert caught.value.code == "E206" and caught.value.place and caught.value.place.line == 9


def test_a_name_on_the_hub_has_to_be_allowed(tmp_path: Path) -> None:
    folder, asked = put(tmp_path / "start"), {"data": "owner/name"}
    order = read_request(folder, TEXT, "specs/tiny.yaml", asked, allow_hub=True)
    assert "--data=owner/name" in order.arguments


ODD = st.text(st.sampled_from("./\\~a-:\0\n é"), max_size=12)


@given(name=st.one_of(ODD, st.text(max_size=30), st.none(), st.integers(), st.lists(st.text())))
def test_no_name_leads_out(name: object, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "inside"
    folder.mkdir(exist_ok=True)
    (folder / "a").touch()
    with pytest.raises(UsageError):
        Jobs(folder).follow(name)  # pyright: ignore[reportArgumentType]
    try:
        found = inside(folder, name, must_exist=True)
    except UsageError:
        return
    assert os.path.realpath(found) == os.path.realpath(folder / "a")


# -------------------------------------------------------------------------------------- files


def test_a_key_is_one_name_and_not_a_way_to_a_run(tmp_path: Path) -> None:
    """Files that look like a run, where a key with a slash would lead to."""
    folder = tmp_path / "start"
    for place in ("runs/deep/run", "runs/.jobs/deep/run", "runs/run", "other/run"):
        (folder / place).mkdir(parents=True)
        (folder / place / FACTS).write_text("{}")
        (folder / place / "job.json").write_text("{}")
    jobs = Jobs(folder)
    assert [row.key for row in jobs.rows()] == ["run"]
    assert jobs.follow("run").row.key == "run"
    for key in (
        "deep/run",
        "deep//run",
        "run/",
        "./run",
        "deep/../run",
        "../other/run",
        "deep\\run",
    ):
        for act in (jobs.follow, jobs.stop, jobs.resume):
            with pytest.raises(UsageError, match="there is no such run"):
                act(key)


def test_hostile_files_in_the_folder(tmp_path: Path) -> None:
    folder = put(tmp_path / "start")
    runs, jobs = folder / "runs", Jobs(folder)
    for name, text in {"a": "[]", "b": "{", "c": '{"status": "running", "options": 3}'}.items():
        (runs / name).mkdir(parents=True)
        (runs / name / "run.json").write_text(text)
    (runs / "link").symlink_to(tmp_path)
    (runs / ".jobs" / "d").mkdir(parents=True)
    secret = tmp_path / "secret"
    secret.write_text("mine")
    for name in ("output.txt", "stop", "lock"):
        (runs / ".jobs" / "d" / name).symlink_to(secret)
    form = {"name": "specs/tiny.yaml", "options": {"data": "../secret"}}
    job = {"resumed_before": -1, "spec": "tiny", "words": ["train", "--output-dir=/"], "form": form}
    (runs / ".jobs" / "d" / "job.json").write_text(json.dumps(job))
    assert {one.key: one.status for one in jobs.rows()} == {
        "a": "failed", "b": "failed", "c": "failed", "d": "killed",
    }  # fmt: skip
    for key in ("a", "d", "link", "..", "nothing"):
        with pytest.raises(UsageError):
            jobs.resume(key)
    jobs.stop("d")
    assert jobs.follow("d").log == "" and secret.read_text() == "mine"


def test_a_process_that_does_not_hold_the_lock_is_left_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    child = os.spawnlp(os.P_NOWAIT, "sleep", "sleep", "30")
    try:
        lock.write_text(f"{child}\n")
        assert holder(lock) is None and not ask_to_stop(child, lock)
        with locked(lock) as held:
            assert held is not None and holder(lock) == child and not ask_to_stop(child, lock)
        assert os.waitpid(child, os.WNOHANG) == (0, 0)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def test_half_lines_cut_files_and_large_ones(tmp_path: Path) -> None:
    file = tmp_path / "metrics.jsonl"
    assert new_points(file) == new_points(file, 0, 7)  # it is not there
    line = '{"kind": "step", "step": %d, "epoch": 1, "loss": 0.5, "learning_rate": 1e-3}\n'
    file.write_text(line % 1 + '{"kind": "epoch", "epoch": 1, "loss": NaN, "best": 1}\n[]\n{"ki')
    first = new_points(file)
    assert [one["step"] for one in first.steps] == [1] and not first.more
    assert first.epochs[0]["loss"] is None and first.epochs[0]["best"] is False
    assert first.offset == file.stat().st_size - 4
    with file.open("a") as stream:
        stream.write('nd": "test", "accuracy": 0.5}\n')
    assert new_points(file, first.offset, first.version).test == {"accuracy": 0.5}
    file.write_text("".join(line % step for step in range(1, 10_001)))
    at, steps, reads = new_points(file, max_bytes=200_000), list[int](), 0
    while True:
        steps += [one["step"] for one in at.steps]
        reads += 1
        if not at.more:
            break
        at = new_points(file, at.offset, at.version, max_bytes=200_000)
    assert reads > 2 and steps[-1] == 10_000 and steps == sorted({*steps}) and len(steps) < 6_000
    file.write_text(line % 3)
    assert [one["step"] for one in new_points(file, at.offset, at.version).steps] == [3]
    file.write_text("x" * 1_000)  # no line of a run
    assert (
        new_points(file, max_bytes=100).offset == 100
        and new_points(file, max_bytes=2_000).offset == 0
    )


def test_what_a_terminal_said_is_cleaned() -> None:
    said = "\x1b[1mbold\x1b[0m /srv/me/x\r\n10%\r100%\n\x1b]0;title\x07a\u202eb\x00"
    assert clean(said, {"/srv/me/": ""}) == "bold x\n100%\na\ufffdb\ufffd"


def test_the_example_serves_models_with_and_without_a_tokenizer(folder: Path) -> None:
    example.write_example(folder)
    tables: dict[str, list[dict[str, str]]] = {}
    for split in ("train", "test"):
        with open(folder / example.DATA / f"{split}.csv", newline="", encoding="utf-8") as file:
            tables[split] = list(csv.DictReader(file))
    assert {split: len(table) for split, table in tables.items()} == {"train": 2400, "test": 400}
    assert len({row["label"] for row in tables["train"]}) == 8
    for figure in ("2,400 definitions", "8 topics", "400 to test"):
        assert figure in example.ABOUT
    bert, tiny = archspec.load("bert"), archspec.load(folder / "specs" / "tiny.yaml")
    data = {"data": example.DATA}
    both = {**data, "tokenizer": example.TOKENIZER}
    assert example_options(folder, "bert", bert, has_tokenizer=False) == both
    assert example_options(folder, "bert", bert, has_tokenizer=True) == data
    assert example_options(folder, "specs/tiny.yaml", tiny, has_tokenizer=False) == data
    text = (SPECS / "text" / "bert.yaml").read_text()
    request = read_request(folder, text, "bert", both)
    assert request.files == tuple((name, f"./{path}") for name, path in both.items())
    with pytest.raises(UsageError) as caught:
        read_request(folder, text, "bert", {})
    assert caught.value.hint.endswith('or click "Use the example data"')
    with pytest.raises(UsageError) as caught:
        read_request(folder, (SPECS / "text" / "gpt2.yaml").read_text(), "gpt2", {})
    assert "example" not in caught.value.hint


@pytest.mark.parametrize(
    ("problem", "said", "fields"),
    [
        ("epochs must be at most 3", '"Epochs" must be at most 3', ["epochs"]),
        ("weights: x: no such file", '"Weights": x: no such file', ["weights"]),
        ("x: no vocab.txt; tokenizer=", 'x: no vocab.txt; "Tokenizer"', ["tokenizer"]),
        (
            "label_smoothing and focal_gamma are two losses",
            '"Label smoothing" and "Focal gamma" are two losses',
            ["label_smoothing", "focal_gamma"],
        ),
        ("the file has no column 'text_column'", "the file has no column 'text_column'", []),
        ("the epochs and the output_dir", "the epochs and the output_dir", []),
    ],
)
def test_messages_name_the_fields_of_the_form(problem: str, said: str, fields: list[str]) -> None:
    told = in_words_of_the_form(f"error[E801]: {problem}")
    assert told == f"error[E801]: {said}"
    assert fields_named(told) == fields


def test_tokenizers_are_suggested(folder: Path) -> None:
    (folder / "specs" / "other.txt").write_text("")
    (folder / "specs" / "my-vocab.txt").write_text("")
    (folder / "tokenizer.json").write_text("{}")
    assert tokenizers_below(folder) == ["specs/vocab.txt", "tokenizer.json"]
