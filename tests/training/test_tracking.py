"""Runs that Weights & Biases and MLflow are told of, offline; what they have is read back."""

from __future__ import annotations

import importlib.util
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
import pytest
from google.protobuf.message import DecodeError

import archspec
from archspec.errors import UsageError
from archspec.training import environment

HERE = Path(__file__).parent
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"
GIVEN: dict[str, Any] = {
    "epochs": 2, "batch_size": 16, "learning_rate": 1e-2, "freeze": "head-only", "device": "cpu",
    "feature_cache": "off", "progress": False,
}  # fmt: skip
STEPS = [*range(1, 13)]  # of two epochs


def train(out: Path, **given: Any) -> archspec.Run:
    data = {"train": str(DATA), "test": str(DATA)}
    return archspec.train(SPEC, data, output_dir=out, **{**GIVEN, **given})


class StopsAt(archspec.TrainCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, state: archspec.TrainState) -> None:
        if state.step == self.step:
            state.stop()


def log_of(run: archspec.Run) -> str:
    return (run.path / "train.log").read_text()


def losses(run: archspec.Run) -> dict[int, float]:
    return {line["step"]: line["loss"] for line in run.metrics if line["kind"] == "step"}


# ------------------------------------------------------------------------------ Weights & Biases


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")


def records(file: Path) -> Iterator[Any]:
    """What an offline run wrote: a log in LevelDB's format, in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import (
        Record,  # pyright: ignore[reportAttributeAccessIssue]
    )

    data, at, parts = file.read_bytes(), 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        _, size, kind = struct.unpack("<IHB", data[at : at + 7])
        parts += data[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # whole, or the last part
            record = Record()
            try:
                record.ParseFromString(parts)
            except DecodeError:  # its end is not written yet
                return
            yield record
            parts = b""


def whole(file: Path) -> list[Any]:
    """The records of a run that has ended: wandb's own process may still be writing the last."""
    for _ in range(600):
        found = [*records(file)]
        if found and found[-1].HasField("exit"):
            return found
        time.sleep(0.1)
    raise AssertionError(f"{file} has no end")


def items(updates: Any) -> dict[str, Any]:
    return {one.key or ".".join(one.nested_key): json.loads(one.value_json) for one in updates}


class WandbRun:
    """What ``wandb sync`` uploads of a run: the last folder, if it was resumed."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(folder.glob("logs/wandb/offline-run-*/*.wandb"))[-1:]
        self.ids, self.names = set[str](), set[str]()
        self.config, self.summary = dict[str, Any](), dict[str, Any]()
        self.history, self.uploads = dict[int, dict[str, Any]](), set[str]()
        for record in [record for file in self.files for record in whole(file)]:
            if record.HasField("run"):
                self.ids.add(record.run.run_id)
                self.names.add(f"{record.run.project}/{record.run.display_name}")
                self.config |= items(record.run.config.update)
            self.summary |= items(record.summary.update) if record.HasField("summary") else {}
            if record.HasField("history"):
                row = items(record.history.item)
                self.history.setdefault(row["_step"], {}).update(row)
            self.uploads |= {one.path for one in record.files.files}


@pytest.mark.usefixtures("offline")
def test_wandb_goes_on_in_the_same_run(tmp_path: Path) -> None:
    run = train(tmp_path, track="wandb", name="mine", callbacks=[StopsAt(4)])
    assert run.status == "stopped"
    before = WandbRun(run.path)
    assert before.summary["status"] == "stopped" and {*before.history} == {*STEPS[:4]}
    assert before.uploads >= {"spec.yaml", "run.json", "freeze.json"}
    run = archspec.resume(run.path, progress=False)
    assert run.status == "finished" and "tracked with wandb" in log_of(run)
    found = WandbRun(run.path)
    assert before.files != found.files and before.ids == found.ids
    assert found.ids == {run.facts["tracking"]["id"]}
    assert found.names == {"archspec/mine"}
    assert found.config["options"]["learning_rate"] == 1e-2 and found.config["seed"] == 0
    assert found.config["options"]["phases"] == [{"plan": "head-only", "epochs": 2}]
    assert found.config["parameters"] == run.facts["parameters"]
    assert {step: row["train/loss"] for step, row in found.history.items()} == losses(run)
    assert run.best is not None and run.test is not None
    assert found.history[12]["validation/accuracy"] == run.epochs[-1]["accuracy"]
    assert found.summary["test/accuracy"] == run.test["accuracy"]
    assert found.summary["status"] == "finished"
    folder = found.files[-1].parent / "files"
    assert found.uploads >= {"report.json", "report.md", "curves.svg", "confusion-test.svg"}
    for name in ("spec.yaml", "run.json", "freeze.json", "report.json", "report.md"):
        assert (folder / name).read_bytes() == (run.path / name).read_bytes(), name
        assert not (folder / name).is_symlink()
    proof = json.loads((folder / "freeze.json").read_text())["phases"][0]
    assert proof["report"]["plan"] == "head-only" and proof["proof"]


def test_wandb_without_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(UsageError) as caught:
        train(tmp_path / "runs", track="wandb")
    (problem,) = caught.value.problems
    assert (problem.code, problem.message) == ("E801", "track: wandb has no API key")
    assert "WANDB_MODE=offline" in problem.hint and not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("offline")
def test_wandb_without_a_network_is_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb
    from wandb.errors import CommError

    init, modes = wandb.init, list[str]()

    def unreachable(**given: Any) -> Any:
        modes.append(given["mode"])
        if given["mode"] == "online":
            raise CommError("no such host")
        return init(**given)

    monkeypatch.setattr(wandb, "init", unreachable)
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setenv("WANDB_MODE", "online")
    run = train(tmp_path, track="wandb", epochs=1)
    assert modes == ["online", "offline"] and "'wandb sync " in log_of(run)
    assert {*WandbRun(run.path).history} == {*STEPS[:6]}


# ------------------------------------------------------------------------------------------ MLflow


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place.as_uri())
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    return place


def folder_of(store: Path, run: archspec.Run) -> Path:
    (found,) = store.glob(f"*/{run.facts['tracking']['id']}")
    return found


def points(folder: Path, name: str) -> dict[int, float]:
    """A metric as the file store has it: time, value and step in each line."""
    rows = [line.split() for line in (folder / "metrics" / name).read_text().splitlines()]
    assert len({step for _, _, step in rows}) == len(rows)
    return {int(step): float(value) for _, value, step in rows}


def test_mlflow_goes_on_in_the_same_run(store: Path, tmp_path: Path) -> None:
    weights = {"no": 1.0, "yes": 2.0}
    run = train(tmp_path, track="mlflow", callbacks=[StopsAt(4)], class_weights=weights)
    client, tracked = mlflow.MlflowClient(), run.facts["tracking"]["id"]
    assert run.status == "stopped" and client.get_run(tracked).info.status == "KILLED"
    run = archspec.resume(run.path, progress=False)
    assert run.status == "finished" and run.facts["tracking"] == {
        "service": "mlflow", "id": tracked,
    }  # fmt: skip
    found = client.get_run(tracked)
    assert found.info.status == "FINISHED" and found.info.run_name == run.path.name
    experiment = client.get_experiment_by_name("archspec")
    assert experiment is not None and found.info.experiment_id == experiment.experiment_id
    assert len(client.search_runs([experiment.experiment_id])) == 1
    params = found.data.params
    assert params["options.learning_rate"] == "0.01" and params["plan"] == "head-only"
    assert params["options.class_weights"] == str(weights)
    folder = folder_of(store, run)
    assert points(folder, "train/loss") == losses(run)
    assert [*points(folder, "learning_rate")] == STEPS
    assert points(folder, "validation/accuracy") == {
        line["step"]: line["accuracy"] for line in run.epochs
    }
    assert run.test is not None
    assert points(folder, "test/accuracy") == {12: run.test["accuracy"]}
    for name in ("spec.yaml", "run.json", "freeze.json", "report.json", "report.md"):
        assert (folder / "artifacts" / name).read_bytes() == (run.path / name).read_bytes(), name


def test_a_tracked_run_is_trained_for_longer(store: Path, tmp_path: Path) -> None:
    run = train(tmp_path, track="mlflow")
    run = archspec.resume(run.path, epochs=1, progress=False)
    folder = folder_of(store, run)
    assert points(folder, "train/loss") == losses(run) and len(losses(run)) == 18
    assert json.loads((folder / "artifacts/run.json").read_text())["epochs"] == 3
    assert "tracking has ended" not in log_of(run)


def test_what_fails_later_does_not_end_the_run(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_batch, calls = mlflow.MlflowClient.log_batch, list[int]()

    def fails(self: Any, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        calls.append(len(metrics))
        if metrics and metrics[-1].step == 12:
            raise OSError("no space\non the server")
        log_batch(self, run_id, metrics=metrics, params=params)

    monkeypatch.setattr(mlflow.MlflowClient, "log_batch", fails)
    run = train(tmp_path, track="mlflow")
    assert run.status == "finished" and run.test is not None and len(losses(run)) == 12
    line = "MLflow: tracking has ended: no space; what follows step 6 is only in the run's folder"
    assert log_of(run).splitlines().count(line) == 1
    assert {*points(folder_of(store, run), "train/loss")} == {*STEPS[:6]}
    assert calls[-1] == 18  # nothing is tried after it: three figures of six steps


def test_a_service_that_cannot_be_reached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    run = train(tmp_path, track="mlflow", epochs=1)
    assert run.status == "finished" and "tracking" not in run.facts
    assert "MLflow: tracking has ended: " in log_of(run)
    assert "; what follows step 0 is only in the run's folder" in log_of(run)


def test_a_failed_run_is_called_so(store: Path, tmp_path: Path) -> None:
    class Fails(archspec.TrainCallback):
        def on_epoch_end(self, state: archspec.TrainState) -> None:
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        train(tmp_path, track="mlflow", name="one", callbacks=[Fails()])
    run = archspec.Run.of(tmp_path / "one")
    assert mlflow.MlflowClient().get_run(run.facts["tracking"]["id"]).info.status == "FAILED"
    facts = json.loads((folder_of(store, run) / "artifacts/run.json").read_text())
    assert (facts["status"], facts["error"]) == ("failed", "ValueError")


@pytest.mark.usefixtures("store")
def test_each_trial_of_a_sweep_is_a_run_there(tmp_path: Path) -> None:
    found = archspec.sweep(
        SPEC, DATA, {"learning_rate": "0.01,0.1"}, trials=2, output_dir=tmp_path, name="both",
        track="mlflow", epochs=1, device="cpu", progress=False,
    )  # fmt: skip
    client = mlflow.MlflowClient()
    experiment = client.get_experiment_by_name("archspec")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    told = {run.info.run_name: run.data.params["options.learning_rate"] for run in runs}
    assert told == {one.name: str(one.values["learning_rate"]) for one in found.trials}


# ---------------------------------------------------------------------------------------- refusals


def test_a_service_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name in ("wandb", "mlflow") else find(name),
    )
    for service in ("wandb", "mlflow"):
        with pytest.raises(UsageError) as caught:
            train(tmp_path / "runs", track=service)
        (problem,) = caught.value.problems
        assert (problem.code, problem.message) == ("E801", f"track={service} needs {service}")
        assert problem.hint == f"pip install 'archspec-nn[train,{service}]'"
    assert not (tmp_path / "runs").exists()


def test_only_the_first_process_asks_for_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, value in {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "2", "RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    environment.check_tracking("wandb", 1)
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(UsageError):
        environment.check_tracking("wandb", 1)


def test_another_service(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        train(tmp_path, track="wand")
    (problem,) = caught.value.problems
    assert problem.message == "track must be one of wandb, mlflow, not 'wand'"
    assert "wandb" in problem.hint
