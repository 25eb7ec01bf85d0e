"""What is trained and what is frozen: freeze plans, optimizer groups, proofs.

``plans`` looks up the plan; ``selection`` matches its patterns against a model; ``modes`` keeps
modules in inference mode; ``applying`` does it all; ``report`` has the result. ``toggling`` edits a
plan; ``groups`` feeds an optimizer; ``proof`` shows that no frozen tensor has changed.
"""

from archspec.freezing.applying import freeze
from archspec.freezing.groups import trainable_parameters
from archspec.freezing.proof import FreezeProof, freeze_proof
from archspec.freezing.report import FreezeReport, PatternFound, SharedFrozen

__all__ = [
    "FreezeProof",
    "FreezeReport",
    "PatternFound",
    "SharedFrozen",
    "freeze",
    "freeze_proof",
    "trainable_parameters",
]
