"""YAML text as an immutable tree in which every key and every value knows its place.

>>> root, problems = parse("blocks:\\n  Net: {inputs: {x: [batch, 3]}}\\n", "net.yaml")
>>> plain(root)
{'blocks': {'Net': {'inputs': {'x': ['batch', 3]}}}}
>>> str(place_of(root, ("blocks", "Net", "inputs", "x", 1)))
'net.yaml:2:29'
"""

from archspec.lang.yaml.core_schema import MAX_DIGITS
from archspec.lang.yaml.reading import MAX_BYTES, parse, read
from archspec.lang.yaml.tree import (
    Entry,
    Excerpt,
    Listing,
    Mapping,
    Node,
    Path,
    Scalar,
    SourceFile,
    Span,
    count,
    excerpt,
    find,
    place_of,
    plain,
    sources,
)
from archspec.lang.yaml.tree_builder import MAX_DEPTH, MAX_NODES
from archspec.lang.yaml.writing import dump, flow

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_DIGITS",
    "MAX_NODES",
    "Entry",
    "Excerpt",
    "Listing",
    "Mapping",
    "Node",
    "Path",
    "Scalar",
    "SourceFile",
    "Span",
    "count",
    "dump",
    "excerpt",
    "find",
    "flow",
    "parse",
    "place_of",
    "plain",
    "read",
    "sources",
]
