"""What is in the way of torchmetrics, and is put aside."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from archspec.errors import UsageError
from archspec.training import environment


@pytest.fixture
def torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A torchvision in place of the one that is installed, if any."""
    for name in [one for one in sys.modules if one.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    package = tmp_path / "torchvision"
    package.mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("torchvision", "torchvision.rest", "torchvision._meta_registrations"):
        monkeypatch.setitem(sys.modules, name, None)  # to be taken away at the end
        del sys.modules[name]
    return package


def test_a_torchvision_of_another_pytorch_stands(torchvision: Path) -> None:
    (torchvision / "__init__.py").write_text("from torchvision import _meta_registrations, rest")
    reason = "raise RuntimeError('operator torchvision::nms does not exist')"
    (torchvision / "_meta_registrations.py").write_text(reason)
    (torchvision / "rest.py").write_text("")
    environment.require()
    assert sys.modules["torchvision"].rest is sys.modules["torchvision.rest"]
    assert not hasattr(sys.modules["torchvision._meta_registrations"], "__file__")


@pytest.mark.parametrize("error", ["RuntimeError", "ImportError", "OSError"])
def test_a_torchvision_that_cannot_be_imported(error: str, torchvision: Path) -> None:
    (torchvision / "__init__.py").write_text(f"raise {error}('no such operator\\nand more')")
    with pytest.raises(UsageError) as caught:
        environment.require()
    assert caught.value.code == "E801"
    assert caught.value.message == "torchvision cannot be imported: no such operator"
    assert "torchvision._meta_registrations" not in sys.modules
