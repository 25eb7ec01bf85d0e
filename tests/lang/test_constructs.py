"""Every construct of the expression language in every position where an expression may stand.

What ``loads`` accepts builds, with the value that Python gives the expression; what it does not is
refused there, at the expression's line. A cell of the table is one construct in one position.
"""

from __future__ import annotations

import ast
import itertools
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archspec
from archspec.errors import SpecError
from archspec.lang.expr import numeric
from archspec.lang.instances import Instance
from archspec.lang.registry import functions, layers
from archspec.lang.spec import Spec, loads
from tests.lang.positions import (
    GLOBALS,
    KEPT,
    PARAMS,
    POSITIONS,
    Position,
    Probe,
    as_tuples,
    is_size,
    keep,
    type_of,
)

# ---------------------------------------------------------------------------------- the constructs

NAMES = {**GLOBALS, "b": 3, "i": 0}  # a block's parameter, a counter
PLAIN = [7, 0, -4, 0.5, True, False, None, "text", "$$x", "it's", 'say "x"', "Tanh", "Other"]
PLAIN += [[1, 2], [], [1.5], ["a", "b"], [[1], [2, 3]]]

TEXT = (Path(__file__).parent / "constructs.txt").read_text("utf-8")
SECTIONS = [section.splitlines() for section in re.split(r"^# .*\n", TEXT, flags=re.M)[1:]]
*USUAL, WITH_FUNCTIONS, IN_ARGUMENTS, FAILING = [
    [line for line in lines if line] for lines in SECTIONS
]
ARGUMENTS = ["-4", "f", "l", "s", "2.567, 1", "g, 4", "l, 1", "1, g, 3"]
FUNCTIONS = "abs ceil exp float floor int len log log2 max min round sqrt sum".split()
CALLS = [f"{name}({args})" for name, args in itertools.product(FUNCTIONS, ARGUMENTS)]
SIMPLE = [*NAMES, *itertools.chain(*USUAL)]
IN_STEPS = [*SIMPLE, *CALLS, *WITH_FUNCTIONS]
EXPRESSIONS = [*IN_STEPS, *IN_ARGUMENTS, *FAILING]


class Raised:
    """What an expression without a value comes to."""


def value_of(expression: str, names: Mapping[str, Any]) -> Any:
    """What Python makes of an expression; lists are tuples."""
    try:
        value = as_tuples(eval(expression, {"__builtins__": {}, **CALLABLES, **names}))
    except Exception:
        return Raised
    large = isinstance(value, int) and abs(value) >= 2**63
    return Raised if large or isinstance(value, complex) else value


def _number(kind: type[int] | type[float]) -> Callable[[Any], Any]:
    """Numbers are not read out of texts."""

    def convert(value: Any) -> Any:
        if isinstance(value, str):
            raise TypeError
        return kind(value)

    return convert


def _items(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *values: function(*values)


CALLABLES: dict[str, Any] = {
    "abs": abs, "float": _number(float), "int": _number(int), "len": len, "max": _items(max),
    "min": _items(min), "round": round, "sum": _items(sum), "divisible": numeric.divisible,
    "pair": numeric.pair,
    "enumerate": enumerate, "range": range, "zip": zip, "finfo": torch.finfo,
    **{name: getattr(math, name) for name in ("ceil", "exp", "floor", "log", "log2", "sqrt")},
    **{name: getattr(torch, name) for name in (*numeric.FINFO, "int8")},
}  # fmt: skip


# ------------------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Cell:
    """A construct in a position, and what should become of it."""

    number: int
    position: Position
    construct: Any
    is_plain: bool = False

    @cached_property
    def value(self) -> Any:
        """What the construct comes to; ``Raised`` if that is nothing."""
        if not self.is_plain:
            return value_of(self.construct, NAMES)
        text = self.construct
        return as_tuples(text.replace("$$", "$") if isinstance(text, str) else text)

    @property
    def must_load(self) -> bool:
        used = set[str]() if self.is_plain else names_in(self.construct) - CALLABLES.keys()
        value = self.value
        return value is not Raised and used <= self.position.names and self.position.fits(value)

    def filled(self, template: str) -> str:
        """A text of the position with the construct in it."""
        value = self.value
        marks = {
            "«E»": json.dumps(self.construct if self.is_plain else f"${self.construct}"),
            "«Q»": json.dumps(self.construct)[1:-1],
            "«V»": str(value) if is_size(value) else "1",
            "«T»": type_of(value) or "int",
            "@": str(self.number),
        }
        return re.sub("«.»|@", lambda mark: marks[mark[0]], template)

    def __str__(self) -> str:
        return f"{self.position.name}: {self.construct!r}"


def names_in(expression: str) -> set[str]:
    """The names that an expression needs."""
    found = [node for node in ast.walk(ast.parse(expression)) if isinstance(node, ast.Name)]
    given = {node.id for node in found if isinstance(node.ctx, ast.Store)}
    return {node.id for node in found} - given


PART = """
  Part@:
    params:
      b: 3
      {0.own}
    inputs: {0.inputs}
    {0.body}
    forward:
      {0.steps}
      - return: x
"""


def spec_text(cells: Sequence[Cell]) -> tuple[str, dict[int, int]]:
    """A spec with a block for each cell; and the number of the cell of each line."""
    position = cells[0].position
    lines: list[str] = []
    owners: dict[int, int] = {}

    def add(template: str, per_cell: bool = True) -> None:
        for cell in cells if per_cell else cells[:1]:
            for line in template.splitlines():
                if "@" in line or "«" in line or template.startswith("\n  Part"):
                    owners[len(lines) + 1] = cell.number
                lines.append(cell.filled(line))

    add(f"archspec: 1\nmodel: Net\nparams:{PARAMS}", False)
    add(f"  {position.params}")
    if position.let:
        add("let:", False)
        add(f"  {position.let}")
    add("blocks:\n  Other: {inputs: {x: [batch, 1]}, modules: {act: {type: ReLU}}}", False)
    add(PART.format(position))
    add("  Net:\n    inputs:", False)
    add(f"      x@: {position.root_inputs}")
    add("    modules:", False)
    add(f"      part@: {{type: Part@{position.given}}}")
    add("    forward:", False)
    add("      - y@: part@(x@)")
    add("      - return: y@", False)
    if position.init:
        add("init:", False)
        add(f"  {position.init}")
    return "\n".join(lines), owners


def problems(cells: Sequence[Cell]) -> Iterator[str]:
    """What is wrong with cells of one position; as many at once as are right together."""
    if not cells:
        return
    text, owners = spec_text(cells)
    try:
        spec = loads(text)
    except SpecError as error:
        refusal = error
    else:
        yield from _differences(cells, spec)
        return
    told = {owners.get(p.place.line): p for p in refusal.problems if p.place is not None}
    refused = [cell for cell in cells if cell.number in told]
    for cell in refused:
        if cell.must_load:
            yield f"{cell}: refused: {told[cell.number].code} {told[cell.number].message}"
    if refused:
        yield from problems([cell for cell in cells if cell not in refused])
    else:
        yield from _apart(cells, f"refused elsewhere: {refusal.problems[0]}")


def _apart(cells: Sequence[Cell], problem: str) -> Iterator[str]:
    """The problem of a single cell; else those of each half."""
    if len(cells) == 1:
        yield f"{cells[0]}: {problem}"
    else:
        yield from problems(cells[: len(cells) // 2])
        yield from problems(cells[len(cells) // 2 :])


def _differences(cells: Sequence[Cell], spec: Spec) -> Iterator[str]:
    position = cells[0].position
    try:
        model = archspec.build(spec, device=position.device)
        assert str(model).startswith("Net(")
        if position.is_step:
            KEPT.clear()
            model(*(torch.empty(2, 1, device="meta") for _ in cells))
    except Exception as error:
        first = (str(error).splitlines() or [""])[0]
        yield from _apart(cells, f"loads, but: {type(error).__name__}: {first}")
        return
    for cell in cells:
        name = f"part{cell.number}"
        if problem := _difference(cell, dict(spec.root.children)[name], getattr(model, name)):
            yield f"{cell}: {problem}"


def _difference(cell: Cell, instance: Instance, part: nn.Module) -> str:
    position, value = cell.position, cell.value
    if value is Raised:
        return "is accepted, and has no value"
    expected = position.expected(value)
    checked = position.checked(instance) if position.checked else expected
    built = position.built(part) if position.built else expected
    built = tuple(KEPT.get(cell.number, ())) if position.is_step else built
    if repr(checked) == repr(expected) == repr(built):
        return ""
    if checked == expected == built == (6, 0.5):
        return ""  # a list of numbers is one of floats, as its type says
    return f"{expected!r} expected, {checked!r} checked, {built!r} built"


def cells_of(position: Position) -> list[Cell]:
    in_steps = [e for e in IN_STEPS if value_of(e, NAMES) is not Raised]
    constructs = [(e, False) for e in (in_steps if position.is_step else EXPRESSIONS)]
    texts = (
        position.let
        + position.params
        + position.own
        + position.given
        + position.body
        + position.inputs
    )
    constructs += [(plain, True) for plain in PLAIN if "«E»" in texts + position.init]
    return [Cell(number, position, *construct) for number, construct in enumerate(constructs)]


@pytest.fixture
def _probes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_registered", {})
    monkeypatch.setattr(functions, "_registered", {})
    archspec.register_layer(Probe)
    archspec.register_op(keep)


@pytest.mark.usefixtures("_probes")
def test_what_loads_builds_with_the_same_value() -> None:
    wrong: list[str] = []
    for position in POSITIONS:
        cells = cells_of(position)  # apart, so that the long text of those that load is read once
        wrong += problems([cell for cell in cells if cell.must_load])
        wrong += problems([cell for cell in cells if not cell.must_load])
    assert not wrong, f"{len(wrong)} combinations:\n" + "\n".join(wrong)
