"""A torchvision that was made for another torch stays out of the way of who imports it."""

import sys
from types import ModuleType

sys.modules.setdefault("torchvision._meta_registrations", ModuleType("_meta_registrations"))
