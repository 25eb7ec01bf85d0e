"""A visitor's session: texts, what stays of the last good one, toggles as edits, undo."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.errors import Problem, UsageError
from archspec.lang.inherit import locate
from archspec_app.param_form import params_data
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
def session(tmp_path: Path) -> Session:
    (tmp_path / "tiny.yaml").write_text(TINY)
    found = Session(Workspace(tmp_path))
    found.open("tiny.yaml")
    return found


def test_a_broken_text_leaves_the_last_good_model(session: Session) -> None:
    assert session.built is not None and session.built.inspection.parameters.value == 30
    session.edit(TINY.replace("Linear, in", "Linaer, in", 1))
    assert [
        (p.code, p.place and p.place.file, p.place and p.place.line) for p in session.problems
    ] == [("E206", "tiny.yaml", 11)]
    assert session.built.request.text == TINY
    session.edit(TINY.replace("out_features: 2", "out_features: 3"))
    assert not session.problems and session.built.inspection.parameters.value == 35


def test_the_problems_are_those_of_the_terminal(session: Session, tmp_path: Path) -> None:
    wrong = TINY.replace("$width]", "$widht]").replace("b(a(x))", "b(c(x))")
    session.edit(wrong)
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(wrong, name="tiny.yaml", folder=tmp_path)
    assert [str(p) for p in session.problems] == [str(p) for p in caught.value.problems]
    assert len(session.problems) == 2


def test_values_are_written_into_the_text_sizes_and_plans_are_not(session: Session) -> None:
    assert not session.is_modified
    session.set_param("width", 8)
    assert session.built and session.built.inspection.parameters.value == 90 and session.is_modified
    wide = TINY.replace("{default: 4,", "{default: 8,")
    assert session.request.text == wide
    session.change(sizes={"batch": 10}, plan="top")
    assert (
        session.built.inspection.dims["batch"] == 10
        and session.built.inspection.trainable.value == 18
    )
    assert session.request.text == wide
    with pytest.raises(UsageError, match="batch"):
        session.try_change(sizes={"batch": -1})
    assert session.request.sizes == {"batch": 10} and not session.problems
    session.set_param("width", -1)
    assert [problem.code for problem in session.problems] == ["E209"]
    field = next(one for one in params_data(session) if one["name"] == "width")
    assert (field["value"], field["error"]) == (
        "-1", "parameter 'width': must be at least 1, not -1",
    )  # fmt: skip
    session.undo()
    assert not session.problems and session.request.text == wide


def test_a_toggle_is_an_edit_of_the_plan(session: Session) -> None:
    session.change(plan="top")
    session.toggle([("a", 1)], frozen=False)
    assert session.request.text == TINY.replace('"!b"]', '"!b", "!a"]')
    assert session.built and session.built.inspection.trainable.value == 30
    session.toggle([("a", 1)], frozen=True)
    assert session.request.text == TINY
    session.change(plan=None)
    session.toggle([("a", 1)], frozen=True)
    assert session.request.plan == "my-plan"
    assert session.request.text == TINY.replace("all but b\n", "all but b\n  my-plan: [a]\n")
    session.save_plan("mine")
    assert session.request.text.count("[a]") == 2 and session.request.plan == "mine"
    for _ in range(2):
        session.undo()
    assert (session.request.text, session.request.plan) == (TINY, None)
    session.redo()
    assert session.request.plan == "my-plan" and session.can_redo
    session.edit(TINY + "x")
    with pytest.raises(UsageError, match="text has problems"):
        session.toggle([("a", 1)], frozen=True)


def test_the_plan_of_an_adapter_is_not_edited_by_toggles(session: Session) -> None:
    session.edit(f"{TINY}adapters: {{low: {{kind: lora, match: a, rank: 2}}}}\nadapter: low\n")
    session.change(plan="low")
    assert session.built and session.built.inspection.trainable.value == 16
    with pytest.raises(UsageError, match="the plan low belongs to the adapter"):
        session.toggle([("b", 1)], frozen=False)


def test_a_plan_of_the_parent_is_written_with_its_switches(tmp_path: Path) -> None:
    parent = TINY.replace('["**", "!b"]', '{patterns: ["**", "!b"], dropout: false}')
    (tmp_path / "parent.yaml").write_text(parent)
    (tmp_path / "child.yaml").write_text("archspec: 1\nextends: parent.yaml\n")
    session = Session(Workspace(tmp_path))
    session.open("child.yaml")
    session.change(plan="top")
    session.toggle([("a", 1)], frozen=False)
    assert session.request.text == (
        "archspec: 1\nextends: parent.yaml\n\nfreeze:\n"
        '  top: {patterns: ["**", "!b", "!a"], dropout: false}\n'
    )


PATHS = ["", "conv1", "layer1", "layer2.0", "layer2.0.conv1", "layer4.1.bn2", "fc", "fc.weight"]


@settings(max_examples=8)
@given(st.lists(st.tuples(st.sampled_from(PATHS), st.booleans()), min_size=1, max_size=5),
       st.sampled_from([None, "head-only"]))  # fmt: skip
def test_toggles_do_what_they_say_and_can_be_undone(
    steps: list[tuple[str, bool]], plan: str | None
) -> None:
    session = Session(Workspace(Path()))
    session.open("resnet18")
    session.change(plan=plan)
    text = locate("resnet18").read_text()
    for path, frozen in steps:
        session.toggle([(path, 1)], frozen=frozen)
        assert session.built is not None and not session.problems
        named = dict(session.built.model.named_parameters())
        below = [
            p for name, p in named.items() if f"{name}.".startswith(f"{path}." if path else "")
        ]
        assert {p.requires_grad for p in below} == {not frozen}
        kept = [line for line in text.splitlines() if "head-only" not in line]
        assert [line for line in session.request.text.splitlines() if line in kept] == kept
    for _ in steps:
        session.undo()
    assert session.request.text == text and session.request.plan == plan


def test_what_a_page_kept_is_taken_up_again(session: Session, tmp_path: Path) -> None:
    text = TINY.replace("default: 4", "default: 5")
    other = Session(session.workspace)
    other.restore("tiny.yaml", SpecRequest(text, "top", {"batch": 2}))
    assert other.built and other.built.spec.values["width"] == 5 and other.request.plan == "top"
    assert other.is_modified
    other.save("tiny.yaml")
    assert (tmp_path / "tiny.yaml").read_text() == text
    with pytest.raises(UsageError, match="changed since it was opened"):
        session.save("tiny.yaml")
    session.save("more/tiny")
    assert (tmp_path / "more" / "tiny.yaml").read_text() == TINY


def test_a_spec_that_is_opened_again_has_what_was_chosen_for_it(tmp_path: Path) -> None:
    (tmp_path / "tiny.yaml").write_text(TINY)
    session = Session(Workspace(tmp_path))
    session.open("tiny.yaml")
    session.change(plan="top", sizes={"batch": 7}, checkpoint_blocks=("b",))
    chosen = session.request
    session.open("bert")
    assert session.request == SpecRequest(session.request.text)
    session.open("tiny.yaml")
    assert session.request == chosen and not session.can_undo
    assert session.built and session.built.inspection.dims["batch"] == 7
    session.open("tiny.yaml")  # as the menu's Reload: with the defaults
    assert session.request == SpecRequest(TINY)
    session.undo()
    assert session.request == chosen
    # The file has changed since: what it does not have any more is left.
    session.open("bert")
    (tmp_path / "tiny.yaml").write_text(changed := TINY.replace("top:", "other:"))
    session.open("tiny.yaml")
    assert session.request == replace(chosen, text=changed, plan=None)
    session.open("bert")
    (tmp_path / "tiny.yaml").write_text(changed := TINY.replace("b(a(x))", "a(x)").replace(
        "      b: {type: Sequential, items: [{type: Linear, in_features: $width, out_features: 2}]}"
        "\n", "").replace('["**", "!b"]   # all but b', "[a]"))  # fmt: skip
    session.open("tiny.yaml")
    assert not session.problems and session.request == SpecRequest(changed)


def test_dimensions_are_those_of_the_inputs() -> None:
    assert dimensions(archspec.load("bert"))[:2] == ["batch", "seq"]
    odd = TINY.replace("[batch, $width]", "[precision, $width]").replace("batch: 3", "precision: 3")
    assert dimensions(archspec.loads(odd)) == []


def test_a_session_is_taken_up_again_from_its_state(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    session = Session(workspace)
    session.paste("x.yaml", TINY)
    session.change(plan="top")
    session.edit(TINY.replace("archspec: 1", "archspec: 7"))
    assert session.built and session.problems
    state = pickle.loads(pickle.dumps(session.state()))
    again = Session.from_state(workspace, state, build=True)
    assert again.state() == session.state()
    assert again.built is not None and again.built.request == session.built.request
    again.undo()
    assert again.request.text == TINY and not again.problems
    bare = Session.from_state(workspace, state, build=False)
    assert bare.built is None and bare.request == session.request


def test_a_text_that_could_not_be_built_stays_and_can_be_undone(tmp_path: Path) -> None:
    session, why = Session(Workspace(tmp_path)), Problem("E801", "it took too long")
    session.paste("x.yaml", TINY)
    good = session.built
    session.keep_unbuilt(f"{TINY}# slow", why)
    assert (session.request.text, session.problems, session.built) == (
        f"{TINY}# slow",
        (why,),
        good,
    )
    session.undo()
    assert session.request.text == TINY and not session.problems


def test_a_file_keeps_its_line_breaks(tmp_path: Path) -> None:
    lines = TINY.replace("\n", "\r\n")
    (tmp_path / "dos.yaml").write_bytes(lines.encode())
    session = Session(Workspace(tmp_path))
    session.open("dos.yaml")
    session.edit(TINY)  # as an editor gives it back
    assert session.request.text == lines
    assert not session.can_undo
    session.edit(f"# mine\n{TINY}")
    session.save("dos.yaml")
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


def test_what_was_typed_can_be_had_again(session: Session) -> None:
    opened = session.request.text
    session.edit(typed := f"{opened}# one\n")
    session.edit(typed := f"{typed}# two\n")
    session.toggle([("a", 1)], frozen=True)
    session.edit(f"{session.request.text}# three\n")
    session.open("bert")
    session.undo()
    assert (session.name, session.request.text[-8:], session.plan) == (
        "tiny.yaml",
        "# three\n",
        "my-plan",
    )
    session.undo()
    session.undo()
    assert (session.request.text, session.plan) == (typed, None)
    session.undo()
    assert session.request.text == opened
    assert not session.can_undo
    for _ in range(4):
        session.redo()
    assert session.name == "bert"


def test_a_text_that_is_too_long_is_kept_and_told(session: Session) -> None:
    good, long = session.built, "# " * 600_000
    session.edit(long)
    assert (session.request.text, session.built) == (long, good)
    assert [problem.code for problem in session.problems] == ["E105"]
    with pytest.raises(UsageError, match="more than 4,000,000 characters"):
        session.edit(long * 4)
    assert session.request.text == long


def test_a_parameter_without_a_value_can_be_given_one(session: Session) -> None:
    session.paste("net.yaml", TINY.replace("{default: 4, min: 1}", "int"))
    assert session.built is None
    assert [problem.code for problem in session.problems] == ["E210"]
    declared, resolved = session.params
    assert "width" in declared
    assert "width" not in resolved
    session.set_param("width", 4)
    assert session.built is not None
    assert not session.problems
