"""Real training steps on each plan: what is frozen is the same to the last bit afterwards."""

from __future__ import annotations

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from archspec import (
    FreezeError,
    FreezeProof,
    Spec,
    build,
    freeze,
    freeze_proof,
    load,
    loads,
    trainable_parameters,
)
from archspec.lang.packaged import packaged_specs

SMALL_BERT: dict[str, Any] = {
    "hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 4,
    "intermediate_size": 32, "vocab_size": 50, "max_position_embeddings": 16,
}  # fmt: skip


def narrow_resnet() -> Spec:
    """ResNet-18 with a sixteenth of its channels."""
    text = packaged_specs()["resnet18"].read_text(encoding="utf-8")
    narrow = re.sub(r"\b(64|128|256|512)\b", lambda found: str(int(found[1]) // 16), text)
    return loads(narrow, num_classes=3)


SPECS = {"bert": load("bert", **SMALL_BERT), "resnet18": narrow_resnet()}
CASES: list[tuple[str, str, dict[str, bool]]] = [
    (name, plan, {}) for name, spec in SPECS.items() for plan in spec.architecture.freeze
]
CASES += [
    (name, plan, {switch: False})
    for name, plan in (("bert", "last-2-and-head"), ("resnet18", "last-stage-and-head"))
    for switch in ("gradients", "statistics", "dropout")
]
LABELS = torch.tensor([0, 1, 0, 1])


def inputs(name: str) -> Tensor:
    random = torch.Generator().manual_seed(0)
    if name == "bert":
        return torch.randint(50, (4, 8), generator=random)
    return torch.randn(4, 3, 32, 32, generator=random)


def step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor) -> None:
    model.train()
    nn.functional.cross_entropy(model(x), LABELS).backward()
    optimizer.step()


def state(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def moved(before: dict[str, Tensor], model: nn.Module) -> set[str]:
    now = model.state_dict()
    return {name for name, tensor in before.items() if not now[name].equal(tensor)}


def trained_once(name: str) -> tuple[nn.Module, torch.optim.Optimizer]:
    """A model after a step with nothing frozen: there are moments, and gradients of zeros."""
    torch.manual_seed(0)
    model = build(SPECS[name], device="cpu", seed=0)
    optimizer = torch.optim.AdamW(trainable_parameters(model, weight_decay=0.1), lr=0.01)
    before = state(model)
    step(model, optimizer, inputs(name))
    assert moved(before, model) == before.keys()
    optimizer.zero_grad(set_to_none=False)
    return model, optimizer


def ids(case: object) -> str:
    return str(case) if isinstance(case, str) else ",".join(case) if isinstance(case, dict) else ""


@pytest.mark.parametrize(("name", "plan", "switches"), CASES, ids=ids)
def test_what_is_frozen_stands_still(name: str, plan: str, switches: dict[str, Any]) -> None:
    model, optimizer = trained_once(name)
    report = freeze(model, plan, **switches)
    parameters = {n for n, p in model.named_parameters() if p.requires_grad}
    still = model.state_dict().keys() - parameters
    if not report.statistics or plan == "none":
        still = {n for n in still if "running_" not in n and "num_batches" not in n}
    elif plan == "last-stage-and-head":
        still = {n for n in still if not n.startswith("layer4.")}
    before = state(model)
    proof = freeze_proof(model) if still else FreezeProof({})
    assert proof.hashes.keys() == still
    optimizers = [optimizer]
    if parameters:
        groups = trainable_parameters(model, weight_decay=0.1)
        optimizers.append(torch.optim.AdamW(groups, lr=0.01))
    for chosen in optimizers * 2:
        if parameters:
            step(model, chosen, inputs(name))
        else:
            model.train()(inputs(name))
            chosen.step()
        model.eval()
        chosen.zero_grad(set_to_none=False)
    proof.verify(model)
    assert moved(before, model) == before.keys() - still


@pytest.mark.parametrize(
    ("name", "tensor"),
    [
        ("bert", "bert.embeddings.LayerNorm.weight"),
        ("bert", "bert.encoder.layer.3.output.dense.bias"),
        ("resnet18", "conv1.weight"),
        ("resnet18", "layer4.0.bn2.running_var"),
        ("resnet18", "bn1.num_batches_tracked"),
    ],
)
def test_the_proof_fails_if_one_bit_moves(name: str, tensor: str) -> None:
    model = build(SPECS[name], device="cpu", seed=0, freeze="head-only")
    proof = freeze_proof(model)
    with torch.no_grad():
        bits = model.state_dict()[tensor].view(-1).view(torch.uint8)
        bits[-1] ^= 1
    with pytest.raises(FreezeError) as caught:
        proof.verify(model)
    assert [p.message for p in caught.value.problems] == [f"'{tensor}' has moved"]
    assert caught.value.code == "E704"
    with torch.no_grad():
        bits[-1] ^= 1
    proof.verify(model)


def test_gradual_unfreezing() -> None:
    model, optimizer = trained_once("bert")
    freeze(model, "all")
    for count in range(1, 5):
        report = freeze(model, ["**", f"!bert.encoder.layer[-{count}:]", "!classifier"])
        proof, before = freeze_proof(model), state(model)
        step(model, optimizer, inputs("bert"))
        optimizer.zero_grad()
        proof.verify(model)
        free = ("classifier.", *(f"bert.encoder.layer.{4 - i}." for i in range(1, count + 1)))
        assert moved(before, model) == {n for n in before if n.startswith(free)}
        assert report.training == {"Dropout": 3 * count, "BertSelfAttention": count}
