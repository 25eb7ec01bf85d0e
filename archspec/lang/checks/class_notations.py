"""Classes as Hydra and Lightning name them: ``_target_: torch.nn.Linear`` with arguments beside it.

What such a mapping says is written here as a module: ``{type: Linear, in_features: 4}``.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from archspec.lang import yaml
from archspec.lang.registry import layers

_Data = dict[str, Any]
_List = list[Any]
_CERTAIN = ("_target_", "class_path")
_TARGETS = (*_CERTAIN, "class_name", "cls", "class", "module", "name")
ARGUMENTS = ("init_args", "kwargs", "args", "_args_", "dict_kwargs")
OF_HYDRA = ("_partial_", "_recursive_", "_convert_")
_LONGEST = 200  # characters of a hint that has the whole module
OTHER_CLASS = "must be a block of this spec, or see archspec.register_layer"


def target_key(data: Mapping[str, Any], blocks: Collection[str], *, certain: bool = False) -> str:
    """The key whose text names the class; "" if there is none.

    Args:
        certain: whether a word that may be a plain key counts only with the name of a class.
    """
    for key in _TARGETS:
        if isinstance(data.get(key), str):
            last = class_of(data[key])
            is_key = key in ("name", "module") or (certain and key not in _CERTAIN)
            return key if last.isidentifier() and (is_known(last, blocks) or not is_key) else ""
    return ""


def class_of(text: str) -> str:
    """``Linear`` of ``torch.nn.Linear``."""
    return text.rpartition(".")[2]


def is_known(name: str, blocks: Collection[str]) -> bool:
    """Whether it is the name of a block, a container or a layer."""
    return name in blocks or name in layers.CONTAINERS or layers.find(name) is not None


def items_text(data: _Data, blocks: Collection[str]) -> tuple[str, str]:
    """The items of a block that stands for a mapping with a class, and what else they need."""
    try:
        made = _module(data, blocks)
    except _Unclear:
        return "[{type: NAME, …}]", ""
    inner: object = made.get("items")
    is_chain = made["type"] == "Sequential" and isinstance(inner, list)
    items = cast(_List, inner) if is_chain else [made]
    text = yaml.flow(items)
    text = text if len(text) <= _LONGEST else f"[{{type: {made['type']}, …}}]"
    unknown = next((name for name in _classes(items) if not is_known(name, blocks)), "")
    return text, f"; {unknown} {OTHER_CLASS}" if unknown else ""


def module_text(given: object, blocks: Collection[str]) -> str:
    """The module that a call or a list stands for; "" if that is unclear.

    >>> module_text("nn.Linear(4, hidden, bias=False)", [])
    '{type: Linear, in_features: 4, out_features: $hidden, bias: false}'
    >>> module_text(["Conv2d", 3, 64], [])
    '{type: Conv2d, in_channels: 3, out_channels: 64}'
    """
    try:
        data = _call(given) if isinstance(given, str) else _listed(given)
        text = yaml.flow(_module(data, blocks))
    except _Unclear:
        return ""
    return text if len(text) <= _LONGEST and is_known(class_of(data["type"]), blocks) else ""


def _call(text: str) -> _Data:
    """The class and the arguments of ``nn.Linear(4, 4)`` or ``ReLU``."""
    try:
        node = ast.parse(text[:_LONGEST].strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise _Unclear from None
    called, arguments, keywords = node, list[ast.expr](), list[ast.keyword]()
    if isinstance(node, ast.Call):
        called, arguments, keywords = node.func, node.args, node.keywords
    is_unpacked = any(k.arg is None for k in keywords)
    is_unpacked = is_unpacked or any(isinstance(one, ast.Starred) for one in arguments)
    if is_unpacked or not isinstance(called, ast.Name | ast.Attribute):
        raise _Unclear
    named = {str(keyword.arg): _constant(keyword.value) for keyword in keywords}
    given = {"args": [_constant(one) for one in arguments]} if arguments else {}
    return {"type": ast.unparse(called), **given, **named}


def _constant(node: ast.expr) -> Any:
    """A constant as it is, anything else as an expression."""
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return f"${ast.unparse(node)}"
    return list(cast("tuple[Any, ...]", value)) if isinstance(value, tuple) else value


def _listed(given: object) -> _Data:
    """The class and the arguments of ``[Linear, 4, 4]``."""
    items = cast(_List, given) if isinstance(given, list) else []
    if not items or not isinstance(items[0], str) or any(isinstance(i, dict) for i in items):
        raise _Unclear
    return {"type": items[0], "args": items[1:]} if items[1:] else {"type": items[0]}


class _Unclear(Exception):
    """What a mapping stands for cannot be told."""


def _module(data: _Data, blocks: Collection[str]) -> _Data:
    """The module that a mapping with a class stands for."""
    key = "type" if isinstance(data.get("type"), str) else target_key(data, blocks)
    if not key:
        raise _Unclear
    name = class_of(str(data[key]))
    rest = {k: v for k, v in data.items() if k not in (key, *OF_HYDRA, *ARGUMENTS)}
    for folded in (data[k] for k in ARGUMENTS if k in data):
        layer = layers.find(name) if name not in blocks else None
        if isinstance(folded, dict):
            rest |= cast(_Data, folded)
        elif isinstance(folded, list) and name in layers.CONTAINERS:
            rest["items"] = folded
        elif isinstance(folded, list) and layer is not None:
            names = [argument.name for argument in layer.arguments]
            rest = dict(zip(names, cast(_List, folded), strict=False)) | rest
        else:
            raise _Unclear
    return {"type": name, **{k: _value(v, blocks) for k, v in rest.items()}}


def _value(value: Any, blocks: Collection[str]) -> Any:
    match value:
        case list():
            return [_value(item, blocks) for item in cast(_List, value)]
        case dict():
            return _module(cast(_Data, value), blocks)
        case str() if "${" in value:
            raise _Unclear
        case _:
            return value


def _classes(value: Any) -> Iterator[str]:
    """The classes of modules, from outside to inside."""
    if isinstance(value, dict):
        yield str(cast(_Data, value)["type"])
        value = list(cast(_Data, value).values())
    for inner in cast(_List, value) if isinstance(value, list) else ():
        yield from _classes(inner)
