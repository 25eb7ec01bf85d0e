"""Language models and masks in two processes, stopped and resumed: the curves of one process."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import archspec
from archspec.training.run_folder import BEST, LAST
from tests.training.two_processes import in_two_processes

HERE = Path(__file__).parent
WORDS = "a film day was is so very and it good fine great nice kind warm bad poor sad".split()
SEGMENTER = """
archspec: 1
model: Segmenter
params: {classes: {default: 3, min: 1}}
dims: {batch: 2, height: 8, width: 8}
blocks:
  Segmenter:
    inputs: {x: [batch, 1, height, width]}
    outputs: {out: [batch, $classes, height, width]}
    modules:
      stem: {type: Conv2d, in_channels: 1, out_channels: 4, kernel_size: 3, padding: 1}
      norm: {type: GroupNorm, num_groups: 2, num_channels: 4}
      head: {type: Conv2d, in_channels: 4, out_channels: $classes, kernel_size: 3, padding: 1}
    forward:
      - return: head(relu(norm(stem(x))))
freeze: {stem: [stem]}
task:
  kind: image-segmentation
  image: {channels: 1, resize: 8, crop: 8, mean: [0.5], std: [0.5], augment: flip}
"""
BERT = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "intermediate_size": 24, "max_position_embeddings": 32, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0, "tokenizer": str(HERE / "masks/vocab.txt"),
}  # fmt: skip
GPT2 = {
    "vocab_size": 40, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 32,
    "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "max_length": 20,
    "tokenizer": str(HERE / "vocab.txt"),
}  # fmt: skip
GIVEN: dict[str, Any] = {
    "epochs": 2, "batch_size": 4, "accumulate_grad_batches": 2, "learning_rate": 0.02,
    "max_grad_norm": 0.5, "validation_fraction": 0.2, "device": "cpu", "progress": False,
}  # fmt: skip
LORA = {"kind": "lora", "rank": 2, "alpha": 4}

# The second process asks to stop in the second epoch, in each of the runs.
SCRIPT = """
import json, os, sys
import archspec
class Stop(archspec.TrainCallback):
    def on_batch_end(self, state):
        if state.epoch == 2 and state.batch == 2 and os.environ["RANK"] == "1":
            state.stop()
for name, spec, data, given in json.loads(sys.argv[1]):
    run = archspec.train(spec, data, name=name, callbacks=[Stop()], **given)
    assert run.status == "stopped", run.status
    run = archspec.resume(run.path, progress=False)
    assert run.status == "finished" and len(run.verify()) == 2
"""
Runs = dict[str, tuple[str, str, dict[str, Any]]]


def texts(path: Path, prompts: bool) -> str:
    rng = random.Random(0)

    def words() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(3, 20)))

    # A last batch of three rows: one of the processes has a row less.
    rows = [{"prompt": words(), "answer": words()} if prompts else {"text": words()}
            for _ in range(29)]  # fmt: skip
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


def masks(folder: Path) -> str:
    for kind in ("images", "masks"):
        (folder / "train" / kind).mkdir(parents=True)
    for seed in range(29):
        generator = np.random.default_rng(seed)
        mask = generator.integers(0, 3, (8, 8)).astype(np.uint8)
        image = mask * 80 + generator.integers(0, 60, (8, 8)).astype(np.uint8)
        mask[generator.random((8, 8)) < 0.1 * (seed % 4)] = 255
        for kind, values in (("images", image), ("masks", mask)):
            Image.fromarray(values).save(folder / "train" / kind / f"{seed:02}.png")
    (folder / "classes.txt").write_text("sky\nroad\ncar\n")
    return str(folder)


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Name → spec, data and options; each once with all weights, once with an adapter."""
    folder = tmp_path_factory.mktemp("tasks")
    (folder / "segmenter.yaml").write_text(SEGMENTER)
    segmenter, images = str(folder / "segmenter.yaml"), masks(folder / "images")
    plain = texts(folder / "texts.jsonl", prompts=False)
    answers = texts(folder / "answers.jsonl", prompts=True)
    attention, projection = (
        {**LORA, "match": ["**.query", "**.value"]},
        {**LORA, "match": ["**.c_attn"]},
    )
    frozen = {"freeze": ["bert.encoder.layer[0].attention"]}
    return {
        "masked-lm": ("bert-mlm", plain, {**BERT, **frozen}),
        "masked-lm-lora": ("bert-mlm", plain, {**BERT, "adapter": attention}),
        "blocks": ("gpt2", plain, {**GPT2, "freeze": ["**", "!transformer.h[1]"]}),
        "answers-lora": ("gpt2", answers, {**GPT2, "adapter": projection}),
        "masks": (segmenter, images, {"freeze": "stem", "max_grad_norm": 0}),
        "masks-lora": (segmenter, images, {"adapter": {**LORA, "match": ["stem"]}}),
    }


@pytest.fixture(scope="module")
def alone(tasks: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, archspec.Run]:
    out = tmp_path_factory.mktemp("alone")
    return {
        name: archspec.train(spec, data, output_dir=out, name=name, **{**GIVEN, **given})
        for name, (spec, data, given) in tasks.items()
    }


def numbers(run: archspec.Run) -> list[float]:
    keys = (
        "loss",
        "train_loss",
        "perplexity",
        "accuracy",
        "mean_iou",
        "learning_rate",
        "grad_norm",
    )
    return [line[key] for line in run.metrics for key in keys if key in line]


def lines(run: archspec.Run) -> list[Any]:
    keys = ("kind", "step", "epoch", "best", "count", "samples", "tokens")
    return [[line.get(key) for key in keys] for line in run.metrics]


STRATEGIES = ["ddp", "fsdp"]


@pytest.fixture(scope="module")
def together(tasks: Runs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the runs of two processes, by strategy and name."""
    folder = tmp_path_factory.mktemp("two")
    runs = [
        (name, spec, data, {**GIVEN, **more, "strategy": way, "output_dir": str(folder / way)})
        for way in STRATEGIES
        for name, (spec, data, more) in tasks.items()
    ]
    script = folder / "script.py"
    script.write_text(SCRIPT)
    in_two_processes(script, json.dumps(runs))
    return folder


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_are_as_one(
    strategy: str, alone: dict[str, archspec.Run], together: Path
) -> None:
    for name, one in alone.items():
        both = archspec.Run.of(together / strategy / name)
        assert both.status == "finished" and len(both.facts["resumed"]) == 1, name
        assert lines(both) == lines(one), name
        assert numbers(both) == pytest.approx(numbers(one), rel=1e-4), name
        for file in (BEST, LAST):
            mine, theirs = load_file(one.path / file), load_file(both.path / file)
            assert mine.keys() == theirs.keys()
            for key, tensor in mine.items():
                torch.testing.assert_close(theirs[key], tensor, rtol=1e-3, atol=1e-5)
        phases = [
            json.loads((run.path / "freeze.json").read_text())["phases"] for run in (one, both)
        ]
        proofs = [of_run[0]["proof"]["tensors"] for of_run in phases]
        assert proofs[0] == proofs[1] and proofs[0], name
