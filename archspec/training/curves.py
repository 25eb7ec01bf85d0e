"""The course of a run as a picture: losses and scores over epochs, as SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP, _RIGHT, _BOTTOM = 420, 260, 52, 30, 14, 34  # of one panel, pixels
_PANELS = (
    ("loss, nats", (("train_loss", "train", "#4c78a8"), ("loss", "validation", "#e45756"))),
    ("validation", (("accuracy", "accuracy", "#54a24b"), ("macro_f1", "macro F1", "#b279a2"))),
)
Point = tuple[float, float]


def curves(epochs: Sequence[Mapping[str, Any]]) -> str:
    """An SVG of two panels; it holds numbers and our own words only.

    >>> curves([{"epoch": 1, "loss": 0.5, "train_loss": 1.0}]).count("<circle")
    2
    """
    parts = [_panel(epochs, *panel, i * _WIDTH) for i, panel in enumerate(_PANELS)]
    size = f'width="{2 * _WIDTH}" height="{_HEIGHT}" viewBox="0 0 {2 * _WIDTH} {_HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11" fill="#333"'
    ground = '<rect width="100%" height="100%" fill="#fff"/>'
    body = "\n".join([ground, *parts])
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>\n{body}\n</svg>\n'


def _panel(
    epochs: Sequence[Mapping[str, Any]],
    title: str,
    series: Sequence[tuple[str, str, str]],
    shift: int,
) -> str:
    lines = {key: _points(epochs, key) for key, _, _ in series}
    every = [point for points in lines.values() for point in points]
    low = min((y for _, y in every), default=0.0)
    high = max((y for _, y in every), default=1.0)
    low, high = (low - 0.05, high + 0.05) if high - low < 1e-9 else (low, high)
    last = max((x for x, _ in every), default=1.0)
    found = [f'<g transform="translate({shift} 0)">', f'<text x="{_LEFT}" y="18">{title}</text>']
    found += _axes(low, high, last)
    for i, (key, name, colour) in enumerate(series):
        found += _line([_at(point, low, high, last) for point in lines[key]], colour)
        x = _WIDTH - _RIGHT - 80 * (len(series) - i)
        found.append(f'<text x="{x}" y="18" fill="{colour}">{name}</text>')
    return "\n".join([*found, "</g>"])


def _points(epochs: Sequence[Mapping[str, Any]], key: str) -> list[Point]:
    pairs = [(line.get("epoch"), line.get(key)) for line in epochs]
    return [
        (float(x), float(y))
        for x, y in pairs
        if isinstance(x, int | float) and isinstance(y, int | float) and math.isfinite(y)
    ]


def _at(point: Point, low: float, high: float, last: float) -> Point:
    x, y = point
    across = (x - 1) / max(last - 1, 1)
    up = (y - low) / (high - low)
    return (
        _LEFT + 6 + across * (_WIDTH - _LEFT - _RIGHT - 12),
        _HEIGHT - _BOTTOM - 6 - up * (_HEIGHT - _TOP - _BOTTOM - 12),
    )


def _axes(low: float, high: float, last: float) -> list[str]:
    left, bottom = _LEFT, _HEIGHT - _BOTTOM
    found = [
        f'<path d="M{left} {_TOP}V{bottom}H{_WIDTH - _RIGHT}" fill="none" stroke="#999"/>',
        f'<text x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 4}" text-anchor="end">epoch</text>',
    ]
    for share in (0, 0.5, 1):
        value = low + share * (high - low)
        _, y = _at((1, value), low, high, last)
        found.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">{value:.3g}</text>')
    for epoch in sorted({1, round((1 + last) / 2), round(last)}):
        x, _ = _at((epoch, low), low, high, last)
        found.append(f'<text x="{x:.1f}" y="{bottom + 15}" text-anchor="middle">{epoch}</text>')
    return found


def _line(points: Sequence[Point], colour: str) -> list[str]:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dots = [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colour}"/>' for x, y in points]
    return [f'<polyline points="{path}" fill="none" stroke="{colour}"/>', *dots] if points else []
