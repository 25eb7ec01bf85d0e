"""Frozen work done once: where a model can be cut in two, and a cache of the values there.

``traced`` writes the model down as a graph; ``dataflow`` finds what never changes in it;
``cutting`` chooses what to keep; ``splitting`` and ``halves`` make two models of one; ``trying``
tries them out; ``finding`` does it all; ``report`` has the results' types. ``cache`` keeps values
on disk, under a name that ``identity`` makes; ``shelf`` keeps several caches within a limit, and
``holding`` tells which of them are in use.
"""

from archspec.feature_cache.cache_file import ActivationCache
from archspec.feature_cache.cache_key import activation_key
from archspec.feature_cache.cache_store import CacheStore
from archspec.feature_cache.finder import find_frontier
from archspec.feature_cache.report import Frontier, NoFrontier, StoredValue

__all__ = [
    "ActivationCache",
    "CacheStore",
    "Frontier",
    "NoFrontier",
    "StoredValue",
    "activation_key",
    "find_frontier",
]
