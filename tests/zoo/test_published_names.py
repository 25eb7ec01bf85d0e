"""Files as they were published, whose names are not those that their library has today."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import archspec
from tests.zoo.references import REFERENCES
from tests.zoo.test_zoo import pair

State = dict[str, torch.Tensor]


def renamed(*rules: tuple[str, str]) -> Callable[[State], State]:
    def rename(state: State) -> State:
        for pattern, name in rules:
            state = {re.sub(pattern, name, key): tensor for key, tensor in state.items()}
        return state

    return rename


def apart(state: State) -> State:
    """Mixtral's experts one by one, as ``transformers`` had them before 5."""
    found: State = {}
    for name, tensor in state.items():
        name = name.replace(".mlp.", ".block_sparse_moe.")
        if name.endswith(".gate_up_proj"):
            for i, expert in enumerate(tensor):
                gate, up = (part.clone() for part in expert.chunk(2))
                stem = f"{name.removesuffix('gate_up_proj')}{i}."
                found |= {f"{stem}w1.weight": gate, f"{stem}w3.weight": up}
        elif name.endswith(".experts.down_proj"):
            stem = name.removesuffix("down_proj")
            found |= {f"{stem}{i}.w2.weight": one.clone() for i, one in enumerate(tensor)}
        else:
            found[name] = tensor
    return found


def of_a_detector(state: State) -> State:
    state = renamed((r"(fpn\.\w+_blocks\.\d)\.0\.", r"\1."), (r"^", "backbone."))(state)
    state = {n: t for n, t in state.items() if not n.endswith("num_batches_tracked")}
    return {**state, "rpn.head.conv.weight": torch.ones(1), "roi_heads.box.fc6.bias": torch.ones(1)}


PUBLISHED: dict[str, tuple[str, Callable[[State], State]]] = {
    "densenet121": (
        "torchvision-published",
        renamed((r"(denselayer\d+)\.(norm|conv)([12])\.", r"\1.\2.\3.")),
    ),
    "vit-b-16": (
        "torchvision-published",
        renamed((r"mlp\.0\.", "mlp.linear_1."), (r"mlp\.3\.", "mlp.linear_2.")),
    ),
    "resnet50-fpn": ("torchvision-detector", of_a_detector),
    "gpt-neox": (
        "published",
        lambda state: {
            **renamed((r"^lm_head", "embed_out"))(state),
            "gpt_neox.layers.0.attention.masked_bias": torch.tensor(-1e9),
        },
    ),
    "mixtral": ("transformers-before-5", apart),
    "mamba": ("state-spaces", renamed((r"\.embeddings\.", ".embedding."))),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_layout_is_found(name: str, tmp_path: Path) -> None:
    layout, published = PUBLISHED[name]
    assert layout != REFERENCES[name].layout
    case, spec, ours = pair(name, 0, tmp_path)
    state = {n: t.detach().clone() for n, t in case.theirs.state_dict().items()}
    save_file(published(state), tmp_path / "published.safetensors")
    again = archspec.build(spec, device="cpu", seed=5)
    report = archspec.load_weights(again, tmp_path / "published.safetensors")
    assert (report.layout, report.complete) == (layout, True), report
    expected: dict[str, Any] = ours.state_dict()
    for tensor, value in again.state_dict().items():
        if not tensor.endswith("num_batches_tracked"):
            assert torch.equal(value, expected[tensor]), tensor
