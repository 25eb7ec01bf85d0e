"""Learning rates, averages of weights, recomputed activations; and that runs with them resume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import archspec
from archspec.errors import UsageError
from archspec.training import engine
from archspec.training.optimization import MovingAverage, lr_factor, peak_rates
from archspec.training.options import TrainOptions
from archspec.training.run_folder import BEST, LAST
from archspec.training.state import BestScore

HERE = Path(__file__).parent
GIVEN: dict[str, Any] = {"epochs": 2, "batch_size": 8, "device": "cpu", "progress": False}


def train(out: Path, spec: str = "tiny.yaml", **given: Any) -> archspec.Run:
    return archspec.train(HERE / spec, HERE / "tiny.csv", output_dir=out, **{**GIVEN, **given})


def test_each_parameter_has_its_learning_rate() -> None:
    model = archspec.build(HERE / "deep.yaml", device="meta")
    given: dict[str, Any] = {"learning_rate": 1.0, "layer_decay": 0.5}
    rates = {"body": 0.3, "body.1.norm.weight": 0.7}
    for written in (rates, [f"{pattern}={rate}" for pattern, rate in rates.items()]):
        options = TrainOptions(**given, learning_rates=written).resolved()
        assert TrainOptions(**json.loads(json.dumps(options.to_dict()))).resolved() == options
        names = {one: name for name, one in model.named_parameters()}
        found = {names[one]: rate for one, rate in peak_rates(model, options).items()}
        assert found["words.weight"] == 0.125  # in front of two blocks
        assert found["body.0.up.bias"] == found["body.1.down.weight"] == 0.3
        assert found["body.1.norm.weight"] == 0.7
        assert found["twin.up.weight"] == found["classifier.bias"] == 1.0
    found = peak_rates(model, TrainOptions(**given))
    blocks = [found[model.get_parameter(f"body.{i}.up.weight")] for i in (0, 1)]
    assert blocks == [0.25, 0.5]


def test_restarts_are_those_of_pytorch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    reference = torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 4)
    at = lr_factor("cosine-restarts", 12, 0.0, 3)
    for step in range(12):
        assert at(step) == pytest.approx(reference.get_last_lr()[0], abs=1e-9)
        optimizer.step()
        reference.step()
    warm = lr_factor("cosine-restarts", 15, 0.2, 3)
    assert [warm(step) for step in range(3, 15)] == pytest.approx([at(step) for step in range(12)])


def test_an_average_takes_the_place_of_the_weights() -> None:
    model = torch.nn.Linear(2, 2)
    model.bias.requires_grad_(False)
    first = model.weight.detach().clone()
    average = MovingAverage(model, 0.75)
    with torch.no_grad():
        model.weight.add_(4)
    average.update()
    with average.applied():
        torch.testing.assert_close(model.weight.detach(), first + 1)
    torch.testing.assert_close(model.weight.detach(), first + 4)
    assert average.state().keys() == {"weight"}


def test_without_decay_an_average_is_the_last_weights(tmp_path: Path) -> None:
    plain, averaged = (train(tmp_path, ema_decay=decay) for decay in (None, 0.0))
    slow = train(tmp_path, ema_decay=0.999)
    for name in (BEST, LAST):
        assert (plain.path / name).read_bytes() == (averaged.path / name).read_bytes()
    assert (plain.path / LAST).read_bytes() == (slow.path / LAST).read_bytes()
    assert (plain.path / BEST).read_bytes() != (slow.path / BEST).read_bytes()


def test_recomputed_activations_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = train(tmp_path, feature_cache="off", freeze="body-and-head")
    calls: list[Any] = []
    checkpoint = engine.checkpoint

    def counted(*given: Any, **named: Any) -> Any:
        calls.append(given)
        return checkpoint(*given, **named)

    monkeypatch.setattr(engine, "checkpoint", counted)
    run = train(tmp_path, checkpoint_blocks="body", freeze="body-and-head")
    assert len(calls) == 22  # once a batch, and not in the validation
    assert (plain.path / LAST).read_bytes() == (run.path / LAST).read_bytes()
    (phase,) = json.loads((run.path / "freeze.json").read_text())["phases"]
    assert phase["activations"] == {"reason": "activations are recomputed block by block"}


def test_the_norm_of_gradients_is_that_before_clipping(tmp_path: Path) -> None:
    moved: list[float] = []
    before: list[torch.Tensor] = []

    class Watch(archspec.TrainCallback):
        def on_batch_end(self, state: archspec.TrainState) -> None:
            weights = torch.cat([one.detach().flatten() for one in state.model.parameters()])
            moved.append(float((weights - before.pop()).norm()) if before else 0.0)
            before.append(weights)

    given: dict[str, Any] = {
        "optimizer": "sgd", "momentum": 0, "weight_decay": 0, "schedule": "constant", "warmup": 0,
        "learning_rate": 0.5, "epochs": 1, "batch_size": 16, "feature_cache": "off",
    }  # fmt: skip
    found: dict[float, list[Any]] = {}
    for limit in (0, 0.01, 1e6):
        moved.clear()
        before.clear()
        run = train(tmp_path, **given, max_grad_norm=limit, callbacks=[Watch()])
        steps = [line for line in run.metrics if line["kind"] == "step"]
        found[limit] = [line["grad_norm"] for line in steps]
        steps_of = [0.5 * min(norm, limit or norm) for norm in found[limit]]
        assert moved[1:] == pytest.approx(steps_of[1:], rel=1e-3)
        sizes = np.diff([0, *(line["samples"] for line in steps)])
        assert sorted(sizes) == [2, 16, 16, 16, 16, 16]
    assert found[0] == found[1e6] and min(found[0.01]) > 0.01
    tokens = [line["tokens"] for line in steps]
    per_row = np.diff([0, *tokens]) / sizes
    assert all(3 < mean <= 12 for mean in per_row)  # of texts cut at 12 tokens
    counts = archspec.Run.of(run.path).facts["data"]["tokens"]
    assert tokens[-1] <= 12 * 82 and counts["max_length"] == 12


def test_compiled_steps_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stop(archspec.TrainCallback):
        def on_batch_end(self, state: archspec.TrainState) -> None:
            if state.step == 5:
                state.stop()

    calls: list[Any] = []

    def eager(graph: Any, _: Any) -> Any:
        def counted(*given: Any) -> Any:
            calls.append(torch.is_grad_enabled())
            return graph(*given)

        return counted

    inner = torch.compile
    monkeypatch.setattr(torch, "compile", lambda one, **how: inner(one, backend=eager, **how))
    for given in ({"feature_cache": "off"}, {"freeze": "head-only"}):  # whole, and from a cache on
        plain = train(tmp_path, **given)
        run = train(tmp_path, **given, compile=True, callbacks=[Stop()])
        assert run.status == "stopped" and len(calls) == 5
        run = archspec.resume(run.path, progress=False)
        assert len(calls) == 22 and all(calls)  # once a batch, and not in the validation
        assert (plain.path / LAST).read_bytes() == (run.path / LAST).read_bytes(), given
        del calls[:]

    def broken(graph: Any, _: Any) -> Any:
        raise ValueError("no compiler here")

    monkeypatch.setattr(torch, "compile", lambda one, **how: inner(one, backend=broken, **how))
    with pytest.raises(UsageError) as caught:
        train(tmp_path, compile=True)
    assert caught.value.message.startswith("the model cannot be compiled: ")
    assert "no compiler here" in caught.value.message and caught.value.hint == "leave compile out"


def test_a_run_with_all_of_it_resumes_to_the_bit(tmp_path: Path) -> None:
    class Stop(archspec.TrainCallback):
        def on_batch_end(self, state: archspec.TrainState) -> None:
            if state.step == 9:
                state.stop()

    given: dict[str, Any] = {
        "epochs": None, "phases": "head-only:1,most:2", "accumulate_grad_batches": 2,
        "layer_decay": 0.8, "learning_rates": {"classifier": 1e-2}, "ema_decay": 0.9,
        "schedule": "cosine-restarts", "cycles": 2, "checkpoint_blocks": "body.*",
        "class_weights": {"no": 3.0, "yes": 0.5}, "label_smoothing": 0.1,
    }  # fmt: skip
    whole = train(tmp_path, "deep.yaml", **given)
    run = train(tmp_path, "deep.yaml", **given, callbacks=[Stop()])
    assert run.status == "stopped"
    resumed = archspec.resume(run.path, progress=False)
    assert resumed.status == "finished" and len(resumed.verify()) == 2
    for name in (BEST, LAST):
        assert (resumed.path / name).read_bytes() == (whole.path / name).read_bytes()


def test_what_makes_no_sense(tmp_path: Path) -> None:
    cases: list[tuple[dict[str, Any], str, str]] = [
        ({"learning_rates": {"nothing": 1e-3}}, "E701", "'nothing' selects nothing"),
        ({"learning_rates": "classifier"}, "E801", "is no pattern with its learning rate"),
        ({"learning_rates": {"classifier": -1}}, "E801", "is no pattern with its learning rate"),
        ({"layer_decay": 0.5}, "E801", "the model has no repeated blocks"),
        ({"layer_decay": 2}, "E801", "layer_decay must be a number from 0 to 1, not 2"),
        ({"cycles": 2}, "E801", "cycles has no effect: the schedule linear has none"),
        ({"ema_decay": 1}, "E801", "ema_decay must be a number from 0 to below 1, not 1"),
        ({"checkpoint_blocks": "nothing"}, "E701", "'nothing' selects nothing"),
    ]
    for given, code, message in cases:
        with pytest.raises(archspec.ArchspecError) as caught:
            train(tmp_path, **given)
        assert caught.value.code == code and message in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_epoch_that_is_equal_is_not_better() -> None:
    cases = [((0.5, -1.0), True), ((0.5, -1.0), False), ((0.5, -0.9), True), ((0.4, 0.0), False)]
    best = BestScore()
    assert [best.is_better(score) for score, _ in cases] == [better for _, better in cases]
    assert best.waited == 1 and best.best == (0.5, -0.9)
