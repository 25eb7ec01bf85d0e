"""Text that is safe to print: names and messages come from specs, files and libraries of others."""

from __future__ import annotations

import unicodedata


def printable(text: str) -> str:
    """``text`` without the control and direction characters that could rewrite a terminal.

    Spaces of any kind stay.

    >>> printable("déjà vu\\x1b[2J")
    'déjà vu�[2J'
    """
    if text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _is_control(c) else c for c in text)


def _is_control(character: str) -> bool:
    return not character.isprintable() and unicodedata.category(character) != "Zs"


def printable_lines(text: str) -> str:
    """As ``printable``; line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def shortened(text: str, max_length: int) -> str:
    """``text`` in at most ``max_length`` characters, the last of them ``…`` if it is cut.

    >>> shortened("in_features", 5)
    'in_f…'
    """
    return text if len(text) <= max_length else f"{text[: max_length - 1]}…"


def first_line(error: BaseException | str, max_length: int = 300) -> str:
    """The first line of an error that another library raised, to be part of a message.

    The name of the error's class stands for an empty message. A key that is not there says so.

    >>> first_line(ValueError("not a number\\nTraceback …")), first_line(EOFError())
    ('not a number', 'EOFError')
    >>> first_line(KeyError("aux"))
    "there is no 'aux'"
    """
    name = "" if isinstance(error, str) else type(error).__name__
    text = f"there is no {error}" if type(error) is KeyError and error.args else str(error)
    lines = (line.strip() for line in text.splitlines())
    return printable(shortened(next(filter(None, lines), name), max_length))
