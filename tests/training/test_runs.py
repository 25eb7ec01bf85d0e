"""Runs from their data to their test: folders, resuming after a kill, stopping, several plans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import archspec
from archspec.errors import DataError, FreezeError, RunError, UsageError
from archspec.freezing import FreezeProof
from archspec.training import loop
from archspec.training.optimization import lr_factor
from archspec.training.run_folder import BEST, LAST, METRICS, STATE, RunFolder

HERE = Path(__file__).parent
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"
PHASED: dict[str, Any] = {
    "phases": "head-only:1,body-and-head:2", "batch_size": 8, "learning_rate": 1e-2,
    "device": "cpu", "progress": False,
}  # fmt: skip


def train(out: Path, **given: Any) -> archspec.Run:
    return archspec.train(SPEC, DATA, output_dir=out, **given)


def lines(run: archspec.Run) -> list[dict[str, Any]]:
    """The metrics, without what no two runs have in common."""
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics]


def weights(run: archspec.Run, name: str = LAST) -> bytes:
    return (run.path / name).read_bytes()


class AtStep(archspec.TrainCallback):
    """Lets something happen at a step, before it is saved."""

    def __init__(self, step: int, act: Callable[[archspec.TrainState], None]) -> None:
        self.step, self.act = step, act

    def on_batch_end(self, state: archspec.TrainState) -> None:
        if state.step == self.step:
            self.act(state)


def stopping(step: int) -> list[archspec.TrainCallback]:
    return [AtStep(step, archspec.TrainState.stop)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> archspec.Run:
    """A run of two plans that nothing interrupted."""
    return train(tmp_path_factory.mktemp("whole"), **PHASED)


# ------------------------------------------------------------------------------------------ folder


def test_what_a_run_says(whole: archspec.Run) -> None:
    assert whole.status == "finished" and whole.labels == ("no", "yes")
    kinds = [line["kind"] for line in whole.metrics]
    assert kinds.count("step") == 3 * 11 and kinds.count("epoch") == 3
    assert [line["plan"] for line in whole.epochs] == ["head-only", *["body-and-head"] * 2]
    assert [line["step"] for line in whole.metrics if line["kind"] == "step"] == [*range(1, 34)]
    for line in whole.epochs:
        confusion = torch.tensor(line["confusion"])
        assert int(confusion.sum()) == line["count"] == 8
        assert line["accuracy"] == pytest.approx(int(confusion.diagonal().sum()) / 8)
        steps = [one for one in whole.metrics if one["kind"] == "step"]
        mine = [one for one in steps if one["epoch"] == line["epoch"]]
        rows = np.diff([0, *(one["samples"] for one in mine)])
        assert sorted(rows) == [2, *[8] * 10]
        assert line["train_loss"] == pytest.approx(sum(rows * [one["loss"] for one in mine]) / 82)
    assert whole.best is not None and whole.best["best"]
    assert whole.test is None  # there is no such split


def test_the_schedule_begins_anew_with_each_plan(whole: archspec.Run) -> None:
    rates = [line["learning_rate"] for line in whole.metrics if line["kind"] == "step"]
    assert rates[0] == 1e-2 and rates[11:14] == [5e-3, 1e-2, 1e-2]  # one step of 11, two of 22
    assert rates[10] == pytest.approx(1e-3) and rates[-1] == pytest.approx(1e-2 / 20)


def test_a_folder_explains_itself(whole: archspec.Run) -> None:
    spec = archspec.load(whole.path / "spec.yaml")
    task = spec.architecture.task
    assert task and task.labels == ["no", "yes"] and task.text and task.text.max_length == 12
    assert (whole.path / "model.py").read_text() == archspec.to_python(SPEC)
    assert (whole.path / "vocab.txt").read_bytes() == (HERE / "vocab.txt").read_bytes()
    facts = whole.facts
    assert facts["data"]["counts"] == {"train": 82, "validation": 8}
    data = archspec.open_data(DATA, task=task)
    assert facts["data"]["fingerprint"] == data.fingerprint
    assert facts["options"]["batch_size"] == 8 and facts["seed"] == 0
    assert facts["versions"]["torch"] == torch.__version__
    assert "<svg" in (whole.path / "curves.svg").read_text()
    assert "epoch 3" in (whole.path / "train.log").read_text()
    report = json.loads((whole.path / "report.json").read_text())["splits"]["validation"]
    assert whole.best is not None  # whose weights are reported on
    assert [report[key] for key in ("confusion", "accuracy", "count")] == [
        whole.best[key] for key in ("confusion", "accuracy", "count")
    ]
    page = (whole.path / "report.md").read_text()
    assert "![Confusion matrix](confusion-validation.svg)" in page and "| seed | 0 |" in page
    assert (whole.path / "confusion-validation.svg").is_file()
    logs = {path.name for path in (whole.path / "logs").glob("*/*")}
    assert "metrics.csv" in logs and any(name.startswith("events.") for name in logs)
    hidden = [path.name for path in whole.path.rglob(".*") if path.name != ".lock"]
    assert hidden == []  # no temporary file is left


def test_the_proof_holds_for_the_weights(whole: archspec.Run) -> None:
    phases = json.loads((whole.path / "freeze.json").read_text())["phases"]
    assert [phase["report"]["plan"] for phase in phases] == ["head-only", "body-and-head"]
    model = whole.model(weights="last", device="cpu")
    archspec.freeze(model, "body-and-head")
    FreezeProof.from_dict(phases[1]["proof"]).verify(model)
    archspec.freeze(model, "head-only")
    with pytest.raises(FreezeError) as caught:  # the second plan has moved the body
        FreezeProof.from_dict(phases[0]["proof"]).verify(model)
    assert {p.message for p in caught.value.problems} >= {"'body.first.weight' has moved"}
    fresh = archspec.build(SPEC, device="cpu", seed=0)
    assert torch.equal(model.get_parameter("words.weight"), fresh.get_parameter("words.weight"))
    assert not torch.equal(model.get_parameter("body.first.weight"),
                           fresh.get_parameter("body.first.weight"))  # fmt: skip


def test_a_model_that_moves_something_frozen(tmp_path: Path) -> None:
    def thaw(state: archspec.TrainState) -> None:
        state.model.get_parameter("words.weight").data.add_(1)

    given: dict[str, Any] = {"epochs": 1, "freeze": "head-only", "device": "cpu"}
    with pytest.raises(FreezeError) as caught:
        train(tmp_path, **given, progress=False, callbacks=[AtStep(2, thaw)])
    assert caught.value.message == "'words.weight' has moved"
    (run,) = archspec.runs(tmp_path)
    assert run.status == "failed" and "E704" in run.facts["error"]


def test_equal_options_give_equal_weights(whole: archspec.Run, tmp_path: Path) -> None:
    again = train(tmp_path, **PHASED)
    assert weights(again) == weights(whole) and lines(again) == lines(whole)
    other = train(tmp_path, **{**PHASED, "seed": 1})
    assert weights(other) != weights(whole) and other.path != again.path
    assert [run.path for run in archspec.runs(tmp_path)] == sorted([again.path, other.path])


# ---------------------------------------------------------------------------------------- resuming

KILLED = """
import os, signal, sys
from pathlib import Path
import archspec
class Kill(archspec.TrainCallback):
    def on_batch_end(self, state):
        if state.step == 16:
            os.kill(os.getpid(), signal.SIGKILL)
archspec.train(
    {spec!r}, {data!r}, output_dir={out!r}, save_interval=0, callbacks=[Kill()], **{given!r}
)
"""


def test_a_killed_run_ends_as_if_it_had_not_been(whole: archspec.Run, tmp_path: Path) -> None:
    text = KILLED.format(spec=str(SPEC), data=str(DATA), out=str(tmp_path), given=PHASED)
    root = str(HERE.parent.parent)
    environ = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    (run,) = archspec.runs(tmp_path)
    assert run.status == "killed" and len(run.epochs) == 1  # in the middle of the second
    resumed = archspec.resume(run.path, progress=False)
    assert resumed.status == "finished" and len(resumed.facts["resumed"]) == 1
    assert weights(resumed) == weights(whole)
    assert weights(resumed, BEST) == weights(whole, BEST)
    assert lines(resumed) == lines(whole)


@pytest.mark.parametrize("step", [5, 11, 33])
def test_a_stopped_run_ends_as_if_it_had_not_been(
    step: int, whole: archspec.Run, tmp_path: Path
) -> None:
    before = signal.getsignal(signal.SIGINT)
    interrupt = AtStep(step, lambda state: os.kill(os.getpid(), signal.SIGINT))
    run = train(tmp_path, **PHASED, callbacks=[interrupt])
    last = step == 33  # of the run: there is nothing left to stop
    assert run.status == ("finished" if last else "stopped")
    done = [line["step"] for line in run.metrics if line["kind"] == "step"]
    assert done == [*range(1, step + 1)]
    assert signal.getsignal(signal.SIGINT) is before
    resumed = archspec.resume(run.path, progress=False)
    assert resumed.status == "finished"
    assert weights(resumed) == weights(whole) and lines(resumed) == lines(whole)


def test_a_failing_step_loses_nothing(whole: archspec.Run, tmp_path: Path) -> None:
    def fail(state: archspec.TrainState) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        train(tmp_path, **PHASED, save_interval=0, callbacks=[AtStep(20, fail)])
    (run,) = archspec.runs(tmp_path)
    assert run.status == "failed" and run.facts["error"] == "OSError"
    assert weights(archspec.resume(run.path, progress=False)) == weights(whole)


def test_a_run_goes_on_whichever_file_was_its_last(
    whole: archspec.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The resume file and the weights are two: with a disk that fills up one may be there alone."""
    write_state, write_weights, written = loop.write_state, loop.write_weights, 0

    def counted(write: Callable[..., None], last: int) -> Callable[..., None]:
        def write_or_fail(folder: RunFolder, *given: Any) -> None:
            nonlocal written
            written += 1
            if written == last:
                raise folder.unwritable(LAST, OSError(28, "No space left on device"))
            write(folder, *given)

        return write_or_fail

    wrong, last = list[str](), 0
    for last in range(1, 100):
        written = 0
        with monkeypatch.context() as patched:
            patched.setattr(loop, "write_state", counted(write_state, last))
            patched.setattr(loop, "write_weights", counted(write_weights, last))
            try:
                train(tmp_path, **PHASED, name=str(last))
            except RunError:
                pass
            else:
                break
        path = tmp_path / str(last)
        if not (path / STATE).is_file():
            continue
        resumed = archspec.resume(path, progress=False)
        if weights(resumed) != weights(whole) or weights(resumed, BEST) != weights(whole, BEST):
            wrong.append(f"write {last}")
    assert last > 10 and not wrong, wrong


def test_accumulated_gradients_resume_too(tmp_path: Path) -> None:
    given = {**PHASED, "accumulate_grad_batches": 3, "batch_size": 4, "schedule": "one-cycle"}
    expected = train(tmp_path, **given)
    run = train(tmp_path, **given, callbacks=stopping(9))
    assert run.status == "stopped" and sum(line["kind"] == "step" for line in run.metrics) == 9
    resumed = archspec.resume(run.path, progress=False)
    assert weights(resumed) == weights(expected) and lines(resumed) == lines(expected)


def test_what_cannot_be_resumed(whole: archspec.Run, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        archspec.resume(tmp_path)
    assert caught.value.code == "E920" and caught.value.message == f"{tmp_path}: no run"
    assert archspec.resume(whole.path).facts == whole.facts  # it had finished


def stopped(tmp_path: Path) -> archspec.Run:
    return train(tmp_path, **{**PHASED, "phases": "head-only:1"}, callbacks=stopping(3))


def test_other_data_is_refused(tmp_path: Path) -> None:
    run = stopped(tmp_path)
    other = tmp_path / "other.csv"
    other.write_text(DATA.read_text().replace("film", "day"))
    task = archspec.load(SPEC).architecture.task
    with pytest.raises(RunError) as caught:
        archspec.resume(run.path, data=archspec.open_data(other, task=task))
    assert caught.value.code == "E920" and "data has changed" in caught.value.message
    same = archspec.open_data(DATA, task=task)
    assert archspec.resume(run.path, data=same, progress=False).status == "finished"


def test_a_resume_file_runs_nothing(tmp_path: Path) -> None:
    run = stopped(tmp_path)

    class Evil:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    for content in (Evil(), {"position": {}}, [1]):
        torch.save(content, run.path / STATE)
        with pytest.raises(RunError) as caught:
            archspec.resume(run.path, progress=False)
        assert caught.value.code == "E920"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("position", {"phase": 0, "else": 1}),
        ("best", [3]),
        ("metrics", [3]),
        ("unfrozen_state", {"words.weight": 3}),
        ("optimizer", {"state": {99: {"step": torch.ones(())}}, "param_groups": []}),
        ("optimizer", {}),
    ],
)
def test_a_resume_file_of_something_else(key: str, value: Any, tmp_path: Path) -> None:
    run = stopped(tmp_path)
    state = torch.load(run.path / STATE, weights_only=True)
    with RunFolder(run.path).replacing(STATE) as place:  # its hash follows
        torch.save({**state, key: value}, place)
    with pytest.raises(RunError) as caught:
        archspec.resume(run.path, progress=False)
    assert caught.value.code == "E920" and "the resume file does not fit" in caught.value.message


def test_metrics_that_were_changed(tmp_path: Path) -> None:
    run = train(tmp_path, epochs=1)
    file = run.path / METRICS
    whole = file.read_text()
    for text in (whole.replace('"train_loss": ', '"train_loss": 1'), whole[:-60], ""):
        file.write_text(text)
        with pytest.raises(RunError) as caught:
            archspec.resume(run.path, epochs=2, progress=False)
        assert caught.value.message == f"{file}: is not as the run wrote it"
    file.write_text(whole)
    assert len(archspec.resume(run.path, epochs=2, progress=False).epochs) > len(run.epochs)


def test_what_is_gone_from_a_trained_run(tmp_path: Path) -> None:
    run = train(tmp_path, epochs=1)
    (run.path / "run.json").unlink()
    for again in (
        lambda: archspec.resume(run.path, epochs=2, progress=False),
        lambda: archspec.Predictor(run.path, device="cpu"),
        lambda: train(tmp_path, epochs=1, weights=run.path / BEST),
    ):
        with pytest.raises(RunError) as caught:
            again()
        assert caught.value.message == f"{run.path / 'run.json'}: is gone"
        assert caught.value.hint == "put back a copy of the file, or train anew"


def test_two_processes_are_not_at_one_run(tmp_path: Path) -> None:
    run = stopped(tmp_path)
    with RunFolder(run.path).locked(), pytest.raises(RunError) as caught:
        archspec.resume(run.path, progress=False)
    assert caught.value.message.endswith("another process has it open")


# ----------------------------------------------------------------------------------- data and spec


def test_what_is_frozen_without_weights_is_told(tmp_path: Path) -> None:
    """Such a model learns little, and nothing else says why."""
    given: dict[str, Any] = {"device": "cpu", "progress": False}
    model = archspec.build(SPEC, device="meta")
    head = sum(p.numel() for p in model.get_submodule("classifier").parameters())
    count = sum(p.numel() for p in model.parameters()) - head
    note = f"{count:,} parameters are frozen at their initial, random values: no weights are given"
    run = archspec.train(
        SPEC, DATA, output_dir=tmp_path / "a", freeze="head-only", epochs=1, **given
    )
    assert note in run.facts["weights"]["notes"] and note in (run.path / "train.log").read_text()
    phases = "head-only:1,none:1"  # the second one trains all
    run = archspec.train(SPEC, DATA, output_dir=tmp_path / "b", phases=phases, **given)
    assert not any("random" in line for line in run.facts["weights"]["notes"])


def test_the_number_of_classes_comes_from_the_data(tmp_path: Path) -> None:
    data = tmp_path / "three.csv"
    rows = DATA.read_text().splitlines()
    third = [f"{line.rpartition(',')[0]},maybe" if i % 3 == 0 else line
             for i, line in enumerate(rows[1:])]  # fmt: skip
    data.write_text("\n".join([rows[0], *third]) + "\n")
    base = archspec.build(SPEC, device="cpu", seed=3)
    heads = {f"heads.{i}.bias": torch.zeros(2) for i in range(2)}
    save_file({**base.state_dict(), **heads}, tmp_path / "base.safetensors")
    run = archspec.train(
        SPEC, data, output_dir=tmp_path / "runs", weights=tmp_path / "base.safetensors",
        ignore=["heads"], freeze="head-only", epochs=1, device="cpu", progress=False,
    )  # fmt: skip
    assert run.labels == ("maybe", "no", "yes")
    assert archspec.load(run.path / "spec.yaml").values["num_labels"] == 3
    assert run.facts["weights"]["fresh"] == ["classifier.weight", "classifier.bias"]
    assert run.facts["weights"]["notes"] == [
        "not in the weights, and start anew: classifier.weight, classifier.bias",
        "2 tensors of the file are left unread: heads.(0-1).bias",
    ]
    trained = load_file(run.path / BEST)
    assert trained["classifier.weight"].shape == (3, 16)
    assert torch.equal(trained["words.weight"], base.get_parameter("words.weight"))
    with pytest.raises(DataError) as caught:
        archspec.train(SPEC, data, output_dir=tmp_path, num_labels=2, progress=False)
    assert caught.value.code == "E906" and caught.value.hint.startswith("leave num_labels out")


@pytest.mark.parametrize(
    ("given", "code", "message"),
    [
        ({"freeze": "all"}, "E705", "no parameter is trainable"),
        ({"freeze": "had-only"}, "E703", "had-only"),
        ({"device": "gpu"}, "E801", "no device is called 'gpu'"),
        ({"allow_missing": ["nothing"], "weights": "{folder}/w.safetensors"}, "E701", "nothing"),
        ({"layout": "theirs", "weights": "{folder}/w.safetensors"}, "E604", "theirs"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_is_written(
    given: dict[str, Any], code: str, message: str, tmp_path: Path
) -> None:
    archspec.save_weights(archspec.build(SPEC, device="cpu"), tmp_path / "w.safetensors")
    if "weights" in given:
        given = {**given, "weights": given["weights"].format(folder=tmp_path)}
    with pytest.raises(archspec.ArchspecError) as caught:
        train(tmp_path / "runs", **given)
    assert caught.value.code == code and message in str(caught.value)
    assert not (tmp_path / "runs").exists()


def test_a_spec_that_is_for_something_else(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        archspec.train("t5", DATA, output_dir=tmp_path)
    assert caught.value.message == "t5 is without a task"


def test_a_loss_that_is_not_finite(tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        train(tmp_path, learning_rate=1e30, device="cpu", progress=False)
    assert caught.value.code == "E922"
    (run,) = archspec.runs(tmp_path)
    assert run.status == "failed" and "E922" in run.facts["error"]


def test_patience_ends_a_phase(tmp_path: Path) -> None:
    given = {**PHASED, "phases": None, "epochs": 9, "patience": 2, "learning_rate": 0.0}
    run = train(tmp_path, **given)
    assert [line["best"] for line in run.epochs] == [True, False, False]
    assert run.status == "finished"


def test_one_process_and_two_have_one_loss_curve(tmp_path: Path) -> None:
    spec = HERE / "layers.yaml"
    given = ["--epochs", "2", "--batch-size", "8", "-p", "p=0", "--device", "cpu"]
    given += ["--learning-rate", "0.01", "--freeze", "last-and-head", "--json"]
    command = ["-m", "archspec", "train", str(spec), "--data", str(DATA), *given]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environ = {**os.environ, "PYTHONPATH": str(HERE.parent.parent), "OMP_NUM_THREADS": "1"}
    two = [*torchrun, *command, "--strategy", "ddp", "--output-dir", str(tmp_path / "two")]
    done = subprocess.run([sys.executable, *two], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    one = archspec.train(
        spec, DATA, output_dir=tmp_path, epochs=2, batch_size=8, device="cpu", learning_rate=0.01,
        freeze="last-and-head", progress=False, p=0,
    )  # fmt: skip
    (both,) = archspec.runs(tmp_path / "two")
    assert both.status == "finished"
    for run in (one, both):  # each of the two has computed its part of the frozen layers' values
        (phase,) = json.loads((run.path / "freeze.json").read_text())["phases"]
        assert phase["activations"]["samples"] == 90
    assert "90 samples computed" in (one.path / "train.log").read_text()
    assert " samples computed" in (both.path / "train.log").read_text()
    for mine, theirs in zip(lines(one), lines(both), strict=True):
        rounded = {"loss": 0, "train_loss": 0, "grad_norm": 0}
        assert {**theirs, **rounded} == {**mine, **rounded}
        assert theirs["loss"] == pytest.approx(mine["loss"], rel=1e-5)
        assert theirs.get("grad_norm", 0) == pytest.approx(mine.get("grad_norm", 0), rel=1e-4)
    for name, tensor in load_file(one.path / LAST).items():
        torch.testing.assert_close(load_file(both.path / LAST)[name], tensor, rtol=1e-4, atol=1e-6)


def test_a_number_of_steps_ends_a_run_in_the_middle(whole: archspec.Run, tmp_path: Path) -> None:
    """11 steps of the first plan, 5 of the second: as if nothing more had been asked for."""
    short = {**PHASED, "max_steps": 16}
    run = train(tmp_path, **short)
    assert run.status == "finished" and run.facts["ended_by"] == "max_steps"
    assert "max_steps: training ends after 16 steps" in (run.path / "train.log").read_text()
    steps = [line for line in run.metrics if line["kind"] == "step"]
    assert [line["step"] for line in steps] == [*range(1, 17)]
    assert [line["step"] for line in run.epochs] == [11, 16] and len(run.verify()) == 2
    assert run.epochs[1]["count"] == 8  # all of the validation
    assert lines(run)[:12] == lines(whole)[:12]
    schedule = lr_factor("linear", 5, 0.1)
    rates = [line["learning_rate"] for line in steps[11:]]
    assert rates == pytest.approx([1e-2 * schedule(step) for step in range(5)])
    for step in (13, 16):
        stopped = train(tmp_path, **short, callbacks=stopping(step))
        assert stopped.status == ("stopped" if step == 13 else "finished")
        resumed = archspec.resume(stopped.path, progress=False)
        assert resumed.status == "finished" and resumed.facts["ended_by"] == "max_steps"
        assert lines(resumed) == lines(run), step
        assert weights(resumed) == weights(run) and weights(resumed, BEST) == weights(run, BEST)
    longer = archspec.resume(run.path, epochs=1, progress=False)
    assert longer.status == "finished" and longer.facts["ended_by"] is None
    assert [line["step"] for line in longer.epochs] == [11, 16, 27]
    assert longer.options.max_steps is None


def test_more_steps_than_there_are_change_nothing(whole: archspec.Run, tmp_path: Path) -> None:
    for limit in (33, 1_000):
        run = train(tmp_path, **PHASED, max_steps=limit)
        assert run.facts["ended_by"] is None
        assert lines(run) == lines(whole) and weights(run) == weights(whole), limit
    few = train(
        tmp_path, **{**PHASED, "phases": "head-only:9"}, max_steps=2, accumulate_grad_batches=3
    )
    assert [line["samples"] for line in few.metrics if line["kind"] == "step"] in (
        [24, 48],
        [18, 42],
    )
    (phase,) = json.loads((few.path / "freeze.json").read_text())["phases"]
    assert phase["activations"] == {"reason": "the run ends within its first epoch"}
