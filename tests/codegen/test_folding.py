"""Long statements stand as formatters would fold them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from archspec.codegen.line_breaks import fold

RUFF = Path(sys.executable).with_name("ruff")
LEADS = ["self.head.weight = self.", "return self.", "x = "]


def test_names_without_brackets() -> None:
    """They go into brackets of their own, unless they do not fit there either."""
    texts = [lead + "x" * (length - len(lead)) for lead in LEADS for length in range(70, 100)]
    statements = ["\n".join(fold(text, 4)) for text in texts]
    assert {statement.count("\n") for statement in statements} == {0, 2}
    source = "".join(f"def f{i}(self):\n{body}\n\n\n" for i, body in enumerate(statements))
    source = source.rstrip("\n") + "\n"
    command = [RUFF, "format", "--isolated", "--stdin-filename", "long.py", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=True)
    assert done.stdout == source
