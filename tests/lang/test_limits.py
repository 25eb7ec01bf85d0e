"""The limits that the language page states are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

from archspec.building import tensor_values
from archspec.lang import expand, inherit, like, patterns
from archspec.lang.checks import bounds, selections
from archspec.lang.expr.evaluate import MAX_DEPTH as MAX_LISTS
from archspec.lang.expr.evaluate import MAX_LENGTH, MAX_WORK
from archspec.lang.expr.parse import MAX_DEPTH as MAX_NESTED
from archspec.lang.expr.parse import MAX_INTEGER, MAX_TEXT
from archspec.lang.limits import MAX_MODULES
from archspec.lang.registry import functions, layers
from archspec.lang.yaml import MAX_BYTES, MAX_DEPTH, MAX_NODES
from archspec.tracing import limits

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "language.md").read_text("utf-8")
LIMITS = {
    "text of one expression": (MAX_TEXT, MAX_NESTED),
    "integers in arguments": (MAX_INTEGER.bit_length() + 1,),
    "lists and texts in arguments": (MAX_LENGTH, MAX_LISTS),
    "values that all comprehensions of a spec look at; elsewhere, 10 elements of a list count as"
    " one": (MAX_WORK,),
    "plain numbers and lists in forward steps": (bounds.MAX_BITS, bounds.MAX_ITEMS),
    "rounds of all loops around one step": (bounds.MAX_ROUNDS,),
    "steps that one call of the model carries out, those of loops and blocks included; told before"
    " it runs": (bounds.MAX_STEPS,),
    "tensors that the `init` rules fill, each as often as it is filled": (selections.MAX_FILLS,),
    "operations, calls of blocks and rounds of `range` loops in one run of the model; an operation"
    " on shapes that the run has not met before counts as 3": (limits.MAX_OPERATIONS,),
    "operations of all computed `value`s together, counted likewise; one more value counts as 3": (
        limits.MAX_OPERATIONS,
    ),
    "elements of one tensor in such a run": (10, 15),
    "elements of all tensors on the way to one computed `value`": (10, 9),
    "layers that one layer stacks (`num_layers`)": (layers.MAX_DEPTH,),
    "`repeat`, and rounds of a group of items": (expand.MAX_REPEAT,),
    "values that the constructors of all modules look at, counted as above, in equal modules each"
    " time": (expand.MAX_WORK,),
    "modules": (MAX_MODULES, expand.MAX_DISTINCT),
    "nesting of blocks": (expand.MAX_NESTING,),
    "elements of all tensors": (10, 15),
    "text of one pattern": (patterns.MAX_LENGTH,),
    "modules, times the parts of all patterns": (selections.MAX_COMPARISONS,),
    "`extends`, one after another": (inherit.MAX_PARENTS,),
    "`like`, one after another": (like.MAX_CHAIN,),
    "contracts that all `like` take over": (like.MAX_TAKEN,),
}


def numbers(text: str) -> tuple[int, ...]:
    return tuple(int(found.replace(",", "")) for found in re.findall(r"\d[\d,]*", text))


def test_the_table_of_limits() -> None:
    table = PAGE.partition("| what | limit |\n| --- | --- |\n")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()]
    assert {what: numbers(limit) for what, limit in rows} == LIMITS
    assert expand.MAX_ELEMENTS == limits.MAX_ELEMENTS == 10**15
    assert tensor_values.MAX_ELEMENTS == 10**9


def test_the_limits_of_yaml() -> None:
    yaml = PAGE.partition("\n## YAML\n")[2].partition("\n## ")[0].replace("\n", " ")
    assert f"beyond {MAX_NODES:,} nodes" in yaml
    assert f"texts over {MAX_BYTES // 10**6} MB" in yaml
    assert f"nesting over {MAX_DEPTH} levels" in yaml


def test_the_number_of_functions() -> None:
    assert "about 390 (" in PAGE and 380 <= len(functions.names()) <= 400
