"""Several processes: a model in parts trains, stops and resumes as a whole one does."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import archspec
from archspec.errors import UsageError
from archspec.training.engine import check_shardable, units
from archspec.training.run_folder import BEST, LAST
from tests.training.two_processes import in_two_processes

HERE = Path(__file__).parent
SPEC = HERE / "deep.yaml"
GIVEN: dict[str, Any] = {
    "phases": "head-only:1,most:2", "batch_size": 4, "accumulate_grad_batches": 2,
    "learning_rate": 0.02, "max_grad_norm": 0.5, "ema_decay": 0.9, "layer_decay": 0.8,
    "checkpoint_blocks": ["body.*"], "device": "cpu", "progress": False,
    "class_weights": {"no": 3.0, "yes": 0.5},
}  # fmt: skip

# The second process is asked to stop: all do, and each finds everything as it was.
SCRIPT = """
import os
import archspec
class Stop(archspec.TrainCallback):
    def on_batch_end(self, state):
        if state.step == 13 and os.environ["RANK"] == "1":
            state.stop()
run = archspec.train(
    {spec!r}, {data!r}, output_dir={out!r}, strategy="fsdp", callbacks=[Stop()], **{given!r}
)
assert run.status == "stopped", run.status
run = archspec.resume(run.path, progress=False)
assert run.status == "finished" and run.test is not None and len(run.verify()) == 2
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    head, *rows = (HERE / "tiny.csv").read_text().splitlines()
    (folder / "train.csv").write_text("\n".join([head, *rows[:69]]))
    (folder / "test.csv").write_text("\n".join([head, *rows[69:]]))
    return folder


def lines(run: archspec.Run) -> list[dict[str, Any]]:
    """The metrics, without what rounding changes and what no two runs have in common."""
    apart = ("seconds", "loss", "train_loss", "grad_norm")
    return [{k: v for k, v in line.items() if k not in apart} for line in run.metrics]


def losses(run: archspec.Run) -> list[float]:
    keys = ("loss", "train_loss", "grad_norm")
    return [line[key] for line in run.metrics for key in keys if key in line]


def test_a_model_in_parts_is_trained_as_a_whole_one(data: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    out = tmp_path / "two"
    script.write_text(SCRIPT.format(spec=str(SPEC), data=str(data), out=str(out), given=GIVEN))
    in_two_processes(script)
    (both,) = archspec.runs(out)
    one = archspec.train(SPEC, data, output_dir=tmp_path, **GIVEN)
    assert both.status == "finished" and len(both.facts["resumed"]) == 1
    assert lines(both) == lines(one) and Counter(line["kind"] for line in lines(one)) == {
        "step": 24, "epoch": 3, "test": 1,
    }  # fmt: skip
    assert losses(both) == pytest.approx(losses(one), rel=1e-5)
    for file in (BEST, LAST):
        mine, theirs = load_file(one.path / file), load_file(both.path / file)
        assert mine.keys() == theirs.keys() and "twin.down.weight" not in mine
        for name, tensor in mine.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=1e-4, atol=1e-6)
    reports = [json.loads((run.path / "report.json").read_text()) for run in (one, both)]
    for name in ("validation", "test"):
        mine, theirs = (report["splits"][name] for report in reports)
        assert mine["confusion"] == theirs["confusion"] and mine["count"] == theirs["count"] > 0
    assert reports[1]["temperature"] == pytest.approx(reports[0]["temperature"], rel=1e-3)
    told = json.loads((both.path / "freeze.json").read_text())
    assert told["weights"].keys() == {"best.safetensors", "last.safetensors"}
    frozen = told["phases"][1]["proof"]["tensors"]
    assert frozen == json.loads((one.path / "freeze.json").read_text())["phases"][1]["proof"][
        "tensors"
    ] and "body.0.norm.weight" in frozen  # fmt: skip
    assert {"norm.running_mean", "norm.running_var"} < frozen.keys()


def test_what_is_split_together() -> None:
    model = archspec.build(SPEC, device="meta")
    # The second item shares a matrix with the twin, which is no item: both stay with the model.
    assert units(model) == [model.get_submodule("body.0")]
    bert = archspec.build("bert", device="meta")
    assert units(bert) == [*bert.get_submodule("bert.encoder.layer").children()]
    stack = nn.Sequential(nn.Linear(1_000, 1_000, device="meta"), nn.ReLU(), nn.Linear(9, 9))
    assert units(stack) == [stack[0]]
    deep = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2, enable_nested_tensor=False)
    assert units(deep) == []


def test_fsdp_is_for_several_processes(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        archspec.train(SPEC, HERE / "tiny.csv", output_dir=tmp_path, strategy="fsdp", device="cpu")
    assert caught.value.code == "E801" and caught.value.hint.startswith("torchrun --nproc-per-node")
    model = nn.Module()
    model.scale = nn.Parameter(torch.ones(()))
    with pytest.raises(UsageError, match="'scale' has no dimension to split"):
        check_shardable(model)
