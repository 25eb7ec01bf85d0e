"""Numbers for people: ``109.5 M`` and ``3.600 GiB``, the same text wherever a figure is shown."""

from __future__ import annotations

from collections.abc import Sequence

_COUNT_UNITS = ("k", "M", "B", "T")  # thousands, millions, billions, as models are called
_DECIMAL_UNITS = ("k", "M", "G", "T", "P")
_BINARY_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def format_count(count: int) -> str:
    """A number of parameters or elements, in four digits; B is a billion, T a trillion.

    >>> [format_count(count) for count in (999, 1_500, 109_483_778, 999_950, 6_738_415_616)]
    ['999', '1.500 k', '109.5 M', '1.000 M', '6.738 B']
    """
    return _scaled(count, 1000, _COUNT_UNITS) or str(count)


def format_operations(count: int) -> str:
    """A number of multiply-accumulates or floating-point operations, in four digits.

    >>> format_operations(11_174_217_216)
    '11.17 G'
    """
    return _scaled(count, 1000, _DECIMAL_UNITS) or str(count)


def format_size(size: int) -> str:
    """A number of bytes, in at most four digits.

    >>> [format_size(size) for size in (1_000, 437_935_112, 2**30 - 1)]
    ['1000 B', '417.6 MiB', '1.000 GiB']
    """
    return _scaled(size, 1024, _BINARY_UNITS) or f"{size} B"


def _scaled(value: int, step: int, units: Sequence[str]) -> str | None:
    """In four digits of the largest unit that it reaches once it is rounded."""
    for power in range(len(units), 0, -1):
        scaled = value / step**power
        if scaled >= 1 or _four_digits(scaled * step) == _four_digits(float(step)):
            return f"{_four_digits(max(scaled, 1.0))} {units[power - 1]}"
    return None


def _four_digits(value: float) -> str:
    decimals = next((n for n, end in ((3, 9.9995), (2, 99.995), (1, 999.95)) if value < end), 0)
    return f"{value:.{decimals}f}"
