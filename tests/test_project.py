"""The project as a whole: tools are content, files agree with each other, the wheel is whole."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import archspec

ROOT = Path(__file__).parent.parent
BIN = Path(sys.executable).parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]


def run(*command: str | Path) -> str:
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        pytest.fail(f"{' '.join(map(str, command))}\n{done.stdout}", pytrace=False)
    return done.stdout


SCRIPTS = "app archspec/drawing/assets tests/app/assets"
CHECKS = [
    "ruff check",
    "ruff format --check",
    "pyright",
    "lint-imports",
    f"oxlint -c app/.oxlintrc.json --ignore-pattern *_libraries.js {SCRIPTS}",
    f"oxfmt -c app/.oxfmtrc.json --check {SCRIPTS} !**/*_libraries.js",
]


@pytest.mark.parametrize("check", CHECKS)
def test_check(check: str) -> None:
    tool, *arguments = check.split()
    run(BIN / tool, *arguments)
    assert f"\t$(BIN)/{check}\n" in (ROOT / "Makefile").read_text(), "make check runs the same"


CONTRACTS = PYPROJECT["tool"]["importlinter"]["contracts"]
LAYERS: list[str] = next(one["layers"] for one in CONTRACTS if one.get("containers"))
PURE: list[str] = next(one["source_modules"] for one in reversed(CONTRACTS))


def test_codegen_and_every_layer_below_it_are_held_to_be_pure() -> None:
    names = re.findall(r"\w+", "\n".join(LAYERS))
    below = [f"archspec.{name}" for name in names[names.index("codegen") :]]
    assert set(PURE) == {name for name in below if importlib.util.find_spec(name)}


def test_the_pure_layers_leave_torch_alone() -> None:
    """import-linter reads the imports that are written down; this sees those that happen."""
    run(sys.executable, "-c", f"import sys, {', '.join(PURE)}; sys.exit('torch' in sys.modules)")


def test_versions_agree() -> None:
    assert PROJECT["version"] == archspec.__version__ == importlib.metadata.version("archspec-nn")


def test_the_licence_is_named() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert PROJECT["license-files"] == ["LICENSE"]
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License\n                           Version 2.0, January 2004" in text
    assert "Copyright 2026 The archspec authors" in text


def test_constraints_are_exact_versions() -> None:
    assert pins()["torch"] == "2.13.0"
    for name, version in pins().items():
        assert re.fullmatch(r"[0-9]+(\.[0-9a-z]+)*", version), f"{name}=={version}"


@pytest.mark.parametrize("extra", ["", *PROJECT["optional-dependencies"]])
def test_constraints_pin_what_pyproject_asks_for(extra: str) -> None:
    asked = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in map(Requirement, asked):
        assert requirement.specifier, f"{requirement} has no floor"
        version = pins()[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement}, pinned to {version}"


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    home = re.compile(r"(?<![\w.~])/(?:home|private|root|Users|work)/\w")
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, files.split("\0")):
        path = ROOT / name
        text = path.read_bytes().decode(errors="ignore") if path.is_file() else ""
        found = [line for line in text.splitlines() if home.search(line)]
        assert not found, f"{name}: {found[0][:200]}"


def test_the_wheel_holds_the_package_and_nothing_beside_it(tmp_path: Path) -> None:
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    info = f"archspec_nn-{PROJECT['version']}.dist-info"
    assert {name.split("/")[0] for name in names} == {"archspec", "archspec_app", info}
    assert f"{info}/licenses/LICENSE" in names

    def installed(folder: str, pattern: str) -> set[str]:
        found = (ROOT / folder).rglob(pattern)
        return {p.relative_to((ROOT / folder).parent).as_posix() for p in found}

    assert {"archspec/py.typed", "archspec/specs/text/bert.yaml"} <= names
    assert installed("archspec", "*.py") | installed("archspec", "*.json") <= names
    inspector = "app/archspec_app"
    assets = {p.suffix for p in (ROOT / inspector / "assets").iterdir()}
    assert assets == {".js", ".css"} and installed(inspector, "*.py") <= names
    assert installed(inspector, "*.js") | installed(inspector, "*.css") <= names
    assert {f"archspec/{spec}" for spec in installed("specs", "*.*")} <= names


def test_make_alone_lists_the_targets() -> None:
    listed = re.findall(r"^  make (\w+) +\S", run("make", "--no-print-directory"), re.M)
    assert " ".join(listed) == "help demo app test check docs bench fuzz screenshots clean"


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text().splitlines()[-1] == "make test"


def test_every_promise_names_a_test_that_tries_to_break_it() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "Tried by" not in line]
    assert len(rows) > 15
    named = [re.findall(r"`(tests/[^`]+)`", row) for row in rows]
    assert all(named), [row for row, tests in zip(rows, named, strict=True) if not tests]
    missing = [one for tests in named for one in tests if not _is_test(one)]
    assert not missing


def _is_test(name: str) -> bool:
    file, _, function = name.partition("::")
    path = ROOT / file
    return path.is_file() and f"def {function or 'test_'}" in path.read_text(encoding="utf-8")


def test_few_modules_stand_beside_the_packages() -> None:
    modules = sorted(path.name for path in (ROOT / "archspec").glob("*.py"))
    assert len(modules) <= 12, modules
