"""What a file is that does not hold weights, recognised by how it begins."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """What a file is, and what to do about it."""

    name: str
    hint: str = ""


_AGAIN = "download it once more: this is not the file itself"
_LFS = Kind("a Git LFS pointer, not the weights that it stands for", "get them: git lfs pull")
_PAGE = Kind("an HTML page, not weights", _AGAIN)
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec/", _LFS),
    (b"# xet version", Kind("a Xet pointer, not the weights that it stands for", _AGAIN)),
    (b"\x89HDF\r\n", Kind("an HDF5 file, as Keras writes them", "save the weights as safetensors")),
    (b"GGUF", Kind("a GGUF file: its tensors are packed for llama.cpp")),
    (b"\x93NUMPY", Kind("a NumPy array", "save the weights as safetensors, under their names")),
    (b"\x1f\x8b", Kind("compressed by gzip", "unpack it first")),
)
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<body", b"<!--")
START = 512
"""Bytes that are enough to tell."""


def kind_of(start: bytes) -> Kind | None:
    """What a file that begins like this is; None if it may hold weights.

    >>> kind_of(b"  <!DOCTYPE html><title>404</title>").name
    'an HTML page, not weights'
    """
    if not start:
        return Kind("the file is empty", _AGAIN)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_PAGES):
        return _PAGE
    if text.startswith((b'{"error', b'{"message')):
        return Kind("the answer of a server that an error occurred, not weights", _AGAIN)
    return next((kind for beginning, kind in _BEGINNINGS if start.startswith(beginning)), None)
