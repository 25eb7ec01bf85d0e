"""What a download left in the place of a file, recognised by how it begins."""

from __future__ import annotations

import codecs
from typing import NamedTuple


class Kind(NamedTuple):
    """What a file is, and what to do about it."""

    name: str
    hint: str = ""


START = 512
"""Bytes that are enough to tell."""

AGAIN = "download it once more: this is not the file itself"
_LFS = Kind("a Git LFS pointer, not the file that it stands for", "get it: git lfs pull")
_XET = Kind("a Xet pointer, not the file that it stands for", AGAIN)
_PAGE = Kind("an HTML page, not the file itself", AGAIN)
_POINTERS = ((b"version https://git-lfs.github.com/spec/", _LFS), (b"# xet version", _XET))
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<body", b"<!--")
_ERROR = Kind("the answer of a server that an error occurred, not the file itself", AGAIN)
_ANSWERS = (
    b"entry not found", b"not found", b"access to model", b"repository not found",
    b"invalid username or password", b'{"error"', b'{"message"',
)  # fmt: skip
_PACKED = (
    (b"\x1f\x8b", Kind("compressed by gzip", "unpack it first")),
    (b"PK\3\4", Kind("a ZIP archive", "unpack it first")),
    (b"BZh91AY&SY", Kind("compressed by bzip2", "unpack it first")),
    (b"\xfd7zXZ\0", Kind("compressed by xz", "unpack it first")),
    (b"\x28\xb5\x2f\xfd", Kind("compressed by Zstandard", "unpack it first")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7z archive", "unpack it first")),
    (b"Rar!\x1a\x07", Kind("a RAR archive", "unpack it first")),
)
_BYTE_ORDER_MARKS = (  # the longer ones first: UTF-32's begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"), (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"),
)  # fmt: skip


def placeholder_kind(start: bytes) -> Kind | None:
    """A pointer or an HTML page in the place of a file; None if it begins like neither.

    >>> placeholder_kind(b"  <!DOCTYPE html><title>404</title>").name
    'an HTML page, not the file itself'
    """
    text = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if text.startswith(_PAGES):
        return _PAGE
    return next((kind for beginning, kind in _POINTERS if text.startswith(beginning)), None)


def answer_kind(start: bytes) -> Kind | None:
    """What a server answered in the place of a file that is not data; None if it did not."""
    text = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    return _ERROR if text.startswith(_ANSWERS) else placeholder_kind(start)


def packed_kind(start: bytes) -> Kind | None:
    """How a file is packed that begins like this; None if it is not."""
    return next((kind for beginning, kind in _PACKED if start.startswith(beginning)), None)


def marked_encoding(start: bytes) -> str | None:
    """UTF-16 or UTF-32, if a text has its byte-order mark or a zero in every other byte."""
    for mark, name in _BYTE_ORDER_MARKS:
        if start.startswith(mark):
            return name
    zeros = [sum(not byte for byte in start[i::2]) for i in (0, 1)]
    if max(zeros) > len(start) / 5 and not min(zeros):
        return "utf-16-be" if zeros[0] else "utf-16-le"
    return None


def text_kind(data: bytes) -> Kind | None:
    """What the file of a text such as JSON is instead; None if it may be one in UTF-8."""
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        return Kind("the file is empty", AGAIN)
    start = data[:START]
    if kind := answer_kind(start) or packed_kind(start):
        return kind
    if encoding := marked_encoding(start):
        return Kind(f"the text is {encoding.upper()}, not UTF-8", "save it as UTF-8")
    return Kind("not text", AGAIN) if b"\0" in start else None
