"""Small models and batches that the tests of frontiers share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

import archspec
from archspec.feature_cache import Frontier, NoFrontier, find_frontier

GPT = Path(__file__).parent.parent / "inputs" / "gpt2.yaml"
SMALL: dict[str, Any] = {
    "hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3, "intermediate_size": 12,
    "vocab_size": 20, "max_position_embeddings": 16,
}  # fmt: skip
SMALL_GPT: dict[str, Any] = {
    "n_embd": 8, "n_head": 2, "n_layer": 2, "vocab_size": 20, "n_positions": 16,
}  # fmt: skip
LENGTHS = [6, 3, 5, 2]


def bert(freeze: Any, **params: Any) -> nn.Module:
    return archspec.build("bert", device="cpu", seed=0, freeze=freeze, **{**SMALL, **params})


def resnet(freeze: Any) -> nn.Module:
    """With statistics that are not those of a new model, so that they have a say."""
    model = archspec.build(
        "resnet18", device="cpu", seed=0, freeze=freeze, num_classes=3, depths=[1, 1, 1, 1]
    )
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            buffer.copy_(torch.rand(buffer.shape, generator=generator) + 0.5)
    return model


def gpt(freeze: Any, **params: Any) -> nn.Module:
    return archspec.build(GPT, device="cpu", seed=0, freeze=freeze, **{**SMALL_GPT, **params})


def from_text(forward: str, modules: str, freeze: Any, inputs: str = "x: [batch, 4]") -> nn.Module:
    """A model of a few modules: ``modules`` and ``forward`` as in a spec, indented by six."""
    text = (
        "archspec: 1\nmodel: Net\nblocks:\n  Net:\n"
        f"    inputs: {{{inputs}}}\n    modules:\n{modules}    forward:\n{forward}"
    )
    return archspec.build(archspec.loads(text), device="cpu", seed=0, freeze=freeze)


def words(lengths: Sequence[int] = LENGTHS, seed: int = 0, **options: bool) -> dict[str, Tensor]:
    """A batch of texts, padded with zeros; ``mask=False`` leaves the mask out."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 20, (len(lengths), max(lengths)), generator=generator)
    mask = torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]
    given = {"input_ids": ids * mask, "attention_mask": mask.long()}
    return given if options.get("mask", True) else {"input_ids": ids * mask}


def images(count: int = 3, size: int = 32, seed: int = 0) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return {"x": torch.rand(count, 3, size, size, generator=generator)}


def there(found: Frontier | NoFrontier) -> Frontier:
    assert isinstance(found, Frontier), str(found)
    return found


def reason(found: Frontier | NoFrontier) -> str:
    assert isinstance(found, NoFrontier), str(found)
    return found.reason


def frontier_of(model: nn.Module, inputs: dict[str, Tensor], **options: Any) -> Frontier:
    return there(find_frontier(model, inputs, **options))
