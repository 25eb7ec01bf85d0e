"""What ``optimize`` does to a model: BatchNorm that is gone, and outputs that stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import archspec
from archspec.data import ImageEncoder
from archspec.predicting import optimization
from archspec.predicting.batching import prepare_images
from archspec.predicting.batchnorm_folding import fold_batchnorm

NET = """
archspec: 1
model: Net
dims: {batch: 2, height: 8, width: 8}
blocks:
  Net:
    inputs: {x: [batch, 3, height, width]}
    outputs: {logits: [batch, 4]}
    modules:
      a: {type: Conv2d, in_channels: 3, out_channels: 4, kernel_size: 3, padding: 1, bias: false}
      a_norm: {type: BatchNorm2d, num_features: 4}
      b: {type: Conv2d, in_channels: 4, out_channels: 4, kernel_size: 1}
      b_norm: {type: BatchNorm2d, num_features: 4, affine: false}
      twice: {type: Conv2d, in_channels: 4, out_channels: 4, kernel_size: 1}
      twice_norm: {type: BatchNorm2d, num_features: 4}
      again: {type: BatchNorm2d, num_features: 4}
      seen: {type: Conv2d, in_channels: 4, out_channels: 4, kernel_size: 1}
      seen_norm: {type: BatchNorm2d, num_features: 4}
      batch: {type: Conv2d, in_channels: 4, out_channels: 4, kernel_size: 1}
      batch_norm: {type: BatchNorm2d, num_features: 4, track_running_stats: false}
    forward:
      - x: relu_(a_norm(a(x)))
      - x: b_norm(b(x)) + x
      - x: again(twice_norm(twice(twice(x))))
      - y: seen(x)
      - x: batch_norm(batch(seen_norm(y) + y))
      - return: mean(x, [2, 3])
task: {kind: image-classification, image: {resize: 8, crop: 8}}
"""


def used(text: str) -> nn.Module:
    """A model whose BatchNorms have seen something."""
    model = archspec.build(archspec.loads(text), device="cpu", seed=0)
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2.0)  # type: ignore[arg-type]
            if module.affine:
                nn.init.uniform_(module.weight, 0.5, 2.0)
    return model.eval()


def test_batchnorm_is_folded_where_it_alone_gets_the_output() -> None:
    model, x = used(NET).double(), torch.rand(3, 3, 8, 8, dtype=torch.float64)
    tree = [name for name, _ in model.named_modules()]
    with torch.inference_mode():
        expected = model(x)
    assert fold_batchnorm(model, {"x": x}) == 2
    with torch.inference_mode():
        assert torch.allclose(model(x), expected, rtol=0, atol=1e-12)
    assert [name for name, _ in model.named_modules()] == tree
    gone = {name for name, module in model.named_modules() if isinstance(module, nn.Identity)}
    assert gone == {"a_norm", "b_norm"}
    assert model.get_submodule("a").bias is not None


def test_resnet18_loses_every_batchnorm_and_keeps_its_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(optimization, "has_bf16", lambda device: False)
    monkeypatch.setattr(optimization, "_time_ratio", lambda one, other, batch: 0.5)
    model = archspec.build("resnet18", device="cpu", seed=0)
    images = torch.rand(2, 3, 64, 64)
    plain = archspec.Predictor(model)
    assert isinstance(plain.encoder, ImageEncoder)
    prepared = prepare_images(plain.encoder, lambda i: images[i], 2, 2)
    faster = archspec.Predictor(model, optimize=True)
    assert faster.optimizations == ()
    expected, found = (one.engine.scores(prepared) for one in (plain, faster))
    assert abs(found - expected).max() < 1e-5
    assert faster.optimizations == (
        "BatchNorm folded into 20 convolutions",
        "channels-last: 2.0 × as fast",
        "bf16 left: the cpu has no instructions for it",
    )
    assert sum(isinstance(module, nn.BatchNorm2d) for module in model.modules()) == 20
    assert plain.optimizations == ()


@pytest.mark.parametrize(
    ("allowed", "ratio", "said"),
    [(0.01, 0.5, "bf16: 2.0 × as fast"), (0.01, 0.99, "bf16 left: not faster"),
     (0.0, 0.5, "bf16 left: probabilities differ by at most")],
)  # fmt: skip
def test_bf16_is_taken_only_where_it_is_near_and_faster(
    allowed: float, ratio: float, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimization, "has_bf16", lambda device: True)
    monkeypatch.setattr(optimization, "_time_ratio", lambda one, other, batch: ratio)
    monkeypatch.setattr(optimization, "MAX_DIFFERENCE", allowed)
    model = archspec.build("tests/training/tiny.yaml", device="cpu", seed=0)
    predictor = archspec.Predictor(model, optimize=True, labels=["no", "yes"])
    texts = ["a very warm film", "sad", "so it was a poor day"]
    found, expected = predictor(texts), archspec.Predictor(model, labels=["no", "yes"])(texts)
    (line,) = predictor.optimizations
    assert line.startswith(said)
    differences = [abs(a.probability - b.probability) for a, b in zip(found, expected, strict=True)]
    if "as fast" in said:
        assert 0 < max(differences) <= 0.01
    else:
        assert max(differences) == 0
    assert next(model.parameters()).dtype == torch.float32


def test_what_depends_on_the_batch_is_not_folded() -> None:
    text = NET.replace("relu_(a_norm(a(x)))", "relu_(a_norm(a(x))) if x.shape[0] != 7 else a(x)")
    predictor = archspec.Predictor(used(text), optimize=True)
    predictor(np.zeros((8, 8, 3), np.uint8))
    assert predictor.optimizations[0].startswith("BatchNorm not folded: ")


def test_embeddings_are_held_against_their_cosine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optimization, "has_bf16", lambda device: True)
    monkeypatch.setattr(optimization, "_time_ratio", lambda one, other, batch: 0.5)
    spec = archspec.load("minilm-l6", num_hidden_layers=1, vocab_size=40)
    model = archspec.build(spec, device="cpu", seed=0)
    given: dict[str, Any] = {"tokenizer": "tests/training/vocab.txt"}
    found = archspec.Predictor(model, optimize=True, **given)(["a warm film", "sad"])
    expected = archspec.Predictor(model, **given)(["a warm film", "sad"])
    assert torch.cosine_similarity(found, expected).min() > 0.999
    assert not torch.equal(found, expected)


def test_weights_that_have_changed_are_seen() -> None:
    model: Any = used(NET)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    fast, plain = (archspec.Predictor(model, optimize=one) for one in (True, False))
    fast([*images])
    nn.init.normal_(model.batch.weight, 5.0)
    nn.init.normal_(model.b.weight, 1.0)
    for one, other in zip(fast([*images]), plain([*images]), strict=True):
        assert one.probability == pytest.approx(other.probability, abs=0.01)
