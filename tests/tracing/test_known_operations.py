"""Results that are kept between runs are those of fresh processes, and their number is bounded."""

from __future__ import annotations

import gc
import random
import weakref
from typing import Any

import pytest
import torch
from torch import nn

import archspec
from archspec.building import shapes
from archspec.errors import ArchspecError
from archspec.inspection import measure
from archspec.tracing import meta_run
from archspec.tracing.forward_record import ForwardRecord, storage_key
from archspec.tracing.known_operations import KnownOperations
from archspec.tracing.meta_run import MetaRun

_NORM = torch.ops.aten.native_layer_norm.default


def run(model: nn.Module, *sizes: int) -> tuple[torch.Tensor, int]:
    """A model's result, and what its run counts."""
    with MetaRun(model) as limited:
        result = model(torch.empty(sizes, device="meta"))
    return result, limited.count


def test_another_run_computes_only_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[Any] = []
    compute = meta_run._computed

    def counted(func: Any, *args: Any) -> Any:
        computed.append(func)
        return compute(func, *args)

    monkeypatch.setattr(meta_run, "_known", KnownOperations())
    monkeypatch.setattr(meta_run, "_computed", counted)
    norms = [nn.LayerNorm(size, device="meta") for size in (4, 5)]
    (first, count), (again, same) = run(norms[0], 3, 4), run(norms[0], 3, 4)
    assert computed.count(_NORM) == 1 and count == same  # a limit is hit at the same place
    assert first.shape == again.shape == (3, 4) and first is not again
    assert run(norms[1], 3, 5)[0].shape == (3, 5) and computed.count(_NORM) == 2


def test_the_default_dtype_is_that_of_the_run() -> None:
    numbers = torch.ones(2, 3, dtype=torch.int64, device="meta")
    found: list[torch.dtype] = []
    for dtype in (torch.float32, torch.float64):
        torch.set_default_dtype(dtype)
        try:
            with MetaRun(nn.ReLU()):
                found += [(numbers / 2).dtype, torch.arange(0.5, 7, device="meta").dtype]
        finally:
            torch.set_default_dtype(torch.float32)
    assert found == [torch.float32] * 2 + [torch.float64] * 2


def test_a_view_stays_one_though_its_schema_does_not_say_so() -> None:
    for _ in range(2):
        x = torch.empty(2, 3, 4, device="meta")
        with MetaRun(nn.ReLU()):
            views = [torch.ops.aten._unsafe_view(x, [6, 4]) for _ in range(2)]
        assert all(storage_key(view) == storage_key(x) for view in views)


def test_what_was_used_longest_ago_is_dropped() -> None:
    known = KnownOperations(max_parts=10)
    for number in (1, 2):  # five values each, of which two are tuples
        known.add((number, ("a", number)), lambda args, kwargs: None)
    assert known.parts == 10 and known.get((1, ("a", 1)))
    known.add((3, 3), lambda args, kwargs: None)
    assert known.parts == 8 and known.get((2, ("a", 2))) is None and known.get((1, ("a", 1)))
    known.add("a long word", lambda args, kwargs: None)
    assert known.parts == 0


LAYERS = [
    "{{type: Linear, in_features: {0}, out_features: {1}}}",
    "{{type: LayerNorm, normalized_shape: {1}, eps: 0.{0}}}",
    "{{type: Conv1d, in_channels: 4, out_channels: 4, kernel_size: {0}, padding: 1}}",
    "{{type: Dropout, p: 0.{0}}}",
    "{{type: BatchNorm1d, num_features: 4, eps: 0.{1}}}",
    "{{type: Softmax, dim: -1}}",
]


def edits(count: int) -> list[str]:
    """Texts of a spec, each with one line of the one before changed, left out or put in."""
    rng, texts, lines = random.Random(5), [], [LAYERS[0].format(5, 5)]
    for _ in range(count):
        line = rng.choice(LAYERS).format(rng.choice((3, 5, 5)), 5)
        at, replaced = rng.randrange(len(lines)), rng.choice((0, 1, 1)) if len(lines) < 9 else 2
        lines[at : at + replaced] = [line]
        items = "".join(f"          - {line}\n" for line in lines)
        texts.append(
            "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 4, 5]}\n"
            "    modules:\n      body:\n        type: Sequential\n        items:\n"
            f"{items}    forward:\n      - return: body(x)\n"
        )
    return texts


def answer(text: str) -> object:
    try:
        return archspec.inspect(archspec.loads(text)).to_dict()
    except ArchspecError as error:
        return str(error)


def test_a_chain_of_edits_has_the_answers_of_fresh_processes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts = edits(40)
    monkeypatch.setattr(meta_run, "_known", known := KnownOperations())
    found = [answer(text) for text in texts]
    assert known.parts > 500 and 8 < sum(isinstance(one, dict) for one in found) < 40
    for text, one in zip(texts, found, strict=True):
        monkeypatch.setattr(meta_run, "_known", KnownOperations())
        monkeypatch.setattr(shapes, "_passed", set[int]())
        assert answer(text) == one, text


def test_a_measured_model_is_let_go_of(monkeypatch: pytest.MonkeyPatch) -> None:
    records: list[weakref.ref[ForwardRecord]] = []

    class Seen(ForwardRecord):
        def __init__(self, model: nn.Module) -> None:
            super().__init__(model)
            records.append(weakref.ref(self))

    monkeypatch.setattr(measure, "ForwardRecord", Seen)
    archspec.inspect("vgg11")
    gc.collect()
    assert [record() for record in records] == [None, None]
