"""What the editor has to know of the language, from the live registry and the JSON Schema."""

from __future__ import annotations

import inspect
import json
import re
from importlib import import_module
from typing import Any

import torch
from torch import nn

from archspec.lang.expr import numeric
from archspec.lang.json_schema import json_schema
from archspec.lang.registry import functions, layers
from archspec.lang.registry.functions import ALIASES, CONSTANTS, Function
from archspec.lang.registry.layers import CONTAINERS, Layer

MAX_HELP = 200
"""Characters of the line of documentation."""

_WORDS = {
    "divisible": ("divisible(value, divisor)", "The multiple of divisor nearest to value."),
    "enumerate": ("enumerate(items)", "In a for: numbers from 0 on beside the items."),
    "finfo": ("finfo(dtype)", "Limits of a dtype: finfo(float16).min, .max, .eps, .tiny."),
    "float": ("float(x)", "A number as a float."),
    "int": ("int(x)", "A number as an integer."),
    "len": ("len(items)", "How many items a list or a container has."),
    "pair": ("pair(x)", "A list of two: x itself, or x twice."),
    "range": ("range(n)", "In a for: the numbers from 0 to n - 1."),
    "training": ("training", "Whether the model is in training mode."),
    "zip": ("zip(a, b)", "In a for: the items of several lists side by side."),
}
"""Words of expressions that are not functions of torch."""


def language_json() -> str:
    """The data as JSON: ``schema``, ``layers``, ``functions``, ``numeric`` and ``constants``."""
    return json.dumps(
        {
            "schema": _definitions(),
            "layers": {
                name: _layer(layer) for name in layers.names() if (layer := layers.find(name))
            },
            "functions": _functions(),
            "numeric": {name: _number_function(name) for name in numeric.FUNCTIONS},
            "constants": list(CONSTANTS),
        }
    )


def _definitions() -> dict[str, Any]:
    """Those of the JSON Schema without layers, which have a table of their own."""
    definitions: dict[str, Any] = json_schema()["definitions"]
    known = {
        f"{layer.module}.{layer.qualname}" for layer in map(layers.find, layers.names()) if layer
    }
    kept = {
        name: schema
        for name, schema in definitions.items()
        if name not in known and name not in CONTAINERS and not name.endswith((".partial", ".own"))
    }
    module = dict(kept["Module"])
    del module["properties"]["type"]["anyOf"]  # again all layers
    module["allOf"] = [module["allOf"][0]["then"]]  # the others are one for each layer
    return {**kept, "Module": module}


def _layer(layer: Layer) -> dict[str, Any]:
    given = [a.name if a.required else f"{a.name}={a.default!r}" for a in layer.arguments]
    return {
        "signature": f"{layer.name}({', '.join(given)})",
        "help": first_line(_imported(layer.module, layer.qualname)),
        "members": [*layer.parameters, *layer.buffers, *layer.children],
        "arguments": [
            {
                "name": argument.name,
                "expects": argument.expects,
                "required": argument.required,
                "default": _written(argument.default),
                "kinds": argument.kinds,
                "choices": argument.choices,
            }
            for argument in layer.arguments
        ],
    }


def _written(value: object) -> str:
    """A default as YAML writes it."""
    return json.dumps(value, default=str) if not isinstance(value, str) else value


def _functions() -> dict[str, dict[str, Any]]:
    of_torch = {name: _function(one) for name in functions.names() if (one := functions.find(name))}
    words = {
        name: {"signature": signature, "help": told, "arguments": []}
        for name, (signature, told) in _WORDS.items()
        if name not in of_torch
    }
    return {**of_torch, **words}


def _function(function: Function) -> dict[str, Any]:
    arguments = [name for name in function.arguments if name not in ALIASES]
    told = first_line(_target(function)) or first_line(getattr(torch.Tensor, function.name, None))
    return {
        "signature": f"{function.name}({', '.join(arguments)})",
        "help": told,
        "arguments": function.arguments,
    }


def _number_function(name: str) -> dict[str, str]:
    signature, told = _WORDS.get(name, (f"{name}(x)", ""))
    return {"signature": signature, "help": told or f"{name} of plain numbers."}


def _target(function: Function) -> object:
    """What a call of a function calls: in torch, of tensors, or of whoever registered it."""
    if function.registered:
        return _imported(function.module, function.qualname)
    holder, _, name = function.target.rpartition(".")
    places: dict[str, Any] = {"": torch.Tensor, "torch": torch, "F": nn.functional}
    return getattr(places.get(holder, _nested(holder)), name, None)


def _nested(name: str) -> object:
    """``torch.fft`` and the like."""
    found: object = torch
    for part in name.split(".")[1:]:
        found = getattr(found, part, None)
    return found


def _imported(module: str, qualname: str) -> object:
    found: object = import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found


_ROLE = re.compile(r":[a-z:]+:`([^`]*)`")
_SIGNATURE = re.compile(r"\w+\([^)]*\)\s*(?:->[^\n]*)?(?:\n|$)")
_SENTENCE = re.compile(r".*?[.](?=\s|$)")


def first_line(documented: object) -> str:
    """The first sentence of a docstring, as plain text; "" if there is none.

    >>> first_line(nn.ReLU)
    'Applies the rectified linear unit function element-wise.'
    """
    text = inspect.cleandoc(getattr(documented, "__doc__", None) or "")
    text = _SIGNATURE.sub("", text, count=1) if _SIGNATURE.match(text) else text
    paragraph = " ".join(text.strip().split("\n\n")[0].split())
    plain = _ROLE.sub(_role_text, paragraph).replace("``", "").replace("`", "")
    sentence = _SENTENCE.match(plain)
    told = sentence[0] if sentence else plain
    return told if len(told) <= MAX_HELP else f"{told[: MAX_HELP - 1]}…"


def _role_text(match: re.Match[str]) -> str:
    """``~torch.nn.ReLU`` as ``ReLU``, and ``text <target>`` as its text."""
    text = match[1].split(" <")[0]
    return text.rpartition(".")[2] if text.startswith("~") else text
