"""The document as an ``Architecture``, and what does not have the right shape for one."""

from __future__ import annotations

from typing import Any, cast

from pydantic import BaseModel, ValidationError

from archspec import schema, source
from archspec.errors import Problem, did_you_mean, listing
from archspec.extends import Document
from archspec.schema import Architecture


def validated(document: Document, problems: list[Problem]) -> tuple[Architecture | None, set[str]]:
    """The document as an ``Architecture``; None if not even its blocks can be found.

    What does not have the right shape is told, cut out, and the rest validated again, so that the
    later checks still find what they can. Returns the names that were cut out, too.
    """
    data = cast("dict[str, Any]", source.plain(document.root))
    cut: set[str] = set()
    for _ in range(20):
        try:
            return Architecture.model_validate(data), cut
        except ValidationError as error:
            found = _shape_problems(error, document, data)
            problems += [p for p in found if p not in problems]
            if not _cut_out(error, data, cut):
                break
    return None, cut


def _known_part(data: Any, loc: tuple[str | int, ...]) -> source.Path:
    """A pydantic location as a path of the document: without the names of union members."""
    path: source.Path = ()
    for key in loc:
        if isinstance(data, dict) and key in data:
            data = cast("dict[Any, Any]", data)[key]
        elif isinstance(data, list) and isinstance(key, int) and key < len(cast("list[Any]", data)):
            data = cast("list[Any]", data)[key]
        else:
            continue
        path = (*path, key)
    return path


def _shape_problems(
    error: ValidationError, document: Document, data: dict[str, Any]
) -> list[Problem]:
    """One problem for each place, in the words of the language."""
    by_place: dict[tuple[source.Path, str], list[dict[str, Any]]] = {}
    for detail in cast(
        "list[dict[str, Any]]", error.errors(include_url=False, include_context=True)
    ):
        path = _known_part(data, detail["loc"])
        missing = str(detail["loc"][-1]) if detail["type"] == "missing" else ""
        by_place.setdefault((path, missing), []).append(detail)
    problems: list[Problem] = []
    for (path, missing), details in by_place.items():
        kind = details[0]["type"]
        if missing:
            message = f"the key '{missing}' is missing" + (f" in '{path[-1]}'" if path else "")
            problems.append(document.problem("E202", message, path, key=True))
        elif kind == "extra_forbidden":
            problems.append(_unknown_key(document, path))
        else:
            problems.append(_wrong_kind(document, path, details))
    return problems


def _unknown_key(document: Document, path: source.Path) -> Problem:
    known = _keys_at(path[:-1])
    hint = did_you_mean(str(path[-1]), known) or (
        f"keys here: {listing(known, 20)}" if known else ""
    )
    return document.problem("E201", f"unknown key '{path[-1]}'", path, key=True, hint=hint)


_WORDS = {
    "int": "an integer", "float": "a number", "bool": "true or false", "string": "text",
    "list": "a list", "dict": "a mapping", "model": "a mapping", "none": "null",
}  # fmt: skip


def _wrong_kind(document: Document, path: source.Path, details: list[dict[str, Any]]) -> Problem:
    kinds = [detail["type"] for detail in details]
    if kinds[0] == "string_pattern_mismatch":
        key = details[0]["loc"][-1] == "[key]" or "[key]" in details[0]["loc"]
        text = str(details[0]["input"])
        if path and path[-1] == "for":
            hint = "write {for: x in layers, do: [steps]}"
            return document.problem("E308", f"'{text}' is no loop", path, hint=hint)
        hint = "a name is letters, digits and _, and begins with a letter"
        if len(path) > 1 and path[-2] == "items":
            hint = "a module's name has no dot and no space"
        return document.problem("E207", f"'{text}' is not a name", path, key=key, hint=hint)
    if kinds[0] == "too_long" and "forward" in path:
        hint = "a step has one key: start a new step with '-'"
        return document.problem("E202", "more than one target in a step", path, hint=hint)
    words = [_WORDS[word] for kind in kinds if (word := kind.rpartition("_")[0]) in _WORDS]
    if words:
        message = f"expected {' or '.join(dict.fromkeys(words))}"
        if path and isinstance(path[-1], str):
            message = f"'{path[-1]}': {message}"
        return document.problem("E202", message, path, hint=_kind_hint(path, details[0]["input"]))
    message = str(details[0]["msg"])
    message = message[0].lower() + message[1:]
    message = message.replace("input should be", "must be").removesuffix(" after validation, not 0")
    return document.problem("E202", f"'{path[-1]}': {message}" if path else message, path)


def _kind_hint(path: source.Path, given: Any) -> str:
    if "forward" in path and isinstance(given, list | dict):
        return "quote the expression: YAML reads [ ] and { } itself"
    if len(path) > 1 and path[-2] == "modules":
        return "a module is {type: NAME, …}"
    return ""


def _keys_at(path: source.Path) -> list[str]:
    """The keys that the schema allows at a path of the document."""
    models: dict[int, type[BaseModel]] = {0: Architecture}
    named: dict[tuple[str, int], type[BaseModel]] = {
        ("blocks", 2): schema.Block, ("params", 2): schema.Param, ("freeze", 2): schema.FreezePlan,
        ("checkpoints", 2): schema.Checkpoint, ("task", 1): schema.Task,
    }  # fmt: skip
    inner: dict[str, type[BaseModel]] = {
        "params": schema.Param, "inputs": schema.Contract, "outputs": schema.Contract,
        "parameters": schema.Tensor, "buffers": schema.Buffer, "text": schema.TextInput,
        "image": schema.ImageInput,
    }  # fmt: skip
    model = models.get(len(path)) or named.get((str(path[0]), len(path)))
    if model is None and len(path) == 4:
        model = inner.get(str(path[2]))
    if model is None and len(path) == 2:
        model = inner.get(str(path[1]))
    if model is None and "forward" in path:
        return ["for", "do", "return"]
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _cut_out(error: ValidationError, data: dict[str, Any], cut: set[str]) -> bool:
    """Remove from ``data`` what is wrong; False if nothing can be removed."""
    paths = {_known_part(data, tuple(detail["loc"])) for detail in error.errors()}
    missing = {
        _known_part(data, tuple(detail["loc"]))
        for detail in error.errors()
        if detail["type"] == "missing"
    }
    done = False
    for path in sorted(paths, key=lambda p: (len(p), str(p)), reverse=True):
        if path in missing and not path:
            if "model" not in data:
                blocks = data.get("blocks")
                data["model"] = (
                    next(iter(cast("dict[str, Any]", blocks)), "")
                    if isinstance(blocks, dict)
                    else ""
                )
            if "archspec" not in data:
                data["archspec"] = 1
            done = "blocks" in data
            continue
        if path == ("archspec",):
            data["archspec"] = 1
            done = True
            continue
        if path in (("blocks",), ("model",)):
            return False
        owner: Any = data
        for key in path[:-1]:
            owner = cast("dict[Any, Any]", owner)[key]
        if isinstance(owner, dict):
            cast("dict[Any, Any]", owner).pop(path[-1], None)
        elif isinstance(owner, list):
            # A hole would move the places of what follows: an unreadable step ends the list.
            del cast("list[Any]", owner)[cast(int, path[-1]) :]
        cut.update(str(key) for key in path if isinstance(key, str))
        done = True
    return done
