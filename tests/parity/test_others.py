"""Specs written for the tests, against the models that they describe."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch.testing import assert_close
from torchvision.models import VisionTransformer
from transformers import GPT2Config, GPT2LMHeadModel

from archspec import build

DATA = Path(__file__).parent.parent / "inputs"


def test_vision_transformer(tmp_path: Path) -> None:
    theirs = VisionTransformer(32, 8, 2, 4, 24, 36, num_classes=5).eval()
    torch.nn.init.normal_(theirs.get_parameter("heads.head.weight"))
    save_file(theirs.state_dict(), tmp_path / "model.safetensors")
    sizes: dict[str, Any] = {"image_size": 32, "patch_size": 8, "num_layers": 2, "num_heads": 4}
    sizes |= {"hidden_dim": 24, "mlp_dim": 36, "num_classes": 5}
    ours = build(DATA / "vit-b-16.yaml", weights=tmp_path, device="cpu", **sizes).eval()
    x = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert_close(ours(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_gpt2() -> None:
    """transformers stores the transposed weights of what it calls Conv1D."""
    sizes: dict[str, Any] = {"vocab_size": 50, "n_positions": 16, "n_layer": 2, "n_head": 3}
    sizes["n_embd"] = 24
    theirs = GPT2LMHeadModel(GPT2Config(**sizes)).eval()
    ours = build(DATA / "gpt2.yaml", device="cpu", **sizes).eval()
    transposed = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    state = {
        name: tensor.T if name.endswith(transposed) else tensor
        for name, tensor in theirs.state_dict().items()
    }
    ours.load_state_dict(state, strict=True)
    ids = torch.randint(50, (2, 11))
    found, expected = ours(ids), theirs(ids).logits
    assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for logits in (found, expected):
        shifted = logits[:, :-1].flatten(0, 1)
        torch.nn.functional.cross_entropy(shifted, ids[:, 1:].flatten()).backward()
    assert_close(
        ours.get_parameter("lm_head.weight").grad,
        theirs.get_parameter("lm_head.weight").grad,
        atol=1e-5,
        rtol=1e-5,
    )


def test_sizes() -> None:
    for name, expected in {"gpt2": 124_439_808, "vit-b-16": 86_567_656}.items():
        model = build(DATA / f"{name}.yaml", device="meta")
        assert sum(p.numel() for p in model.parameters()) == expected
