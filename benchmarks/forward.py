"""A forward pass, with the same weights."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import nn

from benchmarks.pairs import Pair
from benchmarks.references import bert, torchvision, with_weights_of

IMAGE_MODELS = {
    "resnet18": (1, 8),
    "resnet50": (1, 8),
    "densenet121": (4,),
    "mobilenet-v2": (4,),
    "efficientnet-b0": (4,),
    "regnet-y-400mf": (4,),
    "convnext-tiny": (4,),
    "vit-b-16": (4,),
    "swin-t": (4,),
}
"""Name → the sizes of the batches."""


def pairs() -> Iterator[Pair]:
    theirs = bert().eval()
    ours = with_weights_of(theirs, "bert")
    for batch in (1, 8):
        ids = torch.randint(30522, (batch, 128))
        mask = torch.ones_like(ids)
        mask[0, 100:] = 0
        given = {"input_ids": ids, "attention_mask": mask}
        yield _pair(f"BERT, batch {batch}, 128 tokens", ours, theirs, **given)
    for name, batches in IMAGE_MODELS.items():
        theirs = torchvision(name).eval()
        ours = with_weights_of(theirs, name)
        for batch in batches:
            images = torch.randn(batch, 3, 224, 224)
            yield _pair(f"{name}, batch {batch}, 224×224", ours, theirs, images)


def _pair(
    name: str, ours: nn.Module, theirs: nn.Module, *images: torch.Tensor, **inputs: torch.Tensor
) -> Pair:
    def run(model: nn.Module) -> object:
        with torch.inference_mode():
            return model(*images, **inputs)

    return Pair(name, lambda: run(ours), lambda: run(theirs), target=1.0)
