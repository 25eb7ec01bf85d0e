"""Inputs that are given by name only: how a wrong call is put right, and chains that give none."""

from __future__ import annotations

import pytest

import archspec
from archspec.errors import SpecError

HEAD = """\
archspec: 1
model: Net
blocks:
  Part:
    inputs:
      x: [batch, 4]
      mask: {shape: [batch, 4], optional: true, keyword: true}
      types: {shape: [batch, 4], optional: true, keyword: true}
    forward: [{return: x}]
  Only: {inputs: {x: {shape: [batch, 4], keyword: true}}, forward: [{return: x}]}
  Two: {inputs: {x: [batch, 4], y: [batch, 4]}, forward: [{return: x + y}]}
"""


def test_the_hint_is_the_corrected_call() -> None:
    text = HEAD + (
        "  Net:\n    inputs: {x: [batch, 4], mask: [batch, 4], types: [batch, 4]}\n"
        "    modules: {part: {type: Part}}\n    forward: [{return: 'CALL'}]\n"
    )
    for call, hint in {
        "part(x, types)": "write part(x, types=types)",  # not the input in that position
        "part(x, mask, types)": "write part(x, mask=mask, types=types)",
        "part(x, types, mask)": "write part(x, types=types, mask=mask)",
        "part(x, x + 1, types)": "write part(x, mask=x + 1, types=types)",
        "part(x, x + 1, mask=mask)": "write part(x, types=x + 1, mask=mask)",
        "part(x, x + 1)": "its inputs: x, mask=…, types=…",  # either could be meant
        "part(x, mask, mask)": "its inputs: x, mask=…, types=…",
    }.items():
        with pytest.raises(SpecError) as caught:
            archspec.loads(text.replace("CALL", call))
        (problem,) = caught.value.problems
        assert (call, problem.hint) == (call, hint)
        if hint.startswith("write "):
            archspec.loads(text.replace("CALL", hint.removeprefix("write ")))


def test_chains_give_one_value_by_position() -> None:
    rows = {
        "Part": "",
        "Only": "Only takes 'x' by name only, but gets one value by position in Sequential",
        "Two": "Two needs the input 'y', but gets one value by position in Sequential",
    }
    called = "    inputs: {x: [batch, 4]}\n    forward: [{return: row(x)}]\n"
    silent = "    inputs: {x: [batch, 4]}\n"
    for kind, message in rows.items():
        items = f"[{{type: Sequential, items: [{{type: {kind}}}]}}]"
        modules = f"  Net:\n    modules: {{row: {{type: Sequential, items: {items}}}}}\n"
        for forward in (called, silent):
            text = HEAD + modules + forward
            if not message:
                archspec.loads(text)
                continue
            with pytest.raises(SpecError) as caught:
                archspec.loads(text)
            (problem,) = caught.value.problems
            assert (problem.code, problem.message) == ("E305", message)
            assert problem.place is not None
            assert problem.place.source[problem.place.column - 1 :].startswith(kind)
    steps = "[{for: m in row, do: [{x: m(x=x)}]}, {return: x}]"
    looped = f"    inputs: {{x: [batch, 4]}}\n    forward: {steps}\n"
    archspec.loads(
        HEAD + "  Net:\n    modules: {row: {type: Sequential, items: [{type: Only}]}}\n" + looped
    )
