"""Specs that extend others: what the result holds, where its parts stand, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archspec
from archspec.errors import Problem, SpecError
from archspec.lang.inherit import read
from archspec.lang.packaged import packaged_specs
from archspec.lang.yaml import plain
from tests.tables import every

Write = Callable[..., None]

BASE = """\
archspec: 1
model: Net
params:
  width: {default: 4, min: 1, max: 64, help: features}
  depths: {type: "list[int]", default: [2, 2]}
blocks:
  Net:
    modules:
      fc: {type: Linear, in_features: $width, out_features: 4}
      act: {type: ReLU}
      head: {type: Linear, in_features: 4, out_features: 2}
init:
  - {match: "@Linear", weight: zeros_}
  - {match: fc, bias: ones_}
freeze: {none: [], head-only: ["**", "!head"]}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """``write("a.yaml", text, …)`` writes a file into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(name: str, *lines: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(lines), encoding="utf-8")

    write("base.yaml", BASE)
    return write


def extend(write: Write, *lines: str, parent: str = "base.yaml") -> None:
    write("child.yaml", "archspec: 1", f"extends: {parent}", *lines)


def merged(name: str = "child.yaml") -> dict[str, Any]:
    document, problems = read(name)
    assert problems == []
    found = plain(document.root)
    assert isinstance(found, dict)
    return found


def problems_of(name: str = "child.yaml") -> list[Problem]:
    with pytest.raises(SpecError) as caught:
        archspec.load(name)
    return list(caught.value.problems)


def refused(name: str = "child.yaml") -> Problem:
    """The one problem of a spec."""
    problems = problems_of(name)
    assert len(problems) == 1, problems
    return problems[0]


def at(problem: Problem) -> str:
    return str(problem.place)


# ------------------------------------------------------------------------------------------ merging


def test_mappings_merge_and_everything_else_replaces(write: Write) -> None:
    extend(
        write,
        "description: smaller",
        "params: {depth: 3, depths: [1]}",
        "blocks:",
        "  Extra: {modules: {act: {type: GELU}}}",
        "  Net: {modules: {drop: {type: Dropout}, fc: {out_features: 8}}}",
        "init: []",
        "freeze: {none: [fc]}",
    )
    data = merged()
    assert list(data) == [
        "archspec", "model", "params", "blocks", "init", "freeze", "extends", "description",
    ]  # fmt: skip
    assert data["params"] == {
        "width": {"default": 4, "min": 1, "max": 64, "help": "features"},
        "depths": {"type": "list[int]", "default": [1]},
        "depth": 3,
    }
    blocks = data["blocks"]
    assert isinstance(blocks, dict)
    assert list(blocks) == ["Net", "Extra"]
    assert list(blocks["Net"]["modules"].items()) == [
        ("fc", {"type": "Linear", "in_features": "$width", "out_features": 8}),
        ("act", {"type": "ReLU"}),
        ("head", {"type": "Linear", "in_features": 4, "out_features": 2}),
        ("drop", {"type": "Dropout"}),
    ]
    assert data["init"] == []
    assert data["freeze"] == {"none": ["fc"], "head-only": ["**", "!head"]}


def test_a_child_that_says_nothing_is_its_parent(write: Write) -> None:
    extend(write)
    parent = merged("base.yaml")
    assert merged() == {**parent, "extends": "base.yaml"}
    document, _ = read("child.yaml")
    assert document.name == "child"
    assert document.files == (Path("child.yaml"), Path("base.yaml"))


def test_the_youngest_of_three_generations_wins(write: Write) -> None:
    write("middle.yaml", "extends: base.yaml", "description: middle", "params: {width: 8}")
    extend(write, "params: {width: 16}", parent="middle.yaml")
    spec = archspec.load("child.yaml")
    assert spec.values == {"width": 16, "depths": (2, 2)}
    assert spec.architecture.description == "middle"
    assert spec.architecture.extends == "middle.yaml"


def test_a_value_and_a_mapping_replace_each_other(write: Write) -> None:
    extend(write, "init: none of it", "freeze: [fc]", "blocks: {Net: {modules: {fc: 3}}}")
    data = merged()
    assert (data["init"], data["freeze"]) == ("none of it", ["fc"])


def test_merging_leaves_the_parent_as_it_was(write: Write) -> None:
    before = merged("base.yaml")
    extend(write, "params: {width: 8}", "remove: [blocks.Net.modules.act]")
    merged()
    assert merged("base.yaml") == before


# ---------------------------------------------------------------------------- parameters and places


def test_another_type_takes_the_place_of_a_module_with_all_its_arguments(write: Write) -> None:
    extend(
        write,
        "blocks:",
        "  Net:",
        "    modules:",
        "      fc: {type: Conv1d, in_channels: 4, out_channels: 4, kernel_size: 1}",
        "      act: {type: ReLU, inplace: true}",
        "      head: {bias: false}",
    )
    modules = merged()["blocks"]["Net"]["modules"]
    assert [*modules] == ["fc", "act", "head"]
    assert modules["fc"] == {
        "type": "Conv1d",
        "in_channels": 4,
        "out_channels": 4,
        "kernel_size": 1,
    }
    assert modules["act"] == {"type": "ReLU", "inplace": True}
    assert modules["head"] == {"type": "Linear", "in_features": 4, "out_features": 2, "bias": False}


def test_what_excludes_each_other_replaces_each_other(write: Write) -> None:
    write(
        "parent.yaml",
        "archspec: 1",
        "model: Net",
        "blocks:",
        "  Net:",
        "    modules:",
        "      box: {type: Sequential, items: {a: {type: Tanh, x: 1}, b: {type: ReLU}}}",
        "    buffers: {x: {shape: [2], init: ones_}, y: {value: $arange(2)}}",
        "    forward: [{return: x}]",
        "  Chain: {items: [{type: ReLU}]}",
    )
    extend(
        write,
        "blocks:",
        "  Net:",
        "    modules: {box: {items: {a: {type: GELU}}}}",
        "    buffers: {x: {value: $arange(3)}, y: {shape: [3], init: zeros_}}",
        "  Chain: {modules: {a: {type: GELU}}}",
        parent="parent.yaml",
    )
    blocks = merged()["blocks"]
    assert isinstance(blocks, dict)
    assert blocks["Net"]["modules"]["box"]["items"] == {
        "a": {"type": "GELU"},
        "b": {"type": "ReLU"},
    }
    assert blocks["Net"]["buffers"]["x"] == {"shape": [2], "value": "$arange(3)"}
    assert blocks["Net"]["buffers"]["y"] == {"shape": [3], "init": "zeros_"}
    assert blocks["Chain"] == {"modules": {"a": {"type": "GELU"}}}
    extend(write, "blocks: {Net: {items: [{type: ReLU}]}}", parent="parent.yaml")
    assert merged()["blocks"]["Net"] == {"items": [{"type": "ReLU"}]}


CAUSES = """\
archspec: 1
model: Net
params:
  width: {default: 4, max: 8}
blocks:
  Part:
    params: {size: int}
    inputs: {x: [batch, 4], mask: [batch]}
    outputs: {y: [batch, 4]}
    forward: [{return: x}]
  Net:
    inputs: {x: [batch, 4]}
    forward: [{return: x}]
"""


@every(
    "lines, code, line, parents_line",
    [
        ("params: {width: 9}", "E209", 3, 4),
        ("blocks: {Part: {forward: [{return: 'x, x'}]}}", "E305", 3, 9),
        ("blocks: {Part: {forward: [{return: {z: x}}]}}", "E305", 3, 9),
        ("blocks: {Net: {modules: {p: {type: Part, siz: 3}}}}", "E203", 3, 6),
        ("blocks: {Net: {modules: {p: {type: Part}}}}", "E204", 3, 6),
        (
            "blocks: {Net: {modules: {p: {type: Part, size: 3}}, forward: [{return: p(x)}]}}",
            *("E305", 3, 8),
        ),
        ("blocks: {Part: {params: {mask: 1}}}", "E207", 3, 8),
        ("blocks: {Part: {inputs: {size: [batch]}}}", "E207", 3, 7),
    ],
)
def test_the_parents_line_is_told_where_the_cause_stands_there(
    lines: str, code: str, line: int, parents_line: int, write: Write
) -> None:
    write("parent.yaml", CAUSES)
    extend(write, lines, parent="parent.yaml")
    problem = problems_of()[0]
    assert (problem.code, at(problem).split(":")[:2]) == (code, ["child.yaml", str(line)])
    (note,) = problem.notes
    assert str(note.place).split(":")[:2] == ["parent.yaml", str(parents_line)]


def test_the_short_form_of_a_parameter_keeps_the_rest_of_its_declaration(write: Write) -> None:
    extend(write, "params: {width: 8, depths: [3, 4, 6]}")
    spec = archspec.load("child.yaml")
    assert spec.values == {"width": 8, "depths": (3, 4, 6)}
    declared = spec.architecture.params["width"]
    assert (declared.default, declared.min, declared.max, declared.help) == (8, 1, 64, "features")
    assert spec.params["depths"].type == "list[int]"
    assert spec.params["width"].origin == "child.yaml:3:17"


@pytest.mark.parametrize(
    ("value", "complaint"),
    [("0", "must be at least 1, not 0"), ("65", "must be at most 64, not 65")],
)
def test_the_bounds_of_the_parent_hold(write: Write, value: str, complaint: str) -> None:
    extend(write, f"params: {{width: {value}}}")
    problem = refused()
    assert (problem.code, at(problem)) == ("E209", "child.yaml:3:17")
    assert problem.message == f"parameter 'width': {complaint}"


def test_a_bare_type_makes_the_parameter_required_only_if_the_parent_gives_no_default(
    write: Write,
) -> None:
    extend(write, "params: {width: int}")
    assert archspec.load("child.yaml").values["width"] == 4


def test_block_parameters_have_short_forms_too(write: Write) -> None:
    write(
        "base.yaml",
        "archspec: 1",
        "model: Net",
        "blocks:",
        "  Net:",
        "    params: {width: {default: 4, max: 8}}",
        "    modules: {fc: {type: Linear, in_features: $width, out_features: 2}}",
    )
    extend(write, "blocks: {Net: {params: {width: 6}}}")
    assert archspec.load("child.yaml").root.arguments == {"width": 6}
    extend(write, "blocks: {Net: {params: {width: 9}}}")
    assert (refused().code, at(refused())) == ("E205", "child.yaml:3:32")


def test_an_error_names_the_file_and_line_that_it_stands_in(write: Write) -> None:
    write("base.yaml", BASE.replace("in_features: 4, out", "in_feature: 4, in_features: 4, out"))
    extend(write, "freeze:", "  body: [fcc]", "blocks: {Net: {modules: {act: {type: RELU}}}}")
    assert [(p.code, at(p)) for p in problems_of()] == [
        ("E203", "base.yaml:11:28"),
        ("E206", "child.yaml:5:38"),
    ]
    write("base.yaml", BASE)
    extend(write, "freeze:", "  body: [fcc]")
    assert (refused().code, at(refused())) == ("E701", "child.yaml:4:10")


def test_what_the_child_breaks_in_the_parent_is_told_where_it_shows(write: Write) -> None:
    extend(write, "remove: [blocks.Net.modules.fc]")
    problem = refused()
    assert (problem.code, at(problem)) == ("E701", "base.yaml:14:13")
    assert problem.message == "the pattern 'fc' selects nothing"


def test_the_places_of_a_mapping_that_both_files_write(write: Write) -> None:
    extend(write, "blocks:", "  Net:", "    modules:", "      fc: {bias: 3}")
    problem = refused()
    assert (problem.code, at(problem)) == ("E205", "child.yaml:6:18")
    document, _ = read("child.yaml")
    path = ("blocks", "Net", "modules", "fc")
    assert str(document.place((*path, "type"))) == "base.yaml:9:18"
    assert str(document.place((*path, "bias"), key=True)) == "child.yaml:6:12"


def test_duplicate_keys_and_tags_of_all_files_are_told_together(write: Write) -> None:
    write("base.yaml", BASE, "paper: a", "paper: b")
    extend(write, "freeze: {body: [!x fc]}")
    assert [(p.code, at(p)) for p in problems_of()] == [
        ("E102", "base.yaml:18:1"), ("E103", "child.yaml:3:17"),
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------- remove


def test_remove(write: Write) -> None:
    extend(
        write,
        "remove: [blocks.Net.modules.act, init.1, freeze.head-only.1, params.width.help]",
    )
    data = merged()
    assert data["init"] == [{"match": "@Linear", "weight": "zeros_"}]
    assert data["freeze"] == {"none": [], "head-only": ["**"]}
    spec = archspec.load("child.yaml")
    assert [name for name, _ in spec.root.children] == ["fc", "head"]
    assert spec.architecture.params["width"].help == ""


def test_remove_comes_before_merging(write: Write) -> None:
    extend(
        write,
        "remove: [blocks.Net.modules.fc, freeze]",
        "blocks: {Net: {modules: {fc: {type: Identity}}}}",
        "freeze: {body: [act]}",
        "init: []",
    )
    spec = archspec.load("child.yaml")
    assert [(name, child.type) for name, child in spec.root.children] == [
        ("act", "ReLU"), ("head", "Linear"), ("fc", "Identity"),
    ]  # fmt: skip
    assert list(spec.architecture.freeze) == ["body"]


def test_remove_speaks_of_the_nearest_parent_and_is_not_inherited(write: Write) -> None:
    write("middle.yaml", "extends: base.yaml", "remove: [freeze.none]")
    extend(write, "freeze: {none: [fc]}", parent="middle.yaml")
    assert merged()["freeze"] == {"head-only": ["**", "!head"], "none": ["fc"]}
    assert "remove" not in merged()


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("blocks.Net.modules.atc", "did you mean 'act'?"),
        ("block.Net", "did you mean 'blocks'?"),
        ("blocks.Net.zzz", "there is: modules"),
        ("init.2", "there is no '2'"),
        ("init.-1", "there is no '-1'"),
        ("init.2.match", "there is nothing below '2'"),
        ("model.Net", "there is no 'Net'"),
        ("freeze.none.0", "there is no '0'"),
    ],
)
def test_remove_of_what_is_not_there(write: Write, path: str, hint: str) -> None:
    extend(write, f"remove: [freeze.none, {path}]" if "none" not in path else f"remove: [{path}]")
    problem = refused()
    column = 23 if "none" not in path else 10
    assert (problem.code, at(problem)) == ("E111", f"child.yaml:3:{column}")
    assert problem.message == f"remove: the parent has no '{path}'"
    assert problem.hint == hint


def test_every_wrong_path_is_told_and_the_others_are_removed(write: Write) -> None:
    extend(write, "remove: [a.b, freeze.none, c]")
    assert [(p.code, at(p)) for p in problems_of()] == [
        ("E111", "child.yaml:3:10"), ("E111", "child.yaml:3:28"),
    ]  # fmt: skip


def test_the_same_path_twice_is_gone_the_second_time(write: Write) -> None:
    extend(write, "remove: [freeze.none, freeze.none]")
    assert (refused().code, at(refused())) == ("E111", "child.yaml:3:23")


@pytest.mark.parametrize("value", ["freeze", "{a: b}", "3"])
def test_remove_of_another_kind(write: Write, value: str) -> None:
    extend(write, f"remove: {value}")
    assert (refused().code, at(refused())) == ("E202", "child.yaml:3:9")


def test_a_resolved_document_is_the_same_spec_in_one_file(tmp_path: Path) -> None:
    (tmp_path / "blocks.yaml").write_text(
        "archspec: 1\nmodel: Up\nblocks:\n  Up:\n    inputs: {x: [batch, 4]}\n"
        "    modules: {fc: {type: Linear, in_features: 4, out_features: 4}}\n"
    )
    own = tmp_path / "own.yaml"
    own.write_text(
        "archspec: 1\nextends: resnet18\nuse: [blocks.yaml]\nrename: {ResNet: Mine}\n"
        "remove: [freeze.head-only]\nparams: {num_classes: 4}\nblocks:\n  Mine:\n"
        "    modules: {up: {type: Up}}\n"
    )
    differing: list[str] = []
    for name in (*[*packaged_specs()][::5], own):
        spec = archspec.load(name)
        text = spec.document.resolved()
        merged = archspec.loads(text)
        same_code = archspec.to_python(merged) == archspec.to_python(spec)
        is_joined = re.search("^(extends|use|rename|remove):", text, re.MULTILINE)
        if not same_code or merged.values != spec.values or is_joined:
            differing.append(str(name))
    assert differing == []
    assert {*archspec.load(own).document.sources()} == {
        str(own), str(tmp_path / "blocks.yaml"), "specs/vision/resnet18.yaml",
    }  # fmt: skip


def test_a_missing_file_that_is_called_as_a_packaged_spec() -> None:
    with pytest.raises(SpecError) as caught:
        archspec.load("./resnet18.yaml")
    assert (caught.value.code, caught.value.hint) == (
        "E106", "the packaged spec is given by its name: resnet18",
    )  # fmt: skip
