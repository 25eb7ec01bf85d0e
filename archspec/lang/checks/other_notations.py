"""What users of other tools write first: explained in this language's words, read as it was meant.

Hydra's ``_target_``, YAML's merge keys, conditional steps, mappings as parameters and calls without
quotes in ``{ }`` are no part of the language. Each is one problem with what to write; the document
is changed to what it stands for, so that the later checks find what else is wrong.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from itertools import islice, takewhile
from typing import Any, cast

from archspec.errors import Findings
from archspec.lang import schema, yaml
from archspec.lang.inherit import Document
from archspec.lang.registry import layers
from archspec.lang.yaml import Path

_Data = dict[str, Any]
_TARGETS = ("_target_", "class_path", "class_name", "cls", "class", "module", "name")
_ARGUMENTS = ("init_args", "kwargs", "args", "_args_", "dict_kwargs")
_OF_HYDRA = ("_partial_", "_recursive_", "_convert_")
_MOST_PIECES = 20  # of one call that commas have cut
_STEPS = ("forward", "do", "value")
_CONDITIONS = ("if", "elif", "else", "while", "when", "unless")
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
        if is_module and len(path) > 3 and "type" not in data:
            self._target(data, path)
        for key, value in data.items():
            inner = (*path, key)
            if key == "params" and isinstance(value, dict) and len(path) in (0, 2):
                self._params(cast(_Data, value), inner)
            if key in _STEPS and isinstance(value, list) and path[:1] == ("blocks",):
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
        for i, key in enumerate(keys):
            if key in data and self._is_open(data[key], (*path, key)):
                behind = islice(keys, i + 1, None)
                left_out = takewhile(lambda other: data.get(other, "") is None, behind)
                if rest := _closing(data[key], left_out):
                    self._comma("{ }", (*path, key))
                    data[key] = ", ".join([data[key], *rest])
                    for other in rest:
                        del data[other]

    def _join_items(self, items: list[object], path: Path) -> None:
        """``[max(b, 2)]`` is read as ``["max(b", "2)"]``."""
        at = 0
        joined: list[object] = []
        while at < len(items):
            item, rest = items[at], list[str]()
            if self._is_open(item, (*path, at)):
                behind = islice(items, at + 1, None)
                plain = takewhile(lambda other: isinstance(other, str | int | float), behind)
                if rest := _closing(str(item), map(str, plain)):
                    self._comma("[ ]", (*path, at))
            joined.append(", ".join([str(item), *rest]) if rest else item)
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
        key = next((k for k in _TARGETS if isinstance(data.get(k), str)), None)
        text = str(data.get(key or ""))
        last = text.rpartition(".")[2]
        known = last in self.blocks or last in layers.CONTAINERS or layers.find(last) is not None
        if key is None or not last.isidentifier() or (key in ("name", "module") and not known):
            return
        hint = f"write type: {last} in place of {key}: {text}"
        folded = [k for k in _ARGUMENTS if k in data]
        if folded:
            hint += f", and its arguments beside it, by name, in place of {folded[0]}"
        if extra := [k for k in _OF_HYDRA if k in data]:
            hint += f"; leave out {', '.join(extra)}"
        if not known:
            hint += "; it must be a block of this spec, or see archspec.register_layer"
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

    # ---------------------------------------------------------------------------- parameters

    def _params(self, params: _Data, path: Path) -> None:
        fields = list(schema.Param.model_fields)
        for name, value in params.items():
            keys = list(cast(_Data, value)) if isinstance(value, dict) else []
            meant = [k for k in keys if difflib.get_close_matches(str(k), fields, cutoff=0.8)]
            if not keys or meant or name == "<<":
                continue
            first = keys[0]
            declared = yaml.flow({first: cast(_Data, value)[first]})
            hint = (
                f"declare a parameter for each of its keys: {declared[1:-1]}; of a config.json it "
                f"is read by config: {{read: {{{first}: {name}.{first}}}}}"
            )
            message = f"'{name}' is a mapping: a parameter has one value, or a list"
            self._add("E202", message, (*path, name), hint)
            params[name] = {"default": None}
            self.findings.broken.add((*path, name))

    # --------------------------------------------------------------------------------- steps

    def _steps(self, steps: list[Any], path: Path) -> None:
        for i, step in enumerate(steps):
            keys = cast(_Data, step) if isinstance(step, dict) else {}
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
