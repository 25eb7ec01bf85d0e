"""An adapter as a transformation of a spec: tree, source, plan, checkpoints, refusals."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import archspec
from archspec import SpecError
from archspec.builder import compiled
from archspec.lang.instances import walk
from tests.tables import every

SMALL: dict[str, Any] = {
    "num_hidden_layers": 3,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "vocab_size": 99,
}
LORA = {"kind": "lora", "match": ["**.query", "**.value"], "rank": 4, "train": ["classifier"]}
KINDS: list[dict[str, Any]] = [
    LORA,
    {**LORA, "match": ["bert.encoder", "**.word_embeddings", "!**.key"], "alpha": 16},
    {**LORA, "kind": "dora"},
    {
        "kind": "ia3",
        "match": ["**.key", "**.intermediate.dense"],
        "feedforward": "**.intermediate.dense",
    },
]
IDS = torch.arange(14).reshape(2, 7)


def own(model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
    named = model.named_parameters()
    return {name: p for name, p in named if "lora" in name or "ia3" in name}


def test_the_tree_has_the_blocks_and_the_plain_spec_is_kept() -> None:
    spec = archspec.load(
        "bert", adapter={**LORA, "match": "bert.encoder.layer[1:].**.query"}, **SMALL
    )
    types = {path: one.type for path, one in walk(spec.root) if one.type == "LoraLinear"}
    assert [*types] == [f"bert.encoder.layer.{i}.attention.self.query" for i in (1, 2)]
    assert spec.adapter is not None and spec.adapter.name == "lora"
    assert spec.root.modules == spec.plain.root.modules + 2 * 4
    assert "adapter" not in spec.with_params(adapter=None).root.values
    assert spec.with_params(adapter="none").adapter is None
    assert spec.with_params(num_labels=5).adapter is not None


def test_the_source_is_plain_pytorch_that_starts_as_the_base_does() -> None:
    text = archspec.to_python("bert", adapter=LORA, **SMALL)
    assert "        for i in range(3):\n" in text
    call = ".query = LoraLinear(in_features=32, out_features=32, rank=4, scaling=2.0)"
    assert call in re.sub(r"\s*\n\s*", "", text).replace(",rank", ", rank").replace(
        ",scaling", ", scaling"
    )
    model: Any = compiled(text, "exported").BertForSequenceClassification()
    query = model.bert.encoder.layer[2].attention.self.query
    assert not query.lora_B.weight.any() and query.lora_A.weight.std() > 0.05
    assert query.base_layer.weight.std() < 0.03  # the spec's own rule


@every("adapter", KINDS)
def test_checkpoints_of_the_plain_model_load_and_the_start_changes_nothing(
    adapter: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("weights")
    plain = archspec.build("bert", device="cpu", seed=0, **SMALL).eval()
    archspec.save_weights(plain, folder, layout="transformers")
    model = archspec.build(
        "bert", device="cpu", seed=1, weights=folder, adapter=adapter, **SMALL
    ).eval()
    torch.testing.assert_close(model(IDS), plain(IDS), rtol=0, atol=2e-7)
    for parameter in own(model).values():
        torch.nn.init.normal_(parameter)
    archspec.save_weights(model, folder / "own.safetensors")
    torch.save(model.state_dict(), folder / "state.pt")
    for file in ("own.safetensors", "state.pt"):
        again = archspec.build(
            "bert", device="cpu", weights=folder / file, adapter=adapter, **SMALL
        )
        assert torch.equal(again.eval()(IDS), model(IDS)), file
    fresh = archspec.build("bert", device="cpu", seed=2, adapter=adapter, **SMALL).eval()
    archspec.load_weights(fresh, folder)
    torch.testing.assert_close(fresh(IDS), plain(IDS), rtol=0, atol=2e-7)


def test_the_plan_of_the_adapter() -> None:
    model = archspec.build("bert", device="meta", adapter=LORA, freeze="lora", **SMALL)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    assert trained == {*own(model), "classifier.weight", "classifier.bias"}
    assert len(own(model)) == 3 * 2 * 2


def test_convolutions(tmp_path: Path) -> None:
    adapter = {"kind": "lora", "match": "@Conv2d", "rank": 2, "train": "fc"}
    model: Any = archspec.build("resnet18", device="cpu", seed=0, adapter=adapter).eval()
    plain = archspec.build("resnet18", device="cpu", seed=0).eval()
    archspec.save_weights(plain, tmp_path)
    archspec.load_weights(model, tmp_path)
    x = torch.randn(1, 3, 64, 64)
    torch.testing.assert_close(model(x), plain(x))
    assert model.conv1.lora_A.weight.shape == (2, 3, 7, 7)


TINY = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      a: {type: Linear, in_features: 4, out_features: 4}
      b: {type: Linear, in_features: 4, out_features: 4}
      c: {type: Linear, in_features: 4, out_features: 4}
      odd: {type: Sequential, items: {a-b: {type: Linear, in_features: 4, out_features: 4}}}
      conv: {type: Conv1d, in_channels: 4, out_channels: 4, kernel_size: 1, groups: 2}
      norm: {type: LayerNorm, normalized_shape: 4}
    forward:
      - return: linear(norm(odd(c(b(x)))), a.weight)
tie: {b.weight: c.weight}
freeze: {plan: [norm]}
"""


@every(
    "adapters, code, line, words",
    [
        ("adapters: {n: {kind: lora, match: nor}}", "E701", 17, "did you mean 'norm'"),
        ("adapters: {n: {kind: lora, match: 'a['}}", "E702", 17, "bracket"),
        ("adapters: {n: {kind: lora, match: norm}}", "E707", 17, "they select LayerNorm"),
        ("adapters: {n: {kind: lora, match: a, train: a}}", "E707", 17, "no layer"),
        ("adapters: {n: {kind: lora, match: a}}", "E707", 7, "Net reads its tensors past it"),
        ("adapters: {n: {kind: lora, match: b}}", "E707", 8, "shares its weight"),
        ("adapters: {n: {kind: lora, match: conv}}", "E707", 11, "its groups is 2"),
        ("adapters: {n: {kind: lora, match: odd}}", "E707", 10, "no name of Python"),
        ("adapters: {n: {kind: ia3, match: a, rank: 3}}", "E205", 17, "'rank' means nothing"),
        ("adapters: {n: {kind: lora, match: a, rank: 0}}", "E202", 17, ""),
        ("adapters: {n: {kind: lora, match: a, dropout: 1}}", "E202", 17, ""),
        ("adapters: {n: {kind: lora, match: a, alpha: .inf}}", "E202", 17, ""),
        ("adapters: {n: {kind: qlora, match: a}}", "E202", 17, ""),
        ("adapters: {plan: {kind: lora, match: c}}", "E207", 17, "a freeze plan is called"),
        ("adapter: n", "E706", 17, "no adapter is called 'n'"),
    ],
)
def test_what_an_adapter_cannot_be(adapters: str, code: str, line: int, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(f"{TINY}{adapters}\n".lstrip(), name="net.yaml")
    problem = next(one for one in caught.value.problems if one.code == code)
    assert problem.place is not None and problem.place.line == line
    assert words in str(problem.message) + problem.hint


@every(
    "adapter, code, words",
    [
        ("lor", "E706", "no adapter is called 'lor'"),
        (3, "E205", "mapping"),
        ({"kind": "lora", "match": "a", "x": 1}, "E201", "unknown key 'x'"),
        ({"kind": "lora"}, "E202", "'match' is missing"),
        ({"kind": "lora", "match": "q"}, "E701", "selects nothing"),
        ({"kind": "dora", "match": "classifier", "feedforward": "x"}, "E205", "feedforward"),
        ({"kind": "ia3", "match": "**.key", "feedforward": "**.query"}, "E707", "feedforward"),
    ],
)
def test_what_cannot_be_given_from_outside(adapter: object, code: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.load("bert", adapter=adapter)
    assert [one.code for one in caught.value.problems] == [code]
    assert words in caught.value.problems[0].message


def test_a_spec_whose_block_is_called_as_one_of_an_adapter() -> None:
    text = TINY.replace("Net", "LoraLinear") + "adapters: {n: {kind: lora, match: odd}}"
    text = text.replace("a-b", "only") + "\nadapter: n"
    with pytest.raises(SpecError, match="brings a block 'LoraLinear'"):
        archspec.loads(text)
