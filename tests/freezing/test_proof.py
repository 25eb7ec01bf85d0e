"""Proofs that frozen tensors stood still: what is hashed, what is told, and as JSON."""

from __future__ import annotations

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_model
from torch import Tensor, nn

from archspec import FreezeError, FreezeProof, UsageError, build, freeze, freeze_proof
from archspec.freezing import proof as proof_module

SMALL: dict[str, Any] = {"depths": [1, 1, 1, 1], "num_classes": 3}


def resnet(plan: str = "last-stage-and-head", **options: Any) -> nn.Module:
    return build("resnet18", device="cpu", seed=0, freeze=plan, **SMALL, **options)


def hashed(tensor: Tensor) -> str:
    holder = nn.Module()
    holder.register_parameter("x", nn.Parameter(tensor, requires_grad=False))
    return freeze_proof(holder).hashes["x"]


def problems(proof: FreezeProof, model: nn.Module) -> list[str]:
    with pytest.raises(FreezeError) as caught:
        proof.verify(model)
    assert {p.code for p in caught.value.problems} == {"E704"}
    return [p.message for p in caught.value.problems]


# ------------------------------------------------------------------------------------------ hashes


def test_the_hash_is_that_of_dtype_shape_and_bytes() -> None:
    x = torch.tensor([[1.0, 2.0, 3.0]])
    expected = hashlib.sha256(b"torch.float32 [1, 3]\n" + x.numpy().tobytes()).hexdigest()
    assert hashed(x) == expected


BASE = torch.arange(24.0).reshape(2, 3, 4)


def test_what_the_hash_tells_apart() -> None:
    others = [
        BASE, BASE.reshape(4, 6), BASE.double(), BASE.bfloat16(), BASE.to(torch.int32),
        BASE.view(torch.int32), BASE.to(torch.complex64), -BASE, BASE[:1], BASE[:0],
        torch.zeros(()), -torch.zeros(()), torch.zeros(0), torch.zeros(0, 3),
    ]  # fmt: skip
    assert len({hashed(x) for x in others}) == len(others)


@pytest.mark.parametrize(
    "same",
    [
        BASE.clone(),
        BASE.permute(2, 1, 0).contiguous().permute(2, 1, 0),
        torch.stack([BASE, BASE], -1)[..., 0],
        torch.complex(BASE, -BASE).conj().imag,
    ],
)
def test_how_a_tensor_lies_in_memory_does_not_matter(same: Tensor) -> None:
    assert torch.equal(same, BASE) and hashed(same) == hashed(BASE)


@given(
    st.lists(st.integers(0, 4), max_size=4),
    st.integers(1, 9),
    st.sampled_from([torch.float32, torch.bfloat16, torch.bool, torch.int64, torch.complex64]),
    st.randoms(use_true_random=False),
)
def test_pieces_make_no_difference(
    shape: list[int], chunk: int, dtype: torch.dtype, random: Any
) -> None:
    axes = random.sample(range(len(shape)), len(shape))
    x = torch.arange(torch.Size(shape).numel()).reshape(shape).to(dtype).permute(axes)
    whole = hashed(x)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof_module, "MAX_CHUNK", chunk)
        assert all(piece.numel() <= chunk for piece in proof_module._pieces(x))
        assert hashed(x) == whole


def test_tensors_without_data() -> None:
    with pytest.raises(UsageError) as caught:
        freeze_proof(build("resnet18", device="meta", freeze="all"))
    assert caught.value.code == "E801" and "'conv1.weight' is on meta" in caught.value.message


# ------------------------------------------------------------------------------------------ verify


def test_everything_that_happened_is_told() -> None:
    model = resnet()
    proof = freeze_proof(model)
    proof.verify(copy.deepcopy(model))
    model.get_parameter("conv1.weight").data += 1
    model.get_buffer("bn1.running_mean").add_(1)
    model.get_parameter("layer1.0.conv1.weight").requires_grad_(True)
    del model.get_submodule("layer2").get_submodule("0").shortcut
    model.get_parameter("layer4.0.conv1.weight").data += 1  # trained
    assert problems(proof, model) == [
        "'conv1.weight' has moved",
        "'layer1.0.conv1.weight' has been thawed",
        "'layer2.0.shortcut.0.weight' is no longer there",
        "'layer2.0.shortcut.1.weight' is no longer there",
        "'layer2.0.shortcut.1.bias' is no longer there",
        "'bn1.running_mean' has moved",
        "'layer2.0.shortcut.1.running_mean' is no longer there",
        "'layer2.0.shortcut.1.running_var' is no longer there",
        "'layer2.0.shortcut.1.num_batches_tracked' is no longer there",
    ]


def test_statistics_that_are_thawed() -> None:
    model = resnet("all")
    proof = freeze_proof(model)
    freeze(model, "all", statistics=False)
    told = problems(proof, model)
    assert set(told) == {f"'{n}' has been thawed" for n, _ in model.named_buffers()}
    freeze(model, "all")
    proof.verify(model)


def test_another_dtype_is_another_tensor() -> None:
    proof = freeze_proof(resnet("all"))
    told = problems(proof, resnet("all").double())
    assert told == [f"'{n}' has moved" for n in proof.hashes if "num_batches" not in n]


def test_each_name_of_a_shared_tensor_is_hashed() -> None:
    model = nn.ModuleList([nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False)])
    model[1].weight = model[0].weight  # pyright: ignore
    freeze(model, ["0"])
    proof = freeze_proof(model)
    assert list(proof.hashes) == ["0.weight", "1.weight"]
    model[1].weight = nn.Parameter(torch.zeros(2, 2), requires_grad=False)  # pyright: ignore
    assert problems(proof, model) == ["'1.weight' has moved"]


# -------------------------------------------------------------------------------------------- JSON


def test_another_process_verifies_a_checkpoint(tmp_path: Path) -> None:
    model = resnet()
    proof = freeze_proof(model)
    (tmp_path / "proof.json").write_text(json.dumps(proof.to_dict()))
    save_model(model, str(tmp_path / "good.safetensors"))
    model.get_buffer("bn1.running_var").mul_(1.0001)
    save_model(model, str(tmp_path / "bad.safetensors"))
    script = """
import archspec, json
proof = archspec.FreezeProof.from_dict(json.load(open("proof.json")))
for name in ("good", "bad"):
    model = archspec.build("resnet18", device="cpu", freeze="last-stage-and-head",
        weights=f"{name}.safetensors", depths=[1, 1, 1, 1], num_classes=3)
    try:
        proof.verify(model)
        print(name, "stood still")
    except archspec.FreezeError as error:
        print(name, error.code, *(p.message for p in error.problems))
"""
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True
    )
    assert run.stdout.splitlines() == [
        "good stood still",
        "bad E704 'bn1.running_var' has moved",
    ], run.stderr


def test_it_comes_back_from_json() -> None:
    proof = freeze_proof(resnet())
    again = FreezeProof.from_dict(json.loads(json.dumps(proof.to_dict())))
    assert again == proof and again.digest == proof.digest


DATA = FreezeProof({"x": "0" * 64}).to_dict()


@pytest.mark.parametrize(
    "data",
    [
        None, [], {}, {"tensors": {}}, {**DATA, "digest": "1" * 64}, {**DATA, "algorithm": "md5"},
        {**DATA, "tensors": {"y": "0" * 64}}, {**DATA, "tensors": {"x": "0"}},
        {**DATA, "tensors": {"x": None}}, {**DATA, "tensors": {3: "0" * 64}},
        {**DATA, "tensors": ["x"]}, {**DATA, "digest": None},
    ],
)  # fmt: skip
def test_what_is_no_proof(data: Any) -> None:
    with pytest.raises(UsageError) as caught:
        FreezeProof.from_dict(data)
    assert caught.value.code == "E801"


def test_it_is_shown_in_short() -> None:
    proof = freeze_proof(resnet())
    lines = proof.text().splitlines()
    assert lines[0] == f"{len(proof.hashes)} frozen tensors, sha256 {proof.digest}"
    assert lines[1] == f"  {proof.hashes['conv1.weight'][:12]}  conv1.weight"
    assert lines[-1] == f"  … {len(proof.hashes) - 8} more" and len(lines) == 10
    hostile = FreezeProof({"<b>\x1b[31m": "0" * 64})
    assert "<b>" not in hostile._repr_html_() and "\x1b[31m" not in hostile.text()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_has_the_same_bytes() -> None:
    model = resnet()
    proof = freeze_proof(model)
    proof.verify(model.cuda())


@pytest.mark.parametrize("plan", [None, [], ["!**"]])
def test_nothing_to_prove(plan: list[str] | None) -> None:
    model = nn.Linear(2, 2)
    if plan is not None:
        freeze(model, plan)
    with pytest.raises(UsageError) as caught:
        freeze_proof(model)
    assert caught.value.code == "E801"
    assert caught.value.message == "nothing is frozen that a proof could be taken of"
