"""A forward pass, with the same weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.pairs import Pair
from benchmarks.references import bert, resnet, with_weights_of


def pairs() -> Iterator[Pair]:
    theirs = bert().eval()
    ours = with_weights_of(theirs, "bert")
    for batch in (1, 8):
        ids = torch.randint(30522, (batch, 128))
        mask = torch.ones_like(ids)
        mask[0, 100:] = 0
        given = {"input_ids": ids, "attention_mask": mask}
        yield _pair(f"BERT, batch {batch}, 128 tokens", ours, theirs, **given)
    for name in ("resnet18", "resnet50"):
        theirs = resnet(name).eval()
        ours = with_weights_of(theirs, name, "torchvision")
        for batch in (1, 8):
            images = torch.randn(batch, 3, 224, 224)
            yield _pair(f"{name}, batch {batch}, 224×224", ours, theirs, x=images)


def _pair(name: str, ours: nn.Module, theirs: nn.Module, **inputs: torch.Tensor) -> Pair:
    def run(model: nn.Module) -> object:
        with torch.inference_mode():
            return model(**inputs)

    return Pair(name, lambda: run(ours), lambda: run(theirs), target=1.0)
