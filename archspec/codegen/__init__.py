"""A spec as Python source, in passes: names, constructors, forwards, initialisation, text."""

from archspec.codegen.python import Generated, generate

__all__ = ["Generated", "generate"]
