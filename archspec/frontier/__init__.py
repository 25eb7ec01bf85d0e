"""Frozen work done once: where a model can be cut in two, and a cache of the values there.

``traced`` writes the model down as a graph; ``dataflow`` finds what never changes in it;
``cutting`` chooses what to keep; ``splitting`` and ``halves`` make two models of one; ``trying``
tries them out; ``finding`` does it all; ``report`` has the results' types. ``cache`` keeps values
on disk, under a name that ``identity`` makes; ``shelf`` keeps several caches within a limit, and
``holding`` tells which of them are in use.
"""

from archspec.frontier.cache import ActivationCache
from archspec.frontier.finding import find_frontier
from archspec.frontier.identity import activation_key
from archspec.frontier.report import Frontier, NoFrontier, StoredValue
from archspec.frontier.shelf import Shelf

__all__ = [
    "ActivationCache",
    "Frontier",
    "NoFrontier",
    "Shelf",
    "StoredValue",
    "activation_key",
    "find_frontier",
]
