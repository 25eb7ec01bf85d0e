"""``question-answering``: the place of an answer in a context, by its first and last token."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, distributed
from torch.nn import functional as F

from archspec.errors import DataError, Problem
from archspec.tasks.objective import Batch, Loss, Metrics, Objective, Scores

MAX_ANSWER = 30  # tokens of an answer that is predicted


class QuestionAnswering(Objective):
    """Cross entropy of ``labels``: int64 [batch, 2], the answer's first and last token.

    A row is a window of a context; where it does not hold the answer, both are 0. The model gives
    logits of both, [batch, seq] each: the loss is the mean of their cross entropies, as in BERT
    (Devlin et al. 2018, arXiv:1810.04805).
    """

    kind = "question-answering"
    monitors = ("f1", "exact_match", "loss")
    takes_pairs = True
    per_token = True

    @property
    def outputs(self) -> int:
        return 2

    def logits(self, outputs: Any, rows: int) -> tuple[Tensor, Tensor]:
        """The logits of first and last tokens; raises as ``loss``."""
        pair = answer_logits(outputs)
        if pair is None or len(pair) != rows:
            shape = f"[{rows}, seq], for its first and last token"
            why = "the task is the place of an answer"
            raise DataError(Problem("E906", f"{why}: the model should give two tensors {shape}"))
        first, last = pair.float().unbind(-1)
        return first, last

    def loss(self, outputs: Any, batch: Batch, rows: int) -> Loss:
        pair = self.logits(outputs, len(batch["labels"]))
        each = [
            F.cross_entropy(logits[:rows], labels, reduction="sum")
            for logits, labels in zip(pair, batch["labels"][:rows].unbind(1), strict=True)
        ]
        return Loss((each[0] + each[1]) / 2, rows)

    def metrics(self, device: torch.device, rows: Any = None) -> AnswerMetrics:
        return AnswerMetrics(self, device, rows)


def answer_logits(outputs: Any) -> Tensor | None:
    """Two outputs [batch, seq], or one [batch, seq, 2], as one [batch, seq, 2]."""
    several: Sequence[Any] = outputs if isinstance(outputs, tuple) else (outputs,)
    tensors = [output for output in several if isinstance(output, Tensor)]
    both = [one for one in tensors if one.ndim == 2]
    if len(both) == 2 and both[0].shape == both[1].shape:
        return torch.stack(both, -1)
    return next((one for one in tensors if one.ndim == 3 and one.shape[-1] == 2), None)


def best_span(logits: NDArray[np.float32], tokens: Sequence[int]) -> tuple[float, int, int]:
    """The most probable answer among tokens of a window: its logits' sum, first and last token.

    Args:
        logits: [seq, 2], of first and last tokens.
        tokens: of the context, in order; there is at least one.

    >>> logits = np.array([[0, 9], [2, 0], [0, 3], [1, 0]], dtype=np.float32)
    >>> best_span(logits, [1, 2, 3])
    (5.0, 1, 2)
    """
    chosen = logits[np.asarray(tokens)]
    sums = chosen[:, None, 0] + chosen[None, :, 1]
    allowed = np.tril(np.triu(np.ones(sums.shape, dtype=bool)), MAX_ANSWER - 1)
    first, last = np.unravel_index(np.where(allowed, sums, -np.inf).argmax(), sums.shape)
    return float(sums[first, last]), tokens[int(first)], tokens[int(last)]


class AnswerMetrics(Metrics):
    """Keeps the best answer of each row over its windows; scores are those of torchmetrics' SQuAD.

    Args:
        windows: for the number of a window: its row, the positions of its context's tokens, and
            what maps a first and a last one to a text.
    """

    def __init__(self, objective: QuestionAnswering, device: torch.device, windows: Any) -> None:
        super().__init__(2, device)  # windows, loss
        self.objective, self.windows = objective, windows
        self.best: dict[int, tuple[float, str]] = {}

    def add(self, outputs: Any, batch: Batch, rows: int) -> None:
        pair = self.objective.logits(outputs, len(batch["labels"]))
        logits = torch.stack(pair, -1)[:rows].detach().cpu().numpy()
        for number, of_window in zip(batch["rows"][:rows].tolist(), logits, strict=True):
            row, tokens, text = self.windows(number)
            score, first, last = best_span(of_window, tokens)
            if row not in self.best or score > self.best[row][0]:
                self.best[row] = (score, text(first, last))
        loss = self.objective.loss(outputs, batch, rows)
        self.sums += torch.stack([torch.full_like(loss.sum, rows), loss.sum.detach()])

    def reduce(self) -> None:
        super().reduce()
        every: list[Any] = [None] * distributed.get_world_size()
        distributed.all_gather_object(every, self.best)
        for found in every:
            for row, best in found.items():
                self.best[row] = max(best, self.best.get(row, best))

    def scores(self) -> Scores:
        from torchmetrics.functional.text import squad

        count, loss = self.sums.cpu().tolist()
        rows = sorted(self.best)
        predicted = [{"id": str(row), "prediction_text": self.best[row][1]} for row in rows]
        answers = [
            {"id": str(row), "answers": {"text": texts, "answer_start": [0] * len(texts)}}
            for row in rows
            for texts in (self.windows.answers(row),)
        ]
        found = squad(predicted, answers) if rows else {"f1": 0.0, "exact_match": 0.0}
        figures = {key: float(found[key]) / 100 for key in ("f1", "exact_match")}
        return Scores(len(rows), loss / max(count, 1), figures)
