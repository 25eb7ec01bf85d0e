"""What ``MetaRun`` answers in PyTorch's place is what PyTorch gives."""

from __future__ import annotations

from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from archspec.tracing.meta_run import MetaRun

_aten = torch.ops.aten
SHAPES = [(2, 4), (2, 4, 5), (2, 4, 5, 6), (1, 4, 1, 1), (2, 4, 5, 6, 7), (0, 4, 5, 6)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
LAST = {4: torch.channels_last, 5: torch.channels_last_3d}


def described(result: Any) -> list[tuple[Any, ...]]:
    return [(tuple(one.shape), one.stride(), one.dtype, one.device.type) for one in result]


Norm = tuple[Any, tuple[Any, ...]]
TWICE: list[tuple[bool, bool]] = [(a, b) for a in (True, False) for b in (True, False)]


def norms() -> list[Norm]:
    """Batch norms of every shape, dtype and layout, with and without what they may lack."""
    found: list[Norm] = []
    for shape, dtype, own in product(SHAPES, DTYPES, DTYPES):
        for (is_last, is_affine), (has_statistics, is_trained) in product(TWICE, TWICE):
            x = torch.empty(shape, dtype=dtype, device="meta")
            if is_last:
                x = x.to(memory_format=LAST.get(len(shape), torch.preserve_format))
            one = torch.empty(shape[1], dtype=own, device="meta")
            weights = (one, one) if is_affine else (None, None)
            running = (one, one) if has_statistics else (None, None)
            trained = is_trained or not has_statistics
            every = (x, *weights, *running, trained, 0.1, 1e-5)
            found.append((_aten.native_batch_norm.default, every))
            if has_statistics:
                found.append((_aten._native_batch_norm_legit.default, every))
            else:
                rest = (x, *weights, True, 0.1, 1e-5)
                found.append((_aten._native_batch_norm_legit.no_stats, rest))
    return found


def outcome(func: Any, args: tuple[Any, ...]) -> object:
    """What the results are like, or the error."""
    try:
        return described(func(*args))
    except (RuntimeError, ZeroDivisionError) as error:  # of one value of each channel
        return str(error)


def test_batch_norms() -> None:
    cases = norms()
    assert len(cases) == len(SHAPES) * len(DTYPES) ** 2 * 16 * 2
    for func, args in cases[::7]:  # all of them would take long
        expected = outcome(func, args)
        with MetaRun(nn.ReLU()):
            assert outcome(func, args) == expected, (func, args)


def layer_norms() -> list[Norm]:
    """Layer norms of every shape, dtype and layout, with and without weights; some do not fit."""
    found: list[Norm] = []
    for shape, dtype, own in product(SHAPES, DTYPES, DTYPES):
        for (is_turned, has_weight), (has_bias, is_right) in product(TWICE, TWICE):
            x = torch.empty(shape, dtype=dtype, device="meta")
            x = x.transpose(0, 1) if is_turned else x
            for count in range(3):
                sizes = list(x.shape[x.ndim - count :])
                one = torch.empty(sizes if is_right else [*sizes, 2], dtype=own, device="meta")
                weights = one if has_weight else None, one if has_bias else None
                every = (x, sizes if is_right or has_bias else [9], *weights, 1e-5)
                found.append((_aten.native_layer_norm.default, every))
    return found


def test_layer_norms() -> None:
    cases = layer_norms()
    found = 0
    for func, args in cases[::11]:  # all of them would take long
        expected = outcome(func, args)
        with MetaRun(nn.ReLU()):
            assert outcome(func, args) == expected, (func, args)
        found += isinstance(expected, list)
    assert 50 < found < len(cases) // 11


def test_a_batch_norm_of_another_size_is_pytorchs_error() -> None:
    x, three = torch.empty(2, 4, 5, device="meta"), torch.empty(3, device="meta")
    for running in ((three, three), (None, None)):
        args = (x, three, three, *running, True, 0.1, 1e-5)
        expected = outcome(_aten.native_batch_norm.default, args)
        assert isinstance(expected, str)
        with MetaRun(nn.ReLU()):
            assert outcome(_aten.native_batch_norm.default, args) == expected


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_a_recurrent_layer_runs_one_step_for_all() -> None:
    wrong: list[str] = []
    makers = nn.LSTM, nn.GRU, partial(nn.RNN, nonlinearity="relu"), partial(nn.LSTM, proj_size=3)
    for make, (batch_first, two_ways) in product(makers, TWICE):
        for shape in [(3, 5, 4), (5, 4), (1, 2, 4)]:
            layer = make(4, 6, 2, batch_first=batch_first, bidirectional=two_ways)
            x = torch.empty(shape)
            expected, last = layer(x)
            on_meta = layer.to("meta")
            with MetaRun(on_meta):
                found, found_last = on_meta(x.to("meta"))
            states, found_states = tree_leaves(last), tree_leaves(found_last)
            same = [(t.shape, t.stride()) for t in (found, *found_states)] == [
                (t.shape, t.stride()) for t in (expected, *states)
            ]
            wrong += [] if same else [f"{layer} {shape}"]
            with MetaRun(on_meta) as longer:
                on_meta(torch.empty(90, 90, 4, device="meta"))
            assert longer.count < 500
    assert wrong == []
