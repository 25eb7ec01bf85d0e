"""What a file is that does not hold weights, recognised by how it begins."""

from __future__ import annotations

import re

from archspec.file_kinds import AGAIN, Kind, answer_kind, packed_kind

_BEGINNINGS = (
    (b"\x89HDF\r\n", Kind("an HDF5 file, as Keras writes them", "save the weights as safetensors")),
    (b"GGUF", Kind("a GGUF file: its tensors are packed for llama.cpp")),
    (b"\x93NUMPY", Kind("a NumPy array", "save the weights as safetensors, under their names")),
)
_CONVERT = "write its tensors as safetensors, under their names"
_NAMES = {
    r"\.onnx": Kind("an ONNX model", _CONVERT),
    r"\.npz": Kind("arrays of NumPy", _CONVERT),
    r"\.msgpack": Kind("weights of Flax", _CONVERT),
    r"\.(index|meta|data-\d{5}-of-\d{5})": Kind("a part of a TensorFlow checkpoint", _CONVERT),
    r"\.(pb|tflite|keras|h5)": Kind("a model of TensorFlow", _CONVERT),
    r"\.gguf": Kind("a GGUF file"),
    r"\.(pkl|pickle|joblib)": Kind("a pickle that could run code: it is not opened", _CONVERT),
    r"\.(pt2|ptl|mlmodel|engine|plan)": Kind("a compiled model", _CONVERT),
    r"\.(zip|tar|tgz|tar\.\w+)": Kind("an archive", "unpack it first"),
}
_SAFETENSORS = Kind("a safetensors file", "give it a name that ends in .safetensors")
_TORCH = Kind("a file of torch.save", "give it a name that ends in .pt")
_TORCH_ZIP = b"PK\3\4"


def kind_by_name(name: str) -> Kind | None:
    """What a file of another format is, by how its name ends; None for other names.

    >>> kind_by_name("model.ckpt.data-00000-of-00001").name
    'a part of a TensorFlow checkpoint'
    """
    found = (kind for end, kind in _NAMES.items() if re.search(f"{end}$", name.lower()))
    return next(found, None)


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
