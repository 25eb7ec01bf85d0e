"""The toolbar, the editor with its problems, and the form of parameters."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect

import archspec
from archspec.lang.inherit import locate
from archspec.lang.yaml import MAX_BYTES
from tests.app.browser.inspector import Inspector, OpenPage

TINY = (Path(__file__).parent / "specs" / "tiny.yaml").read_text()


def test_a_packaged_spec_is_picked(inspector: Inspector) -> None:
    expect(inspector.figure("Parameters")).to_have_text("109.5 M")
    inspector.open("resnet18", "ResNet")
    expect(inspector.figure("Parameters")).to_have_text("11.69 M")
    assert inspector.text == locate("resnet18").read_text()
    names = inspector.labelled("Spec").locator("option").all_inner_texts()
    own = [name for name in names if not name.startswith("archspec-example/")]  # of another test
    assert own[:2] == ["more/other.yaml", "tiny.yaml"]
    assert "outside.yaml" not in " ".join(names)


def test_an_edit_changes_tree_and_cost(tiny: Inspector) -> None:
    expect(tiny.figure("Parameters")).to_have_text("299")
    tiny.replace("repeat: 3", "repeat: 5")
    expect(tiny.figure("Parameters")).to_have_text("443")
    expect(tiny.row("layers.0-4")).to_contain_text("(0-4): 5 × Layer")


def test_what_is_typed_key_by_key_counts(tiny: Inspector) -> None:
    line = TINY.splitlines().index("  bias: true") + 1
    tiny.line(line).click()
    tiny.page.keyboard.press("End")
    for _ in "true":
        tiny.page.keyboard.press("Backspace")
    tiny.page.keyboard.type("false")
    expect(tiny.figure("Parameters")).to_have_text("291")
    assert tiny.text == TINY.replace("bias: true", "bias: false")


def test_a_broken_text_says_what_the_terminal_says(tiny: Inspector, tmp_path: Path) -> None:
    broken = tiny.replace("out_features: 3}", "out_featurs: 3, ~}")
    expect(tiny.problems.first).to_be_visible()
    broken = tiny.replace("out_featurs: 3, ~}", "out_featurs: 3}")
    expect(tiny.problems.first).not_to_contain_text("~")
    expect(tiny.problems.first).to_contain_text("did you mean 'out_features'?")
    assert "\n\n".join(tiny.problems.all_inner_texts()) == told_in_the_terminal(broken, tmp_path)

    wrong = broken.splitlines().index(next(x for x in broken.splitlines() if "featurs" in x)) + 1
    assert tiny.marked == [wrong]
    tiny.line(1).click()
    assert tiny.caret == 1
    tiny.problems.first.click()
    assert tiny.caret == wrong

    expect(tiny.row("head")).to_be_visible()
    expect(tiny.figure("Parameters")).to_have_text("299")

    tiny.replace("out_featurs: 3}", "out_features: 3}")
    expect(tiny.problems).to_have_count(0)
    tiny.replace("repeat: 3", "repeat: 2")
    expect(tiny.figure("Parameters")).to_have_text("227")
    assert tiny.marked == []


def told_in_the_terminal(text: str, folder: Path) -> str:
    (folder / "tiny.yaml").write_text(text)
    command = [sys.executable, "-m", "archspec", "validate", "tiny.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 1
    return done.stderr.strip("\n")


def test_a_param_is_set_in_the_form(tiny: Inspector) -> None:
    tiny.tab("Parameters")
    field = tiny.field("width")
    expect(field).to_have_value("8")
    expect(tiny.page.locator("#params")).to_contain_text("channels of the hidden layer")
    field.fill("16")
    field.press("Tab")
    expect(tiny.figure("Parameters")).to_have_text("979")
    tiny.has_text(TINY.replace("{default: 8,", "{default: 16,"))
    expect(tiny.page.get_by_label("Not saved")).to_be_visible()

    error = tiny.page.locator("#error-width")
    field.fill("65")  # not sent, so that the text keeps its value
    expect(error).to_have_text("must be an integer, 1 to 64; not applied")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.press("Tab")
    tiny.button("Undo").click()
    tiny.has_text(TINY)
    expect(tiny.field("width")).to_have_value("8")
    expect(error).to_have_text("")
    tiny.field("bias").select_option("false")
    expect(tiny.figure("Parameters")).to_have_text("291")
    assert tiny.text == TINY.replace("bias: true", "bias: false")

    tiny.replace("{default: 8,", "{default: 70,")
    expect(error).to_contain_text("must be at most 64, not 70")
    problems = tiny.button("1 problem")
    expect(problems).to_be_visible()
    problems.click()
    tiny.has_caret(TINY[: TINY.index("width:")].count("\n") + 1)


def test_undo_and_redo_go_through_the_changes(open_page: OpenPage) -> None:
    tiny: Inspector = open_page()
    tiny.open("tiny.yaml", "Tiny")
    expect(tiny.button("Undo")).to_be_disabled()
    tiny.toggle("norm").click()
    expect(tiny.toggle("norm")).to_be_checked()
    once = tiny.text
    tiny.toggle("up").click()
    expect(tiny.toggle("up")).to_be_checked()
    tiny.button("Undo").click()
    expect(tiny.toggle("up")).not_to_be_checked()
    tiny.has_text(once)
    tiny.button("Undo").click()
    tiny.has_text(TINY)
    expect(tiny.button("Undo")).to_be_disabled()
    expect(tiny.labelled("Freeze plan")).to_have_value("")
    tiny.button("Redo").click()
    tiny.has_text(once)
    expect(tiny.toggle("norm")).to_be_checked()
    expect(tiny.labelled("Freeze plan")).to_have_value("my-plan")


def test_a_reload_keeps_the_draft(tiny: Inspector) -> None:
    tiny.replace("repeat: 3", "repeat: 2")
    expect(tiny.figure("Parameters")).to_have_text("227")
    tiny.tab("Parameters")
    tiny.field("width").fill("4")
    tiny.field("width").press("Tab")
    expect(tiny.figure("Parameters")).to_have_text("83")
    tiny.labelled("Freeze plan").select_option("head-only")
    expect(tiny.figure("Trainable")).to_have_text("15")
    tiny.replace("classifier", "typed just before the reload")
    tiny.reload()
    tiny.has_text(
        TINY.replace("repeat: 3", "repeat: 2")
        .replace("{default: 8,", "{default: 4,")
        .replace("classifier", "typed just before the reload")
    )
    tiny.tab("Parameters")
    expect(tiny.labelled("Spec")).to_have_value("tiny.yaml")
    expect(tiny.labelled("Freeze plan")).to_have_value("head-only")
    expect(tiny.figure("Parameters")).to_have_text("83")
    expect(tiny.figure("Trainable")).to_have_text("15")
    expect(tiny.field("width")).to_have_value("4")


def test_a_reload_while_unsaved_work_is_asked_about_loses_nothing(open_page: OpenPage) -> None:
    inspector = open_page()
    page, question = inspector.page, inspector.page.get_by_role("dialog", name="Unsaved changes")
    page.on("dialog", lambda dialog: dialog.accept())  # the browser's own question
    inspector.open("more/other.yaml", "Other")
    inspector.open("tiny.yaml", "Tiny")
    text = inspector.replace("classifier", "of mine")
    page.go_back()
    expect(question).to_be_visible()
    page.go_back()  # once more: asked anew, not twice
    expect(question).to_have_count(1)
    page.go_forward()
    expect(question).to_be_visible()
    inspector.reload()
    inspector.has_text(text)
    expect(question).to_be_visible()
    expect(page).to_have_url(re.compile("spec=more%2Fother.yaml"))
    inspector.button("Cancel").click()
    expect(page).to_have_url(re.compile("spec=tiny.yaml"))
    inspector.reload()
    inspector.has_text(text)
    expect(question).to_have_count(0)
    page.go_back()
    inspector.reload()
    inspector.button("Go on without saving").click()
    expect(inspector.row("")).to_contain_text(re.compile("Other|Bert"))
    expect(inspector.labelled("Undo")).to_be_enabled()
    # What is saved is left without a question.
    inspector.open("tiny.yaml", "Tiny")
    page.goto(page.url.replace("spec=tiny.yaml", "spec=more%2Fother.yaml"))
    page.reload()
    expect(inspector.row("")).to_contain_text("Other")
    expect(question).to_have_count(0)


def test_a_draft_that_somebody_changed_is_no_harm(tiny: Inspector) -> None:
    draft = json.loads(tiny.page.evaluate("sessionStorage.archspec"))
    for wrong in (
        "[" * 5000, "{}", json.dumps({**draft, "name": "../outside.yaml"}),
        json.dumps({**draft, "params": {"width": [[]]}, "sizes": {"batch": "x"}}),
        json.dumps({**draft, "precision": "<b>", "optimizer": "<b>"}),
    ):  # fmt: skip
        tiny.page.evaluate("text => { sessionStorage.archspec = text; }", wrong)
        tiny.page.reload()
        tiny.page.wait_for_function("() => document.querySelector('.toolbar-view select option')")
        expect(tiny.page.locator(".problems-view")).to_contain_text("roblem")
        expect(tiny.page.locator("body")).not_to_contain_text("Outside")


def test_what_is_typed_while_the_server_works_stays(tiny: Inspector) -> None:
    tiny.line(1).click()
    tiny.page.keyboard.press("End")
    tiny.page.keyboard.type(" # 😀")
    tiny.page.evaluate("document.querySelector('.tree-view tr[data-key=norm] .toggle').click()")
    tiny.page.keyboard.type("typed on", delay=10)
    expect(tiny.toggle("norm")).to_be_checked()
    plan = "\n  my-plan: [norm]\n"
    tiny.has_text(TINY.replace("archspec: 1\n", "archspec: 1 # 😀typed on\n").rstrip("\n") + plan)
    assert tiny.caret == 1


def test_a_spec_that_was_never_right_shows_no_other_model(tiny: Inspector) -> None:
    tiny.labelled("Open a file from this computer").set_input_files(
        {
            "name": "new.yaml",
            "mimeType": "text/yaml",
            "buffer": TINY.replace("{default: 8, ", "{type: int, ").encode(),
        }
    )
    expect(tiny.page.locator(".problems-head")).to_have_text("1 problem; there is no model yet")
    expect(tiny.rows).to_have_count(0)
    tiny.tab("Parameters")
    tiny.field("width").fill("16")
    tiny.field("width").press("Tab")
    expect(tiny.figure("Parameters")).to_have_text("979")
    tiny.button("Undo").click()
    expect(tiny.problems.first).to_contain_text("E210")


def test_two_visitors_do_not_see_each_other(inspector: Inspector, open_page: OpenPage) -> None:
    other: Inspector = open_page(visitor=2)
    inspector.open("tiny.yaml", "Tiny")
    inspector.toggle("up").click()
    expect(inspector.toggle("up")).to_be_checked()
    other.open("resnet18", "ResNet")
    other.replace("num_classes: {default: 1000", "num_classes: {default: 10")
    expect(other.figure("Parameters")).to_have_text("11.18 M")
    expect(inspector.figure("Parameters")).to_have_text("299")
    inspector.toggle("norm").click()
    expect(inspector.toggle("norm")).to_be_checked()
    assert "my-plan: [up, norm]" in inspector.text
    expect(other.figure("Trainable")).to_have_text("11.18 M")
    assert "my-plan" not in other.text


def test_yaml_and_python_are_downloaded(tiny: Inspector, tmp_path: Path) -> None:
    text = tiny.replace("repeat: 3", "repeat: 4")
    expect(tiny.row("layers.0-3")).to_be_visible()
    for name, file in ("Download YAML", "tiny.yaml"), ("Download Python", "tiny.py"):
        with tiny.page.expect_download() as found:
            tiny.menu(name)
        assert found.value.suggested_filename == file
        found.value.save_as(tmp_path / file)
    assert (tmp_path / "tiny.yaml").read_text() == text
    spec = archspec.loads(text, name="tiny.yaml")
    assert (tmp_path / "tiny.py").read_text() == archspec.to_python(spec)


def test_a_text_is_saved_inside_the_folder_only(tiny: Inspector, folder: Path) -> None:
    text = tiny.replace("width: {default: 8,", "width: {default: 2,")
    expect(tiny.figure("Parameters")).to_have_text("41")
    before = {path: path.read_bytes() for path in folder.parent.rglob("*.y*ml")}
    for name in (
        "../outside.yaml", "/tmp/x.yaml", "more/../../outside", ".hidden.yaml", "more/other.yaml",
        "x" * 300, "",
    ):  # fmt: skip
        tiny.labelled("Name to save the spec under").fill(name)
        tiny.button("Save").click()
        expect(tiny.notice).to_contain_text("error[E801]: ")
        expect(tiny.notice).to_contain_text(name[:40] or "'.yaml'")
        expect(tiny.notice).to_have_class("notice wrong")
    assert {path: path.read_bytes() for path in folder.parent.rglob("*.y*ml")} == before

    tiny.labelled("Name to save the spec under").fill("new/kept")
    tiny.button("Save").click()
    expect(tiny.notice).to_have_text("saved new/kept.yaml")
    assert (folder / "new" / "kept.yaml").read_text() == text
    expect(tiny.labelled("Spec")).to_have_value("new/kept.yaml")
    (folder / "new" / "kept.yaml").write_text("changed: elsewhere\n")
    tiny.button("Save").click()
    expect(tiny.notice).to_contain_text("changed since it was opened")
    (folder / "new" / "kept.yaml").unlink()


def test_a_file_is_opened_from_the_visitors_machine(tiny: Inspector) -> None:
    given = tiny.labelled("Open a file from this computer")
    big = b"#" * (MAX_BYTES + 1)
    given.set_input_files({"name": "big.yaml", "mimeType": "text/yaml", "buffer": big})
    expect(tiny.notice).to_contain_text("more than 1 MB")
    mine = TINY.replace("Tiny", "Mine").encode()
    name = "..<b>mine"
    given.set_input_files({"name": name, "mimeType": "text/yaml", "buffer": mine})
    expect(tiny.row("")).to_contain_text("Mine")
    expect(tiny.labelled("Spec")).to_have_value("<b>mine.yaml")
    tiny.has_text(mine.decode())
