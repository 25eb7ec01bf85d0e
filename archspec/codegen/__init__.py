"""A spec as Python source, in passes: names, constructors, forwards, initialisation, text.

What leaves this package has been verified.
"""

from archspec.codegen import module
from archspec.codegen.module import Generated
from archspec.codegen.verify import verify as _verify
from archspec.lang.spec import Spec

__all__ = ["Generated", "generate"]


def generate(spec: Spec) -> Generated:
    """The Python source of a spec: one class a block, and a ``Config`` of its parameters.

    Raises:
        SpecError: E302 if a ``type:`` expression is too clever to be written as Python.
        BuildError: E504, the source holds what the generator must not print.
    """
    generated = module.generate(spec)
    _verify(generated.text, ())  # the arguments of `compiled`: checked once, and remembered
    return generated
