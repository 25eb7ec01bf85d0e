"""Training that starts from an earlier run, and one that is given more epochs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import archspec
from archspec.cli import main
from archspec.errors import UsageError
from archspec.training.model_setup import prepared
from archspec.training.options import TrainOptions
from archspec.training.run_folder import BEST

HERE = Path(__file__).parent
SPEC = HERE / "tiny.yaml"
WORDS = "so great was film hard kind day warm".split()
GIVEN: dict[str, Any] = {"device": "cpu", "progress": False, "batch_size": 16}


def table(path: Path, labels: str) -> Path:
    rows = [f"{word} {word},{label}" for word, label in zip(WORDS, labels, strict=True)] * 12
    path.write_text("text,label\n" + "\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> archspec.Run:
    """A classifier of the labels a to h, wider than the spec says."""
    out = tmp_path_factory.mktemp("first")
    data = table(out / "data.csv", "abcdefgh")
    return archspec.train(
        SPEC,
        data,
        output_dir=out,
        width=24,
        epochs=12,
        learning_rate=5e-2,
        test_split=False,
        **GIVEN,
    )


def test_rows_follow_their_labels(first: archspec.Run, tmp_path: Path) -> None:
    """One label renamed so that all others get other numbers; sizes and tokenizer are the run's."""
    data = table(tmp_path / "data.csv", "zbcdefgh")
    assert first.best is not None and first.best["accuracy"] == 1.0
    for weights in (first.path, first.path / BEST):
        again = archspec.train(
            SPEC, data, output_dir=tmp_path, weights=weights, epochs=1, learning_rate=1e-8, **GIVEN
        )
        assert again.labels == tuple("bcdefghz")
        old, new = (load_file(run.path / BEST) for run in (first, again))
        assert new["classifier.weight"].shape == (8, 24)
        for name in ("classifier.weight", "classifier.bias"):
            torch.testing.assert_close(new[name][:7], old[name][1:], atol=1e-5, rtol=0)
        assert not torch.allclose(
            new["classifier.weight"][7], old["classifier.weight"][0], atol=0.01
        )
        assert again.facts["weights"]["notes"] == [
            f"as in {first.path.name}: width 24",
            f"7 of 8 labels are those of {first.path.name}, by name",
            "new labels, which start anew: z",
            "labels that are no longer there: a",
        ]
        assert again.facts["weights"]["fresh"] == []
        right = again.epochs[0]["accuracy"]
        assert right >= 7 / 8 - 0.15
        assert "new labels, which start anew: z" in (again.path / "train.log").read_text()


def test_more_and_fewer_labels(first: archspec.Run, tmp_path: Path) -> None:
    for labels in ("aabbccdd", "abcdxyzw"):
        data = table(tmp_path / f"{labels}.csv", labels)
        again = archspec.train(
            SPEC,
            data,
            output_dir=tmp_path,
            weights=first.path,
            epochs=1,
            learning_rate=1e-8,
            **GIVEN,
        )
        old, new = (load_file(run.path / BEST)["classifier.bias"] for run in (first, again))
        torch.testing.assert_close(new[:4], old[:4], atol=1e-5, rtol=0)
        assert len(new) == len(set(labels))


def test_rows_follow_the_labels_that_a_spec_names(first: archspec.Run, tmp_path: Path) -> None:
    """The weights are a plain file: the spec, or the config file it was given, says the names."""
    weights = Path(shutil.copy(first.path / BEST, tmp_path / "plain.safetensors"))
    data = table(tmp_path / "data.csv", "zbcdefgh")
    again = archspec.train(
        first.path / "spec.yaml", data, labels=list("zhgfedcb"), output_dir=tmp_path,
        weights=weights, epochs=1, learning_rate=1e-8, **GIVEN,
    )  # fmt: skip
    old, new = (load_file(run.path / BEST)["classifier.weight"] for run in (first, again))
    torch.testing.assert_close(new[1:], old[1:].flip(0), atol=1e-5, rtol=0)
    assert again.facts["weights"]["notes"] == [
        "7 of 8 labels are those of the spec, by name",
        "new labels, which start anew: z",
        "labels that are no longer there: a",
    ]


def test_weights_of_another_size(first: archspec.Run, tmp_path: Path) -> None:
    weights = Path(shutil.copy(first.path / BEST, tmp_path / "plain.safetensors"))
    spec = archspec.load(SPEC, num_labels=8)
    for resize in ({"words": "rows"}, ["words=rows"], "words=rows"):
        options = TrainOptions(weights=str(weights), resize=resize, seed=1)
        assert TrainOptions(**options.resolved().to_dict()).resize == ("words=rows",)
        ready = prepared(spec.with_params(vocab_size=44, width=24), options)
        words = load_file(weights)["words.weight"]
        assert torch.equal(ready.model.get_parameter("words.weight")[:40], words)
        assert (ready.fresh, ready.notes) == ((), ["resized: words.weight [40, 24] → [44, 24]"])
    with pytest.raises(UsageError, match="'words' is no pattern with a way to resize"):
        TrainOptions(resize="words")


def test_a_runs_folder_are_weights(first: archspec.Run) -> None:
    model = archspec.build(first.path / "spec.yaml", device="cpu", weights=first.path)
    report = archspec.load_weights(model, first.path)
    assert report.files == (str(first.path / BEST),) and report.counts == {"loaded": 7}


def test_more_epochs(tmp_path: Path) -> None:
    data = table(tmp_path / "data.csv", "aabbaabb")
    run = archspec.train(SPEC, data, output_dir=tmp_path, epochs=1, **GIVEN)
    assert run.status == "finished" and len(run.epochs) == 1
    result = CliRunner().invoke(main, ["resume", str(run.path), "--epochs", "2"])
    assert result.exit_code == 0, result.output
    more = archspec.Run.of(run.path)
    assert (more.status, len(more.epochs), more.facts["epochs"]) == ("finished", 3, 3)
    assert [line["phase"] for line in more.epochs] == [1, 2, 2]
    assert sum(line["kind"] == "test" for line in more.metrics) <= 1
    assert more.epochs[0]["train_loss"] == run.epochs[0]["train_loss"]
    more.verify()
    assert archspec.resume(run.path).to_dict() == more.to_dict()  # nothing more is asked for
    for wrong in (0, -1):
        with pytest.raises(UsageError, match="epochs must be an integer of at least 1"):
            archspec.resume(run.path, epochs=wrong)
