"""From a file, a name or a text to a checked ``Spec``: every layer of checks in one place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from archspec import extends, layers, schema, source
from archspec.check import BlockChecker, Checker, check
from archspec.elaborate import Elaborator, Instance, entries
from archspec.errors import Problem, SpecError, UsageError, did_you_mean, listing
from archspec.expressions import Value
from archspec.extends import Document
from archspec.params import Override, Resolved, literal, overrides_from_config, resolve
from archspec.patterns import Tree
from archspec.schema import Architecture
from archspec.selections import SelectionChecker
from archspec.steps import StepChecker


@dataclass(frozen=True, eq=False)
class Spec:
    """A checked architecture with a value for every parameter.

    Attributes:
        name: the file's name without its suffix.
        architecture: the spec as pydantic models, parents merged in.
        params: each parameter's resolved value, its type, and where it was set.
        root: the tree of modules with their argument values.
        document: the text's tree, which knows every place.
        ignored: keys of a ``config.json`` that are no parameters of this spec.
        overrides: what was given from outside, for a spec that is loaded anew with more.

    Example:
        >>> spec = load("bert", num_labels=3)
        >>> spec.values["num_labels"], spec.root.type
        (3, 'BertForSequenceClassification')
    """

    name: str
    architecture: Architecture
    params: Mapping[str, Resolved]
    root: Instance
    document: Document = field(repr=False)
    ignored: tuple[str, ...] = ()
    overrides: Mapping[str, Override] = field(default_factory=dict[str, Override], repr=False)

    @property
    def values(self) -> dict[str, Value]:
        """Each parameter's value."""
        return {name: param.value for name, param in self.params.items()}

    def with_params(self, **params: Any) -> Spec:
        """The same spec with other values; raises as ``load``."""
        given = _from_keywords(params)
        return _checked(self.document, [], {**self.overrides, **given}) if params else self


def load(
    path_or_name: str | os.PathLike[str], *, config: str | os.PathLike[str] | None = None, **params: Any
) -> Spec:
    """Read and check a spec.

    Args:
        path_or_name: a path, or the name of a packaged spec such as ``"bert"``.
        config: a JSON file whose keys set parameters, such as Hugging Face's ``config.json``;
            keys that the spec does not declare are listed in ``Spec.ignored``.
        **params: values for parameters; they win over ``config``.

    Raises:
        SpecError: every problem that could be found, each with its place.

    Example:
        >>> load("resnet18", num_classes=10).values["num_classes"]
        10
    """
    document, problems = extends.read(path_or_name)
    return _checked(document, problems, _overrides(config, params))


def loads(text: str, *, config: str | os.PathLike[str] | None = None, name: str = "<spec>", **params: Any) -> Spec:
    """As ``load``, for the text of a spec; ``name`` stands for the file in errors."""
    document, problems = extends.read_text(text, name)
    return _checked(document, problems, _overrides(config, params))


def as_spec(given: str | os.PathLike[str] | Spec, params: Mapping[str, Any]) -> Spec:
    """The spec behind a public function's ``source`` argument.

    Raises:
        UsageError: E801 for anything but a path, a name or a Spec.
        SpecError: as ``load``.
    """
    if isinstance(given, Spec):
        return given.with_params(**params)
    if not isinstance(given, str | os.PathLike):  # pyright: ignore[reportUnnecessaryIsInstance]
        message = f"a spec is a path, a packaged spec's name or a Spec, not {type(given).__name__}"
        raise UsageError(Problem("E801", message))
    if isinstance(given, str) and "\n" in given:
        raise UsageError(Problem("E801", "this is text: use archspec.loads(text)"))
    return load(given, **params)


def load_with(path_or_name: str | os.PathLike[str], overrides: Mapping[str, Override]) -> Spec:
    """As ``load``, with overrides that know where they come from."""
    document, problems = extends.read(path_or_name)
    return _checked(document, problems, overrides)


def _overrides(config: str | os.PathLike[str] | None, params: Mapping[str, Any]) -> dict[str, Override]:
    found = overrides_from_config(Path(config)) if config is not None else {}
    return {**found, **_from_keywords(params)}


def _from_keywords(params: Mapping[str, Any]) -> dict[str, Override]:
    return {name: Override(_plain(value), f"{name}=…") for name, value in params.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in cast("list[Any]", value)]
    return value


# ------------------------------------------------------------------------------------------ checks


def _checked(document: Document, problems: list[Problem], overrides: Mapping[str, Override]) -> Spec:
    """The spec, or every problem of all stages at once."""
    problems = list(problems)
    architecture, cut = _validated(document, problems)
    if architecture is None:
        raise SpecError(_in_order(problems))
    resolved, found, ignored = resolve(architecture.params, overrides, document)
    problems += found
    problems += _without_echoes(check(architecture, document), cut)
    problems += _without_echoes(_check_forwards(architecture, document), cut)
    root: Instance | None = None
    if architecture.model in architecture.blocks and len(resolved) == len(architecture.params):
        elaborator = Elaborator(architecture, document, resolved)
        root = elaborator.elaborate()
        problems += _without_echoes(elaborator.checker.problems, cut)
    tree = Tree(entries(root)) if root is not None and not problems else None
    problems += SelectionChecker(architecture, document, tree).check()
    if problems or root is None:
        raise SpecError(_in_order(problems))
    return Spec(document.name, architecture, resolved, root, document, ignored, overrides)


def _check_forwards(architecture: Architecture, document: Document) -> list[Problem]:
    checker = Checker(architecture, document, [])
    for name, block in architecture.blocks.items():
        StepChecker(BlockChecker(checker, name, block), architecture.blocks).check()
    return checker.problems


def _in_order(problems: list[Problem]) -> list[Problem]:
    """By place, and each once."""
    unique = dict.fromkeys(problems)
    return sorted(
        unique,
        key=lambda p: (p.place.file, p.place.line, p.place.column) if p.place else ("", 0, 0),
    )


def _without_echoes(problems: list[Problem], cut: set[str]) -> list[Problem]:
    """Leave out complaints about names that are missing only because their definition is broken."""
    echoes = {"E203", "E204", "E206", "E303", "E304", "E305", "E210"}
    return [
        p for p in problems if not (p.code in echoes and any(f"'{name}'" in p.message for name in cut))
    ]


def _validated(document: Document, problems: list[Problem]) -> tuple[Architecture | None, set[str]]:
    """The document as an ``Architecture``.

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
    for detail in cast("list[dict[str, Any]]", error.errors(include_url=False, include_context=True)):
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
    hint = did_you_mean(str(path[-1]), known) or (f"keys here: {listing(known, 20)}" if known else "")
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
        _known_part(data, tuple(detail["loc"])) for detail in error.errors() if detail["type"] == "missing"
    }
    done = False
    for path in sorted(paths, key=lambda p: (len(p), str(p)), reverse=True):
        if path in missing and not path:
            if "model" not in data:
                blocks = data.get("blocks")
                data["model"] = next(iter(cast("dict[str, Any]", blocks)), "") if isinstance(blocks, dict) else ""
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
            owner = owner.get(key) if isinstance(owner, dict) else owner[key]
        if isinstance(owner, dict):
            cast("dict[Any, Any]", owner).pop(path[-1], None)
        elif isinstance(owner, list):
            # A hole would move the places of what follows: an unreadable step ends the list.
            del cast("list[Any]", owner)[cast(int, path[-1]) :]
        cut.update(str(key) for key in path if isinstance(key, str))
        done = True
    return done
