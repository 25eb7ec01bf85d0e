"""The page on pairs, numbers and several labels: what it starts, shows and predicts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.errors import ArchspecError, UsageError
from archspec_app.predictions import Models, RunSource
from archspec_app.training.metric_points import new_points
from archspec_app.training.train_request import read_request

TRAINING = Path(__file__).parent.parent / "training"
SIZES: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 32,
}  # fmt: skip
GPT2: dict[str, Any] = {
    "vocab_size": 40,
    "n_embd": 16,
    "n_layer": 1,
    "n_head": 2,
    "n_positions": 64,
}
TEXTS = ("a warm film", "it was bad", "so good", "a sad day", "very nice", "poor film")
ROWS: dict[str, list[dict[str, Any]]] = {
    "pairs": [
        {"premise": a, "hypothesis": b, "label": "no" if i % 2 else "yes"}
        for i, (a, b) in enumerate(zip(TEXTS, TEXTS[::-1], strict=True))
    ],
    "numbers": [{"text": text, "score": i / 5} for i, text in enumerate(TEXTS)],
    "several": [
        {"text": text, "labels": ["no", "yes", "so"][: i % 4]} for i, text in enumerate(TEXTS)
    ],
    "masks": [{"text": text} for text in TEXTS],
    "prompts": [{"prompt": text, "answer": text} for text in TEXTS],
}
LORA = """
archspec: 1
extends: bert
params: {hidden_size: 16, num_hidden_layers: 1, num_attention_heads: 2, intermediate_size: 24}
adapters:
  small: {kind: lora, match: ["**.query"], rank: 2}
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Models:
    """A folder with a run of each task."""
    folder = tmp_path_factory.mktemp("page")
    for name, rows in ROWS.items():
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows * 3)))
        task = {"task": "text-regression"} if name == "numbers" else {}
        spec = {"masks": "bert-mlm", "prompts": "gpt2"}.get(name, "bert")
        sizes = GPT2 if name == "prompts" else SIZES
        vocabulary = TRAINING / ("masks/vocab.txt" if name == "masks" else "vocab.txt")
        archspec.train(
            spec, folder / f"{name}.jsonl", output_dir=folder / "runs", name=name, epochs=1,
            tokenizer=vocabulary, feature_cache="off", device="cpu", progress=False,
            **task, **sizes,
        )  # fmt: skip
    return Models(folder, device="cpu", max_models=4)


def test_what_is_predicted(models: Models) -> None:
    runs = {Path(one["name"]).name: one for one in models.sources()["runs"]}
    assert {name: (one["pair"], one["score"]["name"]) for name, one in runs.items()} == {
        "pairs": (True, "accuracy"), "numbers": (False, "Pearson"), "several": (False, "micro F1"),
        "masks": (False, "perplexity"), "prompts": (False, "perplexity"),
    }  # fmt: skip
    answers: dict[str, dict[str, Any]] = {}
    for name in ROWS:
        second = "it was bad" if name == "pairs" else ""
        run = archspec.Run.of(models.folder / "runs" / name)
        text = "a [MASK]" if name == "masks" else "a film"
        answer = models.predict_text(RunSource(f"runs/{name}"), text, second, explain=True)
        asked: Any = [(text, second)] if second else [text]
        (expected,) = archspec.Predictor(run, device="cpu")(asked)
        answers[name] = answer
        if name == "numbers":
            assert answer["value"] == pytest.approx(expected.value, abs=1e-5)
            continue
        if name == "prompts":
            assert answer == {"kind": "causal-lm", **expected.to_dict(), "truncated": None}
            continue
        shown = {one["label"]: one["probability"] for one in answer["labels"]}
        shares = expected.top(20).masks[0] if name == "masks" else expected.probabilities
        assert shown == pytest.approx(dict(shares), abs=1e-5), name
        values = [one["probability"] for one in answer["labels"]]
        assert values == sorted(values, reverse=True) and answer["saliency"] is None
    assert [answers[name]["threshold"] for name in ("pairs", "several")] == [None, 0.5]
    assert answers["several"]["rest"] is None
    assert answers["masks"]["rest"]["count"] == 27 - 20
    refused = {("pairs", ""): "takes pairs of texts", ("numbers", "b"): "takes one text"}
    refused |= {("masks", ""): "2 masks: one at a time"}
    for (name, second), message in refused.items():
        with pytest.raises(UsageError, match=message):
            models.predict_text(RunSource(f"runs/{name}"), "a [MASK] [MASK]", second)


def test_the_scores_of_each_task_are_shown(models: Models) -> None:
    expected = {"pairs": ["accuracy", "macro_f1"], "numbers": ["pearson", "spearman", "mse"]}
    expected["masks"] = ["perplexity", "accuracy"]
    for name, scores in expected.items():
        (epoch,) = new_points(models.folder / "runs" / name / "metrics.jsonl").epochs
        beside = {"epoch", "step", "train_loss", "seconds", "loss", "best"}
        assert [key for key in epoch if key not in beside] == scores


def test_adapters_in_the_form(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("text,label\na,b\n")
    (tmp_path / "folder").mkdir()

    def request(**options: str) -> Any:
        return read_request(tmp_path, LORA, "lora.yaml", {"data": "d.csv", **options})

    mapping = '{kind: lora, match: ["**.value"], rank: 4}'
    for given, plan in (("small", "small"), ("none", "none"), (mapping, "lora")):
        found = request(adapter=given)
        assert f"--adapter={given}" in found.arguments and found.plan == plan
    assert request(adapter="small", freeze="head-only").plan == "head-only"
    assert not any("adapter" in word for word in request().arguments)
    for wrong, message in (
        ("smal", "no adapter is called 'smal'"), ("./folder", "'./folder' is a folder"),
        ("../x", "'../x' is a folder"), ("{kind: nothing}", "adapter: "),
        ("a\nb", "must be a text"),
    ):  # fmt: skip
        with pytest.raises(ArchspecError) as caught:
            request(adapter=wrong)
        assert message in str(caught.value.problems[0].message), wrong
