"""The one pattern language of init rules, freeze plans, renames, searches and the command line.

    fc                        the root's fc and all below it
    **.fc                     every fc: ** is any number of names, also none
    layer*.*.conv1            * is one name, or a part of one
    bert.encoder.layer[-2:]   the last two children of that container, as Python slices
    @BatchNorm2d              every module of that type, at any depth; short for **.@BatchNorm2d
    !fc                       the same paths as fc; what "not" means is the caller's business
    features.{s + 1}          in a rename: a number, which is {s} on the other side

A path that a pattern matches is selected with its whole subtree. The root has the path "" and is
selected by ``**`` and by its own type only. Positions in brackets count the modules below a path
or, where there are none, its tensors.
"""

from archspec.lang.patterns.grammar import (
    MAX_LENGTH,
    AnyDepth,
    Named,
    Pattern,
    PatternError,
    Pick,
    Segment,
    Typed,
    parse,
)
from archspec.lang.patterns.numbers import without_numbers
from archspec.lang.patterns.rename import Rename, parse_rename
from archspec.lang.patterns.tree import Entry, Tree

__all__ = [
    "MAX_LENGTH",
    "AnyDepth",
    "Entry",
    "Named",
    "Pattern",
    "PatternError",
    "Pick",
    "Rename",
    "Segment",
    "Tree",
    "Typed",
    "parse",
    "parse_rename",
    "without_numbers",
]
