"""Files that are not what their names say are called what they are, wherever they are read."""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import archspec
from archspec.data import TextEncoder
from archspec.data.sentence_transformers import sentence_length
from archspec.errors import DataError, SpecError
from archspec.file_kinds import AGAIN, answer_kind, marked_encoding, packed_kind, text_kind
from archspec.lang import json_file
from archspec.lang.schema import Task

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 570\n"
PAGE = b"\xef\xbb\xbf \n<!DOCTYPE html>\n<html><body>Access denied</body></html>"
CONFIG = '{"model_type": "bert", "architectures": ["BertModel"], "hidden_size": 12}'
POINTER = ("a Git LFS pointer, not the file that it stands for", "get it: git lfs pull")
HTML = ("an HTML page, not the file itself", AGAIN)
ANSWER = ("the answer of a server that an error occurred, not the file itself", AGAIN)
ROWS: list[tuple[bytes, tuple[str, str]]] = [
    (LFS, POINTER),
    (b"# xet version 0", ("a Xet pointer, not the file that it stands for", AGAIN)),
    (PAGE, HTML),
    (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', HTML),
    (b'{"error":"Repository not found"}', ANSWER),
    (b"Entry not found", ANSWER),
    (b"Invalid username or password.", ANSWER),
    (b"", ("the file is empty", AGAIN)),
    (b"\xef\xbb\xbf\n \n", ("the file is empty", AGAIN)),
    (b"\x1f\x8b\x08\0", ("compressed by gzip", "unpack it first")),
    (b"PK\3\4\x14\0", ("a ZIP archive", "unpack it first")),
    (CONFIG.encode("utf-16"), ("the text is UTF-16, not UTF-8", "save it as UTF-8")),
    (CONFIG.encode("utf-16-be"), ("the text is UTF-16-BE, not UTF-8", "save it as UTF-8")),
    (CONFIG.encode("utf-32"), ("the text is UTF-32, not UTF-8", "save it as UTF-8")),
    (b"\0" * 200, ("not text", AGAIN)),
    (b'\x08\0\0\0\0\0\0\0{"a":1} ', ("not text", AGAIN)),
]


def reading_of_a_config(folder: Path, content: bytes) -> None:
    (folder / "config.json").write_bytes(content)
    archspec.load(f"hf:{folder}")


def reading_of_settings(folder: Path, content: bytes) -> None:
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_bytes(content)
    TextEncoder(folder, 9)


def reading_of_words(folder: Path, content: bytes) -> None:
    (folder / "vocab.txt").write_bytes(content)
    TextEncoder(folder, 9)


def reading_of_a_tokenizer(folder: Path, content: bytes) -> None:
    (folder / "tokenizer.json").write_bytes(content)
    TextEncoder(folder, 9)


def reading_of_modules(folder: Path, content: bytes) -> None:
    (folder / "modules.json").write_bytes(content)
    sentence_length(folder, Task(kind="text-embedding"), "net")


@pytest.mark.parametrize(
    "read",
    [reading_of_a_config, reading_of_settings, reading_of_words, reading_of_a_tokenizer,
     reading_of_modules],
)  # fmt: skip
def test_a_text_that_is_something_else(read: Callable[[Path, bytes], None], tmp_path: Path) -> None:
    wrong: list[str] = []
    for i, (content, expected) in enumerate(ROWS):
        (folder := tmp_path / str(i)).mkdir()
        with pytest.raises((SpecError, DataError)) as caught:
            read(folder, content)
        problem = caught.value.problems[0]
        if (problem.message.partition(": ")[2], problem.hint) != expected:
            wrong.append(f"{content[:20]!r}: {problem.message}, {problem.hint}")
    assert not wrong, "\n".join(wrong)


def test_a_spec_that_is_something_else(tmp_path: Path) -> None:
    for content, expected in ((LFS, POINTER), (PAGE, HTML)):
        (tmp_path / "net.yaml").write_bytes(content)
        with pytest.raises(SpecError) as caught:
            archspec.load(tmp_path / "net.yaml")
        problem = caught.value.problems[0]
        assert (problem.code, problem.message.partition(": ")[2], problem.hint) == (
            "E106",
            *expected,
        )


def test_what_may_be_the_file_itself(tmp_path: Path) -> None:
    marked = codecs.BOM_UTF8 + CONFIG.encode()
    (tmp_path / "config.json").write_bytes(marked)
    assert json_file.read(tmp_path / "config.json").data == json.loads(CONFIG)
    for content in (marked, CONFIG.encode(), b"[PAD]\n", "\n  é".encode(), b'{"errors": 1}'):
        assert text_kind(content) is None
        assert answer_kind(content) is packed_kind(content) is marked_encoding(content) is None
