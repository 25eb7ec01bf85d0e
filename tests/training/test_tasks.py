"""Each task: its losses are those of transformers in a plain loop, its runs resume to the bit."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import archspec
from archspec.data import batches, encoder_for
from archspec.errors import DataError
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


Reference = Callable[[], Any]


def sequence_classifier(**config: Any) -> Any:
    from transformers import BertConfig, BertForSequenceClassification

    return BertForSequenceClassification(BertConfig(**SIZES, **NO_DROPOUT, **config))


TASKS: dict[str, tuple[str, Callable[..., list[dict[str, Any]]], Reference, dict[str, Any]]] = {
    # spec, rows, their model, and options
    "pairs": ("bert", pairs, lambda: sequence_classifier(num_labels=3), {}),
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


PREDICTS: dict[str, Callable[[archspec.Predictor, Path], None]] = {"pairs": predicts_pairs}


def written(name: str, tmp_path: Path) -> Path:
    path = tmp_path / "data.jsonl"
    path.write_text("\n".join(map(json.dumps, TASKS[name][1](random.Random(name)))))
    return path


def steps(run: archspec.Run) -> list[Mapping[str, Any]]:
    return [line for line in lines_of((run.path / METRICS).read_text()) if line["kind"] == "step"]


@pytest.mark.parametrize("name", TASKS)
def test_losses_are_those_of_transformers(name: str, tmp_path: Path) -> None:
    spec, _, reference, more = TASKS[name]
    given = {**OPTIONS, **more, "output_dir": tmp_path / "runs", **SIZES, **NO_DROPOUT}
    run = archspec.train(spec, written(name, tmp_path), **given)
    theirs = reference()
    archspec.save_weights(
        archspec.build(run.path / "spec.yaml", device="cpu", seed=0),
        tmp_path / "start.safetensors",
        layout="transformers",
    )
    missing = theirs.load_state_dict(load_file(tmp_path / "start.safetensors"), strict=False)
    assert not missing.unexpected_keys and all("position_ids" in k for k in missing.missing_keys)
    resolved = archspec.load(run.path / "spec.yaml")
    data = archspec.open_data(
        tmp_path / "data.jsonl", task=resolved.architecture.task, validation_fraction=0.2
    )
    encoder = encoder_for(resolved)
    losses: list[float] = []
    optimizer = torch.optim.SGD(theirs.train().parameters(), lr=0.1)
    for epoch in range(2):
        loader = batches(data.splits["train"], encoder, batch_size=4, shuffle=True, epoch=epoch)
        for batch in loader:
            batch.pop("rows")
            loss: Tensor = theirs(**batch).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert [line["loss"] for line in steps(run)] == pytest.approx(losses, abs=2e-6)


@pytest.mark.parametrize("name", TASKS)
def test_runs_resume_to_the_bit_and_predict(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec, _, _, more = TASKS[name]
    given = {**OPTIONS, **more, **SIZES, "output_dir": tmp_path / "runs", "save_interval": 0.0}
    given |= {"freeze": "head-only"}
    path = written(name, tmp_path)
    whole = archspec.train(spec, path, **given, name="whole")
    cut = cut_short(monkeypatch, lambda: archspec.train(spec, path, **given, name="cut"))
    assert cut < len(steps(whole))
    resumed = archspec.resume(tmp_path / "runs/cut", progress=False)
    for file in (LAST, "checkpoints/best.safetensors"):
        assert (resumed.path / file).read_bytes() == (whole.path / file).read_bytes()
    times = {"seconds": 0}
    lines = [[{**line, **times} for line in run.epochs] for run in (whole, resumed)]
    assert lines[0] == lines[1]
    whole.verify()
    PREDICTS[name](archspec.Predictor(whole, device="cpu"), tmp_path)


def cut_short(monkeypatch: pytest.MonkeyPatch, train: Callable[[], Any]) -> int:
    """Interrupt a run in its second epoch; how many batches it had."""
    from archspec.tasks.objective import Objective
    from archspec.tasks.single_label import SingleLabel

    count = 0
    kinds: list[type[Objective]] = [SingleLabel]
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
