"""The document as an ``Architecture``, and what does not have the right shape for one.

What is wrong is reported, cut out, and the rest validated again, so that the later checks still
find what they can. The declarations that lost something are ``broken``: nothing more is said of
them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, cast

from pydantic import BaseModel, ValidationError

from archspec.errors import Findings, Problem, did_you_mean, listing
from archspec.lang import schema, yaml
from archspec.lang.checks.class_notations import is_known, module_text
from archspec.lang.checks.other_notations import read_as_meant
from archspec.lang.checks.python_notations import meant_step, target_hint
from archspec.lang.expr import ExpressionError, evaluate, parse
from archspec.lang.inherit import Document
from archspec.lang.schema import Architecture
from archspec.lang.yaml import Path

_ROUNDS = 20  # what is cut out can uncover more
_Detail = dict[str, Any]  # one of the errors that pydantic lists


def validated(document: Document, findings: Findings) -> Architecture | None:
    """The document as an ``Architecture``; None if not even its blocks can be found."""
    data = cast("dict[str, Any]", yaml.plain(document.root))
    cut: set[Path] = set()
    read_as_meant(document, data, findings)
    for _ in range(_ROUNDS):
        try:
            return Architecture.model_validate(data)
        except ValidationError as error:
            details = cast("list[_Detail]", error.errors(include_url=False))
        for detail in details:
            detail["path"] = _known_part(data, _without_tags(detail["loc"]))
        for problem in _shape_problems(details, document, cut):
            findings.add(problem)
        paths = {cast(Path, detail["path"]) for detail in details}
        # The longest first: what is inside goes before what it is inside of.
        for path in sorted(paths, key=lambda p: (len(p), str(p)), reverse=True):
            findings.broken |= set(_broken_by(path, data))
            if not _cut_out(path, data):
                return None
        cut |= paths
    return None


def _without_tags(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    """A pydantic location without the names that tell which kind of step or items was meant."""
    found: tuple[str | int, ...] = ()
    for i, key in enumerate(loc):
        of_step = i > 1 and isinstance(loc[i - 1], int) and loc[i - 2] in (*_STEPS, "steps")
        is_group = i > 4 or (i == 3 and loc[0] == "blocks")
        of_items = is_group and loc[i - 1] == "items" and key in ("list", "mapping")
        of_item = i > 2 and loc[i - 2] == "list" and key in ("module", "group")
        of_value = i > 4 and loc[i - 1] == "value" and key in ("steps", "text")
        found += () if of_step or of_items or of_item or of_value else (key,)
    return found


def _known_part(data: Any, loc: tuple[str | int, ...]) -> Path:
    """As much of a location as the document has, and without what it does not have."""
    path: Path = ()
    for key in loc:
        if isinstance(data, dict) and key in data:
            data = cast("dict[Any, Any]", data)[key]
        elif isinstance(data, list) and isinstance(key, int) and key < len(cast("list[Any]", data)):
            data = cast("list[Any]", data)[key]
        else:
            continue
        path = (*path, key)
    return path


# ---------------------------------------------------------------------------------------- telling


def _shape_problems(
    details: list[_Detail], document: Document, cut: set[Path]
) -> Iterator[Problem]:
    """One problem for each place, in the words of the language."""
    by_place: dict[tuple[Path, str], list[_Detail]] = {}
    for detail in details:
        missing = str(detail["loc"][-1]) if detail["type"] == "missing" else ""
        by_place.setdefault((detail["path"], missing), []).append(detail)
    unknown = {path for (path, _), found in by_place.items() if _is_unknown_key(found)}
    inside = {path[:end] for path, _ in by_place for end in range(len(path))}
    for (path, missing), found in by_place.items():
        if missing:
            reported = (*path, missing) in cut or any(
                did_you_mean(str(key), [missing]) and (*path, key) in unknown
                for key in _keys_of(document, path)
            )
            if not reported:
                yield _missing_key(document, path, missing)
        elif _is_unknown_key(found):
            yield _unknown_key(document, path)
        elif path not in inside:  # of two readings, the one that gets further was meant
            yield _wrong_kind(document, path, found)


def _is_unknown_key(details: list[_Detail]) -> bool:
    return details[0]["type"] == "extra_forbidden"


def _keys_of(document: Document, path: Path) -> list[str]:
    node = yaml.find(document.root, path)
    return list(node.entries) if isinstance(node, yaml.Mapping) else []


_GROUP = "several modules are repeated together as items: {repeat: 2, items: [{type: …}, …]}"


def _missing_key(document: Document, path: Path, missing: str) -> Problem:
    where = "".join(f" in '{last}'" for last in path[-1:] if isinstance(last, str))
    near = [key for key in _keys_of(document, path) if did_you_mean(key, [missing])]
    hint = f"'{near[0]}' should be '{missing}'" if near else ""
    if not path and missing == "archspec":
        hint = hint or "write archspec: 1, the version of the language"
    if not path and missing == "model" and (blocks := _keys_of(document, ("blocks",))):
        hint = hint or f"name the block that is built: model: {blocks[-1]}"
    if missing == "type":
        keys = _keys_of(document, path)
        hint = hint if {"repeat", "each"}.isdisjoint(keys) else _GROUP
        if len(keys) == 1 and is_known(keys[0], _keys_of(document, ("blocks",))):
            hint = f"write {{type: {keys[0]}, …}}, its arguments beside it"
    message = f"the key '{missing}' is missing{where}"
    return document.problem("E202", message, path, key=True, hint=hint)


def _unknown_key(document: Document, path: Path) -> Problem:
    *above, key = path
    known = _keys_at(path[:-1])
    hint = did_you_mean(str(key), known) or (f"keys here: {listing(known, 20)}" if known else "")
    if not above:
        hint = _TEMPLATES if str(key).startswith(("_", ".", "x-")) else _INSTEAD.get(str(key), hint)
    hint = _ONE_KEY if above[-2:-1] and above[-2] in _STEPS else hint
    if above[-2:-1] == ["parameters"]:
        hint = _INSTEAD_IN_TENSOR.get(str(key), hint)
    return document.problem("E201", f"unknown key '{_short(str(key))}'", path, key=True, hint=hint)


_TEMPLATES = "there is no place for templates: what repeats is a block with params"
_DTYPES = {
    "double": "float64", "float": "float32", "half": "float16", "int": "int64", "long": "int64",
    **{name: name for name in "bfloat16 bool float16 float32 float64 int32 int64 uint8".split()},
}  # fmt: skip
_INSTEAD = {  # of a key at the top
    "defaults": "to build on another spec, write extends: NAME, or use: [FILE] for its blocks",
    "imports": "there are no imports: blocks of other files are taken by use: [FILE]",
    "variables": "values are declared under params",
    "hyperparameters": "values are declared under params",
    "name": "a spec has the name of its file, and description says what it is",
    "version": "archspec: 1 is the version of the language; description has room for others",
    **dict.fromkeys(
        ("data", "epochs", "loss", "optimizer", "train", "trainer", "training"),
        "a spec says what a model is: archspec train takes the rest as options",
    ),
}
_FROZEN = "what is never trained stands under buffers; a freeze plan freezes parameters"
_INSTEAD_IN_TENSOR = {"frozen": _FROZEN, "requires_grad": _FROZEN, "trainable": _FROZEN}
_WORDS = {
    "int": "an integer", "float": "a number", "bool": "true or false", "string": "text",
    "list": "a list", "dict": "a mapping", "model": "a mapping", "none": "null",
}  # fmt: skip
_EXPECTED = {
    "when": "true, false or an $expression",
    "repeat": "an integer or an $expression",
    "value": "an $expression or a list of steps",
}
_EXPECTED_IN = {
    "freeze": "a list of patterns",
    "inputs": "a list of sizes",
    "outputs": "a list of sizes",
}
_STEPS = ("forward", "do", "value")
_SELF = "self."
_ONE_KEY = "a step has one key: start a new step with '-'"


def _among_steps(path: Path) -> bool:
    """Whether steps stand at a path, or it is inside of them."""
    return "forward" in path or "value" in path[4:5] or _is_short_method(path)


def _is_short_method(path: Path) -> bool:
    """Whether it leads into a method that is a list of steps."""
    return path[2:3] == ("methods",) and isinstance(next(iter(path[4:5]), None), int)


def _wrong_kind(document: Document, path: Path, details: list[_Detail]) -> Problem:
    kinds = [str(detail["type"]) for detail in details]
    if kinds[0] == "string_pattern_mismatch":
        return _wrong_text(document, path, details[0])
    if path[-2:-1] == ("carry",):
        hint = "write carry: {name: [first value, value after each round]}"
        return document.problem(
            "E202", f"'{_short(str(path[-1]))}' is no running value", path, hint=hint
        )
    if kinds[0] == "too_long" and _among_steps(path):
        return document.problem("E202", "more than one target in a step", path, hint=_ONE_KEY)
    last = path[-1] if path else ""
    words = [_WORDS[word] for kind in kinds if (word := kind.rpartition("_")[0]) in _WORDS]
    message, hint = _in_words(details[0]), ""
    if words:
        expected = _EXPECTED.get(str(last)) or " or ".join(dict.fromkeys(words))
        if len(path) > 1:
            expected = _EXPECTED_IN.get(str(path[-2]), expected)
        if isinstance(last, int) and not {"inputs", "outputs", "shape"}.isdisjoint(path):
            expected = "an integer, a name or an $expression"
        message = f"expected {expected}"
    if last == "dtype" and kinds[0] == "literal_error":
        hint = _DTYPES.get(str(details[0]["input"]).removeprefix("torch."), "")
        hint = f"write {hint}" if hint else ""
    if words or kinds[0] == "value_error":
        given = details[0]["input"]
        blocks = _keys_of(document, ("blocks",))
        hint = _kind_hint(path, given, blocks) or _plain_hint(given, words)
    if isinstance(last, str) and last:
        message = f"'{_short(last)}': {message}"
    return document.problem("E202", message, path, hint=hint)


def _in_words(detail: _Detail) -> str:
    """What pydantic says, as this language would."""
    bounds = detail.get("ctx", {})
    match detail["type"]:
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "string_too_long":
            return f"must not be longer than {bounds['max_length']} characters"
        case "greater_than_equal":
            return f"must be at least {bounds['ge']:,}"
        case "less_than_equal":
            return f"must be at most {bounds['le']:,}"
        case "value_error":
            return str(bounds["error"])
        case _:
            message = str(detail["msg"]).replace("Input should be", "must be")
            return message[0].lower() + message[1:]


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}…"


def _wrong_text(document: Document, path: Path, detail: _Detail) -> Problem:
    """Text that is no name, no list of targets, no loop."""
    text = _short(str(detail["input"]))
    if path and path[-1] == "for":
        hint = "write {for: x in layers, do: [steps]}"
        if "(" in text.partition(" in ")[0]:
            hint = "names stand beside each other: {for: i in range(len(xs)), do: […]} with xs[i]"
        return document.problem("E308", f"'{text}' is no loop", path, hint=hint)
    hint = "a name is letters, digits and _, and begins with a letter"
    if _among_steps(path) and (step := target_hint(str(detail["input"]))):
        hint = step
    elif _among_steps(path) and text.startswith(_SELF):
        hint = f"write {text.replace(_SELF, '')}: what a step computes has a plain name"
    elif _among_steps(path) and "(" in text:
        hint = "unpack in two steps: {y, state: …}, then {h, c: state}"
    if len(path) > 1 and path[-2] == "items":
        hint = "a module's name has no dot and no space"
    key = "[key]" in detail["loc"]
    return document.problem("E207", f"'{text}' is not a name", path, key=key, hint=hint)


def _kind_hint(path: Path, given: Any, blocks: Collection[str]) -> str:
    if path[-1:] == ("shape",) and isinstance(given, int):
        return f"write shape: [{given}]"
    if path[-1:] == ("shape",) and isinstance(given, str):
        name = given if given[:1] == "$" and given[1:].isidentifier() else "$sizes"
        return f'write its sizes: shape: ["{name}[0]", "{name}[1]"]'
    if len(path) == 4 and path[-2] in ("parameters", "buffers") and isinstance(given, list):
        return f"write {{value: $tensor({_short(yaml.flow(given))})}}, or {{shape: …}}"
    if "value" in path[4:5] and isinstance(given, int | float):
        return "write numbers as a tensor: $tensor([…])"
    if isinstance(path[-1], int) and not {"inputs", "outputs"}.isdisjoint(path):
        return "a size that may be any is a name, such as batch, or _"
    if path[-1:] in (("inputs",), ("outputs",)) and isinstance(given, list):
        return f"write {path[-1]}: {{x: [batch, 3]}}, a shape for each"
    if path[-2:-1] in (("inputs",), ("outputs",)):
        return f"write {path[-1]}: [batch, 3], or {{shape: [batch, 3], dtype: int64}}"
    if path[-1:] == ("forward",) and isinstance(given, str):
        _, step = meant_step(f"return {given}")
        return f"write forward: {yaml.flow([step or {'return': given}])}"
    if path[:1] == ("freeze",) and len(path) == 2 and isinstance(given, str):
        return f"write {path[1]}: {yaml.flow([given])}"
    if path == ("use",) and isinstance(given, str):
        return f"write use: {yaml.flow([given])}"
    if path == ("task",) and isinstance(given, str):
        return "write task: {kind: text-classification}, or another kind"
    if path == ("init",) and isinstance(given, dict):
        return "write init: [{match: PATTERN, weight: zeros_}], a rule for each pattern"
    if path[:1] == ("init",) and len(path) == 3 and isinstance(given, int | float):
        return f"write {path[2]}: {{constant_: {{val: {yaml.flow(given)}}}}}"
    if path == ("tie",):
        return "write tie: {decoder.weight: embedding.weight}"
    if len(path) > 1 and path[-2] in _STEPS:
        return "a step is {name: expression} or {return: expression}"
    if path[-1:] == ("return",) and isinstance(given, dict):
        return "write {return: a, b}, or give each a name: {return: {out: a, aux: b}}"
    if path[-1:] in (("forward",), ("do",)) and isinstance(given, dict):
        steps = [{key: value} for key, value in cast("dict[str, Any]", given).items()]
        return f"write {path[len(path) - 1]}: {_short(yaml.flow(steps))}"
    if _among_steps(path) and isinstance(given, list | dict):
        return "quote the expression: YAML reads [ ] and { } itself"
    if len(path) > 1 and path[-2] in ("modules", "items"):
        meant = module_text(given, blocks)
        return f"write {meant}" if meant else "a module is {type: NAME, …}"
    return ""


_PLAIN_VALUES: dict[str, tuple[type, ...]] = {
    "an integer": (int,), "a number": (int, float), "true or false": (bool,),
}  # fmt: skip


def _plain_hint(given: Any, words: list[str]) -> str:
    """What to write for an expression where only a plain number or flag may stand."""
    kinds = {kind for word in words for kind in _PLAIN_VALUES.get(word, ())}
    if not kinds or not isinstance(given, str) or not given.startswith("$"):
        return ""
    text = {"true": "True", "false": "False"}.get(given[1:], given[1:])
    try:
        value = evaluate(parse(text), {})
    except ExpressionError:
        value = None
    return (
        f"write {yaml.flow(value)}"
        if type(value) in kinds
        else "no expression is computed here: write the value itself"
    )


def _keys_at(path: Path) -> list[str]:
    """The keys that the schema allows at a path of the document."""
    models: dict[int, type[BaseModel]] = {0: Architecture}
    named: dict[tuple[str, int], type[BaseModel]] = {
        ("blocks", 2): schema.Block, ("params", 2): schema.Param, ("freeze", 2): schema.FreezePlan,
        ("tie", 2): schema.Tie, ("adapters", 2): schema.Adapter,
        ("checkpoints", 2): schema.Checkpoint, ("config", 1): schema.Config,
        ("task", 1): schema.Task,
    }  # fmt: skip
    if path[2:3] == ("methods",) and len(path) in (4, 6):
        return list((schema.Method if len(path) == 4 else schema.Contract).model_fields)
    inner: dict[str, type[BaseModel]] = {
        "params": schema.Param, "inputs": schema.Contract, "outputs": schema.Contract,
        "parameters": schema.Tensor, "buffers": schema.Buffer, "text": schema.TextInput,
        "image": schema.ImageInput, "freeze": schema.FreezePlan,
    }  # fmt: skip
    model = models.get(len(path)) or named.get((str(path[0]), len(path)))
    if model is None and len(path) == 4:
        model = inner.get(str(path[2]))
    if model is None and len(path) == 2:
        model = inner.get(str(path[1]))
    if model is None and isinstance(path[-1], int) and path[-2] == "items":
        model = schema.Group
    if model is None and _among_steps(path):
        return ["for", "do", "return"]
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


# ------------------------------------------------------------------------------------ cutting out

_RETURN = {"return": "None"}  # a forward of which nothing is known
# What stands in for an item of a list, so that the places of the others do not move.
_STAND_INS: dict[str, Any] = {
    "forward": {"_": "None"},
    "do": {"_": "None"},
    "value": {"_": "None"},
    "items": {"type": "Identity"},
    "init": {"match": "**", "weight": "zeros_"},
}


def _broken_by(path: Path, data: Any) -> Iterator[Path]:
    """The declarations of which nothing is known once what stands at ``path`` is cut out."""
    is_there = _known_part(data, path) == path  # else it was cut out with what is around it
    value: Any = data if is_there else None
    for key in path if is_there else ():
        value = value[key]
    keys = cast("list[str]", list(cast("dict[Any, Any]", value))) if isinstance(value, dict) else []
    match path:
        case ("blocks", block, str(group)) if group not in schema.Block.model_fields:
            # A misspelt group still declares names, whichever group was meant.
            yield from (("blocks", block, known, key) for known in _DECLARING for key in keys)
        case ("blocks", block, "forward", *_):
            step = next((i for i in range(len(path), 3, -1) if isinstance(path[i - 1], int)), 3)
            yield from (("blocks", block, "targets", name) for name in _targets(path[step:], value))
        case ("blocks", block, "methods", _, *below) if below:
            at = next((i for i in range(len(path), 4, -1) if isinstance(path[i - 1], int)), 4)
            yield from (("blocks", block, "targets", name) for name in _targets(path[at:], value))
            yield path[:4]
        case ("blocks", _, "modules" | "items", *_):
            yield path
        case ("blocks", _, _, _, *_) | ("params" | "let", _, *_):
            yield path[:4] if path[0] == "blocks" else path[:2]
        case (str(group),) if group not in Architecture.model_fields:
            yield from ((known, key) for known in ("params", "blocks") for key in keys)
        case _:
            yield path


_DECLARING = ("params", "let", "inputs", "outputs", "modules", "parameters", "buffers", "methods")


def _targets(below: Path, value: Any) -> Iterator[str]:
    """The names that a step would have given a value; ``below`` is the path inside the step."""
    step = cast("dict[Any, Any]", value) if isinstance(value, dict) else {}
    for key in [below[0]] if below else step:
        text = str(step.get("for", "")) if key in ("for", "do") else str(key)
        yield from schema.split_targets(text.partition(" in ")[0].replace(_SELF, ""))


def _cut_out(path: Path, data: dict[str, Any]) -> bool:
    """Remove what stands at ``path``; False if nothing is left then that could be checked."""
    steps = [i for i, key in enumerate(path[:-1]) if key in _STEPS and isinstance(path[i + 1], int)]
    steps = steps or ([3] if _is_short_method(path) else [])
    path = path[: steps[-1] + 2] if steps else path  # half a step is none, nor is half a rule
    path = path[:2] if path[:1] == ("init",) else path
    path = path[:4] if path[2:3] == ("init",) and path[0] == "blocks" else path
    if path in ((), ("archspec",), ("model",)):
        return _complete(data, path)
    if path in (("blocks",), ("params",), ("let",)):
        return False
    owner: Any = data
    for key in path[:-1]:
        owner = owner[key]
    if isinstance(owner, dict):
        cast("dict[Any, Any]", owner).pop(path[-1], None)
    elif isinstance(owner, list):
        _replace(cast("list[Any]", owner), cast(int, path[-1]), path)
    if len(path) == 3 and path[0] == "blocks" and path[2] in _DECLARING and path[2] != "outputs":
        data["blocks"][path[1]]["forward"] = [_RETURN]
    return True


def _complete(data: dict[str, Any], path: Path) -> bool:
    """Fill in what every spec has."""
    blocks = data.get("blocks")
    if not isinstance(blocks, dict) or not blocks:
        return False
    if path == ("archspec",) or "archspec" not in data:
        data["archspec"] = 1
    if path == ("model",) or "model" not in data:
        data["model"] = next(iter(cast("dict[str, Any]", blocks)))
    return True


def _replace(owner: list[Any], at: int, path: Path) -> None:
    kind = next((key for key in reversed(path) if isinstance(key, str)), "")
    kind = "forward" if _is_short_method(path) and len(path) == 5 else kind
    if kind not in _STAND_INS:
        del owner[at:]
    elif kind in ("forward", "value") and at == len(owner) - 1:
        owner[at] = _RETURN
    else:
        owner[at] = _STAND_INS[kind]
