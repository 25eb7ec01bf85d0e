"""Each task: its losses are those of transformers in a plain loop, its runs resume to the bit."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import Tensor

import archspec
from archspec.cli import main
from archspec.data import TextEncoder, batches, encoder_for
from archspec.errors import ArchspecError, DataError
from archspec.tasks import IGNORED, find
from archspec.tasks.causal_lm import CausalLm
from archspec.tasks.language_model import LanguageModel
from archspec.tasks.multi_label import MultiLabel
from archspec.tasks.objective import Loss, Objective, Scores
from archspec.tasks.question_answering import QuestionAnswering
from archspec.tasks.single_label import SingleLabel
from archspec.tasks.text_embedding import ScoredTextEmbedding, TextEmbedding
from archspec.tasks.text_regression import TextRegression
from archspec.tasks.token_classification import TokenClassification
from archspec.training.data_feed import DataFeed
from archspec.training.engine import has_unused
from archspec.training.options import TrainOptions
from archspec.training.run_folder import LAST, METRICS, lines_of

HERE = Path(__file__).parent
WORDS = "a film day was is so very and it good fine great nice kind warm bad poor sad".split()
SIZES = {
    "vocab_size": 40,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 32,
}
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ROWS = 22
OPTIONS: dict[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.0,
    "weight_decay": 0.0,
    "learning_rate": 0.1,
    "schedule": "constant",
    "warmup": 0.0,
    "max_grad_norm": 0.0,
    "batch_size": 4,
    "epochs": 2,
    "validation_fraction": 0.2,
    "tokenizer": HERE / "vocab.txt",
    "device": "cpu",
    "progress": False,
}


def text(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(2, 9)))


def pairs(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {"premise": text(rng), "hypothesis": text(rng), "label": rng.choice(["no", "yes", "so"])}
        for _ in range(ROWS)
    ]


def scores(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {"text_a": text(rng), "text_b": text(rng), "score": round(rng.random(), 3)}
        for _ in range(ROWS)
    ]


def several(rng: random.Random) -> list[dict[str, Any]]:
    return [
        {"text": text(rng), "labels": rng.sample(["no", "yes", "so"], rng.randint(0, 3))}
        for _ in range(ROWS)
    ]


def triplets(rng: random.Random) -> list[dict[str, Any]]:
    texts = [text(rng) for _ in range(ROWS)]
    rows = [{"anchor": one, "positive": text(rng), "negative": text(rng)} for one in texts]
    rows[1]["positive"] = rows[0]["positive"]  # which is no negative of either
    return rows


def tagged(rng: random.Random) -> list[dict[str, Any]]:
    """Words that are no single token as well: 'goodday' is good ##day, or unknown."""
    rows: list[dict[str, Any]] = []
    for _ in range(ROWS):
        words = [rng.choice([*WORDS, "good-day", "bad,"]) for _ in range(rng.randint(2, 9))]
        rows.append({"tokens": words, "tags": [rng.choice(TAGS) for _ in words]})
    return rows


def answered(rng: random.Random) -> list[dict[str, Any]]:
    """Contexts of up to 40 words, which are more than the 32 tokens of a window."""
    rows: list[dict[str, Any]] = []
    for _ in range(ROWS):
        words = [rng.choice(WORDS) for _ in range(rng.randint(5, 40))]
        first = rng.randrange(len(words))
        start = len(" ".join([*words[:first], ""]))
        row = {"question": " ".join(rng.sample(WORDS, 4)), "context": " ".join(words)}
        answer = " ".join(words[first : first + rng.randint(1, 3)])
        rows.append({**row, "answers": {"text": [answer], "answer_start": [start]}})
    return rows


def texts(rng: random.Random) -> list[dict[str, Any]]:
    """Up to 40 words, of which 30 are in a row of 32 tokens."""
    return [{"text": " ".join(rng.choices(WORDS, k=rng.randint(5, 40)))} for _ in range(ROWS)]


def prompts(rng: random.Random) -> list[dict[str, Any]]:
    """Some answers are cut, and one is cut off as a whole."""
    rows = [{"prompt": text(rng), "answer": text(rng)} for _ in range(ROWS)]
    rows[1]["answer"] += " good" * 20
    return [*rows, {**rows[0], "prompt": "good " * 40}]


TAGS = ("O", "B-GOOD", "I-GOOD", "B-BAD")
Reference = Callable[[], Any]


def sentence_encoder(loss: Callable[..., Tensor]) -> Any:
    from transformers import BertConfig, BertModel

    class SentenceEncoder(BertModel):
        def forward(self, labels: Tensor, lengths: tuple[int, ...], **inputs: Any) -> Any:  # pyright: ignore
            vectors: list[Tensor] = []
            for i, length in enumerate(lengths):
                rows = slice(i * len(labels), (i + 1) * len(labels))
                part = {name: one[rows, :length] for name, one in inputs.items()}
                found: Any = super().forward(**part)
                hidden = found.last_hidden_state
                mask = part["attention_mask"][..., None]
                mean = (hidden * mask).sum(1) / mask.sum(1)
                vectors.append(mean / mean.norm(dim=1, keepdim=True))
            return SimpleNamespace(loss=loss(labels, *vectors))

    sizes: dict[str, Any] = {**SIZES, **NO_DROPOUT}
    return SentenceEncoder(BertConfig(**sizes))


def ranking_loss(labels: Tensor, anchors: Tensor, *others: Tensor) -> Tensor:
    losses: list[Tensor] = []
    for i, anchor in enumerate(anchors):
        wrong = [one[j] for one in others[1:] for j in range(len(labels))]
        wrong += [others[0][j] for j in range(len(labels)) if labels[j] != labels[i]]
        logits = torch.stack([others[0][i], *wrong]) @ anchor * 20
        losses.append(-logits.log_softmax(0)[0])
    return torch.stack(losses).mean()


def cosine_loss(labels: Tensor, one: Tensor, other: Tensor) -> Tensor:
    return ((one * other).sum(1) - labels).square().mean()


EMBEDDED = {"freeze": ["bert.embeddings", "bert.encoder.layer[0].attention"]}


def sequence_classifier(**config: Any) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(**SIZES, **NO_DROPOUT, **config))


def token_classifier() -> Any:
    from transformers import BertConfig, BertForTokenClassification

    config: dict[str, Any] = {"num_labels": 4}
    return BertForTokenClassification(BertConfig(**SIZES, **NO_DROPOUT, **config))


def answerer() -> Any:
    from transformers import BertConfig, BertForQuestionAnswering

    class Answerer(BertForQuestionAnswering):
        def forward(self, labels: Tensor, **inputs: Any) -> Any:  # pyright: ignore
            first, last = labels.unbind(1)
            return super().forward(**inputs, start_positions=first, end_positions=last)

    sizes: dict[str, Any] = {**SIZES, **NO_DROPOUT}
    return Answerer(BertConfig(**sizes))


def mask_filler() -> Any:
    from transformers import BertConfig, BertForMaskedLM

    config: dict[str, Any] = {**SIZES, **NO_DROPOUT}
    return BertForMaskedLM(BertConfig(**config))


GPT2 = {"vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32}
NO_GPT2_DROPOUT = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}


def continuer() -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(**GPT2, **NO_GPT2_DROPOUT))


def sizes_of(spec: str, *, dropout: bool = False) -> dict[str, Any]:
    sizes, without = (GPT2, NO_GPT2_DROPOUT) if spec == "gpt2" else (SIZES, NO_DROPOUT)
    return {**sizes, **({} if dropout else without)}


CAUSAL: dict[str, Any] = {"accumulate_grad_batches": 2, "max_length": 20}
CAUSAL["freeze"] = ["**", "!transformer.h[1]", "!transformer.ln_f"]
MASKED: dict[str, Any] = {
    "tokenizer": HERE / "masks/vocab.txt",
    "accumulate_grad_batches": 2,
    "freeze": ["bert.encoder.layer[0].attention"],
}
TASKS: dict[str, tuple[str, Callable[..., list[dict[str, Any]]], Reference, dict[str, Any]]] = {
    # spec, rows, their model, and options
    "pairs": ("bert", pairs, lambda: sequence_classifier(num_labels=3), {}),
    "numbers": (
        "bert",
        scores,
        lambda: sequence_classifier(num_labels=1, problem_type="regression"),
        {"task": "text-regression"},
    ),
    "several": (
        "bert",
        several,
        lambda: sequence_classifier(num_labels=3, problem_type="multi_label_classification"),
        {},
    ),
    "triplets": ("minilm-l6", triplets, lambda: sentence_encoder(ranking_loss), EMBEDDED),
    "similarities": ("minilm-l6", scores, lambda: sentence_encoder(cosine_loss), EMBEDDED),
    "tags": ("bert-token-classifier", tagged, token_classifier, {}),
    "answers": ("bert-question-answering", answered, answerer, {}),
    "masks": ("bert-mlm", texts, mask_filler, MASKED),
    "blocks": ("gpt2", texts, continuer, CAUSAL),
    "prompts": ("gpt2", prompts, continuer, CAUSAL),
}


def predicts_pairs(predictor: archspec.Predictor, folder: Path) -> None:
    prediction = predictor(("a good film", "it was bad"))
    assert predictor.pair and prediction.label in ("no", "so", "yes")
    assert predictor([("a good film", "it was bad")])[0].probabilities == prediction.probabilities
    swapped = predictor(("it was bad", "a good film"))
    assert swapped.probabilities != prediction.probabilities
    for wrong in ("a good film", ["a", "b"], [("a", "b", "c")], ("a", None), [("a", " ")]):
        with pytest.raises(DataError) as caught:
            predictor(wrong)
        assert caught.value.code == "E930"
    (folder / "in.csv").write_text("hypothesis,premise\nit was bad,a good film\n,a\n")
    report = predictor.file(folder / "in.csv", folder / "out.jsonl", probabilities=True)
    row, bad = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert row["label"] == prediction.label and bad["error"] == "no text"
    assert row["p_no"] == pytest.approx(prediction.probabilities["no"], abs=1e-6)
    assert (report.rows, report.bad_rows, report.notes) == (2, 1, ())
    long = ("good " * 40, "bad film so")
    (cut,) = predictor([long])
    assert cut.truncated and predictor.tokens is not None
    assert (predictor.tokens.longest, predictor.tokens.max_length) == (40 + 3 + 3, 32)


def predicts_numbers(predictor: archspec.Predictor, folder: Path) -> None:
    prediction = predictor(("a good film", "it was bad"))
    assert predictor.labels == () and predictor.pair and predictor.kind == "text-regression"
    (folder / "in.csv").write_text("text_a,text_b\na good film,it was bad\n,a\n")
    for name in ("out.jsonl", "out.csv"):
        report = predictor.file(folder / "in.csv", folder / name)
        assert (report.counts, report.columns) == ({}, ("value", "truncated", "error"))
    row, bad = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert row["value"] == pytest.approx(prediction.value, abs=1e-6)
    assert bad["value"] is None and bad["error"] == "no text"
    assert str(prediction) == f"{prediction.value:.4f}"
    cases: list[dict[str, Any]] = [{"threshold": 0.5}, {"labels": ["a", "b"]}]
    for given in cases:
        with pytest.raises(ArchspecError) as caught:
            archspec.Predictor(predictor.model, **given)
        assert caught.value.code in ("E801", "E906")


def predicts_several(predictor: archspec.Predictor, folder: Path) -> None:
    prediction = predictor("a good film")
    assert isinstance(predictor.encoder, TextEncoder)
    with torch.no_grad():
        batch = predictor.encoder.collate(predictor.encoder.encode(["a good film"]))
        shares = predictor.model.eval()(**batch).sigmoid()[0].tolist()
    assert prediction.probabilities == pytest.approx(
        dict(zip(("no", "so", "yes"), shares, strict=True))
    )
    cut = sorted(shares)[1]
    choosy = archspec.Predictor(predictor.model, threshold=cut, tokenizer=predictor.encoder.path)
    chosen = [n for n, share in prediction.probabilities.items() if share >= cut]
    assert sorted(choosy("a good film").labels) == sorted(chosen) and len(chosen) == 2
    (folder / "in.csv").write_text("text\na good film\n\n")
    (folder / "in.jsonl").write_text('{"text": "a good film"}\n{"text": ""}\n')
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        report = choosy.file(folder / "in.jsonl", folder / name, probabilities=True)
        assert report.columns[0] == "labels" and sum(report.counts.values()) == 2
    row, bad = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert sorted(row["labels"]) == sorted(chosen) and bad["labels"] is None
    assert json.dumps(row["labels"]) in (folder / "out.csv").read_text().replace('""', '"')
    wrongs: list[Any] = [-0.1, 2, True, "worst"]
    for wrong in wrongs:
        with pytest.raises(ArchspecError, match="threshold must be"):
            archspec.Predictor(predictor.model, threshold=wrong, tokenizer=predictor.encoder.path)
    run = folder / "runs/whole"
    report = json.loads((run / "report.json").read_text())
    fitted = archspec.Predictor(run, device="cpu", threshold="best", calibrate=True)
    softer = {k: logit(p) / report["temperature"] for k, p in prediction.probabilities.items()}
    said = fitted("a good film")
    assert {k: logit(p) for k, p in said.probabilities.items()} == pytest.approx(softer, abs=1e-4)
    best = [n for n, t in report["thresholds"].items() if prediction.probabilities[n] >= t]
    assert sorted(said.labels) == sorted(best)
    written = choosy.file(folder / "in.jsonl", folder / "top.jsonl", top_k=2)
    row, bad = map(json.loads, (folder / "top.jsonl").read_text().splitlines())
    assert row["top_labels"] == [*prediction.top(2).probabilities] and bad["top_labels"] is None
    assert row["top_probabilities"] == pytest.approx(sorted(shares)[:0:-1], abs=1e-6)
    assert written.columns[:3] == ("labels", "top_labels", "top_probabilities")
    given: list[dict[str, Any]] = [{"threshold": "best"}, {"calibrate": True}]
    for one in given:
        with pytest.raises(ArchspecError, match=r"there is no report.json that has a"):
            archspec.Predictor(run, weights="last", device="cpu", **one)


def logit(share: float) -> float:
    return math.log(share / (1 - share))


def predicts_vectors(predictor: archspec.Predictor, folder: Path) -> None:
    one, other = predictor(["a good film", "it was bad"])
    assert predictor.pair is False and one.shape == (16,)
    assert float(one.norm()) == pytest.approx(1) and not torch.equal(one, other)
    sentences = ["it was bad", "", "a good film", "a warm day is nice", "it was bad"] * 20
    rows = [{"id": i, "text": sentence} for i, sentence in enumerate(sentences)]
    (folder / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = predictor.search("it was bad", folder / "in.jsonl", top=41)
    assert [hit.row for hit in found.hits[:4]] == [1, 5, 6, 10]
    assert (found.rows, found.bad_rows, len(found.hits), found.hits[0].line) == (100, 20, 41, 1)
    assert found.hits[0].score == pytest.approx(1) and found.hits[40].score < 1 - 1e-6
    near = predictor.search("a good film", folder / "in.jsonl", top=21).hits
    assert {hit.text for hit in near[:20]} == {"a good film"} and near[20].text != "a good film"
    command = ["search", str(folder / "runs/whole"), "it was bad", "--in", str(folder / "in.jsonl")]
    done = CliRunner().invoke(main, [*command, "--top", "1", "--json", "--device", "cpu"])
    assert json.loads(done.stdout)["hits"] == [asdict(found.hits[0])], done.stderr
    shown = CliRunner().invoke(main, [*command, "--top", "2", "--device", "cpu"]).stdout
    assert "row 1  it was bad" in shown and "100 rows searched, 20 of them without a text" in shown
    with pytest.raises(ArchspecError, match="top is a whole number"):
        predictor.search("a", folder / "in.jsonl", top=0)


def predicts_tags(predictor: archspec.Predictor, folder: Path) -> None:
    words = ("a", "good-day", "film", "was", "bad")
    prediction = predictor(words)
    assert isinstance(prediction, archspec.TokenPrediction) and prediction.input == " ".join(words)
    assert isinstance(predictor.encoder, TextEncoder)
    ids = predictor.encoder.encode([prediction.input])
    names = [predictor.encoder.name(i) for i in ids[0]]
    firsts = [names.index(one) for one in ("a", "good", "film", "was", "bad")]
    with torch.no_grad():
        shares = predictor.model.eval()(**predictor.encoder.collate(ids)).softmax(-1)[0, firsts]
    assert prediction.tags == tuple(predictor.labels[i] for i in shares.argmax(1).tolist())
    found = [word.probability for word in prediction.words]
    assert found == pytest.approx(shares.amax(1).tolist(), abs=1e-6)
    assert [(w.text, w.start, w.end) for w in prediction.words][1:3] == [
        ("good-day", 2, 10), ("film", 11, 15),
    ]  # fmt: skip
    plain = predictor(["a good-day film was bad", [*words]])
    assert plain[0].tags == plain[1].tags == prediction.tags
    long = predictor(tuple(["good"] * 40))
    assert long.truncated and long.tags[30:] == (None,) * 10 and None not in long.tags[:30]
    assert "10 of 40 words have no token" in predictor.tokens.notes[1]  # pyright: ignore
    rows = [{"tokens": [*words], "tags": ["O"] * 5}, {"tokens": ["a", " "]}, {"tokens": []}]
    (folder / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (folder / "in.conll").write_text("\n".join(f"{word} O" for word in words) + "\n\na b c\n")
    for source in ("in.jsonl", "in.conll"):
        for name in ("out.jsonl", "out.csv", "out.parquet"):
            out = folder / name
            report = predictor.file(folder / source, out, probabilities=True, overwrite=True)
            bad = 2 if source == "in.jsonl" else 1
            assert (report.bad_rows, sum(report.counts.values())) == (bad, len(prediction.spans))
            assert {*report.counts} == {"GOOD", "BAD"}
        row, wrong, *_ = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
        assert row["predicted_tags"] == [*prediction.tags] and row["predicted_words"] == [*words]
        spans = [(one.label, one.text, one.start, one.end) for one in prediction.spans]
        keys = ("label", "text", "start", "end")
        assert [tuple(one[key] for key in keys) for one in row["predicted_spans"]] == spans
        reasons = {"in.jsonl": "an empty word: word 2 of 2"}
        reason = reasons.get(source, "wrong number of columns: 3 in line 7, 2 in the first row")
        assert wrong["predicted_error"] == reason and wrong["predicted_tags"] is None


def predicts_answers(predictor: archspec.Predictor, folder: Path) -> None:
    short = ("was it good", "a kind film and a sad day")
    found = predictor(short)
    assert isinstance(found, archspec.AnswerPrediction) and isinstance(
        predictor.encoder, TextEncoder
    )
    encoded = predictor.encoder.encode_counted([short])
    with torch.no_grad():
        batch = predictor.encoder.collate(encoded.ids, encoded.types)
        start, end = (one[0, 5:12] for one in predictor.model.eval()(**batch))
    sums = (start[:, None] + end).triu().flatten()
    first, last = divmod(int(sums.argmax()), 7)
    words = short[1].split()
    assert found.answer == " ".join(words[first : last + 1])
    share = start.softmax(0)[first] * end.softmax(0)[last]
    assert found.probability == pytest.approx(float(share), abs=1e-6)
    long = ("was it good", "a kind film and a sad day " * 20)
    one, again, other = predictor([long, short, long])
    assert again.to_dict() == pytest.approx(found.to_dict(), abs=1e-6) and one == other
    assert one.answer == long[1][one.start : one.end]
    counts = predictor.tokens
    assert counts is not None and (counts.truncated, counts.longest) == (2, 3 + 140 + 3)
    assert counts.notes[0].endswith("tokens: they are read in windows, 19 in all")
    for wrong in ("a good film", [("good " * 20, "a film")], ("a", " ")):
        with pytest.raises(DataError) as caught:
            predictor(wrong)
        assert caught.value.code == "E930"
    rows = [{"question": q, "context": c} for q, c in (short, long, ("a", ""))]
    (folder / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("out.csv", "out.jsonl"):
        report = predictor.file(folder / "in.jsonl", folder / name)
        assert report.columns == ("answer", "start", "end", "probability", "error")
        assert (report.rows, report.bad_rows, report.notes) == (3, 1, report.tokens.notes)  # pyright: ignore
    row, second, bad = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert (row["answer"], row["start"], row["end"]) == (found.answer, found.start, found.end)
    assert second["start"] == one.start and bad["error"] == "no text"


def predicts_masks(predictor: archspec.Predictor, folder: Path) -> None:
    assert isinstance(predictor.encoder, TextEncoder) and predictor.labels == ()
    text = "a [MASK] film was [MASK]"
    found = predictor(text)
    ids = predictor.encoder.encode([text])
    with torch.no_grad():
        logits = predictor.model.eval()(**predictor.encoder.collate(ids))[0, [2, 5]]
    for mask, shares in zip(found.masks, logits.softmax(-1), strict=True):
        expected = {predictor.encoder.name(i): float(share) for i, share in enumerate(shares)}
        assert mask == pytest.approx({name: expected[name] for name in mask}, abs=1e-6)
        assert [*mask.values()] == sorted(mask.values(), reverse=True) and len(mask) == 27
    best = [predictor.encoder.name(int(i)) for i in logits.argmax(-1)]
    assert found.tokens == tuple(best) and found.summary == (" | ".join(best), "")
    assert predictor(["it", "was", "a", text][3:])[0] == found
    for wrong, why in (("a film", "there is none"), ("a " * 40 + "[MASK]", "its first 32 tokens")):
        with pytest.raises(DataError, match=why) as caught:
            predictor(wrong)
        assert caught.value.code == "E930"
    rows = [{"text": text}, {"text": "a film"}, {"text": "[MASK] " + "a " * 40}]
    (folder / "in.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for name in ("out.jsonl", "out.csv"):
        report = predictor.file(folder / "in.jsonl", folder / name, top_k=2)
        assert (report.rows, report.bad_rows, report.truncated) == (3, 1, 1)
    row, bad, _ = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert row["tokens"] == best and bad["error"].startswith("no mask: write [MASK]")
    assert row["top_tokens"] == [[*mask] for mask in found.top(2).masks]
    command = ["predict", str(folder / "runs/whole"), "--text", text, "--top-k", "2"]
    shown = CliRunner().invoke(main, [*command, "--text", text, "--device", "cpu"]).stdout
    assert " | ".join(f"{t} {found.masks[0][t]:.4f}" for t in best[:1]) in shown
    refused: list[Callable[[], Any]] = [lambda: found.top(101)]
    refused += [lambda: predictor.file(folder / "in.jsonl", folder / "more.csv", top_k=101)]
    for call in refused:
        with pytest.raises(ArchspecError, match="at most 100"):
            call()


def continues(predictor: archspec.Predictor, folder: Path) -> None:
    encoder = predictor.encoder
    assert isinstance(encoder, TextEncoder) and encoder.name(encoder.end_id or 0) == "[SEP]"
    model = archspec.Predictor(folder / "runs/whole", device="cpu", max_new_tokens=6)
    given = ["a good film", "so", "very bad "]
    found = model(given)
    for prompt, one in zip(given, found, strict=True):
        ids = encoder.encode([prompt])[0][:-1]
        new: list[int] = []
        with torch.no_grad():
            while len(new) < 6 and encoder.end_id not in new:
                tokens = torch.tensor([[*ids, *new]])
                new.append(int(predictor.model.eval()(tokens)["logits"][0, -1].argmax()))
        words = [encoder.name(i) for i in new if i not in encoder.special_ids]
        assert one.continuation.split() == words
        assert one.tokens == len(new) - (encoder.end_id in new)
        assert one.ended == (encoder.end_id in new) and one.input == prompt
    assert predictor.max_new_tokens == 40
    for wrong, why in ((" ", "no text"), ("good " * 26, "27 tokens and 6 new ones, of 32")):
        with pytest.raises(DataError, match=why) as caught:
            model(wrong)
        assert caught.value.code == "E930"
    (folder / "in.txt").write_text("a good film\n" + "good " * 26 + "\n")
    report = model.file(folder / "in.txt", folder / "out.jsonl")
    assert report.columns == ("continuation", "ended", "error") and report.bad_rows == 1
    row, bad = map(json.loads, (folder / "out.jsonl").read_text().splitlines())
    assert row["continuation"] == found[0].continuation and bad["continuation"] is None
    command = ["predict", str(folder / "runs/whole"), "--text", given[0], "--device", "cpu"]
    shown = CliRunner().invoke(main, [*command, "--json", "--max-new-tokens", "6"]).stdout
    assert json.loads(shown) == [{"input": given[0], **found[0].to_dict()}]
    for value in (0, True, "6"):
        with pytest.raises(ArchspecError, match="max_new_tokens is a whole number"):
            archspec.Predictor(folder / "runs/whole", device="cpu", max_new_tokens=value)  # pyright: ignore


PREDICTS: dict[str, Callable[[archspec.Predictor, Path], None]] = {
    "pairs": predicts_pairs,
    "numbers": predicts_numbers,
    "several": predicts_several,
    "triplets": predicts_vectors,
    "similarities": predicts_vectors,
    "tags": predicts_tags,
    "answers": predicts_answers,
    "masks": predicts_masks,
    "blocks": continues,
    "prompts": continues,
}


def test_metrics_are_those_of_torchmetrics() -> None:
    from torchmetrics.functional import classification, regression

    torch.manual_seed(0)
    logits, labels = torch.randn(30, 4), torch.randint(0, 2, (30, 4)).float()
    numbers, targets = torch.randn(30, 1), torch.randn(30)
    found = [
        find("text-classification", multi_label=True)(list("abcd")),
        find("text-regression")(()),
    ]
    given = [(logits, labels), (numbers, targets)]
    results: list[Scores] = []
    found[1].loss = own_loss
    for objective, (outputs, truth) in zip(found, given, strict=True):
        metrics = objective.metrics(torch.device("cpu"))
        for part in (slice(0, 7), slice(7, 30)):
            filled = torch.cat([outputs[part], outputs[:2]]), torch.cat([truth[part], truth[:2]])
            metrics.add(filled[0], {"labels": filled[1]}, len(truth[part]))
        results.append(metrics.scores())
    f1 = {
        name: classification.multilabel_f1_score(logits.sigmoid(), labels.int(), 4, average=name)
        for name in ("micro", "macro")
    }
    exact = ((logits > 0) == labels.bool()).all(1).float().mean()
    expected = {"accuracy": exact, "micro_f1": f1["micro"], "macro_f1": f1["macro"]}
    assert results[0].figures == pytest.approx({k: v.item() for k, v in expected.items()})
    assert results[1].figures == pytest.approx(
        {
            "pearson": regression.pearson_corrcoef(numbers[:, 0], targets).item(),
            "spearman": regression.spearman_corrcoef(numbers[:, 0], targets).item(),
            "mse": (numbers[:, 0] - targets).square().mean().item(),
        }
    )
    assert [one.count for one in results] == [30, 30]
    assert results[1].rank("mse") < results[1].rank("pearson")


def test_perplexity_is_that_of_torchmetrics() -> None:
    from torchmetrics.functional.text import perplexity

    torch.manual_seed(0)
    logits, labels = torch.randn(30, 5, 9), torch.randint(0, 9, (30, 5))
    labels[torch.rand(30, 5) < 0.5] = IGNORED
    labels[3] = IGNORED
    objective = find("masked-lm")(())
    metrics = objective.metrics(torch.device("cpu"))
    for part in (slice(0, 7), slice(7, 30)):
        outputs = torch.cat([logits[part], logits[:2]])  # two rows that do not count
        batch = {"labels": torch.cat([labels[part], labels[:2]])}
        metrics.add({"logits": outputs, "hidden": outputs[0]}, batch, len(labels[part]))
    found, known = metrics.scores(), labels != IGNORED
    right = logits.argmax(-1)[known] == labels[known]
    assert found.count == int(known.sum()) and found.loss == pytest.approx(
        math.log(found.figures["perplexity"])
    )
    assert found.figures == pytest.approx({
        "perplexity": float(perplexity(logits, labels, ignore_index=IGNORED)),
        "accuracy": float(right.float().mean()),
    })  # fmt: skip
    nothing = objective.loss(logits, {"labels": torch.full((30, 5), IGNORED)}, 30)
    assert (float(nothing.sum), nothing.items) == (0.0, 0)
    assert found.rank("perplexity") == (-found.figures["perplexity"], -found.loss)
    wrongs: list[Any] = [(logits, logits), logits[:, :3], logits[..., 0], ()]
    for wrong in wrongs:
        with pytest.raises(DataError, match=r"the model should give \[30, 5, vocabulary\]"):
            objective.loss(wrong, {"labels": labels}, 30)


def test_a_step_may_predict_nothing(tmp_path: Path) -> None:
    given: dict[str, Any] = {**OPTIONS, **MASKED, **SIZES, "batch_size": 1, "epochs": 1}
    given |= {"accumulate_grad_batches": 1, "output_dir": tmp_path, "feature_cache": "off"}
    run = archspec.train("bert-mlm", [{"text": "a film"}] * 8, **given)
    losses = [line["loss"] for line in steps(run)]
    assert 0.0 in losses and run.status == "finished"


KS = ("accuracy_at_1", "accuracy_at_10")


def test_ranks_are_those_of_torchmetrics() -> None:
    from torchmetrics.functional.retrieval import retrieval_hit_rate, retrieval_reciprocal_rank

    torch.manual_seed(0)
    texts, numbers = torch.randn(3, 30, 4), torch.arange(30)
    numbers[7] = 3  # rows with the same second text
    texts[1, 7] = texts[1, 3]
    metrics = find("text-embedding")(()).metrics(torch.device("cpu"))
    for part in (slice(0, 7), slice(7, 30)):
        filled = torch.cat([texts[:, part], texts[:, :2]], 1)  # two rows that do not count
        labels = torch.cat([numbers[part], numbers[:2]])
        metrics.add([(one,) for one in filled], {"labels": labels}, len(numbers[part]))
    unit = texts / texts.norm(dim=-1, keepdim=True)
    cosines = unit[0] @ unit[1:].flatten(0, 1).T
    others = torch.cat([numbers, torch.full((30,), -1)])
    expected = {"mrr": 0.0, **dict.fromkeys(KS, 0.0)}
    for row, number in zip(cosines + 2, numbers, strict=True):  # it leaves out what is below 0
        right = others == number
        expected["mrr"] += float(retrieval_reciprocal_rank(row, right)) / 30
        for k in (1, 10):
            expected[f"accuracy_at_{k}"] += float(retrieval_hit_rate(row, right, top_k=k)) / 30
    scores = metrics.scores()
    assert scores.figures == pytest.approx(expected) and scores.count == 30
    same = find("text-embedding")(()).metrics(torch.device("cpu"))
    same.add(torch.ones(60, 4), {"labels": torch.arange(30)}, 30)
    assert same.scores().figures == pytest.approx({"mrr": 1 / 30, **dict.fromkeys(KS, 0.0)})
    with pytest.raises(DataError) as caught:
        metrics.add((texts[0], texts[1]), {"labels": numbers}, 30)
    assert caught.value.code == "E906"


def own_loss(outputs: Any, batch: Any, rows: int) -> Loss:
    return Loss(torch.tensor(0.0), rows)


def written(name: str, tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, TASKS[name][1](random.Random(name)))))
    return path


def steps(run: archspec.Run) -> list[Mapping[str, Any]]:
    return [line for line in lines_of((run.path / METRICS).read_text()) if line["kind"] == "step"]


@pytest.mark.parametrize("name", TASKS)
def test_losses_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    spec, _, reference, more = TASKS[name]
    given = {**OPTIONS, **more, "output_dir": tmp_path / "runs", **sizes_of(spec)}
    given.pop("freeze", None)
    run = archspec.train(spec, written(name, tmp_path), **given)
    theirs = reference()
    archspec.save_weights(
        archspec.build(run.path / "spec.yaml", device="cpu", seed=0),
        tmp_path / "start.safetensors",
        layout="transformers",
    )
    missing = theirs.load_state_dict(load_file(tmp_path / "start.safetensors"), strict=False)
    tied = ("position_ids", "cls.predictions.decoder.", "lm_head.weight")
    assert not missing.unexpected_keys
    assert all(any(part in key for part in tied) for key in missing.missing_keys)
    resolved = archspec.load(run.path / "spec.yaml")
    data = archspec.open_data(
        tmp_path / "data.jsonl", task=resolved.architecture.task, validation_fraction=0.2
    )
    encoder = encoder_for(resolved)
    feed = DataFeed(data, (encoder, encoder), TrainOptions(batch_size=4))
    every = given.get("accumulate_grad_batches", 1)
    plan: dict[str, Any] = (
        {"freeze": ["**.pooler"]} if spec in ("bert", "minilm-l6") else {}
    )  # some have none
    model = archspec.build(run.path / "spec.yaml", device="cpu", **plan)
    assert not has_unused(model, feed)  # as several processes ask
    losses: list[float] = []
    optimizer = torch.optim.SGD(theirs.train().parameters(), lr=0.1)
    for epoch in range(2):
        loader = batches(data.splits["train"], encoder, batch_size=4, shuffle=True, epoch=epoch)
        given_batches = [{k: v for k, v in batch.items() if k != "rows"} for batch in loader]
        for first in range(0, len(given_batches), every):
            some = given_batches[first : first + every]
            counts = [(batch["labels"] != IGNORED).sum() if every > 1 else 1 for batch in some]
            parts = [theirs(**b).loss * n for b, n in zip(some, counts, strict=True) if n]
            loss: Any = sum(parts) / sum(counts)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert [line["loss"] for line in steps(run)] == pytest.approx(losses, abs=4e-6)


@pytest.mark.parametrize("name", TASKS)
def test_runs_resume_to_the_bit_and_predict(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _, _, more = TASKS[name]
    given = {"freeze": "head-only", **OPTIONS, **more, **sizes_of(spec, dropout=True)}
    given |= {"output_dir": tmp_path / "runs", "save_interval": 0.0}
    path = written(name, tmp_path)
    whole = archspec.train(spec, path, **given, name="whole")
    cut = cut_short(monkeypatch, lambda: archspec.train(spec, path, **given, name="cut"))
    assert cut < len(steps(whole)) * given.get("accumulate_grad_batches", 1)
    resumed = archspec.resume(tmp_path / "runs/cut", progress=False)
    for file in (LAST, "checkpoints/best.safetensors"):
        assert (resumed.path / file).read_bytes() == (whole.path / file).read_bytes()
    if (whole.path / "report.json").is_file():
        assert (resumed.path / "report.json").read_bytes() == (
            whole.path / "report.json"
        ).read_bytes()
    times = {"seconds": 0}
    lines = [[{**line, **times} for line in run.epochs] for run in (whole, resumed)]
    assert lines[0] == lines[1]
    whole.verify()
    if name == "blocks":
        kept = json.loads((whole.path / "freeze.json").read_text())["phases"][0]["activations"]
        assert kept["samples"] == whole.facts["data"]["tokens"]["blocks"], kept
    if name in ("triplets", "blocks"):  # each column by itself, with the same dropout
        plain = archspec.train(spec, path, **given, feature_cache="off")
        losses = [[line["loss"] for line in steps(run)] for run in (whole, plain)]
        assert losses[0] == pytest.approx(losses[1], abs=2e-6)
    PREDICTS[name](archspec.Predictor(whole, device="cpu"), tmp_path)


def cut_short(monkeypatch: pytest.MonkeyPatch, train: Callable[[], Any]) -> int:
    """Interrupt a run in its second epoch; how many batches it had."""
    count = 0
    kinds: list[type[Objective]] = [SingleLabel, MultiLabel, TextRegression]
    kinds += [TextEmbedding, ScoredTextEmbedding, TokenClassification, QuestionAnswering]
    kinds += [LanguageModel, CausalLm]
    with monkeypatch.context() as patched:
        for kind in kinds:
            loss = kind.loss

            def counted(*given: Any, loss: Any = loss) -> Any:
                nonlocal count
                count += torch.is_grad_enabled()
                if count == 7:
                    raise RuntimeError("cut")
                return loss(*given)

            patched.setattr(kind, "loss", counted)
        with pytest.raises(RuntimeError, match="cut"):
            train()
    return count
