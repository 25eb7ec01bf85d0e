"""The specs that may be extended: where they lie, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

import archspec
from archspec.errors import Problem, SpecError
from archspec.lang import yaml
from archspec.lang.inherit import MAX_PARENTS, locate, read
from archspec.lang.packaged import packaged_folder, packaged_specs

Write = Callable[..., None]

BASE = """\
archspec: 1
model: Net
params: {width: 4}
blocks: {Net: {modules: {fc: {type: Linear, in_features: $width, out_features: 2}}}}
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


# ---------------------------------------------------------------------------- where parents may lie


def test_a_parent_below_the_folder_and_its_own_beside_it(write: Write) -> None:
    write("parts/middle.yaml", "extends: lower/top.yaml")
    write("parts/lower/top.yaml", "extends: ../../base.yaml")
    extend(write, parent="parts/middle.yaml")
    assert archspec.load("child.yaml").values["width"] == 4


def test_a_path_is_relative_to_the_file_not_to_the_working_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    extend(write)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert archspec.load("../child.yaml").values["width"] == 4
    assert archspec.load(tmp_path / "child.yaml").values["width"] == 4


def test_parents_have_to_stay_in_the_folder_of_the_spec_itself(write: Write) -> None:
    write("parts/child.yaml", "extends: ../base.yaml")
    problem = refused("parts/child.yaml")
    assert (problem.code, at(problem)) == ("E109", "parts/child.yaml:1:10")
    assert problem.message == "'../base.yaml' is outside the spec's folder"
    assert problem.hint.startswith("extend a file in the same folder")


@pytest.mark.parametrize("parent", ["/etc/passwd.yaml", "{here}/base.yaml", "../base.yaml"])
def test_absolute_paths_and_those_upwards_are_refused(
    write: Write, tmp_path: Path, parent: str
) -> None:
    extend(write, parent=parent.format(here=tmp_path))
    assert (refused().code, at(refused())) == ("E109", "child.yaml:2:10")


@pytest.mark.parametrize("parent", ["link.yaml", "link/base.yaml"])
def test_a_link_out_of_the_folder_is_refused(write: Write, tmp_path: Path, parent: str) -> None:
    write("inside/child.yaml", "archspec: 1", f"extends: {parent}")
    target = tmp_path / "base.yaml" if parent == "link.yaml" else tmp_path
    (tmp_path / "inside" / parent.partition("/")[0]).symlink_to(target)
    problem = refused("inside/child.yaml")
    assert (problem.code, at(problem)) == ("E109", "inside/child.yaml:2:10")


def test_a_link_within_the_folder_is_followed(write: Write, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to(tmp_path / "base.yaml")
    extend(write, parent="link.yaml")
    assert archspec.load("child.yaml").values["width"] == 4


def test_a_packaged_parent_by_name(write: Write) -> None:
    extend(write, "params: {num_classes: 10}", parent="resnet18")
    spec = archspec.load("child.yaml")
    assert spec.values["num_classes"] == 10
    assert spec.params["expansion"].origin.startswith("specs/vision/resnet18.yaml:")
    extend(write, "params: {num_classes: 0}", parent="resnet18")
    assert (refused().code, at(refused())) == ("E209", "child.yaml:3:23")
    extend(write, "params: {nonsense: $zzz}", "remove: [zzz]", parent="resnet18")
    assert {p.code for p in problems_of()} == {"E111", "E303"}


def test_a_packaged_parent_may_extend_beside_itself() -> None:
    spec = archspec.loads("archspec: 1\nextends: minilm-l6\n")
    assert spec.values["hidden_size"] == 384
    assert [path.name for path in spec.document.files] == ["minilm-l6.yaml", "bert-model.yaml"]


def test_a_name_is_never_a_file_of_the_folder(write: Write) -> None:
    write("bert", BASE)
    extend(write, parent="bert")
    assert archspec.load("child.yaml").values["hidden_size"] == 768
    extend(write, parent="base")
    problem = refused()
    assert (problem.code, at(problem)) == ("E108", "child.yaml:2:10")
    assert problem.message == "no packaged spec is called 'base'"


def test_a_text_extends_packaged_specs_only(write: Write) -> None:
    assert archspec.loads("extends: resnet18\nparams: {num_classes: 3}").values["num_classes"] == 3
    with pytest.raises(SpecError) as caught:
        archspec.loads("archspec: 1\nextends: base.yaml\n", name="spec.yaml")
    problem = caught.value.problems[0]
    assert (problem.code, at(problem)) == ("E109", "spec.yaml:2:10")
    assert problem.message == "a text has no folder: it can extend packaged specs only"
    assert problem.hint == "'archspec list' shows the packaged specs"


# ------------------------------------------------------------------------------- circles and chains


def test_a_spec_that_extends_itself(write: Write) -> None:
    extend(write, parent="child.yaml")
    assert (refused().code, at(refused())) == ("E110", "child.yaml:2:10")
    extend(write, parent="./parts/../child.yaml")
    assert (refused().code, at(refused())) == ("E110", "child.yaml:2:10")


def test_a_circle_is_told_where_it_closes(write: Write) -> None:
    write("middle.yaml", "description: x", "extends: child.yaml")
    extend(write, parent="middle.yaml")
    problem = refused()
    assert (problem.code, at(problem)) == ("E110", "middle.yaml:2:10")
    assert problem.message == "'child.yaml' extends itself in the end"


def test_a_circle_through_a_link(write: Write, tmp_path: Path) -> None:
    (tmp_path / "again.yaml").symlink_to("child.yaml")
    extend(write, parent="again.yaml")
    assert (refused().code, at(refused())) == ("E110", "child.yaml:2:10")


def test_a_long_chain_has_a_bound(write: Write) -> None:
    for i in range(MAX_PARENTS + 1):
        write(f"p{i}.yaml", "archspec: 1", f"extends: p{i + 1}.yaml")
    write(f"p{MAX_PARENTS}.yaml", BASE)
    assert archspec.load("p0.yaml").values["width"] == 4
    write(f"p{MAX_PARENTS}.yaml", "archspec: 1", f"extends: p{MAX_PARENTS + 1}.yaml")
    write(f"p{MAX_PARENTS + 1}.yaml", BASE)
    problem = refused("p0.yaml")
    assert (problem.code, at(problem)) == ("E110", f"p{MAX_PARENTS}.yaml:2:10")
    assert problem.message == f"more than {MAX_PARENTS} parents"


# ---------------------------------------------------------------------- parents that cannot be read


def unreadable(problem: Problem, reason: str, place: str = "child.yaml:2:10") -> None:
    """The problem is that a parent cannot be read, and says from where it was extended."""
    assert (problem.code, problem.message) == ("E106", reason)
    places = [problem.place, *(note.place for note in problem.notes)]
    assert place in [str(found) for found in places]


def test_a_missing_parent(write: Write) -> None:
    extend(write, parent="bace.yaml")
    unreadable(refused(), "bace.yaml: no such file")
    write("middle.yaml", "extends: parts/none.yaml")
    extend(write, parent="middle.yaml")
    unreadable(refused(), "parts/none.yaml: no such file", "middle.yaml:1:10")


def test_a_folder_as_a_parent(write: Write, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").unlink()
    (tmp_path / "base.yaml").mkdir()
    extend(write)
    unreadable(refused(), "base.yaml: is a folder")


def test_a_pipe_as_a_parent(write: Write, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    extend(write, parent="pipe.yaml")
    unreadable(refused(), "pipe.yaml: is not a regular file")


def test_a_parent_that_is_no_text(write: Write, tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_bytes(b"archspec: 1\n\xff\n")
    extend(write)
    problem = refused()
    assert at(problem) == "base.yaml:2:1"
    unreadable(problem, "base.yaml: not UTF-8 text")


def test_a_parent_that_is_no_yaml(write: Write) -> None:
    write("base.yaml", "blocks: {")
    extend(write)
    problem = refused()
    assert (problem.code, at(problem)) == ("E101", "base.yaml:1:9")
    assert [(note.message, str(note.place)) for note in problem.notes] == [
        ("extended from here", "child.yaml:2:10")
    ]


def test_a_link_to_itself(write: Write, tmp_path: Path) -> None:
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    extend(write, parent="loop.yaml")
    assert refused().code == "E106"


def test_a_name_with_a_null_byte(write: Write) -> None:
    extend(write, parent='"a\\0b.yaml"')
    assert refused().code in ("E106", "E109")
    assert "\0" not in str(refused())


def test_a_name_longer_than_the_system_allows(write: Write) -> None:
    extend(write, parent="a" * 5_000 + ".yaml")
    assert refused().code == "E106"


@pytest.mark.parametrize("value", ["3", "[base.yaml]", "{a: base.yaml}", "true"])
def test_extends_of_another_kind(write: Write, value: str) -> None:
    extend(write, "model: Net", "blocks: {Net: {modules: {a: {type: ReLU}}}}", parent=value)
    assert (refused().code, at(refused())) == ("E202", "child.yaml:2:10")


def test_an_empty_name(write: Write) -> None:
    extend(write, parent='""')
    assert (refused().code, at(refused())) == ("E108", "child.yaml:2:10")


# ----------------------------------------------------------------------------------------- locating


def test_packaged_specs_are_found_by_name() -> None:
    assert locate("bert") == packaged_folder() / "text" / "bert.yaml"
    names = list(packaged_specs())
    assert {"bert", "minilm-l6", "resnet18", "resnet34", "resnet50"} <= set(names)
    assert names == sorted(names)


@pytest.mark.parametrize("name", ["bert.yaml", "bert.yml", "./bert", Path("bert")])
def test_anything_else_is_a_path(name: str | Path) -> None:
    assert locate(name) == Path(name)


def test_an_unknown_name_offers_the_nearest() -> None:
    for name, hint in (("resnet81", "did you mean 'resnet18'?"), ("zzz", "'archspec list'")):
        with pytest.raises(SpecError) as caught:
            locate(name)
        assert caught.value.code == "E108"
        assert caught.value.hint.startswith(hint)


def test_places_of_a_packaged_spec_do_not_show_where_it_is_installed() -> None:
    document, _ = read("bert")
    assert document.place(("model",)).file == "specs/text/bert.yaml"
    assert yaml.place_of(document.root, ()).file == "specs/text/bert.yaml"


def test_parents_of_a_text_are_called_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    parent = "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 2]}\n"
    (tmp_path / "below" / "old.yaml").write_text(parent + "    forward: [{return: x}]\n")
    (tmp_path / "new.yaml").write_text("archspec: 1\nextends: below/old.yaml\n")
    text = "archspec: 1\nextends: new.yaml\ndims: {batch: 1}\n"
    spec = archspec.loads(text, name="sub/mine.yaml", folder=tmp_path)
    places = [spec.document.place(path).file for path in (("dims",), ("blocks", "Net"))]
    assert places == ["sub/mine.yaml", "sub/below/old.yaml"]
    (tmp_path / "below" / "old.yaml").unlink()
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(text, name="sub/mine.yaml", folder=tmp_path)
    assert str(tmp_path) not in str(caught.value)


def test_a_text_extends_files_of_the_folder_that_it_is_said_to_stand_in(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    parent = Path(__file__).parents[1] / "training" / "tiny.yaml"
    (tmp_path / "inside" / "parent.yaml").write_bytes(parent.read_bytes())
    text = "archspec: 1\nextends: {}parent.yaml\nparams: {{width: 8}}\n"
    spec = archspec.loads(text.format(""), folder=tmp_path / "inside")
    assert spec.values["width"] == 8 and spec.values["vocab_size"] == 40
    for start in ("../", "/"):
        with pytest.raises(SpecError) as caught:
            archspec.loads(text.format(start), folder=tmp_path / "inside")
        assert caught.value.code == "E109"
