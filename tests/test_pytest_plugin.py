"""The fixture ``archspec_snapshot``, in runs of pytest of their own."""

from __future__ import annotations

import pytest

from archspec.lang.packaged import packaged_specs

SPEC = packaged_specs()["resnet18"].read_text(encoding="utf-8")
TEST = """
def test_model(archspec_snapshot):
    archspec_snapshot("net.yaml")
"""


@pytest.fixture
def project(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makefile(".yaml", net=SPEC)
    pytester.makepyfile(TEST)
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return project.runpytest_inprocess("-p", "no:xdist", "-p", "no:cacheprovider", *arguments)


def test_a_lock_file_is_written_and_held_to(project: pytest.Pytester) -> None:
    missing = run(project)
    missing.assert_outcomes(failed=1)
    missing.stdout.fnmatch_lines(["*net.lock does not exist: pytest --archspec-update*"])
    run(project, "--archspec-update").assert_outcomes(passed=1)
    assert "11689512" in (project.path / "net.lock").read_text(encoding="utf-8")
    run(project).assert_outcomes(passed=1)


def test_a_drift_fails_with_the_difference(project: pytest.Pytester) -> None:
    run(project, "--archspec-update").assert_outcomes(passed=1)
    changed = SPEC.replace("num_classes: {default: 1000", "num_classes: {default: 10")
    project.makefile(".yaml", net=changed)
    drifted = run(project)
    drifted.assert_outcomes(failed=1)
    drifted.stdout.fnmatch_lines(
        ["*fc  Linear, out_features 1000 → 10*", "*If that is meant: pytest --archspec-update*"]
    )
    drifted.stdout.no_fnmatch_line("*pytest_plugin.py*")


def test_a_wrong_spec_fails_with_its_place(project: pytest.Pytester) -> None:
    run(project, "--archspec-update").assert_outcomes(passed=1)
    project.makefile(".yaml", net=SPEC.replace("type: BatchNorm2d", "type: BatchNorm2", 1))
    wrong = run(project)
    wrong.assert_outcomes(failed=1)
    wrong.stdout.fnmatch_lines(["*net.yaml:*error?E206?*"])


def test_parameters_need_a_named_lock_file(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_unnamed(archspec_snapshot):
            archspec_snapshot("net.yaml", num_classes=10)

        def test_named(archspec_snapshot):
            archspec_snapshot("net.yaml", lock="ten.lock", num_classes=10)
        """
    )
    run(project, "--archspec-update").assert_outcomes(passed=1, failed=1)
    assert (project.path / "ten.lock").exists() and not (project.path / "net.lock").exists()


def test_a_lock_file_that_cannot_be_written(project: pytest.Pytester) -> None:
    project.makepyfile(
        """
        def test_nowhere(archspec_snapshot):
            archspec_snapshot("net.yaml", lock="nowhere/net.lock")

        def test_spec(archspec_snapshot):
            import archspec
            archspec_snapshot(archspec.load("net.yaml"), lock="spec.lock")
        """
    )
    found = run(project, "--archspec-update")
    found.assert_outcomes(passed=1, failed=1)
    found.stdout.fnmatch_lines(["*nowhere/net.lock: No such file or directory*"])


def test_paths_are_those_of_the_root_folder(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.makeini("[pytest]")
    run(project, "--archspec-update").assert_outcomes(passed=1)
    folder = project.mkdir("elsewhere")
    monkeypatch.chdir(folder)
    run(project, str(project.path)).assert_outcomes(passed=1)
