"""Which classes the generated module holds, and which of them take the ``Config``."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from archspec.lang.checks.checker import iterate_items
from archspec.lang.checks.selections import split_fill
from archspec.lang.checks.steps import step_text
from archspec.lang.expr.expressions import Expression, evaluate, outcomes, parse, template
from archspec.lang.instances import walk
from archspec.lang.params import literal
from archspec.lang.registry.initializers import parts
from archspec.lang.schema import Block, Contract, Module, Param
from archspec.lang.spec import Spec


@dataclass(frozen=True)
class Names:
    """What the passes of the generator know about names.

    Attributes:
        blocks: the blocks that can occur, each behind those that it uses.
        values: global parameters that are values: the fields of ``Config``.
        classes: global parameters that are classes, with their names: a choice of code.
        configured: blocks whose constructor takes the ``Config``.
    """

    spec: Spec
    blocks: tuple[str, ...]
    values: frozenset[str]
    classes: dict[str, str]
    configured: frozenset[str]

    def block(self, name: str) -> Block:
        return self.spec.architecture.blocks[name]

    @property
    def root(self) -> str:
        return self.spec.architecture.model


def collect(spec: Spec) -> Names:
    """Look once over the spec for everything that spans blocks."""
    params = spec.architecture.params
    classes = {
        name: str(spec.params[name].value)
        for name, param in params.items()
        if param.type in ("block", "layer")
    }
    values = frozenset(params) - classes.keys()
    declared = spec.architecture.blocks
    uses = {
        name: classes_used(block, spec, classes) & declared.keys()
        for name, block in declared.items()
    }
    blocks = _children_first(spec.architecture.model, uses)
    passed = {
        value
        for _, instance in walk(spec.root)
        if instance.type in spec.architecture.blocks
        for name, value in instance.arguments.items()
        if spec.architecture.blocks[instance.type].params[name].type == "block"
    }
    configured = {
        name
        for name in blocks
        if name in passed
        or _holds_block_param(spec.architecture.blocks[name])
        or names_used(spec.architecture.blocks[name]) & values
    }
    if _names_in_rules(spec) & values:
        configured.add(spec.architecture.model)
    while more := {n for n in blocks if n not in configured and uses[n] & configured}:
        configured |= more
    return Names(spec, blocks, values, classes, frozenset(configured) if values else frozenset())


def all_modules(block: Block) -> Iterator[Module]:
    """Every module that a block declares, items and module arguments included."""
    stack = list(block.modules.values())
    while stack:
        module = stack.pop()
        yield module
        stack += [item for _, item in iterate_items(module)]
        stack += [
            Module.model_validate(value)
            for value in module.arguments.values()
            if isinstance(value, dict)
        ]


def _holds_block_param(block: Block) -> bool:
    return any(param.type == "block" for param in block.params.values())


def classes_used(block: Block, spec: Spec, classes: dict[str, str]) -> set[str]:
    """The blocks and layers that the generated code of one block may name."""
    found: set[str] = set()
    for module in all_modules(block):
        found |= set(class_names(module.type, classes))
        callee = spec.architecture.blocks.get(module.type)
        for name, value in module.arguments.items():
            if isinstance(value, str) and (
                callee is None or (name in callee.params and _is_class(callee.params[name]))
            ):
                found |= set(class_names(value, classes))
    for param in block.params.values():
        if _is_class(param) and not param.required:
            found |= set(class_names(param.default, classes))
    return found


def _is_class(param: Param) -> bool:
    return param.type in ("block", "layer")


def class_names(text: str, classes: dict[str, str]) -> Iterator[str]:
    """The classes that a ``type:`` (or an argument that is a class) can stand for."""
    parsed = literal(text)
    if not isinstance(parsed, Expression):
        yield parsed
        return
    if parsed.names() <= classes.keys():
        yield str(evaluate(parsed, classes))
        return
    for node in outcomes(parsed.tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.Name) and node.id in classes:
            yield classes[node.id]


def _children_first(root: str, uses: dict[str, set[str]]) -> tuple[str, ...]:
    """The blocks reachable from the root, each behind those it uses, else in their own order."""
    order = list(uses)
    done: dict[str, None] = {}
    stack = [(root, False)]
    while stack:
        name, ready = stack.pop()
        if ready:
            done[name] = None
        elif name not in done:
            stack.append((name, True))
            stack += [(n, False) for n in sorted(uses[name], key=order.index, reverse=True)]
    return tuple(done)


def names_used(block: Block) -> set[str]:
    """Every name that occurs in any expression of a block."""
    found: set[str] = set()
    for module in all_modules(block):
        values: list[Any] = [module.when, module.repeat, module.type, *module.arguments.values()]
        for value in values:
            found |= _names_in(value)
        for part in template(module.name or ""):
            found |= part.names() if isinstance(part, Expression) else set()
    for tensor in [*block.parameters.values(), *block.buffers.values()]:
        found |= _names_in(tensor.shape)
    for param in block.params.values():
        found |= _names_in(param.default)
    return found | forward_names(block)


def forward_names(block: Block) -> set[str]:
    """Every name that occurs in the forward steps."""
    found: set[str] = set()
    steps = list(block.forward or ())
    while steps:
        step = steps.pop()
        found |= parse(step_text(step, ())[0]).names()
        steps += getattr(step, "do", ())
    return found


def _names_in_rules(spec: Spec) -> set[str]:
    """Every name that occurs in the spec's ``init``, which the root applies."""
    found: set[str] = set()
    for rule in spec.architecture.init:
        for key, initialiser in rule.fills.items():
            _, index = split_fill(key) or (key, "")
            found |= parse(f"_[{index}]").names() if index else set()
            for value in parts(initialiser)[1].values():
                found |= _names_in(value)
    return found


def _names_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return set[str]().union(*map(_names_in, cast("list[Any]", value)))
    if isinstance(value, dict):
        return set()
    parsed = literal(value)
    return parsed.names() if isinstance(parsed, Expression) else set()


def contract_text(contract: Contract, printed: dict[str, str]) -> str:
    """A contract's shape for a docstring: ``[batch, seq, hidden_size]``."""
    sizes = ", ".join(printed.get(str(size), str(size)) for size in contract.shape)
    return f"[{sizes}]{' or None' if contract.optional else ''}"
