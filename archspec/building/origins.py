"""Which spec a module was built from, so that a plan or a layout can be called by its name."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from torch import nn

from archspec.lang.spec import Spec

# Beside the modules, not in them: a built module carries no trace of archspec.
_specs: WeakKeyDictionary[nn.Module, Spec] = WeakKeyDictionary()


def remember(model: nn.Module, spec: Spec) -> None:
    """Note that ``model`` is what ``spec`` describes; forgotten with the model."""
    _specs[model] = spec


def spec_of(model: nn.Module) -> Spec | None:
    """The spec that ``model`` was built from; None for a copy of it, or for any other module."""
    return _specs.get(model)
