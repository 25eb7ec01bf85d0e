"""Which tokens a score comes from: integrated gradients along the token embeddings."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from archspec.errors import BuildError, DataError, Problem, UsageError
from archspec.predicting.engine import NOT_FINITE, evaluating, in_memory
from archspec.predicting.variants import Variant
from archspec.report.text import first_line

_TOKENS = 1024  # at once, which bounds what is kept for the way back


@dataclass(frozen=True, slots=True)
class Ends:
    """The model's logits at both ends of the way: float32 [size] each.

    Attributes:
        text: of the text.
        baseline: of the baseline.
    """

    text: Tensor
    baseline: Tensor


@dataclass(slots=True, eq=False)
class Path:
    """The way from a text's baseline to the text, for a model that looks its token ids up.

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

    def ends(self) -> Ends:
        """Where the way ends; raises as ``attributions``."""
        with _at_work(self.variant.model, 2), torch.no_grad():
            logits = self._logits(torch.stack([torch.ones_like(self.moved), 1 - self.moved]))
        if not logits.isfinite().all():
            raise DataError(Problem("E930", NOT_FINITE[0]))
        return Ends(logits[0].cpu(), logits[1].cpu())

    def attributions(self, target: int, steps: int) -> Tensor:
        """What each token adds to the logit ``target``: float64 [seq].

        Args:
            target: the number of the model's output.
            steps: points of the Gauss-Legendre rule on the way, each a run forwards and back.

        Raises:
            UsageError: E801, the token ids go through no ``Embedding`` on their way to the logit.
            BuildError: E503, out of memory; E512, the model cannot be run.
            DataError: E930, the derivatives are not finite.
        """
        places, weights = map(torch.from_numpy, np.polynomial.legendre.leggauss(steps))
        places, weights = (places + 1) / 2, weights / 2  # from 0 to 1, not from -1
        scales = 1 + (places.float()[:, None] - 1) * self.moved
        rows = max(1, _TOKENS // max(1, len(self.moved)))
        parts: list[Tensor] = []
        with _at_work(self.variant.model, min(rows, steps)), torch.enable_grad():
            for some in scales.split(rows):
                part = some.clone().requires_grad_()  # a leaf of its own storage
                logit = self._logits(part)[:, target].sum()
                parts.append(self._derivative(logit, part).cpu())
        found = (weights[:, None] * torch.cat(parts).double()).sum(0) * self.moved
        if not found.isfinite().all():
            raise DataError(Problem("E930", "the model's derivatives are not finite"))
        return found

    def _derivative(self, logit: Tensor, scales: Tensor) -> Tensor:
        found = None
        if logit.requires_grad:
            (found,) = torch.autograd.grad(logit, scales, allow_unused=True)
        if found is None:
            raise _no_way()
        return found.detach()

    def _logits(self, scales: Tensor) -> Tensor:
        """The logits with each token's embedding scaled: [rows, size] of [rows, seq]."""
        device = self.variant.device
        batch = {
            name: one.to(device).expand(len(scales), -1).contiguous()
            for name, one in self.batch.items()
        }
        lookups = _Lookups(batch["input_ids"], scales.to(device), self.blank)
        with lookups.moved(self.variant.model):
            found = self.variant(batch)
        if not lookups.seen:
            raise _no_way()
        assert found is not None  # the probe has seen it
        return found.float()


class _Lookups:
    """Moves what is looked up for token ids, wherever they or a view of them are looked up."""

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

    def _move(self, module: nn.Embedding, given: tuple[Any, ...], output: Tensor) -> Any:
        looked_up = given[0] if given else None
        if not isinstance(looked_up, Tensor) or not _is_view(looked_up, self.ids):
            return None  # positions, token types, or another thread's ids
        self.seen = True
        place = looked_up.storage_offset() - self.ids.storage_offset()
        scales = self.scales.as_strided(looked_up.shape, looked_up.stride(), place)
        scales = scales[..., None].to(output.dtype)
        if self.blank is None or self.blank >= module.num_embeddings:
            return output * scales
        blank = module.weight[self.blank].detach().to(output.dtype)
        return torch.lerp(blank.expand_as(output), output, scales)


def _is_view(one: Tensor, other: Tensor) -> bool:
    same_storage = one.untyped_storage().data_ptr() == other.untyped_storage().data_ptr()
    return same_storage and one.dtype == other.dtype


@contextlib.contextmanager
def _at_work(model: nn.Module, rows: int) -> Iterator[None]:
    try:
        with evaluating(model), in_memory(rows):
            yield
    except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
        message = f"the model cannot be explained: {first_line(error)}"
        raise BuildError(Problem("E512", message)) from error


def _no_way() -> UsageError:
    message = "the model's token ids go through no Embedding on their way to the labels"
    hint = "explaining needs a module of the type Embedding that takes input_ids"
    return UsageError(Problem("E801", message, hint=hint))
