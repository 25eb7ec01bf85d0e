"""``causal-lm``: each token of a text from those before it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from archspec.errors import DataError, Problem
from archspec.tasks import IGNORED
from archspec.tasks.language_model import LanguageModel, token_logits
from archspec.tasks.objective import Batch, Loss, first_rows

_NOISE = 1e-5  # of the largest logit: what other sizes of matrix products may change


class CausalLm(LanguageModel):
    """Cross entropy of the next token: the logits at a token are those of the one behind it.

    ``labels`` are the tokens themselves, ``IGNORED`` for those that are not to be learned, such as
    a prompt's. The model moves nothing: ``labels`` stand where their tokens do.
    """

    kind = "causal-lm"

    def aligned(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return logits, F.pad(labels[:, 1:], (0, 1), value=IGNORED)  # a part of logits is a copy

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        """Over all logits: most tokens are predicted, and picking their logits takes longer."""
        labels = batch["labels"]
        logits = first_rows(token_logits(outputs, labels), rows)
        logits, labels = self.aligned(logits, labels[:rows])
        entropy = F.cross_entropy(
            logits.flatten(0, 1).float(),
            labels.flatten(),
            ignore_index=IGNORED,
            reduction="sum",
        )
        return Loss(entropy, int((labels != IGNORED).sum()))

    def check(self, model: nn.Module, inputs: Mapping[str, Tensor], size: int) -> None:
        super().check(model, inputs, size)
        tokens = inputs["input_ids"]
        others = tokens.clone()
        others[:, -1] = (tokens[:, -1] + 1) % size
        before, after = (
            token_logits(model(**{**inputs, "input_ids": ids}), ids)[:, :-1].float()
            for ids in (tokens, others)
        )
        if not before.numel() or (before - after).abs().max() <= _NOISE * before.abs().max():
            return
        message = "the model is not causal: its logits at a token depend on the tokens behind it"
        hint = "causal-lm takes models such as gpt2 and llama; for bert-mlm: --task masked-lm"
        raise DataError(Problem("E906", message, hint=hint))
