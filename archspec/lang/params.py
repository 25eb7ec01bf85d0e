"""Hyperparameters: declarations, overrides, and the resolved values with their origins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from archspec.errors import Note, Place, Problem, SpecError, did_you_mean, listing
from archspec.lang import yaml
from archspec.lang.checker import Checker
from archspec.lang.declarations import fit, fit_one, inferred
from archspec.lang.expr import Node, Value
from archspec.lang.expr.nodes import names
from archspec.lang.registry.arguments import is_plain
from archspec.lang.schema import item_type
from archspec.lang.tree import LetNode, ParamNode, SpecTree


@dataclass(frozen=True, slots=True)
class Override:
    """A value given for a parameter from outside the spec, and who gave it.

    Attributes:
        tolerant: whether it is passed over if the spec has no such parameter.
        labels: the names of what the value counts, if it is the number of classes.
    """

    value: Any
    origin: str
    place: Place | None = None
    tolerant: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Resolved:
    """A parameter's value, its type, and where the value was set.

    Attributes:
        expression: what the value is computed from; None if it stands in the document.
    """

    value: Value
    type: str
    origin: str
    place: Place | None
    expression: Node | None = None


# ---------------------------------------------------------------------------------------- reading


def overrides_from_options(options: Iterable[str]) -> dict[str, Override]:
    """``name=value`` texts of a command line as overrides; the value is read as YAML.

    Raises:
        SpecError: E208 for a text without ``=``, E1xx for a value that is not YAML.
    """
    overrides: dict[str, Override] = {}
    problems: list[Problem] = []
    for option in options:
        name, equals, text = option.partition("=")
        if not equals or not name.strip() or not text.isprintable():
            problems.append(Problem("E208", f"-p {option}: write -p name=value"))
            continue
        try:
            root, found = yaml.parse(f"value: {text}", f"-p {name}")
        except SpecError as error:
            problems += error.problems
            continue
        problems += found
        overrides[name.strip()] = Override(cast(Any, yaml.plain(root))["value"], f"-p {option}")
    if problems:
        raise SpecError(problems)
    return overrides


# -------------------------------------------------------------------------------------- resolving


def resolve(
    checker: Checker, tree: SpecTree, overrides: Mapping[str, Override]
) -> tuple[dict[str, Resolved], dict[str, Value]]:
    """The parameters and the local values of a spec, as far as they have values."""
    declared, let = tree.params, tree.let
    _check_known(checker, tree, overrides)
    overrides = {
        name: given
        for name, given in overrides.items()
        if given.value is not None or name not in declared or not declared[name].declared.nullable
    }  # null means the default
    needs = needed_names(declared, let, overrides)
    order, circles = ordered(needs)
    report_circles(checker, circles, declared, ())
    resolved: dict[str, Resolved] = {}
    values: dict[str, Value] = {}
    for name in order:
        if not needs[name] <= values.keys():
            continue  # what it is computed from has been reported
        if name not in declared:
            values |= let_value(checker, let[name], values)
        elif found := _resolve_one(checker, declared[name], overrides.get(name), values):
            resolved[name], values[name] = found, found.value
    params = {name: resolved[name] for name in declared if name in resolved}
    return params, {name: values[name] for name in let if name in values}


def needed_names(
    params: Mapping[str, ParamNode], let: Mapping[str, LetNode], given: Collection[str] = ()
) -> dict[str, set[str]]:
    """Which others each parameter and local value is computed from; not those that are given."""
    nodes = {name: None if name in given else param.default for name, param in params.items()}
    nodes = {**{name: local.value for name, local in let.items()}, **nodes}
    return {
        name: {used.id for used in names(node)} & nodes.keys() if node is not None else set()
        for name, node in nodes.items()
    }


def report_circles(
    checker: Checker, circles: Iterable[list[str]], params: Collection[str], at: yaml.Path
) -> None:
    """Values that are computed from each other, at the first of them, below ``at``."""
    for circle in circles:
        first = ("params", circle[0], "default") if circle[0] in params else ("let", circle[0])
        what = "parameters" if all(name in params for name in circle) else "values"
        message = f"{what} are computed from each other: {circle_text(circle)}"
        checker.add("E306", message, (*at, *first))


def let_value(checker: Checker, local: LetNode, values: Mapping[str, Value]) -> dict[str, Value]:
    """A local value by its name; nothing if a problem, which is reported, prevents one."""
    found = checker.evaluated(local.value, values)
    if found is not None and not is_plain(found[0]):
        hint = "a local value is a number, a text, true, false, null or a list of these"
        checker.add("E205", f"'{local.name}' cannot be a mapping", local.path, hint=hint)
        found = None
    return {} if found is None else {local.name: found[0]}


def _check_known(checker: Checker, tree: SpecTree, overrides: Mapping[str, Override]) -> None:
    """Report the names that are no parameters."""
    declared = tree.params
    for name, given in overrides.items():
        known = name in declared or checker.is_broken(("params", name))
        if not known and name in tree.let and not given.tolerant:
            hint = "to set it from outside, declare it in params, with its expression as default"
            message = f"'{name}' is computed ({given.origin})"
            checker.findings.add(Problem("E208", message, given.place, hint))
        elif not known and not given.tolerant:
            hint = did_you_mean(name, declared) or f"there is: {listing(list(declared)) or 'none'}"
            message = f"no parameter '{name}' ({given.origin})"
            checker.findings.add(Problem("E208", message, given.place, hint))


def ordered(graph: Mapping[str, Iterable[str]]) -> tuple[list[str], list[list[str]]]:
    """The names, each behind those that it needs; and the circles among them, none twice.

    >>> ordered({"a": ["b"], "b": [], "c": ["d"], "d": ["c"]})
    (['b', 'a', 'd', 'c'], [['c', 'd']])
    """
    order: dict[str, None] = {}
    circles: list[list[str]] = []
    for start in graph:
        path: list[str] = []
        depth: dict[str, int] = {}
        waiting: list[Iterator[str]] = [iter((start,))]
        closed = 0  # how much of the path is in a circle that has been found already
        while waiting:
            name = next(waiting[-1], None)
            if name is None:
                waiting.pop()
                if path:
                    order[path[-1]] = None
                    del depth[path.pop()]
                closed = min(closed, len(path))
            elif name in depth:
                if depth[name] >= closed:
                    circles.append(path[depth[name] :])
                    closed = len(path)
            elif name not in order and name in graph:
                depth[name] = len(path)
                path.append(name)
                waiting.append(iter(graph[name]))
    return list(order), circles


def circle_text(circle: Sequence[str]) -> str:
    """``a → b → a``"""
    return f"{listing(circle, sign=' → ')} → {circle[0]}"


def _resolve_one(
    checker: Checker, param: ParamNode, override: Override | None, values: Mapping[str, Value]
) -> Resolved | None:
    """A parameter's value; None if a problem, which is reported, prevents one."""
    name, document = param.name, checker.document
    if override is not None:
        value, place, origin = as_tuples(override.value), override.place, override.origin
    elif param.default is None:
        if not checker.is_broken(param.path):
            hint = f"give one: -p {name}=…, or a default"
            message = f"parameter '{name}' has no value"
            checker.add("E210", message, param.path, key=True, hint=hint)
        return None
    else:
        computed = checker.evaluated(param.default, values)
        if computed is None:
            return None
        value, place = computed[0], document.place((*param.path, "default"))
        origin = str(place)
    kind = param.declared.type or inferred(param.declared, value)
    fitted, complaint = fit(value, param.declared, kind)
    if not complaint:
        is_text = override is None and isinstance(param.declared.default, str)
        expression = param.default if is_text and param.is_computed else None
        return Resolved(fitted, kind, origin, place, expression)
    is_list = kind == "list" or item_type(kind) != kind
    if override is None and isinstance(value, tuple) and is_list:
        long = (*param.path, "default")
        at = long if document.has(long) else param.path
        place = document.place((*at, _first_misfit(value, param, kind)))
    notes = (Note("declared here", document.place(param.path, key=True)),) if override else ()
    for key in ("type", "min", "max", "choices") if not override else ():
        if place is not None and document.has((*param.path, key)):
            notes = notes or document.elsewhere((*param.path, key), place)
    said = f" ({origin})" if override and place is None else ""
    message = f"parameter '{name}'{said}: {complaint}"
    checker.findings.add(Problem("E209", message, place, _misfit_hint(value), notes))
    return None


def _misfit_hint(value: Value) -> str:
    if value is None:
        return "to allow null, declare it with default: null, or with nullable: true"
    if isinstance(value, dict):
        return "there are no mappings as values: declare a parameter for each of its keys"
    return ""


def as_tuples(value: Any) -> Any:
    """What was given from outside is taken as it is; only lists become tuples."""
    if isinstance(value, list | tuple):
        return tuple(map(as_tuples, cast("list[Any]", value)))
    return value


def _first_misfit(value: Value, param: ParamNode, kind: str) -> int:
    inner = item_type(kind)
    misfits = (i for i, item in enumerate(value) if fit_one(item, param.declared, inner)[1])
    return next(misfits, 0)
