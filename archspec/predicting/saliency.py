"""Attributes a logit to tokens: integrated gradients along the token embeddings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archspec.errors import BuildError, DataError, Problem, UsageError
from archspec.freezing.modes import evaluating
from archspec.predicting.engine import NOT_FINITE, batch_in_memory
from archspec.predicting.variants import Variant
from archspec.report.text import first_line

_MAX_TOKENS = 1024  # at once, to limit the memory for the backward pass


@dataclass(frozen=True, slots=True)
class EndpointLogits:
    """The model's logits at both ends of the path: float32 [size] each.

    Attributes:
        text: for the text.
        baseline: for the baseline.
    """

    text: Tensor
    baseline: Tensor


@dataclass(slots=True, eq=False)
class Path:
    """The path from a text's baseline to the text, in the space of token embeddings.

    Each token's embedding e is replaced by b + s·(e - b), where b is that of ``blank``; s goes from
    0 to 1 for the tokens of the text, and is 1 for those that the tokenizer adds. The derivative of
    a logit with respect to s is the product that the method adds up: of gradient and (e - b).

    Attributes:
        variant: what runs the model.
        batch: the model's input for the text: [1, seq] each.
        moved: 1.0 for tokens of the text, 0.0 for added ones: float32 [seq].
        blank: the token that all those of the text are at the baseline; None for zeros.
    """

    variant: Variant
    batch: dict[str, Tensor]
    moved: Tensor
    blank: int | None

    def ends(self) -> EndpointLogits:
        """The logits at both ends; raises as ``attributions``."""
        with _run_errors(self.variant.model, 2), torch.no_grad():
            logits = self._logits(torch.stack([torch.ones_like(self.moved), 1 - self.moved]))
        if not logits.isfinite().all():
            raise DataError(Problem("E930", NOT_FINITE[0]))
        return EndpointLogits(logits[0].cpu(), logits[1].cpu())

    def attributions(self, target: int, steps: int) -> Tensor:
        """The contribution of each token to the logit ``target``: float64 [seq].

        Args:
            target: the number of the model's output.
            steps: points of the Gauss-Legendre rule, each with one forward and backward pass.

        Raises:
            UsageError: E801, the logit does not depend on an ``Embedding`` of the token ids.
            BuildError: E503, out of memory; E512, the model cannot be run.
            DataError: E930, the derivatives are not finite.
        """
        points, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(steps))
        points, weights = (points + 1) / 2, weights / 2  # from 0 to 1, not from -1
        scales = 1 + (points.float()[:, None] - 1) * self.moved
        rows = max(1, _MAX_TOKENS // max(1, len(self.moved)))
        parts: list[Tensor] = []
        with _run_errors(self.variant.model, min(rows, steps)), torch.enable_grad():
            for chunk in scales.split(rows):
                leaf = chunk.clone().requires_grad_()  # a leaf tensor with its own storage
                logit = self._logits(leaf)[:, target].sum()
                parts.append(self._derivative(logit, leaf).cpu())
        attributions = (weights[:, None] * torch.cat(parts).double()).sum(0) * self.moved
        if not attributions.isfinite().all():
            raise DataError(Problem("E930", "the model's derivatives are not finite"))
        return attributions

    def _derivative(self, logit: Tensor, scales: Tensor) -> Tensor:
        derivative = None
        if logit.requires_grad:
            (derivative,) = torch.autograd.grad(logit, scales, allow_unused=True)
        if derivative is None:
            raise _no_embedding()
        return derivative.detach()

    def _logits(self, scales: Tensor) -> Tensor:
        """The logits with each token's embedding scaled: [rows, size] of [rows, seq]."""
        device = self.variant.device
        batch = {
            name: one.to(device).expand(len(scales), -1).contiguous()
            for name, one in self.batch.items()
        }
        lookups = _LookupHooks(batch["input_ids"], scales.to(device), self.blank)
        with lookups.moved(self.variant.model):
            logits = self.variant(batch)
        if not lookups.seen:
            raise _no_embedding()
        assert logits is not None  # checked by the probe
        return logits.float()


class _LookupHooks:
    """Scales the embeddings that are looked up with the token ids or a view of them."""

    def __init__(self, ids: Tensor, scales: Tensor, blank: int | None) -> None:
        self.ids, self.scales, self.blank = ids, scales, blank
        self.seen = False

    @contextlib.contextmanager
    def moved(self, model: nn.Module) -> Iterator[None]:
        handles = [
            module.register_forward_hook(self._move)
            for module in model.modules()
            if isinstance(module, nn.Embedding)
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _move(self, module: nn.Embedding, args: tuple[Any, ...], output: Tensor) -> Any:
        indices = args[0] if args else None
        if not isinstance(indices, Tensor) or not _is_view(indices, self.ids):
            return None  # position ids, token types, or ids of another thread
        self.seen = True
        offset = indices.storage_offset() - self.ids.storage_offset()
        scales = self.scales.as_strided(indices.shape, indices.stride(), offset)
        scales = scales[..., None].to(output.dtype)
        if self.blank is None or self.blank >= module.num_embeddings:
            return output * scales
        blank = module.weight[self.blank].detach().to(output.dtype)
        return torch.lerp(blank.expand_as(output), output, scales)


def _is_view(tensor: Tensor, base: Tensor) -> bool:
    same_storage = tensor.untyped_storage().data_ptr() == base.untyped_storage().data_ptr()
    return same_storage and tensor.dtype == base.dtype


@contextlib.contextmanager
def _run_errors(model: nn.Module, rows: int) -> Iterator[None]:
    try:
        with evaluating(model), batch_in_memory(rows):
            yield
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        message = f"the model cannot be explained: {first_line(error)}"
        raise BuildError(Problem("E512", message)) from error


def _no_embedding() -> UsageError:
    message = "the model's token ids go through no Embedding on their way to the labels"
    hint = "explaining needs a module of the type Embedding that takes input_ids"
    return UsageError(Problem("E801", message, hint=hint))
