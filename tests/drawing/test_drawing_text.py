"""A drawing as text, where there is no room for a picture."""

from __future__ import annotations

import pytest

import archspec
from archspec.drawing import graphviz_engines
from archspec.errors import Problem, UsageError


def test_a_flow_names_what_goes_in() -> None:
    lines = str(archspec.draw("resnet18", block="BasicBlock")).splitlines()
    assert lines[0] == "resnet18: BasicBlock"
    assert "conv1  Conv2d · 36.86 k  ←  x [batch, 64, 56, 56]" in lines
    assert "+=                       ←  bn2 [batch, 64, 56, 56]  x [batch, 64, 56, 56]" in lines
    assert lines[-1].split()[:3] == ["output", "←", "relu_"]


def test_a_hierarchy_is_indented() -> None:
    lines = str(archspec.draw("bert", freeze="head-only")).splitlines()
    at = lines.index("        layer[0-11]  12 × BertLayer · 7.088 M each, frozen")
    assert lines[at - 1] == "      layer  ModuleList · 85.05 M, frozen"
    assert lines[at + 1] == "          attention  BertAttention · 2.364 M, frozen"
    assert lines[-1] == "  classifier  Linear · 1.538 k"


def test_a_notebook_shows_the_picture_or_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    drawing = archspec.draw("resnet18", block="BasicBlock")
    assert drawing._repr_html_().startswith("<svg")

    def refuse() -> str:
        raise UsageError(Problem("E801", "no Graphviz"))

    monkeypatch.setattr(graphviz_engines, "engine", refuse)
    assert drawing._repr_html_().startswith("<pre")
