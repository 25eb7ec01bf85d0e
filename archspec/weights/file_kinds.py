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
_ERROR = Kind("the answer of a server that an error occurred, not weights", _AGAIN)
_BEGINNINGS = (
    (b"version https://git-lfs.github.com/spec/", _LFS),
    (b"# xet version", Kind("a Xet pointer, not the weights that it stands for", _AGAIN)),
    (b"\x89HDF\r\n", Kind("an HDF5 file, as Keras writes them", "save the weights as safetensors")),
    (b"GGUF", Kind("a GGUF file: its tensors are packed for llama.cpp")),
    (b"\x93NUMPY", Kind("a NumPy array", "save the weights as safetensors, under their names")),
    (b"\x1f\x8b", Kind("compressed by gzip", "unpack it first")),
    *((text, _ERROR) for text in (b"Entry not found", b"Not Found", b"Access to model")),
)
_SAFETENSORS = Kind("a safetensors file", "give it a name that ends in .safetensors")
_TORCH = Kind("a file of torch.save", "give it a name that ends in .pt")
_PAGES = (b"<!doctype html", b"<html", b"<?xml", b"<head", b"<body", b"<!--")
START = 512
"""Bytes that are enough to tell."""


def kind_of(start: bytes, suffix: str = "") -> Kind | None:
    """What a file that begins like this is; None if it may hold weights.

    Args:
        suffix: of its name, if it is one of weights: those of another format are told by theirs.

    >>> kind_of(b"  <!DOCTYPE html><title>404</title>").name
    'an HTML page, not weights'
    """
    if not start:
        return Kind("the file is empty", _AGAIN)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_PAGES):
        return _PAGE
    if text.startswith((b'{"error', b'{"message')):
        return _ERROR
    is_safetensors = start[8:9] == b"{" and not any(start[5:8])
    if suffix == ".safetensors" and start.startswith((b"PK\3\4", b"\x80\2")):
        return _TORCH
    if suffix not in ("", ".safetensors") and is_safetensors:
        return _SAFETENSORS
    return next((kind for beginning, kind in _BEGINNINGS if start.startswith(beginning)), None)
