"""torchvision as far as its models need it."""

from __future__ import annotations

import sys
from types import ModuleType

# torchvision describes its compiled operators to torch when it is imported. They are built for one
# torch exactly; the models need none of them.
sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))
