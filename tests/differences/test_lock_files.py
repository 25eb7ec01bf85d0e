"""Lock files: they say what a spec builds, are read back as they were, and tell every drift."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import archspec
from archspec.cli import main
from archspec.differences.lock_files import beside
from archspec.differences.normal_form import content
from archspec.lang.yaml import dump

DATA = Path(__file__).parents[1] / "inputs"
SPECS = ["bert", "bert-mlm", "resnet50", *sorted(str(path) for path in DATA.glob("*.yaml"))]


def saved(lock: archspec.Lock, folder: Path) -> Path:
    file = folder / "model.lock"
    file.write_text(lock.to_yaml(), encoding="utf-8")
    return file


@pytest.mark.parametrize("name", SPECS)
def test_a_lock_is_read_as_it_was_written(name: str, tmp_path: Path) -> None:
    lock = archspec.lock(name)
    again = archspec.Lock.read(saved(lock, tmp_path))
    assert not lock.compare(again) and not again.compare(lock)
    assert again.to_yaml() == lock.to_yaml()
    paths = [module.path for module in lock.root.walk()]
    assert [module.path for module in again.root.walk()] == paths
    model = archspec.build(name, device="meta")
    assert again.root.state().keys() == model.state_dict().keys()
    shapes = {name: tuple(t.shape) for name, t in model.state_dict().items()}
    assert {name: tensor.shape for name, tensor in again.root.state().items()} == shapes


@pytest.mark.parametrize("name", ["bert", "resnet18"])
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"lock/{name}.lock", archspec.lock(name).to_yaml())


TEXT = """\
archspec: 1
model: Net
params: {size: 4, eps: 0.5}
blocks:
  Net:
    inputs: {x: [batch, $size]}
    modules:
      stack:
        type: Sequential
        items: [{type: Linear, in_features: $size, out_features: $size, repeat: 3}]
      drop: {type: Dropout, p: 0.1}
    forward: [{y: stack(x)}, {return: drop(y)}]
"""


@pytest.mark.parametrize(
    ("written", "rewritten", "told"),
    [
        ("size: 4", "size: 5", "stack.(0-2)  3 × Linear, in_features 4 → 5, out_features 4 → 5"),
        ("repeat: 3", "repeat: 4", "+  stack.3  Linear(in_features=4, out_features=4)"),
        ("repeat: 3", "repeat: 2", "-  stack.2  Linear(in_features=4, out_features=4)"),
        ("p: 0.1", "p: 0.2", "~  drop  Dropout, p 0.1 → 0.2"),
        ("out_features: $size,", "out_features: $size, bias: false,", "lost: [4], 3 tensors"),
        ("return: drop(y)", "return: drop(y) + x", "~  blocks.Net.forward"),
        ("return: drop(y)", "return: drop(y) * eps", "~  blocks.Net.forward"),
        ("eps: 0.5", "eps: 0.7", ""),
    ],
)
def test_a_drift_is_told(written: str, rewritten: str, told: str, tmp_path: Path) -> None:
    assert written in TEXT
    lock = archspec.Lock.read(saved(archspec.lock(archspec.loads(TEXT)), tmp_path))
    now = archspec.lock(archspec.loads(TEXT.replace(written, rewritten)))
    found = lock.compare(now)
    assert bool(found) == bool(told) and told in str(found)


def test_a_parameter_that_a_forward_uses_is_part_of_it() -> None:
    text = TEXT.replace("return: drop(y)", "return: drop(y) * eps")
    old, new = (archspec.lock(archspec.loads(text, eps=eps)) for eps in (0.5, 0.7))
    assert [change.path for change in old.compare(new).spec] == [("blocks", "Net", "forward")]


def test_a_tensor_that_is_shared_is_written_down(tmp_path: Path) -> None:
    tied = archspec.load(DATA / "gpt2.yaml")
    lock = archspec.Lock.read(saved(archspec.lock(tied), tmp_path))
    text = dump({key: value for key, value in content(tied).items() if key != "tie"})
    found = lock.compare(archspec.lock(archspec.loads(text)))
    assert "untied: [50257, 768] with transformer.wte.weight" in str(found)


def test_another_layout_of_the_text_is_no_drift() -> None:
    text = TEXT.replace("drop(y)", "drop( y )").replace("size: 4", "size: {default: 4}")
    old, new = (archspec.lock(archspec.loads(each)) for each in (TEXT, text))
    assert text != TEXT and old.to_yaml() == new.to_yaml()


def test_a_shared_tensor_counts_once() -> None:
    assert archspec.lock(DATA / "gpt2.yaml").totals["parameters"] == 124_439_808


@pytest.mark.parametrize(
    "said",
    [
        "a: 1",
        "archspec-lock: 2",
        "archspec-lock: 1\nmodules: []",
        "archspec-lock: 1\nmodules: {a: B}\ntensors: {}\nforward: {}\ntotals: {}",
        "archspec-lock: 1\nmodules: {(root): 'B(('}\ntensors: {}\nforward: {}\ntotals: {}",
        "archspec-lock: 1\nmodules: {(root): B, a.(0-999999): C}\ntensors: {}\nforward: {}",
        "archspec-lock: 1\nmodules: {(root): B, a.(5-0): C}\ntensors: {}\nforward: {}",
        "archspec-lock: 1\nmodules: {(root): B}\ntensors: {a: [x, y]}\nforward: {}\ntotals: {}",
        "archspec-lock: 1\nmodules: {(root): B}\ntensors: {a: 3}\nforward: {}\ntotals: {}",
    ],
)
def test_what_is_no_lock_file(said: str, tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    file.write_text(f"{said}\n")
    with pytest.raises(archspec.SpecError) as caught:
        archspec.Lock.read(file)
    assert caught.value.code == "E106"
    assert caught.value.hint == "write it again with 'archspec lock'"


def test_names_that_look_like_ranges_cannot_be_locked() -> None:
    item = "d: {type: ModuleDict, items: {(0-1): {type: ReLU}}}"
    with pytest.raises(archspec.SpecError) as caught:
        archspec.lock(archspec.loads(TEXT.replace("drop: ", f"{item}\n      drop: "))).to_yaml()
    assert caught.value.code == "E207"


# ---------------------------------------------------------------------------------------- command


def test_where_a_lock_file_stands() -> None:
    assert beside("specs/my-model.yaml") == Path("specs/my-model.lock")
    assert beside("bert") == Path("bert.lock")


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    spec = tmp_path / "net.yaml"
    spec.write_text(TEXT)
    run = CliRunner().invoke
    found = run(main, ["lock", "net.yaml"])
    assert (found.exit_code, found.stderr) == (0, "")
    assert found.stdout == "net.lock: 60 parameters, 6 tensors, 6 modules\n"
    assert archspec.Lock.read("net.lock").totals == {"parameters": 60, "tensors": 6, "modules": 6}
    assert run(main, ["lock", "net.yaml", "--check"]).exit_code == 0
    spec.write_text(TEXT.replace("0.1", "0.2"))
    drifted = run(main, ["lock", "net.yaml", "--check"])
    assert drifted.exit_code == 1 and "drop  Dropout, p 0.1 → 0.2" in drifted.output
    assert run(main, ["lock", "net.yaml", "-p", "size=5"]).exit_code == 2
    assert run(main, ["lock", "net.yaml", "-p", "size=5", "-o", "five.lock"]).exit_code == 0
    assert archspec.Lock.read("five.lock").totals["parameters"] == 90
    missing = run(main, ["lock", "bert", "--check"])
    assert missing.exit_code == 1 and "bert.lock" in missing.output


def test_a_lock_file_without_a_name_of_its_own_needs_one(tmp_path: Path) -> None:
    """With parameters, or of a model folder, which may be shared."""
    for words in (["bert", "-p", "num_labels=3"], [f"hf:{tmp_path}"]):
        done = CliRunner().invoke(main, ["lock", *words])
        assert done.exit_code == 2 and "the lock file needs a name: -o FILE" in done.stderr, words
