"""The functions of ``torch.nn.init`` that specs may name, with their arguments.

A test holds the table against the installed torch.
"""

from __future__ import annotations

import re
from typing import Any, cast

from archspec.errors import did_you_mean, listing
from archspec.lang.registry.arguments import Argument
from archspec.lang.schema import Initialiser

# name → (its keyword arguments, whether it draws random numbers)
INITIALISERS: dict[str, tuple[tuple[str, ...], bool]] = {
    "zeros_": ((), False),
    "ones_": ((), False),
    "eye_": ((), False),
    "constant_": (("val",), False),
    "dirac_": (("groups",), False),
    "normal_": (("mean", "std"), True),
    "uniform_": (("a", "b"), True),
    "trunc_normal_": (("mean", "std", "a", "b"), True),
    "kaiming_normal_": (("a", "mode", "nonlinearity"), True),
    "kaiming_uniform_": (("a", "mode", "nonlinearity"), True),
    "xavier_normal_": (("gain",), True),
    "xavier_uniform_": (("gain",), True),
    "orthogonal_": (("gain",), True),
}


_NONLINEARITIES = (
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "sigmoid", "tanh", "relu", "leaky_relu", "selu",
)  # fmt: skip
_ARGUMENTS = {
    "groups": Argument("groups", ("int",), required=False),
    "mode": Argument("mode", ("str",), required=False, choices=("fan_in", "fan_out")),
    "nonlinearity": Argument("nonlinearity", ("str",), required=False, choices=_NONLINEARITIES),
}


def argument(name: str) -> Argument:
    """What an argument of that name takes, whichever the function: a number, mostly."""
    return _ARGUMENTS.get(name) or Argument(name, ("float",), required=False)


_FILL_KEY = re.compile(r"([A-Za-z_]\w*)(?:\[(.+)\])?", re.ASCII)


def split_fill(key: str) -> tuple[str, str] | None:
    """The parameter and the index of an init rule's key: ``weight[0]`` is ("weight", "0").

    >>> split_fill("weight[:, 0]")
    ('weight', ':, 0')
    """
    found = _FILL_KEY.fullmatch(key)
    return (found[1], found[2] or "") if found else None


def parts(initialiser: Initialiser) -> tuple[str, dict[str, Any]]:
    """The function's name and its arguments: ``{normal_: {std: 0.02}}``, or just ``zeros_``."""
    if isinstance(initialiser, str):
        return initialiser, {}
    name = next(iter(initialiser), "")
    return name, initialiser.get(name, {})


def complaint(initialiser: Initialiser) -> tuple[str, str]:
    """What is wrong with an initialiser, and a hint; two empty texts if nothing is."""
    if isinstance(initialiser, dict) and len(initialiser) != 1:
        return "an initialiser is one function", "write {normal_: {std: 0.02}}"
    name, arguments = parts(initialiser)
    if name not in INITIALISERS:
        hint = did_you_mean(name, INITIALISERS)
        if name.startswith("$"):
            hint = "a raw tensor that starts as a computed value says value: $… in place of init"
        hint = hint or f"torch.nn.init has {listing(list(INITIALISERS), 20)}"
        return f"no initialiser is called '{name}'", hint
    known = INITIALISERS[name][0]
    for argument in cast("dict[str, object]", arguments):
        if argument not in known:
            hint = did_you_mean(argument, known) or f"it takes: {listing(known) or 'none'}"
            return f"{name} has no argument '{argument}'", hint
    if name == "constant_" and "val" not in arguments:
        return "constant_ needs the argument 'val'", "write {constant_: {val: 0.5}}"
    return "", ""
