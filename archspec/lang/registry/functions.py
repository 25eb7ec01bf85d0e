"""The functions and constants that a forward step may name.

PyTorch's functions are an explicit, generated table, ``torch_functions.json``
(``tools/torch_tables.py`` writes it): none of them runs code, opens files or changes global state.
Trusted Python can add to them.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from typing import Any, TypeVar, overload

from archspec.errors import did_you_mean, near_misses
from archspec.lang.registry import layers
from archspec.lang.registry.arguments import registered_name, usage

_SAME_NAME = (
    "bfloat16 bool complex128 complex64 float16 float32 float64 float8_e4m3fn float8_e4m3fnuz"
    " float8_e5m2 float8_e5m2fnuz int16 int32 int64 int8 uint16 uint32 uint64 uint8"
    " channels_last channels_last_3d contiguous_format preserve_format inf nan pi"
)
CONSTANTS: dict[str, str] = {name: f"torch.{name}" for name in _SAME_NAME.split()}
"""The names that stand for a value in a forward step, as Python.

A dtype has its full name only: ``half`` or ``long`` stay free for a step's own results, and as a
dtype ``float`` and ``int`` mean other widths to torch than to Python.
"""

_LANGUAGE = frozenset(
    "divisible enumerate finfo float int len math pair range training zip".split()
)

ALIASES = {"axis": "dim", "keepdims": "keepdim"}  # NumPy's words, which torch's own functions take


@dataclass(frozen=True, slots=True)
class Function:
    """A function, as far as a call of it can be checked before it runs.

    Attributes:
        target: what the generated Python calls: "F.relu", "torch.cat"; ".expand" is the method of
            the first argument.
        arguments: every argument's name, over all overloads; those with a position come first.
        most: the most positional arguments; None, any number.
        least: the fewest arguments; those that can only be given by name are not counted.
        fixed: how many arguments have the same place in every overload.
        keywords_any: whether it takes any keyword argument.
        registered: whether trusted Python added it; its target is then its name in ``module``.
    """

    name: str
    target: str
    arguments: tuple[str, ...]
    most: int | None
    least: int
    fixed: int = 0
    keywords_any: bool = False
    registered: bool = False
    module: str = "torch"

    @property
    def is_method(self) -> bool:
        return self.target.startswith(".")

    @property
    def qualname(self) -> str:
        """Its name in its module, as an import needs it."""
        return self.target

    def problem_with(self, n_positional: int, keywords: Sequence[str]) -> str:
        """What is wrong with a call, in a sentence; "" if nothing is.

        Args:
            n_positional: how many arguments the call gives by position.
            keywords: the names of those it gives by name.

        >>> find("relu").problem_with(1, ["x"])
        "relu has no argument 'x'"
        """
        return (
            self._unknown(keywords)
            or self._too_many(n_positional)
            or self._twice(n_positional, keywords)
            or self._too_few(n_positional, keywords)
        )

    def _unknown(self, keywords: Sequence[str]) -> str:
        known = {*self.arguments[int(self.is_method) :]}  # a method's first stands before the dot
        wrong = [word for word in keywords if word not in known and not self.keywords_any]
        if wrong and self.is_method and wrong[0] in self.arguments:
            return f"{self.name} takes {wrong[0]!r} by position, as its first argument"
        return f"{self.name} has no argument {wrong[0]!r}" if wrong else ""

    def _too_many(self, n_positional: int) -> str:
        if self.most is None or n_positional <= self.most:
            return ""
        by_position = " by position" if len(self.arguments) > self.most else ""
        return f"{self.name} takes at most {_arguments(self.most)}{by_position}, got {n_positional}"

    def _twice(self, n_positional: int, keywords: Sequence[str]) -> str:
        given = {*self.arguments[: min(n_positional, self.fixed)]}
        for word in keywords:
            if (argument := ALIASES.get(word, word)) in given:
                return f"{self.name} is given {word!r} twice"
            given.add(argument)
        return ""

    def _too_few(self, n_positional: int, keywords: Sequence[str]) -> str:
        if self.is_method and not n_positional and keywords:
            return f"{self.name} needs its first argument by position"
        if n_positional + len(keywords) < self.least:
            got = n_positional + len(keywords)
            return f"{self.name} needs at least {_arguments(self.least)}, got {got}"
        if self.fixed < self.least:
            return ""
        given = {ALIASES.get(word, word) for word in keywords}
        missing = [a for a in self.arguments[n_positional : self.least] if a not in given]
        return f"{self.name} needs {missing[0]!r}" if missing else ""


_registered: dict[str, Function] = {}
# Printed into the generated module where it is called.
_OURS = {"route": Function("route", "route", ("x", "experts", "chosen", "weights"), 4, 4, 4)}


def find(name: str) -> Function | None:
    """The function of that name, or None.

    >>> find("expand").target
    '.expand'
    """
    if name in _OURS:
        return _OURS[name]
    return _torch_function(name) if name in _table() else _registered.get(name)


def names() -> tuple[str, ...]:
    """The names of all functions, PyTorch's first."""
    return (*_table(), *_OURS, *_registered)


_BY_NUMBER = "it stands alone behind in; by number: {for: i in range(len(xs)), do: […]} with xs[i]"
_BY_VALUES = "its shape depends on values: use where(…) or masked_fill(…); for experts route(…)"
# Functions of PyTorch that have two names, of which the table has the other.
_ALIASES = {
    "absolute": "abs", "clip": "clamp", "concatenate": "cat", "divide": "div", "fix": "trunc",
    "ger": "outer", "greater": "gt", "greater_equal": "ge", "less": "lt", "less_equal": "le",
    "multiply": "mul", "negative": "neg", "not_equal": "ne", "subtract": "sub",
    **{f"arc{name}": f"a{name}" for name in "cos cosh sin sinh tan tan2 tanh".split()},
}  # fmt: skip
_INSTEAD = {
    **dict.fromkeys(("enumerate", "range", "zip"), _BY_NUMBER),
    **{name: f"write {known}(…)" for name, known in _ALIASES.items()},
    **dict.fromkeys(
        ("argwhere", "bincount", "masked_select", "nonzero", "unique", "unique_consecutive"),
        _BY_VALUES,
    ),
    "attention": "write scaled_dot_product_attention(…)",
    "cast": "write to(x, float32)",
    "dot_product_attention": "write scaled_dot_product_attention(…)",
    "expand_dims": "write unsqueeze(…)",
    "hard_swish": "write hardswish(…)",
    "l2_normalize": "write normalize(…)",
    "reduce_max": "write amax(…)",
    "reduce_mean": "write mean(…)",
    "reduce_sum": "write sum(…)",
    "resize": "write interpolate(…)",
    "swish": "write silu(…)",
    "upsample": "write interpolate(…)",
    "take": "write gather(…) or index_select(…)",
    "finfo": "write finfo(x.dtype).min",
    "divisible": "it takes plain numbers",
    "pair": "it takes plain numbers",
    "fliplr": "write flip(x, [1])",
    "flipud": "write flip(x, [0])",
    "list": "a list is [a, b]; unbind(x, dim) takes a tensor apart",
    "map": "write a step {for: x in xs, do: […]}",
    "no_grad": "write detach(x)",
    "tuple": "a list is [a, b]; unbind(x, dim) takes a tensor apart",
    "checkpoint": "leave it out: what is kept for backward is for who trains the model",
    "max_pool": "write max_pool2d(…)",
    "print": "leave it out: archspec inspect shows all shapes",
    "rearrange": "write unflatten(…), permute(…) and flatten(…)",
    "repeat_kv": "write repeat_interleave(…)",
    "reversed": "write xs[::-1], with quotes around the expression",
}


def known_instead(name: str) -> str:
    """What to write for a function that PyTorch or another library has; "" if that is not known."""
    return _INSTEAD.get(name, "")


def instead_of(name: str, others: Sequence[str]) -> str:
    """What to write for a function that does not exist, as a hint.

    A near miss must share its first letter: among short names, letters alone say little.

    Args:
        others: names that could have been meant as well, such as a block's modules.

    >>> instead_of("clip", []), instead_of("sofmax", []), instead_of("lstm", [])
    ('write clamp(…)', "did you mean 'softmax'?", 'LSTM is a layer: declare a module of that type')
    """
    if hint := known_instead(name):
        return hint
    if layer := next((layer for layer in layers.names() if layer.casefold() == name), None):
        return f"{layer} is a layer: declare a module of that type"
    near = [n for n in near_misses(name, [*others, *names()]) if n[0] == name[0]]
    if near and (len(name) > 5 or near[0] in others or abs(len(near[0]) - len(name)) <= 1):
        return did_you_mean(name, near)
    return "see archspec.register_op for functions of your own"


def registered() -> tuple[Function, ...]:
    """What trusted Python added."""
    return tuple(_registered.values())


C = TypeVar("C", bound=Callable[..., Any])


@overload
def register_op(fn: C, *, name: str | None = None) -> C: ...
@overload
def register_op(fn: None = None, *, name: str | None = None) -> Callable[[C], C]: ...
def register_op(fn: C | None = None, *, name: str | None = None) -> C | Callable[[C], C]:
    """Let the forward steps of specs call a function of yours.

    Registering the same function again is fine.

    Args:
        fn: a function that can be imported; left out, the call makes a decorator.
        name: what specs call it; the function's own name if left out.

    Returns:
        The function itself.

    Raises:
        UsageError: E801, not a function with a name and a module, a local function, or a name that
            is taken or not a name.

    Example::

        @register_op
        def rotate_half(x: Tensor) -> Tensor: ...
    """
    if fn is None:
        return functools.partial(register_op, name=name)
    if not callable(fn):
        raise usage(f"register_op takes a function, not {fn!r}")
    name = registered_name(fn, name, {*_table(), *_OURS, *CONSTANTS, *_LANGUAGE}, _registered)
    _registered[name] = _read(fn, name)
    return fn


def _read(fn: Callable[..., Any], name: str) -> Function:
    found = _parameters(fn)
    placed = [p for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    by_name = [p for p in found if p.kind is p.KEYWORD_ONLY]
    return Function(
        name,
        target=fn.__qualname__,
        arguments=tuple(p.name for p in (*placed, *by_name)),
        most=None if any(p.kind is p.VAR_POSITIONAL for p in found) else len(placed),
        least=sum(p.default is p.empty for p in placed),
        fixed=len(placed),
        keywords_any=any(p.kind is p.VAR_KEYWORD for p in found),
        registered=True,
        module=fn.__module__,
    )


def _parameters(fn: Callable[..., Any]) -> list[Parameter]:
    try:
        return list(inspect.signature(fn).parameters.values())
    except ValueError:  # some functions written in C do not tell
        return [Parameter("args", Parameter.VAR_POSITIONAL), Parameter("kw", Parameter.VAR_KEYWORD)]


def _arguments(number: int) -> str:
    return f"{number} argument{'' if number == 1 else 's'}"


@functools.cache
def _table() -> dict[str, dict[str, Any]]:
    text = Path(__file__).with_name("torch_functions.json").read_text(encoding="utf-8")
    return json.loads(text)["functions"]


@functools.cache
def _torch_function(name: str) -> Function:
    row = _table()[name]
    row["arguments"] = tuple(row["arguments"])
    return Function(name, **row)
