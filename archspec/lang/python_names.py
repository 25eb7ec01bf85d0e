"""Names as hand-written Python has them: ``self.fc(x)``, ``config.width``, ``F.relu(x)``.

What stands in front of the dot is no name of the language. It is one problem with what to write,
and read as it was meant, so that the later checks find what else is wrong.
"""

from __future__ import annotations

from collections.abc import Collection

from archspec.lang.expr import ExpressionError, Node
from archspec.lang.expr.nodes import Attribute, Call, Name, rebuilt
from archspec.lang.expr.numeric import FUNCTIONS
from archspec.lang.expr.printing import written
from archspec.lang.registry import functions

_CONFIGS = ("config", "cfg", "params", "hparams")
_OWNERS = {("self",), *((name,) for name in _CONFIGS), *(("self", name) for name in _CONFIGS)}
_MODULES = frozenset({"torch", "nn", "functional", "F", "math"})
_LONGEST = 60  # characters of an expression that a hint repeats


def without_owners(
    node: Node, scope: Collection[str], sign: str = ""
) -> tuple[Node, list[ExpressionError]]:
    """``node`` without owners that are no names of the ``scope``, and a problem for each of them.

    Args:
        sign: what a hint puts in front of what is the whole expression.
    """
    reader = _Reader(node, scope, sign)
    return reader.read(node), reader.problems


class _Reader:
    def __init__(self, whole: Node, scope: Collection[str], sign: str) -> None:
        self.whole, self.scope, self.sign = whole, scope, sign
        self.problems: list[ExpressionError] = []

    def read(self, node: Node) -> Node:
        match node:
            case Call(function=Attribute() as function) if self._is_owned(function):
                called = Name(function.span, function.name)
                made = rebuilt(node, lambda part: called if part is function else self.read(part))
                text = written(made)
                sign = self.sign if node is self.whole else ""
                self._add(function, sign + (text if len(text) <= _LONGEST else f"{called.id}(…)"))
                return made
            case Attribute() if self._is_owned(node):
                sign = self.sign if node is self.whole else ""
                owned = f"{sign}{written(node)}"
                self._add(node, f"{sign}{node.name} in place of {owned}")
                return Name(node.span, node.name)
            case _:
                return rebuilt(node, self.read)

    def _is_owned(self, node: Attribute) -> bool:
        """Whether an attribute is what the language calls by its plain name."""
        owners = _path(node.value)
        if not owners or owners[0] in self.scope or node.name == "forward":
            return False
        known = functions.find(node.name) is not None or node.name in FUNCTIONS
        is_function = known or node.name in functions.CONSTANTS
        return owners in _OWNERS or (is_function and _MODULES.issuperset(owners))

    def _add(self, node: Attribute, text: str) -> None:
        owner = node.value
        while isinstance(owner, Attribute):
            owner = owner.value
        message = f"unknown name '{_path(owner)[0]}'"
        self.problems.append(ExpressionError("E303", message, owner, f"write {text}"))


def _path(node: Node) -> tuple[str, ...]:
    """``("self", "config")`` of ``self.config``; () of what is more than names."""
    names: list[str] = []
    while isinstance(node, Attribute):
        names.append(node.name)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, Name) else ()
