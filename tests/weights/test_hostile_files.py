"""Damaged and malicious files: a clear error, nothing run, and the model as it was."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from archspec import WeightsError, load_weights
from archspec.weights import files

State = dict[str, torch.Tensor]


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, 2)


@pytest.fixture
def state() -> State:
    return {"weight": torch.ones(2, 4), "bias": torch.zeros(2)}


@pytest.fixture
def refused(model: nn.Module) -> Callable[[Path], str]:
    """What is told of a file that cannot be read; the model has to stay as it was."""

    def read(path: Path) -> str:
        before = copy.deepcopy(model.state_dict())
        with pytest.raises(WeightsError) as caught:
            load_weights(model, path)
        assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
        (problem,) = caught.value.problems
        assert problem.code == "E601"
        return problem.message

    return read


Refused = Callable[[Path], str]


# ------------------------------------------------------------------------------------- safetensors


def raw(header: dict[str, Any] | bytes, data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def entry(start: int, end: int, shape: list[int] | None = None, dtype: str = "F32") -> Any:
    return {"dtype": dtype, "shape": shape or [2], "data_offsets": [start, end]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 9,
        raw(b"{}", length=2**62),
        raw(b"{}", length=99_000_000),
        raw(b"[" * 50_000),
        raw({"weight": entry(0, 8), "bias": entry(0, 8)}, bytes(8)),
        raw({"weight": entry(0, 8), "bias": entry(4, 12)}, bytes(12)),
        raw({"weight": entry(0, 8)}, bytes(4)),
        raw({"weight": entry(0, 8)}, bytes(80)),
        raw({"weight": entry(8, 16)}, bytes(16)),
        raw({"weight": entry(0, 8, [2**40, 2**40])}, bytes(8)),
        raw({"weight": entry(0, 8, [-2])}, bytes(8)),
        raw({"weight": entry(0, 8, dtype="OBJECT")}, bytes(8)),
        raw({"weight": {"dtype": "F32"}}, bytes(8)),
        raw(b'{"weight": \xff\xfe}'),
        raw(b'{"weight":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"weight":'
            b'{"dtype":"F32","shape":[2],"data_offsets":[8,16]}}', bytes(16)),
    ],
    ids=["empty", "zeros", "huge header", "long header", "nested", "same bytes", "overlap", "short",
         "long", "gap", "huge shape", "negative", "dtype", "no offsets", "not utf-8", "twice"],
)  # fmt: skip
def test_safetensors(content: bytes, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    assert refused(path).startswith(f"{path}: ")


def test_a_file_larger_than_memory(
    model: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names are read; its values are not, and that is told."""
    path = tmp_path / "model.safetensors"
    rows = 2**36
    end = 16 * rows
    header = raw({"weight": entry(0, end, [rows, 4]), "bias": entry(end, end + 8)})
    path.write_bytes(header)
    os.truncate(path, len(header) + end + 8)  # a terabyte that takes no space on the disk
    found = files.WeightFiles.open(path)
    assert found.tensors["weight"].shape == (rows, 4)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert [p.code for p in caught.value.problems] == ["E603"]

    def refuses(*_: Any, **__: Any) -> Any:
        raise RuntimeError("unable to mmap: Cannot allocate memory")

    monkeypatch.setattr(files, "safe_open", refuses)
    with pytest.raises(WeightsError) as caught:
        found.read(["weight"], "cpu")
    assert caught.value.code == "E601"
    assert caught.value.message == f"{path}: unable to mmap: Cannot allocate memory"


def test_names_cannot_rewrite_a_terminal(model: nn.Module, state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    name = "\x1b[2J\x1b]0;owned\x07\u202ex.weight"
    save_file({**state, name: torch.zeros(1)}, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    text = str(caught.value)
    assert "\N{REPLACEMENT CHARACTER}[2J" in text
    assert not set(text) & {"\x1b", "\x07", "\u202e"}
    report = load_weights(model, path, ignore="*.weight")
    assert report.counts["ignored"] == 1
    plain = report.text()
    assert "[2J" in plain and not set(plain) & {"\x07", "\u202e"} and "\x1b[2J" not in plain
    save_file({**state, "<script>x</script>.weight": torch.zeros(1)}, path)
    html = load_weights(model, path, ignore="*.weight")._repr_html_()
    assert "<script" not in html and "&lt;script&gt;" in html


@pytest.mark.parametrize("name", ["a" * 501, "." * 61, "a." * 5_000])
def test_names_beyond_reason(name: str, refused: Refused, state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({**state, name: torch.zeros(1)}, path)
    assert "is too long or too deep for a tensor's name" in refused(path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a..b", " ", "weight ", "weight\x00", "\ufeffweight"]
)
def test_strange_names_are_only_names(
    name: str, model: nn.Module, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save_file({**state, name: torch.zeros(1)}, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert [p.code for p in caught.value.problems] == ["E602"]


# -------------------------------------------------------------------------------------------- index


def sharded(
    folder: Path, files: dict[str, State], weight_map: dict[str, str] | None = None
) -> Path:
    for file, tensors in files.items():
        save_file(tensors, folder / file)
    listed = {name: file for file, tensors in files.items() for name in tensors}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": listed if weight_map is None else weight_map}))
    return index


def test_a_name_in_two_shards(refused: Refused, state: State, tmp_path: Path) -> None:
    sharded(tmp_path, {"a.safetensors": state, "b.safetensors": {"bias": torch.ones(2)}},
            {"weight": "a.safetensors", "bias": "b.safetensors"})  # fmt: skip
    assert "bias stand in a.safetensors, too" in refused(tmp_path)


def test_an_index_that_does_not_say_what_is_there(
    refused: Refused, state: State, tmp_path: Path
) -> None:
    files = {"a.safetensors": {"weight": state["weight"]}, "b.safetensors": {"bias": state["bias"]}}
    swapped = {"weight": "b.safetensors", "bias": "a.safetensors"}
    sharded(tmp_path, files, swapped)
    assert refused(tmp_path).endswith("does not say what its files hold: weight, bias")
    extra = {"weight": "a.safetensors", "bias": "b.safetensors", "c": "a.safetensors"}
    sharded(tmp_path, files, extra)
    assert refused(tmp_path).endswith("does not say what its files hold: c")


def test_links_out_of_the_folder(refused: Refused, state: State, tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    save_file(state, outside / "secret.safetensors")
    (inside / "a.safetensors").symlink_to(outside / "secret.safetensors")
    index = inside / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": dict.fromkeys(state, "a.safetensors")}))
    assert refused(inside).endswith("'a.safetensors' is not a file of its folder")
    (inside / "a.safetensors").unlink()
    (inside / "a.safetensors").symlink_to("a.safetensors")
    assert refused(inside).endswith("'a.safetensors' is not a file of its folder")


def test_links_as_a_download_cache_has_them(model: nn.Module, state: State, tmp_path: Path) -> None:
    """The folder of a version holds nothing but links into one folder of blobs."""
    blobs, version = tmp_path / "blobs", tmp_path / "snapshots" / "1"
    blobs.mkdir()
    version.mkdir(parents=True)
    save_file(state, blobs / "f00d")
    names = {"f00d": "a.safetensors", "beef": "model.safetensors.index.json"}
    (blobs / "beef").write_text(json.dumps({"weight_map": dict.fromkeys(state, "a.safetensors")}))
    for blob, name in names.items():
        (version / name).symlink_to(Path("..", "..", "blobs", blob))
    assert load_weights(model, version).complete
    assert torch.equal(model.get_parameter("weight"), state["weight"])


# -------------------------------------------------------------------------------------- torch.save


def archive(path: Path, change: Callable[[str, bytes], bytes], compress: int = 0) -> None:
    """The same file of ``torch.save`` with other contents."""
    with zipfile.ZipFile(path) as old:
        entries = [(info.filename, old.read(info)) for info in old.infolist()]
    with zipfile.ZipFile(path, "w", compression=compress) as new:
        for name, data in entries:
            new.writestr(name, change(name, data))


class Evil:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.file),)


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_code_is_not_run(
    new: bool, suffix: str, refused: Refused, state: State, tmp_path: Path
) -> None:
    path, trap = tmp_path / f"model{suffix}", tmp_path / "trap"
    torch.save({**state, "x": Evil(trap)}, path, _use_new_zipfile_serialization=new)
    message = refused(path)
    assert not trap.exists()
    assert f"holds more than data: {os.mkdir.__module__}.mkdir; it is not opened" in message
    path.write_bytes(pickle.dumps(Evil(trap)))
    assert refused(path).endswith("not a file of torch.save")
    assert not trap.exists()


def test_modules_are_not_unpickled(refused: Refused, model: nn.Module, tmp_path: Path) -> None:
    torch.save(model, tmp_path / "model.pt")
    assert "holds more than data: torch.nn.modules.linear.Linear" in refused(tmp_path / "model.pt")


def test_the_environment_opens_no_door(
    refused: Refused, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    torch.save({**state, "x": Evil(tmp_path / "trap")}, tmp_path / "model.pt")
    assert "holds more than data" in refused(tmp_path / "model.pt")
    assert not (tmp_path / "trap").exists()


def test_torchscript(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    with zipfile.ZipFile(path, "w") as new:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            new.writestr(f"model/{name}", b"")
    assert refused(path).endswith("a TorchScript archive: it holds code")


def test_archives_of_other_kinds(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("readme.txt", "hello")
    assert refused(path).endswith("an archive without a data.pkl, not from torch.save")
    with open(path, "wb") as file:
        np.savez(file, weight=np.zeros(2))
    assert refused(path).endswith("arrays of NumPy, not from torch.save")
    with tarfile.open(path, "w") as tar:
        tar.addfile(tarfile.TarInfo("tensors"), io.BytesIO())
    assert refused(path).endswith("not a file of torch.save")
    path.write_bytes(b"")
    assert refused(path).endswith("the file is empty")
    path.write_bytes(b"PK\x03\x04" + bytes(60))
    assert refused(path).startswith(f"{path}: damaged")


def test_every_truncation(refused: Refused, state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(state, path)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        assert refused(path)


def test_damaged_pickles(refused: Refused, state: State, tmp_path: Path) -> None:
    """Any byte of the part that is interpreted may be wrong: an error, or other names."""
    path = tmp_path / "model.pt"
    torch.save(state, path)
    whole = path.read_bytes()
    start = whole.index(b"\x80\x02")
    model = nn.Linear(4, 2)
    for at in range(start, whole.index(b"PK", start), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 0x15]) + whole[at + 1 :])
        codes: set[str] = set()
        try:
            load_weights(model, path)
        except WeightsError as error:
            codes = {problem.code for problem in error.problems}
        assert codes <= {"E601", "E602", "E603", "E606"}


def test_compressed_archives(refused: Refused, state: State, tmp_path: Path) -> None:
    """A few bytes could unpack to any number."""
    path = tmp_path / "model.pt"
    torch.save({**state, "bomb": torch.zeros(1_000_000)}, path)
    archive(path, lambda _, data: data, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 20_000
    assert refused(path).endswith("compressed, or claims more than its size: not from torch.save")


def test_tensors_that_claim_more_than_the_file_has(
    refused: Refused, state: State, tmp_path: Path
) -> None:
    path = tmp_path / "model.pt"
    torch.save(OrderedDict(a=torch.zeros(77)), path)
    eight = struct.pack("<i", 2**31 - 1)

    def inflated(name: str, data: bytes) -> bytes:
        if not name.endswith("data.pkl"):
            return data
        assert data.count(b"KM") >= 2  # BININT1 77: the storage's length, the tensor's
        return data.replace(b"KM", b"J" + eight)

    archive(path, inflated)
    assert refused(path).startswith(f"{path}: damaged, or holds more than data (")


def test_a_pickle_that_asks_for_memory(refused: Refused, state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save(state, path)
    bomb = b"\x80\x02c__builtin__\nbytearray\nJ" + struct.pack("<i", 2**31 - 1) + b"\x85R."
    archive(path, lambda name, data: bomb if name.endswith("data.pkl") else data)
    assert refused(path).endswith("holds more than data (a call of bytearray)")
    entries: list[tuple[str, bytes]] = []
    archive(path, lambda name, data: entries.append((name, data)) or data)
    with zipfile.ZipFile(path, "w") as new:
        for name, data in entries:
            new.writestr(name.replace("data.pkl", "DATA.PKL"), data)
    assert refused(path).endswith("holds more than data (a call of bytearray)")


def test_more_tensors_than_any_model_has(
    refused: Refused, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_TENSORS", 1)
    save_file(state, tmp_path / "model.safetensors")
    assert refused(tmp_path).endswith("more than 1 tensors")


def test_a_header_that_says_much_beside_its_tensors(
    refused: Refused, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save_file(state, path, metadata={str(i): "" for i in range(2_000)})
    assert len(files.WeightFiles.open(path).tensors) == len(state)
    monkeypatch.setattr(files, "_MAX_QUOTES", 4_000)
    assert refused(path).endswith("more in its header than names of tensors")


def test_an_index_beyond_reason(
    refused: Refused, state: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_INDEX_BYTES", 10)
    sharded(tmp_path, {"a.safetensors": state})
    assert refused(tmp_path).endswith("not an index (too large for an index)")


def test_names_that_no_encoding_has(model: nn.Module, state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    torch.save({**state, "\ud800": torch.zeros(1)}, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert str(caught.value).encode() and caught.value.code == "E602"
    report = load_weights(model, path, ignore="*", allow_missing="**", allow_partial=True)
    assert report.text().encode() and report._repr_html_().encode()
    assert json.dumps(report.to_dict()).encode()


def test_a_tensor_without_its_values(refused: Refused, state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    sparse = torch.eye(4).to_sparse()
    for odd in (sparse, torch.zeros(3, device="meta")):
        torch.save({**state, "odd": odd}, path)
        assert "'odd' is no plain tensor" in refused(path)


def test_expanded_tensors_take_no_memory(model: nn.Module, state: State, tmp_path: Path) -> None:
    """A terabyte of shape over one number: refused by its shape."""
    path = tmp_path / "model.pt"
    torch.save({**state, "bias": torch.zeros(1).expand(2**40)}, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert [p.code for p in caught.value.problems] == ["E603"]
    assert path.stat().st_size < 4_000


# ---------------------------------------------------------------------------------------- contents


@pytest.mark.parametrize("key", ["state_dict", "model_state_dict", "model"])
def test_wrapped_weights(key: str, model: nn.Module, state: State, tmp_path: Path) -> None:
    path = tmp_path / "model.ckpt"
    optimizer = {"state": {0: {"exp_avg": torch.zeros(2), "step": torch.tensor(3.0)}}}
    optimizer["state"][1] = optimizer["state"][0]
    torch.save({"epoch": 3, key: {**state, "version": "1"}, "optimizer": optimizer, 5: [1]}, path)
    report = load_weights(model, path)
    assert torch.equal(model.get_parameter("weight"), state["weight"])
    assert report.wrapper == key and report.complete
    assert [(other.name, other.about) for other in report.others] == [
        ("version", "str"),
        ("epoch", "int"),
        ("optimizer", "dict, 2 tensors"),
        ("5", "list"),
    ]


@pytest.mark.parametrize(
    ("content", "about"),
    [([torch.zeros(2)], "list, 1 tensors"), (torch.zeros(2), "Tensor"), (3, "int"),
     ({1: torch.zeros(2)}, "dict, 1 tensors"), ({}, "dict"), ({"a": 3}, "dict"),
     ({"model": {"a": 1}}, "dict")],
)  # fmt: skip
def test_files_without_weights(content: Any, about: str, refused: Refused, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    assert f"no tensors with names: {about}" in refused(tmp_path / "model.pt")


def test_sharded_files_of_torch_save(model: nn.Module, state: State, tmp_path: Path) -> None:
    for name, tensor in state.items():
        torch.save({name: tensor}, tmp_path / f"{name}.bin")
    index = tmp_path / "pytorch_model.bin.index.json"
    index.write_text(json.dumps({"weight_map": {name: f"{name}.bin" for name in state}}))
    report = load_weights(model, tmp_path)
    assert torch.equal(model.get_parameter("weight"), state["weight"]) and len(report.files) == 2
    (tmp_path / "bias.bin").write_bytes(b"")
    with pytest.raises(WeightsError):
        load_weights(model, tmp_path)


def test_what_a_folder_has_instead_is_named(model: nn.Module, state: State, tmp_path: Path) -> None:
    rows = [
        ("other.safetensors", "give one of the files that are there: other.safetensors"),
        ("adapter_model.safetensors", "is an adapter: give the model that it belongs to"),
        ("model-00001-of-00002.safetensors", "their index, model.safetensors.index.json, is miss"),
        ("pytorch_model-00001-of-00002.bin", "their index, pytorch_model.bin.index.json, is miss"),
        ("last.ckpt", "give one of the files that are there: last.ckpt"),
        ("flax_model.msgpack", "no weights are read from what is there: flax_model.msgpack"),
        ("optimizer.pt", "give a file, or a folder with model.safetensors or pytorch_model"),
        ("training_args.bin", "give a file, or a folder with model.safetensors or pytorch_model"),
    ]
    for name, hint in rows:
        (tmp_path / name).write_bytes(b"")
        with pytest.raises(WeightsError, match=r"model\.safetensors: no such file") as caught:
            load_weights(model, tmp_path)
        assert hint in caught.value.hint, name
        (tmp_path / name).unlink()


@pytest.mark.parametrize("path", ["a\0b", "x" * 5_000, "/dev/null", "."])
def test_paths_that_lead_nowhere(path: str, refused: Refused, tmp_path: Path) -> None:
    assert refused(tmp_path / path if not path.startswith("/") else Path(path))
