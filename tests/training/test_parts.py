"""The parts of a run, each by itself: options, scores, schedules, files, names of classes."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import archspec
from archspec.cli import main
from archspec.errors import RunError, UsageError
from archspec.tasks import find
from archspec.training import environment
from archspec.training.model_setup import class_param, class_tensors
from archspec.training.optimization import lr_factor
from archspec.training.options import Phase, TrainOptions
from archspec.training.reporting import curves
from archspec.training.run_folder import LOCK, RunFolder, lines_of
from archspec.training.state import seed_of

HERE = Path(__file__).parent
CPU = torch.device("cpu")
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"


def options(freeze: Any = None, epochs: Any = None, **given: Any) -> TrainOptions:
    return TrainOptions(freeze=freeze, epochs=epochs, **given).resolved()


# ----------------------------------------------------------------------------------------- options


def test_phases() -> None:
    assert options().phases == (Phase(None, 3),)
    assert options("head-only", 2).phases == (Phase("head-only", 2),)
    assert options(["**", "!fc"], 2).phases[0].label == "** !fc"
    found = options(phases="head-only:2, last-2-and-head:3")
    assert found.phases == (Phase("head-only", 2), Phase("last-2-and-head", 3))
    assert found.total_epochs == 5
    assert options(phases=[(["**"], 1), (None, 2)]).phases == (Phase(("**",), 1), Phase(None, 2))


def test_where_a_cache_cannot_be(tmp_path: Path) -> None:
    cases = [("a\0b", ""), (" ", ""), ("", ""), (3, "")]
    cases += [("AUTO", "did you mean 'auto'? A folder of this name is './AUTO'")]
    cases += [("of", "did you mean 'off'? A folder of this name is './of'")]
    for cache, hint in cases:
        with pytest.raises(UsageError) as caught:
            options(feature_cache=cache)
        assert caught.value.code == "E801" and caught.value.hint == hint
        assert (
            caught.value.message == f"feature_cache must be auto, off, or a folder, not {cache!r}"
        )
    for folder, resolved in (("./AUTO", str(Path("AUTO").absolute())), ("off", "off")):
        assert options(feature_cache=folder).feature_cache == resolved
    assert options(feature_cache="cache").feature_cache.endswith("/cache")


@pytest.mark.parametrize("text", ["", "a", "a:0", "a:x", "a:1,", "a:b:1", "a:99999999", "a b:1"])
def test_what_are_no_phases(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        options(phases=text)
    assert caught.value.code == "E801"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"freeze": "a", "phases": "a:1"}, "phases have their own plans and epochs"),
        ({"epochs": 0}, "epochs must be an integer of at least 1, not 0"),
        ({"epochs": True}, "epochs must be an integer of at least 1, not true"),
        ({"freeze": 3}, "a freeze plan is a name or a list of patterns, not 3"),
        ({"phases": [("a",)]}, "a phase is a plan and its epochs, not ['a']"),
        ({"phases": []}, "there are no phases"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, not 0"),
        ({"learning_rate": math.nan}, "learning_rate must be a number of at least 0, not nan"),
        ({"max_grad_norm": -1}, "max_grad_norm must be a number of at least 0, not -1"),
        ({"warmup": 2}, "warmup must be a number from 0 to 1, not 2"),
        (
            {"schedule": "linaer"},
            "schedule must be one of linear, cosine, cosine-restarts, one-cycle, constant, "
            "not 'linaer'",
        ),
        ({"feature_cache": "a\0b"}, "feature_cache must be auto, off, or a folder, not 'a\\x00b'"),
        ({"device": 5}, "device must be a text, not 5"),
        ({"patience": 0}, "patience must be an integer of at least 1, not 0"),
        ({"seed": 2**40}, "seed must be at most 4,294,967,295, not 1099511627776"),
        (
            {"validation_fraction": 1},
            "validation_fraction must be a number from 0 to below 1, not 1",
        ),
        ({"epoch": 3}, "no option 'epoch'"),
    ],
)
def test_options_that_make_no_sense(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        options(**given)
    assert caught.value.code == "E801" and caught.value.message.startswith(message)


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(UsageError) as caught:
        options(epochs=-1, batch_size="8", optimizer="adamm", strategy="zero")
    assert len(caught.value.problems) == 4
    assert all(problem.code == "E801" for problem in caught.value.problems)


@given(
    st.sampled_from(["linear", "cosine", "one-cycle", "constant"]),
    st.none() | st.floats(0, 1),
    st.lists(st.tuples(st.none() | st.sampled_from(["a", ("**", "!b")]), st.integers(1, 9)),
             min_size=1),
)  # fmt: skip
def test_options_come_back_as_they_went(schedule: Any, warmup: Any, phases: Any) -> None:
    found = options(phases=phases, schedule=schedule, warmup=warmup)
    assert TrainOptions(**json.loads(json.dumps(found.to_dict()))).resolved() == found


@pytest.mark.parametrize("data", [{}, {"phases": 3}, {"phases": [{}]}, {"phases": [], "x": 1}])
def test_what_are_no_options_of_a_run(data: Any, tmp_path: Path) -> None:
    with pytest.raises(RunError) as caught:
        _ = archspec.Run(tmp_path, "finished", {"options": data}, ()).options
    assert caught.value.code == "E920"


# ----------------------------------------------------------------------------- scores and schedules


@given(st.integers(2, 5), st.data())
def test_scores_are_those_of_torchmetrics(classes: int, data: st.DataObject) -> None:
    from torchmetrics.functional import classification as reference

    labels = torch.tensor(data.draw(st.lists(st.integers(0, classes - 1), min_size=1)))
    said = data.draw(
        st.lists(st.integers(0, classes - 1), min_size=len(labels), max_size=len(labels))
    )
    logits = torch.nn.functional.one_hot(torch.tensor(said), classes).float()
    metrics = find("text-classification")([str(i) for i in range(classes)]).metrics(CPU)
    for part in (slice(0, 3), slice(3, None)):
        rows = len(labels[part])
        filled = torch.cat([labels[part], labels[:1]])  # one more row than counts
        outputs = torch.cat([logits[part], logits[:1]])
        metrics.add(outputs, {"labels": filled}, rows)
    found = metrics.scores()
    asked = {"preds": logits, "target": labels, "num_classes": classes}
    f1 = reference.multiclass_f1_score(**asked, average="macro")
    confusion = reference.multiclass_confusion_matrix(**asked)
    loss = torch.nn.functional.cross_entropy(logits, labels)
    assert found.count == len(labels) and found.loss == pytest.approx(loss.item())
    accuracy = (logits.argmax(1) == labels).float().mean().item()
    assert found.figures == pytest.approx({"accuracy": accuracy, "macro_f1": f1.item()})
    assert found.details == {"confusion": confusion.tolist()}


@given(
    st.sampled_from(["linear", "cosine", "one-cycle", "constant"]),
    st.integers(1, 200),
    st.floats(0, 1),
)
def test_schedules_rise_once_and_fall(schedule: Any, steps: int, warmup: float) -> None:
    at = lr_factor(schedule, steps, warmup)
    rates = [at(step) for step in range(steps)]
    assert all(0 < rate <= 1 for rate in rates) and at(steps + 5) >= 0
    top = rates.index(max(rates))
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert abs(top - round(steps * warmup)) <= 1


def test_one_cycle_is_that_of_pytorch() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)
    reference = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 1, total_steps=101, pct_start=0.3, cycle_momentum=False
    )
    at = lr_factor("one-cycle", 100, 0.3)
    for step in range(100):
        assert at(step) == pytest.approx(reference.get_last_lr()[0], abs=0.04)
        optimizer.step()
        reference.step()


def test_seeds_differ_from_step_to_step() -> None:
    seeds = {seed_of(0, epoch, batch, rank)
             for epoch in range(9) for batch in range(9) for rank in range(3)}  # fmt: skip
    assert len(seeds) == 243 and all(0 <= seed < 2**63 for seed in seeds)


# ------------------------------------------------------------------------------------------- files


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "a/b ../c")
    assert folder.path.parent == tmp_path and folder.path.name.endswith("-a-b-..-c")
    folder.write("x", "old")
    with pytest.raises(TypeError), folder.replacing("x") as place:
        place.write_bytes(cast(Any, "new"))
    assert folder.read("x") == "old"
    assert {path.name for path in folder.path.iterdir()} == {"x", "checkpoints", "hashes.json"}
    with pytest.raises(RunError) as caught:
        folder.write("checkpoints", "a folder is there")
    assert caught.value.code == "E921"


def test_folders_of_one_second_differ(tmp_path: Path) -> None:
    assert len({RunFolder.create(tmp_path, "x").path for _ in range(5)}) == 5


def test_lines_that_were_cut_off(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "x")
    folder.append("m", ['{"a": 1}', '{"a": 2}'])
    folder.append("m", ['{"a": 3}'])
    folder.keep_lines("m", 2)
    assert lines_of(folder.read("m") + '{"a": ') == [{"a": 1}, {"a": 2}]


@given(st.lists(st.fixed_dictionaries({
    "epoch": st.integers(1, 10**6),
    "loss": st.none() | st.floats() | st.text(),
    "train_loss": st.floats(-1e9, 1e9),
})))  # fmt: skip
def test_curves_are_a_picture_whatever_they_show(epochs: list[dict[str, Any]]) -> None:
    root = ElementTree.fromstring(curves(epochs))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    numbers = [v for e in root.iter() for k, v in e.attrib.items() if k in ("cx", "cy")]
    assert all(math.isfinite(float(number)) for number in numbers)


# ------------------------------------------------------------------------------------------- specs


def test_what_depends_on_the_number_of_classes() -> None:
    spec = archspec.load(SPEC)
    assert class_param(spec) == "num_labels"
    assert class_tensors(spec) == ["classifier.weight", "classifier.bias"]
    assert class_tensors(archspec.load("resnet18")) == ["fc.weight", "fc.bias"]
    assert class_param(archspec.load("minilm-l6")) is None


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError) as caught:
        archspec.train(SPEC, DATA)
    assert caught.value.message == "training needs lightning_fabric"
    assert caught.value.hint == "pip install 'archspec-nn[train]'"


# ------------------------------------------------------------------------------------ command line


def call(*words: str) -> tuple[int, str, str]:
    done = CliRunner().invoke(main, words)
    return done.exit_code, done.stdout, done.stderr


def test_train_runs_and_resume(tmp_path: Path) -> None:
    given = ["--output-dir", str(tmp_path), "--epochs", "1", "--device", "cpu", "-p", "width=8"]
    code, out, err = call("train", str(SPEC), "--data", str(DATA), "--freeze", "head-only", *given)
    assert code == 0 and "finished" in out and "trains 18 of 426 parameters" in out
    assert "epoch 1: train loss" in err
    (run,) = archspec.runs(tmp_path)
    assert run.facts["plan"] == "head-only"
    code, out, _ = call("runs", str(tmp_path))
    assert code == 0 and run.path.name in out and "1 of 1" in out
    code, out, _ = call("runs", str(tmp_path), "--json")
    (listed,) = json.loads(out)
    assert code == 0 and listed == run.to_dict() and listed["status"] == "finished"
    code, out, _ = call("runs", str(run.path), "--json")
    assert (code, json.loads(out)) == (0, listed)
    code, out, _ = call("resume", str(run.path), "--json")
    assert (code, json.loads(out)) == (0, listed)


@pytest.mark.parametrize(
    ("words", "status", "code"),
    [
        (["train", str(SPEC), "--data", str(DATA), "--optimizer", "lion"], 2, "E801"),
        (["train", str(SPEC), "--data", str(DATA), "--freeze", "all"], 1, "E705"),
        (["train", str(SPEC), "--data", "nowhere.csv"], 1, "E901"),
        (["resume", "nowhere"], 1, "E920"),
        (["runs", "nowhere"], 2, "E801"),
    ],
)
def test_mistakes_on_the_command_line(
    words: list[str], status: int, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code, _, err = call(*words)
    assert exit_code == status and f"error[{code}]" in err
    assert list(tmp_path.iterdir()) == []
    exit_code, out, _ = call(*words, "--json")
    assert json.loads(out)["error"]["problems"][0]["code"] == code


def test_no_runs(tmp_path: Path) -> None:
    assert call("runs", str(tmp_path)) == (0, "no runs\n", "")
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "run.json").write_text("[1]")
    assert archspec.runs(tmp_path) == []


@pytest.mark.parametrize("name", ["", ".hidden", "../up", "a/b", "-x", "a" * 121, "a\n"])
def test_names_that_no_folder_of_a_run_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        archspec.train("nothing.yaml", "nothing.csv", output_dir=tmp_path, name=name)
    assert caught.value.code == "E801"
    assert caught.value.message == f"no name for a run's folder: {name!r}"


def test_a_name_is_taken_as_it_is_and_once(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "bert", "first")
    assert folder.path == tmp_path / "first"
    with pytest.raises(UsageError) as caught:
        archspec.train("nothing.yaml", "nothing.csv", output_dir=tmp_path, name="first")
    assert caught.value.message == f"{tmp_path / 'first'}: is there already"
    with pytest.raises(RunError, match="'first' is there already"):
        RunFolder.create(tmp_path, "bert", "first")


def test_the_lock_says_who_holds_it(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "bert")
    (folder / LOCK).write_text("an older and longer text\n")
    with folder.locked():
        assert (folder / LOCK).read_text() == f"{os.getpid()}\n"
