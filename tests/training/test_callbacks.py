"""A user's own code in a run: callbacks and loss functions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

import archspec
from archspec.errors import UsageError
from archspec.training.run_folder import LAST

HERE = Path(__file__).parent
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"
GIVEN: dict[str, Any] = {
    "epochs": 2, "batch_size": 16, "learning_rate": 1e-2, "device": "cpu", "progress": False,
}  # fmt: skip


def train(out: Path, data: Any = DATA, **given: Any) -> archspec.Run:
    return archspec.train(SPEC, data, output_dir=out, **{**GIVEN, **given})


class Notes(archspec.TrainCallback):
    """Notes every event, and stops at one of them."""

    def __init__(self, stop_at: tuple[str, int] = ("", 0)) -> None:
        self.stop_at, self.events = stop_at, list[tuple[Any, ...]]()

    def note(self, event: str, state: archspec.TrainState) -> None:
        score = state.scores.figures["accuracy"] if state.scores else None
        self.events.append((event, state.epoch, state.batch, state.step, state.split, score))
        assert (state.path / "run.json").is_file() and state.loss is not None
        if (event, state.step) == self.stop_at:
            state.stop()

    def on_batch_end(self, state: archspec.TrainState) -> None:
        self.note("batch", state)

    def on_evaluation_end(self, state: archspec.TrainState) -> None:
        self.note("evaluation", state)

    def on_checkpoint(self, state: archspec.TrainState) -> None:
        assert (state.path / "checkpoints/resume.pt").is_file()
        self.note("checkpoint", state)

    def on_epoch_end(self, state: archspec.TrainState) -> None:
        self.note("epoch", state)


def test_callbacks_are_told_what_happens(tmp_path: Path) -> None:
    notes = Notes()
    data = {"train": str(DATA), "test": str(DATA)}
    run = train(tmp_path, data, accumulate_grad_batches=2, callbacks=[notes])
    found = [event[:5] for event in notes.events]
    first = [("batch", 1, i, -(-i // 2) if i == 6 else i // 2, None) for i in range(1, 7)]
    assert found[:6] == first
    assert found[6:9] == [
        ("evaluation", 1, 6, 3, "validation"),
        ("checkpoint", 2, 0, 3, "validation"),
        ("epoch", 2, 0, 3, "validation"),
    ]
    assert [event[0] for event in found[9:]] == [
        *["batch"] * 6, "evaluation", "checkpoint", "epoch", "evaluation"
    ]  # fmt: skip
    assert notes.events[6][5] == run.epochs[0]["accuracy"]
    assert run.test is not None and notes.events[-1][4:] == ("test", run.test["accuracy"])
    assert train(tmp_path, data, accumulate_grad_batches=2).metrics[-1] == run.metrics[-1]


@pytest.mark.parametrize("at", [("batch", 3), ("checkpoint", 6), ("evaluation", 6), ("epoch", 6)])
def test_a_callback_stops_the_run(at: tuple[str, int], tmp_path: Path) -> None:
    run = train(tmp_path, callbacks=[Notes(at)])
    steps = [line["step"] for line in run.metrics if line["kind"] == "step"]
    assert (run.status, steps[-1]) == ("stopped", at[1])
    resumed = archspec.resume(run.path, progress=False)
    assert resumed.status == "finished" and len(resumed.epochs) == 2


def test_what_is_no_callback(tmp_path: Path) -> None:
    class Misspelt(archspec.TrainCallback):
        def on_batch_ends(self, state: archspec.TrainState) -> None: ...

    cases: list[tuple[Any, str, str]] = [
        (Notes(), "callbacks must be a list", "callbacks=[MyCallback()]"),
        ([print], " is no callback", "derive its class from archspec.TrainCallback"),
        ([Misspelt()], "Misspelt.on_batch_ends: there is no such event", "did you mean"),
    ]
    for callbacks, message, hint in cases:
        with pytest.raises(UsageError) as caught:
            train(tmp_path, callbacks=callbacks)
        assert caught.value.code == "E801" and message in caught.value.message
        assert caught.value.hint.startswith(hint)
    assert list(tmp_path.iterdir()) == []


# -------------------------------------------------------------------------------------------- loss


def of_rows(outputs: Any, batch: Any) -> torch.Tensor:
    return 3 * cross_entropy(outputs, batch["labels"], reduction="none")


def of_all(outputs: Any, batch: Any) -> torch.Tensor:
    return 3 * cross_entropy(outputs, batch["labels"])


def test_a_loss_function_takes_the_place_of_the_tasks(tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "p": 0, "optimizer": "sgd", "momentum": 0.0, "max_grad_norm": 0, "weight_decay": 0.0,
        "accumulate_grad_batches": 3,
    }  # fmt: skip
    plain = train(tmp_path, **{**given, "learning_rate": 3e-2})
    for loss in (of_rows, of_all):
        run = train(tmp_path, **given, loss=loss)
        assert run.facts["loss"] == f"{__name__}.{loss.__name__}"
        for mine, theirs in zip(run.epochs, plain.epochs, strict=True):
            for name in ("train_loss", "loss"):
                assert mine[name] == pytest.approx(3 * theirs[name], rel=1e-4)
        expected = load_file(plain.path / LAST)
        for name, tensor in load_file(run.path / LAST).items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


def test_resuming_takes_the_loss_function_again(tmp_path: Path) -> None:
    whole = train(tmp_path, loss=of_rows)
    run = train(tmp_path, loss=of_rows, callbacks=[Notes(("batch", 3))])
    with pytest.raises(UsageError) as caught:
        archspec.resume(run.path)
    assert caught.value.code == "E801" and caught.value.message.endswith(
        f"was trained with a loss function of your own, {__name__}.of_rows"
    )
    resumed = archspec.resume(run.path, loss=of_rows, progress=False)
    assert (resumed.path / LAST).read_bytes() == (whole.path / LAST).read_bytes()
    plain = train(tmp_path, epochs=1, callbacks=[Notes(("batch", 1))])
    with pytest.raises(UsageError, match="was trained with the loss of its task"):
        archspec.resume(plain.path, loss=of_rows)


def test_what_is_no_loss(tmp_path: Path) -> None:
    cases: list[tuple[Any, str]] = [
        (3, "loss is no function: 3"),
        (lambda outputs, batch: 3.0, "gave 3.0"),
        (lambda outputs, batch: outputs, ", 2]"),
    ]
    for loss, message in cases:
        with pytest.raises(UsageError) as caught:
            train(tmp_path, loss=loss)
        assert caught.value.code == "E801" and caught.value.message.endswith(message)
