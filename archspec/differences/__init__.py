"""The differences between two specs: in their YAML, modules, tensors and cost; and lock files."""

from archspec.differences.change_set import (
    CostChange,
    PlanChange,
    Side,
    SpecChange,
    TensorChange,
    TreeChange,
)
from archspec.differences.comparing import LEVELS, diff
from archspec.differences.report import Diff

__all__ = [
    "LEVELS",
    "CostChange",
    "Diff",
    "PlanChange",
    "Side",
    "SpecChange",
    "TensorChange",
    "TreeChange",
    "diff",
]
