"""What a file is that does not hold weights, recognised by how it begins."""

from __future__ import annotations

from archspec.file_kinds import AGAIN, Kind, answer_kind, packed_kind

_BEGINNINGS = (
    (b"\x89HDF\r\n", Kind("an HDF5 file, as Keras writes them", "save the weights as safetensors")),
    (b"GGUF", Kind("a GGUF file: its tensors are packed for llama.cpp")),
    (b"\x93NUMPY", Kind("a NumPy array", "save the weights as safetensors, under their names")),
)
_SAFETENSORS = Kind("a safetensors file", "give it a name that ends in .safetensors")
_TORCH = Kind("a file of torch.save", "give it a name that ends in .pt")
_TORCH_ZIP = b"PK\3\4"


def kind_of(start: bytes, suffix: str = "") -> Kind | None:
    """What a file that begins like this is; None if it may hold weights.

    Args:
        suffix: of its name, if it is one of weights: those of another format are told by theirs.

    >>> kind_of(b"GGUF").name
    'a GGUF file: its tensors are packed for llama.cpp'
    """
    if not start:
        return Kind("the file is empty", AGAIN)
    if kind := answer_kind(start):
        return kind
    is_safetensors = start[8:9] == b"{" and not any(start[5:8])
    if suffix == ".safetensors" and start.startswith((_TORCH_ZIP, b"\x80\2")):
        return _TORCH
    if suffix not in ("", ".safetensors") and is_safetensors:
        return _SAFETENSORS
    if not start.startswith(_TORCH_ZIP) and (kind := packed_kind(start)):
        return kind
    return next((kind for beginning, kind in _BEGINNINGS if start.startswith(beginning)), None)
