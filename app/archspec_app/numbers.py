"""Numbers for people: ``109.5 M`` and ``3.6 GiB``; the exact ones are told beside them."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.inspection import Figure

_THOUSANDS = ("k", "M", "G", "T", "P")
_BINARY = ("KiB", "MiB", "GiB", "TiB", "PiB")


def short(figure: Figure) -> str:
    """A figure in four digits at most, with its unit; ``≈`` before an estimate.

    >>> short(Figure(109483778, "parameters")), short(Figure(3 * 2**30, "bytes", exact=False))
    ('109.5 M', '≈ 3.000 GiB')
    """
    text = size(figure.value) if figure.unit == "bytes" else count(figure.value)
    return text if figure.exact else f"≈ {text}"


def count(value: int) -> str:
    """
    >>> count(999), count(1500), count(109483778), count(999_950)
    ('999', '1.500 k', '109.5 M', '1.000 M')
    """
    return _scaled(value, 1000, _THOUSANDS) or str(value)


def size(value: int) -> str:
    """
    >>> size(1000), size(437935112), size(2**30 - 1)
    ('1000 B', '417.6 MiB', '1.000 GiB')
    """
    return _scaled(value, 1024, _BINARY) or f"{value} B"


def _scaled(value: int, step: int, units: Sequence[str]) -> str | None:
    """In four digits of the largest unit that it reaches, once it is rounded."""
    for power in range(len(units), 0, -1):
        scaled = value / step**power
        if scaled >= 1 or _four(scaled * step) == _four(float(step)):
            return f"{_four(max(scaled, 1.0))} {units[power - 1]}"
    return None


def _four(value: float) -> str:
    digits = next((n for n, most in ((3, 9.9995), (2, 99.995), (1, 999.95)) if value < most), 0)
    return f"{value:.{digits}f}"
