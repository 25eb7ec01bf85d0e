"""Every way in which a PyTorch function can be called: its overloads.

Read from the signature where the function is Python, else from torch's stub files, else (fft,
linalg) from the operators' schemas.
"""

from __future__ import annotations

import ast
import inspect
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

CORRECTIONS: dict[tuple[str, str], dict[str, Any]] = {  # of the stubs
    ("F.gelu", "approximate"): {"kind": Parameter.KEYWORD_ONLY},
    ("F.one_hot", "tensor"): {"name": "input"},
    (".to", "other"): {"name": "tensor"},
}
# Results, generators, storage and gradients are not a spec's to choose.
NOT_GIVEN = {"out", "names", "generator", "layout", "pin_memory", "requires_grad", "implicit"}


@dataclass(frozen=True)
class Overload:
    """One way to call a function.

    Attributes:
        placed: the arguments that have a place.
        required: how many of them must be given; ``*args`` count as one.
        by_name: the arguments that can only be given by name.
        spread: whether it takes ``*args``.
    """

    placed: tuple[str, ...]
    required: int
    by_name: tuple[str, ...]
    spread: bool


def overloads_of(target: str) -> list[Overload]:
    """The overloads of "torch.cat", "F.relu" or, of a tensor's methods, ".expand".

    >>> overloads_of("torch.transpose")
    [Overload(placed=('input', 'dim0', 'dim1'), required=3, by_name=(), spread=False)]
    """
    known = [
        [p.replace(**CORRECTIONS.get((target, p.name), {})) for p in parameters]
        for parameters in _signatures(target)
    ]
    return [_overload(parameters) for parameters in known if not _is_old(parameters)]


def is_python(target: str) -> bool:
    """Whether the function is written in Python, not in C++."""
    return inspect.isfunction(_python(target))


def _is_old(parameters: Sequence[Parameter]) -> bool:
    """Whether a factor stands before a tensor, as in add(input, alpha, other): long deprecated."""
    required = [p.name for p in parameters if p.default is p.empty]
    return any(name in ("alpha", "beta", "value") for name in required[:2])


def _overload(parameters: Sequence[Parameter]) -> Overload:
    given = [p for p in parameters if p.name not in NOT_GIVEN and not p.name.startswith("_")]
    # Behind one that is never given, the others can only be given by name.
    placed = [p for p, own in zip(parameters, given, strict=False) if p is own and _has_place(p)]
    by_name = [p for p in given[len(placed) :] if p.kind is not p.VAR_POSITIONAL]
    spread = len(placed) + len(by_name) < len(given)
    required = sum(p.default is p.empty for p in placed) + spread
    return Overload(tuple(p.name for p in placed), required, tuple(p.name for p in by_name), spread)


def _has_place(parameter: Parameter) -> bool:
    return parameter.kind is parameter.POSITIONAL_OR_KEYWORD


def _signatures(target: str) -> list[list[Parameter]]:
    """The parameters of every overload, from wherever they are told."""
    name = target.rpartition(".")[2]
    if target.startswith(("torch.linalg.", "torch.fft.")):
        return _schemas(target)
    if is_python(target):
        return [list(inspect.signature(_python(target)).parameters.values())]
    if target.startswith("."):
        return _stubs("__init__.pyi", "TensorBase")[name]
    name = {"logsigmoid": "log_sigmoid"}.get(name, name)
    known = _stubs("_nn.pyi") if target.startswith("F.") else {}
    return known.get(name) or _stubs("_VariableFunctions.pyi")[name]


def _python(target: str) -> Any:
    """The object that a target means; of the pools that dispatch on an argument, what they call."""
    name = target.rpartition(".")[2]
    if target.startswith("F."):
        return getattr(F, f"_{name}", None) or getattr(F, name)
    if target.startswith("."):
        return getattr(torch.Tensor, name)
    return operator.attrgetter(target.removeprefix("torch."))(torch)


@cache
def _stubs(file: str, owner: str | None = None) -> dict[str, list[list[Parameter]]]:
    """The signatures in one of torch's stub files: of its functions, or of a class's methods."""
    body = ast.parse((Path(torch.__file__).parent / "_C" / file).read_text("utf-8")).body
    if owner:
        body = next(n for n in body if isinstance(n, ast.ClassDef) and n.name == owner).body
    found: dict[str, list[list[Parameter]]] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(list(_stub_parameters(node.args)))
    return found


def _stub_parameters(stub: ast.arguments) -> Iterator[Parameter]:
    placed = [*stub.posonlyargs, *stub.args]
    optional = [*[False] * (len(placed) - len(stub.defaults)), *[True] * len(stub.defaults)]
    for arg, has_default in zip(placed, optional, strict=True):
        yield _parameter(arg.arg, Parameter.POSITIONAL_OR_KEYWORD, has_default)
    if stub.vararg:
        yield Parameter(stub.vararg.arg, Parameter.VAR_POSITIONAL)
    for arg in stub.kwonlyargs:
        yield _parameter(arg.arg, Parameter.KEYWORD_ONLY, True)


def _schemas(target: str) -> list[list[Parameter]]:
    """The same from the operator's schemas, for the namespaces that have no stub file."""
    operator_name = target.removeprefix("torch.").replace(".", "_")
    return [
        [
            _parameter(
                a.name,
                Parameter.KEYWORD_ONLY if a.kwarg_only else Parameter.POSITIONAL_OR_KEYWORD,
                a.has_default_value(),
            )
            for a in schema.arguments
        ]
        for schema in torch._C._jit_get_schemas_for_operator(f"aten::{operator_name}")
        if not any(a.is_out for a in schema.arguments)
    ]


def _parameter(name: str, kind: Any, has_default: bool) -> Parameter:
    name = "input" if name == "self" else name
    return Parameter(name, kind, default=None if has_default else Parameter.empty)
