"""The table of layers: every layer is really made, from the arguments that the table claims."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import nn

from archspec.errors import UsageError
from archspec.lang.registry import layers
from archspec.lang.registry.arguments import Argument
from archspec.lang.registry.layers import Layer
from tests.tables import every

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "archspec/lang/registry/torch_layers.json"
EXAMPLES: dict[
    str, Any
] = {  # for required arguments that 4, 0.5, true or the first choice do not fit
    "cutoffs": [2],
    "decoder_layer": nn.TransformerDecoderLayer(4, 2),
    "encoder_layer": nn.TransformerEncoderLayer(4, 2),
    "nhead": 2,
    "num_heads": 2,
    "unflattened_size": [2, 2],
}
NEEDED: dict[str, dict[str, object]] = {  # one of two optional arguments
    "FractionalMaxPool2d": {"output_size": 2},
    "FractionalMaxPool3d": {"output_size": 2},
}


def layer(name: str) -> Layer:
    found = layers.find(name)
    assert found is not None
    return found


def argument(path: str) -> Argument:
    name, _, word = path.partition(".")
    found = layer(name).argument(word)
    assert found is not None
    return found


def minimal(name: str) -> dict[str, Any]:
    usual = {"int": 4, "float": 0.5, "bool": True}
    return {
        a.name: EXAMPLES.get(a.name) or (a.choices[0] if a.choices else usual[a.kinds[0]])
        for a in layer(name).required
    } | NEEDED.get(name, {})


def make(name: str, arguments: dict[str, Any]) -> nn.Module:
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(nn, name)(**arguments)


# --- the table against torch ----------------------------------------------------------------------


def test_the_tables_are_what_the_installed_torch_says() -> None:
    known = json.loads(TABLE.read_text("utf-8"))["torch"]
    if not torch.__version__.startswith(f"{known}."):
        pytest.skip(f"the tables are of torch {known}")
    check = [sys.executable, str(ROOT / "tools/torch_tables.py"), "--check"]
    done = subprocess.run(
        check, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)


def test_every_public_layer_of_torch_is_there() -> None:
    found = {name: value for name, value in vars(nn).items() if isinstance(value, type)}
    exported = {name for name, value in found.items() if issubclass(value, nn.Module)}
    apart = {"Module", "Container", "DataParallel", "ParameterList", "ParameterDict"}
    assert set(layers.names()) == exported - apart - set(layers.CONTAINERS)
    assert len(layers.names()) == 155


@every("name", layers.names())
def test_every_layer_can_be_made_from_what_it_requires(name: str) -> None:
    made = make(name, minimal(name))
    held = [*made._parameters, *made._buffers, *made._modules]
    assert [n for n in held if not layer(name).may_hold(n) and not n.startswith("_")] == []


@every("name", layers.names())
def test_every_default_is_torchs_own(name: str) -> None:
    defaults = {a.name: a.default for a in layer(name).arguments if not a.required}
    given, left_out = make(name, defaults | minimal(name)), make(name, minimal(name))
    assert repr(given) == repr(left_out)
    assert given.state_dict().keys() == left_out.state_dict().keys()


@every("name", layers.names())
def test_every_default_and_every_example_is_accepted(name: str) -> None:
    for a in layer(name).arguments:
        assert a.required or a.accepts(a.default), a
    for word, value in minimal(name).items():
        found = argument(f"{name}.{word}")
        assert found.accepts({} if isinstance(value, nn.Module) else value), found


@every("name", layers.names())
def test_no_layer_takes_an_argument_that_the_table_does_not_have(name: str) -> None:
    if layer(name).keywords_any:
        assert name == "Identity"
        return
    assert layer(name).argument("no_such") is None
    with pytest.raises(TypeError):
        make(name, {**minimal(name), "no_such": 1})


CHOSEN = [
    (name, a.name, choice)
    for name in layers.names()
    for a in layer(name).arguments
    for choice in a.choices
]


@every(("name", "word", "choice"), CHOSEN)
def test_every_choice_can_be_chosen(name: str, word: str, choice: str) -> None:
    assert isinstance(make(name, {**minimal(name), word: choice}), nn.Module)


MEMBERS = {
    "Linear": "weight bias",
    "InstanceNorm2d": "weight bias running_mean running_var num_batches_tracked",
    "MultiheadAttention": "in_proj_weight in_proj_bias q_proj_weight bias_k out_proj",
    "LSTM": "weight_ih_l0 bias_hh_l7 weight_hr_l1 weight_ih_l12_reverse",
    "GRUCell": "weight_ih bias_hh",
    "TransformerEncoder": "layers norm",
    "TransformerEncoderLayer": "self_attn linear2 activation",
    "LazyLinear": "weight bias",
}


@pytest.mark.parametrize(("name", "members"), MEMBERS.items())
def test_what_a_layer_may_hold(name: str, members: str) -> None:
    assert [m for m in members.split() if not layer(name).may_hold(m)] == []
    for other in ("wieght", "weight_l0", "weight_ih_lx", "weight_ih_l", "_l0", "", "data"):
        assert not layer(name).may_hold(other)


def test_a_stacked_layer_of_several_levels_holds_what_the_table_says() -> None:
    made = nn.LSTM(4, 4, num_layers=3, bidirectional=True, proj_size=2, device="meta")
    assert [n for n in made._parameters if not layer("LSTM").may_hold(n)] == []
    assert (layer("LSTM").stacked, layer("LSTMCell").stacked) == (True, False)


# --- look-ups ------------------------------------------------------------------------------------


def test_required_arguments_come_in_torchs_order() -> None:
    assert [a.name for a in layer("Conv1d").required] == [
        "in_channels",
        "out_channels",
        "kernel_size",
    ]
    assert layer("ReLU").required == ()


@pytest.mark.parametrize(
    ("name", "has", "has_not"),
    [
        ("LSTM", "proj_size", "nonlinearity"),
        ("GRU", "bidirectional", "proj_size"),
        ("RNN", "nonlinearity", "mode"),
        ("Linear", "bias", "device"),
        ("Linear", "in_features", "dtype"),
        ("Embedding", "padding_idx", "_weight"),
        ("SyncBatchNorm", "eps", "process_group"),
    ],
)
def test_which_arguments_there_are(name: str, has: str, has_not: str) -> None:
    assert layer(name).argument(has) is not None
    assert layer(name).argument(has_not) is None


@pytest.mark.parametrize("name", ["linear", "Module", "Sequential", "nn.Linear", "", "Parameter"])
def test_what_is_not_a_layer(name: str) -> None:
    assert layers.find(name) is None


# --- bounds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "arguments", "bound"),
    [
        ("Linear", {"in_features": 10**9, "out_features": 10**9}, 10**18),
        ("Linear", {"in_features": 3, "out_features": 5, "bias": True}, 15),
        ("Conv2d", {"in_channels": 64, "out_channels": 128, "kernel_size": [7, 5]}, 64 * 128 * 7),
        ("Embedding", {"num_embeddings": 99, "embedding_dim": 7, "padding_idx": 98}, 99 * 7),
        ("ReLU", {}, 1),
        ("Linear", {"in_features": 0, "out_features": -5}, 1),
        ("Linear", {"in_features": "$width", "out_features": None}, 1),
    ],
)
def test_size_bound(name: str, arguments: dict[str, object], bound: int) -> None:
    assert layers.size_bound(layer(name), arguments) == bound


@pytest.mark.parametrize(
    ("arguments", "bound"),
    [
        ({"num_layers": 12}, 12),
        ({"num_encoder_layers": 6, "num_decoder_layers": 10**9}, 10**9),
        ({"in_features": 10**9}, 1),
        ({"num_layers": -3}, 1),
        ({"num_layers": None}, 1),
    ],
)
def test_depth_bound(arguments: dict[str, object], bound: int) -> None:
    assert layers.depth_bound(arguments) == bound
    assert layers.MAX_DEPTH == 500


@pytest.mark.parametrize(
    ("name", "arguments", "nested", "modules"),
    [
        ("Linear", {"in_features": 3, "out_features": 3}, 0, 1),
        ("MultiheadAttention", {"embed_dim": 4, "num_heads": 1}, 0, 2),
        ("TransformerEncoder", {"num_layers": 500}, 10, 5_001),
        ("Transformer", {"num_encoder_layers": 5, "num_decoder_layers": 10}, 0, 140),
        ("LSTM", {"num_layers": 7}, 0, 7),  # no modules, but as many tensors
        ("AdaptiveLogSoftmaxWithLoss", {"cutoffs": (2, 4, 6)}, 0, 10),
    ],
)
def test_modules_bound(name: str, arguments: dict[str, object], nested: int, modules: int) -> None:
    assert layers.modules_bound(layer(name), arguments, nested) == modules


# --- layers that trusted Python adds --------------------------------------------------------------


@pytest.fixture
def _empty_register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_registered", {})


pytestmark = pytest.mark.usefixtures("_empty_register")


class Scale(nn.Module):
    def __init__(
        self,
        size: int,
        mode: Literal["add", "mul"] = "mul",
        *,
        init: float | None = 1.0,
        inner: nn.Module | None = None,
        extra=None,  # type: ignore[no-untyped-def]
        act: type[nn.Module] = nn.ReLU,
        device: object = None,
    ) -> None:
        super().__init__()

    class Nested(nn.Module):
        """Has no __init__ of its own."""


class Unclear(nn.Module):
    def __init__(self, size: "NoSuchType", **options: object) -> None:  # type: ignore  # noqa: F821, UP037
        super().__init__()


def test_a_registered_layer_is_found_and_checked() -> None:
    assert layers.register_layer(Scale) is Scale
    assert layer("Scale") == Layer(
        "Scale",
        (
            Argument("size", ("int",), required=True),
            Argument("mode", ("str",), required=False, default="mul", choices=("add", "mul")),
            Argument("init", ("float", "none"), required=False, default=1.0),
            Argument("inner", ("module", "none"), required=False),
            Argument("extra", ("any",), required=False),
            Argument("act", ("any",), required=False),
        ),
        module=__name__,
        qualname="Scale",
        registered=True,
    )
    assert "Scale" in layers.names()
    assert layer("Scale").may_hold("anything")
    assert layers.size_bound(layer("Scale"), {"a": 10**4, "b": 10**5, "c": 10**6}) == 10**11


def test_registered_layers_without_arguments_and_with_any() -> None:
    layers.register_layer(Scale.Nested)
    layers.register_layer(Unclear, name="Clear")
    assert (layer("Nested").qualname, layer("Nested").arguments) == ("Scale.Nested", ())
    assert layer("Nested").argument("size") is None
    assert layer("Clear").arguments == (Argument("size", ("any",), required=True),)
    assert layer("Clear").argument("other") == Argument("other", ("any",), required=False)


def test_register_layer_as_a_decorator() -> None:
    assert layers.register_layer()(Scale) is Scale
    assert layers.register_layer(name="Gain")(Scale) is Scale
    assert layer("Gain").qualname == "Scale"


def local_class() -> type[nn.Module]:
    class Local(nn.Module):
        pass

    return Local


@pytest.mark.parametrize(
    ("thing", "name", "message"),
    [
        (Scale, "Linear", "Linear cannot be registered: specs use the name already"),
        (Scale, "Sequential", "Sequential cannot be registered: specs use the name already"),
        (Scale, "my-scale", "'my-scale' cannot name a registered class"),
        (Scale, "class", "'class' cannot name a registered class"),
        (Scale(1), None, "register_layer takes a class, not Scale()"),
        (local_class(), None, "Local cannot be registered: the Python made from a spec"),
    ],
)
def test_what_cannot_be_registered(thing: Any, name: str | None, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        layers.register_layer(thing, name=name)
    assert caught.value.code == "E801"
    assert message in caught.value.message
    assert len(layers.names()) == 155


def test_the_same_class_may_be_registered_again_and_no_other() -> None:
    layers.register_layer(Scale)
    layers.register_layer(type("Scale", (nn.Module,), {"__module__": __name__}))  # as on a reload
    with pytest.raises(UsageError) as caught:
        layers.register_layer(Unclear, name="Scale")
    assert caught.value.message == f"Scale is registered already, as {__name__}.Scale"


def test_looking_things_up_needs_no_torch() -> None:
    code = (
        "import sys; from archspec.lang.registry import functions, layers;"
        "assert layers.find('Linear') and functions.find('relu');"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": str(ROOT)})
