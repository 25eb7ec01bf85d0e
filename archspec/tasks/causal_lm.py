"""``causal-lm``: each token of a text from those before it."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from archspec.errors import DataError, Problem
from archspec.tasks.language_model import LanguageModel, token_logits

_NOISE = 1e-5  # of the largest logit: what other sizes of matrix products may change


class CausalLm(LanguageModel):
    """Cross entropy of the next token: the logits at a token are those of the one behind it.

    ``labels`` are the tokens themselves, ``IGNORED`` for those that are not to be learned, such as
    a prompt's. The model moves nothing: ``labels`` stand where their tokens do.
    """

    kind = "causal-lm"

    def aligned(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return logits[:, :-1], labels[:, 1:]

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
