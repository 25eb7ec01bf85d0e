"""Checkpoints as they are published: other heads, old names, wrappers, norms without counters."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models
from transformers import BertConfig, BertForMaskedLM, BertForPreTraining, BertForQuestionAnswering

from archspec import WeightsError, WeightsReport, build, load_weights, loads

SMALL: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 20,
}
State = dict[str, torch.Tensor]


def tensorflows(state: State) -> State:
    """The names of BERT's first checkpoints."""
    names = {r"LayerNorm\.weight$": "LayerNorm.gamma", r"LayerNorm\.bias$": "LayerNorm.beta"}
    found: State = {}
    for name, tensor in state.items():
        for ours, theirs in names.items():
            name = re.sub(ours, theirs, name)
        found[name] = tensor.clone()
    return found


def loaded(name: str, path: Path, **params: Any) -> tuple[nn.Module, WeightsReport]:
    model = build(name, device="cpu", seed=0, **params)
    return model, load_weights(model, path)


def test_bert(tmp_path: Path) -> None:
    """Checkpoint, spec, what is told to start anew, how many of the file's tensors are left."""
    path = tmp_path / "pytorch_model.bin"
    head = ("classifier.weight", "classifier.bias")
    pooler = ("bert.pooler.dense.weight", "bert.pooler.dense.bias")
    rows: list[tuple[Any, str, tuple[str, ...], int]] = [
        (BertForPreTraining, "bert", head, 9),
        (BertForPreTraining, "bert-model", (), 9),
        (BertForPreTraining, "bert-mlm", (), 4),
        (BertForPreTraining, "minilm-l6", (), 9),
        (BertForMaskedLM, "bert", (*pooler, *head), 7),
        (BertForQuestionAnswering, "bert", (*pooler, *head), 2),
    ]
    for theirs, name, fresh, ignored in rows:
        torch.save(tensorflows(theirs(BertConfig(**SMALL)).state_dict()), path)
        model, report = loaded(name, path, **SMALL)
        assert (report.fresh, report.counts["ignored"]) == (fresh, ignored), (theirs, name)
        given = torch.load(path)
        for row in report.rows:
            if row.ours and row.theirs:
                assert torch.equal(model.state_dict()[row.ours.name], given[row.theirs.name])


def test_a_head_that_starts_anew_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pytorch_model.bin"
    torch.save(BertForPreTraining(BertConfig(**SMALL)).state_dict(), path)
    with caplog.at_level(logging.WARNING, logger="archspec"):
        build("bert", device="cpu", weights=path, **SMALL)
    names = "classifier.weight, classifier.bias"
    anew, unread = [record.message for record in caplog.records]
    assert anew == f"pytorch_model.bin: without 2 tensors, which start anew: {names}"
    first = "pytorch_model.bin: 9 tensors of the file are left unread: cls.predictions.bias, "
    assert unread.startswith(first) and unread.endswith(", … (1 more)")
    odd = BertForPreTraining(BertConfig(**SMALL)).state_dict()
    odd["classifer.weight"] = torch.zeros(2, 16)  # a head under another name is none
    torch.save(odd, path)
    with pytest.raises(WeightsError) as caught:
        loaded("bert", path, **SMALL)
    assert caught.value.problems[0].message.endswith("no place in the layout 'transformers': "
                                                     "classifer.weight")  # fmt: skip


NORMS = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 3]}
    modules: {a: {type: BatchNorm1d, num_features: 3}, b: {type: BatchNorm1d, num_features: 3}}
"""


def test_norms_without_counters(tmp_path: Path) -> None:
    """As PyTorch has it: a version before 2, or none, counts no batches."""
    theirs = models.resnet18()
    state = theirs.state_dict()
    old = {name: tensor for name, tensor in state.items() if not name.endswith("tracked")}
    torch.save(old, tmp_path / "old.pth")
    save_file({name: tensor.clone() for name, tensor in old.items()}, tmp_path / "old.safetensors")
    torch.save({f"module.{n}": t for n, t in old.items()}, tmp_path / "parallel.pth")
    for name in ("old.pth", "old.safetensors", "parallel.pth"):
        model, report = loaded("resnet18", tmp_path / name)
        assert report.counts["missing"] == 20 and report.fresh == ()
        counters = [b for n, b in model.named_buffers() if n.endswith("tracked")]
        assert len(counters) == 20 and not any(counters)
        built = build("resnet18", device="cpu", weights=tmp_path / name)
        assert torch.equal(built.get_buffer("bn1.num_batches_tracked"), torch.tensor(0))
    for cls in (nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm, nn.InstanceNorm1d):
        norm = cls(3, track_running_stats=True, affine=True)
        held = {n: t for n, t in norm.state_dict().items() if not n.endswith("tracked")}
        torch.save(held, tmp_path / "norm.pth")
        assert load_weights(norm, tmp_path / "norm.pth").counts == {"loaded": 4, "missing": 1}
    net = build(loads(NORMS), device="cpu")
    newer: Any = net.state_dict()
    del newer["a.num_batches_tracked"]
    torch.save(newer, tmp_path / "newer.pth")
    with pytest.raises(WeightsError, match=r"1 tensors are missing: a\.num_batches_tracked"):
        load_weights(net, tmp_path / "newer.pth")
    newer._metadata["a"]["version"] = 1
    torch.save(newer, tmp_path / "older.pth")
    assert load_weights(net, tmp_path / "older.pth").counts["missing"] == 1


def test_wrappers_inside_names(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    theirs = models.resnet18()
    places = [
        ("layer1.", "layer1._checkpoint_wrapped_module."),
        ("layer2.0.", "layer2.0._orig_mod."),
    ]
    places += [("layer3.", "_fsdp_wrapped_module.layer3."), ("fc.", "fc.module.")]
    state: State = {}
    for name, tensor in theirs.state_dict().items():
        for plain, wrapped in places:
            name = name.replace(plain, wrapped)
        state[f"module._orig_mod.{name}"] = tensor
    torch.save({"state_dict": state}, path)
    model, report = loaded("resnet18", path)
    assert (report.layout, report.counts) == ("torchvision", {"renamed": 122})
    assert torch.equal(model.get_parameter("fc.weight"), theirs.fc.weight)
    wrapped = nn.DataParallel(build("resnet18", device="cpu", seed=3))
    torch.save(model.state_dict(), path)
    load_weights(wrapped, path)
    assert torch.equal(wrapped.module.get_parameter("fc.weight"), theirs.fc.weight)

    class Held(nn.Module):
        """A module may be called ``module``, and both names may be there."""

        def __init__(self) -> None:
            super().__init__()
            self.module, self.fc = nn.Linear(2, 2), nn.Linear(2, 2)
            self.module.fc = nn.Linear(2, 2)

    held = Held()
    torch.save(
        {n: torch.full_like(t, i) for i, (n, t) in enumerate(held.state_dict().items())}, path
    )
    load_weights(held, path)
    assert [t.flatten()[0].item() for t in held.state_dict().values()] == [0, 1, 2, 3, 4, 5]
