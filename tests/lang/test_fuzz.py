"""Packaged specs with random damage: a SpecError or a Spec, never anything else.

``pytest tests/test_fuzz.py --hypothesis-profile=search`` tries thousands.
"""

from __future__ import annotations

import ast
import copy
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from archspec.codegen import generate
from archspec.errors import Problem, SpecError
from archspec.lang import inherit
from archspec.lang.spec import loads
from archspec.lang.yaml import Path as Keys
from archspec.lang.yaml import parse, plain

FOLDERS = [inherit.packaged_folder(), Path(__file__).parents[1] / "data"]
FILES = sorted(path for folder in FOLDERS for path in folder.glob("*.yaml"))
# A text may extend packaged specs by their name only.
TEXTS = [re.sub(r"(extends: \S+)\.yaml", r"\1", path.read_text("utf-8")) for path in FILES]
DATA = [plain(parse(text)[0]) for text in TEXTS]

HOSTILE: list[Any] = [
    *[None, True, False, 0, -1, 1, 2, 0.5, 10**30, float("inf"), "", [], {}, [[1]], {"a": 1}],
    *[
        "x",
        "$",
        "$$",
        "$x",
        "$i",
        "a.b",
        "a b",
        "self",
        "lambda",
        "__class__",
        "$__class__",
        "a\nb",
    ],
    *["$10**10**10", "$1/0", "$(1, 2)", "$None", "$[1, 2]", "$x.shape", "$relu(1)", "$width + 1"],
    *["relu(x)", "x", "(x, x)", "x[0]", "x.shape", "self.x", "None", "training", "'a'", "x in y"],
    *[
        "int",
        "list[int]",
        "block",
        "Linear",
        "Sequential",
        "LSTM",
        "Identity",
        "$'Linear'",
        "$block",
    ],
    *["**", "@Linear", "!fc", "fc[0]", "{i}", "a{i}", "{", '"""', "i in range(3)", "zeros_"],
    *[{"type": "ReLU"}, {"type": "Linear"}, {"type": "Identity", "x": {"type": "$block"}}],
    *[[{"type": "ReLU"}], {"a": {"type": "ReLU"}}, {"normal_": {"std": "$x"}}],
]
_TOKEN = re.compile(r"[\w.$]+|[^\w\s]|\s+")


def damaged_text(text: str, dice: random.Random) -> str:
    """The text with lines or parts of lines removed, repeated, moved, indented or replaced."""
    lines = text.split("\n")
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        at, other = dice.randrange(len(lines)), dice.choice(lines)
        tokens = _TOKEN.findall(lines[at]) or [""]
        token = dice.randrange(len(tokens))
        match dice.randrange(8):
            case 0:
                lines[at : at + 1] = [] if len(lines) > 1 else [""]
            case 1:
                lines.insert(at, other)
            case 2:
                lines[at] = dice.choice([" ", "  ", "    "]) + lines[at]
            case 3:
                lines[at] = lines[at][dice.choice([1, 2]) :]
            case 4:
                lines[at] = "".join(tokens[:token] + tokens[token + 1 :])
            case 5:
                lines[at] = "".join(
                    [*tokens[:token], str(dice.choice(HOSTILE)), *tokens[token + 1 :]]
                )
            case 6:
                found = _TOKEN.findall(other) or [" "]
                lines[at] = "".join([*tokens[:token], dice.choice(found), *tokens[token + 1 :]])
            case _:
                lines[at] = "".join([*tokens[:token], dice.choice(tokens), *tokens[token:]])
    return "\n".join(lines)


def damaged_data(data: Any, dice: random.Random) -> str:
    """The spec with values removed, moved, copied, renamed or replaced; well-formed YAML."""
    data = copy.deepcopy(data)
    for _ in range(dice.choice([1, 1, 1, 2, 4])):
        paths = list(paths_of(data))
        if not paths:
            break
        path, other = dice.choice(paths), dice.choice(paths)
        owner, key = at(data, path[:-1]), path[-1]
        match dice.randrange(6):
            case 0:
                del owner[key]
            case 1 | 2:
                owner[key] = copy.deepcopy(dice.choice(HOSTILE))
            case 3:
                owner[key] = copy.deepcopy(at(data, other))
            case 4 if isinstance(owner, dict):
                owner[dice.choice([str(other[-1]), str(dice.choice(HOSTILE))])] = owner.pop(key)
            case _ if isinstance(owner[key], str):
                tokens = _TOKEN.findall(owner[key]) or [""]
                new = dice.choice([str(dice.choice(HOSTILE)), str(other[-1]), dice.choice(tokens)])
                tokens[dice.randrange(len(tokens))] = new
                owner[key] = "".join(tokens)
            case _:
                pass
    return yaml.safe_dump(data, sort_keys=False, width=10_000)


def paths_of(data: Any, path: Keys = ()) -> Iterator[Keys]:
    children = data.items() if isinstance(data, dict) else enumerate(data)
    for key, value in children:
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from paths_of(value, (*path, key))


def at(data: Any, path: Keys) -> Any:
    for key in path:
        data = data[key]
    return data


def problems(text: str) -> tuple[Problem, ...]:
    """What is wrong with the text; nothing if Python can be made of it."""
    try:
        ast.parse(generate(loads(text)).text)
    except SpecError as error:
        return error.problems
    return ()


@pytest.mark.parametrize("damage", [damaged_text, damaged_data])
@given(number=st.integers(0, len(FILES) - 1), seed=st.integers(0, 2**32))
def test_damaged_specs_are_read_or_refused(damage: Any, number: int, seed: int) -> None:
    given = TEXTS[number] if damage is damaged_text else DATA[number]
    found = problems(damage(given, random.Random(seed)))
    assert all(problem.place is not None and str(problem) for problem in found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_specs_without_damage_are_read(path: Path) -> None:
    assert problems(TEXTS[FILES.index(path)]) == ()
