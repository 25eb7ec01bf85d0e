"""What users of other tools write first: explained in this language's words, read as it was meant.

Hydra's ``_target_``, YAML's merge keys, conditional steps, mappings as parameters and calls without
quotes in ``{ }`` are no part of the language. Each is one problem with what to write; the document
is changed to what it stands for, so that the later checks find what else is wrong.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any, cast

from archspec.errors import Findings, did_you_mean
from archspec.lang import schema, yaml
from archspec.lang.checks.class_notations import (
    ARGUMENTS,
    OF_HYDRA,
    OTHER_CLASS,
    class_of,
    is_known,
    items_text,
    target_key,
)
from archspec.lang.checks.python_notations import meant_step
from archspec.lang.declarations import looks_like_type
from archspec.lang.inherit import Document
from archspec.lang.registry import layers
from archspec.lang.yaml import Path

_Data = dict[str, Any]
_MOST_PIECES = 20  # of one call that commas have cut
_CONDITIONS = ("if", "elif", "else", "while", "when", "unless")
_REVERSED = re.compile(r"\breversed\((\w+)\)", re.ASCII)
_CHOICES = ("values", "options", "enum", "allowed", "literal")  # for the key choices
_LONGEST = 120  # characters of declarations in a hint
_WHILE = "loops have a known number of rounds: {for: i in range(n), do: [steps]}"


def read_as_meant(document: Document, data: _Data, findings: Findings) -> None:
    """Tell every such notation of a document, and change ``data`` to what it stands for."""
    _Reader(document, findings).mapping(data, ())


class _Reader:
    def __init__(self, document: Document, findings: Findings) -> None:
        self.document, self.findings = document, findings
        blocks = yaml.find(document.root, ("blocks",))
        self.blocks = set(blocks.entries) if isinstance(blocks, yaml.Mapping) else set[str]()

    def _add(self, code: str, message: str, path: Path, hint: str) -> None:
        problem = self.document.problem(code, message, path, key=True, hint=hint)
        self.findings.add(problem)

    def mapping(self, data: _Data, path: Path) -> None:
        if "<<" in data:
            self._merge_keys(data, path)
        self._join_calls(data, path)
        is_module = path[:1] == ("blocks",) and path[2:3] in (("modules",), ("items",))
        if is_module and len(path) > 3:
            (self._target if "type" not in data else self._beside_type)(data, path)
        elif not path:
            self._whole(data)
        elif len(path) == 2 and path[0] == "blocks":
            self._block(data, path)
        for key, value in data.items():
            inner = (*path, key)
            if key == "params" and isinstance(value, dict) and len(path) in (0, 2):
                self._params(cast(_Data, value), inner)
            if isinstance(value, list) and _are_steps(inner):
                self._join_items(cast("list[object]", value), inner)
                self._steps(cast("list[Any]", value), inner)
            self._inside(cast(object, value), inner)

    def _inside(self, value: object, path: Path) -> None:
        if isinstance(value, dict):
            self.mapping(cast(_Data, value), path)
        elif isinstance(value, list):
            self._join_items(cast("list[object]", value), path)
            for i, item in enumerate(cast("list[object]", value)):
                self._inside(item, (*path, i))

    def _join_calls(self, data: _Data, path: Path) -> None:
        """``{a: max(b, 2)}`` is read as ``{a: "max(b", "2)": null}``."""
        keys = list(data)
        are_modules = path[-1:] in (("modules",), ("items",))  # told as what they stand for
        for i, key in enumerate(keys):
            if key in data and self._is_open(data[key], (*path, key)):
                behind = islice(keys, i + 1, None)
                left_out = takewhile(lambda other: data.get(other, "") is None, behind)
                if rest := _closing(data[key], left_out):
                    if not are_modules:
                        self._comma("{ }", (*path, key))
                    data[key] = ", ".join([data[key], *rest])
                    for other in rest:
                        del data[other]

    def _join_items(self, items: list[object], path: Path) -> None:
        """``[max(b, 2)]`` is read as ``["max(b", "2)"]``, and so is ``[a: max(b, 2)]``."""
        at = 0
        joined: list[object] = []
        while at < len(items):
            item, rest = items[at], list[str]()
            pair = cast(_Data, item) if isinstance(item, dict) and len(item) == 1 else {}
            keys = (*pair,)
            value: object = pair[keys[0]] if pair else cast("object", item)
            if self._is_open(value, (*path, at, *keys)):
                behind = islice(items, at + 1, None)
                plain = takewhile(lambda other: isinstance(other, str | int | float), behind)
                if (rest := _closing(str(value), map(str, plain))) and path[-1:] != ("items",):
                    self._comma("[ ]", (*path, at, *keys))
            whole = ", ".join([str(value), *rest]) if rest else value
            joined.append({keys[0]: whole} if pair else whole)
            at += 1 + len(rest)
        items[:] = joined

    def _is_open(self, value: object, path: Path) -> bool:
        """Whether a value is a text without quotes in which a bracket is not closed."""
        if not isinstance(value, str) or value.count("(") <= value.count(")"):
            return False
        node = yaml.find(self.document.root, path)
        return isinstance(node, yaml.Scalar) and node.plain

    def _comma(self, brackets: str, path: Path) -> None:
        message = f"the comma ends the value inside {brackets}"
        hint = "put quotes around the expression"
        self.findings.add(self.document.problem("E301", message, path, hint=hint))

    def _merge_keys(self, data: _Data, path: Path) -> None:
        hint = "write the keys out; what repeats is one block with params, or an item with repeat"
        if path[:1] != ("blocks",):
            hint = "write the keys out, or take those of another spec: extends: parent.yaml"
        message = "merge keys (<<) are not part of the language"
        self._add("E201", message, (*path, "<<"), hint)
        given = data.pop("<<")
        for one in cast("list[object]", given if isinstance(given, list) else [given]):
            if isinstance(one, dict):
                for key, value in cast(_Data, one).items():
                    data.setdefault(key, value)
        if "<<" in data:  # of what was merged, which is reported where it stands
            self._merge_keys(data, path)

    # ------------------------------------------------------------------------------- modules

    def _target(self, data: _Data, path: Path) -> None:
        key = target_key(data, self.blocks)
        if not key:
            return
        text = str(data[key])
        last = class_of(text)
        known = is_known(last, self.blocks)
        hint = f"write type: {last} in place of {key}: {text}"
        folded = [k for k in ARGUMENTS if k in data]
        if folded:
            hint += f", and its arguments beside it, by name, in place of {folded[0]}"
        if extra := [k for k in OF_HYDRA if k in data]:
            hint += f"; leave out {', '.join(extra)}"
        if not known:
            hint += f"; it {OTHER_CLASS}"
        where = f" in '{path[-1]}'" if isinstance(path[-1], str) else ""
        self._add("E202", f"the key 'type' is missing{where}", path, hint)
        del data[key]
        known = known and not any(isinstance(data.get(k), list) for k in folded)
        for k in (*folded, *extra):
            inner = data.pop(k)
            if k in folded and isinstance(inner, dict):
                data.update({n: v for n, v in cast(_Data, inner).items() if n not in data})
        data["type"] = last if known else "Identity"
        if not known:
            for k in [k for k in data if k not in schema.Module.model_fields]:
                del data[k]  # nobody knows what it takes

    def _beside_type(self, data: _Data, path: Path) -> None:
        """What of those notations stands beside a ``type``."""
        layer = layers.find(str(data["type"]))
        for key in [k for k in data if k in ("_target_", "class_path", "_args_", *OF_HYDRA)]:
            if layer is None or not layer.argument(key):
                hint = "leave it out: the class is the type"
                if key == "_args_":
                    hint = "write the arguments beside type, by name"
                elif key in OF_HYDRA:
                    hint = "leave it out: a module is made where it stands"
                self._add("E203", f"{data['type']} has no argument '{key}'", (*path, key), hint)
                del data[key]

    def _block(self, data: _Data, path: Path) -> None:
        """A block that names a class, as if it were a module."""
        key = "type" if isinstance(data.get("type"), str) else ""
        key = key or target_key(data, self.blocks, certain=True)
        if not key:
            return
        own = {k: v for k, v in data.items() if k in schema.Block.model_fields}
        hint = "leave it out: a block is a class of its own"
        if own.keys().isdisjoint(("modules", "items", "forward")):
            given = {k: v for k, v in data.items() if k not in own}
            items, missing = items_text(given, self.blocks)
            hint = f"a block is made of modules: write items: {items}{missing}"
            for k in given:
                del data[k]
            data["items"] = []
        else:
            del data[key]
        self._add("E201", f"unknown key '{key}'", (*path, key), hint)

    def _whole(self, data: _Data) -> None:
        """A class at the top of a file, or as its model."""
        model = data.get("model")
        given = cast(_Data, model) if isinstance(model, dict) else {}
        place: Path = ("model",)
        if not given:
            others = {k: v for k, v in data.items() if k not in schema.Architecture.model_fields}
            key = target_key(others, self.blocks, certain=True)
            key = key or ("type" if is_known(str(others.get("type")), self.blocks) else "")
            given, place = (others, (key,)) if key else ({}, place)
        if not given:
            return
        items, missing = items_text(given, self.blocks)
        name = "Net" if "Net" not in self.blocks and "type: Net" not in items else "Model"
        parts = ["archspec: 1"] * ("archspec" not in data) + [f"model: {name}"]
        block = f"{name}: {{items: {items}}}"
        blocks = data.get("blocks")
        parts += [f"blocks: {{{block}}}"] if not isinstance(blocks, dict) else []
        more = f"; and among the blocks {block}" if isinstance(blocks, dict) else ""
        message = "a model is the name of a block"
        self._add("E202", message, place, f"write {', '.join(parts)}{more}{missing}")
        for k in given if place != ("model",) else ():
            del data[k]
        data.setdefault("archspec", 1)
        data["model"] = name
        data["blocks"] = {name: {"items": []}} | (cast(_Data, blocks) if more else {})

    # ---------------------------------------------------------------------------- parameters

    def _params(self, params: _Data, path: Path) -> None:
        fields = tuple(schema.Param.model_fields)
        for name, value in params.items():
            keys = list(cast(_Data, value)) if isinstance(value, dict) else []
            meant = [k for k in keys if _near(str(k), fields)]
            if not keys or name == "<<" or (meant and not _is_value(cast(_Data, value), fields)):
                continue
            hint = _declarations(name, cast(_Data, value), fields)
            message = f"'{name}' is a mapping: a parameter has one value, or a list"
            self._add("E202", message, (*path, name), hint)
            params[name] = {"default": None}
            self.findings.broken.add((*path, name))

    # --------------------------------------------------------------------------------- steps

    def _steps(self, steps: list[Any], path: Path) -> None:
        for i, step in enumerate(steps):
            if isinstance(step, str):
                steps[i] = self._statement(step, (*path, i), last=i == len(steps) - 1)
                continue
            keys = cast(_Data, step) if isinstance(step, dict) else {}
            self._reversed(keys, (*path, i))
            found = next((k for k in keys if k in _CONDITIONS), None)
            if found is None or (found in ("when", "unless") and len(keys) == 1):
                continue
            what = "while" if found == "while" else "conditional"
            hint = _WHILE if found == "while" else _choice(keys)
            self._add("E308", f"there is no {what} step", (*path, i, found), hint)
            for name in _assigned(keys):
                self.findings.broken.add(("blocks", path[1], "targets", name))
            last = i == len(steps) - 1 and path[-1] != "do"
            steps[i] = {"return": "None"} if last else {"_": "None"}

    def _reversed(self, step: _Data, path: Path) -> None:
        """``for: x in reversed(xs)``"""
        text = step.get("for")
        meant = _REVERSED.sub(r"\1[::-1]", text) if isinstance(text, str) else text
        if meant != text:
            hint = f"write {yaml.flow({'for': meant})[:-1]}, do: […]}}"
            problem = self.document.problem(
                "E304", "no function is called 'reversed'", (*path, "for"), hint=hint
            )
            self.findings.add(problem)
            step["for"] = meant

    def _statement(self, text: str, path: Path, *, last: bool) -> _Data:
        """A step that is text, such as ``x = fc(x)``, as the one that it stands for."""
        hint, meant = meant_step(text)
        problem = self.document.problem("E202", "expected a mapping", path, hint=hint)
        self.findings.add(problem)
        if not meant and last and path[-2] != "do":
            return {"return": "None"}
        return dict(meant) or {"_": "None"}


def _declarations(name: str, value: _Data, fields: Iterable[str]) -> str:
    """What to write for a parameter that is a mapping."""
    choices = next((value[k] for k in _CHOICES if isinstance(value.get(k), list)), None)
    if choices:
        declared = yaml.flow({"choices": choices, "default": cast("list[object]", choices)[0]})
        return f"write {name}: {declared}"
    value = {k: v for k, v in value.items() if k not in fields} or value
    first = next(iter(value))
    declared = yaml.flow(value)[1:-1]
    if len(declared) > _LONGEST:
        declared = f"{yaml.flow({first: value[first]})[1:-1]}, …"
    return (
        f"declare a parameter for each of its keys: {declared}; of a config.json it "
        f"is read by config: {{read: {{{first}: {name}.{first}}}}}"
    )


def _are_steps(path: Path) -> bool:
    """Whether a list at a path of the document holds steps."""
    match path:
        case ("blocks", _, "forward") | ("blocks", _, "methods", _):
            return True
        case ("blocks", _, "methods", _, "forward"):
            return True
        case ("blocks", _, "parameters" | "buffers", _, "value"):
            return True
        case ("blocks", _, "forward" | "methods" | "parameters" | "buffers", *_, "do"):
            return True
        case _:
            return False


def _is_value(declared: _Data, fields: tuple[str, ...]) -> bool:
    """Whether a mapping that has a ``type`` is no declaration: ``{type: linear, factor: 2.0}``."""
    kind = declared.get("type")
    if not isinstance(kind, str) or looks_like_type(kind) or did_you_mean(kind, schema.PARAM_TYPES):
        return False
    others = [str(key) for key in declared if key != "type"]
    return bool(others) and not any(_near(key, fields) for key in others)


@functools.lru_cache(maxsize=1024)
def _near(key: str, fields: tuple[str, ...]) -> bool:
    return bool(difflib.get_close_matches(key, fields, cutoff=0.8))


def _closing(first: str, rest: Iterable[str]) -> list[str]:
    """The further pieces that close the brackets of the first; none if the next few do not."""
    depth = first.count("(") - first.count(")")
    pieces: list[str] = []
    for piece in islice(rest, _MOST_PIECES):
        pieces.append(piece)
        depth += piece.count("(") - piece.count(")")
        if depth <= 0:
            return pieces if depth == 0 else []
    return []


def _branches(step: _Data) -> tuple[list[_Data], list[_Data]]:
    """The steps under the condition, and those of the other case."""
    rest = {k: v for k, v in step.items() if k not in (*_CONDITIONS, "do", "then")}
    then = step.get("do", step.get("then", [rest] if rest else []))
    return _listed(then), _listed(step.get("else", []))


def _listed(steps: object) -> list[_Data]:
    items = cast("list[object]", steps) if isinstance(steps, list) else [steps]
    return [cast(_Data, item) for item in items if isinstance(item, dict)]


def _choice(step: _Data) -> str:
    """The first of the conditional steps as one with a choice."""
    then, other = _branches(step)
    condition = step.get("if", step.get("when", step.get("elif")))
    name = next(iter(then[0]), "") if then else ""
    general = "give each name its value: {x: a if condition else b}"
    if not name or condition is None or name == "for":
        return general
    elsewise = next((one[name] for one in other if name in one), None if name == "return" else name)
    if elsewise is None:
        return "there is no early exit: give a name its value, and return that at the end"
    written = yaml.flow({name: f"{then[0][name]} if {condition} else {elsewise}"})
    return f"write {written}" + ("; the other steps alike" if len(then) > 1 else "")


def _assigned(step: _Data) -> Iterator[str]:
    """The names that the steps under a condition give a value."""
    for one in (*_branches(step)[0], *_branches(step)[1]):
        for key in one:
            if key not in ("for", "do", "return"):
                yield from schema.split_targets(str(key))
