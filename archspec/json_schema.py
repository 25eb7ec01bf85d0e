"""The language as a JSON Schema: what an editor needs to complete a spec and to underline mistakes.

Keys and their descriptions come from the models in ``schema``, layers and their arguments from
``layers``. Whatever takes more than the shape of one file to judge (names, values, what a parent
holds) is left open here and told by ``archspec validate``. Draft 7 is the newest that every editor
knows; ``errorMessage`` and ``patternErrorMessage`` are keywords of editors.
"""

from __future__ import annotations

from typing import Any, cast

from archspec import extends, layers
from archspec.arguments import Argument
from archspec.initialisers import INITIALISERS
from archspec.layers import CONTAINERS, Layer
from archspec.schema import IDENTIFIER, PARAM_TYPES, TARGETS, Architecture, Module

Schema = dict[str, Any]

_EXPRESSION = r"^\$[^$]"
_ITEM_KEYS = ("repeat", "index", "name")  # they mean nothing outside a container
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
_ELEMENTS = {"ints": ["integer"], "ints?": ["integer", "null"], "floats": ["number"]}
_SAID = {  # what an editor says in place of a pattern
    IDENTIFIER: "a name is letters, digits and _, and begins with a letter",
    TARGETS: "a step is {target: expression}, where target is a or a, b",
}


def json_schema() -> Schema:
    """The JSON Schema of spec files.

    A spec with ``extends`` may leave out whatever its parent may have.

    >>> from jsonschema import Draft7Validator
    >>> fc = {"type": "Linear", "in_features": 3, "out_feature": 5}
    >>> spec = {"archspec": 1, "model": "Net", "blocks": {"Net": {"modules": {"fc": fc}}}}
    >>> [error.message for error in Draft7Validator(json_schema()).iter_errors(spec)][0]
    "Additional properties are not allowed ('out_feature' was unexpected)"
    """
    models = _models()
    _allow_short_forms(models)
    definitions = {**models, **_modules(models), **_initialisation(models), **_steps(models)}
    definitions |= _partials(definitions)
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "if": {"required": ["extends"], "properties": {"extends": {"type": "string"}}},
        "then": _ref("Architecture.partial"),
        "else": _ref("Architecture"),
        "definitions": dict(sorted(definitions.items())),
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _partials(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """Each definition for a spec that extends another, where that makes a difference."""
    changed: set[str] = set()
    while True:
        partials = {name: _partial(whole, changed) for name, whole in definitions.items()}
        found = {name for name, partial in partials.items() if partial != definitions[name]}
        if found == changed:
            return {f"{name}.partial": partials[name] for name in changed}
        changed = found


def _partial(whole: Schema, changed: set[str]) -> Schema:
    """What is merged into a parent needs nothing, but for lists: they replace the parent's."""
    partial: Schema = {}
    for key, value in whole.items():
        match key:
            case "required" | "dependencies" | "minProperties":
                pass
            case "if" | "items":
                partial[key] = value
            case "$ref":
                name = value.removeprefix(_ref("")["$ref"])
                partial[key] = f"{value}.partial" if name in changed else value
            case "properties":
                partial[key] = {name: _partial_value(s, changed) for name, s in value.items()}
            case _:
                partial[key] = _partial_value(value, changed)
    return partial


def _partial_value(value: Any, changed: set[str]) -> Any:
    if isinstance(value, list):
        return [_partial_value(member, changed) for member in cast("list[Any]", value)]
    return _partial(cast(Schema, value), changed) if isinstance(value, dict) else value


# ------------------------------------------------------------------------------ from the models


def _models() -> dict[str, Schema]:
    """What pydantic makes of the models, by name."""
    root = Architecture.model_json_schema(ref_template="#/definitions/{model}")
    made = {**root.pop("$defs"), "Architecture": root}
    return {name: _tidy(model) for name, model in made.items()}


def _tidy(schema: Schema) -> Schema:
    """Without titles and empty defaults; the alternatives of a value as one schema."""
    tidy: Schema = {}
    for key, value in schema.items():
        match key, value:
            case ("title", _) | ("default", None | "" | [] | {}):
                pass
            case "properties", _:
                tidy[key] = {name: _tidy(property) for name, property in value.items()}
            case ("anyOf" | "oneOf"), _:
                tidy |= _joined([_tidy(alternative) for alternative in value])
            case "patternProperties", _:
                ((pattern, inner),) = value.items()
                tidy["additionalProperties"] = _tidy(inner)
                tidy["propertyNames"] = {**schema["propertyNames"], **_pattern(pattern)}
            case "propertyNames", _:
                pass
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


def _joined(alternatives: list[Schema]) -> Schema:
    """Alternatives of different types as one schema, so that an editor says one thing of a mistake.

    Each of their other keywords speaks of one type only, but for enum.
    """
    if any("$ref" in alternative for alternative in alternatives):
        return {"anyOf": alternatives}
    joined: Schema = {}
    types: list[str] = []
    for alternative in alternatives:
        joined |= alternative
        types += alternative["type"] if isinstance(alternative["type"], list) else [alternative["type"]]
    if "enum" in joined and "null" in types:
        joined["enum"] = [*joined["enum"], None]
    return {**joined, "type": types}


def _allow_short_forms(models: dict[str, Schema]) -> None:
    """What the models' validators accept, beside what their fields say."""
    del models["Param"]["type"]
    inner = [*PARAM_TYPES, "list", *(f"list[{name}]" for name in PARAM_TYPES)]
    models["Param"]["properties"]["type"] |= {"enum": [*inner, None]}
    for name, key in (("Contract", "shape"), ("FreezePlan", "patterns")):
        elements = models[name]["properties"][key]["items"]
        models[name] |= {"type": ["array", "object"], "items": elements}
    models["InitRule"]["properties"]["match"]["type"] = ["string", "array"]
    models["Contract"]["properties"]["below"] |= _expression("an integer")
    for name in ("Tensor", "Buffer"):
        models[name]["properties"]["shape"]["items"] |= _expression("an integer")
    parents = [{"const": name} for name in extends.packaged_names()]
    models["Architecture"]["properties"]["extends"]["anyOf"] = [*parents, {}]


def _expression(other: str) -> Schema:
    return _pattern(_EXPRESSION, f"{other} or an $expression")


def _initialisation(models: dict[str, Schema]) -> dict[str, Schema]:
    """``zeros_``, or ``{normal_: {std: 0.02}}``."""
    functions = {
        name: {
            "type": "object",
            "description": f"torch.nn.init.{name}: {', '.join(arguments) or 'no arguments'}",
            "properties": {argument: {} for argument in arguments},
            **({"required": ["val"]} if name == "constant_" else {}),
            "additionalProperties": False,
        }
        for name, (arguments, _) in INITIALISERS.items()
    }
    called = {
        "type": "object",
        "properties": functions,
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
    }
    names = [name for name in INITIALISERS if name != "constant_"]
    for name in ("Tensor", "Buffer"):
        init = models[name]["properties"]["init"]
        models[name]["properties"]["init"] = {"description": init["description"], "allOf": [_ref("Initialiser")]}
    rule = models["InitRule"]
    rule["additionalProperties"] = _ref("Initialiser")
    rule["properties"] |= {name: _ref("Initialiser") for name in ("weight", "bias")}
    return {"Initialiser": {"anyOf": [{"enum": names}, called]}}


def _steps(models: dict[str, Schema]) -> dict[str, Schema]:
    assign, loop = models.pop("Assign"), models.pop("For")
    returned = models.pop("Return")["properties"]["return"]
    said = "an expression is text: quote it if it begins with [ or {"
    expression = {"type": ["string", "number", "boolean", "null", "array"], "errorMessage": said}
    loop["properties"]["do"]["items"] = _ref("Step")
    models["Block"]["properties"]["forward"]["items"] = _ref("Step")
    step = {
        **assign,
        "additionalProperties": expression,
        "properties": {"return": {**returned, **expression}, **loop["properties"]},
        "if": {"anyOf": [{"required": ["for"]}, {"required": ["do"]}]},
        "then": {"required": loop["required"], "maxProperties": len(loop["required"])},
        "else": {"maxProperties": assign["maxProperties"]},
    }
    del step["maxProperties"]
    return {"Step": step}


# ------------------------------------------------------------------------------ modules and layers


def _modules(models: dict[str, Schema]) -> dict[str, Schema]:
    """A module by where it stands, and one definition for each layer that it can be."""
    module = models["Module"]
    keys = module["properties"]
    items = keys.pop("items") | {"items": _ref("Item"), "additionalProperties": _ref("Item")}
    of_items = {key: keys.pop(key) for key in _ITEM_KEYS}
    keys["when"] |= _expression("true, false")
    of_items["repeat"] |= _expression("an integer")
    found = [layer for name in layers.names() if (layer := layers.find(name))]
    keys["type"] |= {
        **_pattern(r"^(\$|[^\s.$]+$)", "the name of a block or a layer, never an import"),
        "anyOf": [*({"const": name} for name in CONTAINERS), *map(_named, found), {}],
    }
    contained = {"properties": {"type": {"enum": list(CONTAINERS)}}}
    module["allOf"] = [
        {"if": contained, "then": {"properties": {"items": items}}, "else": {"properties": {"items": False}}},
        *(_branch(name, _ref(name)) for name in CONTAINERS),
        *(_branch(layer.name, _needed(layer)) for layer in found),
    ]
    models["Block"]["properties"]["modules"]["additionalProperties"] = _ref("Child")
    return {
        "Child": {"allOf": [_ref("Module"), {"properties": dict.fromkeys(_ITEM_KEYS, False)}]},
        "Item": {"allOf": [_ref("Module"), {"properties": of_items, "dependencies": {"index": ["repeat"]}}]},
        "Sequential": _closed({"items": {"type": ["array", "object", "null"]}}),
        "ModuleList": _closed({"items": {"type": ["array", "null"]}}),
        "ModuleDict": _closed({"items": {"type": ["object", "null"]}}),
        **{_definition(layer): _layer(layer) for layer in found},
    }


def _branch(name: str, then: Schema) -> Schema:
    # A pattern: to a completion, a const or an enum is met by each of its prefixes.
    named = {"required": ["type"], "properties": {"type": {"type": "string", "pattern": f"^{name}$"}}}
    return {"if": named, "then": then}


def _needed(layer: Layer) -> Schema:
    """The layer with what it requires; apart from the layer, so that a child spec's can share it."""
    required = [argument.name for argument in layer.required]
    definition = _ref(_definition(layer))
    return {"allOf": [definition], "required": required} if required else definition


def _closed(properties: Schema) -> Schema:
    reserved = {key: True for key in Module.model_fields if key != "items"}
    return {"properties": {**properties, **reserved}, "additionalProperties": False}


def _definition(layer: Layer) -> str:
    return f"{layer.module}.{layer.qualname}"


def _named(layer: Layer) -> Schema:
    return {"const": layer.name, "description": _signature(layer)}


def _layer(layer: Layer) -> Schema:
    made = _closed({argument.name: _argument(argument) for argument in layer.arguments})
    if layer.keywords_any:
        made["additionalProperties"] = True
    return {
        "title": layer.name,
        "description": _signature(layer),
        **made,
    }


def _signature(layer: Layer) -> str:
    shown = [a.name if a.required else f"{a.name}={a.default!r}" for a in layer.arguments]
    call = f"{layer.name}({', '.join(shown)})"
    if layer.registered:
        return call
    return f"{call}\nhttps://docs.pytorch.org/docs/stable/generated/torch.nn.{layer.name}.html"


def _argument(argument: Argument) -> Schema:
    """One argument; flat, so that an editor says one thing of a mistake."""
    default = "required" if argument.required else f"default {argument.default!r}"
    made: Schema = {"description": f"{argument.expects}; {default}"}
    if not argument.required and argument.default is not None:
        made["default"] = argument.default
    if "any" in argument.kinds:
        return made
    made["type"] = list(dict.fromkeys([*(_TYPES[kind] for kind in argument.kinds), "string"]))
    made["errorMessage"] = f"{argument.name} takes {argument.expects} or an $expression"
    if argument.choices:
        made["pattern"] = rf"^(\$[^$]|({'|'.join(argument.choices)})$)"
        made["anyOf"] = [{"enum": list(argument.choices)}, {}]
    elif "str" not in argument.kinds:
        made["pattern"] = _EXPRESSION
    for kind in argument.kinds:
        if kind in _ELEMENTS:
            # Not beside type: an editor would begin a list wherever there is items.
            made["allOf"] = [{"items": _element(_ELEMENTS[kind])}]
        elif kind == "module":
            made |= {"if": {"type": "object"}, "then": _ref("Child")}
    return made


def _element(types: list[str]) -> Schema:
    return {"type": [*types, "string"], "pattern": _EXPRESSION, "errorMessage": f"{' or '.join(types)}, or an $expression"}
