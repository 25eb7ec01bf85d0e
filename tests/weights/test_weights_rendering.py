"""Reports as people read them: BERT's on one screen, every tensor in the data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import archspec
from archspec import WeightsReport, build, load_weights
from archspec.weights.folding import fold_rows
from archspec.weights.rows import Row, Rule, TensorInfo

TINY = {"vocab_size": 50, "hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 12}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> WeightsReport:
    """BERT with a prefix, TensorFlow's names and float16, into one with three labels."""
    model = build("bert", device="cpu", **TINY)  # type: ignore[arg-type]
    words = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    state: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        for new, old in words.items():
            name = name.replace(new, old)
        state[f"module.{name}"] = tensor.half() if "embeddings" in name else tensor
    state["module.bert.embeddings.position_ids"] = torch.arange(512)
    path = tmp_path_factory.mktemp("bert") / "bert.safetensors"
    save_file(state, path)
    other = build(archspec.load("bert", num_labels=3), device="cpu", **TINY)  # type: ignore[arg-type]
    return load_weights(other, path, resize={"classifier": "rows"})


def test_a_report_is_read_on_one_screen(
    report: WeightsReport, golden: Callable[[str, str], None]
) -> None:
    text = report.text(120)
    assert len(text.splitlines()) < 30
    golden("weights/bert.txt", text + "\n")


def test_every_tensor_is_in_the_data(report: WeightsReport) -> None:
    data = report.to_dict()
    assert len(data["tensors"]) == 202
    assert data["counts"] == {"renamed": 199, "resized": 2, "ignored": 1}
    assert data["prefix"] is None
    assert {rule["text"] for rule in data["tensors"][0]["rules"]} == {
        "without the wrapper 'module.'"
    }
    assert data["bytes"] == sum(row.theirs.bytes for row in report.rows if row.theirs and row.ours)


def test_a_notebook_shows_it(report: WeightsReport) -> None:
    html = report._repr_html_()
    assert "bert.encoder.layer.(0-11).…" in html and "<script" not in html


def rows(*names: str, kind: str = "loaded", shape: tuple[int, ...] = (2,)) -> list[Row]:
    tensors = [TensorInfo(name, shape, "float32") for name in names]
    return [Row(kind, tensor, tensor) for tensor in tensors]  # type: ignore[arg-type]


def texts(found: list[Row]) -> list[str]:
    return [f"{line.ours} {line.tensors}×{line.times}" for line in fold_rows(found)]


def test_folding() -> None:
    assert texts(rows("a.0.w", "a.0.b", "a.1.w", "a.1.b", "z")) == ["a.(0-1).… 2×2", "z 1×1"]
    assert texts(rows("a.0.w", "a.1.w", "a.3.w")) == ["a.(0-1).w 1×2", "a.3.w 1×1"]
    assert texts(rows("a.0.b.x", "a.0.b.y", "a.1.b.x")) == ["a.0.b.… 2×1", "a.1.b.x 1×1"]
    assert texts(rows("0.w", "1.w")) == ["(0-1).w 1×2"]
    assert texts(rows("w.0", "w.1")) == ["w.(0-1) 1×2"]
    assert texts(rows("a.00.w", "a.01.w")) == ["a.00.w 1×1", "a.01.w 1×1"]
    assert texts(rows("a.0.w") + rows("a.1.w", shape=(3,))) == ["a.0.w 1×1", "a.1.w 1×1"]
    assert texts(rows("a.0.w") + rows("a.1.w", kind="tied")) == ["a.0.w 1×1", "a.1.w 1×1"]


def test_what_is_not_explained_is_never_folded() -> None:
    assert len(fold_rows(rows("a.0.w", "a.1.w", kind="unfit"))) == 2


def test_renamed_neighbours_fold_if_their_numbers_go_together() -> None:
    def renamed(ours: str, theirs: str) -> Row:
        sides = [TensorInfo(name, (2,), "float32") for name in (ours, theirs)]
        return Row("renamed", sides[0], sides[1], (Rule("r"),))

    (line,) = fold_rows([renamed("a.0.w", "h.1.w"), renamed("a.1.w", "h.2.w")])
    assert (line.ours, line.theirs, line.times) == ("a.(0-1).w", "h.(1-2).w", 2)
    lines = fold_rows([renamed("a.0.w", "h.1.w"), renamed("a.1.w", "h.0.w")])
    assert [line.theirs for line in lines] == ["h.1.w", "h.0.w"]
    lines = fold_rows([renamed("a.0.w", "h.x"), renamed("a.1.w", "h.y")])
    assert [line.theirs for line in lines] == ["h.x", "h.y"]


def test_a_long_report_is_cut(tmp_path: Path) -> None:
    found = WeightsReport(
        ("a",), "Net", "archspec", None, "", "", tuple(rows(*map("n{}".format, range(2_100))))
    )
    assert "… 100 more lines" in found.text()
