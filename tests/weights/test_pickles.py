"""Pickles of a few bytes that would take years or all memory: refused before they are loaded."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from archspec import WeightsError, load_weights
from archspec.weights import pickles

DOUBLED = b"\x80\x02)q\x00" + b"h\x00h\x00\x86q\x00" * 40  # a tuple of two tuples of two …
DEEP = b"\x80\x02)" + b"\x85" * 100_000
MAGIC = pickle.dumps(0x1950A86A20F9469CFC6C, 2)
BEYOND = "a tuple of tuples beyond reason"
KEY = "a key that is neither text nor a number"


def told(path: Path, **options: Any) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(nn.Linear(4, 2), path, **options)
    (problem,) = caught.value.problems
    assert problem.code == "E601"
    return problem.message


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (DOUBLED + b"}h\x00K\x01s.", BEYOND),
        (DOUBLED + b".", BEYOND),
        (DEEP + b".", BEYOND),
        (b"\x80\x02}K\x01\x85K\x01s.", KEY),
        (b"\x80\x02}(K\x01\x85K\x01X\x01\x00\x00\x00aK\x01u.", KEY),
        (b"\x80\x02}]K\x01s.", KEY),
        (b"\x80\x02c__builtin__\nset\n]K\x01\x85a\x85R.", KEY),
        (b"\x80\x02ccollections\nOrderedDict\n]]K\x01\x85K\x02\x86aa\x85R.", KEY),
        (b"\x80\x02ccollections\nCounter\nK\x01\x85\x85R.", KEY),
        (b"\x80\x02c__builtin__\nbytearray\nJ\xff\xff\xff\x7f\x85R.", "a call of bytearray"),
        (b"\x80\x02ctorch\nTensor\nM\xff\xffM\xff\xff\x86R.", "a call of Tensor"),
        (b"\x80\x02(X\x06\x00\x00\x00moduleK\x01K\x01K\x01K\x01tQ.", "no storage"),
        (b"\x80\x02(X\x07\x00\x00\x00storageK\x01K\x01\x85K\x01K\x01tQ.", "no storage"),
        (b"\x80\x02(X\x07\x00\x00\x00storageK\x01K\x01K\x01J\xff\xff\xff\x7ftQ.",
         "storages larger than the file"),
        (b"\x80\x02R.", "IndexError: pop from empty list"),
        (b"\x80\x02h\x05.", "KeyError: 5"),
        (b"\x80\x02I1\n.", "the operation INT"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("legacy", [False, True])
def test_bombs(legacy: bool, text: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    if legacy:
        path.write_bytes(MAGIC + text)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", text)
            archive.writestr("archive/version", "3\n")
    assert told(path).endswith(f"damaged, or holds more than data ({reason})")


def test_what_is_written_passes(tmp_path: Path) -> None:
    odd: Any = {"set": {1, 2}, "counter": Counter("aab"), "ordered": OrderedDict(a=(1, (2, 3)))}
    odd |= {"list": [[[]]], 5: None, 0.5: torch.float16, "size": torch.Size([3]), None: 1j}
    one = torch.arange(3.0)
    state = {"weight": torch.ones(2, 4), "bias": torch.zeros(2)}
    torch.save({**state, "odd": odd, "x": [one, one]}, tmp_path / "model.pt")
    report = load_weights(nn.Linear(4, 2), tmp_path / "model.pt")
    assert [(o.name, o.about) for o in report.others] == [("odd", "dict"), ("x", "list, 2 tensors")]


def test_limits() -> None:
    text = pickle.dumps(["abc"] * 50, 2)
    pickles.check(text, len(text), 0, 1_000)
    for most_bytes, most_operations in ((10, 1_000), (len(text), 10)):
        with pytest.raises(pickles.Refused, match="too much beside the tensors"):
            pickles.check(text, most_bytes, 0, most_operations)


@pytest.mark.parametrize("opening", [b"S'", b"V", b"c", b"I", b"(i", b"\x8a", b"\x8b"])
def test_no_single_text_or_number_is_read_beyond_reason(opening: bytes) -> None:
    """Neither one that ends with its line, nor one whose length is given."""

    class Counted(io.BytesIO):
        most = 0

        def read(self, count: int | None = -1) -> bytes:
            found = super().read(count)
            self.most = max(self.most, len(found))
            return found

        def readline(self, count: int | None = -1) -> bytes:
            found = super().readline(count)
            self.most = max(self.most, len(found))
            return found

    length = {b"\x8a": b"\xff", b"\x8b": struct.pack("<i", 30_000_000)}.get(opening, b"")
    content = Counted(opening + length + b"1" * 30_000_000 + b"\nb\n.")
    with pytest.raises(pickles.Refused):
        pickles.check(content, 10**9, 10**7, 10**7)
    assert content.most <= pickles.MAX_SIZE + 1


# ------------------------------------------------------------------------------------------ legacy


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    def write(content: Any) -> Path:
        path = tmp_path / "model.pt"
        torch.save(content, path, _use_new_zipfile_serialization=False)
        return path

    return write


def test_files_of_before_pytorch_1_6(save: Callable[[Any], Path]) -> None:
    whole = torch.randn(3, 4)
    state = {"weight": whole[:2], "bias": nn.Parameter(whole[2, :2])}
    model = nn.Linear(4, 2)
    report = load_weights(model, save({"state_dict": state, "epoch": 3}))
    assert torch.equal(model.weight, whole[:2]) and torch.equal(model.bias, whole[2, :2])
    assert (report.wrapper, [o.name for o in report.others]) == ("state_dict", ["epoch"])


def test_old_files_that_are_damaged(save: Callable[[Any], Path]) -> None:
    path = save({"weight": torch.ones(2, 4), "bias": torch.ones(2)})
    whole = path.read_bytes()
    for length in range(len(MAGIC), len(whole), 23):
        path.write_bytes(whole[:length])
        assert told(path)


# ---------------------------------------------------------------------------------------- wrappers


def test_tensors_beside_a_wrapper(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    state = {"weight": torch.ones(2, 4), "bias": torch.zeros(2)}
    torch.save({"state_dict": state, "best": torch.tensor(0.7), "epoch": 3}, path)
    model = nn.Linear(4, 2)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    (problem,) = caught.value.problems
    assert (problem.code, problem.message) == ("E602", "1 tensors have no place: best")
    assert problem.hint.startswith("if they may stay unread: ignore=['best'], --ignore")
    report = load_weights(model, path, ignore="best")
    assert report.counts == {"loaded": 2, "ignored": 1} and report.wrapper == "state_dict"
    torch.save({**state, "model": {"weight": torch.zeros(2, 4)}}, path)
    assert told(path).endswith("weight stand in 'model' and beside it")


# ------------------------------------------------------------------------------------------- views


class Tied(nn.Module):
    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(size, 2, bias=False), nn.Linear(size, 2, bias=False)
        self.b.weight = self.a.weight


def test_tied_tensors_that_are_views(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    huge = torch.zeros(1).expand(2**40)
    torch.save({"a.weight": huge, "b.weight": huge}, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(Tied(), path)
    assert [p.code for p in caught.value.problems] == ["E603", "E603"]
    model = Tied()
    load_weights(model, path, resize={"**": "fresh"}, allow_partial=True)
    crossed = [torch.arange(2.0**20).expand(2**20, -1), torch.zeros(2**20, 1).expand(-1, 2**20)]
    torch.save(dict(zip(("a.weight", "b.weight"), crossed, strict=True)), path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path, resize={"**": "fresh"})
    assert [p.code for p in caught.value.problems] == ["E607"]
    column = torch.arange(2.0)[:, None]
    torch.save({"a.weight": column.expand(2, 3), "b.weight": column.repeat(1, 3)}, path)
    assert load_weights(model, path).complete
    assert model.a.weight.tolist() == [[0.0] * 3, [1.0] * 3]
