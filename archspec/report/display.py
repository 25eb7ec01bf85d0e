"""Results shown by rich: on terminals, in pipes and in notebooks."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_PADDING = re.compile(r"(?: |\x1b\[[0-9;]*m)+$", re.MULTILINE)  # among styles
_STYLE = re.compile(r"\x1b\[[0-9;]*m")
_UNBOUNDED = 10_000


def styled_text(drawn: RenderableType, width: int | None = None) -> str:
    """What rich draws, as text with styles and without padding or the last line break.

    Args:
        drawn: anything that rich can print.
        width: columns of the terminal; nothing is wrapped or left out without it.
    """
    stream = io.StringIO()
    _console(stream, width).print(drawn)
    text = stream.getvalue().rstrip("\n")
    return _PADDING.sub(lambda found: found[0].replace(" ", ""), text)


def html(drawn: RenderableType) -> str:
    """What rich draws, as a fragment of HTML: one ``pre``, escaped, with styles in place."""
    console = _console(io.StringIO(), None, record=True)
    console.print(drawn)
    template = '<pre style="font-family:monospace;line-height:1.3;overflow-x:auto">{code}</pre>'
    text = console.export_html(inline_styles=True, code_format=template)
    return re.sub(r" +$", "", text, flags=re.MULTILINE)


def _console(stream: io.StringIO, width: int | None, *, record: bool = False) -> Console:
    from rich.console import Console

    return Console(
        file=stream,
        width=width or _UNBOUNDED,
        record=record,
        force_terminal=True,
        force_jupyter=False,
        color_system="standard",
        legacy_windows=False,
        highlight=False,
        emoji=False,
        markup=False,
    )


class Displayed:
    """A result that ``print``, a terminal and a notebook can show.

    A subclass draws itself, in ``__rich__`` or ``__rich_console__``.
    """

    __slots__ = ()

    def text(self, width: int | None = None) -> str:
        """The result with styles, as the command line prints it on a terminal.

        Args:
            width: columns of the terminal; nothing is wrapped or left out without it.
        """
        return styled_text(cast("RenderableType", self), width)

    def __str__(self) -> str:
        return _STYLE.sub("", self.text())

    def _repr_html_(self) -> str:
        return html(cast("RenderableType", self))
