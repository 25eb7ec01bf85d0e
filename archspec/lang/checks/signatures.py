"""The arguments of a module against what its block or layer takes.

That is asked twice: of what the document says, and again when parameters have values.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from archspec.errors import Problem, did_you_mean, listing, shown
from archspec.lang.checker import Checker
from archspec.lang.declarations import text_hint, whole_number_hint
from archspec.lang.expr import Value
from archspec.lang.registry.layers import Layer
from archspec.lang.schema import Module
from archspec.lang.tree import BlockNode, ModuleNode
from archspec.lang.yaml import Path

Signature = BlockNode | Layer


def arguments_of(takes: Signature) -> list[str]:
    """The names of everything that a block or layer takes."""
    declared = takes.params.values() if isinstance(takes, BlockNode) else takes.arguments
    return [argument.name for argument in declared]


def wrong_arguments(
    checker: Checker,
    module: ModuleNode,
    takes: Signature,
    values: Mapping[str, tuple[Value] | None],
    params: Collection[str] = (),
) -> Iterator[Problem]:
    """Arguments of a module that its block or layer does not have, or not with such a value.

    Args:
        values: of each argument as far as it is known; a module as an argument is a mapping.
        params: names that may have been written where their values were meant.
    """
    problem = checker.document.problem
    for name, value in values.items():
        path, expected = (*module.path, name), _expected(takes, name, value)
        if expected is None and not _is_broken(checker, takes, name):
            message, hint = f"{takes.name} has no argument '{name}'", _instead(takes, name, values)
            yield problem("E203", message, path, key=True, hint=hint, cause=_declared_at(takes))
        elif expected and value:
            hint = text_hint(value[0], params)
            hint = hint or whole_number_hint(checker.document.root, path, value[0])
            yield problem("E205", f"{takes.name}'s {name} takes {expected}", path, hint=hint)


def missing_arguments(
    checker: Checker, module: ModuleNode, takes: Signature, given: Collection[str]
) -> Iterator[Problem]:
    """What a block or layer requires beyond the arguments that are given."""
    declared = takes.params.values() if isinstance(takes, BlockNode) else takes.required
    missing = [a.name for a in declared if a.required and a.name not in given]
    missing = [f"'{name}'" for name in missing if not _is_broken(checker, takes, name)]
    if missing:
        what = "argument" if len(missing) == 1 else "arguments"
        message = f"{takes.name} needs the {what} {', '.join(missing)}"
        path = (*module.path, "type")
        yield checker.document.problem("E204", message, path, cause=_declared_at(takes))


def _declared_at(takes: Signature) -> Path:
    return takes.path if isinstance(takes, BlockNode) else ()


def _expected(takes: Signature, name: str, value: tuple[Value] | None) -> str | None:
    """What an argument takes, if that is not ``value``; else ""; None if there is no such one."""
    if isinstance(takes, BlockNode):
        is_mapping = value is not None and isinstance(value[0], dict)
        return None if name not in takes.params else "a value, not a mapping" if is_mapping else ""
    argument = takes.argument(name)
    if argument is None or value is None or argument.accepts(value[0]):
        return None if argument is None else ""
    return f"{argument.expects}, not {shown(value[0])}"


def _is_broken(checker: Checker, takes: Signature, name: str) -> bool:
    return isinstance(takes, BlockNode) and checker.is_broken((*takes.path, "params", name))


_OTHER_NAMES = {
    "axis": ("dim",),
    "channels": ("num_features", "num_channels"),
    "dim": ("normalized_shape",),
    "dim_in": ("in_features", "in_channels"),
    "dim_out": ("out_features", "out_channels"),
    "dropout": ("p",),
    "dropout_rate": ("p",),
    "epsilon": ("eps",),
    "features": ("out_features", "num_features"),
    "filters": ("out_channels",),
    "heads": ("num_heads", "nhead"),
    "hidden_size": ("normalized_shape",),
    "in": ("in_features", "in_channels"),
    "in_channels": ("in_features",),
    "in_dim": ("in_features", "in_channels"),
    "in_features": ("in_channels",),
    "input_dim": ("in_features", "num_embeddings"),
    "input_size": ("in_features",),
    "kernel": ("kernel_size",),
    "num_heads": ("nhead",),
    "out": ("out_features", "out_channels"),
    "out_channels": ("out_features",),
    "out_dim": ("out_features", "out_channels"),
    "out_features": ("out_channels",),
    "output_dim": ("out_features", "embedding_dim"),
    "output_size": ("out_features",),
    "pool_size": ("kernel_size",),
    "prob": ("p",),
    "rate": ("p",),
    "strides": ("stride",),
    "units": ("out_features", "hidden_size"),
    "use_bias": ("bias",),
    "vocab_size": ("num_embeddings",),
}
"""What other frameworks, or other layers, call an argument → its name here, if a layer has it."""


_ELSEWHERE = {
    **dict.fromkeys(("args", "kwargs"), "arguments stand beside type, each by its name"),
    **dict.fromkeys(("act", "activation"), "call it in a step: relu(fc(x)), or list it behind"),
    **dict.fromkeys(
        ("init", "initializer", "kernel_initializer", "weight_init"),
        "rules say how tensors start: init: [{match: PATTERN, weight: zeros_}]",
    ),
    "if": "write when: $…",
}
"""What is no argument of any layer here, but said in another place."""


def _instead(takes: Signature, name: str, given: Collection[str]) -> str:
    """What to write for an argument that does not exist, as a hint."""
    if name in ("device", "dtype"):
        return "device and dtype are chosen when the model is built"
    if name in ("each", "carry") or (name == "in" and "each" in given):
        return "write {each: a, in: $values, items: [{type: …, …}]}"
    if name in _ELSEWHERE and not did_you_mean(name, arguments_of(takes)):
        return _ELSEWHERE[name]
    names = arguments_of(takes)
    if meant := next((n for n in _OTHER_NAMES.get(name, ()) if n in names and n not in given), ""):
        return f"write {meant}"
    reserved = [key for key in Module.model_fields if key not in ("type", "items")]
    known = f"it takes: {listing(names)}" if names else "it takes none"
    return did_you_mean(name, [*names, *reserved]) or known
