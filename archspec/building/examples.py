"""Inputs without data, in the shapes of their contracts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from archspec.errors import Problem, ShapeError
from archspec.lang.expr import ExpressionError, evaluate
from archspec.lang.sizes import size_of
from archspec.lang.spec import Spec
from archspec.lang.tree import ContractNode
from archspec.tracing.limits import MAX_ELEMENTS

MAX_LENGTH = 10_000
"""Tensors in one list."""

_SOME = 2  # tensors in a list whose length is not declared
_NUMBERS = {"bool": False, "int": 1, "float": 1.0}


def example_inputs(
    spec: Spec, sizes: Mapping[str, int], device: str, entry: str = "forward"
) -> dict[str, Any]:
    """Zeros in the shapes and dtypes of the root's contracts.

    A flag or a number has its default, else it is false or 1; if it is optional, it is left out.

    Args:
        sizes: symbolic dimension → size; an integer of Python's of that name has it, too.
        entry: the method that is called.

    Raises:
        ShapeError: E510, an input is too large for a tensor, or has a negative size or none.
    """
    block = spec.tree.blocks[spec.architecture.model].entries[entry]
    inputs: dict[str, Any] = {}
    values = {**spec.values, **spec.root.values}
    sizes = {**sizes, **_default_sizes(block.inputs)}
    for name, contract in block.inputs.items():
        declared = contract.declared
        if declared.shape is None and declared.optional and declared.default is None:
            continue
        place, length = spec.document.place(contract.path), _length(contract, values)
        if length > MAX_LENGTH:
            message = f"the input '{name}' has more than {MAX_LENGTH:,} tensors"
            raise ShapeError(Problem("E510", message, place))
        try:
            shapes = _shapes(contract, values, sizes)
        except ExpressionError as error:  # such as a division by a size that is 0 here
            message = f"the input '{name}' has no size: {error.message}"
            at = spec.document.place(error.span.path or contract.path)
            raise ShapeError(Problem("E510", message, at)) from None
        for shape in shapes:
            # Strides of a tensor without elements are those of one with a size of 1 for 0.
            spread = math.prod(max(size, 1) for size in shape)
            if min(shape, default=0) < 0 or spread > MAX_ELEMENTS:
                message = f"no tensor can have the shape {shape} of the input '{name}'"
                raise ShapeError(Problem("E510", message, place))
        inputs[name] = example(contract, values, sizes, device)
    return inputs


def _default_sizes(inputs: Mapping[str, ContractNode]) -> dict[str, int]:
    """The integers of Python's that have a default, which may stand in the shapes of others."""
    return {
        name: int(contract.declared.default)
        for name, contract in inputs.items()
        if contract.declared.is_size and contract.declared.default is not None
    }


def example(
    contract: ContractNode, values: Mapping[str, Any], sizes: Mapping[str, int], device: str
) -> Any:
    """A value that fits a contract: a tensor, a list of tensors, or a number."""
    declared = contract.declared
    if declared.shape is None:
        known = declared.default
        if known is None and declared.is_size:
            known = sizes.get(contract.name)
        return _NUMBERS[str(declared.dtype)] if known is None else known
    dtype = getattr(torch, declared.dtype) if declared.dtype else torch.get_default_dtype()
    shapes = _shapes(contract, values, sizes)
    tensors = [torch.zeros(shape, dtype=dtype, device=device) for shape in shapes]
    return tensors if declared.is_list else tensors[0]


def _shapes(
    contract: ContractNode, values: Mapping[str, Any], sizes: Mapping[str, int]
) -> list[list[int]]:
    """The shape of each tensor, in a list as long as it is."""
    count, known = _length(contract, values), list[list[int]]()
    for number in range(count if contract.declared.index else 1):
        found = (size_of(size, values, sizes) for size in contract.shape_of(number))
        known.append([1 if size is None else size for size in found])
    return known if contract.declared.index else known * count


def _length(contract: ContractNode, values: Mapping[str, Any]) -> int:
    if not contract.declared.is_list:
        return 1
    return _SOME if contract.length is None else int(evaluate(contract.length, values))
