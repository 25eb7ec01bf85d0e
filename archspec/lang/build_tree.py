"""From the validated document to the tree: every expression is parsed and resolved here, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar, cast

from pydantic import ValidationError

from archspec.lang import schema, tree
from archspec.lang.checker import Checker
from archspec.lang.expr import ExpressionError, Node, Span, Symbol
from archspec.lang.expr.nodes import (
    Broken,
    Clause,
    Comprehension,
    Constant,
    Name,
    Sequence,
    Subscript,
    index_parts,
    walk,
)
from archspec.lang.expr.parse import parse, template, value_node
from archspec.lang.plain_numbers import with_numeric_calls
from archspec.lang.python_names import without_owners
from archspec.lang.references import Blocks, Modules, loop_items
from archspec.lang.registry import functions
from archspec.lang.registry.initializers import parts, split_fill
from archspec.lang.resolve import Scope, argument_errors, resolved
from archspec.lang.yaml import Path

# What declares names in a block.
_GROUPS = ("params", "let", "inputs", "modules", "parameters", "buffers", "methods")
_CONSTANTS = {name: Symbol("constant", name) for name in functions.CONSTANTS}
_TRAINING = {"training": Symbol("training", "training")}
D = TypeVar("D")
N = TypeVar("N")


def read(checker: Checker) -> tree.SpecTree:
    """The tree of a spec; what cannot be parsed or resolved is reported and becomes ``Broken``."""
    architecture = checker.architecture
    reader = _Reader(checker)
    shared = {
        **reader.symbols("global", architecture.params, ("params",)),
        **reader.symbols("global", architecture.let, ("let",)),
    }
    params = reader.params(architecture.params, ("params",), shared)
    readers = [_BlockReader(checker, n, b, shared) for n, b in architecture.blocks.items()]
    # Steps come last: they speak of the modules of other blocks.
    blocks = {one.name: one.block() for one in readers}
    for one in readers:
        blocks[one.name] = one.with_forward(blocks)
    rules = tuple(reader.rule(i, rule, shared) for i, rule in enumerate(architecture.init))
    ties = tuple(reader.tie(name, tie, shared) for name, tie in architecture.tie.items())
    let = reader.let(architecture.let, ("let",), shared)
    return tree.SpecTree(architecture, params, let, blocks, rules, ties)


class _Reader:
    """What the reading of blocks and of the rest of a spec share."""

    def __init__(self, checker: Checker) -> None:
        self.checker, self.document = checker, checker.document

    def symbols(self, kind: Any, declared: Mapping[str, Any], path: Path) -> dict[str, Symbol]:
        """Parameters or local values as symbols, those whose declaration is wrong as broken."""
        found = self.broken(path)
        for name, one in declared.items():
            if name not in found:
                is_class = isinstance(one, schema.Param) and one.type in ("block", "layer")
                found[name] = Symbol(kind, name, (*path, name), one, is_class)
        return found

    def broken(self, path: Path) -> dict[str, Symbol]:
        """The names declared below ``path`` whose declaration is wrong."""
        names = {p[len(path)] for p in self.checker.findings.broken if p[: len(path)] == path != p}
        return {str(n): Symbol("broken", str(n), (*path, n)) for n in names}

    def value(self, value: Any, path: Path, scope: Scope, *, classes: bool = False) -> Node:
        """A value of the document; ``path`` is where it stands."""
        return self.resolve(self.parsed(value_node, value, path), scope, classes=classes)

    def value_if_given(self, value: Any, path: Path, scope: Scope) -> Node | None:
        return None if value is None else self.value(value, path, scope)

    def parsed(
        self, parse: Callable[..., Node], text: Any, path: Path, *offset: int, key: bool = False
    ) -> Node:
        try:
            return parse(text, path, *offset)
        except ExpressionError as error:
            self.checker.report(error, key=key)
            return Broken(Span(path))

    def resolve(self, node: Node, scope: Scope, *, classes: bool = False) -> Node:
        node, errors = without_owners(node, scope, "$")
        node = resolved(node, scope)
        for error in (*errors, *argument_errors(node, scope, classes=classes)):
            self.checker.report(error)
        return node

    def shortened(self, path: Path, key: str) -> Path:
        """``path`` and a key that the short form leaves out."""
        longer = (*path, key)
        return longer if self.document.has(longer) else path

    def params(
        self, declared: Mapping[str, schema.Param], path: Path, scope: Scope
    ) -> dict[str, tree.ParamNode]:
        def param(name: str, declared: schema.Param, at: Path) -> tree.ParamNode:
            if declared.required:
                return tree.ParamNode(name, at, declared, None)
            place, is_class = self.shortened(at, "default"), declared.type in ("block", "layer")
            default = self.value(declared.default, place, scope, classes=is_class)
            return tree.ParamNode(name, at, declared, default)

        return _each(declared, path, param)

    def let(self, declared: Mapping[str, Any], path: Path, scope: Scope) -> dict[str, tree.LetNode]:
        def local(name: str, value: Any, at: Path) -> tree.LetNode:
            return tree.LetNode(name, at, self.value(value, at, scope))

        return _each(declared, path, local)

    def initializer(self, declared: schema.Initialiser, path: Path, scope: Scope) -> tree.InitNode:
        name, given = parts(declared)
        arguments = {k: self.value(value, (*path, name, k), scope) for k, value in given.items()}
        return tree.InitNode(path, name, arguments, declared)

    def rule(self, index: int, rule: schema.InitRule, scope: Scope) -> tree.RuleNode:
        def fill(key: str, declared: schema.Initialiser, at: Path) -> tree.FillNode:
            tensor, text = split_fill(key) or ("", "")
            index_node = self._index(text, at, scope) if text else None
            return tree.FillNode(at, tensor, index_node, self.initializer(declared, at, scope))

        path: Path = ("init", index)
        return tree.RuleNode(path, rule, tuple(_each(rule.fills, path, fill).values()))

    def tie(self, name: str, declared: schema.Tie, scope: Scope) -> tree.TieNode:
        path: Path = ("tie", name)
        when = self.value(declared.when, (*path, "when"), scope)
        return tree.TieNode(name, path, declared.to, when)

    def _index(self, text: str, path: Path, scope: Scope) -> Node:
        """What stands in the brackets of ``weight[…]``; its place is that of the key."""
        index = resolved(self.parsed(_index_of, text, path, key=True), scope)
        for part in index_parts(index):
            if not (isinstance(part, Constant) and part.value is ...):
                for error in argument_errors(part, scope, classes=False):
                    self.checker.report(error, key=True)
        return index


class _BlockReader(_Reader):
    """Reads one block: first what it declares, then, knowing all blocks, its steps."""

    def __init__(
        self, checker: Checker, name: str, declared: schema.Block, shared: Mapping[str, Symbol]
    ) -> None:
        super().__init__(checker)
        self.name, self.declared, self.shared = name, declared, shared
        self.path: Path = ("blocks", name)
        self.own = {
            **self.symbols("let", declared.let, (*self.path, "let")),
            **self.symbols("param", declared.params, (*self.path, "params")),
        }
        self.scope = {**shared, **self.own}
        entries = (declared, *declared.methods.values())
        groups = [group for one in entries for group in (one.inputs, one.outputs)]
        contracts = [contract for group in groups for contract in (group or {}).values()]
        symbols = [size for contract in contracts for size in contract.sizes]
        symbols += checker.architecture.dims
        symbols += [name for g in groups for name, one in (g or {}).items() if one.is_size]
        self.sizes = {
            str(size): Symbol("size", str(size))
            for size in symbols
            if isinstance(size, str) and not size.startswith("$") and size != schema.ANY_DIMENSIONS
        }

    def block(self) -> tree.BlockNode:
        declared, path = self.declared, self.path
        self._made = tree.BlockNode(
            name=self.name,
            path=path,
            declared=declared,
            params=self.params(declared.params, (*path, "params"), self.scope),
            let=self.let(declared.let, (*path, "let"), self.scope),
            inputs=_each(declared.inputs, (*path, "inputs"), self._contract),
            outputs=_each(declared.outputs, (*path, "outputs"), self._contract),
            modules={} if declared.items is not None else self._modules(),
            container=self._container(),
            parameters=_each(declared.parameters, (*path, "parameters"), self._tensor),
            buffers=_each(declared.buffers, (*path, "buffers"), self._tensor),
            forward=None,
            methods={},
        )
        methods = _each(declared.methods, (*path, "methods"), self._method)
        self._made = replace(self._made, methods=methods)
        return self._made

    def _method(self, name: str, declared: schema.Method, at: Path) -> tree.BlockNode:
        inputs = self._made.inputs
        if declared.inputs is not None:
            inputs = _each(declared.inputs, (*at, "inputs"), self._contract)
        outputs = _each(declared.outputs, (*at, "outputs"), self._contract)
        name = f"{self.name}.{name}"
        return replace(self._made, name=name, path=at, inputs=inputs, outputs=outputs)

    def _contract(self, name: str, declared: schema.Contract, at: Path) -> tree.ContractNode:
        """Its sizes may be computed from other sizes; what is returned may depend on training."""
        path, scope = self.shortened(at, "shape"), {**self.sizes, **self.scope}
        path = (*path, 0) if declared.is_list else path
        if declared.index is not None:
            scope |= {declared.index: Symbol("counter", declared.index, (*at, "index"))}
        when = self.value(declared.when, (*at, "when"), {**_TRAINING, **self.scope})
        sizes = self._shape(declared.sizes, path, scope)
        return tree.ContractNode(
            name,
            at,
            declared,
            shape=tuple(size for i, size in enumerate(sizes) if i != declared.open_at),
            below=self.value_if_given(declared.below, (*at, "below"), self.scope),
            length=self.value_if_given(declared.length, (*at, "length"), self.scope),
            when=when,
        )

    def _tensor(self, name: str, declared: schema.Tensor, at: Path) -> tree.TensorNode:
        init = self.initializer(declared.init, (*at, "init"), self.scope)
        shape = None
        if declared.shape is not None:
            shape = self._shape(declared.shape, (*at, "shape"), self.scope)
        value = self._tensor_value(declared, at)
        when = self.value(declared.when, (*at, "when"), self.scope)
        return tree.TensorNode(name, at, declared, shape, init, value, when)

    def _tensor_value(self, declared: schema.Tensor, at: Path) -> tuple[tree.StepNode, ...]:
        """The steps of a value, which knows the parameters and no module; those of an expression
        are one."""
        value, path = declared.value, (*at, "value")
        scope = {**_CONSTANTS, **self.scope}
        if isinstance(value, list):
            return with_numeric_calls(self._steps(value, path, scope, {}), {})
        if value is None:
            return ()
        node: Node = Broken(Span(path))
        if value.startswith("$"):
            node = self._step(value[1:], path, 1, scope)
        else:
            hint = "an expression begins with $"
            self.checker.add("E202", f"'{value}' is no expression", path, hint=hint)
        return with_numeric_calls((tree.ReturnNode(path, node),), {})

    def _shape(self, shape: Iterable[int | str], path: Path, scope: Scope) -> tuple[Node, ...]:
        return tuple(self.value(size, (*path, i), scope) for i, size in enumerate(shape))

    # -------------------------------------------------------------------------------- modules

    def _modules(self) -> dict[str, tree.ModuleNode]:
        carried: dict[str, Symbol] = {}

        def child(name: str, declared: schema.Module, at: Path) -> tree.ModuleNode:
            made = self._module(declared, at, carried)
            if made.always and not made.is_mapping:
                carried.update(_carried(made.items))
            return made

        return _each(self.declared.modules, (*self.path, "modules"), child)

    def _container(self) -> tree.ModuleNode | None:
        """The Sequential that a block with items is."""
        items = self.declared.items
        if items is None:
            return None
        made = schema.Module.model_construct(type="Sequential", items=items)
        return self._module(made, self.path, {})

    def _module(self, declared: schema.Module, path: Path, counters: Scope) -> tree.ModuleNode:
        # A repeat cannot use its own counter; everything else of the item can.
        outer = {**counters, **self.scope}
        if declared.index is not None:
            counter = Symbol("counter", declared.index, (*path, "index"))
            counters = {**counters, declared.index: counter}
        scope = {**counters, **self.scope}
        name = None
        if declared.name is not None:
            name = self.resolve(self.parsed(template, declared.name, (*path, "name")), scope)
        return tree.ModuleNode(
            path=path,
            declared=declared,
            type=self.value(declared.type, (*path, "type"), scope, classes=True),
            when=self.value(declared.when, (*path, "when"), scope),
            repeat=self.value_if_given(declared.repeat, (*path, "repeat"), outer),
            index=declared.index,
            name=name,
            items=self._items(declared.items or [], (*path, "items"), counters),
            is_mapping=isinstance(declared.items, dict),
            arguments={
                key: self._argument(value, (*path, key), counters)
                for key, value in declared.arguments.items()
            },
        )

    def _items(
        self, declared: schema.Items, path: Path, counters: Scope
    ) -> tuple[tuple[str | int, tree.ItemNode], ...]:
        """Items, of which each knows the running values of the groups in front of it."""
        found: list[tuple[str | int, tree.ItemNode]] = []
        pairs = declared.items() if isinstance(declared, dict) else enumerate(declared)
        for key, one in pairs:
            if isinstance(one, schema.Group):
                made = self._group(one, (*path, key), counters)
            else:
                made = self._module(one, (*path, key), counters)
            found.append((key, made))
            broken = self.broken((*path, key, "carry"))
            counters = {**counters, **_carried(found[-1:]), **broken}
        return tuple(found)

    def _group(self, declared: schema.Group, path: Path, counters: Scope) -> tree.GroupNode:
        outer = {**counters, **self.scope}
        each = None
        if declared.each is not None and "over" in declared.model_fields_set:
            iterable = self._plain(declared.over, (*path, "in"))
            each = Clause(Span((*path, "in")), tuple(declared.each), iterable, ())
            each = cast("Clause", self.resolve(each, outer))
        names = {name: (*path, "carry", name) for name in declared.carry}
        names |= dict.fromkeys(declared.each or (), (*path, "each"))
        names |= {declared.index: (*path, "index")} if declared.index else {}
        inside = {**counters, **{n: Symbol("counter", n, at) for n, at in names.items()}}
        inside |= self.broken((*path, "carry"))
        scope = {**inside, **self.scope}
        carry = tuple(
            tree.CarryNode(
                name,
                (*path, "carry", name),
                self.resolve(self._plain(first, (*path, "carry", name, 0)), outer),
                self.resolve(self._plain(after, (*path, "carry", name, 1)), scope),
            )
            for name, (first, after) in declared.carry.items()
        )
        return tree.GroupNode(
            path=path,
            declared=declared,
            repeat=self.value_if_given(declared.repeat, (*path, "repeat"), outer),
            index=declared.index,
            each=each,
            carry=carry,
            items=self._items(declared.items, (*path, "items"), inside),
        )

    def _plain(self, value: Any, path: Path) -> Node:
        """A value that is no mapping, and holds none."""
        node = self.parsed(value_node, value, path)
        for part in walk(node):
            if isinstance(part, Constant) and isinstance(part.value, dict):
                self.checker.add("E205", "a mapping is no value", part.span.path)
                return Broken(Span(path))
        return node

    def _argument(self, value: Any, path: Path, counters: Scope) -> Node | tree.ModuleNode:
        """A value, or a module such as the layer that nn.TransformerEncoder copies."""
        if isinstance(value, dict):
            try:
                nested = schema.Module.model_validate(cast("dict[str, Any]", value))
            except ValidationError:
                return Constant(Span(path), value)
            return self._module(nested, path, counters)
        return self.value(value, path, {**counters, **self.scope}, classes=True)

    # ---------------------------------------------------------------------------------- steps

    def with_forward(self, blocks: Blocks) -> tree.BlockNode:
        """The block with its steps."""
        steps = None
        if self.declared.forward is not None and self.declared.items is None:
            scope = self._scope(self._made)
            steps = self._steps(self.declared.forward, (*self.path, "forward"), scope, blocks)
            steps = with_numeric_calls(steps, self._made.inputs)
        methods = {
            name: replace(method, forward=self._method_steps(name, method, blocks))
            for name, method in self._made.methods.items()
        }
        return replace(self._made, forward=steps, methods=methods)

    def _method_steps(
        self, name: str, method: tree.BlockNode, blocks: Blocks
    ) -> tuple[tree.StepNode, ...]:
        path, steps = self.shortened(method.path, "forward"), self.declared.methods[name].forward
        found = self._steps(steps, path, self._scope(method), blocks)
        return with_numeric_calls(found, method.inputs)

    def _scope(self, entry: tree.BlockNode) -> dict[str, Symbol]:
        """The names in the steps of forward, or of a method."""
        at, made = self.path, self._made
        # A child hides a parameter of its name; other names that are declared twice were reported.
        return {
            **_CONSTANTS, **_TRAINING, **self.shared, **self.own,
            **{name: Symbol("method", name, m.path) for name, m in made.methods.items()},
            **{name: Symbol("tensor", name, t.path) for name, t in made.tensors.items()},
            **{name: Symbol("child", name, m.path, (m,)) for name, m in made.modules.items()},
            **{name: Symbol("input", name, c.path) for name, c in entry.inputs.items()},
            **{n: s for group in _GROUPS for n, s in self.broken((*at, group)).items()},
            **self.broken((*at, "targets")),
        }  # fmt: skip

    def _steps(
        self, steps: Iterable[schema.Step], path: Path, scope: dict[str, Symbol], blocks: Blocks
    ) -> tuple[tree.StepNode, ...]:
        found: list[tree.StepNode] = []
        for i, step in enumerate(steps):
            at = (*path, i)
            match step:
                case schema.Return():
                    found.append(self._return(step.value, (*at, "return"), scope))
                case schema.Assign():
                    value = self._step(step.value, (*at, step.key), 0, scope)
                    found.append(tree.AssignNode((*at, step.key), step.targets, value))
                    self._bind(step.targets, [None] * len(step.targets), (*at, step.key), scope)
                case schema.For():
                    offset = len(step.loop) - len(step.iterable)
                    value = self._step(step.iterable, (*at, "for"), offset, scope)
                    inside = dict(scope)
                    modules = loop_items(value, len(step.targets), blocks)
                    self._bind(step.targets, modules, (*at, "for"), inside)
                    body = self._steps(step.do, (*at, "do"), inside, blocks)
                    found.append(tree.ForNode((*at, "for"), step.targets, value, body))
                    # A loop may run no time at all: what it defines is not there after it.
                    scope |= {name: inside[name] for name in scope}
        return tuple(found)

    def _return(self, value: str | dict[str, str], path: Path, scope: Scope) -> tree.ReturnNode:
        if isinstance(value, dict):
            items = [self._step(text, (*path, name), 0, scope) for name, text in value.items()]
            return tree.ReturnNode(path, Sequence(Span(path), tuple(items), False), (*value,))
        node = self._step(value, path, 0, scope)
        if isinstance(node, Sequence):  # [a, b] returns two values, as a, b does
            node = replace(node, is_list=False)
        return tree.ReturnNode(path, node)

    def _bind(
        self, targets: tuple[str, ...], modules: list[Modules], path: Path, scope: dict[str, Symbol]
    ) -> None:
        for target, found in zip(targets, modules, strict=True):
            known = scope.get(target)
            if known is None or known.kind in ("input", "local"):  # else reported
                scope[target] = Symbol("local", target, path, found)

    def _step(self, text: str, path: Path, offset: int, scope: Scope) -> Node:
        node = self.parsed(parse, text, path, offset)
        for part in walk(node):
            if isinstance(part, Comprehension):
                hint = "write a step {for: x in xs, do: […]}, or compute the list in let"
                message = "a comprehension is no part of a forward step"
                if "value" in path[4:5]:  # of a raw tensor
                    hint = "write steps: [{xs: []}, {for: x in range(n), do: […]}, {return: …}]"
                    message = "a comprehension is no part of a tensor's value"
                self.checker.report(ExpressionError("E302", message, part, hint))
                return Broken(Span(path))
        node, errors = without_owners(node, scope, "$" * offset if path[-1:] == ("value",) else "")
        for error in errors:
            self.checker.report(error)
        return resolved(node, scope)


def _carried(items: Iterable[tuple[str | int, tree.ItemNode]]) -> dict[str, Symbol]:
    """The running values of groups, which keep their last values behind them."""
    groups = (item for _, item in items if isinstance(item, tree.GroupNode))
    return {one.name: Symbol("counter", one.name, one.path) for g in groups for one in g.carry}


def _each(declared: Mapping[str, D], path: Path, read: Callable[[str, D, Path], N]) -> dict[str, N]:
    """What ``read`` makes of each declaration, of its name and its path."""
    return {name: read(name, one, (*path, name)) for name, one in declared.items()}


def _index_of(text: str, path: Path) -> Node:
    node = parse(f"_[{text}]", path)
    if not isinstance(node, Subscript) or not isinstance(node.value, Name):
        raise ExpressionError("E301", "not one index", node)
    return node.index
