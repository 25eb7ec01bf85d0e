"""What an expression of a generated source stands for, as far as it decides what may be done to it.

A value (a number, a text, a tensor, a tuple of these) has four attributes and the methods of the
table. A module is called, indexed, looped over, or asked for what was declared to be in it. A class
is called, or passed on to a block. No function, namespace or method is ever a value.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from archspec.codegen.verify.refusal import is_public
from archspec.lang.registry import layers
from archspec.lang.registry.attributes import CONTAINER_ATTRIBUTES
from archspec.lang.registry.layers import Layer

_VALUE_ATTRIBUTES = frozenset({"shape", "ndim", "dtype", "device"})


class Kind:
    """What one thing may be used for; by itself for nothing.

    Attributes:
        is_value: whether it may be computed with.
        is_callable: whether ``forward`` may call it.
        has_values: whether a loop asks for its ``values()``, as of a ``ModuleDict``.
        is_class: whether ``__init__`` may call it, which gives ``instance()``.
    """

    is_value = False
    is_callable = False
    has_values = False
    is_class = False

    def attribute(self, name: str) -> Kind | None:
        """What an attribute is; None if there is none that may be asked for."""
        return None

    def item(self, key: str | None = None) -> Kind | None:
        """What an index or a loop gives; None if there is neither.

        Args:
            key: the index, if it is a constant text.
        """
        return None

    def instance(self) -> Kind:
        """What calling the class gives."""
        raise AssertionError("not a class")


class _Value(Kind):
    is_value = True

    def attribute(self, name: str) -> Kind | None:
        return self if name in _VALUE_ATTRIBUTES else None

    def item(self, key: str | None = None) -> Kind | None:
        return self


class _Nothing(Kind):
    """What is not there when the code runs, such as an item of an empty container."""

    is_value = is_callable = has_values = True

    def attribute(self, name: str) -> Kind | None:
        return self if is_public(name) else None

    def item(self, key: str | None = None) -> Kind | None:
        return self


VALUE, NOTHING = _Value(), _Nothing()


class Fields(Kind):
    """The ``Config``, of which only the declared fields are read."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = frozenset(names)

    def attribute(self, name: str) -> Kind | None:
        return VALUE if name in self.names else None


class Choice(Kind):
    """One of several kinds: what is done to it, each of them must allow."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.kinds = tuple(kinds)
        self.is_value = all(kind.is_value for kind in self.kinds)
        self.is_callable = all(kind.is_callable for kind in self.kinds)
        self.has_values = all(kind.has_values for kind in self.kinds)
        self.is_class = all(kind.is_class for kind in self.kinds)

    def attribute(self, name: str) -> Kind | None:
        """An attribute that some have: where the others come, the code fails."""
        return _of_some([kind.attribute(name) for kind in self.kinds])

    def item(self, key: str | None = None) -> Kind | None:
        return _of_some([kind.item(key) for kind in self.kinds])

    def instance(self) -> Kind:
        return union(kind.instance() for kind in self.kinds)


def union(kinds: Iterable[Kind]) -> Kind:
    """One kind for several; what is not there adds nothing."""
    different = list(dict.fromkeys(kind for kind in kinds if kind is not NOTHING))
    if not different:
        return NOTHING
    return different[0] if len(different) == 1 else Choice(different)


def _of_some(kinds: list[Kind | None]) -> Kind | None:
    allowed = [kind for kind in kinds if kind is not None]
    if len(allowed) < len(kinds) and all(kind is NOTHING for kind in allowed):
        return None
    return union(allowed)


class Inside(Kind):
    """A module that a layer of torch.nn is made of, such as an attention's ``out_proj``."""

    is_callable = True

    def attribute(self, name: str) -> Kind | None:
        tensors, children = _names_of_layers()
        if name in children:
            return self
        return VALUE if name in tensors or _may_hold(name) else None

    def item(self, key: str | None = None) -> Kind | None:
        return self


INSIDE = Inside()


class LayerKind(Kind):
    """A layer of torch.nn, whose tensors and parts the table names."""

    is_callable = True

    def __init__(self, layer: Layer) -> None:
        self.layer = layer

    def attribute(self, name: str) -> Kind | None:
        if name in self.layer.children:
            return INSIDE
        return VALUE if is_public(name) and self.layer.may_hold(name) else None


class Foreign(Kind):
    """A layer that trusted Python registered; it is called, and its attributes are values.

    Its methods are not called: a class may have some that write files or load code.
    """

    is_callable = True

    def attribute(self, name: str) -> Kind | None:
        return VALUE if is_public(name) else None


FOREIGN = Foreign()


class Layers(Kind):
    """A list or a dict of modules, which a container is made of."""

    def __init__(self, is_dict: bool) -> None:
        self.is_dict = is_dict
        self.named: dict[str, Kind] = {}
        self.computed: list[Kind] = []
        self.listed: list[Kind] = []


class Container(Kind):
    """``Sequential``, ``ModuleList`` or ``ModuleDict``.

    Args:
        name: which of the three.
        named: the items that have a constant name.
        computed: those whose names are computed.
        listed: those without a name.
    """

    def __init__(
        self,
        name: str,
        named: Mapping[str, Kind],
        computed: Sequence[Kind],
        listed: Sequence[Kind],
    ) -> None:
        self.name, self.named = name, dict(named)
        self.computed, self.listed = union(computed), union(listed)
        self.is_empty = not (named or computed or listed)
        self.is_callable = name == "Sequential"
        self.has_values = name == "ModuleDict"

    def attribute(self, name: str) -> Kind | None:
        if not is_public(name) or name in CONTAINER_ATTRIBUTES[self.name]:
            return None
        if name in self.named:
            return self.named[name]
        return None if self.computed is NOTHING and not self.is_empty else self.computed

    def item(self, key: str | None = None) -> Kind | None:
        if key in self.named:
            return self.named[key]
        return union([*self.named.values(), self.computed, self.listed])


class Method(Kind):
    """A method of a block: it is called, and nothing else."""

    is_callable = True


METHOD = Method()


class Block(Kind):
    """A class of the file.

    Attributes:
        arguments: of its ``__init__``.
        methods: beside ``forward``.
        members: what its ``__init__`` stores, by name.
        container: its items, if it is a ``Sequential``.
    """

    is_callable = True

    def __init__(self, arguments: Iterable[str], methods: Iterable[str] = ()) -> None:
        self.arguments, self.methods = frozenset(arguments), frozenset(methods)
        self.members: dict[str, Kind] = {}
        self.container: Container | None = None

    def attribute(self, name: str) -> Kind | None:
        """A child that ``when`` leaves out is not stored: a step that asks for it cannot run."""
        if name == "training":
            return VALUE
        if self.container is not None:
            return self.container.attribute(name)
        if name in self.methods:
            return METHOD
        return self.members.get(name, NOTHING) if is_public(name) else None

    def item(self, key: str | None = None) -> Kind | None:
        return self.container.item(key) if self.container else None


class Unknown(Kind):
    """A module of a class that a block is given: any block of the file, or any layer."""

    is_callable = True

    def __init__(self, blocks: Mapping[str, Block], has_foreign: bool) -> None:
        self.blocks, self.has_foreign = blocks, has_foreign

    def attribute(self, name: str) -> Kind | None:
        members = [block.members[name] for block in self.blocks.values() if name in block.members]
        members += [METHOD for block in self.blocks.values() if name in block.methods]
        if inside := INSIDE.attribute(name):
            members.append(inside)
        if self.has_foreign and is_public(name):
            members.append(VALUE)
        return union(members) if members and is_public(name) else None


class Class(Kind):
    """A class that ``__init__`` can call or pass on; without annotation it may be a value, too."""

    is_class = True

    def __init__(self, made: Kind, is_value: bool = False) -> None:
        self.made, self.is_value = made, is_value

    def instance(self) -> Kind:
        return self.made


def _may_hold(name: str) -> bool:
    """``weight_ih_l3`` of an LSTM with four layers, which the table has as ``weight_ih_l0``."""
    return any(layer.stacked and layer.may_hold(name) for layer in _torch_layers())


@lru_cache(maxsize=1)
def _torch_layers() -> tuple[Layer, ...]:
    known = map(layers.find, layers.names())
    return tuple(layer for layer in known if layer and not layer.registered)


@lru_cache(maxsize=1)
def _names_of_layers() -> tuple[frozenset[str], frozenset[str]]:
    """The tensors and the parts of all layers."""
    known = _torch_layers()
    tensors = (name for layer in known for name in (*layer.parameters, *layer.buffers))
    return frozenset(tensors), frozenset(name for layer in known for name in layer.children)
