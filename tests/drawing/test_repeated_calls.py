"""Modules that one forward calls several times in a row: one box."""

from __future__ import annotations

from itertools import pairwise

import pytest

import archspec
from archspec.drawing import Drawing


def repeated(order: list[int]) -> Drawing:
    """A block that calls some of the equal layers ``ls[0]`` to ``ls[3]``, and adds ``y``."""
    steps = "".join(f"      - x: ls[{i}](x)\n" for i in order)
    spec = archspec.loads(
        "archspec: 1\nmodel: M\ndims: {batch: 3}\nblocks:\n  M:\n"
        "    inputs: {x: [batch, 4], y: [batch, 4]}\n    modules:\n      ls:\n"
        "        type: ModuleList\n"
        "        items: [{type: Linear, in_features: 4, out_features: 4, repeat: 4}]\n"
        f"    forward:\n{steps}      - return: x + y\n"
    )
    return archspec.draw(spec, block="M")


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([0, 0, 0], [("ls[0]", 1, 3)]),
        ([0, 1, 2, 3, 0, 1, 2, 3], [("ls[0-3]", 4, 2)]),
        ([0, 1, 1, 0], [("ls[0-1]", 2, 2)]),
        ([0, 1, 2], [("ls[0-2]", 3, 1)]),
        ([0, 0, 1], [("ls[0]", 1, 1), ("ls[0-1]", 2, 1)]),
        ([0, 1, 0], [("ls[0-1]", 2, 1), ("ls[0]", 1, 1)]),
    ],
)
def test_modules_that_are_called_again(
    order: list[int], expected: list[tuple[str, int, int]]
) -> None:
    found = repeated(order)
    boxes = [box for box in found.nodes if box.kind == "module"]
    assert [(box.name, box.times, box.calls) for box in boxes] == expected
    chain = ["x", *(name for name, _, _ in expected), "add"]
    flows = [f"{a} -> {b} [batch, 4]" for a, b in pairwise(chain)]
    names = {box.id: box.name for box in found.nodes}
    drawn = [f"{names[e.source]} -> {names[e.target]} {e.text}" for e in found.edges]
    assert [arrow for arrow in drawn if arrow[0] != "y"][: len(flows)] == flows


def test_how_often_a_module_is_called_is_told() -> None:
    found = repeated([0, 0])
    assert 'label="ls[0]\\nLinear · 20 · called 2 ×"' in found.dot
    assert "ls[0]  Linear · 20 · called 2 ×" in str(found)
    assert [box.to_dict()["calls"] for box in found.nodes if box.kind == "module"] == [2]
