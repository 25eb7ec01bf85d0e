"""Keeps modules in inference mode, even after ``model.train()``."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn


@dataclass(eq=False)
class EvalLock:
    """Replaces ``train`` of a frozen module: it passes the mode on to the children and stays.

    It is an attribute of the instance, so that it is copied and pickled with it; Python looks it
    up there before the class.

    Attributes:
        mode: the last mode it was set to, which it takes once it is unfrozen.
    """

    module: nn.Module
    mode: bool

    def __call__(self, mode: bool = True) -> nn.Module:
        self.mode = mode
        for child in self.module.children():
            child.train(mode)
        self.module.training = False
        return self.module


def stays_in_inference(module: nn.Module) -> bool:
    """Whether a module stays in inference mode."""
    return isinstance(module.__dict__.get("train"), EvalLock)


def mode_of(module: nn.Module) -> bool:
    """The mode that a module was last set to, even if it stays in inference mode."""
    override = module.__dict__.get("train")
    return override.mode if isinstance(override, EvalLock) else module.training


def keep_in_eval(module: nn.Module, mode: bool) -> None:
    """Keep a module in inference mode; ``mode`` is the one it takes once released."""
    module.__dict__["train"] = EvalLock(module, mode)
    module.training = False


def release(module: nn.Module, mode: bool) -> None:
    """Let a module follow ``train()`` again, starting with ``mode``."""
    if stays_in_inference(module):
        del module.__dict__["train"]
        module.training = mode


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model into inference mode, and restore the modes of its modules at the end."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def has_statistics(module: nn.Module) -> bool:
    """Whether a module has running statistics, as norms do."""
    own = (name for name, _ in module.named_buffers(recurse=False))
    is_norm = isinstance(module, nn.modules.batchnorm._NormBase)
    return is_norm or any(name.startswith("running_") for name in own)


def depends_on_mode(module: nn.Module) -> bool:
    """Whether a module behaves differently in training: its forward reads ``training``."""
    if isinstance(module, nn.modules.batchnorm._NormBase):
        return module.track_running_stats
    forward = inspect.unwrap(type(module).forward)
    return "training" in getattr(getattr(forward, "__code__", None), "co_names", ())
