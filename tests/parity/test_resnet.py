"""The initial values of ResNet-18 against torchvision's."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models

import archspec
from archspec.weights import to_foreign


def renamed(name: str, model: nn.Module) -> dict[str, str]:
    """Our tensor names → torchvision's."""
    layout = archspec.load(name).architecture.checkpoints["torchvision"]
    return {ours: to_foreign(ours, layout) for ours in model.state_dict()}


def test_initialisation_is_distributed_alike() -> None:
    """Every tensor's spread, and the tensors that are constant."""
    theirs = models.resnet18()
    ours = archspec.build("resnet18", seed=0, device="cpu")
    foreign = theirs.state_dict()
    for own, name in renamed("resnet18", ours).items():
        found, expected = ours.state_dict()[own].float(), foreign[name].float()
        if expected.numel() > 1 and expected.std() > 0:
            spread = 4 / expected.numel() ** 0.5
            assert found.mean().item() == pytest.approx(0, abs=spread * expected.std().item()), own
            assert found.std() / expected.std() == pytest.approx(1, abs=spread), own
        else:
            assert torch.equal(found, expected), own
