"""A plan is a complete description: the last one counts, and an error changes nothing."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archspec import (
    FreezeError,
    UsageError,
    build,
    freeze,
    freeze_proof,
    loads,
    trainable_parameters,
)

NET = """
archspec: 1
model: Net
blocks:
  Noisy:
    inputs: {x: [batch, 4]}
    modules: {inner: {type: Linear, in_features: 4, out_features: 4}}
    forward: [{return: "inner(dropout(x, 0.5, training))"}]
  Net:
    inputs: {x: [batch, 4]}
    modules:
      body:
        type: Sequential
        items:
          - {type: Linear, in_features: 4, out_features: 4}
          - {type: BatchNorm1d, num_features: 4}
          - {type: Dropout, p: 0.5}
          - {type: Noisy}
      head: {type: Linear, in_features: 4, out_features: 2}
freeze:
  all: ["**"]
  body: [body]
  weights-only: {patterns: [body], statistics: false, dropout: false}
  norms-still: {patterns: ["**"], gradients: false, dropout: false}
"""
PATTERNS = ["**", "!**", "body", "!body", "@BatchNorm1d", "!**.bias", "body[2:]", "!@Noisy", "head"]
Snapshot = dict[str, tuple[bool, ...]]


def net() -> nn.Module:
    return build(loads(NET), device="cpu", seed=0)


def snapshot(model: nn.Module) -> Snapshot:
    """Modes and gradients of everything, before and after ``train()`` and ``eval()``."""
    gradients = {name: (p.requires_grad, p.grad is None) for name, p in model.named_parameters()}
    now = {f"{name}:": (m.training,) for name, m in model.named_modules()}
    probe = copy.deepcopy(model)
    later = {f"{name}:train": (m.training,) for name, m in probe.train().named_modules()}
    evaluated = {f"{name}:eval": (m.training,) for name, m in probe.eval().named_modules()}
    return {**gradients, **now, **later, **evaluated}


switch_names = ("gradients", "statistics", "dropout")
plans = st.tuples(
    st.lists(st.sampled_from(PATTERNS), max_size=4),
    st.fixed_dictionaries({}, optional=dict.fromkeys(switch_names, st.booleans())),
)


@settings(max_examples=60)
@given(st.lists(plans, min_size=1, max_size=4), st.booleans())
def test_the_last_plan_counts(sequence: list[tuple[list[str], dict[str, Any]]], mode: bool) -> None:
    model, fresh = net().train(mode), net().train(mode)
    reports = [freeze(model, patterns, **switches) for patterns, switches in sequence]
    last, switches = sequence[-1]
    assert freeze(fresh, last, **switches) == reports[-1]
    assert snapshot(model) == snapshot(fresh)


@pytest.mark.parametrize("mode", [True, False])
def test_what_is_thawed_takes_the_mode_that_the_model_was_told_to_take(mode: bool) -> None:
    model = net()
    freeze(model, "all")
    model.train(mode)
    assert not any(m.training for m in model.modules())
    freeze(model, [])
    assert {m.training for m in model.modules()} == {mode}
    assert not any("train" in vars(m) for m in model.modules())
    assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("how", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_thawed_by_themselves(how: Callable[[nn.Module], nn.Module]) -> None:
    model = net()
    freeze(model, "all")
    other = how(model)
    freeze(other, [])
    assert all(m.training for m in other.modules()) and not any(m.training for m in model.modules())
    assert all(p.requires_grad for p in other.parameters())
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize(
    ("plan", "code", "messages"),
    [
        (
            ["body", "!hed", "["],
            "E701",
            ["the pattern '!hed' selects nothing", "'[': a bracket without its partner"],
        ),
        ("bodi", "E703", ["spec has no freeze plan 'bodi'"]),
    ],
)
def test_an_error_changes_nothing(plan: Any, code: str, messages: list[str]) -> None:
    model = net()
    freeze(model, ["body", "!body[0]"])
    model(torch.randn(3, 4)).sum().backward()
    before = snapshot(model)
    with pytest.raises(FreezeError) as caught:
        freeze(model, plan)
    assert (caught.value.code, [p.message for p in caught.value.problems]) == (code, messages)
    assert snapshot(model) == before


def test_a_pattern_of_a_plan_that_does_not_fit_is_told_with_its_place() -> None:
    with pytest.raises(FreezeError) as caught:
        freeze(nn.Sequential(nn.Linear(2, 2)), "body", spec=loads(NET))
    assert (caught.value.code, str(caught.value.place)) == ("E701", "<spec>:22:10")


def test_a_model_whose_spec_is_not_known() -> None:
    for model in (nn.Linear(2, 2), copy.deepcopy(net())):
        with pytest.raises(FreezeError) as caught:
            freeze(model, "all")
        assert caught.value.code == "E703"
        assert "spec=" in caught.value.hint and "patterns" in caught.value.hint
        assert freeze(model, "all", spec=loads(NET)).trainable == 0
    assert freeze(build("bert", device="meta"), "all", spec="resnet18").trainable == 0


@pytest.mark.parametrize(
    "call",
    [
        lambda: freeze(net(), 3),  # pyright: ignore
        lambda: freeze(net(), ["body", 3]),  # pyright: ignore
        lambda: freeze("bert", "all"),  # pyright: ignore
        lambda: freeze_proof("bert"),  # pyright: ignore
        lambda: freeze_proof(net()).verify("bert"),  # pyright: ignore
        lambda: trainable_parameters("bert"),  # pyright: ignore
        lambda: freeze(net(), "all", dropout=1),  # pyright: ignore
        lambda: freeze(net(), "all", gradients="no"),  # pyright: ignore
        lambda: freeze(nn.Sequential(nn.LazyLinear(3)), ["**"]),
    ],
)
@pytest.mark.filterwarnings("ignore:Lazy modules")
def test_calls_that_make_no_sense(call: Callable[[], object]) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert caught.value.code == "E801"


# ---------------------------------------------------------------------------------------- switches


def modes(model: nn.Module) -> dict[str, bool]:
    found = model.train().named_modules()
    return {name: module.training for name, module in found if name.startswith("body.")}


@pytest.mark.parametrize(
    ("plan", "switches", "still"),
    [
        ("body", {}, "0 1 2 3 3.inner"),
        ("body", {"statistics": False}, "0 2 3 3.inner"),
        ("body", {"dropout": False}, "1"),
        ("body", {"gradients": False}, "0 1 2 3 3.inner"),
        ("weights-only", {}, ""),
        ("weights-only", {"statistics": True}, "1"),
        ("weights-only", {"dropout": True}, "0 2 3 3.inner"),
        ("norms-still", {}, "1"),
        ("norms-still", {"gradients": True}, "1"),
    ],
)
def test_switches(plan: str, switches: dict[str, Any], still: str) -> None:
    model = net()
    report = freeze(model, plan, **switches)
    quiet = {name.removeprefix("body.") for name, training in modes(model).items() if not training}
    assert quiet == set(still.split())
    trains = not switches.get("gradients", plan != "norms-still")
    assert {p.requires_grad for p in model.get_submodule("body").parameters()} == {trains}
    assert report.gradients is not trains


def test_the_switches_of_a_plan_are_those_of_patterns_with_arguments() -> None:
    model, other = net(), net()
    named = freeze(model, "norms-still").to_dict()
    given = freeze(other, ["**"], gradients=False, dropout=False).to_dict()
    assert snapshot(model) == snapshot(other)
    assert {**named, "plan": None, "patterns": 0} == {**given, "patterns": 0}


# ------------------------------------------------------------------------------ kinds of modules


class Kinds(nn.Module):
    """Modules that do something else in training, each in its own way."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.5)
        self.lstm = nn.LSTM(4, 4, num_layers=2, dropout=0.5)
        self.rate = nn.InstanceNorm1d(4, track_running_stats=True)
        self.plain = nn.InstanceNorm1d(4)
        self.sync = nn.SyncBatchNorm(4)
        self.leaky = nn.RReLU()
        self.tower = nn.TransformerEncoderLayer(4, 2, 4, 0.5)
        self.codes = nn.Parameter(torch.zeros(3, dtype=torch.int64), requires_grad=False)


def test_all_kinds_of_modules_stay_in_inference_mode() -> None:
    model = Kinds()
    report = freeze(model, ["**"])
    assert not any(m.training for m in model.train().modules())
    x = torch.randn(3, 2, 4)
    for module, arguments in (
        (model.attention, (x, x, x)),
        (model.lstm, (x,)),
        (model.leaky, (x,)),
    ):
        first, second = module(*arguments), module(*arguments)
        assert torch.equal(*(y if isinstance(y, torch.Tensor) else y[0] for y in (first, second)))
    assert report.training == {}
    assert report.inference == {
        "Dropout": 3, "MultiheadAttention": 2, "LSTM": 1, "InstanceNorm1d": 1, "SyncBatchNorm": 1,
        "RReLU": 1, "TransformerEncoderLayer": 1,
    }  # fmt: skip
    freeze(model, [])
    assert not model.codes.requires_grad  # integers have no gradient
    assert all(m.training for m in model.modules())


def test_a_norm_of_another_library_keeps_statistics_too() -> None:
    class Running(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("running_scale", torch.ones(1))

    model = nn.Sequential(Running(), nn.Dropout())
    freeze(model, ["**"], dropout=False)
    assert [m.training for m in model.train()] == [False, True]


def test_a_module_that_is_held_twice_is_frozen_by_either_name() -> None:
    shared = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    model = nn.ModuleDict({"a": shared, "b": shared})
    report = freeze(model, ["b"])
    assert not shared[1].training and not shared[0].weight.requires_grad
    assert (report.frozen, report.patterns[0].parameters, report.inference) == (
        10, 10, {"BatchNorm1d": 1},
    )  # fmt: skip
    assert [tie.names for tie in report.ties] == [
        (f"a.{name}", f"b.{name}") for name in ("0.weight", "0.bias", "1.weight", "1.bias")
    ]


def test_a_replica_for_data_parallel_stays_in_inference_mode() -> None:
    model = net()
    freeze(model, "body")
    replica = model.train().get_submodule("body.1")._replicate_for_data_parallel()
    assert not replica.training
    assert not replica.train().training and not model.get_submodule("body.1").training


def test_a_compiled_model_stays_frozen() -> None:
    model = net()
    freeze(model, "body")
    compiled: Any = torch.compile(model, backend="eager")
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    x = torch.randn(5, 4)
    for mode in (True, False, True):
        compiled.train(mode)
        assert torch.equal(compiled(x), model(x))
        assert not any(m.training for m in model.get_submodule("body").modules())
    assert all(buffer.equal(before[name]) for name, buffer in model.named_buffers())
    freeze(model, [])
    compiled.train()(x)
    assert all(not buffer.equal(before[name]) for name, buffer in model.named_buffers())
    torch.compiler.reset()
