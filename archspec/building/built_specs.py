"""Remembers which spec a module was built from, to look up its plans and layouts by name."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from archspec.lang.spec import Spec

# Not in the modules: a built module has no reference to archspec.
_specs: WeakKeyDictionary[nn.Module, Spec] = WeakKeyDictionary()


def register_spec(model: nn.Module, spec: Spec) -> None:
    """Remember that ``model`` was built from ``spec``, as long as the model exists."""
    _specs[model] = spec


def spec_of(model: nn.Module) -> Spec | None:
    """The spec that ``model`` was built from; None for a copy of it, or for any other module."""
    return _specs.get(model)
