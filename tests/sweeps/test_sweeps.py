"""``sweep``: what is searched, the trials, and that an interruption changes nothing."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec import SpecError, Sweep, UsageError, load
from archspec.sweeps import sweeping
from archspec.sweeps.search_space import search_space
from archspec.training import TrainOptions
from tests.tables import every

TINY = Path("tests/training/tiny.yaml")
DATA = Path("tests/training/tiny.csv")


def swept(
    folder: Path, search: dict[str, Any], trials: int, data: Any = DATA, **options: Any
) -> Sweep:
    given: dict[str, Any] = {"epochs": 1, "device": "cpu", "name": "sweep", "batch_size": 8}
    given |= {"output_dir": folder, "progress": False, **options}
    return archspec.sweep(TINY, data, search, trials=trials, **given)


@every(
    "search, notations",
    [
        ({"learning_rate": "log(1e-5, 1e-3)"}, {"learning_rate": "log(1e-05,0.001)"}),
        ({"learning_rate": "log(1.23456789e-5,1)"}, {"learning_rate": "log(1.23456789e-05,1.0)"}),
        ({"learning-rate": "0.1,1e-2, 1"}, {"learning_rate": "0.1,0.01,1.0"}),
        ({"batch_size": "16,32"}, {"batch_size": "16,32"}),
        ({"batch_size": [16, 32]}, {"batch_size": "16,32"}),
        ({"freeze": "head-only,none"}, {"freeze": "head-only,none"}),
        ({"epochs": "int(1,5)"}, {"epochs": "int(1,5)"}),
        ({"hidden_dropout_prob": "uniform(0,0.3)"}, {"hidden_dropout_prob": "uniform(0.0,0.3)"}),
        ({"max_length": "32,64"}, {"max_length": "32,64"}),
    ],
)
def test_notations(search: dict[str, Any], notations: dict[str, str]) -> None:
    assert search_space(search, load("bert"), TrainOptions()).to_dict() == notations


@every(
    "search, complaint",
    [
        ({}, "there is nothing to search"),
        ({"learning_rat": "1,2"}, "no option or parameter 'learning_rat'.*learning_rate"),
        ({"device": "cpu,cuda"}, "device is the same in all trials"),
        ({"seed": "1,2"}, "seed is the same in all trials"),
        ({"batch_size": "16,32"}, "batch_size is given, and searched as well"),
        ({"epochs": "3"}, "one value is no search"),
        ({"epochs": "3,3"}, "stands there twice"),
        ({"epochs": "log(1,9)"}, "epochs takes integers"),
        ({"epochs": "int(1,9.5)"}, "'9.5' is not an integer"),
        ({"epochs": "int(0,9)"}, "epochs must be an integer of at least 1|epochs must be"),
        ({"learning_rate": "log(0,1)"}, "begins above 0"),
        ({"learning_rate": "log(1,1e-3)"}, "a range goes up"),
        ({"learning_rate": "lag(1e-3,1)"}, "no kind of range 'lag'.*log"),
        ({"learning_rate": "log(1e-3)"}, "is no range"),
        ({"learning_rate": "log(1e-3,inf)"}, "not a finite number"),
        ({"learning_rate": "fast,slow"}, "learning_rate must be a number"),
        ({"learning_rate": [[1], [2]]}, "a value is a number, a text or a truth value"),
        ({"learning_rate": "0.1,,0.2"}, "'' is no value to try"),
        ({"learning_rate": "0.1," + "9" * 50}, "a number of 50 digits"),
        ({"freeze": "head-only,heat-only"}, "no freeze plan 'heat-only'.*head-only"),
        ({"hidden_dropout_prob": "0.1,high"}, "hidden_dropout_prob"),
    ],
)
def test_searches_that_make_no_sense(search: dict[str, Any], complaint: str) -> None:
    with pytest.raises((UsageError, SpecError), match=f"(?s){complaint}"):
        search_space(search, load("bert"), TrainOptions(batch_size=8))


def test_a_parameter_that_is_given_is_not_searched() -> None:
    spec = load("bert", hidden_dropout_prob=0.2)
    with pytest.raises(UsageError, match="hidden_dropout_prob is given, and searched as well"):
        search_space({"hidden_dropout_prob": "uniform(0,0.3)"}, spec, TrainOptions())


def test_each_combination_of_lists_once(tmp_path: Path) -> None:
    search = {"learning_rate": [0.01, 0.1], "freeze": ["none", "head-only"]}
    found = swept(tmp_path, search, 20)
    values = [(trial.values["learning_rate"], trial.values["freeze"]) for trial in found.trials]
    assert sorted(values) == [
        (0.01, "head-only"),
        (0.01, "none"),
        (0.1, "head-only"),
        (0.1, "none"),
    ]
    best = found.best
    assert best is not None and best.value == max(trial.value or 0 for trial in found.trials)
    run = found.run(best)
    assert run.best is not None and run.best["accuracy"] == best.value
    assert run.options.learning_rate == best.values["learning_rate"]
    assert Sweep.of(found.path) == found
    log = (found.path / "sweep.log").read_text(encoding="utf-8").splitlines()
    assert log[0] == f"{found.path}: all 4 combinations, accuracy is optimized"
    assert log[1] == "trial 1 of 4: learning_rate 0.01, freeze none"
    assert f"best is trial {best.number}" in str(found)
    picture = (found.path / "sweep.svg").read_text(encoding="utf-8")
    assert "<svg" in picture and picture.count('<g id="axes_') == 3
    assert [one.path.name for one in archspec.runs(found.path)] == [t.name for t in found.trials]


def test_an_interrupted_sweep_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search = {"learning_rate": "log(1e-3,1e-1)"}
    with DATA.open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]  # which no resumed trial can open again by itself
    whole = swept(tmp_path / "whole", search, 3, rows, epochs=2)
    train, started = sweeping.train, list[str]()

    class Interrupt(archspec.TrainCallback):
        def on_batch_end(self, state: archspec.TrainState) -> None:
            if len(started) == 2:
                state.stop()

    def interrupted(*args: Any, callbacks: list[Any], **options: Any) -> Any:
        started.append(args[2].name)
        return train(*args, callbacks=[*callbacks, Interrupt()], **options)

    monkeypatch.setattr(sweeping, "train", interrupted)
    first = swept(tmp_path / "parts", search, 2, rows, epochs=2)
    assert [trial.status for trial in first.trials] == ["finished", "running"]
    second = swept(tmp_path / "parts", search, 3, rows, epochs=2)
    assert second.trials == whole.trials
    with pytest.raises(UsageError, match="another sweep, with different search"):
        swept(tmp_path / "parts", {"learning_rate": "log(1e-3,1)"}, 4, rows, epochs=2)
    with pytest.raises(UsageError, match="another sweep, with different options"):
        swept(tmp_path / "parts", search, 4, rows, epochs=3)
    with pytest.raises(UsageError, match="another sweep, with different data"):
        swept(tmp_path / "parts", search, 4, rows[1:], epochs=2)


def test_trials_that_fall_behind_are_pruned(tmp_path: Path) -> None:
    rates = [0.1, 0.11, 0.12, 0.13, 0.14, 0.0]
    found = swept(tmp_path, {"learning_rate": rates}, 6, epochs=2, monitor="loss")
    assert [trial.status for trial in found.trials] == ["finished"] * 5 + ["pruned"]
    assert len(found.run(found.trials[-1]).epochs) == 1


def test_a_folder_of_something_else(tmp_path: Path) -> None:
    found = swept(tmp_path, {"learning_rate": [0.01, 0.1]}, 2)
    facts = json.loads((found.path / "sweep.json").read_text(encoding="utf-8"))
    for key, value in (("trials", [{"number": 0}]), ("search", []), ("options", {})):
        (found.path / "sweep.json").write_text(json.dumps({**facts, key: value}))
        with pytest.raises(archspec.RunError, match="not what a sweep writes"):
            Sweep.of(found.path)
    with pytest.raises(UsageError, match="without a validation there is nothing to optimize"):
        swept(tmp_path / "none", {"learning_rate": [0.01, 0.1]}, 2, validation_fraction=0.0)
