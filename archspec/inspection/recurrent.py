"""Recurrent layers as a CPU runs them: an LSTM as one fused operation a layer, others step by step.

The fused operation saves a workspace for backward.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import _disable_current_modes

from archspec.tracing.forward_record import Event, ForwardRecord
from archspec.tracing.recurrent_layers import first_steps, of_all_steps, steps_of

LAYER = torch.ops.aten.mkldnn_rnn_layer
_LSTM = 2  # what oneDNN calls it
_PAGE = 4096
_RUN = 8  # steps, the last of which tells what each further one does


def is_fused(args: Sequence[Any]) -> bool:
    """Whether a CPU runs a call of ``torch.lstm`` as the fused operation.

    It does not for packed sequences.
    """
    if len(args) != 9 or not isinstance(args[0], torch.Tensor) or isinstance(args[1], torch.Tensor):
        return False
    data, (hidden, cell) = args[0], args[1]
    plain = hidden.shape[-1] == cell.shape[-1]  # no projection
    return plain and data.numel() > 0 and data.dtype in (torch.float32, torch.bfloat16)


def lstm(
    data: torch.Tensor,
    state: Sequence[torch.Tensor],
    weights: Sequence[torch.Tensor],
    has_biases: bool,
    num_layers: int,
    dropout: float,
    train: bool,
    bidirectional: bool,
    batch_first: bool,
    lower: Callable[[Any], Any],
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What ``torch.lstm`` does on a CPU, layer by layer and direction by direction.

    Args:
        data: [seq, batch, features], or [batch, seq, features] with ``batch_first``.
        lower: what autocast makes of a tensor that the fused operation takes.
    """
    data = (data.transpose(0, 1) if batch_first else data).contiguous()
    hidden, cell = (tensor.contiguous() for tensor in state)
    step, directions = (4 if has_biases else 2), (2 if bidirectional else 1)
    last_hidden: list[torch.Tensor] = []
    last_cell: list[torch.Tensor] = []
    for layer in range(num_layers):
        outputs: list[torch.Tensor] = []
        for i in range(layer * directions, (layer + 1) * directions):
            own = list(weights[i * step : (i + 1) * step])
            own += [] if has_biases else [torch.zeros_like(tensor) for tensor in own]
            tensors = [lower(tensor) for tensor in (data, *own, hidden[i], cell[i])]
            sizes = (hidden.shape[-1], num_layers, has_biases, bidirectional, batch_first, train)
            output, h, c, _ = LAYER(*tensors, i % directions > 0, [], _LSTM, *sizes)
            outputs.append(output)
            last_hidden.append(h)
            last_cell.append(c)
        data = outputs[0] if directions == 1 else torch.cat(outputs, -1)
        if dropout and train and layer < num_layers - 1:
            data = F.dropout(data, dropout)
    data = data.transpose(0, 1) if batch_first else data
    return data, torch.stack(last_hidden), torch.stack(last_cell)


def flops(data: torch.Tensor, weight: torch.Tensor, recurrent: torch.Tensor) -> int:
    """Of one direction of a layer: a step multiplies its input and the state before it.

    Args:
        data: [seq, batch, features].
        weight, recurrent: [4 × hidden, features], [4 × hidden, hidden].
    """
    return 2 * data.shape[0] * data.shape[1] * (weight.numel() + recurrent.numel())


def workspace_bytes(data: torch.Tensor, hidden_size: int) -> int:
    """Size of the workspace that oneDNN saves for one direction of a layer.

    For each step the gates, the states of this layer and the one below, their gradients, and the
    state that the next step begins with; every part begins on a page of its own.

    Args:
        data: [seq, batch, features], in the dtype that is computed in.
    """
    seq, batch, features = data.shape
    item, wide = data.itemsize, max(features, hidden_size)
    states = 2 * (seq + 1) * batch
    parts = (
        seq * batch * _row(4 * hidden_size, item),
        seq * batch * _row(hidden_size, item),
        states * _row(wide, item),
        states * hidden_size * item,
        states * _row(wide, 4),  # gradients are float32 in every precision
        states * _row(wide, 4),
        states * hidden_size * 4,
    )
    return sum(-(-part // _PAGE) * _PAGE for part in parts)


def _row(elements: int, item: int) -> int:
    """Bytes of a row: whole cache lines, and one more where rows would share places in a cache."""
    lines = -(-elements * item // 64)
    return 64 * (lines + (lines * 64 // item % 256 == 0))


def step_by_step(function: Any, args: Any, record: ForwardRecord) -> tuple[torch.Tensor, ...]:
    """What a recurrent layer does that is not fused, in constant work.

    All figures grow evenly with the steps, so that two short runs tell those of a long one.

    Args:
        function: ``torch.gru``, ``torch.rnn_tanh``, ….
        args: of the call; the data are [seq, batch, features], or [batch, seq, features].
    """
    more = steps_of(args) - _RUN
    if more < 2:
        return function(*args)
    with record.attempt():
        shorter = _short_run(function, first_steps(args, _RUN - 1), record)
        shorter.results.clear()
    longer = _short_run(function, first_steps(args, _RUN), record)
    record.events += [
        Event(record.paths[-1], what, name, more * amount)
        if what == "uncounted"
        else Event(record.paths[-1], what, amount, more)
        for (what, name), amount in (longer.amounts - shorter.amounts).items()
    ]
    with _disable_current_modes():  # its operations are none of the layer's
        results = of_all_steps(args, *longer.results)
    longer.results.clear()
    record.hold(more * (longer.held - shorter.held))
    record.see(results)
    peak = longer.peak + more * (longer.peak - shorter.peak)
    record.peak = max(record.peak, longer.before + max(peak, _joining_bytes(args, results[0])))
    return results


def _joining_bytes(args: Any, outputs: torch.Tensor) -> int:
    """Bytes in use when the outputs of all steps are joined, beside them those of the layer below.

    A short run has more in use within a step.
    """
    *_, num_layers, _, _, bidirectional, _ = args
    return outputs.numel() * outputs.itemsize * (2 + bidirectional + (num_layers > 1))


@dataclass(frozen=True, slots=True)
class _ShortRun:
    """A run of a few steps.

    Attributes:
        amounts: what was recorded, and the name of an operation → how much of it.
        before: bytes in use at its start.
        peak, held: bytes beyond those at most, and at its end without the outputs of the steps.
    """

    results: list[torch.Tensor]
    amounts: Counter[tuple[Any, str]]
    before: int
    peak: int
    held: int


def _short_run(function: Any, args: Any, record: ForwardRecord) -> _ShortRun:
    first, before, outer_peak = len(record.events), record.live, record.peak
    record.peak = before
    results = [*function(*args)]
    peak, record.peak = record.peak, max(outer_peak, record.peak)
    amounts = Counter[tuple[Any, str]]()
    for _, what, value, times in record.events[first:]:
        named = what == "uncounted"
        amounts[what, value if named else ""] += times if named else value * times
    size = 0 if record.is_kept(results[0]) else results[0].untyped_storage().nbytes()
    return _ShortRun(results, amounts, before, peak - before, record.live - before - size)
