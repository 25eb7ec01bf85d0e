"""What the parts of a source know of the whole: its imports, its classes, its ``Config``."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from archspec.codegen.verify.expressions import NAMESPACES
from archspec.codegen.verify.kinds import VALUE, Block, Class, Fields, Kind, Unknown
from archspec.codegen.verify.refusal import Refusal, check_name
from archspec.codegen.verify.trusted import Trusted, TrustedName

_PLAIN = r"(int|float|bool|str|tuple|list|object|any)"
VALUE_TYPE = re.compile(rf"({_PLAIN}|({_PLAIN} \| )?tuple\[{_PLAIN}, \.\.\.\])( \| None)?")
CLASS_TYPE = re.compile(r"type\[nn\.Module\]( \| None)?")
INPUT_TYPE = re.compile(r"(Tensor|list\[Tensor\]|bool|int|float)( \| None)?")

# What no class and no local value may be called: code of the file means something else by it.
RESERVED = frozenset(
    """Config OrderedDict Tensor abs any bool cached_property dataclass enumerate float getattr
    initialize int isinstance len list make_divisible make_pair max min object property range round
    route self str sum super tuple type zip""".split()
) | {*NAMESPACES}


@dataclass
class File:
    """Grows while a source is read from top to bottom.

    Attributes:
        imported: the names that the imports bind, but for those of registered things.
        fields: what ``Config`` declares; None without it.
        initialize: the arguments of that function before the generator; None without it.
    """

    trusted: Trusted
    imported: set[str] = field(default_factory=set[str])
    blocks: dict[str, Block] = field(default_factory=dict[str, Block])
    fields: Fields | None = None
    initialize: tuple[str, ...] | None = None

    @property
    def scope(self) -> dict[str, Kind]:
        """The classes that code of the file may name."""
        trusted: Mapping[str, TrustedName] = self.trusted.imported
        return {**trusted, **{name: Class(block) for name, block in self.blocks.items()}}

    def argument(self, argument: ast.arg) -> Kind:
        """What an argument of a block's ``__init__`` stands for, by its annotation."""
        check_name(argument, argument.arg)
        unknown = Unknown(self.blocks, bool(self.trusted.imported))
        if argument.annotation is None:
            return Class(unknown, is_value=True)
        text = annotation(argument.annotation)
        if text == "Config" and argument.arg == "config" and self.fields:
            return self.fields
        if CLASS_TYPE.fullmatch(text):
            return Class(unknown)
        if VALUE_TYPE.fullmatch(text):
            return VALUE
        raise Refusal(argument, f"'{text}' is no type that is printed")

    def must_import(self, node: ast.AST, *names: str) -> None:
        for name in names:
            if name not in self.imported:
                raise Refusal(node, f"the name '{name}' is not imported")


def annotation(node: ast.expr | None) -> str:
    """The text of a type; only what can stand in one is read at all."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=ast.Name(id=owner), attr=name):
            return f"{owner}.{name}"
        case ast.Subscript(value=ast.Name(id=name), slice=ast.Tuple(elts=[item, rest])):
            return f"{name}[{annotation(item)}, {annotation(rest)}]"
        case ast.Subscript(value=ast.Name(id=name), slice=item):
            return f"{name}[{annotation(item)}]"
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return f"{annotation(left)} | {annotation(right)}"
        case ast.Constant(value=value) if value is None or value is ...:
            return "None" if value is None else "..."
        case _:
            raise Refusal(node, "this is no type that is printed")


def signature(function: ast.FunctionDef, first: str) -> tuple[list[ast.arg], dict[str, ast.expr]]:
    """The arguments behind the first one, and the defaults by name.

    Every argument can be given by name; only those of ``forward`` and further methods may have to
    be, behind ``*``.
    """
    args = function.args
    keyword_only = [] if function.name in ("__init__", "initialize") else args.kwonlyargs
    if args.posonlyargs or args.vararg or args.kwarg or args.kwonlyargs != keyword_only:
        raise Refusal(function, "these arguments are not printed")
    arguments = [*args.args, *keyword_only]
    names = [argument.arg for argument in arguments]
    if names[:1] != [first] or len({*names}) != len(names) or function.returns is not None:
        raise Refusal(function, f"the signature of {function.name} is not printed so")
    positional = args.args[len(args.args) - len(args.defaults) :]
    defaults = zip((*positional, *keyword_only), (*args.defaults, *args.kw_defaults), strict=True)
    return arguments[1:], {one.arg: value for one, value in defaults if value is not None}


def without_docstring(body: Sequence[ast.stmt]) -> Sequence[ast.stmt]:
    """The statements behind a text that says what they do."""
    match body:
        case [ast.Expr(value=ast.Constant(value=str())), *others]:
            return others
        case _:
            return body
