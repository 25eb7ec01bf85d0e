"""``archspec diff`` and ``archspec patch`` in a shell, and in git."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import archspec
from archspec.cli import main
from archspec.differences.deltas import compare
from archspec.differences.normal_form import content
from archspec.lang.packaged import packaged_specs

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, list(arguments))


def test_text() -> None:
    found = run("diff", "bert", "bert", "-p", "num_labels=3", "--level", "spec")
    assert found.exit_code == 0
    assert found.output.splitlines() == [
        "bert → bert num_labels=3",
        "",
        "Spec",
        "  ~  params.num_labels  2 → 3  bert.yaml:7 → -p num_labels=3",
    ]


def test_json_is_what_the_function_gives() -> None:
    found = run("diff", "resnet18", "resnet34", "--json", "--level", "tree", "--level", "spec")
    expected = archspec.diff("resnet18", "resnet34", levels=["spec", "tree"]).to_dict()
    assert json.loads(found.output) == json.loads(json.dumps(expected))
    assert run("diff", "resnet18", "resnet34", "--to", "json", "--level", "tree").exit_code == 0


@pytest.mark.parametrize(
    ("form", "start"), [("markdown", "### `bert` → `resnet18`"), ("html", "<!DOCTYPE html>")]
)
def test_other_forms_go_to_a_file(form: str, start: str, tmp_path: Path) -> None:
    file = tmp_path / "diff"
    found = run("diff", "bert", "resnet18", "--level", "tree", "--to", form, "-o", str(file))
    assert (found.exit_code, found.output) == (0, "")
    assert file.read_text(encoding="utf-8").startswith(start)
    run("diff", "bert", "resnet18", "--level", "tree", "-o", str(file))
    assert file.read_text(encoding="utf-8").startswith("bert → resnet18\n\nTree\n")


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["bert", "bert"], 0),
        (["bert", "resnet18"], 1),
        (["bert", "nothing"], 2),
        (["bert"], 2),
        (["bert", "bert", "bert"], 2),
    ],
)
def test_exit_code(arguments: list[str], status: int) -> None:
    assert run("diff", *arguments, "--level", "spec", "--exit-code").exit_code == status
    without = {1: 0, 2: 1 if "nothing" in arguments else 2}.get(status, 0)
    assert run("diff", *arguments, "--level", "spec").exit_code == without


def test_the_spec_level_imports_no_torch() -> None:
    code = (
        "import sys; from archspec.cli import main\n"
        "try: main(['diff', 'bert', 'resnet18', '--level', 'spec', '--level', 'tree'])\n"
        "except SystemExit as end: assert not end.code\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


# ------------------------------------------------------------------------------------------ patch


def test_a_diff_is_applied_to_another_spec(tmp_path: Path) -> None:
    change, result = tmp_path / "change.json", tmp_path / "changed.yaml"
    run("diff", "resnet18", "resnet34", "--json", "--level", "spec", "-o", str(change))
    found = run("patch", "resnet18", str(change), "-o", str(result))
    assert (found.exit_code, found.output) == (0, "")
    patched = archspec.load(result)
    assert compare(content(patched), content(archspec.load("resnet34"))) is None
    misfit = run("patch", "bert", str(change))
    assert misfit.exit_code == 1
    assert "error[E112]: the patch does not fit: at params.depths it expects" in misfit.output


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "Expecting property name"),
        ("[]", "has the key patch"),
        ('{"patch": 1}', "a change is a mapping"),
        ('{"patch": {"keys": {"a": {"add": 1, "by": 2}}}}', "a change has the keys"),
        ("[" * 100_000, "nested too deeply"),
        ('{"patch": {"add": ' + "[" * 600 + "]" * 600 + "}}", "nested too deeply"),
        ('{"patch": ' + '{"keys": {"a": ' * 200 + "null" + "}}" * 200 + "}", "nested too deeply"),
        ("\xff", "utf-8"),
    ],
)
def test_what_is_no_patch(text: str, reason: str, tmp_path: Path) -> None:
    file = tmp_path / "change.json"
    file.write_bytes(text.encode("latin-1"))
    found = run("patch", "bert", str(file))
    assert found.exit_code == 1
    assert "error[E106]" in found.output and reason in found.output


def test_a_patch_that_spoils_the_spec(tmp_path: Path) -> None:
    file, result = tmp_path / "change.json", tmp_path / "result.yaml"
    change = {
        "keys": {"params": {"keys": {"num_classes": {"remove": {"default": 1000, "min": 1}}}}}
    }
    file.write_text(json.dumps({"patch": change}))
    found = run("patch", "resnet18", str(file), "-o", str(result))
    assert found.exit_code == 1 and "error[E303]" in found.output and not result.exists()


def test_a_patch_that_is_not_there(tmp_path: Path) -> None:
    found = run("patch", "bert", str(tmp_path / "none.json"))
    assert found.exit_code == 1 and "No such file or directory" in found.output


# -------------------------------------------------------------------------------------------- git


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with BERT's specs, set up as the page on diffs says."""
    monkeypatch.chdir(tmp_path)
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PAGER_IN_USE", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    (tmp_path / "specs").mkdir()
    for name in ("bert", "bert-model"):
        (tmp_path / "specs" / f"{name}.yaml").write_bytes(packaged_specs()[name].read_bytes())
    (tmp_path / "specs" / "other.yaml").write_text("a: 1\n")
    (tmp_path / ".gitattributes").write_text("specs/*.yaml diff=archspec\n")
    git("init", "-q")
    git("config", "diff.archspec.command", f'"{sys.executable}" -m archspec diff --git')
    git("add", "-A")
    git("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "first")
    return tmp_path


def git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_git_shows_what_changed_in_the_model(repository: Path) -> None:
    spec = repository / "specs" / "bert.yaml"
    change(spec, "num_labels: {default: 2", "num_labels: {default: 3")
    change(spec, "classifier(dropout(pooled))", "classifier( dropout(pooled) )")
    assert git("diff").splitlines() == [
        "diff --archspec a/specs/bert.yaml b/specs/bert.yaml",
        "bert → bert",
        "",
        "Spec",
        "  ~  params.num_labels  2 → 3  bert.yaml:7",
        "",
        "Tree",
        "  ~  classifier  Linear, out_features 2 → 3  bert.yaml:17",
    ]


def test_git_shows_the_lines_of_what_is_no_spec_or_a_wrong_one(repository: Path) -> None:
    change(repository / "specs" / "bert-model.yaml", "{type: Tanh}", "{type: Tahn}")
    (repository / "specs" / "other.yaml").write_text("a: 2\n")
    shown = git("diff")
    assert "-      activation: {type: Tanh}\n+      activation: {type: Tahn}\n" in shown
    assert "specs/bert-model.yaml:115:26: error[E206]" in shown and "did you mean 'Tanh'?" in shown
    assert (
        "diff --archspec a/specs/other.yaml b/specs/other.yaml\n@@ -1 +1 @@\n-a: 1\n+a: 2\n"
        in shown
    )


def test_git_shows_files_that_come_and_go_and_move(repository: Path) -> None:
    (repository / "specs" / "new.yaml").write_text("archspec: 1\nextends: bert.yaml\n")
    git("add", "-A")
    git("rm", "-q", "--cached", "specs/other.yaml")
    git("mv", "specs/bert-model.yaml", "specs/encoder.yaml")
    change(
        repository / "specs" / "encoder.yaml", "{default: 768, min: 1}", "{default: 384, min: 1}"
    )
    git("add", "specs/encoder.yaml")
    shown = git("diff", "--cached", "-M")
    assert (
        "b/specs/new.yaml\nnew file\n@@ -0,0 +1,2 @@\n+archspec: 1\n+extends: bert.yaml\n" in shown
    )
    assert "a/specs/other.yaml b/specs/other.yaml\ndeleted file\n" in shown
    assert "diff --archspec a/specs/bert-model.yaml b/specs/encoder.yaml" in shown
    assert "params.hidden_size  768 → 384" in shown


def test_the_driver_never_fails_git(repository: Path) -> None:
    (repository / "specs" / "bert.yaml").write_bytes(b"archspec: \xff\x00\n\x1b[2J")
    shown = git("diff")
    assert "error[E1" in shown and "\x1b" not in shown and "-model: BertFor" in shown


def test_wrong_use_of_the_driver() -> None:
    found = run("diff", "--git", "x.yaml", "/nonexistent", "0", "0", "y.yaml", "0", "0")
    assert found.exit_code == 0 and "/nonexistent: No such file or directory" in found.output
    assert run("diff", "--git", "a", "b").exit_code == 2
    assert run("diff", "--git", "specs/x.yaml").output == "* specs/x.yaml: in conflict\n"
