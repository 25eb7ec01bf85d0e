"""Whether the loss depends on all that is trained: processes that average gradients must know."""

from __future__ import annotations

import torch
from torch import nn
from torch.func import functional_call

from archspec.errors import ArchspecError
from archspec.training.cached_activations import inputs_of, moved
from archspec.training.data_feed import DataFeed


def has_unused(model: nn.Module, feed: DataFeed) -> bool:
    """Whether a parameter that is trained has no part in the loss, as a few rows show.

    Nothing random is drawn and no statistics move. True also where the model cannot be tried out.
    """
    trained = [one for one in model.parameters() if one.requires_grad]
    device = trained[0].device
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
            batch = moved(feed.example()[0], device)
            outputs = functional_call(model, buffers, (), inputs_of(batch))
            loss = feed.objective.loss(outputs, batch, len(batch["rows"])).sum
            found = torch.autograd.grad(loss, trained, allow_unused=True)
    except (ArchspecError, RuntimeError):
        return True
    return any(one is None for one in found)
