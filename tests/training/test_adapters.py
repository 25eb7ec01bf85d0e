"""Runs that train an adapter: what is trained, resuming to the bit, the cache, merging."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

import archspec
from archspec.cli import main
from tests.tables import every

HERE = Path(__file__).parent
SPEC, DATA = HERE / "tiny.yaml", HERE / "tiny.csv"
OPTIONS: dict[str, Any] = {"device": "cpu", "progress": False, "epochs": 2, "batch_size": 4}
ADAPTERS: dict[str, Any] = {
    "lora": {"kind": "lora", "match": "body", "rank": 2, "dropout": 0.1},
    "dora": {"kind": "dora", "match": "body", "rank": 2},
    "ia3": {"kind": "ia3", "match": "body"},
}


class StopAt(archspec.TrainCallback):
    """Ctrl-C at a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_batch_end(self, state: archspec.TrainState) -> None:
        if state.step == self.step:
            os.kill(os.getpid(), signal.SIGINT)


@every("kind", ADAPTERS)
def test_a_run_trains_the_adapter_and_the_classifier_and_resumes_to_the_bit(
    kind: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp(kind)
    weights = out / "base.safetensors"
    base = archspec.build(SPEC, device="cpu", seed=3)
    archspec.save_weights(base, weights)
    options = {**OPTIONS, "weights": weights, "output_dir": out, "adapter": ADAPTERS[kind]}
    whole = archspec.train(SPEC, DATA, name="whole", **options)
    assert whole.status == "finished" and whole.facts["plan"] == kind
    model = whole.model(weights="last", device="cpu")
    plain = {name.replace(".base_layer", ""): t for name, t in model.state_dict().items()}
    for name, tensor in base.state_dict().items():
        assert torch.equal(plain[name], tensor) == (not name.startswith("classifier")), name
    moved = [n for n, p in model.named_parameters() if "lora_B" in n or "ia3_l" in n]
    assert moved and all(not torch.equal(model.state_dict()[n], torch.zeros(())) for n in moved)

    halted = archspec.train(SPEC, DATA, name="halted", callbacks=[StopAt(3)], **options)
    assert halted.status == "stopped"
    resumed = archspec.resume(halted.path, progress=False)
    last = [load_file(run.path / "checkpoints/last.safetensors") for run in (whole, resumed)]
    assert last[0].keys() == last[1].keys()
    assert all(torch.equal(last[0][name], last[1][name]) for name in last[0])

    done = CliRunner().invoke(main, ["merge", str(whole.path), "--to", str(out / "merged")])
    assert done.exit_code == 0, done.output
    merged = archspec.build(SPEC, device="cpu", weights=out / "merged").eval()
    best = whole.model(device="cpu")
    ids = torch.arange(10).reshape(2, 5)
    torch.testing.assert_close(merged(ids), best(ids), rtol=0, atol=1e-6)
    done = CliRunner().invoke(
        main, ["merge", str(whole.path), "--to", str(out / "adapter"), "--adapter-only"]
    )
    assert done.exit_code == 0, done.output
    again = archspec.build(SPEC, device="cpu", weights=weights, adapter=out / "adapter").eval()
    torch.testing.assert_close(again(ids), best(ids), rtol=0, atol=1e-6)
    predictors = (
        archspec.Predictor(whole, device="cpu"),
        archspec.Predictor(
            SPEC,
            weights=weights,
            adapter=out / "adapter",
            labels=["no", "yes"],
            tokenizer=HERE / "vocab.txt",
            device="cpu",
        ),
    )
    (one,), (other,) = (predictor(["good film"]) for predictor in predictors)
    assert other.label == one.label and other.probability == pytest.approx(one.probability)


def test_another_plan_beside_an_adapter_and_what_is_said(tmp_path: Path) -> None:
    adapter = {**ADAPTERS["lora"], "train": "words"}
    run = archspec.train(
        SPEC, DATA, adapter=adapter, freeze="head-only", output_dir=tmp_path, **OPTIONS
    )
    (note,) = run.facts["weights"]["notes"]
    assert run.facts["plan"] == "head-only"
    assert note.endswith("frozen at their initial, random values: no weights are given")
    run = archspec.train(SPEC, DATA, adapter=ADAPTERS["lora"], output_dir=tmp_path, **OPTIONS)
    first, second = run.facts["weights"]["notes"]
    assert first == "trained beside the adapter, whose 'train' is left out: classifier"
    assert second.endswith("frozen at their initial, random values: no weights are given")
