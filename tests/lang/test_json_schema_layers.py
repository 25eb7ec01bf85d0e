"""The JSON Schema has a branch for each layer, which takes what the layer takes and no more."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from jsonschema import Draft7Validator
from torch import nn

import archspec
from archspec.lang.json_schema import json_schema
from archspec.lang.registry import layers
from archspec.lang.registry.arguments import Argument
from archspec.lang.registry.layers import Layer
from tests.tables import every

SCHEMA = json_schema()
DEFINITIONS = SCHEMA["definitions"]
EDITOR = Draft7Validator(SCHEMA)
LAYERS = [layer for name in layers.names() if (layer := layers.find(name))]


def spec_of(modules: dict[str, Any]) -> dict[str, Any]:
    return {"archspec": 1, "model": "Net", "blocks": {"Net": {"modules": modules}}}


def underlined(modules: dict[str, Any]) -> set[tuple[str, str]]:
    """Where the schema says no, as a path below the modules, and the keyword that says it."""
    errors = list(EDITOR.iter_errors(spec_of(modules)))
    assert all([*error.absolute_path][:3] == ["blocks", "Net", "modules"] for error in errors)
    return {(".".join(map(str, [*e.absolute_path][3:])), str(e.validator)) for e in errors}


def sample(argument: Argument) -> Any:
    samples = {"int": 1, "float": 0.5, "bool": True, "none": None, "ints": [1], "ints?": [1, None]}
    samples |= {"floats": [0.5], "module": {"type": "ReLU"}, "any": 1}
    return argument.choices[0] if argument.choices else samples[argument.kinds[0]]


def minimal(layer: Layer) -> dict[str, Any]:
    return {"type": layer.name, **{a.name: sample(a) for a in layer.required}}


def test_each_layer_is_valid_with_what_it_requires() -> None:
    assert len(LAYERS) == 155
    assert underlined({layer.name: minimal(layer) for layer in LAYERS}) == set()


def test_a_misspelt_argument_is_underlined_at_each_layer() -> None:
    modules = {layer.name: {**minimal(layer), "misspelt": 1} for layer in LAYERS}
    assert underlined(modules) == {
        (layer.name, "additionalProperties") for layer in LAYERS if not layer.keywords_any
    }


def test_a_missing_argument_is_underlined_at_each_layer() -> None:
    modules = {layer.name: {"type": layer.name} for layer in LAYERS}
    assert underlined(modules) == {(layer.name, "required") for layer in LAYERS if layer.required}


VALUES = [
    0, -1, 0.5, True, None, "text", "same", "relu", "sam", [], [1], [1, None], [0.5], ["x"], [True],
    {"type": "ReLU"}, {"type": "Linear", "in_features": 1, "out_features": 2},
]  # fmt: skip


@every("layer", LAYERS)
def test_arguments_take_what_the_layer_takes_and_expressions(layer: Layer) -> None:
    properties = DEFINITIONS[f"torch.nn.{layer.name}"]["properties"]
    for argument in layer.arguments:
        editor = EDITOR.evolve(schema=properties[argument.name])
        for value in [*VALUES, *argument.choices]:
            assert editor.is_valid(value) is argument.accepts(value), (argument, value)
        assert editor.is_valid("$size * 2")
        assert not argument.required or "default" not in properties[argument.name]


def test_a_nested_module_is_checked_too() -> None:
    nested = {"type": "Linear", "in_features": 1, "out_featuers": 2}
    module = {"type": "TransformerEncoder", "num_layers": 1, "encoder_layer": nested}
    at = "fc.encoder_layer"
    assert underlined({"fc": module}) == {(at, "additionalProperties"), (at, "required")}


def test_what_hover_and_completion_show() -> None:
    linear = DEFINITIONS["torch.nn.Linear"]
    assert linear["title"] == "Linear"
    assert linear["description"] == (
        "Linear(in_features, out_features, bias=True)\n"
        "https://docs.pytorch.org/docs/stable/generated/torch.nn.Linear.html"
    )
    conv = DEFINITIONS["torch.nn.Conv2d"]["properties"]
    assert conv["padding"] == {
        "description": "an integer, a list of integers, 'valid' or 'same'; default 0",
        "default": 0,
        "type": ["integer", "array", "string"],
        "errorMessage": (
            "padding takes an integer, a list of integers, 'valid' or 'same' (or an $expression)"
        ),
        "pattern": r"^\$[^$]|^(valid|same)$",
        "anyOf": [{"enum": ["valid", "same"]}, {}],
        "allOf": [
            {
                "items": {
                    "type": ["integer", "string"],
                    "pattern": r"^\$[^$]",
                    "errorMessage": "an integer or an $expression",
                }
            }
        ],
    }


class Scale(nn.Module):
    def __init__(
        self,
        size: int,
        mode: Literal["a+b", "a-b"] = "a+b",
        limits: tuple[float, float] = (0.0, 1.0),
        largest: float = float("inf"),
        name: str = "",
    ) -> None:
        super().__init__()


def test_registered_layers_have_a_branch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_registered", {})
    archspec.register_layer(Scale)
    schema = json_schema()
    json.dumps(schema, allow_nan=False)
    editor = Draft7Validator(schema)
    assert editor.is_valid(spec_of({"a": {"type": "Scale", "size": 3, "mode": "a+b"}}))
    assert editor.is_valid(spec_of({"a": {"type": "Scale", "size": 3, "limits": [0, 2.5]}}))
    for wrong in ({"size": 3, "mode": "aab"}, {"size": 3, "siez": 3}, {"mode": "a-b"}):
        assert not editor.is_valid(spec_of({"a": {"type": "Scale", **wrong}}))
    definition = schema["definitions"][f"{__name__}.Scale"]
    assert definition["description"].startswith("Scale(size, mode='a+b', limits=(0.0, 1.0)")
    assert definition["properties"]["limits"]["default"] == [0.0, 1.0]
    assert "default" not in definition["properties"]["largest"]
    assert definition["properties"]["name"] is True  # reserved: no argument of that name reaches it
