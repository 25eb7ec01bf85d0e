"""What is in a model while it predicts: figures of its outputs, and attention weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import archspec
from archspec.errors import BuildError, DataError
from archspec.predicting.activations import Activations, ModuleActivation, observe
from archspec.predicting.variants import Variant

TINY = "tests/training/tiny.yaml"


class Attention(nn.Module):
    """Calls attention with some options, and keeps what it called it with."""

    def __init__(self, heads: int = 2, groups: int = 2, **options: Any) -> None:
        super().__init__()
        self.heads, self.groups, self.options = heads, groups, options
        self.given: tuple[Any, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        query = x.unflatten(-1, (self.heads, -1)).transpose(1, 2)
        key, value = query[:, : self.groups], query[:, : self.groups].flip(-1)
        self.given = query, key, value
        return F.scaled_dot_product_attention(query, key, value, **self.options)


def look(model: nn.Module, **batch: Tensor) -> Activations:
    return observe(Variant(model, torch.device("cpu"), lambda output: output, ""), batch, [])


def at(found: Activations, path: str) -> ModuleActivation:
    return next(one for one in found.modules if one.path == path)


@pytest.mark.parametrize(
    "options",
    [{}, {"is_causal": True}, {"scale": 0.5}, {"heads": 4, "groups": 2, "enable_gqa": True},
     {"attn_mask": torch.tensor([[True, False, True]])},
     {"attn_mask": torch.tensor([[0.0, -2.0, 1.0]])}],
)  # fmt: skip
def test_the_weights_are_those_that_attention_uses(options: dict[str, Any]) -> None:
    model = Attention(**options)
    found = look(model, x=torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(0)))
    (one,) = found.attention
    query, key, value = model.given
    value = value.repeat_interleave(query.shape[1] // key.shape[1], 1)
    called = {name: part for name, part in options.items() if name not in ("heads", "groups")}
    expected = F.scaled_dot_product_attention(*model.given, **called)
    torch.testing.assert_close(one.weights @ value[0], expected[0])
    assert (one.source, one.queries, one.keys) == ("scaled_dot_product_attention", 3, 3)
    torch.testing.assert_close(one.weights.sum(-1), torch.ones(model.heads, 3))
    assert found.notes == ()


class Net(nn.Module):
    """Five layers alike, of which one is large; units and outputs that are dead."""

    def __init__(self) -> None:
        super().__init__()
        self.layers: Any = nn.ModuleList([nn.Linear(4, 4, bias=False) for _ in range(5)])
        self.dead, self.partly, self.wrong = nn.ReLU(), nn.ReLU(), nn.Identity()

    def forward(self, x: Tensor) -> dict[str, Any]:
        y = [layer(x) for layer in self.layers]
        scores = y[0][:, None] @ y[0][:, None].transpose(2, 3)
        mask = torch.tensor([1.0, -1.0, -1.0, 1.0])
        gone = self.dead(-x.abs()), self.partly(x.abs() * mask)
        return {"text": "no tensor", "all": (torch.softmax(scores, -1), *gone, self.wrong(x / 0))}


def test_what_is_dead_explodes_or_differs_from_its_like() -> None:
    model = Net()
    with torch.no_grad():
        for layer in model.layers:
            layer.weight.copy_(torch.eye(4))
        model.layers[3].weight.mul_(1e6)
    x = torch.arange(1.0, 13).reshape(1, 3, 4)
    found = look(model, x=x)
    first = at(found, "layers.0")
    assert (first.type, first.shape, first.dtype, first.calls) == (
        "Linear",
        (1, 3, 4),
        "float32",
        1,
    )
    values = x.numpy()
    assert first.mean == pytest.approx(values.mean()) and first.std == pytest.approx(values.std())
    assert (first.lowest, first.highest, first.zeros, first.notes) == (1.0, 12.0, 0.0, ())
    assert at(found, "layers.3").notes == (
        "exploding: values are too large for float16",
        "the standard deviation is 1e+06 times that of the 5 modules alike",
    )
    assert at(found, "dead").notes == ("dead: all values are 0",)
    assert at(found, "partly").notes == ("2 of 4 units are zero everywhere",)
    assert at(found, "partly").zeros == 0.5
    wrong = at(found, "wrong")
    assert wrong.notes == ("12 of 12 values are not finite",) and wrong.mean is None
    assert [one.source for one in found.attention] == ["softmax"]
    assert at(found, "").shape == (1, 1, 3, 3)
    assert not any(module._forward_hooks for module in model.modules())


def test_what_is_not_known_is_said() -> None:
    model = nn.Sequential(nn.Linear(4, 4))
    assert look(model, input=torch.zeros(1, 4)).notes == (
        "no module computes attention weights in a way that can be seen",
    )
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    (note,) = look(layer, src=torch.zeros(1, 3, 4)).notes
    assert (
        note == "the attention weights of 'self_attn' of the class MultiheadAttention are not known"
    )
    with pytest.raises(BuildError, match="cannot be run on the input"):
        look(model, wrong=torch.zeros(1, 4))


def test_a_predictor_looks_into_its_model() -> None:
    model = archspec.build(TINY, device="cpu", seed=0)
    predictor = archspec.Predictor(model, labels=["no", "yes"])
    before = predictor("a warm film").probabilities
    inside = predictor.activations("a warm film")
    names = [path for path, _ in model.named_modules()]
    assert [one.path for one in inside.modules] == [
        path for path in names if path in {one.path for one in inside.modules}
    ]
    assert len(inside.tokens) == inside.modules[1].shape[1]
    assert inside.modules[0].shape == (1, 2)
    logits = np.log([before["no"], before["yes"]])
    least, most = inside.modules[0].lowest, inside.modules[0].highest
    assert least is not None and most is not None
    assert most - least == pytest.approx(abs(logits[0] - logits[1]), rel=1e-4)
    assert predictor("a warm film").probabilities == before
    with pytest.raises(DataError, match="E930"):
        predictor.activations(7)


def test_bert_has_a_map_for_each_layer() -> None:
    model = archspec.build(
        "bert", device="cpu", seed=0, num_hidden_layers=3, hidden_size=48, num_attention_heads=4
    )
    ids = torch.arange(6)[None]
    mask = torch.tensor([[1, 1, 1, 1, 0, 0]])
    found = look(model, input_ids=ids, attention_mask=mask)
    assert [one.path for one in found.attention] == [
        f"bert.encoder.layer.{i}.attention.self" for i in range(3)
    ]
    for one in found.attention:
        assert one.weights.shape == (4, 6, 6)
        assert float(one.weights[..., 4:].max()) == 0, "masked"
