"""What is trained and what stands still: freeze plans, optimizer groups, proofs.

``plans`` finds the plan that is meant; ``selection`` holds its patterns against a model; ``modes``
keeps modules in inference mode; ``applying`` does it all; ``report`` has the result's type and
``rendering`` shows it. ``groups`` feeds an optimizer, ``proof`` shows that nothing frozen moved.
"""

from archspec.freezing.applying import freeze
from archspec.freezing.groups import trainable_parameters
from archspec.freezing.proof import FreezeProof, freeze_proof
from archspec.freezing.report import FreezeReport, PatternFound, Tie

__all__ = [
    "FreezeProof",
    "FreezeReport",
    "PatternFound",
    "Tie",
    "freeze",
    "freeze_proof",
    "trainable_parameters",
]
