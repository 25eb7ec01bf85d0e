"""The printed trees of BERT and ResNet-18, and the sizes of BERT's parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from archspec import build

SEEDS = (Path(__file__).parent.parent / "golden" / "seed-trees.txt").read_text(encoding="utf-8")


def without_norm_bias(tree: str) -> list[str]:
    """PyTorch 2.13 began to print ``bias=True`` inside its norms."""
    lines = tree.splitlines()
    norms = ("LayerNorm(", "BatchNorm2d(")
    return [
        line.replace(", bias=True", "") if any(norm in line for norm in norms) else line
        for line in lines
    ]


@pytest.mark.parametrize(
    ("name", "root", "length"),
    [("bert", "BertForSequenceClassification(", 45), ("resnet18", "ResNet(", 80)],
)
def test_tree(name: str, root: str, length: int) -> None:
    lines = SEEDS.splitlines()
    start = lines.index(root)
    expected = lines[start : lines.index(")", start) + 1]
    assert len(expected) == length
    assert without_norm_bias(str(build(name, device="meta"))) == expected


def test_sizes_of_the_parts_of_bert() -> None:
    bert = build("bert", device="meta")
    parts = {
        "bert.embeddings": 23_837_184,
        "bert.encoder.layer.7": 7_087_872,
        "bert.pooler": 590_592,
        "classifier": 1_538,
    }
    for path, expected in parts.items():
        assert sum(p.numel() for p in bert.get_submodule(path).parameters()) == expected, path
