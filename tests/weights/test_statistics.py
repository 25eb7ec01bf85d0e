"""What the values of a checkpoint are like: NumPy's figures, and notes of what may be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

import archspec
from archspec.cli import main
from archspec.weights import TensorStatistics, value_statistics, weight_statistics


def test_figures_are_those_of_numpy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several dtypes and shapes, read in parts."""
    monkeypatch.setattr(value_statistics, "CHUNK", 7)
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, 6, generator=generator)
    tensors = {
        "a.0": values, "a.1": values.half(), "a.2": values.bfloat16(), "a.3": values.double(),
        "b": torch.arange(-3, 9), "c": torch.tensor([True, False, True]), "d": torch.tensor(2.5),
        "e": torch.randn(3, 4, 2, generator=generator).relu(),
    }  # fmt: skip
    save_file(tensors, tmp_path / "a.safetensors")
    found = {one.name: one for one in weight_statistics(tmp_path / "a.safetensors")}
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        one, array = found[name], tensor.double().numpy()
        assert (one.shape, one.not_finite) == (array.shape, 0)
        expected = (array.mean(), array.std(), array.min(), array.max(), (array == 0).mean())
        assert (one.mean, one.std, one.lowest, one.highest, one.zeros) == pytest.approx(expected)
        if array.size > 1:
            assert one.histogram == tuple(np.histogram(array, 32)[0])


def test_what_may_be_wrong_is_noted(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    layers = {f"layers.{i}.weight": torch.randn(8, 4, generator=generator) for i in range(5)}
    layers["layers.2.weight"] *= 100
    layers["layers.4.weight"] /= 1000
    layers["layers.1.weight"][2:5] = 0
    bad = torch.tensor([1.0, float("nan"), float("inf")])
    tensors = {
        **layers, "bad": bad, "worse": bad[1:], "head": torch.zeros(2, 3),
        "ones": torch.ones(4), "pad": torch.cat([torch.zeros(1, 3), torch.ones(3, 3)]),
        "empty": torch.zeros(0, 3),
    }  # fmt: skip
    torch.save(tensors, tmp_path / "a.pt")
    found = {one.name: one for one in weight_statistics(tmp_path / "a.pt")}
    spread = "the standard deviation is {} that of the 5 tensors alike"
    assert {name: one.notes for name, one in found.items() if one.notes} == {
        "layers.1.weight": ("3 of 8 rows are zero",),
        "layers.2.weight": (spread.format(f"{_ratio(found, 2):.3g} times"),),
        "layers.4.weight": (spread.format(f"1/{1 / _ratio(found, 4):.3g} of"),),
        "bad": ("2 of 3 values are not finite",),
        "worse": ("2 of 2 values are not finite",),
        "head": ("all values are 0",),
    }
    assert (found["bad"].mean, found["worse"].mean, found["empty"].highest) == (1.0, None, None)


def _ratio(found: dict[str, TensorStatistics], layer: int) -> float:
    spread = [found[f"layers.{i}.weight"].std or 0.0 for i in range(5)]
    return spread[layer] / sorted(spread)[2]


def test_the_command(tmp_path: Path) -> None:
    tensors = {"good": torch.tensor([[1.0, 2.0]]), "bad\x1b[31m": torch.zeros(2, 2)}
    torch.save(tensors, tmp_path / "a.pt")
    run = CliRunner()
    shown = run.invoke(main, ["weights", "stats", str(tmp_path / "a.pt")])
    assert shown.exit_code == 0 and "\x1b" not in shown.stdout
    assert "good" in shown.stdout and "1.5" in shown.stdout
    assert shown.stdout.splitlines()[-1] == "2 tensors, 1 of them noted"
    noted = run.invoke(main, ["weights", "stats", str(tmp_path / "a.pt"), "--notes-only", "--json"])
    (one,) = json.loads(noted.stdout)
    assert (one["name"], one["notes"]) == ("bad\x1b[31m", ["all values are 0"])
    gone = run.invoke(main, ["weights", "stats", str(tmp_path / "b.pt")])
    assert gone.exit_code == 1 and "E601" in gone.stderr


def test_a_run_is_described_by_its_best_weights(tmp_path: Path) -> None:
    model = archspec.build("resnet18", device="cpu")
    folder = tmp_path / "run" / "checkpoints"
    folder.mkdir(parents=True)
    archspec.save_weights(model, folder / "best.safetensors")
    found = weight_statistics(tmp_path / "run")
    assert {one.name for one in found} == model.state_dict().keys()
