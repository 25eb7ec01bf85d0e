"""What stands for a block or a layer must be one."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import cast

from archspec.errors import Problem, did_you_mean, listing
from archspec.lang.checker import Checker
from archspec.lang.expr import ExpressionError, Node, Value, evaluate
from archspec.lang.expr.nodes import Broken, Constant, Name, Subscript, names, outcomes
from archspec.lang.expr.printing import written
from archspec.lang.params import Resolved
from archspec.lang.registry import layers
from archspec.lang.schema import item_type
from archspec.lang.tree import SpecTree, modules_of_block
from archspec.lang.yaml import Path


def chooses_class(node: Node) -> bool:
    """Whether a ``type:`` is a name, a parameter, an item of one, or a choice between such.

    Only of a global parameter an item is known when code is made.
    """
    return all(
        isinstance(part, Constant | Name | Broken)
        or (isinstance(part, Subscript) and all(is_global(name) for name in names(part)))
        for part in outcomes(node)
    )


def is_global(name: Name) -> bool:
    """Whether a name means a parameter or local value of the spec, whose value is known early."""
    return name.symbol is None or name.symbol.kind in ("global", "broken")


def check_classes(
    checker: Checker, tree: SpecTree, params: Mapping[str, Resolved], values: Mapping[str, Value]
) -> None:
    """Parameters that hold a block or a layer, and choices between such, must name one."""
    for declared, param in params.items():
        kind = item_type(param.type)
        value = cast("object", param.value)
        given = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for name in given if kind in ("block", "layer") else ():
            message, hint = class_complaint(tree.blocks, kind, str(name))
            if message and name is not None and not checker.is_broken(("blocks", str(name))):
                message += "" if param.place else f" ({param.origin})"
                checker.findings.add(Problem("E206", message, param.place, hint))
                checker.findings.broken.add(("params", declared))
    for block in tree.blocks.values():
        for module in modules_of_block(block):
            for node in () if module.kind else outcomes(module.type):
                _check_choice(checker, tree, node, values)


def _check_choice(
    checker: Checker, tree: SpecTree, node: Node, values: Mapping[str, Value]
) -> None:
    """A side of a choice that global parameters decide, taken or not: its code is made, too."""
    used = [name.symbol for name in names(node)]
    if not used or any(s is None or s.kind != "global" or s.name not in values for s in used):
        return
    if any(checker.is_broken(symbol.path) for symbol in used if symbol):
        return
    try:
        name = evaluate(node, values)
    except ExpressionError as error:
        checker.report(error)
        return
    if name is None:
        return  # no error where a ``when`` leaves the module out
    if not isinstance(name, str):
        message = f"'{written(node)}' is no block or layer"
        checker.add("E206", message, node.span.path)
    elif name not in tree.blocks and layers.find(name) is None:
        checker.findings.add(unknown_class(checker, tree.blocks, name, node.span.path))


_DROP_PATH = "write a block: {return: x * dropout(ones_like(x[:, :1, :1]), p) if training else x}"
_SQUEEZE = "use: [efficientnet-b0] brings the block SqueezeExcitation"
_WEIGHT_NORM = (
    "write a block with the parameters weight_g and weight_v, and compute the weight in a step"
)
_CONV_NORM = "write a block with items: Conv2d, BatchNorm2d, ReLU"
_RESHAPE = "call reshape(x, […]) in a step, or use Flatten or Unflatten"
# What people know from elsewhere, and no layer of PyTorch is called; by the name in lower case.
_INSTEAD = {
    "add": "write a + b in a step",
    "concat": "write cat([a, b], 1) in a step",
    "concatenate": "write cat([a, b], 1) in a step",
    "conv2dnormactivation": _CONV_NORM,
    "convbnrelu": _CONV_NORM,
    "convmodule": _CONV_NORM,
    "dense": "write type: Linear",
    "droppath": _DROP_PATH,
    "globalaveragepooling2d": "write type: AdaptiveAvgPool2d, output_size: 1",
    "globalavgpool2d": "write type: AdaptiveAvgPool2d, output_size: 1",
    "input": "declare it under inputs: of the block",
    "lambda": "write a block with forward: and the step",
    "permute": "call permute(x, […]) in a step",
    "rearrange": "call unflatten, permute and flatten in steps",
    "reshape": _RESHAPE,
    "residual": "write x + layer(x) in a step",
    "seblock": _SQUEEZE,
    "selayer": _SQUEEZE,
    "spectral_norm": "compute the weight in a step; a layer of your own: archspec.register_layer",
    "squeezeexcitation": _SQUEEZE,
    "squeezeexcite": _SQUEEZE,
    "stochasticdepth": _DROP_PATH,
    "swish": "write type: SiLU",
    "view": _RESHAPE,
    "weight_norm": _WEIGHT_NORM,
    "weightnorm": _WEIGHT_NORM,
}


def unknown_class(checker: Checker, blocks: Collection[str], name: str, path: Path) -> Problem:
    """That neither a block nor a layer has that name."""
    known = [*blocks, *layers.CONTAINERS, *layers.names()]
    last = name.rpartition(".")[2]
    hint = did_you_mean(last, list(blocks)) or _INSTEAD.get(last.casefold(), "")
    hint = hint or did_you_mean(last, known)
    if name in layers.CONTAINERS:
        hint = f"write type: {name}"
    elif "." in name:
        hint = f"a type is a name, never an import; {hint or 'see archspec.register_layer'}"
    message = f"no block or layer is called '{name}'"
    return checker.document.problem("E206", message, path, hint=hint)


def class_complaint(blocks: Collection[str], kind: str, value: str) -> tuple[str, str]:
    """What is wrong with a name that must be a block's or a layer's, and a hint."""
    if value in blocks if kind == "block" else layers.find(value):
        return "", ""
    known = list(blocks if kind == "block" else layers.names())
    hint = did_you_mean(value, known) or f"{kind}s: {listing(known)}"
    return f"no {kind} is called '{value}'", hint
