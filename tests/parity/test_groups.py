"""Models whose stages are written once, beside torchvision's: the same tensors and outputs."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

import archspec
from tests.tables import every

GROUPS = Path(__file__).parents[1] / "inputs" / "groups"
# torchvision describes its compiled operators to torch when it is imported; its models need none.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))


def theirs(name: str) -> tuple[Any, dict[str, Any]]:
    """A small model of torchvision's, and the parameters that make ours the same."""
    from torchvision import models

    if name == "vgg":
        layers = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]
        return models.vgg11_bn(num_classes=5), {"layers": layers, "batch_norm": True}
    if name == "mobilenet_v2":
        return models.mobilenet_v2(num_classes=5, width_mult=0.35), {"width_mult": 0.35}
    if name == "densenet":
        sizes = {"growth_rate": 8, "block_config": [2, 3, 2, 1], "num_init_features": 16}
        return models.DenseNet(8, (2, 3, 2, 1), 16, num_classes=5), sizes
    stage = models.convnext.CNBlockConfig
    stages = [stage(16, 24, 1), stage(24, 32, 2), stage(32, None, 1)]
    made = models.convnext.ConvNeXt(stages, num_classes=5)
    return made, {"stages": [[1, 16], [2, 24], [1, 32]]}


@every("name", ["vgg", "mobilenet_v2", "densenet", "convnext"])
def test_stages_are_those_of_torchvision(name: str) -> None:
    model, params = theirs(name)
    ours = archspec.build(GROUPS / f"{name}.yaml", device="cpu", num_classes=5, **params)
    state = model.state_dict()
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(x), model.eval()(x), rtol=0, atol=1e-6)
