"""What all checks of a spec share: where problems go, which names are taken, what items are."""

from __future__ import annotations

import ast
import keyword
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from archspec.errors import Findings, Problem, did_you_mean, listing
from archspec.lang.expr.expressions import Expression, ExpressionError, outcomes
from archspec.lang.inherit import Document
from archspec.lang.params import Resolved, literal
from archspec.lang.registry import functions, layers
from archspec.lang.schema import Architecture, Block, Module
from archspec.lang.yaml import Path

# Attributes of every nn.Module: a child of that name would hide one. A test holds the list
# against the installed torch.
MODULE_ATTRIBUTES = frozenset(
    """T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda
    double dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter
    get_submodule half ipu load_state_dict modules mtia named_buffers named_children named_modules
    named_parameters parameters register_backward_hook register_buffer register_forward_hook
    register_forward_pre_hook register_full_backward_hook register_full_backward_pre_hook
    register_load_state_dict_post_hook register_load_state_dict_pre_hook register_module
    register_parameter register_state_dict_post_hook register_state_dict_pre_hook requires_grad_
    set_extra_state set_submodule share_memory state_dict to to_empty train training type xpu
    zero_grad""".split()
)
_CONTAINER_ATTRIBUTES = {
    "Sequential": frozenset({"append", "extend", "insert", "pop"}),
    "ModuleDict": frozenset({"clear", "items", "keys", "pop", "update", "values"}),
}
MAX_NAME = 100  # characters
# Names that the generated Python uses itself.
GENERATED_NAMES = frozenset(
    {"self", "config", "nn", "torch", "F", "re", "super", "module", "name", "generator", "Config"}
    | {"Tensor", "dataclass", "OrderedDict", "initialize", "reset_parameters"}
)
BUILTINS = frozenset(
    """bool enumerate float getattr int isinstance len object property range str tuple type
    zip""".split()
)
_TAKEN = (GENERATED_NAMES, BUILTINS, functions.CONSTANTS)


@dataclass(frozen=True)
class Checker:
    """Collects the problems of one spec."""

    architecture: Architecture
    document: Document
    findings: Findings

    def add(
        self, code: str, message: str, path: Path, *, key: bool = False, hint: str = ""
    ) -> None:
        self.findings.add(self.document.problem(code, message, path, key=key, hint=hint))

    def add_expression(self, error: ExpressionError, path: Path, offset: int = 0) -> None:
        place = self.document.stretch(path, error.start + offset, error.end + offset)
        self.findings.add(Problem(error.code, error.message, place, error.hint))

    def literal(self, value: Any, path: Path) -> Any:
        """``params.literal``; a problem and None if the expression cannot be parsed."""
        try:
            if isinstance(value, list):
                items = enumerate(cast("list[Any]", value))
                return tuple(self.literal(item, (*path, i)) for i, item in items)
            return literal(value)
        except ExpressionError as error:
            self.add_expression(error, path)
            return None


def check_task(checker: Checker) -> None:
    """Whether the numbers of an image's preprocessing go together, and no class occurs twice."""
    task = checker.architecture.task
    image = task.image if task else None
    for key in ("mean", "std") if image else ():
        given: list[float] = getattr(image, key)
        least = 0 if key == "std" else float("-inf")
        if image and (len(given) != image.channels or not all(least < v < 1e6 for v in given)):
            at = ("task", "image", key)
            path = at if checker.document.has(at) else at[:2]
            above = " above 0" if key == "std" else ""
            hint = f"with channels: {image.channels}, write one number{above} for each channel"
            checker.add("E202", f"{key} does not fit the image's channels", path, hint=hint)
    labels = task.labels if task and task.labels else []
    for i, name in enumerate(labels):
        if name in labels[:i]:
            checker.add("E202", f"the class '{name}' occurs twice", ("task", "labels", i))


def check_names(
    checker: Checker, names: Iterable[str], at: Path, taken: Collection[str] = ()
) -> None:
    """Names that the generated Python uses as they are."""
    for name in names:
        if keyword.iskeyword(name):
            checker.add("E207", f"'{name}' is a Python keyword", (*at, name), key=True)
        elif any(name in group for group in (taken, *_TAKEN)) or "__" in name:
            hint = "PyTorch or the generated Python uses it: choose another name"
            checker.add(
                "E207", f"'{name}' cannot be used as a name here", (*at, name), key=True, hint=hint
            )


def check_child_names(checker: Checker, names: Iterable[str], at: Path) -> None:
    """Names of what a module holds: it is reached through the module alone."""
    for name in names:
        if keyword.iskeyword(name):
            checker.add("E207", f"'{name}' is a Python keyword", (*at, name), key=True)
        elif name in functions.CONSTANTS:
            hint = f"in forward steps it stands for {functions.CONSTANTS[name]}"
            message = f"'{name}' cannot be used as a name here"
            checker.add("E207", message, (*at, name), key=True, hint=hint)
        elif name in MODULE_ATTRIBUTES or name.startswith("_"):
            message = f"'{name}' {_why_taken(name, 'Module')}"
            checker.add("E207", message, (*at, name), key=True, hint="choose another name")


def check_block_names(checker: Checker, block: Block, at: Path) -> None:
    """Nothing shadows anything: one name in a block means one thing."""
    shared = checker.architecture.params
    seen: dict[str, str] = {}
    groups: list[tuple[str, str, Iterable[str], Collection[str]]] = [
        ("params", "a parameter of the block", block.params, MODULE_ATTRIBUTES),
        ("modules", "a module", block.modules, MODULE_ATTRIBUTES),
        ("parameters", "a raw parameter", block.parameters, MODULE_ATTRIBUTES),
        ("buffers", "a buffer", block.buffers, MODULE_ATTRIBUTES),
        ("inputs", "an input", block.inputs, ("training",)),
    ]
    for group, what, names, taken in groups:
        for name in names:
            path = (*at, group, name)
            if name in seen or name in shared:
                message = f"'{name}' is already {seen.get(name, 'a global parameter')}"
                checker.add("E207", message, path, key=True, hint="choose another name")
            seen.setdefault(name, what)
        # A child is reached through self alone, so that only what Module has can clash.
        if group in ("modules", "parameters", "buffers"):
            check_child_names(checker, names, (*at, group))
        else:
            check_names(checker, names, (*at, group), taken)


def chooses_class(kind: str, shared: Collection[str]) -> bool:
    """Whether a ``type:`` is a name, a parameter, an item of one, or a choice between such.

    Args:
        shared: the global parameters; only of theirs an item is known when code is made.
    """
    parsed = literal(kind)
    if not isinstance(parsed, Expression):
        return True
    return all(
        isinstance(node, ast.Constant | ast.Name)
        or (isinstance(node, ast.Subscript) and _names_in(node) <= set(shared))
        for node in outcomes(parsed.tree)
    )


def _names_in(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


def item_name_complaint(name: str, container: str) -> str:
    """What is wrong with the name of an item of a container, or ""."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or set(name) & set(". "):
        return f"'{name[:MAX_NAME]}' cannot name a module"
    attributes = _CONTAINER_ATTRIBUTES.get(container, frozenset())
    if name in MODULE_ATTRIBUTES or name in attributes or name.startswith("_"):
        return f"'{name}' {_why_taken(name, container)}"
    return ""


def _why_taken(name: str, kind: str) -> str:
    if name.startswith("_"):
        return "begins with _, as what is private to PyTorch does"
    return f"is an attribute of every nn.{kind}"


def iterate_items(module: Module) -> Iterator[tuple[str | int, Module]]:
    """The items of a container with their keys in the document."""
    if isinstance(module.items, dict):
        yield from module.items.items()
    elif module.items is not None:
        yield from enumerate(module.items)


def check_classes(checker: Checker, params: Mapping[str, Resolved]) -> None:
    """Parameters that hold a block or a layer must hold the name of one."""
    for param in params.values():
        kind = param.type.removeprefix("list[").removesuffix("]")
        value = cast("object", param.value)
        names = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
        for name in names if kind in ("block", "layer") else ():
            message, hint = class_complaint(checker.architecture.blocks, kind, str(name))
            if message and name is not None:
                message += "" if param.place else f" ({param.origin})"
                checker.findings.add(Problem("E206", message, param.place, hint))
                checker.findings.broken.add(str(name))


def class_complaint(blocks: Collection[str], kind: str, value: str) -> tuple[str, str]:
    """What is wrong with a name that must be a block's or a layer's, and a hint."""
    if value in blocks if kind == "block" else layers.find(value):
        return "", ""
    known = list(blocks if kind == "block" else layers.names())
    hint = did_you_mean(value, known) or f"{kind}s: {listing(known)}"
    return f"no {kind} is called '{value}'", hint
