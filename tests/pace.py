"""How slow this machine is at the moment: limits of CPU time hold on any, busy or at rest."""

from __future__ import annotations

import time

import yaml

AT_REST = (
    0.018  # seconds that the text takes on a core of its own of the machine the limits are for
)
TEXT = "[" + "{d: [1, e]}, " * 150 + "]"


def slowness() -> float:
    """How many times more CPU time a text of known length takes in this process; 1 at least.

    Measure it before and after what is held against a limit, and take the larger one.
    """
    start = time.process_time()
    list(yaml.parse(TEXT))
    return max(1.0, (time.process_time() - start) / AT_REST)
