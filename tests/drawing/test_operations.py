"""How a data flow names the functions that it calls."""

from __future__ import annotations

import pytest

import archspec


@pytest.mark.parametrize(
    ("step", "type", "text"),
    [
        ("softmax(x, dim=0)", "softmax", "softmax(dim=0)"),
        ("silu(x)", "silu", "silu"),
        ("relu_(x)", "relu_", "relu_"),
        ("add_(x, 1)", "add_", "+= 1"),
        ("max_pool2d(x[None], 2)", "max_pool2d", "max_pool2d(2)"),
        ("max_pool2d(x[None], 2, padding=1)", "max_pool2d", "max_pool2d(2, padding=1)"),
        ("dropout(x, 0.5, training=False)", "dropout", "dropout(training=False)"),
        ("dropout(x, 0.1)", "dropout", "dropout(p=0.1)"),
    ],
)
def test_operations_as_people_write_them(step: str, type: str, text: str) -> None:
    """Neither PyTorch's own keywords nor those that are what they are by default."""
    spec = archspec.loads(
        "archspec: 1\nmodel: M\nblocks:\n  M:\n    inputs: {x: [3, 4]}\n"
        f"    forward:\n      - return: {step}\n"
    )
    found = archspec.draw(spec, block="M").nodes[-2]
    assert (found.type, found.text) == (type, text)
