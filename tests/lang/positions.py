"""Every position of a spec where an expression may stand, for ``test_constructs``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from archspec.lang.instances import Instance

GLOBALS: dict[str, Any] = {
    "g": 6,
    "f": 0.5,
    "t": True,
    "n": None,
    "s": "relu",
    "a": "Tanh",
    "l": (2, 3, 4),
    "d": 7,
}
PARAMS = """
  g: 6
  f: 0.5
  t: true
  n: {type: int, default: null}
  s: relu
  a: Tanh
  l: [2, 3, 4]
  d: $g + 1
"""
"""The parameters of every spec, and their values above."""


def as_tuples(value: Any) -> Any:
    """A value whose lists are tuples."""
    return tuple(map(as_tuples, value)) if isinstance(value, list | tuple) else value


class Probe(nn.Module):
    """Keeps whatever it is given."""

    def __init__(self, value=None) -> None:
        super().__init__()
        self.value = value

    def forward(self, x: Tensor) -> Tensor:
        return x


KEPT: dict[int, list[Any]] = {}


def keep(x: Tensor, value, number: int) -> Tensor:
    """Keeps whatever a forward step of the cell of that number gives."""
    KEPT.setdefault(number, []).append(as_tuples(value))
    return x


@dataclass(frozen=True, kw_only=True)
class Position:
    """Where an expression may stand: in one block of a spec, or in what concerns that block.

    In its texts, ``«E»`` is the value as YAML and ``«Q»`` the expression between double quotes;
    ``«V»`` and ``«T»`` are the expected value and its type, ``@`` is the number of the block.

    Attributes:
        fits: whether a value must be accepted there.
        built: what the built block made of it; left out, it is enough that the model is built.
        checked: what the checked spec made of it, from the block's instance.
        expected: what both should be.
        names: what is in scope.
        is_step: whether it stands in a forward, where the functions are PyTorch's.
        device: where it is built.
    """

    name: str
    params: str = ""  # of the spec
    let: str = ""  # of the spec
    own: str = ""  # parameters of the block
    body: str = "modules: {}"
    inputs: str = "{x: [batch, 1]}"
    given: str = ""  # arguments of the block
    root_inputs: str = "[batch, 1]"
    steps: str = ""
    init: str = ""
    fits: Callable[[Any], bool] = lambda value: True
    built: Callable[[Any], Any] | None = None
    checked: Callable[[Instance], Any] | None = None
    expected: Callable[[Any], Any] = lambda value: value
    names: frozenset[str] = frozenset({*GLOBALS, "b"})
    is_step: bool = False
    device: str = "meta"


def probe(arguments: str) -> str:
    return f"modules: {{probe: {{{arguments}}}}}"


def child(part: Instance) -> Instance:
    return dict(part.children)["probe"]


def is_int(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_size(value: Any) -> bool:
    return is_int(value, 0, 10_000)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_layer(value: Any) -> bool:
    return value in ("Tanh", "ReLU")


def is_declarable(value: Any) -> bool:
    return value is not None and type_of(value) != ""


def type_of(value: Any) -> str:
    """The type that a parameter of that value is declared with."""
    if not isinstance(value, tuple):
        return type(value).__name__
    kinds = {type(item).__name__ for item in value} or {"int"}
    return (
        f"list[{kinds.pop()}]"
        if len(kinds) == 1 and kinds < {"int", "float", "bool", "str"}
        else ""
    )


ONLY_GLOBALS = frozenset(GLOBALS)
IN_ITEM = frozenset({*GLOBALS, "b", "i"})


def arguments_and_defaults() -> Iterator[Position]:
    read: dict[str, Any] = {
        "built": lambda part: as_tuples(part.probe.value),
        "checked": lambda part: child(part).arguments["value"],
    }
    body, untyped, typed = (
        probe("type: Probe, value: $p@"),
        "p@: «E»",
        'p@: {type: "«T»", default: «E»}',
    )
    for text, fits in ((untyped, lambda value: True), (typed, is_declarable)):
        kind = "typed " if text is typed else ""
        more = {**read, "body": body, "fits": fits, "names": ONLY_GLOBALS}
        yield Position(name=f"{kind}param default", params=text, **more)
        of_block = {**more, "names": frozenset({*GLOBALS, "b"})}
        yield Position(name=f"{kind}block-param default", own=text, **of_block)
    yield Position(name="let", let="p@: «E»", body=body, names=ONLY_GLOBALS, **read)
    of_block = f"let: {{p@: «E»}}\n    {body}"
    yield Position(name="let of a block", body=of_block, **read)
    own = "p@: {default: null}"
    yield Position(
        name="block argument", own=own, given=", p@: «E»", body=body, names=ONLY_GLOBALS, **read
    )
    yield Position(name="layer argument", body=probe("type: Probe, value: «E»"), **read)
    listed = probe("type: Probe, value: [1, «E»]")
    yield Position(name="item of a list", body=listed, expected=lambda value: (1, value), **read)
    yield Position(
        name="argument of a nested module",
        body=probe("type: Probe, value: {type: Probe, value: «E»}"),
        built=lambda part: as_tuples(part.probe.value.value),
        checked=lambda part: child(part).arguments["value"].arguments["value"],
    )
    yield Position(
        name="argument of an item",
        body=probe("type: Sequential, items: [{type: Probe, value: «E», repeat: 1, index: i}]"),
        built=lambda part: as_tuples(part.probe[0].value),
        checked=lambda part: child(part).children[0][1].arguments["value"],
        names=IN_ITEM,
    )


def choices_of_modules() -> Iterator[Position]:
    read: dict[str, Any] = {
        "built": lambda part: type(part.probe).__name__,
        "checked": lambda part: child(part).type,
    }
    chosen, declared = (
        probe("type: \"$'Tanh' if («Q») else 'ReLU'\""),
        "p@: {type: layer, default: «E»}",
    )
    tanh = lambda value: "Tanh" if value else "ReLU"  # noqa: E731
    yield Position(name="condition of a type", body=chosen, expected=tanh, **read)
    yield Position(name="type", body=probe("type: «E»"), fits=lambda value: False, **read)
    layer = {**read, "body": probe("type: $p@"), "fits": is_layer}
    yield Position(name="layer param", params=declared, names=ONLY_GLOBALS, **layer)
    yield Position(name="layer block-param", own=declared, **layer)
    own = "p@: {type: layer, default: ReLU}"
    yield Position(
        name="layer argument of a block", own=own, given=", p@: «E»", names=ONLY_GLOBALS, **layer
    )
    yield Position(
        name="when",
        body=probe("type: ReLU, when: «E»"),
        fits=lambda value: isinstance(value, bool),
        built=lambda part: hasattr(part, "probe"),
        expected=bool,
        checked=lambda part: "probe" in dict(part.children),
    )


def items() -> Iterator[Position]:
    read: dict[str, Any] = {
        "built": lambda part: tuple(name for name, _ in part.probe.named_children()),
        "checked": lambda part: tuple(name for name, _ in child(part).children),
    }
    body = probe("type: Sequential, items: [{type: ReLU, repeat: «E»}]")
    count = lambda value: tuple(map(str, range(1 if value is None else value)))  # noqa: E731
    yield Position(
        name="repeat", body=body, fits=lambda v: is_int(v, 0, 200), expected=count, **read
    )
    named = lambda v: is_int(v, -99, 9999) or (isinstance(v, str) and v.isidentifier())  # noqa: E731
    body = probe('type: Sequential, items: [{type: ReLU, name: "n{«Q»}"}]')
    yield Position(name="name", body=body, fits=named, expected=lambda v: (f"n{v}",), **read)
    body = probe('type: Sequential, items: [{type: ReLU, repeat: 1, index: i, name: "{i}_{«Q»}"}]')
    more = {**read, "names": IN_ITEM, "fits": named}
    yield Position(
        name="name of a repeated item", body=body, expected=lambda v: (f"0_{v}",), **more
    )


def shapes_and_tensors() -> Iterator[Position]:
    size: dict[str, Any] = {"fits": is_size}
    wide = {**size, "root_inputs": "[batch, «V»]"}
    yield Position(name="input shape", inputs="{x: [batch, «E»]}", **wide)
    body, inputs = "outputs: {y: [batch, «E»]}", "{x: [batch, «V»]}"
    yield Position(name="output shape", body=body, inputs=inputs, **wide)
    root = {"root_inputs": "[batch, «E»]", "names": ONLY_GLOBALS}
    yield Position(name="input shape of the root", inputs="{x: [batch, «V»]}", **root, **size)
    integers = "{shape: [batch], dtype: int64}"
    inputs = "{x: {shape: [batch], dtype: int64, below: «E»}}"
    count = lambda value: is_int(value, 1, 10_000)  # noqa: E731
    yield Position(name="below", inputs=inputs, root_inputs=integers, fits=count)
    for kind in ("parameters", "buffers"):
        body, last = f"{kind}: {{w: {{shape: [«E»]}}}}", lambda part: part.w.shape[-1]
        yield Position(name=f"shape of {kind}", body=body, built=last, **size)
        body = f"{kind}: {{w: {{shape: [2], init: {{constant_: {{val: «E»}}}}}}}}"
        first = lambda part: part.w[0].item()  # noqa: E731
        yield Position(name=f"init of {kind}", body=body, built=first, **NUMBER)


def single(value: Any) -> Any:
    """A number as float32."""
    return torch.tensor(value, dtype=torch.float32).item() if is_number(value) else value


NUMBER: dict[str, Any] = {
    "fits": is_number,
    "expected": single,
    "names": ONLY_GLOBALS,
    "device": "cpu",
}


def rules() -> Iterator[Position]:
    body = "modules: {fc: {type: Linear, in_features: 2, out_features: 2000}}"
    init = '- {match: "part@.fc", weight: {constant_: {val: «E»}}}'
    weight = lambda part: part.fc.weight[0, 0].item()  # noqa: E731
    yield Position(name="init rule", body=body, init=init, built=weight, **NUMBER)
    yield Position(
        name="index of an init rule",
        body=body,
        init='- {match: "part@.fc", weight: ones_, "weight[«Q»]": zeros_}',
        fits=lambda value: is_int(value, -2000, 1999),
        expected=indexed,
        built=lambda part: torch.nonzero(part.fc.weight == 0).tolist(),
        names=ONLY_GLOBALS,
        device="cpu",
    )


def indexed(value: Any) -> list[list[int]]:
    """Which elements of a weight an index selects."""
    weight = torch.ones(2000, 2)
    weight[value] = 0
    return torch.nonzero(weight == 0).tolist()


def steps() -> Iterator[Position]:
    one = lambda value: (value,)  # noqa: E731
    step: dict[str, Any] = {"is_step": True}
    yield Position(name="step", steps='- x: "keep(x, «Q», @)"', expected=one, **step)
    keyword = '- x: "keep(x, number=@, value=«Q»)"'
    yield Position(name="keyword of a step", steps=keyword, expected=one, **step)
    target = '- y: "«Q»"\n      - x: keep(x, y, @)'
    yield Position(name="target", steps=target, expected=one, **step)
    chosen = '- x: "keep(x, 1, @) if («Q») else keep(x, 0, @)"'
    yield Position(name="condition", steps=chosen, expected=lambda v: (1 if v else 0,), **step)
    loop = '- for: "v in «Q»"\n        do: [{x: "keep(x, v, @)"}]'
    listed = lambda v: isinstance(v, tuple)  # noqa: E731
    yield Position(name="loop", steps=loop, fits=listed, expected=tuple, **step)
    loop = loop.replace("«Q»", "range(«Q»)")
    more = {**step, "fits": lambda v: is_int(v, 0, 100), "expected": lambda v: tuple(range(v))}
    yield Position(name="range", steps=loop, **more)


KINDS = (arguments_and_defaults, choices_of_modules, items, shapes_and_tensors, rules, steps)
POSITIONS = [position for kind in KINDS for position in kind()]
