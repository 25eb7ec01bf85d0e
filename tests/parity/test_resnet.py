"""ResNets against torchvision, through the renames that the spec declares."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.testing import assert_close
from torchvision import models

import archspec
from archspec.weights import to_foreign

SIZES = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}


def reference(name: str, **sizes: int) -> nn.Module:
    """A torchvision model whose BatchNorms are not the identity."""
    model = getattr(models, name)(**sizes)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.1)
            nn.init.normal_(module.running_mean, std=0.1)  # type: ignore[arg-type]
            nn.init.uniform_(module.running_var, 0.5, 1.5)  # type: ignore[arg-type]
    return model


def renamed(name: str, model: nn.Module) -> dict[str, str]:
    """Our tensor names → torchvision's."""
    layout = archspec.load(name).architecture.checkpoints["torchvision"]
    return {ours: to_foreign(ours, layout) for ours in model.state_dict()}


def pair(name: str, folder: Path) -> tuple[nn.Module, nn.Module]:
    theirs = reference(name)
    save_file(theirs.state_dict(), folder / "model.safetensors")
    return archspec.build(name, weights=folder, device="cpu"), theirs


@pytest.mark.parametrize("name", SIZES)
def test_outputs(name: str, tmp_path: Path) -> None:
    ours, theirs = pair(name, tmp_path)
    assert sum(p.numel() for p in ours.parameters()) == SIZES[name]
    names = renamed(name, ours)
    assert set(names.values()) == theirs.state_dict().keys()
    assert any(foreign != own for own, foreign in names.items())
    x = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        assert_close(ours.eval()(x), theirs.eval()(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_training_step(name: str, tmp_path: Path) -> None:
    """Gradients and running statistics are equal, too."""
    ours, theirs = pair(name, tmp_path)
    names = renamed(name, ours)
    x, labels = torch.randn(4, 3, 64, 64), torch.tensor([3, 1, 4, 1])
    for model in (ours, theirs):
        nn.functional.cross_entropy(model.train()(x), labels).backward()
    expected = {own: theirs.get_parameter(names[own]).grad for own, _ in ours.named_parameters()}
    found = {own: parameter.grad for own, parameter in ours.named_parameters()}
    assert_close(found, expected, atol=1e-5, rtol=1e-5)
    buffers = dict(theirs.named_buffers())
    statistics = {own: buffers[names[own]] for own, _ in ours.named_buffers()}
    assert_close(dict(ours.named_buffers()), statistics, atol=1e-5, rtol=1e-5)
    assert ours.get_buffer("bn1.num_batches_tracked") == 1


def test_another_size(tmp_path: Path) -> None:
    theirs = models.ResNet(models.resnet.BasicBlock, [1, 1, 2, 1], num_classes=7).eval()
    save_file(theirs.state_dict(), tmp_path / "small.safetensors")
    sizes = {"depths": [1, 1, 2, 1], "num_classes": 7}
    weights = tmp_path / "small.safetensors"
    ours = archspec.build("resnet18", weights=weights, device="cpu", **sizes).eval()
    x = torch.randn(1, 3, 33, 47)
    with torch.inference_mode():
        assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


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
