"""Weights in the folder of the page."""

from __future__ import annotations

import os
from pathlib import Path

from archspec.training.run_folder import BEST
from archspec_app.weight_files import runs_with_weights


def test_runs_with_weights_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for place, seconds in (("folder/runs/a", 2), ("folder/runs/b", 3), ("out", 4)):
        file = tmp_path / place / BEST
        file.parent.mkdir(parents=True)
        file.touch()
        os.utime(file, (seconds, seconds))
    (folder / "runs" / "empty").mkdir()
    (folder / "runs" / "link").symlink_to(tmp_path / "out")
    assert runs_with_weights(folder) == ["runs/b", "runs/a"]
    assert runs_with_weights(tmp_path) == []
