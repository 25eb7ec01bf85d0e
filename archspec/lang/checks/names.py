"""Names that are taken: by Python, by PyTorch, by the generated code, by another declaration."""

from __future__ import annotations

import keyword
from collections.abc import Collection, Iterable

from archspec.lang.checker import Checker
from archspec.lang.expr.numeric import FUNCTIONS
from archspec.lang.registry import functions, layers
from archspec.lang.registry.attributes import CONTAINER_ATTRIBUTES, MODULE_ATTRIBUTES
from archspec.lang.schema import Block, Tensor
from archspec.lang.yaml import Path

MAX_NAME = 100  # characters
# Names that the generated Python uses itself.
GENERATED_NAMES = frozenset(
    """Config F OrderedDict Tensor config dataclass generator initialize make_divisible make_pair
    math module name nn reset_parameters route self super torch""".split()
)
BUILTINS = frozenset(
    """bool cached_property enumerate float getattr int isinstance len object property range str
    tuple type zip""".split()
)
_TAKEN = (GENERATED_NAMES, BUILTINS, functions.CONSTANTS)


def check_names(
    checker: Checker, names: Iterable[str], at: Path, taken: Collection[str] = ()
) -> None:
    """Names that the generated Python uses as they are."""
    for name in names:
        if keyword.iskeyword(name):
            checker.add("E207", f"'{name}' is a Python keyword", (*at, name), key=True)
        elif is_taken(name, taken):
            hint = "PyTorch or the generated Python uses it: choose another name"
            checker.add(
                "E207", f"'{name}' cannot be used as a name here", (*at, name), key=True, hint=hint
            )


def is_taken(name: str, taken: Collection[str] = ()) -> bool:
    """Whether the generated Python means something else by a name, or ``taken`` holds it."""
    return any(name in group for group in (taken, *_TAKEN)) or is_reserved(name)


def is_reserved(name: str) -> bool:
    """Whether the generated Python could take a name for something that it imports."""
    imported = (one.qualname for one in (*functions.registered(), *layers.registered()))
    return "__" in name or any(name == qualname.partition(".")[0] for qualname in imported)


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
    """One name in a block means one thing, but that a parameter may be called as a child."""
    shared = {
        **dict.fromkeys(checker.architecture.let, "a local value of the spec"),
        **dict.fromkeys(checker.architecture.params, "a global parameter"),
    }
    seen: dict[str, str] = {}
    places: dict[str, Path] = {}
    groups = {
        "params": "a parameter of the block", "let": "a local value", "modules": "a module",
        "parameters": "a raw parameter", "buffers": "a buffer", "methods": "a method",
        "inputs": "an input",
    }  # fmt: skip
    computing = {f"compute_{name}" for name, one in tensors_of(block) if one.value is not None}
    for group, what in groups.items():
        names: Iterable[str] = getattr(block, group)
        for name in names:
            path = (*at, group, name)
            taken_by = seen.get(name) or shared.get(name, "")
            if group in CHILDREN and taken_by in _VALUES:
                pass  # arguments know the parameter, steps the child
            elif taken_by:
                shared_group = "params" if name in checker.architecture.params else "let"
                here, cause = path, places.get(name, (shared_group, name))
                if checker.document.is_inherited(here) and not checker.document.is_inherited(cause):
                    here, cause, taken_by = cause, here, what  # what the child wrote is to change
                message, hint = f"'{name}' is already {taken_by}", "choose another name"
                checker.add("E207", message, here, key=True, hint=hint, cause=cause)
            if name in computing:
                message = f"'{name}' is the method that computes '{name[8:]}'"
                checker.add("E207", message, path, key=True, hint="choose another name")
            if group in CHILDREN and seen.get(name) in _VALUES:
                seen[name], places[name] = what, path
            seen.setdefault(name, what)
            places.setdefault(name, path)
        # A child is reached through self alone, so that only what Module has can clash.
        if group in ("modules", "parameters", "buffers", "methods"):
            check_child_names(checker, names, (*at, group))
        else:
            taken = ("training",) if group == "inputs" else MODULE_ATTRIBUTES
            taken = {*MODULE_ATTRIBUTES, *FUNCTIONS} if group == "let" else taken
            check_names(checker, names, (*at, group), taken)
    for method, declared in block.methods.items():
        path = (*at, "methods", method, "inputs")
        for name in declared.inputs or ():
            if name in shared or seen.get(name, "an input") != "an input":
                message = f"'{name}' is already {seen.get(name, 'a global parameter')}"
                checker.add("E207", message, (*path, name), key=True, hint="choose another name")
        check_names(checker, declared.inputs or (), path, ("training",))


def tensors_of(block: Block) -> Iterable[tuple[str, Tensor]]:
    """The raw parameters and buffers with their names."""
    return (*block.parameters.items(), *block.buffers.items())


CHILDREN = ("modules", "parameters", "buffers")  # what a block holds
_VALUES = frozenset(
    {"a parameter of the block", "a local value", "a global parameter", "a local value of the spec"}
)


def is_plain_name(text: str) -> bool:
    """Whether a text holds nothing but letters, digits, ``_`` and ``-``."""
    return all(c.isalnum() or c in "_-" for c in text)


def item_name_complaint(name: str, container: str) -> str:
    """What is wrong with the name of an item of a container, or ""."""
    if not name or len(name) > MAX_NAME or not name.isprintable() or set(name) & set(". "):
        return f"'{name[:MAX_NAME]}' cannot name a module"
    attributes = CONTAINER_ATTRIBUTES.get(container, frozenset())
    if name in MODULE_ATTRIBUTES or name in attributes or name.startswith("_"):
        return f"'{name}' {_why_taken(name, container)}"
    return ""


def _why_taken(name: str, kind: str) -> str:
    if name.startswith("_"):
        return "begins with _, as what is private to PyTorch does"
    return f"is an attribute of every nn.{kind}"
