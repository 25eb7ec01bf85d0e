"""Freeze plans edited in a spec's text, and patterns toggled."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import archspec
from archspec.errors import FreezeError, UsageError
from archspec.freezing.toggling import toggle
from archspec.lang.editing import edit_param, edit_plan
from archspec.lang.inherit import locate
from archspec.lang.yaml import Listing, Mapping, Node, parse, plain

FLOW = "freeze: {top: [a,\n   b, # two\n  c,\n ], q: {patterns: [x], dropout: false}} # end\nz: 1\n"
BLOCK = "a: 1\nfreeze:\n  top:\n    - a # one\n    # between\n    - b\n  q: [x]\n\n# of z\nz: 1\n"
LONG = "freeze:\n  top:\n    patterns:\n    - a\n    dropout: false\n  # last\nz: |\n  text\n"
BARE = ["a: 1", "{a: 1}", "freeze:\n", "freeze: {}\nb: 1\n", "a: |\n  x\n...\n", "freeze: ~\n",
        "\ufeffa: 1\r\nb:\r\n  c: 2\r\n", "a: 1 # one\n\n# tail"]  # fmt: skip
PACKAGED = ["bert", "bert-model", "resnet18", "resnet50"]
NAMES = st.sampled_from(["a", "b", "c", "**", "!x", "@BatchNorm2d", "layer[-2:]", '"', "#", "é: "])


def read(text: str) -> Any:
    root, problems = parse(text)
    assert not problems
    return plain(root)


@pytest.mark.parametrize(
    ("text", "patterns", "expected"),
    [
        (FLOW, ["a", "c"], FLOW.replace("a,\n   b, # two", "a, # two")),
        (FLOW, ["b", "c"], FLOW.replace("a,\n   b", "b")),
        (FLOW, ["a", "b", "!d", "c"], FLOW.replace("b,", 'b, "!d",')),
        (FLOW, ["a", "x", "c"], FLOW.replace("b,", "x,")),
        (BLOCK, ["a", "b", "c"], BLOCK.replace("    - b\n", "    - b\n    - c\n")),
        (BLOCK, ["b"], BLOCK.replace("    - a # one\n", "")),
        (BLOCK, ["n", "a", "b"], BLOCK.replace("- a", "- n\n    - a")),
        (BLOCK, ["a"], BLOCK.replace("    - b\n", "")),
        (BLOCK, [], BLOCK.replace("\n    - a # one\n    # between\n    - b", " []")),
        (LONG, ["a", "!b"], LONG.replace("    - a\n", '    - a\n    - "!b"\n')),
    ],
)
def test_only_what_changes_is_touched(text: str, patterns: list[str], expected: str) -> None:
    assert edit_plan(text, "top", patterns) == expected


def test_a_new_plan_stands_behind_the_others() -> None:
    assert edit_plan(BLOCK, "new", ["**"]) == BLOCK.replace("[x]\n", '[x]\n  new: ["**"]\n')
    new = edit_plan(FLOW, "new", ["a"], dropout=False)
    assert new == FLOW.replace("}} #", "}, new: {patterns: [a], dropout: false}} #")
    assert edit_plan("a: 1\n", "new", ["a"]) == "a: 1\n\nfreeze:\n  new: [a]\n"
    assert edit_plan("a: 1\r\n", "n", ["a"]) == "a: 1\r\n\r\nfreeze:\r\n  n: [a]\r\n"


@given(st.sampled_from([FLOW, BLOCK, LONG, *BARE]), st.sampled_from(["top", "q", "no", "new one"]),
       st.lists(NAMES, max_size=5))  # fmt: skip
def test_all_else_stays_byte_for_byte(text: str, name: str, patterns: list[str]) -> None:
    _check(text, name, patterns)


@pytest.mark.parametrize("spec", PACKAGED)
def test_packaged_specs(spec: str) -> None:
    text = locate(spec).read_text()
    for name in (*(read(text).get("freeze") or ()), "mine"):
        for patterns in (["**"], ["**", "!a", "!b"], [], ["!b", "c", "**", "d"]):
            _check(text, name, patterns)


def _check(text: str, name: str, patterns: list[str]) -> None:
    new = edit_plan(text, name, patterns)
    before, after = read(text), read(new)
    plan = after["freeze"].pop(name)
    assert (plan["patterns"] if isinstance(plan, dict) else plan) == patterns
    (before.get("freeze") or {}).pop(name, None)
    assert {**before, "freeze": before.get("freeze") or {}} == after
    assert edit_plan(new, name, patterns) == new
    first, last = _around(text, name)
    assert new.startswith(first) and new.endswith(last)
    if not (first or last):
        assert _is_insertion(text.replace("~", ""), new)


def _around(text: str, name: str) -> tuple[str, str]:
    """The lines in front of a plan's, and those behind them; nothing if there is no plan."""
    root, _ = parse(text)
    plans = root.entries.get("freeze")
    entry = plans.value.entries.get(name) if plans and isinstance(plans.value, Mapping) else None
    if entry is None:
        return "", ""
    lines = text.splitlines(keepends=True)
    return "".join(lines[: entry.key.line - 1]), "".join(lines[_last_line(lines, entry.value) :])


def _last_line(lines: list[str], node: Node) -> int:
    """Of what a node says: a block's own end is behind the comments that follow it."""
    if lines[node.span.line - 1][node.span.column - 1] not in "[{":
        if isinstance(node, Mapping):
            return max(_last_line(lines, entry.value) for entry in node.entries.values())
        if isinstance(node, Listing):
            return max(_last_line(lines, item) for item in node.items)
    return node.span.end_line


def _is_insertion(text: str, new: str) -> bool:
    return any(new.startswith(text[:i]) and new.endswith(text[i:]) for i in range(len(text) + 1))


def test_what_cannot_be_edited_is_refused() -> None:
    with pytest.raises(UsageError, match="cannot be edited"):
        edit_plan("x: &r [a]\nfreeze:\n  p: *r\n", "p", ["b"])
    with pytest.raises(UsageError, match="holds no plans"):
        edit_plan("freeze: [a]\n", "p", ["b"])


def test_toggling() -> None:
    model = archspec.build("resnet18", device="meta")
    plan = ["**", "!fc"]
    thawed = toggle(model, plan, "layer4.0", frozen=False)
    assert thawed == ["**", "!fc", "!layer4.0"]
    assert toggle(model, thawed, "layer4.0", frozen=True) == plan
    assert toggle(model, thawed, "layer4", frozen=False) == ["**", "!fc", "!layer4"]
    assert toggle(model, thawed, "layer4", frozen=True) == plan
    assert toggle(model, ["**", "!layer4[-1:]", "!@Linear"], "layer4", frozen=True) == [
        "**", "!@Linear",
    ]  # fmt: skip
    assert toggle(model, plan, "fc.weight", frozen=True) == ["**", "!fc", "fc.weight"]
    assert toggle(model, ["!@Linear"], "fc", frozen=True) == ["fc"]
    assert toggle(model, plan, "", frozen=True) == ["**"]
    assert toggle(model, plan, "", frozen=False) == []
    assert toggle(model, [], "layer4.0", frozen=True, count=2) == ["layer4"]
    assert toggle(model, ["layer4"], "layer1.1", frozen=True, count=1) == ["layer4", "layer1.1"]
    assert toggle(model, [], "layer3", frozen=True, count=2) == ["layer3", "layer4"]
    bert = archspec.build("bert", device="meta")
    some = toggle(bert, ["**"], "bert.encoder.layer.3", frozen=False, count=4)
    assert some == ["**", "!bert.encoder.layer[3:7]"]
    assert toggle(bert, some, "bert.encoder.layer.3", frozen=True, count=4) == ["**"]
    report = archspec.freeze(model, toggle(model, plan, "layer4.0.conv1", frozen=False))
    assert report.trainable == 513_000 + 512 * 256 * 9


def test_toggling_what_is_not_there() -> None:
    model = archspec.build("resnet18", device="meta")
    with pytest.raises(UsageError, match="there is no 'layer5'"):
        toggle(model, [], "layer5", frozen=True)
    with pytest.raises(UsageError, match="no 3 modules from"):
        toggle(model, [], "layer4.0", frozen=True, count=3)
    with pytest.raises(FreezeError):
        toggle(model, ["nothing"], "fc", frozen=True)


@pytest.mark.parametrize(
    ("text", "name", "new"),
    [("a: &x [p]\nfreeze:\n  b: *x\n", "c", "a: &x [p]\nfreeze:\n  b: *x\n  c: [q]\n"),
     ("a: &x [p]\nfreeze:\n  c: [p]\n  b: *x\nz: 1\n", "c",
      "a: &x [p]\nfreeze:\n  c: [q]\n  b: *x\nz: 1\n"),
     ("a: &x\n  - p\nfreeze:\n  b: *x\nz: 1\n", "c",
      "a: &x\n  - p\nfreeze:\n  b: *x\n  c: [q]\nz: 1\n"),
     ("a: &x {patterns: [p]}\nfreeze:\n  b: *x  # mine\n", "c",
      "a: &x {patterns: [p]}\nfreeze:\n  b: *x  # mine\n  c: [q]\n"),
     ("freeze:\n  a: &x [p]\n  b: *x\n", "c", "freeze:\n  a: &x [p]\n  b: *x\n  c: [q]\n")],
)  # fmt: skip
def test_a_plan_beside_an_alias_is_written_behind_it(text: str, name: str, new: str) -> None:
    """An alias has the place of its anchor, which may be far above."""
    assert edit_plan(text, name, ["q"]) == new


def test_a_plan_that_others_share_is_not_edited() -> None:
    for text, name in (
        ("freeze:\n  a: &x [p]\n  b: *x\n", "a"),
        ("freeze:\n  a: &x [p]\n  b: *x\n", "b"),
        ("freeze:\n  a: [&x p, q]\n  b: [*x]\n", "a"),
        ("freeze: &f\n  a: [p]\nother: *f\n", "a"),
        ("freeze: &f\n  a: [p]\nother: *f\n", "new"),
    ):
        with pytest.raises(UsageError, match="cannot be edited"):
            edit_plan(text, name, ["q"])


def test_a_parameter_gets_its_value_by_the_smallest_edit() -> None:
    declared = "params:\n  a: 1  # c\n  b: {type: int}\n  c:\n    - 1\n    - 2\n  # more\n  d:\n"
    rows: list[tuple[str, str, object, str, str]] = [
        (declared, "a", [3, 4], "a: 1 ", "a: [3, 4] "),
        (declared, "b", 2, "{type: int}", "{type: int, default: 2}"),
        (declared, "c", [3], "c:\n    - 1\n    - 2", "c: [3]"),
        (declared, "d", None, "d:", "d: null"),
        (declared, "new", "true", "d:\n", 'd:\n  new: "true"\n'),
        ("params: {a: 'x'}\r\nb: 1\r\n", "a", "x: #", "'x'", '"x: #"'),
        ("params:\nx: 1\n", "a", 1, "params:", "params: {a: 1}"),
        ("x: 1\n", "a", "$b * 2", "x: 1\n", "x: 1\n\nparams:\n  a: $b * 2\n"),
    ]
    for text, name, value, old, new in rows:
        assert text.count(old) == 1
        assert edit_param(text, name, value) == text.replace(old, new)
    for text in "params:\n  a: &k 1\n  b: *k\n", "params: [1]\n":
        with pytest.raises(UsageError):
            edit_param(text, "a", 5)
