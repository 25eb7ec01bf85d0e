"""What a sweep searches: for each option or parameter a range or a list of values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from archspec.errors import Problem, UsageError, did_you_mean, listing, shown
from archspec.lang.spec import Spec
from archspec.lang.yaml.core_schema import value_of
from archspec.training.option_info import OptionInfo, option_infos
from archspec.training.options import TrainOptions

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = bool | int | float | str

_GROUPS = ("Optimization", "Model")  # whose options change what is learned from the same data
_OTHERS = ("max_length",)
_EXCEPT = ("seed",)
_RANGE = re.compile(r"(?P<kind>[a-z]+)\s*\(\s*(?P<low>[^,()]+?)\s*,\s*(?P<high>[^,()]+?)\s*\)")
_EXAMPLES = "log(1e-5,1e-3), uniform(0,0.3), int(2,6), or values with commas: 16,32,64"


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from ``low`` to ``high``, both inclusive.

    Attributes:
        kind: ``uniform``, ``log`` (uniform in the logarithm) or ``int`` (integers).
    """

    kind: str
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.kind}({self.low},{self.high})"

    @property
    def ends(self) -> tuple[Value, ...]:
        return (self.low, self.high)

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import FloatDistribution, IntDistribution

        if self.kind == "int":
            return IntDistribution(int(self.low), int(self.high))
        return FloatDistribution(self.low, self.high, log=self.kind == "log")


@dataclass(frozen=True, slots=True)
class Choices:
    """One of some values."""

    values: tuple[Value, ...]

    def __str__(self) -> str:
        return ",".join(map(str, self.values))

    @property
    def ends(self) -> tuple[Value, ...]:
        return self.values

    def distribution(self) -> BaseDistribution:
        from optuna.distributions import CategoricalDistribution

        return CategoricalDistribution(self.values)


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """What is searched, checked against the options and the spec.

    Attributes:
        options: name of an option of ``train`` → its range or values.
        params: name of a parameter of the spec → its range or values.
    """

    options: Mapping[str, Range | Choices]
    params: Mapping[str, Range | Choices]

    @property
    def dimensions(self) -> dict[str, Range | Choices]:
        """All that is searched, options first."""
        return {**self.options, **self.params}

    @property
    def combinations(self) -> int | None:
        """How many there are; None where a range has any number of values."""
        sizes = [
            len(d.values) if isinstance(d, Choices) else None for d in self.dimensions.values()
        ]
        known = [size for size in sizes if size is not None]
        return math.prod(known) if len(known) == len(sizes) else None

    def to_dict(self) -> dict[str, str]:
        """Name → notation, as ``--search`` takes it."""
        return {name: str(dimension) for name, dimension in self.dimensions.items()}


def search_space(
    search: Mapping[str, str | Sequence[Value]], spec: Spec, options: TrainOptions
) -> SearchSpace:
    """The search space that texts such as ``log(1e-5,1e-3)`` or ``16,32``, or lists, stand for.

    Args:
        search: name of an option of ``train``, or of a parameter of the spec → its values. A name
            that is both is the option.
        spec: each of its values must build a valid spec.
        options: those of all trials; what they set is not searched.

    Raises:
        UsageError: E801, each name or value that is wrong.
        SpecError: a value of a parameter that the spec does not allow.

    >>> from archspec import load
    >>> space = search_space({"learning_rate": "log(1e-5,1e-3)"}, load("bert"), TrainOptions())
    >>> space.to_dict()
    {'learning_rate': 'log(1e-05,0.001)'}
    """
    infos = option_infos(TrainOptions)
    allowed = [
        name
        for name, info in infos.items()
        if (info.group in _GROUPS or name in _OTHERS) and name not in _EXCEPT
    ]
    problems: list[Problem] = []
    found: dict[str, Range | Choices] = {}
    for given, values in search.items():
        name = given.replace("-", "_") if given.replace("-", "_") in infos else given
        if name in infos and name not in allowed:
            hint = f"these can be searched: {listing(allowed, 40)}, and parameters of the spec"
            problems.append(Problem("E801", f"{name} is the same in all trials", hint=hint))
        elif name not in infos and name not in spec.params:
            hint = did_you_mean(name, [*allowed, *spec.params])
            problems.append(Problem("E801", f"no option or parameter '{name}'", hint=hint))
        elif name in options.given or _is_given(spec, name):
            problems.append(Problem("E801", f"{name} is given, and searched as well"))
        else:
            try:
                dimension = _dimension(name, values, infos.get(name))
                _check_values(name, dimension, infos.get(name), spec)
                found[name] = dimension
            except UsageError as error:
                problems += error.problems
    if not search:
        hint = f"give at least one --search NAME=VALUES, with {_EXAMPLES}"
        problems.append(Problem("E801", "there is nothing to search", hint=hint))
    if problems:
        raise UsageError(problems)
    return SearchSpace(
        {name: one for name, one in found.items() if name in infos},
        {name: one for name, one in found.items() if name not in infos},
    )


def _is_given(spec: Spec, name: str) -> bool:
    """Whether a parameter was given by hand; what a config file says may be searched."""
    return name in spec.overrides and spec.params[name].place is None


def _dimension(
    name: str, values: str | Sequence[Value], info: OptionInfo | None
) -> Range | Choices:
    if not isinstance(values, str):
        return _choices(name, [*values])
    text = values.strip()
    match = _RANGE.fullmatch(text)
    if match is None:
        if "(" in text or ")" in text:
            raise _wrong(f"{name}: '{text}' is no range", f"write {_EXAMPLES}")
        return _choices(name, [_typed(name, part.strip(), info) for part in text.split(",")])
    kind = match["kind"]
    if kind not in ("log", "uniform", "int"):
        hint = did_you_mean(kind, ("log", "uniform", "int")) or f"write {_EXAMPLES}"
        raise _wrong(f"{name}: no kind of range '{kind}'", hint)
    low, high = (_number(name, match[end], kind) for end in ("low", "high"))
    if low >= high:
        raise _wrong(f"{name}: a range goes up, and {low:g} is not below {high:g}")
    if kind == "log" and low <= 0:
        raise _wrong(f"{name}: a logarithmic range begins above 0, not at {low:g}")
    is_integer = info.type is int if info else False
    if is_integer and kind != "int":
        raise _wrong(f"{name} takes integers", f"int({low:g},{high:g}), or values: 16,32,64")
    return Range(kind, low, high)


def _number(name: str, text: str, kind: str) -> float:
    try:
        number = int(text) if kind == "int" else float(text)
    except ValueError:
        what = "an integer" if kind == "int" else "a number"
        raise _wrong(f"{name}: '{text}' is not {what}") from None
    if not math.isfinite(number):
        raise _wrong(f"{name}: '{text}' is not a finite number")
    return number


def _choices(name: str, values: list[Any]) -> Choices:
    if len(values) < 2:
        message = f"{name}: one value is no search"
        raise _wrong(message, f"write {_EXAMPLES}; or give it as an option of all trials")
    if wrong := [value for value in values if not isinstance(value, bool | int | float | str)]:
        raise _wrong(f"{name}: a value is a number, a text or a truth value, not {shown(wrong[0])}")
    if twice := [value for i, value in enumerate(values) if value in values[:i]]:
        raise _wrong(f"{name}: {shown(twice[0])} stands there twice")
    return Choices(tuple(cast("list[Value]", values)))


def _typed(name: str, text: str, info: OptionInfo | None) -> Value:
    """A value of a list: text where the option is one, otherwise as YAML reads it."""
    if info is not None and info.type is str:
        return text
    try:
        value = value_of(text)
    except OverflowError:
        raise _wrong(f"{name}: a number of {len(text):,} digits") from None
    if value is None:
        raise _wrong(f"{name}: {shown(text)} is no value to try")
    return float(value) if info is not None and info.type is float and type(value) is int else value


def _check_values(
    name: str, dimension: Range | Choices, info: OptionInfo | None, spec: Spec
) -> None:
    for value in dimension.ends:
        if info is not None:
            TrainOptions(**{name: value})
            if name == "freeze" and value != "none" and value not in spec.architecture.freeze:
                plans = spec.architecture.freeze
                hint = did_you_mean(str(value), plans) or f"it has {listing([*plans])}, and none"
                raise _wrong(f"{spec.name} has no freeze plan '{value}'", hint)
        else:
            spec.with_params(**{name: value})


def _wrong(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
