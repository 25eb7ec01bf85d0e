"""The language as a JSON Schema: what an editor needs to complete a spec and to underline mistakes.

Keys and their descriptions come from the models in ``schema``, layers and their arguments from
``layers``. Whatever takes more than the shape of one file to judge (names, values, what a parent
holds) is left open here and reported by ``archspec validate``. Draft 7 is the newest that every
editor knows; ``errorMessage`` and ``patternErrorMessage`` are keywords of editors.
"""

from __future__ import annotations

import math
import re
from typing import Any, cast

from archspec.errors import shown
from archspec.lang.like import GROUPS
from archspec.lang.packaged import packaged_specs
from archspec.lang.registry import layers
from archspec.lang.registry.arguments import Argument
from archspec.lang.registry.initializers import INITIALISERS
from archspec.lang.registry.layers import Layer
from archspec.lang.schema import (
    IDENTIFIER,
    ONE_OR_LIST,
    PARAM_TYPES,
    PYTHON_TYPES,
    TARGETS,
    Architecture,
    Module,
)

Schema = dict[str, Any]

_POINTER = "#/definitions/"
_OWN = ".own"  # ends the definitions of files whose blocks have names of layers
_EXPRESSION = r"^\$[^$]"
_ITEM_KEYS = ("repeat", "index", "name")  # they mean nothing outside a container
_CONTAINERS = {
    "Sequential": ("array", "object"),
    "ModuleList": ("array",),
    "ModuleDict": ("object",),
}
_TYPES = {
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "str": "string",
    "none": "null",
    "ints": "array",
    "ints?": "array",
    "floats": "array",
    "module": "object",
}
_ELEMENTS = {
    "ints": ("an integer", ["integer"]),
    "ints?": ("an integer, null", ["integer", "null"]),
    "floats": ("a number", ["number"]),
}
_SAID = {  # what an editor says in place of a pattern
    IDENTIFIER: "a name is letters, digits and _, and begins with a letter",
    TARGETS: "a step is {target: expression}, where target is a or a, b",
}


def json_schema() -> Schema:
    """The JSON Schema of spec files, with a branch for each layer that is known now.

    A spec with ``extends`` may leave out whatever its parent may have. Where a block of the file
    has the name of a layer, the block is meant, and arguments of all layers are left open.

    >>> from jsonschema import Draft7Validator
    >>> fc = {"type": "Linear", "in_features": 3, "out_features": 5, "bais": False}
    >>> spec = {"archspec": 1, "model": "Net", "blocks": {"Net": {"modules": {"fc": fc}}}}
    >>> [error.message for error in Draft7Validator(json_schema()).iter_errors(spec)]
    ["Additional properties are not allowed ('bais' was unexpected)"]
    """
    models = _models()
    _allow_short_forms(models)
    definitions = {**_initialisation(models), **_steps(models), **_modules(models), **models}
    definitions |= _own_names(definitions)
    definitions |= _partials(definitions)
    no_layer = {"propertyNames": {"not": {"enum": list(layers.names())}}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "if": {"properties": {"blocks": no_layer}},
        "then": _with_parent("Architecture"),
        "else": _with_parent(f"Architecture{_OWN}"),
        "definitions": dict(sorted(definitions.items())),
    }


def _with_parent(name: str) -> Schema:
    return {
        "if": {"required": ["extends"], "properties": {"extends": {"type": "string"}}},
        "then": _ref(f"{name}.partial"),
        "else": _ref(name),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"{_POINTER}{name}"}


# ------------------------------------------------------------------------------- from the models


def _models() -> dict[str, Schema]:
    """What pydantic makes of the models, by name."""
    root = Architecture.model_json_schema(ref_template=f"{_POINTER}{{model}}")
    made = {**root.pop("$defs"), "Architecture": root}
    return {name: _tidy(model) for name, model in made.items()}


def _tidy(schema: Schema) -> Schema:
    """Without titles and empty defaults; the alternatives of a value as one schema."""
    tidy: Schema = {}
    for key, value in schema.items():
        match key, value:
            case ("title" | "propertyNames", _) | ("default", None | "" | [] | {}):
                pass
            case "description", _:
                tidy[key] = value.replace("``", "'")
            case "properties", _:
                tidy[key] = {name: _tidy(property) for name, property in value.items()}
            case (("anyOf" | "oneOf"), _):
                tidy |= _joined([_tidy(alternative) for alternative in value])
            case "patternProperties", _:
                ((pattern, inner),) = value.items()
                names = {"title": "name", **schema["propertyNames"], **_pattern(pattern)}
                tidy |= {"propertyNames": names, "additionalProperties": _tidy(inner)}
            case "pattern", _:
                tidy |= _pattern(value)
            case _, dict():
                tidy[key] = _tidy(cast(Schema, value))
            case _:
                tidy[key] = value
    return tidy


def _pattern(pattern: str, said: str = "") -> Schema:
    said = said or _SAID.get(pattern, "")
    return {"pattern": pattern, **({"patternErrorMessage": said} if said else {})}


def _expression(otherwise: str) -> Schema:
    return _pattern(_EXPRESSION, f"{otherwise} or an $expression")


def _joined(alternatives: list[Schema]) -> Schema:
    """Alternatives of different types as one schema, so that an editor says one thing of a mistake.

    That is the same: each of their other keywords speaks of one type only, but for enum.
    """
    if any("$ref" in alternative for alternative in alternatives):
        return {"anyOf": alternatives}
    joined: Schema = {}
    types: list[str] = []
    for alternative in alternatives:
        found = alternative["type"]
        types += cast("list[str]", found) if isinstance(found, list) else [str(found)]
        joined |= alternative
    if "enum" in joined and "null" in types:
        joined["enum"] = [*joined["enum"], None]
    return {**joined, "type": types}


def _allow_short_forms(models: dict[str, Schema]) -> None:
    """What the models' validators accept, and what the language wants of their strings."""
    inner = [*PARAM_TYPES, "list", *(f"list[{name}]" for name in PARAM_TYPES), *ONE_OR_LIST]
    models["Param"]["properties"]["type"]["enum"] = [*inner, None]
    del models["Param"]["type"]
    elements = models["FreezePlan"]["properties"]["patterns"]["items"]
    models["FreezePlan"] |= {"type": ["array", "object"], "items": elements}
    size = {**models["Contract"]["properties"]["shape"]["items"]}
    models["Contract"]["properties"]["shape"]["items"] = size
    models["Contract"] |= {
        "type": ["array", "object", "string"],
        "items": size,
        "pattern": f"^({'|'.join(PYTHON_TYPES)})$",
        "patternErrorMessage": "sizes [batch, 4], a list [[batch, 4]], or bool, int or float",
    }
    like = {
        "description": "a block whose contracts are taken over",
        "type": ["string", "array", "object"],
    }
    for group in GROUPS:
        for name in ("Block", "Method"):
            contracts = models[name]["properties"][group]
            contract, known = contracts.pop("additionalProperties"), {"like": like}
            nullable = {"anyOf": [contract, {"type": "null"}]}
            contracts |= {
                "properties": known,
                "if": {"required": ["like"]},  # where null leaves out what is taken over
                "then": {"properties": known, "additionalProperties": nullable},
                "else": {"additionalProperties": contract},
            }
    for key, otherwise in (("length", "an integer"), ("when", "true, false")):
        models["Contract"]["properties"][key] |= _expression(otherwise)
    models["Tie"]["type"] = ["string", "object"]
    for key in ("ours", "theirs"):
        models["Joined"]["properties"][key]["type"] = ["string", "array"]
    for key in ("match", "feedforward", "train"):
        models["Adapter"]["properties"][key]["type"] = ["string", "array"]
    models["Contract"]["properties"]["below"] |= _expression("an integer")
    for name in ("Tensor", "Buffer"):
        models[name]["properties"]["shape"]["items"] |= _expression("an integer")
        models[name]["properties"]["value"] |= _expression("steps")
        models[name]["properties"]["when"] |= _expression("true, false")
        models[name] |= {"if": {"required": ["value"]}, "else": {"required": ["shape"]}}
    models["Config"]["properties"]["read"]["additionalProperties"]["type"] = ["string", "array"]
    for key in ("model_type", "architectures"):
        models["Config"]["properties"][key]["type"] = ["string", "array"]
    parents = [{"const": name} for name in packaged_specs()]
    models["Architecture"]["properties"]["extends"]["anyOf"] = [*parents, {}]


def _initialisation(models: dict[str, Schema]) -> dict[str, Schema]:
    """``zeros_``, or ``{normal_: {std: 0.02}}``."""
    called = {
        "type": "object",
        "properties": {name: _initialiser(name) for name in INITIALISERS},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    said = models["Tensor"]["properties"]["init"]["description"]
    names = [name for name in INITIALISERS if name != "constant_"]  # which needs its argument
    rule = models["InitRule"]
    rule["properties"]["match"]["type"] = ["string", "array"]
    rule["properties"] |= {name: _ref("Initialiser") for name in ("weight", "bias")}
    rule["additionalProperties"] = _ref("Initialiser")
    for name in ("Tensor", "Buffer"):
        models[name]["properties"]["init"] = _ref("Initialiser")
    return {"Initialiser": {"description": said, "anyOf": [{"enum": names}, called]}}


def _initialiser(name: str) -> Schema:
    arguments, _ = INITIALISERS[name]
    return {
        "type": "object",
        "description": f"torch.nn.init.{name}({', '.join(arguments)})",
        "properties": {argument: {} for argument in arguments},
        "additionalProperties": False,
        **({"required": ["val"]} if name == "constant_" else {}),
    }


def _steps(models: dict[str, Schema]) -> dict[str, Schema]:
    """The three kinds of steps as one, distinguished by their keys."""
    assign, returned, loop = (models.pop(kind) for kind in ("Assign", "Return", "For"))
    expression = {
        "type": ["string", "number", "boolean", "null", "array"],
        "errorMessage": "an expression: quote it if it begins with {",
    }
    loop["properties"]["for"]["patternErrorMessage"] = "write {for: x in layers, do: [steps]}"
    loop["properties"]["do"]["items"] = _ref("Step")
    models["Block"]["properties"]["forward"]["items"] = _ref("Step")
    models["Method"]["properties"]["forward"]["items"] = _ref("Step")
    models["Method"] |= {"type": ["array", "object"], "items": _ref("Step"), "minItems": 1}
    for name in ("Tensor", "Buffer"):
        models[name]["properties"]["value"]["items"] = _ref("Step")
    names = returned["properties"]["return"]
    names |= {**expression, "type": [*expression["type"], "object"]}
    names["additionalProperties"] = expression
    most = assign.pop("maxProperties")
    step: Schema = {
        **assign,
        "properties": {**returned["properties"], **loop["properties"]},
        "additionalProperties": expression,
        "if": {"anyOf": [{"required": [key]} for key in loop["required"]]},
        "then": {"required": loop["required"], "maxProperties": len(loop["required"])},
        "else": {"maxProperties": most},
    }
    step["propertyNames"]["title"] = "target"
    return {"Step": step}


# ----------------------------------------------------------------------------- modules and layers


def _modules(models: dict[str, Schema]) -> dict[str, Schema]:
    """A module, by where it stands, and every layer that it can be."""
    found = [layer for name in layers.names() if (layer := layers.find(name))]
    module = models["Module"]
    keys = module["properties"]
    items = keys.pop("items") | {"items": _ref("Entry"), "additionalProperties": _ref("Item")}
    items["propertyNames"]["patternErrorMessage"] = "a module's name has no dot and no space"
    of_items = {key: keys.pop(key) for key in _ITEM_KEYS}
    of_items["repeat"] |= _expression("an integer")
    keys["when"] |= _expression("true, false")
    keys["type"] |= _pattern(r"^(\$|[^\s.$]+$)", "the name of a block or a layer, never an import")
    keys["type"]["anyOf"] = [
        *({"const": name, "description": f"{name}(items)"} for name in _CONTAINERS),
        *({"const": layer.name, "description": _signature(layer)} for layer in found),
        {},
    ]
    module["allOf"] = [
        {
            "if": {"properties": {"type": {"pattern": f"^({'|'.join(_CONTAINERS)})$"}}},
            "then": {"properties": {"items": items}},
            "else": {"properties": {"items": False}},
        },
        *(_branch(name, _ref(name)) for name in _CONTAINERS),
        *(_branch(layer.name, _complete(layer)) for layer in found),
    ]
    models["Block"]["properties"]["modules"]["additionalProperties"] = _ref("Child")
    said = models["Block"]["properties"]["items"]["description"]
    models["Block"]["properties"]["items"] = {**items, "description": said}
    not_here = {"properties": dict.fromkeys(_ITEM_KEYS, False)}
    as_item = {"properties": of_items, "dependencies": {"index": ["repeat"]}}
    group = models["Group"]
    group["properties"]["items"]["items"] = _ref("Entry")
    group["properties"]["repeat"] |= _expression("an integer")
    group["properties"]["in"] |= _expression("a list")
    group["properties"]["each"]["type"] = ["array", "string"]
    group["oneOf"] = [{"required": ["repeat"]}, {"required": ["each", "in"]}]
    return {
        "Child": {"allOf": [_ref("Module"), not_here]},
        "Item": {"allOf": [_ref("Module"), as_item]},
        "Entry": {
            "if": {"required": ["items"], "not": {"required": ["type"]}},
            "then": _ref("Group"),
            "else": _ref("Item"),
        },
        **{
            name: _closed({"items": {"type": [*types, "null"]}})
            for name, types in _CONTAINERS.items()
        },
        **{_definition(layer): _layer(layer) for layer in found},
    }


def _branch(name: str, then: Schema) -> Schema:
    # A pattern, because a completion takes a const or an enum as met by each of its prefixes.
    named = {"type": "string", "pattern": f"^{name}$"}
    condition = {"type": "object", "required": ["type"], "properties": {"type": named}}
    return {"if": condition, "then": then}


def _complete(layer: Layer) -> Schema:
    """The layer with what it requires: apart from its arguments, which any spec's layer has."""
    required = [argument.name for argument in layer.required]
    definition = _ref(_definition(layer))
    return {"allOf": [definition], "required": required} if required else definition


def _definition(layer: Layer) -> str:
    return f"{layer.module}.{layer.qualname}"


def _layer(layer: Layer) -> Schema:
    return {
        "title": layer.name,
        "description": _signature(layer),
        **_closed({argument.name: _argument(argument) for argument in layer.arguments}),
        **({"additionalProperties": True} if layer.keywords_any else {}),
    }


def _closed(properties: Schema) -> Schema:
    """No other keys than these and the reserved ones, which ``Module`` and ``Item`` describe."""
    reserved = {key: True for key in Module.model_fields if key != "items"}
    return {"properties": {**properties, **reserved}, "additionalProperties": False}


def _signature(layer: Layer) -> str:
    given = [a.name if a.required else f"{a.name}={a.default!r}" for a in layer.arguments]
    call = f"{layer.name}({', '.join(given)})"
    if layer.registered:
        return call
    return f"{call}\nhttps://docs.pytorch.org/docs/stable/generated/torch.nn.{layer.name}.html"


def _argument(argument: Argument) -> Schema:
    default = "required" if argument.required else f"default {shown(argument.default)}"
    made: Schema = {"description": f"{argument.expects}; {default}", **_default(argument.default)}
    if "any" in argument.kinds:
        return made
    made["type"] = list(dict.fromkeys([*(_TYPES[kind] for kind in argument.kinds), "string"]))
    made["errorMessage"] = f"{argument.name} takes {argument.expects} (or an $expression)"
    if argument.choices:
        made["pattern"] = rf"{_EXPRESSION}|^({'|'.join(map(_literally, argument.choices))})$"
        made["anyOf"] = [{"enum": list(argument.choices)}, {}]  # to complete, not to forbid
    elif "str" not in argument.kinds:
        made["pattern"] = _EXPRESSION
    for kind in argument.kinds:
        if kind in _ELEMENTS:
            # Not beside type: an editor begins a list wherever it sees items.
            made["allOf"] = [{"items": _element(*_ELEMENTS[kind])}]
        elif kind == "module":
            made |= {"if": {"type": "object"}, "then": _ref("Child")}
    return made


def _element(words: str, types: list[str]) -> Schema:
    said = f"{words} or an $expression"
    return {"type": [*types, "string"], "pattern": _EXPRESSION, "errorMessage": said}


def _default(value: object) -> Schema:
    """What a completion writes; nothing where JSON has no such value."""
    if isinstance(value, tuple):
        return {"default": list(cast("tuple[object, ...]", value))}
    written = value is not None and not (isinstance(value, float) and not math.isfinite(value))
    return {"default": value} if written else {}


def _literally(text: str) -> str:
    # Not re.escape: JavaScript takes no backslash before what needs none, such as "-".
    return re.sub(r"[\\^$.|?*+()\[\]{}]", r"\\\g<0>", text)


# ---------------------------------------------------------------- blocks with the names of layers


def _own_names(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Each definition that leads to a module, without what it says of the arguments of layers."""
    of_layers = {_definition(layer) for name in layers.names() if (layer := layers.find(name))}
    module = definitions["Module"]
    branches = [one for one in module["allOf"] if not _refs(one) & of_layers]
    others = {name: whole for name, whole in definitions.items() if name not in of_layers}
    others["Module"] = {**module, "allOf": branches}
    changed = {"Module"}
    while more := {n for n, whole in others.items() if n not in changed and _refs(whole) & changed}:
        changed |= more
    return {f"{name}{_OWN}": _renamed(others[name], changed) for name in changed}


def _refs(schema: Any) -> set[str]:
    """The definitions that a schema refers to."""
    if isinstance(schema, list):
        return {name for one in cast("list[Any]", schema) for name in _refs(one)}
    if not isinstance(schema, dict):
        return set()
    whole = cast(Schema, schema)
    own = {str(whole["$ref"]).removeprefix(_POINTER)} if "$ref" in whole else set[str]()
    return own | {name for value in whole.values() for name in _refs(value)}


def _renamed(schema: Any, changed: set[str]) -> Any:
    """A schema that refers to the changed definitions."""
    if isinstance(schema, list):
        return [_renamed(one, changed) for one in cast("list[Any]", schema)]
    if not isinstance(schema, dict):
        return schema
    whole = cast(Schema, schema)
    made = {key: _renamed(value, changed) for key, value in whole.items()}
    if "$ref" in whole and str(whole["$ref"]).removeprefix(_POINTER) in changed:
        made["$ref"] = f"{whole['$ref']}{_OWN}"
    return made


# --------------------------------------------------------------------------------- with a parent


def _partials(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Each definition as a spec with a parent has it, where that makes a difference."""
    changed: set[str] = set()
    while True:
        partials = {name: _partial(whole, changed) for name, whole in definitions.items()}
        found = {name for name, partial in partials.items() if partial != definitions[name]}
        if found == changed:
            return {f"{name}.partial": partials[name] for name in found}
        changed = found


def _partial(whole: Schema, changed: set[str]) -> Schema:
    """What is merged into a parent's needs nothing, but for lists: they replace the parent's."""
    partial: Schema = {}
    for key, value in whole.items():
        match key:
            case "required" | "dependencies" | "minProperties":
                pass
            case "if" | "items":
                partial[key] = value
            case "$ref":
                renamed = value.removeprefix(_POINTER) in changed
                partial[key] = f"{value}.partial" if renamed else value
            case "properties":
                partial[key] = {name: _partial_value(s, changed) for name, s in value.items()}
            case _:
                partial[key] = _partial_value(value, changed)
    return partial


def _partial_value(value: Any, changed: set[str]) -> Any:
    if isinstance(value, list):
        return [_partial_value(member, changed) for member in cast("list[Any]", value)]
    return _partial(cast(Schema, value), changed) if isinstance(value, dict) else value
