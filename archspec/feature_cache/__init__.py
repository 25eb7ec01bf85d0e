"""Computes frozen layers only once: finds where to cut a model, and caches the values there.

``tracing`` records the model as a graph; ``dataflow`` finds the values that never change;
``minimum_cut`` chooses those to store; ``split_graph`` and ``split_model`` make two models;
``independence_check`` tests them; ``finder`` does it all; ``report`` has the results.
``cache_file`` stores values on disk, under a name from ``cache_key``; ``cache_store`` keeps several
caches within a limit.
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
