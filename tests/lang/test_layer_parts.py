"""The parts of composite layers are those that PyTorch builds, and patterns reach them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

import archspec
from archspec.lang.layer_parts import entries

ENCODER = (
    "{type: TransformerEncoderLayer, d_model: 8, nhead: 2, dim_feedforward: 4, batch_first: true}"
)
DECODER = "{type: TransformerDecoderLayer, d_model: 8, nhead: 2, dim_feedforward: 4}"
LAYERS = {
    "MultiheadAttention": "{embed_dim: 8, num_heads: 2, kdim: 4, vdim: 4, add_bias_kv: true}",
    "TransformerEncoderLayer": "{d_model: 8, nhead: 2, dim_feedforward: 4, bias: false}",
    "TransformerDecoderLayer": "{d_model: 8, nhead: 2, dim_feedforward: 4}",
    "TransformerEncoder": f"{{num_layers: 3, encoder_layer: {ENCODER},"
    " norm: {type: LayerNorm, normalized_shape: 8}}",
    "TransformerDecoder": f"{{num_layers: 2, decoder_layer: {DECODER}}}",
    "Transformer": "{d_model: 8, nhead: 2, dim_feedforward: 4, num_encoder_layers: 2,"
    " batch_first: true}",
    "AdaptiveLogSoftmaxWithLoss": "{in_features: 8, n_classes: 20, cutoffs: [5, 10]}",
    "LinearCrossEntropyLoss": "{in_features: 8, num_classes: 4}",
}


def spec(modules: str, more: str = "") -> str:
    return (
        "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 2, 8]}\n"
        f"    modules: {{{modules}}}\n    forward: [{{return: x}}]\n{more}"
    )


def test_the_parts_are_those_of_the_module() -> None:
    modules = [f"a_{n}: {{type: {n}, {given[1:]}" for n, given in LAYERS.items()]
    loaded = archspec.loads(spec(", ".join(modules)))
    built = archspec.build(loaded, device="meta")
    found = entries(loaded.root)
    assert [(e.path, e.type) for e in found if e.type is not None] == [
        (path, type(module).__name__) for path, module in built.named_modules()
    ]
    tensors = {e.path for e in found if e.type is None}
    assert tensors >= {name for name, _ in built.named_parameters()}


def test_patterns_reach_them(tmp_path: Path) -> None:
    text = spec(
        "attn: {type: MultiheadAttention, embed_dim: 8, num_heads: 2}, layer: {type:"
        " TransformerEncoderLayer, d_model: 8, nhead: 2}, norm1: {type: LayerNorm,"
        " normalized_shape: 8}",
        "init:\n  - {match: [attn.out_proj, layer.linear1], weight: ones_}\n"
        '  - {match: norm1, weight: {constant_: {val: 3.0}}}\nfreeze: {output: ["**.out_proj"]}\n'
        "checkpoints: {theirs: {rename: {attn.out_proj: attn.proj}}}\n",
    )
    model = archspec.build(archspec.loads(text), device="cpu", seed=0)
    state = {name: float(tensor.flatten()[0]) for name, tensor in model.state_dict().items()}
    assert state["attn.out_proj.weight"] == state["layer.linear1.weight"] == 1.0
    assert (state["norm1.weight"], state["layer.norm1.weight"]) == (3.0, 1.0)
    report = archspec.freeze(model, "output")
    frozen = [name for name, p in model.named_parameters() if not p.requires_grad]
    owners = ("attn.out_proj", "layer.self_attn.out_proj")
    assert frozen == [f"{owner}.{tensor}" for owner in owners for tensor in ("weight", "bias")]
    assert report.frozen == 2 * (64 + 8)
    theirs = {name.replace("out_proj", "proj"): t for name, t in model.state_dict().items()}
    theirs = {n.replace("self_attn.proj", "self_attn.out_proj"): t for n, t in theirs.items()}
    fresh = archspec.build(archspec.loads(text), device="cpu", seed=1)
    save_file(theirs, tmp_path / "theirs.safetensors")
    assert archspec.load_weights(fresh, tmp_path / "theirs.safetensors", layout="theirs").complete
    loaded = fresh.state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("pattern", ["attn.out", "@NonDynamicallyQuantizable"])
def test_what_is_no_part_is_told(pattern: str) -> None:
    modules = "attn: {type: MultiheadAttention, embed_dim: 8, num_heads: 2}"
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(spec(modules, f'freeze: {{p: ["{pattern}"]}}\n'))
    assert caught.value.code == "E701"
