"""A canvas as one HTML file: the same script as on the inspector's page, and the data.

Names in a spec are untrusted. The data stands in an element that is not run, without a ``<``; the
script writes texts as text nodes; and a policy lets nothing else run or load.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from archspec.report.scripts import bundle
from archspec.report.text import printable

ASSETS = Path(__file__).parent / "assets"
"""The canvas's scripts and styles."""

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body class="canvas-page">
<main id="canvas" aria-label="Model"></main>
<script type="application/json" id="canvas-data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


def page(title: str, data: Mapping[str, Any]) -> str:
    """The whole file as text."""
    style = (ASSETS / "canvas.css").read_text(encoding="utf-8")
    script = bundle("standalone.js", (ASSETS,))
    policy = (
        f"default-src 'none'; script-src {_hash(script)}; style-src {_hash(style)}; "
        "img-src blob:; base-uri 'none'; form-action 'none'"
    )
    text = json.dumps(data, separators=(",", ":")).replace("<", "\\u003c")
    return _PAGE.format(
        policy=policy, title=escape(printable(title)), style=style, data=text, script=script
    )


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
