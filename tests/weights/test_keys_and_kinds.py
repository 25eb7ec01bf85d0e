"""Where in a file the weights stand, and what files are that hold none."""

from __future__ import annotations

import argparse
import json
import pickle
import pickletools
import struct
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file
from torch import nn

from archspec import UsageError, WeightsError, load_weights
from archspec.cli import main
from archspec.weights import files, pickles


def state(value: float) -> dict[str, torch.Tensor]:
    return {"weight": torch.full((2, 4), float(value)), "bias": torch.full((2,), float(value))}


def below(head: str, value: float) -> dict[str, torch.Tensor]:
    return {f"{head}.{name}": tensor for name, tensor in state(value).items()}


def told(path: Path, **options: Any) -> tuple[str, str]:
    with pytest.raises(WeightsError) as caught:
        load_weights(nn.Linear(4, 2), path, **options)
    (problem,) = caught.value.problems
    return f"{problem.code} {problem.message}".replace(f"{path}: ", ""), problem.hint


def test_keys(tmp_path: Path) -> None:
    """Each content with a key: the value that is loaded, or what is told."""
    one, two = state(1), state(2)
    shared = {"net": one, "params_ema": two, "same": one, "epoch": 3}
    shared["self"] = shared
    inside = {"state_dict": {"student": one}, "ema": {"shadow": {"params": two}}}
    heads = {**below("student", 1), **below("teacher", 2), "center": torch.zeros(3)}
    counted = "2 under 'net', 2 under 'params_ema', 2 under 'same'"
    keys = "key='net' or key='params_ema' or key='same'"
    which = "say under which the weights stand:"
    ways = "E604 the names fit in more than one way: the model's own names (the file's prefix"
    rows: list[tuple[Any, str | None, Any]] = [
        ({"net": one, "params_ema": two}, "net", 1.0),
        ({"net": one, "params_ema": two}, "params_ema", 2.0),
        (shared, None, (f"E601 no tensors at the top: {counted}", f"{which} {keys}, or --key")),
        (shared, "params_em", (
            "E601 no tensors stand under 'params_em'", "did you mean 'params_ema'?",
        )),
        (inside, "state_dict.student", 1.0),
        (inside, "ema.shadow.params", 2.0),
        ({"state_dict": one, "model": two}, "model", 2.0),
        ({**one, "model": {"odd": torch.ones(1)}}, None, 1.0),
        ({"state_dict": heads}, "teacher", 2.0),
        (heads, "student", 1.0),
        (heads, None, (
            f"{ways} 'student.'); the model's own names (the file's prefix 'teacher.')",
            "say which is meant: key='student' or key='teacher', or --key",
        )),
        (heads, "centre", ("E601 no tensors stand under 'centre'", "did you mean 'center'?")),
    ]  # fmt: skip
    wrong: list[str] = []
    for i, (content, key, expected) in enumerate(rows):
        path = tmp_path / f"{i}.pt"
        torch.save(content, path)
        if isinstance(expected, tuple):
            found: Any = told(path, key=key)
        else:
            model = nn.Linear(4, 2)
            load_weights(model, path, key=key, ignore="odd" if i == 7 else ())
            found = model.bias[0].item()
        if found != expected:
            wrong.append(f"{i}: {found}")
    assert not wrong, "\n".join(wrong)


def test_keys_of_safetensors_and_of_the_command(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({**below("student", 1), **below("teacher", 2)}, path)
    model = nn.Linear(4, 2)
    report = load_weights(model, path, key="teacher")
    assert model.bias.tolist() == [2.0, 2.0]
    assert [(other.name, other.about) for other in report.others] == [("student", "2 tensors")]
    assert told(path, key="tutor")[0] == "E601 no tensors stand under 'tutor'"
    spec = tmp_path / "net.yaml"
    linear = "{type: Linear, in_features: 4, out_features: 2}"
    spec.write_text(
        "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 4]}\n"
        f"    modules: {{fc: {linear}}}\n"
    )
    torch.save({"ema": below("fc", 1), "net": below("fc", 2)}, tmp_path / "b.pt")
    command = ["weights", "check", str(spec), str(tmp_path / "b.pt")]
    assert CliRunner().invoke(main, command).exit_code == 1
    result = CliRunner().invoke(main, [*command, "--key", "ema"])
    assert result.exit_code == 0 and "inside 'ema'" in result.stdout
    for key in ("", 3):
        with pytest.raises(UsageError, match="a key is a text"):
            load_weights(model, path, key=key)  # pyright: ignore[reportArgumentType]


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ANSWER = "the answer of a server that an error occurred, not the file itself"
AGAIN = "download it once more: this is not the file itself"


NAMES = [
    ("model.onnx", "an ONNX model"),
    ("bert_model.ckpt.index", "a part of a TensorFlow checkpoint"),
    ("bert_model.ckpt.data-00000-of-00001", "a part of a TensorFlow checkpoint"),
    ("saved_model.pb", "a model of TensorFlow"),
    ("flax_model.msgpack", "weights of Flax"),
    ("a.npz", "arrays of NumPy"),
    ("a.pkl", "a pickle that could run code: it is not opened"),
    ("a.tar", "an archive"),
    ("a.pt2", "a compiled model"),
    ("a.xyz", "neither a safetensors file nor one of PyTorch's"),
]


def test_files_that_are_something_else(tmp_path: Path) -> None:
    rows = [
        (LFS, "a Git LFS pointer, not the file that it stands for", "get it: git lfs pull"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html>\n<html>", "an HTML page, not the file itself", AGAIN),
        (b"<html><head>", "an HTML page, not the file itself", AGAIN),
        (b"", "the file is empty", AGAIN),
        (b'{"error": ""}', ANSWER, AGAIN),
        (b"Entry not found", ANSWER, AGAIN),
        (b"\x1f\x8b\x08\x00", "compressed by gzip", "unpack it first"),
        (b"Rar!\x1a\x07\x00", "a RAR archive", "unpack it first"),
        (b"GGUF\x03\x00", "a GGUF file: its tensors are packed for llama.cpp", ""),
    ]  # fmt: skip
    names = ["a.safetensors", "a.pt", "a.pth", "a.bin", "a.ckpt", "a.safetensors.index.json"]
    wrong: list[str] = []
    for content, message, hint in rows:
        for name in names:
            path = tmp_path / name
            path.write_bytes(content)
            if told(path) != (f"E601 {message}", hint):
                wrong.append(f"{name}, {content!r}: {told(path)}")
    for name, message in NAMES:
        (tmp_path / name).write_bytes(b"\x08\x07")
        if (found := told(tmp_path / name)[0]) != f"E601 {message}":
            wrong.append(f"{name}: {found}")
    save_file({"weight": torch.ones(1)}, tmp_path / "b.bin")
    torch.save({"weight": torch.ones(1)}, tmp_path / "b.safetensors")
    assert told(tmp_path / "b.bin")[0] == "E601 a safetensors file"
    assert told(tmp_path / "b.safetensors")[0] == "E601 a file of torch.save"
    save_file({"weight": torch.ones(99)}, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-9])
    assert told(tmp_path / "cut.safetensors")[1] == "the file was changed or cut: get it once more"
    (tmp_path / "model.safetensors").write_bytes(LFS)
    with pytest.raises(WeightsError, match=r"model\.safetensors: a Git LFS pointer"):
        load_weights(nn.Linear(4, 2), tmp_path)
    assert not wrong, "\n".join(wrong)


def test_what_is_no_data_of_pytorch_is_read_as_nothing(tmp_path: Path) -> None:
    odd: dict[str, Any] = {
        "best": np.float64(0.3),
        "step": np.int32(7),
        "curve": np.zeros(3),
        "args": argparse.Namespace(out=Path("a"), lr=0.1, seen=[np.bool_(True)]),
    }
    for legacy in (False, True):
        path = tmp_path / "a.pt"
        content = {"state_dict": state(3), **odd}
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
        model = nn.Linear(4, 2)
        report = load_weights(model, path)
        assert model.bias.tolist() == [3.0, 3.0]
        assert [other.about for other in report.others] == [
            "a NumPy scalar, skipped", "a NumPy scalar, skipped", "a NumPy array, skipped",
            "Namespace, skipped",
        ]  # fmt: skip
    with pytest.raises(Exception, match="Unsupported global"):  # nothing of it stays allowed
        torch.load(path, weights_only=True)
    torch.save({"state_dict": state(3), "module": nn.Linear(1, 1)}, path)
    message, hint = told(path)
    assert "torch.nn.modules.linear.Linear; it is not opened, as it could run code" in message
    assert hint.startswith("where you trust who made it, open it there and save the tensors alone")
    torch.save({"state_dict": state(3), "history": defaultdict(list, loss=[1.0])}, path)
    message, hint = told(path)
    assert message == "E601 holds more than data: a defaultdict that is filled is not read"
    assert hint.startswith("save the state_dict once more")
    torch.save({"weight": np.zeros(3)}, path)
    assert told(path)[0] == "E601 no tensors with names: dict"


# ---------------------------------------------------------------------------------------- hostile


def _header(path: Path) -> None:
    one = '{"dtype":"F32","shape":[0],"data_offsets":[0,0]}'
    text = ("{" + ",".join(f'"t{i}":{one}' for i in range(260_000)) + "}").encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def _shapes(path: Path) -> None:
    text = b'{"t":{"dtype":"F32","shape":[' + b"1," * 3_000_001 + b'1],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))


def _archive(path: Path, text: bytes, entries: int = 0) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", text)
        for i in range(entries):
            archive.writestr(f"a/data/{i}", b"")


def _pickles(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(100):
            archive.writestr(f"a/{i}/data.pkl", b"\x80\x02(" + b"N" * 190_000 + b"t.")


def _dimensions(path: Path) -> None:
    text = b'{"t":{"dtype":"F32","shape":[' + b"1," * 10**6 + b'1],"data_offsets":[0,4]}}'
    path.write_bytes(struct.pack("<Q", len(text)) + text + bytes(4))


def _index(path: Path) -> None:
    path.write_text(json.dumps({"weight_map": {f"t{i}": "a.safetensors" for i in range(260_000)}}))


def _legacy(path: Path) -> None:
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C, 2) + pickle.dumps([1] * 10**7, 2))


LENGTH = struct.pack("<i", 11**7)
HOSTILE: dict[str, Callable[[Path], None]] = {
    "header.safetensors": _header,
    "shape.safetensors": _shapes,
    "dimensions.safetensors": _dimensions,
    "operations.pt": lambda path: _archive(path, b"\x80\x02(" + b"N" * 10**7 + b"t."),
    "long.pt": lambda path: _archive(path, b"\x80\x02\x8b" + LENGTH + b"7" * 11**7),
    "text.pt": lambda path: _archive(path, b"\x80\x02X" + LENGTH + b"7" * 11**7),
    "numbers.pt": lambda path: _archive(path, pickle.dumps([1] * 10**7, 2)),
    "entries.pt": lambda path: _archive(path, b"\x80\x02(" + b"N" * 10**6 + b"t.", 19_000),
    "pickles.pt": _pickles,
    "legacy.pt": _legacy,
    "many.safetensors.index.json": _index,
}  # fmt: skip


def test_headers_and_pickles_that_ask_for_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Refused by what is counted in their bytes: nothing is unpacked or read to its end."""

    def unpacks(*_: Any, **__: Any) -> Any:
        raise AssertionError("unpacked")

    for owner, function in ((files, "safe_open"), (files.json, "loads"), (torch, "load")):
        monkeypatch.setattr(owner, function, unpacks)
    read, genops = 0, pickletools.genops

    def counted(*given: Any) -> Any:
        nonlocal read
        for operation in genops(*given):
            read += 1
            yield operation

    monkeypatch.setattr(pickles.pickletools, "genops", counted)
    wrong: list[str] = []
    for name, make in HOSTILE.items():
        path = tmp_path / name
        make(path)
        read = 0
        message, _ = told(path)
        reasons = ("more than 250,000", "too much beside", "lists beyond reason")
        if not any(reason in message for reason in reasons):
            wrong.append(f"{name}: {message}")
        if read > 210_000:
            wrong.append(f"{name}: {read:,} operations")
    assert not wrong, "\n".join(wrong)


def test_parts_and_packed_weights_are_called_so(tmp_path: Path) -> None:
    """Neither is offered to be left out, which would load half of a model."""
    model = nn.Sequential(nn.Linear(4, 2), nn.Linear(2, 3))
    half = {name: t for name, t in model.state_dict().items() if name.startswith("0.")}
    part = tmp_path / "model-00001-of-00002.safetensors"
    save_file(half, part)
    packed = {"1.qweight": torch.zeros(1, 3, dtype=torch.int32), "1.bias": torch.zeros(3)}
    save_file({**half, **packed}, tmp_path / "gptq.safetensors")
    for path, hint in (
        (part, "the file is one of several: give their folder, or the index in it"),
        (tmp_path / "gptq.safetensors", "the file has quantized weights: save it dequantized"),
    ):
        with pytest.raises(WeightsError) as caught:
            load_weights(model, path)
        assert {problem.hint for problem in caught.value.problems} == {hint}
    index = tmp_path / "model.safetensors.index.json"
    for listed, message, way in (
        (
            {"0.bias": part.name, "1.bias": "model-00002-of-00002.safetensors"},
            "is not a",
            "get the",
        ),
        ({"0.bias": "../a.safetensors"}, "is not a file of its folder", ""),
        ([1], "not an index: no weight_map", "an index has a weight_map"),
    ):
        index.write_text(json.dumps({"weight_map": listed}))
        with pytest.raises(WeightsError, match=message) as caught:
            load_weights(model, tmp_path)
        assert caught.value.hint.startswith(way) and bool(way) is bool(caught.value.hint)
    torch.save(half, tmp_path / "cut.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "cut.pt").read_bytes()[:-9])
    assert told(tmp_path / "cut.pt")[1] == "the file was changed or cut: get it once more"
