"""Inference mode that outlasts ``model.train()``."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from torch import nn


@dataclass(eq=False)
class StaysInInference:
    """``train`` of a frozen module: its children decide for themselves, it stays.

    It is an attribute of the instance, so that it is copied and pickled with it; PyTorch looks
    there first.

    Attributes:
        mode: what it was last told; the mode that it takes once it is thawed.
    """

    module: nn.Module
    mode: bool

    def __call__(self, mode: bool = True) -> nn.Module:
        self.mode = mode
        for child in self.module.children():
            child.train(mode)
        self.module.training = False
        return self.module


def stays(module: nn.Module) -> bool:
    """Whether a module stays in inference mode."""
    return isinstance(module.__dict__.get("train"), StaysInInference)


def mode_of(module: nn.Module) -> bool:
    """The mode that a module was told to take, whether or not it did."""
    override = module.__dict__.get("train")
    return override.mode if isinstance(override, StaysInInference) else module.training


def hold(module: nn.Module, mode: bool) -> None:
    """Put a module into inference mode for good; ``mode`` is what it takes once released."""
    module.__dict__["train"] = StaysInInference(module, mode)
    module.training = False


def release(module: nn.Module, mode: bool) -> None:
    """Let a module follow ``train()`` again, beginning with ``mode``."""
    if stays(module):
        del module.__dict__["train"]
        module.training = mode


def keeps_statistics(module: nn.Module) -> bool:
    """Whether a module is a norm with running statistics, or one like it."""
    own = (name for name, _ in module.named_buffers(recurse=False))
    is_norm = isinstance(module, nn.modules.batchnorm._NormBase)
    return is_norm or any(name.startswith("running_") for name in own)


def heeds_mode(module: nn.Module) -> bool:
    """Whether a module computes something else in training: it reads ``training`` in forward."""
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.track_running_stats
    forward = inspect.unwrap(type(module).forward)
    return "training" in getattr(getattr(forward, "__code__", None), "co_names", ())
