"""What a spec says does not depend on how its YAML is arranged; what it means does."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.differences.deltas import compare
from archspec.differences.normal_form import content, origin, place
from archspec.lang import yaml
from archspec.lang.packaged import packaged_specs
from archspec.lang.spec import load, loads
from archspec.lang.yaml import dump
from tests.loaded import packaged
from tests.tables import every

DATA = Path(__file__).parents[1] / "inputs"
SPECS = [*packaged_specs(), *sorted(str(path) for path in DATA.glob("*.yaml"))]

TEXT = """\
archspec: 1
model: Net
params: {n: 2, act: {type: layer, default: ReLU}, p: {default: 0.5, max: 1}}
blocks:
  Net:
    inputs: {x: [batch, $n]}
    modules:
      a: {type: Linear, in_features: $n, out_features: "$2 * n"}
      b: {type: $act}
    forward:
      - y, z: chunk(b(a(x)), 2, 1)
      - for: i in range(n)
        do: [{y: y + z}]
      - return: y, z
freeze: {head: ["**", "!a"]}
"""


@every("name", SPECS)
def test_a_spec_written_anew_says_the_same(name: str) -> None:
    spec = packaged(name) if name in packaged_specs() else load(name)
    again = loads(dump(content(spec)))
    assert compare(content(spec), content(again)) is None
    assert list(content(spec)["blocks"]) == list(spec.architecture.blocks)


@given(seed=st.integers(0, 2**32), name=st.sampled_from(list(packaged_specs())))
def test_the_order_of_what_has_no_order_does_not_matter(seed: int, name: str) -> None:
    said = content(packaged(name))
    random = Random(seed)

    def shuffled(value: dict[str, Any]) -> dict[str, Any]:
        return {key: value[key] for key in random.sample(list(value), len(value))}

    moved = shuffled(said)
    for key in ("params", "blocks", "freeze", "dims"):
        moved[key] = shuffled(moved[key])
    moved["blocks"] = {name: shuffled(block) for name, block in moved["blocks"].items()}
    assert compare(said, moved) is None
    assert compare(said, content(loads(dump(moved)))) is None


@pytest.mark.parametrize(
    ("written", "rewritten"),
    [
        ("n: 2,", "n: {default: 2},"),
        ("n: 2,", "n: {type: int, default: 2},"),
        ("x: [batch, $n]", "x: {shape: [batch, $n], optional: false}"),
        ('"$2 * n"', '"$2*n"'),
        ("chunk(b(a(x)), 2, 1)", "chunk( b(a(x)),2,  1 )"),
        ("y, z: chunk", "y,z: chunk"),
        ("return: y, z", "return: (y, z)"),
        ("i in range(n)", "i in range( n )"),
        ('["**", "!a"]', '{patterns: ["**", "!a"]}'),
        ('["**", "!a"]', '{patterns: ["**", "!a"], dropout: true}'),
    ],
)
def test_another_way_to_write_it_is_no_change(written: str, rewritten: str) -> None:
    assert written in TEXT
    again = loads(TEXT.replace(written, rewritten))
    assert compare(content(loads(TEXT)), content(again)) is None


@pytest.mark.parametrize(
    ("written", "rewritten", "path"),
    [
        ("n: 2,", "n: 4,", ("params", "n", "default")),
        ("p: {default: 0.5, max: 1}", "p: {default: 0.5, max: 1.0}", ("params", "p", "max")),
        ("y + z", "z + y", ("blocks", "Net", "forward", 1, "do", 0, "y")),
        ("ReLU", "GELU", ("params", "act", "default")),
        ('"!a"', '"!b"', ("freeze", "head", "patterns", 1)),
    ],
)
def test_what_is_a_change(written: str, rewritten: str, path: tuple[Any, ...]) -> None:
    assert written in TEXT
    old, new = loads(TEXT, name="a.yaml"), loads(TEXT.replace(written, rewritten), name="b.yaml")
    assert compare(content(old), content(new)) is not None
    line = next(i for i, text in enumerate(TEXT.splitlines(), 1) if written in text)
    found = place(new, path)
    assert found is not None and (found.file, found.line) == ("b.yaml", line)
    assert origin(old, path) == f"a.yaml:{line}"


def test_overrides_stand_where_the_spec_would_set_them() -> None:
    spec = load("bert", num_labels=5)
    assert content(spec)["params"]["num_labels"] == {"default": 5, "min": 1}
    assert place(spec, ("params", "num_labels", "default")) is None
    assert origin(spec, ("params", "num_labels", "default")) == "num_labels=…"


def test_a_default_of_null_and_no_default_differ() -> None:
    given = loads(TEXT.replace("n: 2,", "n: 2, m: {type: int, default: null},"))
    assert content(given)["params"]["m"] == {"type": "int", "default": None}
    assert "default" not in content(load("resnet18"))["blocks"]["BasicBlock"]["params"]["planes"]


def test_parents_are_merged_in() -> None:
    said = content(load("bert"))
    assert "extends" not in said and "BertLayer" in said["blocks"]
    own = packaged_specs()["bert"].read_text()
    assert re.search("^extends:", own, re.MULTILINE)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]))  # no halves of a character
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(TEXTS, VALUES, min_size=1))
def test_what_is_written_reads_back(said: dict[str, Any]) -> None:
    text = dump(said)
    root, problems = yaml.parse(text)
    read = yaml.plain(root)
    assert not problems and repr(read) == repr(said)


@pytest.mark.parametrize(
    "text",
    ["how deep?", "a: b", "#", "- a", "$n", "@x", "*", "no", "1e3", "", " a", "a ", "a\nb", "é",
     "?", "\U000e0001", "\u2028", "[", "{a}", "'", '"', "&a", "!t", "%", "`", "~", "null"],
)  # fmt: skip
def test_texts_that_are_hard_to_write(text: str) -> None:
    said: dict[str, Any] = {"k": {text or "_": text, "l": [text, {"m": text}]}}
    root, problems = yaml.parse(dump(said))
    assert not problems and yaml.plain(root) == said


def test_a_dollar_of_an_override_stays_one() -> None:
    text = TEXT.replace("n: 2,", "n: 2, tag: {type: str, default: a},")
    spec = loads(text, tag="$7")
    assert content(spec)["params"]["tag"]["default"] == "$$7"
    assert loads(dump(content(spec))).values["tag"] == "$7"


def test_the_type_of_an_overridden_default_that_was_computed_is_implied() -> None:
    text = TEXT.replace("n: 2,", "n: 2, m: {type: int, default: $4 * n},")
    old, new = loads(text), loads(text, m=8)
    assert content(new)["params"]["m"] == {"default": 8}
    again = loads(dump(content(new)))
    assert compare(content(again), content(new)) is None and compare(content(old), content(new))
