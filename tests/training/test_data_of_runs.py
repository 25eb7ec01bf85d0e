"""What a run says of its data, and which data it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from PIL import Image

import archspec
from archspec.cli import main
from archspec.data import TextEncoder, encoder_for
from archspec.data.token_counts import TokenCounts
from archspec.errors import DataError
from archspec.lang.schema import Task
from archspec.training.data_feed import opened, reopened
from archspec.training.options import TrainOptions

HERE = Path(__file__).parent
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "part-train.csv").write_text(DATA.read_text() + ",yes\n,no\n")
    for name in ("part-dev", "other-dev", "extra"):
        (tmp_path / "data" / f"{name}.csv").write_text("text,label\na film,yes\nso it was,no\n")
    (tmp_path / "data" / "test.csv").write_text("text\na film\n")
    words = [
        "train",
        str(SPEC),
        "--data",
        str(tmp_path / "data"),
        "--output-dir",
        str(tmp_path / "runs"),
    ]
    words += ["--epochs", "1", "--device", "cpu", "--max-bad-rows", "0.05", "--labels", "yes, no"]
    refused = CliRunner().invoke(main, words)
    assert (
        refused.exit_code == 1
        and "say which with validation_split= (--validation-split)" in refused.stderr
    )
    done = CliRunner().invoke(
        main, [*words, "--train-split", "part-train", "--validation-split", "other-dev"]
    )
    assert done.exit_code == 0
    (run,) = archspec.runs(tmp_path / "runs")
    told = [
        "2 of 94 rows are bad and left out: no text 2",
        "the test split 'test' has no labels and is left out",
        "not used: extra, part-dev, test",
    ]
    for text in (done.stderr, (run.path / "train.log").read_text()):
        assert text.splitlines()[:3] == told
    shown = CliRunner().invoke(main, ["runs", str(run.path)])
    for text in (done.stdout, shown.stdout):
        assert text.rstrip().splitlines()[-3:] == told
    assert run.labels == ("yes", "no")
    assert run.facts["data"]["unused"] == ["extra", "part-dev", "test"]
    again = reopened(run, archspec.load(run.path / "spec.yaml"), None)
    assert again.fingerprint == run.facts["data"]["fingerprint"]


def test_texts_that_are_cut_are_told(tmp_path: Path) -> None:
    """In the run's folder, its last lines, the report of a file, and what is said of a text."""
    long = " ".join(["a warm film"] * 20)
    rows = "".join(f"{long},{name}\na warm day,{name}\n" for name in ("yes", "no") * 5)
    (tmp_path / "long.csv").write_text("text,label\n" + rows)
    words = ["train", str(SPEC), "--data", str(tmp_path / "long.csv"), "--epochs", "1"]
    words += ["--device", "cpu", "--output-dir", str(tmp_path), "--name", "run"]
    done = CliRunner().invoke(main, words)
    cut = (
        "10 of 20 texts were cut at 12 tokens, the longest has 62: "
        "max_length=62 (--max-length 62) keeps all of them whole"
    )
    data = archspec.Run.of(tmp_path / "run").facts["data"]
    assert (data["notes"], data["tokens"]["truncated"]) == ([cut], 10)
    assert done.stdout.splitlines()[-1] == cut and cut in done.stderr.splitlines()

    predicted = ["predict", str(tmp_path / "run")]
    files = ["--file", str(tmp_path / "long.csv"), "-o", str(tmp_path / "out.jsonl")]
    assert cut in CliRunner().invoke(main, [*predicted, *files]).stdout.splitlines()
    one = cut.replace("10 of 20", "1 of 2")
    said = CliRunner().invoke(main, [*predicted, "--text", long, "--text", "a day", "--json"])
    assert [found["truncated"] for found in json.loads(said.stdout)] == [True, False]
    assert said.stderr.splitlines() == [one]
    more = ["--max-length=62", "--overwrite", "--json"]
    kept = CliRunner().invoke(main, [*predicted, *files, *more])
    assert (json.loads(kept.stdout)["truncated"], json.loads(kept.stdout)["notes"]) == (0, [])

    predictor = archspec.Predictor(tmp_path / "run")
    assert predictor.explain(long).prediction.truncated
    assert predictor.tokens and predictor.tokens.longest == 62
    predictor(["qwerty uiop the asdf"])
    assert predictor.tokens.notes[0].startswith("75% of the tokens are unknown (3 of 4): is it")


def test_capitals_that_no_setting_speaks_of_are_told(tmp_path: Path) -> None:
    """A run keeps what was guessed, so that neither it nor its reader guesses again."""
    words = (HERE / "vocab.txt").read_text()
    (tmp_path / "vocab.txt").write_text(words + "Film\n")
    command = ["train", str(SPEC), "--data", str(DATA), "--epochs", "1", "--device", "cpu"]
    command += ["--tokenizer", str(tmp_path / "vocab.txt"), "--output-dir", str(tmp_path)]
    done = CliRunner().invoke(main, [*command, "--name", "run"])
    said = "the words of vocab.txt have capitals, so texts keep theirs (transformers would "
    said += "lower-case them): tokenizer_config.json beside it decides, with "
    said += '{"do_lower_case": false} or true'
    run = archspec.Run.of(tmp_path / "run")
    assert run.facts["data"]["notes"][1:] == run.facts["data"]["tokens"]["guesses"] == [said]
    assert said in done.stderr.splitlines() and done.stdout.splitlines()[-1] == said

    text = "a warm Film, it was Great"
    spec = archspec.load(run.path / "spec.yaml", vocab_size=41)
    guessed = encoder_for(spec, tokenizer=tmp_path)
    assert isinstance(guessed, TextEncoder) and guessed.guesses == (said,)
    kept = encoder_for(spec, tokenizer=run.path)
    assert isinstance(kept, TextEncoder) and kept.guesses == ()
    assert kept.encode([text]) == guessed.encode([text])
    assert kept.encode([text]) != TextEncoder(HERE / "vocab.txt", 12).encode([text])

    weights = tmp_path / "model.safetensors"
    archspec.save_weights(archspec.build(SPEC, device="cpu", vocab_size=41), weights)
    given = ["predict", str(SPEC), "-p", "vocab_size=41", "--weights", str(weights), "--device"]
    given += ["cpu", "--tokenizer", str(tmp_path / "vocab.txt"), "--text", text]
    assert CliRunner().invoke(main, given).stderr.splitlines()[:1] == [said]
    of_run = CliRunner().invoke(main, ["predict", str(run.path), "--text", text])
    assert (of_run.exit_code, of_run.stderr) == (0, "")


def test_the_way_on_is_one_that_the_model_takes() -> None:
    for limit, way in (
        (64, "the model takes no more"),
        (128, "max_length=128 (--max-length 128) keeps more, and is the most that the model takes"),
        (190, "max_length=190 (--max-length 190) keeps all of them whole"),
        (None, "max_length=190 (--max-length 190) keeps all of them whole"),
    ):
        (note,) = TokenCounts(2, 1, 190, 64, limit, 80, 0).notes
        assert note == f"1 of 2 texts were cut at 64 tokens, the longest has 190: {way}"


def test_data_that_was_opened_for_something_else(tmp_path: Path) -> None:
    spec = archspec.load(SPEC)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "a.png")
    images = Task(kind="image-classification")
    given: list[tuple[Any, str, str]] = [
        (
            archspec.open_data(tmp_path, task=images, validation_fraction=0), "E902",
            "the data was opened for image-classification, and tiny is for text-classification",
        ),
        (
            archspec.open_data(DATA, task=spec.architecture.task, label_column=False), "E906",
            "the data was opened without labels",
        ),
    ]  # fmt: skip
    for data, code, message in given:
        with pytest.raises(DataError) as caught:
            opened(data, spec, TrainOptions())
        assert (caught.value.code, caught.value.message) == (code, message)
