"""A check of generated source that trusts nothing that made it.

Texts of strangers go into a spec, and Python comes out that is run. The generator prints them as
constants and checked names; this package holds it to that. It reads the finished text as Python
does, and refuses whatever is not on its lists: each statement, expression, import, name, call and
attribute has its place there, and what has none is refused. It shares no code with the generator,
only the tables of layers, functions and initializers, so that one mistake cannot be in both.

What remains possible: constructing the layers of the tables and what trusted Python registered,
calling those and the functions of the tables with values, arithmetic on values, writing first
values into the tensors of modules.
"""

from __future__ import annotations

from functools import lru_cache

from archspec.codegen.verify.refusal import Refusal
from archspec.codegen.verify.source import check_source
from archspec.codegen.verify.trusted import Known
from archspec.errors import BuildError, Problem

__all__ = ["verify"]

_HINT = "this is a defect of archspec, please report it"


@lru_cache(maxsize=256)
def verify(text: str, known: Known = ()) -> None:
    """Check that ``text`` is nothing but what the generator prints.

    Args:
        known: modules and names in them that the caller vouches for, beside all that
            ``register_layer`` and ``register_op`` know; the text may import and call them.

    Raises:
        BuildError: E504, with the first line that is refused.

    Example:
        >>> verify("import os")
        Traceback (most recent call last):
        archspec.errors.BuildError: error[E504]: the generated source is refused at line 1, ...
          this is a defect of archspec, please report it
    """
    try:
        check_source(text, known)
    except Refusal as refusal:
        where = f"at line {refusal.line}, {refusal.message}: {_line(text, refusal.line)}"
        problem = Problem("E504", f"the generated source is refused {where}", hint=_HINT)
        raise BuildError(problem) from None


def _line(text: str, number: int) -> str:
    lines = text.split("\n", number)
    return lines[number - 1].strip()[:200] if number <= len(lines) else ""
