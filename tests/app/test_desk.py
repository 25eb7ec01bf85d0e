"""A visitor's desk: texts, what stays of the last good one, toggles as edits, undo."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.errors import Problem, UsageError
from archspec.lang.inherit import locate
from archspec_app.session import Session, SpecRequest, dimensions
from archspec_app.text_patch import Patch, with_breaks_of
from archspec_app.workspace import Workspace

TINY = """\
archspec: 1  # the language
model: Net

params:
  width: {default: 4, min: 1}

blocks:
  Net:
    inputs: {x: [batch, $width]}
    modules:
      a: {type: Linear, in_features: $width, out_features: $width}
      b: {type: Sequential, items: [{type: Linear, in_features: $width, out_features: 2}]}
    forward:
      - return: b(a(x))

# plans
freeze:
  top: ["**", "!b"]   # all but b

dims: {batch: 3}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Session:
    (tmp_path / "tiny.yaml").write_text(TINY)
    found = Session(Workspace(tmp_path))
    found.open("tiny.yaml")
    return found


def test_a_broken_text_leaves_the_last_good_model(desk: Session) -> None:
    assert desk.good is not None and desk.good.inspection.parameters.value == 30
    desk.edit(TINY.replace("Linear, in", "Linaer, in", 1))
    assert [
        (p.code, p.place and p.place.file, p.place and p.place.line) for p in desk.problems
    ] == [("E206", "tiny.yaml", 11)]
    assert desk.good.asked.text == TINY
    desk.edit(TINY.replace("out_features: 2", "out_features: 3"))
    assert not desk.problems and desk.good.inspection.parameters.value == 35


def test_the_problems_are_those_of_the_terminal(desk: Session, tmp_path: Path) -> None:
    wrong = TINY.replace("$width]", "$widht]").replace("b(a(x))", "b(c(x))")
    desk.edit(wrong)
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(wrong, name="tiny.yaml", folder=tmp_path)
    assert [str(p) for p in desk.problems] == [str(p) for p in caught.value.problems]
    assert len(desk.problems) == 2


def test_values_sizes_and_plans_change_the_figures_and_not_the_text(desk: Session) -> None:
    desk.change(params={"width": 8})
    assert desk.good and desk.good.inspection.parameters.value == 90 and desk.asked.text == TINY
    desk.change(sizes={"batch": 10}, plan="top")
    assert desk.good.inspection.dims["batch"] == 10 and desk.good.inspection.trainable.value == 18
    desk.edit(TINY.replace("  width: {default: 4, min: 1}", "  w: 4").replace("$width", "$w"))
    assert not desk.problems and desk.asked.params == {}, "a field that is gone is forgotten"
    desk.change(params={"w": -1})
    assert desk.problems and desk.problems[0].code == "E205"


def test_a_toggle_is_an_edit_of_the_plan(desk: Session) -> None:
    desk.change(plan="top")
    desk.toggle("a", frozen=False)
    assert desk.asked.text == TINY.replace('"!b"]', '"!b", "!a"]')
    assert desk.good and desk.good.inspection.trainable.value == 30
    desk.toggle("a", frozen=True)
    assert desk.asked.text == TINY
    desk.change(plan=None)
    desk.toggle("a", frozen=True)
    assert desk.asked.plan == "my-plan"
    assert desk.asked.text == TINY.replace("all but b\n", "all but b\n  my-plan: [a]\n")
    desk.save_plan("mine")
    assert desk.asked.text.count("[a]") == 2 and desk.asked.plan == "mine"
    for _ in range(2):
        desk.undo()
    assert (desk.asked.text, desk.asked.plan) == (TINY, None)
    desk.redo()
    assert desk.asked.plan == "my-plan" and desk.can_redo
    desk.edit(TINY + "x")
    with pytest.raises(UsageError, match="broken text"):
        desk.toggle("a", frozen=True)


def test_a_plan_of_the_parent_is_written_with_its_switches(tmp_path: Path) -> None:
    parent = TINY.replace('["**", "!b"]', '{patterns: ["**", "!b"], dropout: false}')
    (tmp_path / "parent.yaml").write_text(parent)
    (tmp_path / "child.yaml").write_text("archspec: 1\nextends: parent.yaml\n")
    desk = Session(Workspace(tmp_path))
    desk.open("child.yaml")
    desk.change(plan="top")
    desk.toggle("a", frozen=False)
    assert desk.asked.text == (
        "archspec: 1\nextends: parent.yaml\n\nfreeze:\n"
        '  top: {patterns: ["**", "!b", "!a"], dropout: false}\n'
    )


PATHS = ["", "conv1", "layer1", "layer2.0", "layer2.0.conv1", "layer4.1.bn2", "fc", "fc.weight"]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.booleans()), min_size=1, max_size=5),
       st.sampled_from([None, "head-only"]))  # fmt: skip
def test_toggles_do_what_they_say_and_can_be_undone(
    steps: list[tuple[str, bool]], plan: str | None
) -> None:
    desk = Session(Workspace(Path()))
    desk.open("resnet18")
    desk.change(plan=plan)
    text = locate("resnet18").read_text()
    for path, frozen in steps:
        desk.toggle(path, frozen=frozen)
        assert desk.good is not None and not desk.problems
        named = dict(desk.good.model.named_parameters())
        below = [
            p for name, p in named.items() if f"{name}.".startswith(f"{path}." if path else "")
        ]
        assert {p.requires_grad for p in below} == {not frozen}
        kept = [line for line in text.splitlines() if "head-only" not in line]
        assert [line for line in desk.asked.text.splitlines() if line in kept] == kept
    for _ in steps:
        desk.undo()
    assert desk.asked.text == text and desk.asked.plan == plan


def test_what_a_page_kept_is_taken_up_again(desk: Session, tmp_path: Path) -> None:
    text = TINY.replace("default: 4", "default: 5")
    other = Session(desk.workspace)
    other.restore("tiny.yaml", SpecRequest(text, {"width": 6}, "top", {"batch": 2}))
    assert other.good and other.good.spec.values["width"] == 6 and other.asked.plan == "top"
    other.save("tiny.yaml")
    assert (tmp_path / "tiny.yaml").read_text() == text
    with pytest.raises(UsageError, match="changed since it was opened"):
        desk.save("tiny.yaml")
    desk.save("more/tiny")
    assert (tmp_path / "more" / "tiny.yaml").read_text() == TINY


def test_dimensions_are_those_of_the_inputs() -> None:
    assert dimensions(archspec.load("bert"))[:2] == ["batch", "seq"]
    odd = TINY.replace("[batch, $width]", "[precision, $width]").replace("batch: 3", "precision: 3")
    assert dimensions(archspec.loads(odd)) == []


def test_a_desk_is_taken_up_again_from_its_state(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    desk = Session(workspace)
    desk.paste("x.yaml", TINY)
    desk.change(plan="top")
    desk.edit(TINY.replace("archspec: 1", "archspec: 7"))
    assert desk.good and desk.problems
    state = pickle.loads(pickle.dumps(desk.state()))
    again = Session.of_state(workspace, state, build=True)
    assert again.state() == desk.state()
    assert again.good is not None and again.good.asked == desk.good.asked
    again.undo()
    assert again.asked.text == TINY and not again.problems
    bare = Session.of_state(workspace, state, build=False)
    assert bare.good is None and bare.asked == desk.asked


def test_a_text_that_could_not_be_built_stays_and_can_be_undone(tmp_path: Path) -> None:
    desk, why = Session(Workspace(tmp_path)), Problem("E801", "it took too long")
    desk.paste("x.yaml", TINY)
    good = desk.good
    desk.unbuilt(f"{TINY}# slow", why)
    assert (desk.asked.text, desk.problems, desk.good) == (f"{TINY}# slow", (why,), good)
    desk.undo()
    assert desk.asked.text == TINY and not desk.problems


def test_a_file_keeps_its_line_breaks(tmp_path: Path) -> None:
    lines = TINY.replace("\n", "\r\n")
    (tmp_path / "dos.yaml").write_bytes(lines.encode())
    desk = Session(Workspace(tmp_path))
    desk.open("dos.yaml")
    desk.edit(TINY)  # as an editor gives it back
    assert desk.asked.text == lines
    assert not desk.can_undo
    desk.edit(f"# mine\n{TINY}")
    desk.save("dos.yaml")
    assert (tmp_path / "dos.yaml").read_bytes() == f"# mine\r\n{lines}".encode()


@given(st.lists(st.sampled_from(["a", "b", "é", "\n", "\r\n", "\r"])), st.text("ab\n"))
def test_line_breaks_are_those_of_before(parts: list[str], other: str) -> None:
    old = "".join(parts)
    shown = old.replace("\r\n", "\n").replace("\r", "\n")
    assert with_breaks_of(old, shown) == old
    new = with_breaks_of(old, other)
    assert new.replace("\r\n", "\n").replace("\r", "\n") == other


@given(st.text("ab\n😀"), st.text("ab\n😀"))
def test_a_patch_makes_the_new_text(old: str, new: str) -> None:
    patch = Patch.between(old, new)
    units = old.encode("utf-16-le")
    assert patch.length == len(units) // 2
    start, end = 2 * patch.start, 2 * patch.start + len(patch.old.encode("utf-16-le"))
    assert units[start:end].decode("utf-16-le") == patch.old
    assert (units[:start] + patch.new.encode("utf-16-le") + units[end:]).decode("utf-16-le") == new
    assert units[:start].decode("utf-16-le").endswith(patch.before)
    assert units[end:].decode("utf-16-le").startswith(patch.after)


def test_what_was_typed_can_be_had_again(desk: Session) -> None:
    opened = desk.asked.text
    desk.edit(typed := f"{opened}# one\n")
    desk.edit(typed := f"{typed}# two\n")
    desk.toggle("a", frozen=True)
    desk.edit(f"{desk.asked.text}# three\n")
    desk.open("bert")
    desk.undo()
    assert (desk.name, desk.asked.text[-8:], desk.plan) == ("tiny.yaml", "# three\n", "my-plan")
    desk.undo()
    desk.undo()
    assert (desk.asked.text, desk.plan) == (typed, None)
    desk.undo()
    assert desk.asked.text == opened
    assert not desk.can_undo
    for _ in range(4):
        desk.redo()
    assert desk.name == "bert"


def test_a_text_that_is_too_long_is_kept_and_told(desk: Session) -> None:
    good, long = desk.good, "# " * 600_000
    desk.edit(long)
    assert (desk.asked.text, desk.good) == (long, good)
    assert [problem.code for problem in desk.problems] == ["E105"]
    with pytest.raises(UsageError, match="more than 4,000,000 letters"):
        desk.edit(long * 4)
    assert desk.asked.text == long


def test_a_parameter_without_a_value_can_be_given_one(desk: Session) -> None:
    desk.paste("net.yaml", TINY.replace("{default: 4, min: 1}", "int"))
    assert desk.good is None
    assert [problem.code for problem in desk.problems] == ["E210"]
    declared, resolved = desk.params
    assert "width" in declared
    assert "width" not in resolved
    desk.change(params={"width": 4})
    assert desk.good is not None
    assert not desk.problems
