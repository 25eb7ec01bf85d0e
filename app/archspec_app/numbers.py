"""Numbers for people: ``109.5 M`` and ``3.6 GiB``; the exact ones are told beside them."""

from __future__ import annotations

from archspec.inspection import Figure

_THOUSANDS = ((10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
_BINARY = ((2**50, "PiB"), (2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB"))


def short(figure: Figure) -> str:
    """A figure in four digits at most, with its unit; ``≈`` before an estimate.

    >>> short(Figure(109483778, "parameters")), short(Figure(3 * 2**30, "bytes", exact=False))
    ('109.5 M', '≈ 3.000 GiB')
    """
    text = size(figure.value) if figure.unit == "bytes" else count(figure.value)
    return text if figure.exact else f"≈ {text}"


def count(value: int) -> str:
    """
    >>> count(999), count(1500), count(109483778)
    ('999', '1.500 k', '109.5 M')
    """
    for unit, name in _THOUSANDS:
        if value >= unit:
            return f"{_four(value / unit)} {name}"
    return str(value)


def size(value: int) -> str:
    """
    >>> size(1000), size(437935112)
    ('1000 B', '417.6 MiB')
    """
    for unit, name in _BINARY:
        if value >= unit:
            return f"{_four(value / unit)} {name}"
    return f"{value} B"


def _four(value: float) -> str:
    digits = 3 if value < 10 else 2 if value < 100 else 1 if value < 1000 else 0
    return f"{value:.{digits}f}"
