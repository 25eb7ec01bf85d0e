"""How long a text may be is found from the model's tables, and told before a text is too long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import archspec
from archspec.cli import main
from archspec.errors import DataError
from archspec.inspection.text_lengths import token_limit

TRAINING = Path(__file__).parent.parent / "training"
NET = """\
archspec: 1
model: Net
params: {places: 4, offset: 0, num_labels: {default: 2, min: 1}}
dims: {batch: 2, seq: 3}
blocks:
  Net:
    inputs: {input_ids: {shape: [batch, seq], dtype: int64, below: 40}}
    outputs: {logits: [batch, $num_labels]}
    modules:
      words: {type: Embedding, num_embeddings: 40, embedding_dim: 4}
      positions: {type: Embedding, num_embeddings: $places, embedding_dim: 4}
      head: {type: Linear, in_features: 4, out_features: $num_labels}
    forward:
      - x: words(input_ids) + positions(arange(input_ids.shape[1]) + offset)
      - return: head(mean(x, 1))
task: {kind: text-classification, text: {tokenizer: vocab.txt, max_length: 12}}
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "vocab.txt").write_bytes((TRAINING / "vocab.txt").read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "net.yaml"


def test_the_longest_text(net: Path) -> None:
    masked = ("input_ids", "attention_mask")
    rows: list[tuple[archspec.Spec, tuple[str, ...], int, int | None]] = [
        (archspec.load("roberta", num_hidden_layers=1), masked, 514, 512),
        (archspec.load("bert", num_hidden_layers=1, max_position_embeddings=70), masked, 99, 70),
        (archspec.load("gpt2", n_layer=1), ("input_ids",), 512, 512),
        (archspec.load(net), ("input_ids",), 100, 4),
        (archspec.load(net, places=9, offset=2), ("input_ids",), 100, 7),
        (archspec.load(net, places=1, offset=5), ("input_ids",), 100, 0),
        (archspec.load(net), ("attention_mask",), 100, None),
        # A loop over so much time is not run to its end.
        (archspec.load("mamba", num_hidden_layers=1), ("input_ids",), 8192, None),
    ]
    for spec, inputs, length, limit in rows:
        assert token_limit(spec, inputs, length) == limit, (spec.name, spec.values)


def test_texts_are_cut_at_the_models_positions_or_refused(net: Path) -> None:
    command = ["train", str(net), "--data", str(TRAINING / "tiny.csv"), "--epochs", "1"]
    command += ["--device", "cpu", "--output-dir", ".", "--name", "run"]
    done = CliRunner().invoke(main, command)
    cut = "74 of 90 texts were cut at 4 tokens, the longest has 9: the model takes no more"
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, cut)
    text = archspec.load("run/spec.yaml").architecture.task
    assert text and text.text and text.text.max_length == 4

    archspec.save_weights(archspec.build(net, device="cpu"), "net.safetensors")
    given = ["predict", str(net), "--weights", "net.safetensors", "--device", "cpu", "--json"]
    found = CliRunner().invoke(main, [*given, "--text", "a film day and more"])
    assert json.loads(found.stdout)[0]["truncated"] is True
    told = "1 of 1 texts were cut at 4 tokens, the longest has 7: the model takes no more"
    assert found.stderr.splitlines() == [told]

    at_most = "give at most 4: max_length=4 (--max-length 4)"
    asked: list[tuple[dict[str, Any], str, str]] = [
        ({"max_length": 5}, "a maximum length of 5, but net has 4 positions", at_most),
        ({"places": 2}, "the model's 2 positions leave no room beside 2 special tokens", ""),
    ]
    for options, message, hint in asked:
        with pytest.raises(DataError) as caught:
            archspec.train(net, TRAINING / "tiny.csv", output_dir="none", device="cpu", **options)
        assert (caught.value.code, caught.value.message) == ("E905", message)
        assert caught.value.hint == hint
        with pytest.raises(DataError) as caught:
            archspec.Predictor(net, weights="net.safetensors", device="cpu", **options)
        assert caught.value.message == message
    archspec.Predictor(net, weights="net.safetensors", device="cpu", max_length=4)  # as the hint
    assert not Path("none").exists()
