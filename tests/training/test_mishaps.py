"""What may happen to a run: full disks, Ctrl-C at any time, folders that were edited."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import archspec
from archspec import run_hashes, storage
from archspec.errors import BuildError, RunError
from archspec.report.progress import counting
from archspec.training import loop
from archspec.training.loop import TrainingStep, TrainLoop
from archspec.training.recorder import Recorder
from archspec.training.reporting import Reporter
from archspec.training.run_folder import (
    BEST,
    FACTS,
    FREEZE,
    HASHES,
    LAST,
    REPORT,
    STATE,
    RunFolder,
)
from archspec.training.run_folder import SPEC as SPEC_FILE

HERE = Path(__file__).parent
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"
GIVEN: dict[str, Any] = {"epochs": 1, "batch_size": 8, "device": "cpu", "progress": False}
FULL = Path("/dev/full")
needs_full = pytest.mark.skipif(not FULL.exists(), reason="there is no full device")


def train(out: Path, data: Any = DATA, **given: Any) -> archspec.Run:
    return archspec.train(SPEC, data, output_dir=out, **{**GIVEN, **given})


def interrupted(method: Any, *, at: int = 1) -> Any:
    """A method that Ctrl-C hits as it begins, in its ``at``-th call."""
    calls = 0

    def hit(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGINT)
        return method(*given, **named)

    return hit


# ------------------------------------------------------------------------------------------- disks


def test_a_disk_that_is_full_at_the_first_byte(tmp_path: Path) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        with pytest.raises(RunError) as caught:
            train(tmp_path / "runs", name="full")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    place = tmp_path / "runs" / "full"
    assert caught.value.code == "E921" and caught.value.hint.startswith("nothing was saved yet")
    assert caught.value.message == f"{place / 'spec.yaml'}: cannot be written: File too large"
    assert not place.exists()


@needs_full
def test_a_full_disk_ends_logs_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    begin = Recorder._begin

    def begun(self: Recorder, resumed: bool) -> None:
        assert self.folder is not None
        log = self.folder / "train.log"
        log.unlink()  # what was told of the data
        log.symlink_to(FULL)
        (self.folder / "logs/csv-2").mkdir(parents=True)
        (self.folder / "logs/csv-2/metrics.csv").symlink_to(FULL)
        begin(self, resumed)

    monkeypatch.setattr(Recorder, "_begin", begun)
    run = train(tmp_path, progress=True)
    assert run.status == "finished" and len(run.epochs) == 1
    told = capfd.readouterr().err.splitlines()
    assert [line for line in told if "cannot be written" in line] == [
        f"{run.path / 'train.log'}: cannot be written: No space left on device"
    ]
    assert f"{run.path / 'logs'}: logging has ended: No space left on device" in told
    assert any(line.startswith("epoch 1: train loss") for line in told)


def test_a_reader_of_standard_error_that_leaves_does_not_end_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), open(writing, "w") as left:
        for stream in (left, None):  # None: the shell closed it
            monkeypatch.setattr(sys, "stderr", stream)
            say = Reporter(verbose=True)
            say.log = tmp_path / "train.log"
            say("a line")
            say("and one more")
            with counting("rows", 3, drawn=True) as more:
                more(1)
    assert (tmp_path / "train.log").read_text() == 2 * "a line\nand one more\n"


def test_logs_hold_every_step(tmp_path: Path) -> None:
    run = train(tmp_path, phases="head-only:1,body-and-head:1", epochs=None)
    with open(run.path / "logs/csv-1/metrics.csv", newline="") as file:
        rows = [*csv.DictReader(file)]
    steps = [row for row in rows if row["train/loss"]]
    assert [int(row["step"]) for row in steps] == [*range(1, 23)]
    losses = [line["loss"] for line in run.metrics if line["kind"] == "step"]
    assert [float(row["train/loss"]) for row in steps] == losses
    found = EventAccumulator(str(run.path / "logs/tensorboard-1"))
    found.Reload()
    assert [one.step for one in found.Scalars("train/loss")] == [*range(1, 23)]
    accuracy = [one.value for one in found.Scalars("validation/accuracy")]
    assert accuracy == pytest.approx([line["accuracy"] for line in run.epochs])
    assert {path.name for path in (run.path / "logs").iterdir()} == {"csv-1", "tensorboard-1"}


def test_the_first_error_is_the_one_that_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RunFolder.write_json

    def full(self: RunFolder, name: str, data: Any) -> None:
        if name == FACTS and data["status"] == "failed":
            self.write("no/such/folder", "")
        write(self, name, data)

    monkeypatch.setattr(RunFolder, "write_json", full)
    with pytest.raises(RunError) as caught:
        train(tmp_path, learning_rate=1e30)
    assert caught.value.code == "E922"
    (run,) = archspec.runs(tmp_path)
    assert run.status == "killed" and run.facts["error"] is None  # nobody wrote another
    with pytest.raises(RunError) as caught:
        train(tmp_path / "a\0b")
    assert caught.value.code == "E921" and "null" in caught.value.message


CPU_MEMORY = "[enforce fail at alloc_cpu.cpp:1] DefaultCPUAllocator: can't allocate memory: 8 bytes"


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA"), RuntimeError(CPU_MEMORY)])
def test_memory_that_runs_out(
    error: RuntimeError, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forward(*args: Any) -> Any:
        raise error

    monkeypatch.setattr(TrainingStep, "forward", forward)
    with pytest.raises(BuildError) as caught:
        train(tmp_path, batch_size=3)
    assert caught.value.code == "E503"
    assert caught.value.message == "training in batches of 3 does not fit into memory"
    (run,) = archspec.runs(tmp_path)
    assert run.status == "failed" and "E503" in str(run.facts["error"])


# ------------------------------------------------------------------------------------------ Ctrl-C


def test_ctrl_c_when_patience_is_at_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = {
        "epochs": None, "phases": "head-only:5,body-and-head:1", "patience": 1, "learning_rate": 0.0
    }  # fmt: skip
    with monkeypatch.context() as patch:  # in the second epoch, the one that is not better
        patch.setattr(TrainLoop, "_evaluate", interrupted(TrainLoop._evaluate, at=2))
        run = train(tmp_path, **given)
    assert run.status == "stopped" and [line["phase"] for line in run.epochs] == [1, 1]
    resumed = archspec.resume(run.path, progress=False)
    assert resumed.status == "finished"
    assert [line["phase"] for line in resumed.epochs] == [1, 1, 2]


def test_ctrl_c_in_the_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGINT)
    data = {"train": str(DATA), "test": str(DATA)}
    with monkeypatch.context() as patch:
        patch.setattr(loop, "load_weights", interrupted(loop.load_weights))
        run = train(tmp_path, data)
    assert run.status == "stopped" and run.facts["error"] is None and run.test is None
    with monkeypatch.context() as patch:  # twice: at once
        twice = interrupted(interrupted(loop.load_weights))
        patch.setattr(loop, "load_weights", twice)
        with pytest.raises(KeyboardInterrupt):
            archspec.resume(run.path, progress=False)
    assert archspec.Run.of(run.path).status == "stopped"
    resumed = archspec.resume(run.path, progress=False)
    assert resumed.status == "finished" and resumed.test is not None
    assert [line["kind"] for line in resumed.metrics].count("test") == 1
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_twice_in_a_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = interrupted(interrupted(TrainLoop._train_batch, at=3), at=3)
    monkeypatch.setattr(TrainLoop, "_train_batch", step)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path)
    (run,) = archspec.runs(tmp_path)
    assert run.status == "stopped"


# ----------------------------------------------------------------------------------------- folders


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> archspec.Run:
    """A run that says that it was stopped."""
    run = train(tmp_path_factory.mktemp("saved"))
    facts = {**run.facts, "status": "stopped"}
    RunFolder(run.path).write_json(FACTS, facts)
    return archspec.Run.of(run.path)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("options.validation_fraction", "a"),
        ("options.seed", "x"),
        ("options.text_column", 3),
        ("options.phases", []),
        ("data.source", [[["a"]]]),
        ("data", "nowhere"),
        ("labels", 5),
        ("labels", [1, 2]),
        ("seconds", "x"),
        ("seconds", float("nan")),
        ("resumed", 5),
        ("options", [1]),
        ("options.device", 5),
        ("weights.fresh", "all"),
    ],
)
def test_an_edited_run(saved: archspec.Run, name: str, value: Any) -> None:
    text = (saved.path / FACTS).read_text()
    facts: Any = json.loads(text)
    at = facts
    *above, last = name.split(".")
    for one in above:
        at = at[one]
    at[last] = value
    try:
        RunFolder(saved.path).write(FACTS, json.dumps(facts))
        with pytest.raises(RunError) as caught:
            archspec.resume(saved.path, progress=False)
    finally:
        RunFolder(saved.path).write(FACTS, text)
    assert caught.value.code == "E920" and last in caught.value.message


def test_who_looks_at_a_run_is_in_nobodys_way(saved: archspec.Run) -> None:
    folder = RunFolder(saved.path)
    fcntl = pytest.importorskip("fcntl")
    with open(folder / ".lock", "rb") as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not folder.is_locked  # two that look do not see each other
        away = threading.Thread(target=lambda: (time.sleep(0.1), file.close()))
        away.start()
        with folder.locked():
            away.join()
            assert folder.is_locked
    assert not folder.is_locked


def test_a_run_is_read_by_who_holds_it(
    saved: archspec.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archspec.training import api, checkpoints

    seen: list[bool] = []
    for module, name in ((checkpoints, "read_state"), (api, "prepared"), (api, "reopened")):
        function = getattr(module, name)

        def noted(*given: Any, _function: Any = function, **named: Any) -> Any:
            seen.append(RunFolder(saved.path).is_locked)
            return _function(*given, **named)

        monkeypatch.setattr(module, name, noted)
    assert archspec.resume(saved.path, progress=False).status == "finished"
    assert seen == [True, True, True]


def test_damaged_files_are_not_gone_on_with(saved: archspec.Run) -> None:
    """A byte is flipped, or the end is cut off, in each file that resuming reads."""
    folder, wrong = RunFolder(saved.path), list[str]()
    names = json.loads(folder.read(HASHES)).keys()
    assert names == {SPEC_FILE, "vocab.txt", FREEZE, FACTS, STATE, BEST, LAST, REPORT}
    for name in names:
        content = (folder / name).read_bytes()
        for damaged in (_flipped(content), content[:-1], b""):
            (folder / name).write_bytes(damaged)
            try:
                folder.check()
                wrong.append(name)
            except RunError as error:
                if error.message != f"{folder / name}: is not as the run wrote it":
                    wrong.append(str(error))
        (folder / name).unlink()
        with pytest.raises(RunError, match="is gone"):
            folder.check()
        (folder / name).write_bytes(content)
    assert not wrong
    folder.check()
    hashes = (folder / HASHES).read_bytes()
    (folder / HASHES).unlink()
    with pytest.raises(RunError, match="nothing tells whether the run's files are whole"):
        folder.check()
    (folder / HASHES).write_bytes(hashes)


def test_whoever_reads_a_run_looks_at_the_hashes(saved: archspec.Run, tmp_path: Path) -> None:
    """One bit is flipped in each file that is read, or a file is there that changes the tokens."""
    path, model = saved.path, archspec.build(SPEC, device="cpu")
    readers: dict[str, tuple[Callable[[], Any], list[str]]] = {
        "runs": (lambda: archspec.Run.of(path), [FACTS]),
        "predict": (
            lambda: archspec.Predictor(path, device="cpu"),
            [FACTS, SPEC_FILE, "vocab.txt", "tokenizer_config.json", BEST],
        ),
        "predict --weights last": (
            lambda: archspec.Predictor(path, weights="last", device="cpu"), [SPEC_FILE, LAST]
        ),
        "predict --weights FILE": (
            lambda: archspec.Predictor(path, weights=path / LAST, device="cpu"),
            [SPEC_FILE, "vocab.txt", LAST],
        ),
        "model": (lambda: saved.model(device="cpu"), [SPEC_FILE, BEST]),
        "train --weights": (
            lambda: train(tmp_path, weights=path),
            [FACTS, SPEC_FILE, "vocab.txt", "tokenizer_config.json", BEST],
        ),
        "load_weights": (lambda: archspec.load_weights(model, path / LAST), [LAST]),
    }  # fmt: skip
    wrong: list[str] = []
    for reader, (read, names) in readers.items():
        for name in names:
            place = path / name
            content = place.read_bytes() if place.exists() else b""
            place.write_bytes(_flipped(content) if content else b"{}")
            try:
                read()
                wrong.append(f"{reader}: {name} is read")
            except RunError as error:
                if error.code != "E920" or not error.message.startswith(f"{place}: "):
                    wrong.append(f"{reader}: {name}: {error}")
            finally:
                place.write_bytes(content)
                if not content:
                    place.unlink()
    assert not wrong, "\n".join(wrong)
    assert not any(tmp_path.iterdir())


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def test_resuming_looks_at_the_hashes(saved: archspec.Run) -> None:
    RunFolder(saved.path).write_json(FACTS, {**saved.facts, "status": "stopped"})
    vocabulary = saved.path / "vocab.txt"
    content = vocabulary.read_text()
    vocabulary.write_text(content + "more\n")
    with pytest.raises(RunError) as caught:
        archspec.resume(saved.path, progress=False)
    assert caught.value.message == f"{vocabulary}: is not as the run wrote it"
    vocabulary.write_text(content)


def test_a_process_that_is_killed_while_it_replaces_a_file(saved: archspec.Run) -> None:
    """The hash is noted first: with either file in place the run goes on; leftovers are removed."""
    folder = RunFolder(saved.path)
    run_hashes.note(folder.path, FREEZE, "0" * 64)
    left = storage.temporary_path(folder / STATE), folder / "checkpoints/.resume.pt.1a2b3c4d"
    kept = folder / "checkpoints/.other.pt.1a2b3c4d"  # is nobody's leftover
    for file in (*left, kept):
        file.write_bytes(b"half of it")
    folder.check()
    assert [file.exists() for file in (*left, kept)] == [False, False, True]
    assert json.loads(folder.read(HASHES))[FREEZE] == [run_hashes.digest(folder / FREEZE)]


def test_a_run_that_ended_before_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = RunFolder.create(tmp_path, "early", "early")
    folder.write(SPEC_FILE, "archspec: 1\n")
    with pytest.raises(RunError) as caught:
        archspec.resume(folder.path)
    said = "its process ended before the run began, nothing was trained"
    assert caught.value.message == f"{folder.path}: {said}"
    assert caught.value.hint == "remove the folder, and train anew"
