"""What the tests of data share: torchvision as far as it is needed, tasks, and files."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from archspec.lang.schema import Task

# torchvision describes its compiled operators to torch when it is imported. They are built for one
# torch exactly; the transforms need none of them.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))


@pytest.fixture
def text_task() -> Task:
    return Task(kind="text-classification")


@pytest.fixture
def image_task() -> Task:
    return Task(kind="image-classification")
