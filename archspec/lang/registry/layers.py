"""The layers that a spec may name: those of torch.nn, and those that trusted Python registers.

What torch.nn accepts is a generated table, ``torch_layers.json`` (``tools/torch_tables.py`` writes
it), so that a spec is checked without importing torch.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, cast, overload

from archspec.lang.registry.arguments import Argument, constructor_arguments, registered_name, usage

CONTAINERS = ("Sequential", "ModuleList", "ModuleDict")
MAX_DEPTH = 500
"""The most layers that one stacked layer (an LSTM, a Transformer) may hold."""

_DEPTHS = frozenset({"num_layers", "num_encoder_layers", "num_decoder_layers"})
_PARTS = {
    "MultiheadAttention": 2,
    "Transformer": 14,  # of the larger kind of its layers
    "TransformerDecoderLayer": 14,
    "TransformerEncoderLayer": 10,
}
"""Layer → the modules that it, or each layer that it stacks, is made of."""

_NOT_SIZES = frozenset(
    "cutoffs dilation groups ignore_index nhead num_heads output_padding padding padding_idx"
    " stride".split()
)


@dataclass(frozen=True, slots=True)
class Layer:
    """A class of modules, as far as a spec has to know it.

    Attributes:
        parameters: the names its own parameters can have; empty if registered, they are unknown.
        buffers: the same for its buffers.
        children: the same for the modules that it is made of, such as an attention's out_proj.
        module: where the class is imported from.
        qualname: its name there.
        registered: whether trusted Python added it.
        keywords_any: whether it takes any keyword argument, as nn.Identity does.
        stacked: whether names that end in ``_l0`` stand for every layer's: ``_l1``, ``_l2``, ….
    """

    name: str
    arguments: tuple[Argument, ...]
    parameters: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    children: tuple[str, ...] = ()
    module: str = "torch.nn"
    qualname: str = ""
    registered: bool = False
    keywords_any: bool = False
    stacked: bool = False

    def argument(self, name: str) -> Argument | None:
        """The argument of that name; a layer that takes any has one of every name."""
        for argument in self.arguments:
            if argument.name == name:
                return argument
        return Argument(name, ("any",), required=False) if self.keywords_any else None

    @property
    def required(self) -> tuple[Argument, ...]:
        """The arguments that must be given."""
        return tuple(a for a in self.arguments if a.required)

    def may_hold(self, name: str) -> bool:
        """Whether the layer can have a parameter, a buffer or a child of that name.

        >>> find("Linear").may_hold("weight"), find("LSTM").may_hold("weight_ih_l3_reverse")
        (True, True)
        """
        if self.registered:
            return True
        known = self.parameters + self.buffers + self.children
        return (_first_layer(name) if self.stacked else name) in known


_registered: dict[str, Layer] = {}


def find(name: str) -> Layer | None:
    """The layer of that name, or None.

    >>> [a.name for a in find("Linear").required]
    ['in_features', 'out_features']
    """
    return _torch_layer(name) if name in _table() else _registered.get(name)


def names() -> tuple[str, ...]:
    """The names of all layers, those of torch.nn first; the containers are not among them."""
    return (*_table(), *_registered)


def registered() -> tuple[Layer, ...]:
    """What trusted Python added."""
    return tuple(_registered.values())


def size_bound(layer: Layer, arguments: Mapping[str, object]) -> int:
    """The product of the three largest sizes among the arguments, at least 1.

    The order of the largest weight, so that Linear(10**9, 10**9) is refused in microseconds,
    before torch is imported, let alone asked for memory.
    Of a registered layer only two count: not every integer of its arguments need be a size.

    >>> size_bound(find("Linear"), {"in_features": 10**9, "out_features": 10**9, "bias": False})
    1000000000000000000
    """
    sizes = [
        size
        for name, value in arguments.items()
        if name not in _NOT_SIZES
        for size in _integers(value)
        if size > 0
    ]
    return math.prod(sorted(sizes)[-2 if layer.registered else -3 :])


def depth_bound(arguments: Mapping[str, object]) -> int:
    """The largest number of layers that the arguments ask one layer to stack, at least 1.

    To be held against ``MAX_DEPTH``: each of them is built one by one, whatever its size.
    """
    return max([1, *(n for name in _DEPTHS for n in _integers(arguments.get(name)))])


def modules_bound(layer: Layer, arguments: Mapping[str, object], nested: int) -> int:
    """How many modules a layer makes, itself included.

    Args:
        nested: how many its arguments are, which it may copy for each layer that it stacks.

    >>> modules_bound(find("TransformerEncoder"), {"num_layers": 6}, 10)
    61
    """
    depth = depth_bound(arguments)
    stacked = depth * (_PARTS.get(layer.name, 0) + nested)
    clusters = len(list(_integers(arguments.get("cutoffs"))))  # a Sequential of two each
    return max(1 + stacked if nested else stacked, depth) + 3 * clusters


C = TypeVar("C", bound=type[Any])


@overload
def register_layer(cls: C, *, name: str | None = None) -> C: ...
@overload
def register_layer(cls: None = None, *, name: str | None = None) -> Callable[[C], C]: ...
def register_layer(cls: C | None = None, *, name: str | None = None) -> C | Callable[[C], C]:
    """Let specs use an ``nn.Module`` class of yours as a layer.

    Its arguments are read from ``__init__``: names, defaults, and kinds where they are annotated.
    Registering the same class again is fine.

    Args:
        cls: a class that can be imported; left out, the call makes a decorator.
        name: what specs call it; the class's own name if left out.

    Returns:
        The class itself.

    Raises:
        UsageError: E801, not a class, a local class, or a name that is taken or not a name.

    Example::

        @register_layer
        class Scale(nn.Module):
            def __init__(self, size: int, init: float = 1.0): ...
    """
    if cls is None:
        return functools.partial(register_layer, name=name)
    if not isinstance(cls, type):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise usage(f"register_layer takes a class, not {cls!r}")
    name = registered_name(cls, name, (*CONTAINERS, *_table()), _registered)
    arguments, keywords_any = constructor_arguments(cls)
    _registered[name] = Layer(
        name,
        arguments,
        module=cls.__module__,
        qualname=cls.__qualname__,
        registered=True,
        keywords_any=keywords_any,
    )
    return cls


def _integers(value: object) -> Iterator[int]:
    if isinstance(value, int) and not isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple):
        for entry in cast(Sequence[object], value):
            yield from _integers(entry)


def _first_layer(name: str) -> str:
    """``weight_ih_l3_reverse`` as ``weight_ih_l0_reverse``."""
    stem, _, tail = name.rpartition("_l")
    number, _, way = tail.partition("_")
    return f"{stem}_l0{'_' if way else ''}{way}" if number.isdecimal() else name


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    text = Path(__file__).with_name("torch_layers.json").read_text(encoding="utf-8")
    return json.loads(text)["layers"]


@functools.cache
def _torch_layer(name: str) -> Layer:
    row = _table()[name]
    return Layer(
        name,
        tuple(_argument(*entry) for entry in row["arguments"]),
        tuple(row.get("parameters", ())),
        tuple(row.get("buffers", ())),
        tuple(row.get("children", ())),
        qualname=name,
        keywords_any=row.get("keywords_any", False),
        stacked=row.get("stacked", False),
    )


_REQUIRED = object()


def _argument(name: str, kinds: str, default: object = _REQUIRED) -> Argument:
    """An argument as the table writes it: ["padding", "int|ints|str:valid,same", 0]."""
    heads, _, choices = zip(*(kind.partition(":") for kind in kinds.split("|")), strict=True)
    if isinstance(default, list):
        default = tuple(cast(Sequence[object], default))
    required = default is _REQUIRED
    return Argument(
        name,
        heads,
        required,
        None if required else default,
        tuple(choice for listed in choices for choice in listed.split(",") if choice),
    )
