"""The names that a spec has from the files that it extends and uses, and the values of all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from archspec.errors import place_fields
from archspec.lang.inherit import Document
from archspec.lang.schema import Block
from archspec.lang.spec import Spec
from archspec.lang.yaml import find, flow, plain

MAX_TEXT = 200
MAX_BLOCKS = 500


def known_names(spec: Spec) -> dict[str, Any]:
    """Parameters with their values, local values, and the blocks of other files.

    Returns:
        ``files``: the names of the other files; ``model``: the root; ``dims``: names of sizes;
        ``params``: name → type, value, default, bounds and help, and the place of the declaration;
        ``let``: name → value; ``blocks``: name → parameters, inputs, modules and so on, each name
        with what it is, its file and its line, and the place of the block. None where the spec is
        one file: the editor has all of it.
    """
    document = spec.document
    files = [name for name in document.sources() if name != document.place(()).file]
    blocks = [*spec.architecture.blocks] if files else []
    return {
        "files": files,
        "model": spec.root.type,
        "dims": [*spec.architecture.dims],
        "params": {name: _param(spec, name) for name in spec.architecture.params},
        "let": {name: _text(value) for name, value in spec.let.items()},
        "blocks": {name: _block(spec, name) for name in blocks[:MAX_BLOCKS]},
    }


def _param(spec: Spec, name: str) -> dict[str, Any]:
    declared, resolved = spec.architecture.params[name], spec.params.get(name)
    return {
        "type": resolved.type if resolved else declared.type or "",
        "value": _text(resolved.value) if resolved else "",
        "default": _text(declared.default) if "default" in declared.model_fields_set else "",
        "min": declared.min,
        "max": declared.max,
        "choices": [_text(choice) for choice in declared.choices or ()],
        "help": declared.help[:MAX_TEXT],
        **_place(spec, ("params", name)),
    }


def _block(spec: Spec, name: str) -> dict[str, Any]:
    block: Block = spec.architecture.blocks[name]
    document = spec.document

    def texts(part: str, names: Iterable[str]) -> dict[str, tuple[str, str, int]]:
        return {key: _named(document, ("blocks", name, part, key)) for key in names}

    return {
        "params": texts("params", block.params),
        "let": texts("let", block.let),
        "inputs": texts("inputs", block.inputs),
        "modules": {
            key: (module.type, *_named(document, ("blocks", name, "modules", key))[1:])
            for key, module in block.modules.items()
        },
        "parameters": texts("parameters", block.parameters),
        "buffers": texts("buffers", block.buffers),
        "methods": texts("methods", block.methods),
        **_place(spec, ("blocks", name)),
    }


def _place(spec: Spec, path: tuple[str, ...]) -> dict[str, Any]:
    return place_fields(spec.document.place(path, key=True), "file", "line")


def _named(document: Document, path: tuple[str, ...]) -> tuple[str, str, int]:
    """What is written at a path, with the file and the line of its key."""
    node, place = find(document.root, path), document.place(path, key=True)
    return _text(plain(node)) if node is not None else "", place.file, place.line


def _text(value: object) -> str:
    written = flow(value)
    return written if len(written) <= MAX_TEXT else f"{written[: MAX_TEXT - 1]}…"
