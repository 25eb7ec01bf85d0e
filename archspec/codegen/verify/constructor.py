"""What ``__init__`` of a block does: its statements, and what they store."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from archspec.codegen.verify.constructor_expressions import ConstructorExpressions, Items
from archspec.codegen.verify.expressions import Expressions, targets_of
from archspec.codegen.verify.file import RESERVED, File, signature
from archspec.codegen.verify.kinds import VALUE, Block, Kind, Layers, union
from archspec.codegen.verify.refusal import Refusal, check_name, is_public
from archspec.lang.registry import functions

METHODS = ["__init__", "reset_parameters", "forward"]
_COMPUTE = "compute_"  # begins the method that computes what a tensor starts as
_DTYPES = frozenset(functions.CONSTANTS.values())


class Constructor:
    """Checks one ``__init__``, and takes note of what it stores."""

    def __init__(self, file: File, methods: Mapping[str, ast.FunctionDef]) -> None:
        self.file, self.methods = file, methods
        self.function = function = methods["__init__"]
        self.imported = frozenset(file.imported)
        self.arguments, self.defaults = signature(function, "self")
        self.block = Block((argument.arg for argument in self.arguments), {*methods} - {*METHODS})
        scope = file.scope
        for argument in self.arguments:
            scope[argument.arg] = file.argument(argument)
        self.expressions = ConstructorExpressions(scope, self.imported)
        self.locals: set[str] = set()

    def check(self, *, is_sequential: bool) -> None:
        self._check_defaults()
        if is_sequential:
            *defaults, last = self.function.body
            for statement in defaults:
                if not (self._computes(statement) or self._fills(statement)):
                    raise Refusal(statement, "a Sequential is given its items, nothing else")
            self.block.container = self.expressions.container(_super_init(last), "Sequential")
            return
        first, *others = self.function.body
        call = _super_init(first)
        if call.args or call.keywords:
            raise Refusal(first, "__init__ begins with super().__init__()")
        for statement in others:
            self._statement(statement)

    def _check_defaults(self) -> None:
        """They are computed when the class is made, where no argument is known."""
        outside = Defaults(self.file.scope, self.imported)
        for name, default in self.defaults.items():
            if name == "config":
                self._check_config(default)
            else:
                outside.class_or_value(default)

    def _check_config(self, default: ast.expr) -> None:
        match default:
            case ast.Call(func=ast.Name(id="Config"), args=[], keywords=[]) if self.file.fields:
                pass
            case _:
                raise Refusal(default, "the config has no default but Config()")

    # ------------------------------------------------------------------------------ statements

    def _statement(self, statement: ast.stmt) -> None:
        match statement:
            case ast.Assign(targets=[ast.Attribute() | ast.Subscript() as target], value=value) if (
                _root(target) == "self" and _is_inside(target)
            ):
                self._store_inside(target, value)
            case ast.Assign(targets=[ast.Attribute() as target], value=value):
                self._store(target, value)
            case ast.For(target=ast.Name(id=name), iter=iterable, body=body, orelse=[]) if (
                _replaces_all(body)
            ):
                self.expressions.looped(iterable)
                self._bind(statement, name)
                for part in body:
                    self._statement(part)
            case ast.Expr(value=ast.Call() as call):
                self._call(call)
            case _ if self._computes(statement) or self._fills(statement):
                pass
            case ast.If(test=test, body=body, orelse=orelse):
                self.expressions.value(test)
                for part in (*body, *orelse):
                    is_stored = isinstance(part, ast.Assign) or _is_registered(part)
                    if not (is_stored or self._fills(part)):
                        raise Refusal(part, "a condition decides what is stored, nothing else")
                    self._statement(part)
            case ast.For():
                self._loop(statement)
            case _:
                raise Refusal(statement, f"{type(statement).__name__} is not printed in __init__")

    def _computes(self, statement: ast.stmt) -> bool:
        """Whether it is ``if x is None: x = …`` of an argument, or computes a local value."""
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not _is_layers(value):
                self.expressions.value(value)
                self._bind(statement, name)
                return True
            case ast.Assign(
                targets=[ast.Tuple(elts=[*targets])], value=ast.Tuple(elts=[*values])
            ) if len(targets) == len(values):
                for value in values:
                    self.expressions.value(value)
                for target in targets:
                    for name in targets_of(target):
                        self._bind(statement, name)
                return True
            case ast.If(
                test=ast.Compare(left=ast.Name(id=name), ops=[ast.Is()]) as test,
                body=[ast.Assign(targets=[ast.Name(id=target)], value=value)],
                orelse=[],
            ) if name == target and name in self.block.arguments and name != "config":
                self.expressions.kind(test)
                self.expressions.class_or_value(value)
                return True
            case _:
                return False

    def _fills(self, statement: ast.stmt) -> bool:
        """Whether it puts modules into a list or a dict of layers, or runs a loop that does."""
        items = Items(self.expressions)
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.List(elts=listed)):
                items.listed_in(listed)
                self._layers(statement, name, is_dict=False).listed += items.listed
            case ast.Assign(
                targets=[ast.Name(id=name)],
                value=ast.Call(func=ast.Name(id="OrderedDict"), args=[], keywords=[]),
            ):
                self.file.must_import(statement, "OrderedDict")
                self._layers(statement, name, is_dict=True)
            case ast.Expr(
                value=ast.Call(
                    func=ast.Attribute(value=ast.Name(id=name), attr="append"),
                    args=[item],
                    keywords=[],
                )
            ):
                self._known(statement, name, is_dict=False).listed.append(
                    self.expressions.module(item)
                )
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=ast.List(elts=listed)):
                items.listed_in(listed)
                self._known(statement, name, is_dict=False).listed += items.listed
            case ast.AugAssign(target=ast.Name(id=name), op=ast.Add(), value=ast.ListComp() as one):
                items.repeated_in(one)
                self._known(statement, name, is_dict=False).listed += items.listed
            case ast.Assign(
                targets=[ast.Subscript(value=ast.Name(id=name), slice=key)], value=item
            ):
                items.add(key, self.expressions.module(item))
                layers = self._known(statement, name, is_dict=True)
                layers.named |= items.named
                layers.computed += items.computed
            case ast.For(target=target, iter=iterable, body=body, orelse=[]) if not _is_of_modules(
                iterable
            ):
                self.expressions.looped(iterable)
                for name in targets_of(target):
                    self._bind(target, name)
                self._fill_all(body)
            case _:
                return False
        return True

    def _fill_all(self, body: Sequence[ast.stmt]) -> None:
        for statement in body:
            if isinstance(statement, ast.If):
                self.expressions.value(statement.test)
                self._fill_all((*statement.body, *statement.orelse))
            elif not (self._computes(statement) or self._fills(statement)):
                raise Refusal(statement, "a loop fills a list of layers, and does nothing else")

    def _layers(self, statement: ast.stmt, name: str, *, is_dict: bool) -> Layers:
        """A new list or dict, or one that is begun anew in each round."""
        if not isinstance(self.expressions.scope.get(name, None), Layers | None):
            raise Refusal(statement, f"'{name}' already means something else")
        self._check_new(statement, name)
        self.expressions.scope[name] = layers = Layers(is_dict)
        return layers

    def _known(self, statement: ast.stmt, name: str, *, is_dict: bool) -> Layers:
        kind = self.expressions.scope.get(name)
        if not isinstance(kind, Layers) or kind.is_dict is not is_dict:
            raise Refusal(statement, f"'{name}' is no list of layers")
        return kind

    def _bind(self, node: ast.AST, name: str) -> None:
        """A value that has a name of its own, new or as it was."""
        if name in self.expressions.scope and name not in self.locals:
            raise Refusal(node, f"'{name}' already means something else")
        self._check_new(node, name)
        self.locals.add(name)
        self.expressions.scope[name] = VALUE

    def _check_new(self, node: ast.AST, name: str) -> None:
        check_name(node, name)
        if name in RESERVED or name == "self":
            raise Refusal(node, f"'{name}' already means something else")

    def _store(self, target: ast.Attribute, value: ast.expr) -> None:
        """``self.name = …`` of a child, a tensor or a number; else a tensor that is another's."""
        if _root(value) == "self":
            self._store_inside(target, value)
            return
        is_own = isinstance(target.value, ast.Name) and target.value.id == "self"
        if not is_own or not is_public(target.attr):
            raise Refusal(target, f"'{target.attr}' is not stored")
        known = self.block.members.get(target.attr)
        kind = self._stored(value, target.attr)
        self.block.members[target.attr] = union([kind] if known is None else [known, kind])

    def _store_inside(self, target: ast.Attribute | ast.Subscript, value: ast.expr) -> None:
        """A tensor that is another's, or a module in the place of one: ``self.a[i].b = X(…)``."""
        numbers = dict.fromkeys(self.locals, VALUE)
        paths = Paths({**numbers, "self": self.block}, self.imported)
        if isinstance(target, ast.Attribute) and not is_public(target.attr):
            raise Refusal(target, f"'{target.attr}' is not stored")
        if _root(value) == "self":
            paths.value(target)
            paths.value(value)
        elif not paths.kind(target).is_callable or not isinstance(
            self.expressions.kind(value), Block
        ):
            raise Refusal(target, "a module takes the place of a module")

    def _stored(self, value: ast.expr, name: str) -> Kind:
        match value:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="nn"), attr="Parameter"),
                args=[ast.Call() as first],
                keywords=[],
            ):
                self.file.must_import(value, "nn")
                self._check_first(first, name)
                return VALUE
            case ast.Name() | ast.Attribute():
                self.expressions.value(value)
                return VALUE
            case _:
                return self.expressions.module(value)

    def is_computed(self, node: ast.expr, name: str) -> bool:
        """Whether it is ``self.compute_x()``, where the tensor is called ``x``."""
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr=method), args=[], keywords=[]
            ):
                return is_public(name) and method == f"{_COMPUTE}{name}" and method in self.methods
            case _:
                return False

    def _check_first(self, node: ast.expr, name: str) -> None:
        """``torch.empty(3, size, dtype=torch.int64)``, ``self.compute_x().to(torch.int64)``."""
        match node:
            case ast.Call(func=ast.Attribute(value=value, attr="to"), args=[dtype], keywords=[]):
                if self.expressions.dotted(dtype) not in _DTYPES:
                    raise Refusal(dtype, "a value is taken to a dtype")
            case value:
                pass
        if self.is_computed(value, name):
            return
        if not isinstance(node, ast.Call) or self.expressions.dotted(node.func) != "torch.empty":
            raise Refusal(node, "a tensor is made by torch.empty")
        for keyword in node.keywords:
            if keyword.arg != "dtype" or self.expressions.dotted(keyword.value) not in _DTYPES:
                raise Refusal(keyword.value, "torch.empty takes sizes and a dtype")
        self.expressions.arguments(node, lambda name: name == "dtype", self.expressions.value)

    def _call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr="register_buffer"),
                args=[ast.Constant(value=str(name)), first],
                keywords=[] | [ast.keyword(arg="persistent", value=ast.Constant(value=False))],
            ) if is_public(name):
                if not _is_none(first):
                    self._check_first(first, name)
                self.block.members[name] = VALUE
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr="register_parameter"),
                args=[ast.Constant(value=str(name)), ast.Constant(value=None)],
                keywords=[],
            ) if is_public(name):
                self.block.members[name] = VALUE
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="self"), attr="reset_parameters"),
                args=[],
                keywords=[],
            ):
                pass
            case _:
                raise Refusal(node, "this is not called in __init__")

    def _loop(self, loop: ast.For) -> None:
        """``for name, module in self.named_modules(): initialize(module, name, config)``."""
        match loop:
            case ast.For(
                target=ast.Name(id="module"),
                iter=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="self"), attr="modules"),
                    args=[],
                    keywords=[],
                ),
                body=[ast.Expr(value=ast.Call() as call)],
                orelse=[],
            ):
                known = {"module", "config"}
            case ast.For(
                target=ast.Tuple(elts=[ast.Name(id="name"), ast.Name(id="module")]),
                iter=ast.Call(
                    func=ast.Attribute(value=ast.Name(id="self"), attr="named_modules"),
                    args=[],
                    keywords=[],
                ),
                body=[ast.Expr(value=ast.Call() as call)],
                orelse=[],
            ):
                known = {"name", "module", "config"}
            case _:
                raise Refusal(loop, "this loop is not printed in __init__")
        known -= set() if "config" in self.block.arguments else {"config"}
        self._check_initialize(call, known)

    def _check_initialize(self, call: ast.Call, known: set[str]) -> None:
        given = tuple(part.id if isinstance(part, ast.Name) else "" for part in call.args)
        called = isinstance(call.func, ast.Name) and call.func.id == "initialize"
        if not called or call.keywords or given != self.file.initialize or not known >= {*given}:
            raise Refusal(call, "initialize is not called so")


class Defaults(ConstructorExpressions):
    """Defaults of arguments, which make no module."""

    def call(self, node: ast.Call) -> Kind:
        return Expressions.call(self, node)


class Paths(Expressions):
    """The paths of tensors and modules: ``self.a[0]["b"].get_submodule("c").weight``."""

    def call(self, node: ast.Call) -> Kind:
        match node:
            case ast.Call(
                func=ast.Attribute(value=owner, attr="get_submodule"),
                args=[ast.Constant(value=str(name))],
                keywords=[],
            ) if kind := self.kind(owner).item(name):
                return kind
            case _:
                raise Refusal(node, "this is not called in a path")


def _super_init(statement: ast.stmt) -> ast.Call:
    """The call ``super().__init__(…)`` of a statement."""
    match statement:
        case ast.Expr(value=ast.Call(func=ast.Attribute(value=owner, attr="__init__")) as call) if (
            is_super(owner)
        ):
            return call
        case _:
            raise Refusal(statement, "__init__ begins with super().__init__()")


def is_super(node: ast.expr) -> bool:
    """Whether it is ``super()``."""
    match node:
        case ast.Call(func=ast.Name(id="super"), args=[], keywords=[]):
            return True
        case _:
            return False


def _is_registered(statement: ast.stmt) -> bool:
    """Whether a raw tensor is registered, or None in its place: ``self.register_…(…)``."""
    match statement:
        case ast.Expr(
            value=ast.Call(
                func=ast.Attribute(
                    value=ast.Name(id="self"), attr="register_buffer" | "register_parameter"
                )
            )
        ):
            return True
        case _:
            return False


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_inside(node: ast.expr) -> bool:
    """Whether a path leads into a child: ``self.a.b``, ``self.a[0]``."""
    return isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.value, ast.Name)


def _replaces_all(body: Sequence[ast.stmt]) -> bool:
    """Whether all statements store something inside of a child."""
    return all(
        isinstance(part, ast.Assign) and [*map(_is_inside, part.targets)] == [True]
        and _root(part.targets[0]) == "self"
        for part in body
    )  # fmt: skip


def _root(node: ast.expr) -> str:
    """The name that a path begins with."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _is_layers(value: ast.expr) -> bool:
    """Whether a local variable begins as a list or a dict of layers."""
    match value:
        case ast.List() | ast.Call(func=ast.Name(id="OrderedDict")):
            return True
        case _:
            return False


def _is_of_modules(node: ast.expr) -> bool:
    """Whether a loop runs over ``self.modules()``, as that of initialize does."""
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id="self"))):
            return True
        case _:
            return False
