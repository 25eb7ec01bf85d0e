"""Where the frontier is: names, shapes and bytes; and in words why there is none."""

from __future__ import annotations

import gc
import weakref
from typing import Any, cast

import pytest
import torch
from torch import nn

import archspec
from archspec.errors import UsageError
from archspec.feature_cache import NoFrontier, find_frontier, tracing
from tests.feature_cache import models
from tests.feature_cache.models import (
    LENGTHS,
    bert,
    from_text,
    frontier_of,
    gpt,
    reason,
    resnet,
    there,
    words,
)

LINEARS = "".join(
    f"      {name}: {{type: Linear, in_features: 4, out_features: 4}}\n" for name in "ab"
)


# ---------------------------------------------------------------------------------- what is kept


@pytest.mark.parametrize(
    ("plan", "name", "shape", "passed", "share"),
    [
        ("head-only", "bert.pooler.activation", (8,), (), 0.99),
        ("last-2-and-head", "bert.encoder.layer.0.output.LayerNorm", (None, 8),
         ("attention_mask",), 0.3),
        ("embeddings", "bert.embeddings.dropout", (None, 8), ("attention_mask",), 0.0),
    ],
)  # fmt: skip
def test_bert(plan: Any, name: str, shape: Any, passed: Any, share: float) -> None:
    found = frontier_of(bert(plan), words(), lengths=LENGTHS, least=0)
    (value,) = found.values
    assert (value.name, value.shape, value.dtype, value.axis) == (name, shape, torch.float32, 0)
    assert found.passed == passed
    assert share <= found.share < share + 0.1
    positions = 1 if None not in shape else 5
    assert value.bytes(5) == positions * 8 * 4
    assert found.bytes([5, 5, 5]) == 3 * positions * 8 * 4


@pytest.mark.parametrize(
    ("plan", "name", "shape"),
    [
        ("head-only", "flatten", (512,)),
        ("last-stage-and-head", "layer3.0", (256, 2, 2)),
    ],
)
def test_resnet(plan: str, name: str, shape: Any) -> None:
    found = frontier_of(resnet(plan), models.images())
    (value,) = found.values
    assert (value.name, value.shape, found.passed) == (name, shape, ())
    assert found.bytes([None] * 4) == 4 * torch.Size(shape).numel() * 4


def test_a_tied_head_is_frozen_with_the_embeddings() -> None:
    """lm_head shares the embeddings' weight, and what follows the trained block is no frontier."""
    model = gpt(["**", "!transformer.h[-1]"])
    found = frontier_of(model, words(mask=False), lengths=LENGTHS)
    assert [value.name for value in found.values] == ["transformer.h.0"]
    rest = found.split.first.rest
    tied = [rest.current()[rest.tensors.index(name)] for name in ("lm_head.weight",)]
    assert tied[0] is model.get_parameter("transformer.wte.weight")


def test_a_tied_head_that_is_trained_trains_the_first_layer() -> None:
    found = find_frontier(gpt(["transformer.h", "transformer.ln_f"]), words(mask=False))
    name = "'transformer.wte.weight' is trained"
    assert reason(found) == f"the first layers are trained: {name}"


def test_the_smaller_value_is_kept() -> None:
    """The rest uses a quarter of a product, four times."""
    forward = "      - y: a(x)[:, :1]\n      - return: b(cat([y, y, y, y], 1))\n"
    found = frontier_of(from_text(forward, LINEARS, ["a"]), {"x": torch.rand(3, 4)})
    assert [(value.name, value.shape) for value in found.values] == [("slice", (1,))]


def test_two_values() -> None:
    modules = LINEARS + "      c: {type: Linear, in_features: 4, out_features: 4}\n"
    forward = "      - return: b(a(x)) * c(sigmoid(x))\n"
    found = frontier_of(from_text(forward, modules, ["a", "c"]), {"x": torch.rand(3, 4)})
    assert [value.name for value in found.values] == ["a", "c"]


def test_values_of_one_module_have_different_names() -> None:
    forward = "      - return: b(a(x)) + b(a(x + 1))\n"
    found = frontier_of(from_text(forward, LINEARS, ["a"]), {"x": torch.rand(3, 4)})
    assert [value.name for value in found.values] == ["a", "a#1"]


def test_the_batch_is_told_from_the_length_when_they_are_equal() -> None:
    model = from_text("      - return: b(a(x))\n", LINEARS, ["a"], "x: [batch, seq, 4]")
    found = frontier_of(model, {"x": torch.rand(4, 4, 4)}, lengths=[4, 3, 2, 4])
    assert [(value.shape, value.axis) for value in found.values] == [((None, 4), 0)]


def test_samples_in_another_dimension() -> None:
    forward = "      - h: transpose(a(x), 0, 1)\n      - return: b(h)\n"
    model = from_text(forward, LINEARS, ["a"], "x: [batch, seq, 4]")
    found = frontier_of(model, {"x": torch.rand(3, 5, 4)})
    assert [(value.shape, value.axis) for value in found.values] == [((5, 4), 1)]


def test_what_mixes_samples_in_one_dimension_is_left_to_the_rest() -> None:
    modules = LINEARS + "      c: {type: Linear, in_features: 4, out_features: 4}\n"
    forward = "      - return: b(c(flatten(a(x), 0, 1)))\n"
    model = from_text(forward, modules, ["a", "c"], "x: [batch, seq, 4]")
    found = frontier_of(model, {"x": torch.rand(3, 5, 4)})
    assert [(value.name, value.shape) for value in found.values] == [("a", (5, 4))]


# --------------------------------------------------------------------------------------- refusals


def test_nothing_frozen() -> None:
    assert reason(find_frontier(bert("none"), words())) == "nothing is frozen"


def test_nothing_trained() -> None:
    assert reason(find_frontier(bert("all"), words())) == "nothing is trained"


def test_augmentation() -> None:
    found = find_frontier(resnet("head-only"), models.images(), augmented=True)
    assert reason(found) == "augmentation changes the inputs in every epoch"


def test_the_first_layers_are_trained() -> None:
    model = bert(["**.encoder", "**.pooler"], num_hidden_layers=1)
    found = find_frontier(model, words(), lengths=LENGTHS)
    name = "bert.embeddings.word_embeddings.weight"
    assert reason(found) == f"the first layers are trained: '{name}' is trained"


def test_embeddings_alone_are_not_worth_it() -> None:
    model = bert("embeddings", num_hidden_layers=1)
    found = find_frontier(model, words(), lengths=LENGTHS)
    first = "'bert.encoder.layer.0.attention.self.query.weight' is trained"
    expected = f"what stands still does 0.0% of the work, as the first layers are trained: {first}"
    assert reason(found) == expected


def test_dropout_in_front() -> None:
    model = bert("head-only", num_hidden_layers=1)
    archspec.freeze(model, "head-only", dropout=False)
    assert reason(find_frontier(model, words(), lengths=LENGTHS)) == (
        "what stands still does 0.0% of the work, as dropout in 'bert.embeddings.dropout' is random"
        " in training: freeze that module, by a plan that leaves out `dropout: false`"
    )


def test_attention_dropout_in_front() -> None:
    model = bert("head-only", num_hidden_layers=1, hidden_dropout_prob=0.0)
    archspec.freeze(model, "head-only", dropout=False)
    assert (
        "scaled_dot_product_attention in 'bert.encoder.layer.0.attention.self' is random"
        in reason(find_frontier(model, words(), lengths=LENGTHS, least=0.5))
    )


def test_dropout_that_drops_nothing_is_no_obstacle() -> None:
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    model = bert("head-only", num_hidden_layers=1, **off)
    archspec.freeze(model, "head-only", dropout=False)
    found = frontier_of(model, words(), lengths=LENGTHS)
    assert [value.shape for value in found.values] == [(8,)]


def test_statistics_that_move() -> None:
    model = resnet("head-only")
    archspec.freeze(model, "head-only", statistics=False)
    found = reason(find_frontier(model, models.images(), least=0.2))
    assert "buffers of 'bn1' move: freeze that module" in found
    assert "`statistics: false`" in found


def test_statistics_of_the_batch() -> None:
    modules = LINEARS + (
        "      n: {type: BatchNorm1d, num_features: 4, affine: false, track_running_stats: false}\n"
    )
    model = from_text("      - return: b(n(a(x)))\n", modules, ["a", "n"])
    found = frontier_of(model, {"x": torch.rand(3, 4)})
    assert [value.name for value in found.values] == ["a"]


@pytest.mark.parametrize(("tracks", "names"), [("true", ["a"]), ("false", ["n"])])
def test_an_instance_norm_with_running_statistics_works_with_the_batch(
    tracks: str, names: list[str]
) -> None:
    """Unfrozen, its statistics move with each batch; without any, a sample stands alone."""
    modules = LINEARS + (
        f"      n: {{type: InstanceNorm1d, num_features: 2, track_running_stats: {tracks}}}\n"
    )
    model = from_text("      - return: b(n(a(x)))\n", modules, ["a"], "x: [batch, 2, 4]")
    found = frontier_of(model, {"x": torch.rand(3, 2, 4)})
    assert [value.name for value in found.values] == names


def test_values_that_depend_on_the_other_samples() -> None:
    forward = "      - return: b(a(x - mean(x, 0)))\n"
    found = find_frontier(from_text(forward, LINEARS, ["a"]), {"x": torch.rand(3, 4)})
    expected = "what 'a' gives for a sample depends on the other samples of the batch"
    assert reason(found) == expected


def test_values_that_depend_on_the_padding() -> None:
    model = bert("head-only", num_hidden_layers=1)
    found = find_frontier(model, words(mask=False), lengths=LENGTHS)
    name = "bert.pooler.activation"
    assert reason(found) == f"what '{name}' gives for a sample depends on how far it is padded"


def test_a_rest_that_reads_the_padding() -> None:
    forward = "      - return: mean(b(a(x)), 1)\n"
    model = from_text(forward, LINEARS, ["a"], "x: [batch, seq, 4]")
    inputs = {"x": torch.rand(3, 5, 4)}
    found = find_frontier(model, inputs, lengths=[5, 2, 3])
    assert reason(found) == "what is trained reads the positions behind a sample's length"
    assert frontier_of(model, inputs).values[0].shape == (5, 4)  # where nothing is padded


def test_what_depends_on_values_cannot_be_traced() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.a.requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x)) if x.sum() > 0 else x

    found = find_frontier(Branching(), {"x": torch.rand(2, 4)})
    assert reason(found).startswith("the model cannot be traced: ")


def test_a_write_to_a_value_that_stands_still() -> None:
    """The rest adds to a frozen product in place: what is kept must not be the sum."""

    class Writing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
            self.a.requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.a(x)
            first = self.b(y.add(1)) + y.add_(1)
            z = self.a(y)
            z.view(-1).mul_(2)  # through another name
            return first + self.b(z)

    model, inputs = Writing(), {"x": torch.rand(3, 4)}
    found = frontier_of(model, inputs)
    assert [value.name for value in found.values] == ["add", "add_", "a"]
    torch.testing.assert_close(found.rest(found.frozen(inputs), inputs), model(**inputs))


# ------------------------------------------------------------------------------------ wrong calls


def test_a_model_in_evaluation_mode() -> None:
    with pytest.raises(UsageError, match="the frontier is that of training") as caught:
        find_frontier(resnet("head-only").eval(), models.images())
    assert (caught.value.code, caught.value.hint) == ("E801", "call model.train() first")


@pytest.mark.parametrize(
    ("inputs", "lengths", "message"),
    [
        ({}, None, "the inputs are no batch"),
        ({"a": None}, None, "the inputs are no batch"),
        ({"a": torch.zeros(2), "b": torch.zeros(3)}, None, "the inputs are no batch"),
        ({"a": torch.tensor(1)}, None, "the inputs are no batch"),
        ({"a": torch.zeros(2, 3)}, [3], "1 lengths were given for 2 samples"),
    ],
)
def test_inputs_that_are_no_batch(inputs: Any, lengths: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_frontier(bert("head-only"), inputs, lengths=lengths)


def test_looking_leaves_everything_as_it_was() -> None:
    model = resnet("last-stage-and-head")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.get_rng_state()
    frontier_of(model, models.images())
    assert torch.equal(torch.get_rng_state(), expected)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_how_it_is_shown() -> None:
    inputs = {"x": torch.rand(3, 5, 4), "y": torch.rand(3, 5, 4)}
    contracts = "x: [batch, seq, 4], y: [batch, seq, 4]"
    model = from_text("      - return: b(a(x)) * y\n", LINEARS, ["a"], contracts)
    found = frontier_of(model, inputs, lengths=[5, 3, 4])
    assert str(found).splitlines() == [
        "50.0% of the multiply-accumulates (estimated) are done only once",
        "  kept: a [length, 4], 16 bytes per position",
        "  passed: input 'y'",
        "  behind: 'b.weight' is trained",
    ]
    assert found.to_dict() == {
        "values": [{"name": "a", "shape": [None, 4], "dtype": "float32", "axis": 0}],
        "passed": ["y"],
        "share": 0.5,
        "stops": ["'b.weight' is trained", "'b.bias' is trained"],
    }
    assert str(NoFrontier("a\x1b[31mb")) == "nothing is computed only once: a\ufffd[31mb"


# ------------------------------------------------------------------------------------ kept traces


def test_models_of_one_structure_share_a_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[int] = []
    inner = tracing._traced

    def counted(model: nn.Module, *given: Any) -> Any:
        traced.append(id(model))
        return inner(model, *given)

    monkeypatch.setattr(tracing, "_traced", counted)
    monkeypatch.setattr(tracing, "_traces", {})

    def net(width: int = 5) -> nn.Module:
        modules = f"      a: {{type: Linear, in_features: 4, out_features: {width}}}\n"
        modules += f"      b: {{type: Linear, in_features: {width}, out_features: 4}}\n"
        modules += "      drop: {type: Dropout, p: 0.1}\n"
        return from_text("      - return: b(drop(a(x)))\n", modules, ["a"])

    def widen(model: nn.Module) -> None:
        cast("Any", model.get_submodule("drop")).p = 0.2

    def hook(model: nn.Module) -> None:
        model.get_submodule("b").register_forward_hook(lambda *_: None)

    def thaw(model: nn.Module) -> None:
        model.get_submodule("a").weight.requires_grad_(True)

    def tie(model: nn.Module) -> None:
        model.get_submodule("drop").weight = model.get_submodule("b").weight

    inputs = {"x": torch.rand(3, 4)}
    kept = weakref.ref(first := net())
    find_frontier(first, inputs)
    del first
    gc.collect()
    assert kept() is None and len(traced) == 1
    del traced[:]
    second = net()
    second.get_parameter("a.weight").data.add_(1)
    found = there(find_frontier(second, inputs))
    assert not traced
    torch.testing.assert_close(found.frozen(inputs)["a"], second.get_submodule("a")(inputs["x"]))
    for change in (widen, hook, thaw, tie):
        find_frontier(model := net(), inputs)
        change(model)
        find_frontier(model, inputs)
        assert traced == [id(model)], change.__name__
        del traced[:]
    find_frontier(net(6), inputs)
    find_frontier(net(), {"x": torch.rand(3, 2, 4)})
    assert len(traced) == 2 and len(tracing._traces) <= 8
