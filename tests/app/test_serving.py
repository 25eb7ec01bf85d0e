"""``archspec app``: what is refused before anything is served, and what reaches the page."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from archspec.cli import main
from archspec_app import serving
from tests.app.page_server import free_port


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[dict[str, Any]]:
    """What the page was served with, instead of serving it."""
    found: list[dict[str, Any]] = []
    monkeypatch.setattr("archspec.cli.app_command._check_port", lambda host, port: None)
    monkeypatch.setattr(serving, "serve", lambda spec, **more: found.append({"spec": spec, **more}))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "mine.yaml").write_text("archspec: 1\n")
    return found


def run(*words: str) -> Result:
    return CliRunner().invoke(main, ["app", *words], catch_exceptions=False)


def test_what_is_asked_for_reaches_the_page(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    assert run().exit_code == 0
    assert run("part/mine.yaml", "--port", "8000", "--root-path", "/nets").exit_code == 0
    assert run(str(tmp_path / "part" / "mine.yaml"), "--folder", "part").exit_code == 0
    missing = run("nosuch")
    assert missing.exit_code == 1 and "no packaged spec is called 'nosuch'" in missing.output
    first, second, third = asked[:3]
    assert (first["spec"], first["host"], first["port"], first["auth"]) == (
        None, "127.0.0.1", 7860, None,
    )  # fmt: skip
    assert (second["spec"], second["port"], second["root_path"]) == (
        "part/mine.yaml",
        8000,
        "/nets",
    )
    assert (first["allow_hosts"], first["time_limit"]) == ((), 30)
    assert run("--allow-host", "a.lan", "--allow-host", "b:1", "--time-limit", "5").exit_code == 0
    assert (asked[3]["allow_hosts"], asked[3]["time_limit"]) == (("a.lan", "b:1"), 5)
    assert (third["spec"], third["folder"]) == ("mine.yaml", Path("part"))


def test_a_password_is_taken_from_the_environment(
    asked: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = run("--host", "0.0.0.0").output
    assert "No --auth" in told
    monkeypatch.setenv("ARCHSPEC_AUTH", "anna:a:b")
    assert "No --auth" not in run("--host", "0.0.0.0").output
    assert asked[1]["auth"] == ("anna", "a:b")


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--allow-host", "http://x"], "--allow-host takes NAME or NAME:PORT"),
     (["--time-limit", "0"], "1<=x<=3600"),
     (["--auth", "anna"], "--auth takes NAME:PASSWORD"), (["--auth", ":x"], "NAME:PASSWORD"),
     (["--folder", "nowhere"], "nowhere: no such folder"), (["--port", "0"], "1<=x<=65535"),
     (["nothing.yaml"], "nothing.yaml: no such file"),
     (["part/mine.yaml", "--folder", "part/../part/."], ""),
     (["../x.yaml"], "../x.yaml is not in .")],
)  # fmt: skip
def test_mistakes_are_told(asked: list[dict[str, Any]], words: list[str], said: str) -> None:
    found = run(*words)
    assert said in found.output
    assert found.exit_code == (2 if said else 0) and len(asked) == (0 if said else 1)


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = run("--folder", str(tmp_path), "--port", str(port))
    assert found.exit_code == 2
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in found.output
    found = run("--host", "no.such.host", "--port", str(port))
    assert found.exit_code == 2 and f"cannot listen on no.such.host:{port}: " in found.output


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "archspec_app.serving", raising=False)
    for name in [name for name in sys.modules if name.startswith("archspec_app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    found = run("--port", str(free_port()))
    assert found.exit_code == 2 and "needs the package gradio" in found.output
    assert "pip install 'archspec-nn[app,train]'" in found.output


def test_the_page_starts_without_what_only_runs_need() -> None:
    slow = ("lightning_fabric", "matplotlib", "torch._dynamo", "torchmetrics", "torchvision")
    found = f"[name for name in {slow} if name in sys.modules]"
    words = ["-c", f"import sys, archspec_app.worker_process; print({found})"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
