"""Why a generated source is refused, and which names may stand in one at all."""

from __future__ import annotations

import ast
import re

from archspec.lang.registry.attributes import MODULE_ATTRIBUTES

_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# A class of ours defines these; all else that a module has is PyTorch's or was declared.
_METHODS = frozenset({"forward", "reset_parameters"})


class Refusal(Exception):
    """A node that the generator never prints.

    Attributes:
        line: the number of its line in the generated text.
    """

    def __init__(self, node: ast.AST | None, message: str) -> None:
        super().__init__(message)
        self.line: int = getattr(node, "lineno", 1)
        self.message = message


def is_plain(name: str) -> bool:
    """Whether a variable, an argument, a field or a class can have the name."""
    return "__" not in name and bool(_IDENTIFIER.fullmatch(name))


def check_name(node: ast.AST, name: str) -> None:
    """A name that is bound here."""
    if not is_plain(name):
        raise Refusal(node, f"'{name}' is not a name that is printed")


def is_public(name: str) -> bool:
    """Whether a child or a tensor can have the name: no attribute that a module has by itself.

    >>> is_public("dense"), is_public("apply"), is_public("_modules"), is_public("__class__")
    (True, False, False, False)
    """
    taken = name.startswith("_") or name in MODULE_ATTRIBUTES or name in _METHODS
    return not taken and bool(_IDENTIFIER.fullmatch(name))
