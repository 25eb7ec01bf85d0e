"""What a signature and a name tell of the classes and functions that specs may name."""

from __future__ import annotations

import inspect
import keyword
import types
import typing
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from archspec.errors import Problem, UsageError

_KINDS = {
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "str": "a string",
    "none": "null",
    "ints": "a list of integers",
    "ints?": "a list of integers or nulls",
    "floats": "a list of numbers",
    "module": "a module",
    "any": "anything",
}


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a layer.

    Attributes:
        kinds: which values it takes, out of "int", "float", "bool", "str", "none", "ints" (a list),
            "ints?" (a list that may hold nulls), "floats" (a list), "module", "any".
        default: what it is when left out; None, too, where it is required.
        choices: the strings it takes, if not every string will do.
    """

    name: str
    kinds: tuple[str, ...]
    required: bool
    default: object = None
    choices: tuple[str, ...] = ()

    def accepts(self, value: object) -> bool:
        """Whether the layer can be given ``value``; a module stands as its mapping.

        >>> Argument("padding", ("int", "ints"), required=True).accepts([1, 2])
        True
        """
        if isinstance(value, str) and self.choices:
            return value in self.choices
        return any(is_kind(value, kind) for kind in self.kinds)

    @property
    def expects(self) -> str:
        """What it takes, in words.

        >>> Argument("padding", ("int", "str"), required=True, choices=("valid", "same")).expects
        "an integer, 'valid' or 'same'"
        """
        words = [_KINDS[kind] for kind in self.kinds if not (kind == "str" and self.choices)]
        words += [repr(choice) for choice in self.choices]
        *most, last = words or ["nothing that a spec can hold"]
        return f"{', '.join(most)} or {last}" if most else last


def constructor_arguments(cls: type[Any]) -> tuple[tuple[Argument, ...], bool]:
    """The arguments of a class, and whether it takes any others.

    Device, dtype and private ones are left out: they are chosen when a model is built.

    >>> arguments, takes_any = constructor_arguments(Argument)
    >>> [a.name for a in arguments], takes_any
    (['name', 'kinds', 'required', 'default', 'choices'], False)
    """
    # The class that defines it is asked, not the function: tools wrap nn.Module's.
    owner = next(parent for parent in cls.__mro__ if "__init__" in vars(parent))
    if (owner.__module__, owner.__name__) == ("torch.nn.modules.module", "Module"):
        return (), False
    found = list(_signature(cls.__init__).parameters.values())[1:]
    named = [p for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    arguments = tuple(argument_of(p) for p in named if not _is_left_out(p))
    return arguments, any(p.kind is p.VAR_KEYWORD for p in found)


def argument_of(parameter: inspect.Parameter) -> Argument:
    """A parameter of a signature as an argument; without an annotation, it takes anything."""
    unknown = parameter.annotation is parameter.empty
    kinds, choices = (("any",), ()) if unknown else kinds_of(parameter.annotation)
    required = parameter.default is parameter.empty
    default = None if required or not is_plain(parameter.default) else parameter.default
    if not required and parameter.default is None and not {"none", "any"} & {*kinds}:
        kinds = (*kinds, "none")
    return Argument(parameter.name, kinds, required, default, choices)


def kinds_of(annotation: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The kinds and the choices that a type annotation allows; ("any",) if it says too little.

    A tensor has no kind: no value in a spec is one.

    >>> kinds_of(int | tuple[int, int] | None)
    (('int', 'ints', 'none'), ())
    """
    origin, members = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        parts = [kinds_of(member) for member in members]
        kinds = dict.fromkeys(kind for part, _ in parts for kind in part)
        return tuple(kinds), tuple(choice for _, part in parts for choice in part)
    if origin is typing.Literal:
        kinds = dict.fromkeys(_PLAIN.get(type(member), "any") for member in members)
        return tuple(kinds), tuple(member for member in members if isinstance(member, str))
    if origin in (list, tuple, Sequence):
        entries = {kind for m in members if m is not Ellipsis for kind in kinds_of(m)[0]}
        return (_LISTS.get(frozenset(entries), "any"),), ()
    if origin is Callable:
        return ("module",), ()
    return _kinds_of_class(annotation), ()


_PLAIN: dict[Any, str] = {
    **{kind: kind.__name__ for kind in (int, float, bool, str)},
    **dict.fromkeys((None, type(None)), "none"),
}
_LISTS = {
    frozenset({"int"}): "ints",
    frozenset({"int", "none"}): "ints?",
    frozenset({"float"}): "floats",
    frozenset({"float", "int"}): "floats",
}
_TORCH = {  # by name: this module must not import torch
    "torch.Size": ("ints",),
    "torch.Tensor": (),
    "torch.nn.modules.module.Module": ("module",),
}


def _kinds_of_class(annotation: Any) -> tuple[str, ...]:
    if annotation is None or annotation in (int, float, bool, str, type(None)):
        return (_PLAIN[annotation],)
    for base in getattr(annotation, "__mro__", ()):
        if (known := _TORCH.get(f"{base.__module__}.{base.__qualname__}")) is not None:
            return known
    return ("any",)


class Registered(Protocol):
    """What the registers of layers and of functions have in common."""

    @property
    def module(self) -> str: ...
    @property
    def qualname(self) -> str: ...


def registered_name(
    thing: Any,
    name: str | None,
    taken: Collection[str],
    others: Mapping[str, Registered],
) -> str:
    """The name that a class or function is registered under, once nothing speaks against it.

    Args:
        thing: the class or function.
        name: the name asked for; the thing's own if None.
        taken: names that already mean something in a spec.
        others: what is registered already.

    Raises:
        UsageError: E801, for a name that is taken or not a name, and for a thing that generated
            Python could not import.
    """
    qualname = getattr(thing, "__qualname__", None)
    module = getattr(thing, "__module__", None)
    if not (isinstance(qualname, str) and isinstance(module, str)):
        raise usage(f"{thing!r} cannot be registered: it has no name it can be imported by")
    if "<" in qualname:
        raise usage(
            f"{qualname} cannot be registered: the Python made from a spec could not import it",
            f"define the {_what(thing)} at the top of a module, with a name of its own",
        )
    name = qualname.rpartition(".")[2] if name is None else name
    if not name.isidentifier() or keyword.iskeyword(name):
        raise usage(f"{name!r} cannot name a registered {_what(thing)}", "use a Python identifier")
    if name in taken:
        raise usage(f"{name} cannot be registered: specs use the name already", "use another name=")
    other = others.get(name)
    if other and (other.module, other.qualname) != (module, qualname):
        known = f"{other.module}.{other.qualname}"
        raise usage(f"{name} is registered already, as {known}", "use another name=")
    return name


def is_kind(value: object, kind: str) -> bool:
    """Whether a value is of one of the kinds that an ``Argument`` can take."""
    match kind:
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "float":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "bool":
            return isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "none":
            return value is None
        case "ints":
            return _is_list_of(value, "int")
        case "ints?":
            return _is_list_of(value, "int", "none")
        case "floats":
            return _is_list_of(value, "float")
        case "module":
            return isinstance(value, Mapping)
        case _:
            return True


def _is_list_of(value: object, *kinds: str) -> bool:
    if not isinstance(value, list | tuple):
        return False
    entries = cast(Sequence[object], value)
    return all(any(is_kind(entry, kind) for kind in kinds) for entry in entries)


def is_plain(value: object) -> bool:
    """Whether a value is one that a document can hold, mappings apart."""
    if isinstance(value, list | tuple):
        return all(map(is_plain, cast(Sequence[object], value)))
    return value is None or isinstance(value, int | float | str)


def _is_left_out(parameter: inspect.Parameter) -> bool:
    chosen = parameter.name in ("device", "dtype") or parameter.name.startswith("_")
    return chosen and parameter.default is not parameter.empty


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function, eval_str=True)
    except (NameError, AttributeError, TypeError, SyntaxError):
        return inspect.signature(function)  # names that only a type checker can see


def _what(thing: object) -> str:
    return "class" if isinstance(thing, type) else "function"


def usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
