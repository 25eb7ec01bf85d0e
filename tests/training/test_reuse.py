"""Frozen work done once in a run: with the cache as without it, whatever comes in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import archspec
from archspec.data import ImageEncoder
from archspec.errors import Problem, UsageError
from archspec.feature_cache import ActivationCache
from archspec.training.cached_activations import CachedActivations, arithmetic, parts
from archspec.training.data_feed import DataFeed
from archspec.training.recorder import Recorder
from archspec.training.run_folder import BEST, LAST

HERE = Path(__file__).parent
EXACT = ("highest", "high", "medium")
DATA = HERE / "tiny.csv"
GIVEN: dict[str, Any] = {
    "freeze": "last-and-head", "epochs": 2, "batch_size": 8, "learning_rate": 1e-2,
    "device": "cpu", "progress": False,
}  # fmt: skip
BERT: dict[str, Any] = {
    "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 12,
    "vocab_size": 40, "max_position_embeddings": 16, "max_length": 12,
    "tokenizer": HERE / "vocab.txt", "freeze": ["**", "!bert.encoder.layer[1]", "!classifier"],
}  # fmt: skip


def train(out: Path, spec: Any = HERE / "layers.yaml", **given: Any) -> archspec.Run:
    return archspec.train(spec, {"train": DATA, "test": DATA}, output_dir=out, **{**GIVEN, **given})


def lines(run: archspec.Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in run.metrics]


def weights(run: archspec.Run, name: str = LAST) -> bytes:
    return (run.path / name).read_bytes()


def activations(run: archspec.Run) -> list[dict[str, Any]]:
    phases = json.loads((run.path / "freeze.json").read_text())["phases"]
    return [phase["activations"] for phase in phases]


def test_progress_of_the_filling_is_in_the_log_and_in_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[Any] = []
    record = Recorder.computing

    def computing(self: Recorder, *progress: Any) -> None:
        record(self, *progress)
        assert self.path is not None
        records.append(json.loads((self.path / "run.json").read_text())["computing"])

    monkeypatch.setattr(Recorder, "computing", computing)
    monkeypatch.setattr("archspec.training.cached_activations._TOLD_EVERY", -1.0)
    monkeypatch.setattr("archspec.training.cached_activations._ROWS", 8)
    run = train(tmp_path, epochs=1)
    told = [line for line in log(run).splitlines() if line.startswith("frozen part computed once")]
    assert told[0] == "frozen part computed once: 8 of 90 samples", told
    assert records[0] == {"samples": 0, "of": 90, "seconds": 0.0}
    assert [one["samples"] for one in records[:3]] == [0, 8, 16]
    seconds = [one["seconds"] for one in records]
    assert seconds == sorted(seconds) and seconds[-1] > 0
    assert run.facts["computing"] is None


def test_run_json_says_how_far_an_evaluation_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    records: list[Any] = []
    record = Recorder.evaluating

    def evaluating(self: Recorder, *progress: Any) -> None:
        record(self, *progress)
        assert self.path is not None
        records.append(json.loads((self.path / "run.json").read_text())["evaluating"])

    monkeypatch.setattr(Recorder, "evaluating", evaluating)
    monkeypatch.setattr("archspec.training.recorder._EVALUATING_AFTER", -1.0)
    run = train(tmp_path, epochs=1, batch_size=5, test_split=None)
    told = [(one["split"], one["samples"], one["of"]) for one in records if one]
    assert told[0] == ("validation", 5, 8) and told[-1] == ("test", 85, 90), told
    assert all(samples < total for _, samples, total in told)
    assert records[0] is None is records[-1] and all(one["seconds"] >= 0 for one in records if one)
    assert run.facts["evaluating"] is None


def log(run: archspec.Run) -> str:
    return (run.path / "train.log").read_text()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> archspec.Run:
    return train(tmp_path_factory.mktemp("whole"))


def close(one: archspec.Run, other: archspec.Run, tolerance: float) -> None:
    for mine, theirs in zip(lines(one), lines(other), strict=True):
        assert mine["loss"] == pytest.approx(theirs["loss"], rel=tolerance)
    found = load_file(other.path / LAST)
    for name, tensor in load_file(one.path / LAST).items():
        torch.testing.assert_close(tensor, found[name], rtol=tolerance, atol=tolerance)


def test_a_run_is_the_same_to_rounding(whole: archspec.Run, tmp_path: Path) -> None:
    plain = train(tmp_path, feature_cache="off")
    close(whole, plain, 1e-5)
    assert [line["accuracy"] for line in whole.epochs] == [e["accuracy"] for e in plain.epochs]
    assert whole.test is not None and plain.test is not None
    assert activations(plain) == [{"reason": "the cache is off"}]
    (said,) = activations(whole)
    assert [(one["name"], one["shape"]) for one in said["values"]] == [("relu", [None, 16])]
    assert said["passed"] == ["attention_mask"] and said["samples"] == 82 + 8 + 90
    cache = whole.path.parent / ".activations"
    assert said["folder"] == str(cache)
    files = {path.name: path.stat().st_size for path in (cache / said["key"]).iterdir()}
    assert files["values.bin"] == said["bytes"] and said["bytes"] % 64 == 0
    assert files["rows.bin"] == 180 * 8
    assert "kept is relu of 180 samples" in log(whole)
    assert "90 samples computed in" in log(whole)  # those of the test when they are asked for
    assert (np.fromfile(cache / said["key"] / "rows.bin", np.uint64) > 0).all()


def test_a_transformer_is_the_same_to_rounding(tmp_path: Path) -> None:
    given = {**BERT, "epochs": 1}
    cached = train(tmp_path, "bert", **given)
    close(cached, train(tmp_path, "bert", **given, feature_cache="off"), 1e-4)
    (said,) = activations(cached)
    assert said["values"][0]["name"] == "bert.encoder.layer.0.output.LayerNorm"
    assert said["passed"] == ["attention_mask"] and 0.4 < said["share"] < 0.6


def test_a_second_run_computes_nothing(
    whole: archspec.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[int] = []
    compute = CachedActivations.compute

    def counted(self: CachedActivations, split: str, some: Any) -> Any:
        for rows in compute(self, split, some):
            computed.append(rows)
            yield rows

    monkeypatch.setattr(CachedActivations, "compute", counted)
    cache = whole.path.parent / ".activations"
    again = train(tmp_path, feature_cache=cache, feature_cache_size=0.001)
    assert weights(again) == weights(whole) and lines(again) == lines(whole)
    assert computed == [] and "computed in" not in log(again)
    assert not (tmp_path / ".activations").exists()
    assert archspec.Run.of(again.path).facts["options"]["feature_cache"] == str(cache)


def test_mixed_precision(tmp_path: Path) -> None:
    given = {"precision": "bf16-mixed", "epochs": 1}
    cached, plain = train(tmp_path, **given), train(tmp_path, **given, feature_cache="off")
    close(cached, plain, 0.02)
    assert "key" in activations(cached)[0]


# ---------------------------------------------------------------------------------------- resuming

KILLED = """
import os, signal
import archspec
from archspec.feature_cache import ActivationCache
write = ActivationCache.write
def written(self, rows, values):
    write(self, rows[:3], {{name: value[:3] for name, value in values.items()}})
    if len(self.missing()) < 150:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, rows, values)
ActivationCache.write = written
archspec.train({spec!r}, {data!r}, output_dir={out!r}, **{given!r})
"""


def test_a_run_that_is_killed_while_it_fills_the_cache(whole: archspec.Run, tmp_path: Path) -> None:
    data, spec = {"train": str(DATA), "test": str(DATA)}, str(HERE / "layers.yaml")
    text = KILLED.format(spec=spec, data=data, out=str(tmp_path), given=GIVEN)
    root = str(HERE.parent.parent)
    environ = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run([sys.executable, "-c", text], env=environ, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()[-2000:]
    (run,) = archspec.runs(tmp_path)
    assert run.status == "killed" and len(run.metrics) == 0
    resumed = archspec.resume(run.path, progress=False)
    assert "90 samples computed" not in log(resumed) and " samples computed" in log(resumed)
    assert weights(resumed) == weights(whole) and weights(resumed, BEST) == weights(whole, BEST)
    assert lines(resumed) == lines(whole)


@pytest.mark.parametrize("step", [4, 15])
def test_a_run_that_is_resumed_with_half_its_cache(
    step: int, whole: archspec.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stop(archspec.TrainCallback):
        def on_batch_end(self, state: archspec.TrainState) -> None:
            if state.step == step:
                state.stop()

    run = train(tmp_path, callbacks=[Stop()])
    assert run.status == "stopped"
    for path in (tmp_path / ".activations").glob("*/rows.bin"):
        rows = np.memmap(path, np.uint64, "r+")
        rows[::3] = 0
        rows[1::3] += 1  # another checksum
    computed: list[bool] = []
    of = DataFeed.of

    def noted_of(self: DataFeed, split: str, some: Any) -> Any:
        fixed = parts(self.lengths(split), 8)
        computed.extend(part in fixed for part in some)
        return of(self, split, some)

    monkeypatch.setattr(DataFeed, "of", noted_of)
    resumed = archspec.resume(run.path, progress=False)
    # So small a model gives the same bits in any batch; a large one only in the same.
    assert computed[0] is False and all(computed[1:]) and len(computed) > 12  # after the example
    assert weights(resumed) == weights(whole) and lines(resumed) == lines(whole)


def test_a_run_that_is_stopped_while_it_fills_the_cache(
    whole: archspec.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compute = CachedActivations.compute

    def stopped(self: CachedActivations, split: str, some: Any) -> Any:
        for rows in compute(self, split, some):
            os.kill(os.getpid(), signal.SIGINT)
            yield rows

    with monkeypatch.context() as patch:
        patch.setattr(CachedActivations, "compute", stopped)
        run = train(tmp_path)
    assert run.status == "stopped" and run.metrics == ()
    resumed = archspec.resume(run.path, progress=False)
    assert weights(resumed) == weights(whole) and lines(resumed) == lines(whole)


def test_a_run_that_has_only_its_test_left(
    whole: archspec.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from archspec.training import loop

    def killed(*given: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "for_test", killed)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path)
    (run,) = archspec.runs(tmp_path)
    assert run.test is None and len(run.epochs) == 2
    assert lines(archspec.resume(run.path, progress=False)) == lines(whole)


# --------------------------------------------------------------------------------------- when it is


def test_what_does_not_fit(tmp_path: Path) -> None:
    given = {"epochs": 1, "feature_cache_size": 0.000_001}
    run = train(tmp_path, **given)
    (said,) = activations(run)
    assert said == {
        "reason": "the activations of 180 samples take 75.53 KiB, the limit is 1.048 KiB"
    }
    assert run.status == "finished" and f"computed only once: {said['reason']}" in log(run)
    (tmp_path / "file").write_text("")
    run = train(tmp_path, epochs=1, feature_cache=tmp_path / "file")
    (said,) = activations(run)
    assert said["reason"] == f"{tmp_path / 'file'}: File exists"


def test_a_cache_that_fails_stops_nothing(
    whole: archspec.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, failed = ActivationCache.read, iter([True] * 5)

    def failing(self: ActivationCache, rows: Any, **given: Any) -> Any:
        if next(failed, False):  # a whole batch, and two tries at the next one
            raise UsageError(Problem("E801", "1 rows are not in the cache"))
        return read(self, rows, **given)

    monkeypatch.setattr(ActivationCache, "read", failing)
    close(train(tmp_path, feature_cache=whole.path.parent / ".activations"), whole, 1e-4)
    assert next(failed, None) is None

    def broken(self: CachedActivations, split: str, some: Any) -> Any:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(CachedActivations, "compute", broken)
    run = train(tmp_path, epochs=1)
    assert activations(run) == [{"reason": "[Errno 5] Input/output error"}]
    assert run.status == "finished"


def test_how_exactly_a_device_computes_is_part_of_the_key() -> None:
    cpu, before = torch.device("cpu"), torch.get_float32_matmul_precision()
    try:
        found = [torch.set_float32_matmul_precision(one) or arithmetic(cpu) for one in EXACT]
    finally:
        torch.set_float32_matmul_precision(before)
    assert found == [f"cpu, {one}" for one in EXACT]


def test_dropout_that_stays_on_in_front(tmp_path: Path) -> None:
    run = train(tmp_path, freeze="random", epochs=1)
    (said,) = activations(run)
    assert "dropout in 'first.dropout' is random in training" in said["reason"]
    assert f"nothing is computed only once: {said['reason']}" in log(run)
    assert not list((tmp_path / ".activations").glob("*"))


IMAGES = """
archspec: 1
model: Net
params: {num_labels: 2}
blocks:
  Net:
    inputs: {x: [batch, 3, height, width]}
    outputs: {logits: [batch, $num_labels]}
    modules:
      conv: {type: Conv2d, in_channels: 3, out_channels: 4, kernel_size: 3}
      pool: {type: AdaptiveAvgPool2d, output_size: 1}
      classifier: {type: Linear, in_features: 4, out_features: $num_labels}
    forward:
      - return: classifier(flatten(pool(relu(conv(x))), 1))
freeze: {head-only: ["**", "!classifier"]}
task: {kind: image-classification, image: {resize: 8, crop: 8, augment: AUGMENT}}
"""


@pytest.mark.parametrize("augment", ["none", "auto"])
def test_images_are_read_once_if_they_do_not_vary(
    augment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = np.random.default_rng(0)
    for i in range(12):
        place = tmp_path / "images" / "train" / "ab"[i % 2]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(chance.integers(0, 255, (8, 8, 3), np.uint8)).save(place / f"{i}.png")
    (tmp_path / "spec.yaml").write_text(IMAGES.replace("AUGMENT", augment))
    read: list[int] = []
    encode = ImageEncoder.encode

    def counted(self: ImageEncoder, data: bytes, key: Any = (0, 0, 0)) -> torch.Tensor:
        read.append(key[2])
        return encode(self, data, key)

    monkeypatch.setattr(ImageEncoder, "encode", counted)
    given: dict[str, Any] = {
        "freeze": "head-only", "epochs": 4, "batch_size": 5, "device": "cpu", "progress": False,
        "validation_fraction": 0.2, "learning_rate": 0.1,
    }  # fmt: skip
    source = tmp_path / "spec.yaml"
    run = archspec.train(source, tmp_path / "images", output_dir=tmp_path, **given)
    (said,) = activations(run)
    if augment == "auto":
        assert said["reason"] == "augmentation changes the inputs in every epoch"
        assert len(read) >= 4 * 12
        return
    assert said["bytes"] == 12 * 4 * 4
    assert len(read) <= 4 + 12 + 2  # the example, every image, and shapes
    close(
        run,
        archspec.train(
            source, tmp_path / "images", output_dir=tmp_path, feature_cache="off", **given
        ),
        1e-5,
    )
