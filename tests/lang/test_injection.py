"""No text of a spec becomes code: the generated Python is the same but for its strings."""

from __future__ import annotations

import ast
from collections.abc import Mapping

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from archspec.codegen import generate
from archspec.errors import SpecError
from archspec.lang.spec import loads
from tests.tables import every

POSITIONS = ("description", "paper", "help", "value", "choice", "argument", "compared", "in_step")
BENIGN = {**dict.fromkeys(POSITIONS, "text"), "child": "left", "item": "first", "match": "rows.*"}
NASTY = [
    '"""\nimport os\n"""',
    "'''",
    '"',
    "'",
    "\\",
    '\\"',
    '"; import os #',
    "\nimport os",
    "\r\nimport os\r",
    "\x0cimport os",
    "\u2028import os\u2029",
    "\N{NEXT LINE}import os",
    "{__import__('os')}",
    "{x}",
    "%s",
    "# type: ignore",
    "$$x",
    "${x}",
    "\0",
    "\x1b[2J\x07",
    "\N{RIGHT-TO-LEFT OVERRIDE}tropmi",
    "a" * 900,
    "a" * 90 + " (__import__('os').system('id'))",
    "a" * 90 + " [b, c] {d: e} (f",
    "it's " + "a" * 90 + " \" (' (import os) ' (",
]


def spec(texts: Mapping[str, str]) -> str:
    """A spec with a text in every position where any text may stand."""
    child, item = texts["child"], texts["item"]
    linear = {"type": "Linear", "in_features": 4, "out_features": 4}
    block = {
        "inputs": {"x": ["batch", 4]},
        "modules": {
            "fc": linear,
            "note": {"type": "Identity", "note": texts["argument"]},
            "gate": {"type": "ReLU", "when": f"$mode != {quoted(texts['compared'])}"},
            "box": {"type": "ModuleDict", "items": {child: linear}},
            "rows": {"type": "Sequential", "items": {item: linear, "last": {"type": "ReLU"}}},
        },
        "forward": [
            {"y": f"x if mode == {quoted(texts['in_step'])} else fc(x)"},
            {"return": "rows(note(y))"},
        ],
    }
    mode = {"type": "str", "default": texts["value"], "help": texts["help"]}
    data = {
        "archspec": 1,
        "model": "Net",
        "description": texts["description"],
        "paper": texts["paper"],
        "params": {
            "mode": mode,
            "other": {"default": texts["choice"], "choices": [texts["choice"], "x"]},
        },
        "blocks": {"Net": block},
        "init": [{"match": texts["match"], "weight": "zeros_", "bias": "ones_"}],
        "tie": {f"box.{child}.weight": "fc.weight", f"rows.{item}.weight": "fc.weight"},
    }
    return yaml.safe_dump(data, sort_keys=False, width=10_000)


def quoted(text: str) -> str:
    """A text as an expression's string, which knows no escapes."""
    return "'" + text.replace("'", "’").replace("\\", "/") + "'"


def shape(source: str, item: str = "first") -> str:
    """The tree of a module, without what its strings hold and without one attribute's name."""

    class Blank(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return ast.Constant("") if isinstance(node.value, str) else node

        def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
            self.generic_visit(node)
            node.attr = "" if node.attr == item else node.attr
            return node

    return ast.dump(Blank().visit(ast.parse(source)))


EXPECTED = shape(generate(loads(spec(BENIGN))).text)


def code(texts: Mapping[str, str]) -> str:
    return generate(loads(spec({**BENIGN, **texts}))).text


@every("position", POSITIONS)
@every("text", NASTY)
def test_nasty_texts_stay_texts(position: str, text: str) -> None:
    try:
        source = code({position: text})
    except SpecError:  # no string of an expression, or an expression after a $
        assert position not in ("description", "paper", "help")
    else:
        assert shape(source) == EXPECTED


@given(st.fixed_dictionaries(dict.fromkeys(POSITIONS, st.text() | st.sampled_from(NASTY))))
def test_any_texts_stay_texts(texts: dict[str, str]) -> None:
    try:
        source = code(texts)
    except SpecError:  # an expression that is none, after a $
        return
    assert shape(source) == EXPECTED


@every("text", NASTY)
def test_nasty_patterns_stay_texts(text: str) -> None:
    try:
        source = code({"match": f"rows.first{text}"})
    except SpecError as error:
        codes = {problem.code for problem in error.problems}
    else:
        codes = {"E701"} if shape(source) == EXPECTED else set[str]()
    assert codes <= {"E701", "E702"}
    assert codes


# A name that is no identifier is reached through get_submodule; nothing else differs.
BY_NAME = [shape(code({"item": name}), name) for name in ("first", "a-b")]
LETTERS = st.characters(exclude_categories=("C", "Z"), exclude_characters=".{}$") | st.sampled_from(
    "'\"\\#%"
)


@given(child=st.text(LETTERS, min_size=1), item=st.text(LETTERS, min_size=1))
def test_any_names_of_modules_stay_texts(child: str, item: str) -> None:
    try:
        source = code({"child": child, "item": item})
    except SpecError:  # an attribute of every module, or two of one name
        return
    assert item.isdecimal() or shape(source, item) in BY_NAME


@pytest.mark.parametrize(
    "name", ["a'b", 'a"b', "a\\b", "a#b", "a%sb", "import", "a;b", "a(b)", "ﬁx"]
)
def test_odd_names_of_modules_are_possible(name: str) -> None:
    texts = {**BENIGN, "child": name, "item": name}
    assert shape(code(texts), name) in BY_NAME
    children = dict(loads(spec(texts)).root.children)
    assert list(dict(children["box"].children)) == [name]
    assert list(dict(children["rows"].children)) == [name, "last"]
