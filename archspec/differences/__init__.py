"""What differs between two specs: in what they say, their modules, their tensors, their cost."""

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
