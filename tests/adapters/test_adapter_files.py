"""Folders of adapters: what is refused, with words and places; merging."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import archspec
from archspec import ArchspecError, UsageError
from tests.tables import every

LORA: dict[str, Any] = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
KEY = "base_model.model.fc"
TENSORS = {f"{KEY}.lora_A.weight": torch.ones(2, 512), f"{KEY}.lora_B.weight": torch.ones(1000, 2)}


def folder_of(path: Path, config: object, tensors: dict[str, torch.Tensor]) -> Path:
    text = config if isinstance(config, str) else json.dumps(config)
    (path / "adapter_config.json").write_text(text, encoding="utf-8")
    save_file(tensors, path / "adapter_model.safetensors")
    return path


def test_a_folder_of_an_adapter(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LORA, TENSORS)
    model = archspec.build("resnet18", device="cpu", seed=0, adapter=folder)
    x = torch.randn(1, 3, 64, 64)
    base = model.get_parameter("fc.base_layer.weight")
    change = archspec.merge(model).get_parameter("fc.weight") - base
    assert torch.allclose(change, torch.full_like(change, 4.0), atol=1e-5)  # 2 × 4 / 2
    torch.testing.assert_close(archspec.merge(model.eval())(x), model(x), rtol=1e-5, atol=1e-5)


@every(
    "config, tensors, code, words",
    [
        ({**LORA, "use_rslora": "yes"}, TENSORS, "E205", "rslora"),
        ({**LORA, "bias": "all"}, TENSORS, "E601", "bias is all"),
        ({**LORA, "alpha_pattern": {"fc": 3}}, TENSORS, "E601", "alpha_pattern is set"),
        ({**LORA, "peft_type": "VERA"}, TENSORS, "E601", "'VERA'"),
        ({**LORA, "r": 10**9}, TENSORS, "E205", "rank"),
        ({**LORA, "r": 3}, TENSORS, "E603", "has the shape [3, 512], in the file [2, 512]"),
        ({**LORA, "lora_alpha": "4"}, TENSORS, "E205", "alpha"),
        ("{", TENSORS, "E106", "not JSON"),
        ("[]", TENSORS, "E106", "not a JSON object"),
        (LORA, {"base_model.model.no.lora_A.weight": torch.ones(2, 2)}, "E602", "no.lora_A"),
        (LORA, {f"{KEY}.lora_A.weight": torch.ones(2, 512)}, "E602", "1 tensors are missing"),
        (LORA, {**TENSORS, f"{KEY}.ia3_l": torch.ones(9, 1)}, "E602", "no 'fc.ia3_l'"),
        (LORA, {"base_model.model.bn1.lora_A.weight": torch.ones(2, 2)}, "E707", "BatchNorm2d"),
    ],
)
def test_folders_that_are_refused(
    config: object,
    tensors: dict[str, torch.Tensor],
    code: str,
    words: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = folder_of(tmp_path_factory.mktemp("adapter"), config, tensors)
    with pytest.raises(ArchspecError, match=re.escape(words)) as caught:
        archspec.build("resnet18", device="cpu", seed=0, adapter=str(folder))
    assert caught.value.problems[0].code == code


def test_a_pickle_in_place_of_weights_is_not_run(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, LORA, TENSORS)
    (folder / "adapter_model.safetensors").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(ArchspecError) as caught:
        archspec.build("resnet18", device="cpu", adapter=folder)
    assert caught.value.problems[0].code == "E601"


def test_what_has_no_adapter(tmp_path: Path) -> None:
    model = archspec.build("resnet18", device="meta")
    for call in (archspec.merge, lambda m: archspec.save_adapter(m, tmp_path)):
        with pytest.raises(UsageError, match="was not built with an adapter"):
            call(model)
    adapted = archspec.build("resnet18", device="meta", adapter={"kind": "lora", "match": "fc"})
    with pytest.raises(UsageError, match="is on meta"):
        archspec.merge(adapted)
