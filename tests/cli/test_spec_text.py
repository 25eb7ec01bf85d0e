"""The module tree of a spec as text."""

from __future__ import annotations

import re

import pytest

import archspec
from archspec.cli.spec_text import format_tree

SPEC = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 8]}
    modules:
%s
    forward: [return: x]
"""


def tree_of(modules: str) -> list[str]:
    """The lines of the tree between those of the root."""
    indented = "\n".join(f"      {line}" for line in modules.strip().splitlines())
    lines = format_tree(archspec.loads(SPEC % indented).root).splitlines()
    assert (lines[0], lines[-1]) == ("Net(", ")")
    return [line[2:] for line in lines[1:-1]]


def test_a_root_without_modules() -> None:
    text = "archspec: 1\nmodel: N\nblocks: {N: {inputs: {x: [a]}, forward: [return: relu(x)]}}"
    assert format_tree(archspec.loads(text).root) == "N()"


def test_equal_neighbours_are_folded() -> None:
    assert tree_of("""
a:
  type: Sequential
  items:
    - {type: Linear, in_features: 8, out_features: 8, repeat: 2}
    - {type: Linear, in_features: 8, out_features: 8}
    - {type: Linear, in_features: 8, out_features: 8, bias: false}
    - {type: ReLU, repeat: 2}
""") == [
        "(a): Sequential(",
        "  (0-2): 3 x Linear(in_features=8, out_features=8)",
        "  (3): Linear(in_features=8, out_features=8, bias=False)",
        "  (4-5): 2 x ReLU()",
        ")",
    ]


def test_what_differs_deep_inside_or_far_along_is_not_folded() -> None:
    long = f"[{', '.join(['1'] * 40)}, %s]"
    lines = tree_of(f"""
a:
  type: ModuleList
  items:
    - {{type: Sequential, items: [{{type: Dropout, p: 0.1}}]}}
    - {{type: Sequential, items: [{{type: Dropout, p: 0.2}}]}}
    - {{type: LayerNorm, normalized_shape: {long % 2}}}
    - {{type: LayerNorm, normalized_shape: {long % 3}}}
""")
    assert [line for line in lines if line.startswith("  (")] == [
        "  (0): Sequential(",
        "  (1): Sequential(",
        f"  (2): LayerNorm(normalized_shape=({'1, ' * 19}1…)",
        f"  (3): LayerNorm(normalized_shape=({'1, ' * 19}1…)",
    ]


def test_names_are_kept() -> None:
    assert tree_of("""
a:
  type: Sequential
  items:
    - {type: ReLU, repeat: 2, index: i, name: "act_{i}"}
b: {type: ModuleDict, items: {left: {type: ReLU}, right: {type: ReLU}}}
c: {type: Sequential}
""") == [
        "(a): Sequential(",
        "  (act_0): ReLU()",
        "  (act_1): ReLU()",
        ")",
        "(b): ModuleDict(",
        "  (left): ReLU()",
        "  (right): ReLU()",
        ")",
        "(c): Sequential()",
    ]


def test_a_layer_made_of_a_layer() -> None:
    layer = "{type: TransformerEncoderLayer, d_model: 8, nhead: 2}"
    assert tree_of(f"a: {{type: TransformerEncoder, encoder_layer: {layer}, num_layers: 3}}") == [
        "(a): TransformerEncoder(encoder_layer=TransformerEncoderLayer(d_model=8, nhead=2),"
        " num_layers=3)"
    ]


@pytest.mark.parametrize("name", ["bert", "minilm-l6"])
def test_the_tree_is_pytorchs_but_for_the_arguments(name: str) -> None:
    spec = archspec.load(name)
    built = str(archspec.build(spec, device="meta"))
    ours, theirs = (
        re.sub(r"(?<=\w)\(.+\)$", "()", t, flags=re.M) for t in (format_tree(spec.root), built)
    )
    assert ours == theirs


def test_arguments_of_blocks_stand_inside() -> None:
    lines = format_tree(archspec.load("resnet34").root).splitlines()
    at = lines.index("    (1-3): 3 x BasicBlock(")
    assert lines[at + 1] == "      in_planes=128, planes=128, stride=1"
