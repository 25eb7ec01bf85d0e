"""What is asked of a run is what it does, or an error."""

from __future__ import annotations

from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import archspec
from archspec.data import batches
from archspec.errors import UsageError
from archspec.training import environment
from archspec.training.data_feed import DataFeed, encoders
from archspec.training.options import Phase, TrainOptions
from archspec.training.run_folder import LAST
from archspec.training.state import set_seed

HERE = Path(__file__).parent
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"


def options(**given: Any) -> TrainOptions:
    return TrainOptions(**{"learning_rate": 1e-3, "device": "cpu", **given}).resolved(["none"])


def train(out: Path, data: Any = DATA, **given: Any) -> archspec.Run:
    return archspec.train(
        SPEC, data, output_dir=out, **{"device": "cpu", "progress": False, **given}
    )


def test_a_step_is_the_mean_over_its_samples(tmp_path: Path) -> None:
    data = tmp_path / "twelve.csv"
    data.write_text("\n".join(DATA.read_text().splitlines()[:13]) + "\n")
    found: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
    for size, accumulate in ((12, 1), (12, 3), (4, 3), (4, 4), (8, 2), (5, 3)):
        run = train(
            tmp_path / f"{size}x{accumulate}", data, p=0, epochs=1, batch_size=size,
            accumulate_grad_batches=accumulate, optimizer="sgd", momentum=0.0,
            schedule="constant", max_grad_norm=0, learning_rate=1.0, weight_decay=0.0,
            validation_fraction=0,
        )  # fmt: skip
        assert [line["kind"] for line in run.metrics].count("step") == 1
        found[size, accumulate] = load_file(run.path / LAST)
    expected = found.pop((12, 1))
    for tensors in found.values():
        for name, tensor in expected.items():
            torch.testing.assert_close(tensors[name], tensor, rtol=1e-5, atol=1e-6)


def test_a_step_is_seeded_as_pytorch_does_it_but_leaves_no_note() -> None:
    torch.manual_seed(7)
    expected, notes = torch.rand(3), len(torch.cuda._queued_calls)
    set_seed(7, torch.device("cpu"))
    assert torch.equal(torch.rand(3), expected)
    assert len(torch.cuda._queued_calls) == notes


def test_none_freezes_nothing_unless_a_plan_has_this_name(tmp_path: Path) -> None:
    run = train(tmp_path, phases="head-only:1,none:1")
    assert [line["plan"] for line in run.epochs] == ["head-only", "none"]
    assert run.facts["trainable"] == run.facts["parameters"]
    assert train(tmp_path, freeze="none", epochs=1).facts["plan"] == "none"
    given = TrainOptions(phases="none:2")
    assert given.resolved(["none"]).phases == (Phase("none", 2),)
    assert given.resolved(["head-only"]).phases == (Phase(None, 2),)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"momentum": 0.5}, ["momentum"]),
        ({"ignore": ["x"], "allow_missing": ("y",)}, ["ignore", "allow_missing"]),
        (
            {"num_workers": 2, "image_column": "text", "momentum": 0.0},
            ["image_column", "momentum", "num_workers"],
        ),
        ({"validation_fraction": 0, "monitor": "loss", "patience": 2}, ["monitor", "patience"]),
        (
            {"open": True, "text_column": "text", "max_bad_rows": 0.5},
            ["text_column", "max_bad_rows"],
        ),
        ({"open": True, "labels": ["yes"], "test_split": False}, ["labels", "test_split"]),
        ({"images": True, "max_length": 5, "tokenizer": "x"}, ["tokenizer", "max_length"]),
    ],
)
def test_options_that_would_do_nothing(
    given: dict[str, Any], names: list[str], tmp_path: Path
) -> None:
    task = archspec.load(SPEC).architecture.task
    given = dict(given)
    data = archspec.open_data(DATA, task=task) if given.pop("open", False) else DATA
    spec = "resnet18" if given.pop("images", False) else SPEC
    with pytest.raises(UsageError) as caught:
        archspec.train(spec, data, output_dir=tmp_path, device="cpu", progress=False, **given)
    problems = caught.value.problems
    assert [one.message.partition(" has no effect: ")[0] for one in problems] == names
    assert {one.code for one in problems} == {"E801"}
    assert list(tmp_path.iterdir()) == []


def test_no_half_precision_on_the_cpu(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        train(tmp_path, precision="fp16-mixed")
    assert caught.value.code == "E801" and caught.value.message == "fp16-mixed is not for the CPU"
    assert caught.value.hint == "bf16-mixed, or fp32"


def test_numbers_that_another_program_left(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "1")
    assert (environment.rank(1), environment.world(1)) == (0, 1)
    assert environment.rank(2) == 1  # Fabric has started it
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert (environment.rank(1), environment.world(1)) == (1, 2)


def test_workers_go_on_from_epoch_to_epoch(tmp_path: Path) -> None:
    for i in range(12):
        place = tmp_path / "ab"[i % 2] / f"{i}.png"
        place.parent.mkdir(exist_ok=True)
        Image.new("L", (28, 28), 20 * i).save(place)
    spec = archspec.load(HERE.parent.parent / "examples/fashion-mnist/resnet18-small.yaml")
    data = archspec.open_data(tmp_path, task=spec.architecture.task, validation_fraction=0)
    varied, plain = encoders(spec, None, None, None)
    feed = DataFeed(data, (varied, plain), options(batch_size=4, num_workers=1))
    workers: set[int] = set()
    for epoch, start in ((0, 1), (1, 0), (2, 0)):
        found = feed.train(epoch, start)
        assert (len(found), found.sizes) == (3 - start, [4, 4, 4])
        expected = batches(
            data.splits["train"], varied, batch_size=4, shuffle=True, epoch=epoch, start=start
        )
        for one, other in zip(found, expected, strict=True):
            assert one.keys() == other.keys()
            assert all(torch.equal(one[name], other[name]) for name in one)
        workers |= {child.pid for child in active_children() if child.pid}
    assert len(workers) == 1
