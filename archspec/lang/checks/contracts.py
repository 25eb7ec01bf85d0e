"""What inputs and outputs are declared to be: tensors, lists of them, and numbers of Python's."""

from __future__ import annotations

import keyword
import math
from collections.abc import Collection, Mapping

from archspec.errors import shown
from archspec.lang import schema
from archspec.lang.checker import Checker
from archspec.lang.checks.names import check_names
from archspec.lang.expr.nodes import Clause, Constant, is_literal, walk
from archspec.lang.tree import BlockNode, ContractNode

_SIZES = {
    schema.ANY_DIMENSIONS: "it stands in one place of a shape only",
    **dict.fromkeys(("*", "?", "-1", "None", ":"), "a size that may be any is a name, or _"),
}
_TYPES = {"bool": bool, "int": int, "float": (int, float)}


def check_contracts(checker: Checker, entry: BlockNode, params: Collection[str]) -> None:
    """Check the contracts of a block, or of a method of one.

    Args:
        params: the parameters that the block knows.
    """
    outputs = entry.outputs
    inputs = {n: c for n, c in entry.inputs.items() if c.path[:-2] == entry.path}  # of its own
    for contract in (*inputs.values(), *outputs.values()):
        if not checker.is_broken(contract.path):
            _check_kind(checker, contract)
        _check_dimensions(checker, contract, params)
    for contract in inputs.values():
        _meaningless(checker, contract, "when", "an input may be optional")
    for contract in outputs.values():
        _meaningless(checker, contract, "keyword", "only an input is given by name")
        _meaningless(checker, contract, "default", "only an input has a default")
        if isinstance(when := contract.declared.when, str) and not when.startswith("$"):
            message = f"when takes true or false, not {shown(when)}"
            hint = "an expression begins with $"
            checker.add("E205", message, (*contract.path, "when"), hint=hint)
    _check_order(checker, inputs)


def _meaningless(checker: Checker, contract: ContractNode, key: str, hint: str) -> None:
    """A key where it has no meaning."""
    if key in contract.declared.model_fields_set:
        message = f"'{key}' means nothing here"
        checker.add("E212", message, (*contract.path, key), key=True, hint=hint)


def _check_kind(checker: Checker, contract: ContractNode) -> None:
    """A tensor has a shape; a list is one shape in brackets; what has none is Python's."""
    declared, path = contract.declared, contract.path
    if declared.is_list:
        items = declared.shape or []
        if len(items) != 1:
            hint = "write [[batch, 4]]; where tensors differ, [[batch, $sizes[i]]] with index: i"
            checker.add("E202", "a list has one shape for all its tensors", path, hint=hint)
    else:
        for key in ("length", "index"):
            _meaningless(checker, contract, key, f"a list of tensors, [[batch, 4]], has {key}")
    is_python = declared.dtype in schema.PYTHON_TYPES
    if declared.shape is None:
        if declared.dtype is None:
            hint = "give a shape, or for a flag or number dtype: bool, int or float"
            message = f"the key 'shape' is missing in '{contract.name}'"
            checker.add("E202", message, path, key=True, hint=hint)
        elif not is_python:
            message = f"without a shape it is a number of Python's, not {declared.dtype}"
            hint = "write dtype: bool, int or float, or shape: [] for a tensor of one number"
            checker.add("E205", message, (*path, "dtype"), hint=hint)
        else:
            _check_default(checker, contract)
        return
    if is_python and declared.dtype != "bool":
        hint = f"write {declared.dtype}64, or leave the shape out for a number of Python's"
        message = f"{declared.dtype} is no dtype of a tensor"
        checker.add("E205", message, (*path, "dtype"), hint=hint)
    _meaningless(checker, contract, "default", "a tensor has none: it may be optional")


def _check_default(checker: Checker, contract: ContractNode) -> None:
    declared = contract.declared
    value, kind = declared.default, declared.dtype or ""
    fits = isinstance(value, _TYPES.get(kind, ())) and isinstance(value, bool) == (kind == "bool")
    if value is not None and not (fits and math.isfinite(value)):
        message = f"{shown(value)} is no {kind}"
        checker.add("E205", message, (*contract.path, "default"))


def _check_dimensions(checker: Checker, contract: ContractNode, params: Collection[str]) -> None:
    if (index := contract.declared.index) is not None:
        check_names(checker, [index], (*contract.path, "index"))
        if index in params:
            checker.add("E207", f"'{index}' is already a name here", (*contract.path, "index"))
        for part in (part for size in contract.shape for part in walk(size)):
            if isinstance(part, Clause) and index in part.targets:
                checker.refuse(part, "E207", f"'{index}' is already a name here")
    for size in contract.shape:
        name = size.value if isinstance(size, Constant) and is_literal(size) else None
        if not isinstance(name, str):
            continue
        if not name.isidentifier() or keyword.iskeyword(name):
            hint = _SIZES.get(name, "a size is an integer, a name, or an $expression")
            checker.add("E202", f"'{name}' is no size", size.span.path, hint=hint)
        elif name in params:
            message = f"'{name}' is a parameter, here a dimension"
            hint = f"write ${name} for its value"
            checker.add("E207", message, size.span.path, hint=hint)


def _check_order(checker: Checker, inputs: Mapping[str, ContractNode]) -> None:
    """As in a signature of Python's: required, optional, then what is given by name only."""
    optional = keyword_only = ""
    for name, contract in inputs.items():
        message = hint = ""
        if contract.declared.keyword:
            keyword_only = name
        elif keyword_only:
            message = f"'{name}' may be given by position, but stands behind '{keyword_only}'"
            hint = "put keyword inputs last"
        elif contract.declared.may_be_left_out:
            optional = name
        elif optional:
            message = f"'{name}' must be given, but stands behind the optional '{optional}'"
            hint = "put required inputs first"
        if message:
            checker.add("E202", message, contract.path, key=True, hint=hint)
