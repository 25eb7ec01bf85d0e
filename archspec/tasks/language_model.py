"""What language models share: cross entropy over the tokens that are predicted; perplexity."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from archspec.errors import DataError, Problem
from archspec.tasks import IGNORED
from archspec.tasks.objective import Batch, Loss, Metrics, Objective, Scores, first_rows
from archspec.tasks.own_loss import OwnLoss

_MAX_EXPONENT = 700.0  # exp of more is no float


class LanguageModel(Objective):
    """Cross entropy of ``labels``: int64 [batch, seq]; the model gives logits [batch, seq, vocab].

    Tokens with ``IGNORED`` are neither trained on nor scored. The loss is the mean over the others.
    """

    monitors = ("perplexity", "accuracy", "loss")
    per_token = True

    def predicted(self, outputs: Any, batch: Batch, rows: int) -> tuple[Tensor, Tensor]:
        """The logits and the labels of all tokens of the first rows that are predicted.

        Returns:
            float32 [tokens, vocab], and int64 [tokens].

        Raises:
            DataError: E906, the model gives no logits of tokens.
        """
        labels = batch["labels"]
        logits = first_rows(token_logits(outputs, labels), rows)
        logits, labels = self.aligned(logits, labels[:rows])
        is_predicted = labels != IGNORED
        return logits[is_predicted].float(), labels[is_predicted]

    def aligned(self, logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits [rows, seq, vocab] with the label [rows, seq] that each is to tell."""
        return logits, labels

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        logits, labels = self.predicted(outputs, batch, rows)
        return Loss(F.cross_entropy(logits, labels, reduction="sum"), len(labels))

    def metrics(self, device: torch.device) -> TokenMetrics:
        return TokenMetrics(self, device)

    def check(self, model: nn.Module, inputs: Mapping[str, Tensor], size: int) -> None:
        """Check, as far as a small input shows, that a model is one for this task.

        Args:
            model: in inference mode.
            inputs: of one row.
            size: one more than the highest token id.

        Raises:
            DataError: E906, it is none.
        """
        logits = token_logits(model(**inputs), inputs["input_ids"])
        if logits.shape[-1] < size:
            message = f"the model gives logits of {logits.shape[-1]:,} tokens, and the tokenizer"
            raise DataError(Problem("E906", f"{message} has {size:,}"))


def token_logits(outputs: Any, tokens: Tensor) -> Tensor:
    """The logits [batch, seq, vocab] among a model's outputs for ``tokens``, [batch, seq].

    They are the output that is called ``logits``, or the only one of this shape.

    Raises:
        DataError: E906, there is none.
    """
    if isinstance(outputs, Mapping) and "logits" in outputs:
        outputs = outputs["logits"]
    several: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
    tensors = [one for one in several if isinstance(one, Tensor)]
    found = [one for one in tensors if one.ndim == 3 and one.shape[:2] == tokens.shape]
    if len(found) != 1:
        shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors) or "no tensor"
        needed = str([*tokens.shape, "vocabulary"]).replace("'", "")
        message = f"the task is to predict tokens: the model should give {needed}, not {shapes}"
        raise DataError(Problem("E906", message))
    return found[0]


class TokenMetrics(Metrics):
    """Perplexity, the exponential of the mean cross entropy, and the share of tokens that is right.

    Both are over all tokens that are predicted. The loss may be another function.
    """

    def __init__(self, objective: LanguageModel, device: torch.device) -> None:
        super().__init__(5, device)  # tokens, right ones, cross entropy; items of the loss, loss
        self.objective = objective

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        logits, labels = self.objective.predicted(outputs, batch, rows)
        entropy = F.cross_entropy(logits, labels, reduction="sum")
        loss = Loss(entropy, len(labels))
        if isinstance(self.objective.loss, OwnLoss):
            loss = self.objective.loss(outputs, batch, rows)
        right = (logits.argmax(-1) == labels).sum()
        numbers = (len(labels), right, entropy, loss.items, loss.sum)
        self.sums += torch.stack([torch.as_tensor(n, device=self.sums.device) for n in numbers])

    def scores(self) -> Scores:
        tokens, right, entropy, items, loss = self.sums.cpu().tolist()
        mean = entropy / max(tokens, 1)
        perplexity = math.exp(min(mean, _MAX_EXPONENT)) if math.isfinite(mean) else mean
        figures = {"perplexity": perplexity, "accuracy": right / max(tokens, 1)}
        return Scores(int(tokens), loss / max(items, 1), figures)
