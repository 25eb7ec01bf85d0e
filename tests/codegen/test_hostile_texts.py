"""No text of a spec becomes code, wherever it stands.

The documents below use every key of the schema, which a test holds against the pydantic models: a
new key that is not used here fails it. Then each key and each value of the documents is replaced by
hostile texts, and what comes of that goes the whole way: loaded, generated, verified, built on
``meta``, handed out, drawn. It ends in errors of ours or well, with nothing run, and never with a
source that the verifier refuses.
"""

from __future__ import annotations

import builtins
import copy
import json
import pathlib
import typing
from collections.abc import Iterator
from itertools import islice
from typing import Any, cast

import hypothesis
import pytest
from pydantic import BaseModel

import archspec
from archspec import ArchspecError, SpecError
from archspec.lang import schema, yaml
from archspec.lang.like import with_likes

Path = tuple[str | int, ...]

FILE = pathlib.Path(__file__).with_name("every_key.yaml")
FULL = cast("dict[str, Any]", yaml.plain(yaml.parse(FILE.read_text(encoding="utf-8"))[0]))
CHILD: dict[str, Any] = {
    "archspec": 1,
    "model": "ResNet",
    "extends": "resnet18",
    "remove": ["freeze", "task"],
    "rename": {"BasicBlock": "Neck"},
    "use": ["minilm-l6"],
}
DOCUMENTS = {"full": FULL, "child": CHILD}

RUN = "setattr(__import__('builtins'),'hit',1)"
RUN_DOUBLE = RUN.replace("'", '"')
RUN_BARE = "__import__('builtins').__dict__.update(hit=1)"
TEXTS = [
    RUN,
    RUN_DOUBLE,
    f"{{{RUN}}}",
    f"{{{RUN_DOUBLE}}}",
    f"{{i}}{{{RUN}}}",
    f'}}"+str({RUN})+f"{{',
    f'a"+str({RUN})+"',
    f'a"+str({RUN})+"{{i}}',
    f"a'+str({RUN_DOUBLE})+'",
    f'"""\n{RUN}\n"""',
    f'"\n{RUN}\n#',
    f"\n{RUN}\n",
    f"\r{RUN}\r",
    f"\u2028{RUN}\u2029\x0c\x85",
    f"a={RUN_BARE},b",
    f"a): {RUN}\n        #",
    f"x, {RUN}",
    f"x=1 or {RUN}",
    f"{RUN} or",
    f"$({RUN})",
    f"# coding: utf-7\n{RUN}",
    '"',
    'a"b',
    "a'b",
    "\\",
    '\\"',
    "a{b}c",
    "{",
    "}}",
    "__class__",
    "x.__class__",
    "__import__",
    "self",
    "apply",
    "forward",
    "import",
    "ｅval",
    "ﬁx",
    "\udc80",
    "\N{RIGHT-TO-LEFT OVERRIDE}a\N{ZERO WIDTH SPACE}",
    "\0",
    "",
    "a" * 300,
]


# ------------------------------------------------------------------ every key of the schema is used


def models_in(annotation: Any, found: set[type[BaseModel]]) -> None:
    """Every model that an annotation can hold."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model and annotation not in found:
        found.add(annotation)
        for field in annotation.model_fields.values():
            models_in(field.annotation, found)
    for part in typing.get_args(annotation):
        models_in(part, found)


def keys_used(value: Any, found: dict[type[BaseModel], set[str]]) -> None:
    """What validated documents set of each model; an empty list or mapping does not count."""
    if isinstance(value, BaseModel):
        used = {
            name for name in value.model_fields_set if getattr(value, name, None) not in ([], {})
        }
        found.setdefault(type(value), set()).update(used)
        for name in value.model_fields_set:
            keys_used(getattr(value, name), found)
    elif isinstance(value, dict):
        for part in cast("dict[str, Any]", value).values():
            keys_used(part, found)
    elif isinstance(value, list):
        for part in cast("list[Any]", value):
            keys_used(part, found)


def test_every_key_of_the_schema_is_used() -> None:
    models: set[type[BaseModel]] = set()
    models_in(schema.Architecture, models)
    used: dict[type[BaseModel], set[str]] = {}
    for document in DOCUMENTS.values():
        whole = {"blocks": FULL["blocks"], **document}
        written_out = with_likes(yaml.parse(json.dumps(whole))[0], [])
        keys_used(schema.Architecture.model_validate(yaml.plain(written_out)), used)
    forgotten = {
        f"{model.__name__}.{name}"
        for model in models
        for name in {*model.model_fields} - used.get(model, set())
    }
    assert not forgotten
    assert {schema.Module, schema.Param, schema.For, schema.InitRule, schema.Task} <= models
    open_models = {model for model in models if model.model_config.get("extra") == "allow"}
    for model in open_models:  # whose other keys are arguments and tensors
        assert used[model] - {*model.model_fields}, model


# ------------------------------------------------------------------------------ hostile documents


def positions(value: Any, path: Path = ()) -> Iterator[tuple[Path, bool]]:
    """The path of each value, and of each key (True), of a document."""
    if isinstance(value, dict):
        for key, part in cast("dict[str, Any]", value).items():
            yield (*path, key), True
            yield from positions(part, (*path, key))
    elif isinstance(value, list):
        for i, part in enumerate(cast("list[Any]", value)):
            yield from positions(part, (*path, i))
    else:
        yield path, False


def at(document: Any, path: Path) -> Any:
    for key in path:
        document = document[key]
    return document


def with_value(document: Any, path: Path, text: str) -> Any:
    changed = copy.deepcopy(document)
    at(changed, path[:-1])[path[-1]] = text
    return changed


def with_key(document: Any, path: Path, text: str) -> Any:
    """A document in which one key has another name; the order stays."""
    changed = copy.deepcopy(document)
    owner: dict[str, Any] = at(changed, path[:-1])
    entries = [(text if key == path[-1] else key, value) for key, value in owner.items()]
    owner.clear()
    owner.update(entries)
    return changed


def renamed(value: Any, old: str, new: str) -> Any:
    """A document in which every key and value that is one text is another."""
    if isinstance(value, dict):
        entries = cast("dict[str, Any]", value).items()
        return {new if k == old else k: renamed(v, old, new) for k, v in entries}
    if isinstance(value, list):
        return [renamed(part, old, new) for part in cast("list[Any]", value)]
    return new if value == old else value


def variants(document: Any, path: Path, is_key: bool, text: str) -> Iterator[Any]:
    """The documents that have a hostile text at one position."""
    if is_key:
        key = str(path[-1])
        yield with_key(document, path, text)
        yield with_key(document, path, key + text)
        yield renamed(document, key, text)
        return
    yield with_value(document, path, text)
    yield with_value(document, path, f"${text}")
    if isinstance(old := at(document, path), str):
        yield with_value(document, path, old + text)
        yield with_value(document, path, f"{old} if '{text}' else 0")


def complaint(document: Any, seen: set[str]) -> str:
    """What is wrong with the way that a document goes; "" if nothing is."""
    try:
        spec = archspec.loads(json.dumps(document))
        text = archspec.to_python(spec)
        if text not in seen:
            seen.add(text)
            archspec.build(spec, device="meta")
            str(archspec.draw(spec))
    except SpecError:
        return ""
    except ArchspecError as error:
        return error.message if error.code == "E504" else ""
    except UserWarning:  # PyTorch's, of a layer without elements
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


@pytest.fixture
def untouched() -> Iterator[None]:
    """What the hostile texts would leave behind."""
    assert not hasattr(builtins, "hit")
    yield
    if hasattr(builtins, "hit"):
        del builtins.hit  # type: ignore[attr-defined]


def test_the_documents_are_right() -> None:
    for document in DOCUMENTS.values():
        spec = archspec.loads(json.dumps(document))
        assert archspec.build(spec, device="meta") is not None
        assert archspec.draw(spec) is not None


def cases() -> Iterator[tuple[str, Path, bool, str, int]]:
    """Each document, position, hostile text, and way to put it there."""
    for name, document in DOCUMENTS.items():
        for path, is_key in positions(document):
            for text in TEXTS:
                for way in range(3 if is_key else 4):
                    yield name, path, is_key, text, way


STEP = 1 if hypothesis.settings().max_examples > 1_000 else 127  # as the profile searches


def words(path: Path, is_key: bool) -> str:
    return ".".join(map(str, path)) + (" (key)" if is_key else "")


@pytest.mark.usefixtures("untouched")
def test_no_text_becomes_code() -> None:
    """Every 127th of about 100,000 cases, which is each position, text and way; all in a search."""
    failed: dict[str, str] = {}
    seen: set[str] = set()
    for name, path, is_key, text, way in islice(cases(), 0, None, STEP):
        for changed in islice(variants(DOCUMENTS[name], path, is_key, text), way, way + 1):
            if message := complaint(changed, seen):
                failed.setdefault(words(path, is_key), f"{text!r}: {message}")
            assert not hasattr(builtins, "hit"), (path, text)
    assert not failed, "\n".join(f"{where}: {message}" for where, message in failed.items())


NET = ("blocks", "Net", "modules")
HOLES: list[tuple[Path, bool, str]] = [
    ((*NET, "free", "items", 0, "name"), False, f'a"+str({RUN})+"{{k}}'),
    ((*NET, "free", "items", 0, "name"), False, f"{{k}}{{{RUN}}}"),
    ((*NET, "rows", "items", 1, "name"), False, 'a"b'),
    ((*NET, "note", "note"), True, f"a={RUN_BARE},b"),
    ((*NET, "gone", "note"), True, f"a={RUN_BARE},b"),
    ((*NET, "choice", "type"), True, f"a={RUN_BARE},b"),
    ((*NET, "box", "items", "second", "size"), True, f"a={RUN_BARE},b"),
    (("init", 1, "match"), False, 'rows.row_*"b'),
    (("init", 2, "match", 0), False, f'fc" or {RUN} or "'),
]


# The name of an item and the pattern that selects it.
PAIRS = ['a"b', 'a"or"b', f'a"or({RUN})or"b', "a'b", "a\\b", "a#b", '"""']


@pytest.mark.usefixtures("untouched")
def test_names_in_patterns_stay_texts() -> None:
    failed: list[str] = []
    for text in PAIRS:
        changed = with_key(FULL, ("blocks", "Net", "modules", "odd", "items", "item"), text)
        changed["init"][-1]["match"] = f"odd.{text}"
        if message := complaint(changed, set()):
            failed.append(f"{text!r}: {message}")
        assert not hasattr(builtins, "hit"), text
    assert not failed, "\n".join(failed)


@pytest.mark.usefixtures("untouched")
def test_texts_that_once_became_code() -> None:
    failed: list[str] = []
    for path, is_key, text in HOLES:
        for changed in variants(FULL, path, is_key, text):
            if message := complaint(changed, set()):
                failed.append(f"{words(path, is_key)}: {text!r}: {message}")
            assert not hasattr(builtins, "hit"), (path, text)
    assert not failed, "\n".join(failed)
