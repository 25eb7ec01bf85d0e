"""The time that the batches of a run take, measured on a few of them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import archspec
from archspec.training.data_feed import encoders
from archspec.training.options import Phase, TrainOptions
from archspec_app.training import step_time
from archspec_app.training.step_time import BatchTime, measure_batches

HERE = Path(__file__).parents[1] / "training"


def measured(options: TrainOptions) -> tuple[BatchTime, ...]:
    spec = archspec.load(HERE / "tiny.yaml")
    data = archspec.open_data(HERE / "tiny.csv", task=spec.architecture.task)
    resolved = options.resolved(spec.architecture.freeze)
    both = encoders(spec, None, HERE / "vocab.txt", None)
    before = torch.get_rng_state()
    found = measure_batches(spec, data, resolved, both)
    batches = math.ceil(len(data.splits["train"]) / options.batch_size)
    assert {one.batches for one in found} == {batches}
    torch.set_rng_state(before)
    return found


def test_each_phase_is_measured() -> None:
    phases = (Phase("head-only", 2), Phase(None, 3))
    found = measured(TrainOptions(phases=phases, batch_size=2, device="cpu"))
    assert [one.epochs for one in found] == [2, 3]
    for one in found:
        assert 1 <= one.measured <= step_time.MAX_BATCHES - 1 and one.seconds > 0


def test_no_further_batch_begins_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_time, "MAX_SECONDS", 0.0)
    (one,) = measured(TrainOptions(epochs=1, batch_size=1, device="cpu"))
    assert one.measured == 1
