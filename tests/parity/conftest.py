"""What the parity tests share: torchvision as far as its models need it, and a seed."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch

# torchvision describes its compiled operators to torch when it is imported. They are built for one
# torch exactly; the models need none of them.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)
