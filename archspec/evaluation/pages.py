"""The report on trained classes as Markdown, and their confusion matrices as SVG."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from archspec.report.markdown import code, plain, table
from archspec.report.text import printable, shortened
from archspec.tasks.figures import FIGURES, figure_name

MAX_TABLE = 20  # classes of a confusion matrix that is a table
MAX_PICTURE = 100
_MAX_CONFUSIONS = 10
_MAX_TEXT = 120
_CELL, _MARGIN, _TOP = 34, 130, 140  # pixels
_MAX_NAME = 18
_COLUMNS = {
    "iou": "IoU", "precision": "precision", "recall": "recall", "f1": "F1",
    "support": "support", "pixels": "pixels",
}  # fmt: skip
_COUNTS = ("support", "pixels")


def picture_name(split: str) -> str:
    """The file of a split's confusion matrix."""
    return f"confusion-{split}.svg"


def markdown(title: str, facts: Sequence[tuple[str, str]], report: Mapping[str, Any]) -> str:
    """The report as a page.

    Args:
        title: of the page.
        facts: what is said of the run, a name and a value each.
        report: as ``class_report`` or ``segmentation_report`` makes it.
    """
    lines = [f"# {plain(title)}", "", *table(("", ""), [(plain(n), plain(v)) for n, v in facts])]
    splits: Mapping[str, Mapping[str, Any]] = report["splits"]
    keys = [key for key in FIGURES if all(key in split for split in splits.values())]
    lines += ["Figures of the best weights.", ""]
    rows = [
        (name, f"{split['count']:,}", *(f"{split[key]:.4f}" for key in keys))
        for name, split in splits.items()
    ]
    unit = report.get("unit", "rows")
    lines += table(
        ("split", "rows" if unit == "rows" else "images", *map(figure_name, keys)), rows, "---:"
    )
    lines += _calibration(report, splits)
    for name, split in reversed([*splits.items()]):  # the test first
        lines += [*_classes(name, split), *_confusion(name, report["labels"], split, unit)]
        lines += _mistakes(name, split)
    return "\n".join(lines).rstrip() + "\n"


def _calibration(
    report: Mapping[str, Any], splits: Mapping[str, Mapping[str, Any]]
) -> Iterator[str]:
    temperature = report.get("temperature")
    if temperature is None:
        return
    yield from ("## Calibration", "")
    yield f"Fitted on the validation split: temperature {temperature:.4g}, which divides logits."
    yield "The calibration error is how far probabilities are from how often they are right."
    yield ""
    rows = [
        (name, _number(split["calibration_error"]), _number(split["calibrated_error"]))
        for name, split in splits.items()
    ]
    yield from table(("split", "calibration error", "with the temperature"), rows, "---:")
    thresholds: Mapping[str, float] | None = report["thresholds"]
    if thresholds is None:
        return
    yield from ("The thresholds with the highest F1 on the validation split:", "")
    yield from table(
        ("label", "threshold"), [(code(n), f"{t:.4f}") for n, t in thresholds.items()], "---:"
    )
    scored = [(name, split["f1_at"]) for name, split in splits.items() if split["f1_at"]]
    rows = [(name, _number(one["0.5"]), _number(one["best"])) for name, one in scored]
    kind = "F1" if len(thresholds) == 1 else "macro F1"
    yield from table(("split", f"{kind} at 0.5", f"{kind} at the thresholds"), rows, "---:")


def _classes(name: str, split: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"## Classes: {name}", "")
    shown = [key for key in _COLUMNS if key in split["classes"][0]]
    rows = [
        (code(one["label"]), *(f"{one[k]:,}" if k in _COUNTS else f"{one[k]:.4f}" for k in shown))
        for one in split["classes"]
    ]
    yield from table(("label", *(_COLUMNS[key] for key in shown)), rows, "---:")
    if split.get("not_finite"):
        yield from (f"{split['not_finite']:,} rows have no finite numbers and are left out.", "")


def _confusion(
    name: str, labels: Sequence[str], split: Mapping[str, Any], unit: str
) -> Iterator[str]:
    confusion: list[list[int]] | None = split.get("confusion")
    if confusion is None:
        return
    yield from (f"## Confusion: {name}", "")
    if len(labels) <= MAX_TABLE:
        yield from ("Rows are true labels, columns predicted ones.", "")
        rows = [(code(label), *map(str, row)) for label, row in zip(labels, confusion, strict=True)]
        yield from table(("", *map(code, labels)), rows, "---:")
    cells = [
        (count, labels[i], labels[j])
        for i, row in enumerate(confusion)
        for j, count in enumerate(row)
        if i != j and count
    ]
    if len(labels) > 2 and cells:
        yield from ("The most frequent:", "")
        most = sorted(cells, key=lambda cell: -cell[0])[:_MAX_CONFUSIONS]
        rows = [(code(true), code(said), f"{count:,}") for count, true, said in most]
        yield from table(("label", "predicted", unit), rows, "---:")
    if len(labels) <= MAX_PICTURE:
        yield from (f"![Confusion matrix]({picture_name(name)})", "")


def _mistakes(name: str, split: Mapping[str, Any]) -> Iterator[str]:
    mistakes: list[Mapping[str, Any]] = split.get("mistakes", [])
    if not mistakes:
        return
    yield from (f"## Most confident mistakes: {name}", "")
    if "has_it" in mistakes[0]:
        head = ("row", "label", "has it", "probability", "input")
        rows = [
            (f"{one['row']:,}", code(one["label"]), "yes" if one["has_it"] else "no",
             f"{one['probability']:.4f}", _input(one["input"]))
            for one in mistakes
        ]  # fmt: skip
    else:
        head = ("row", "label", "predicted", "probability", "input")
        rows = [
            (f"{one['row']:,}", code(one["label"]), code(one["predicted"]),
             f"{one['probability']:.4f}", _input(one["input"]))
            for one in mistakes
        ]  # fmt: skip
    yield from table(head, rows)


def _input(value: str | Sequence[str]) -> str:
    texts = [value] if isinstance(value, str) else value
    return " / ".join(plain(shortened(text, _MAX_TEXT)) for text in texts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def confusion_svg(labels: Sequence[str], confusion: Sequence[Sequence[int]]) -> str:
    """A confusion matrix as a picture: the darker, the greater the part of the true label.

    >>> confusion_svg(["no", "<yes>"], [[3, 1], [0, 4]]).count("<rect")
    5
    """
    size = len(labels)
    cell = _CELL if size <= MAX_TABLE else max(8, _CELL * MAX_TABLE // size)
    width, height = _MARGIN + cell * size + 20, _TOP + cell * size + 20
    names = [escape(printable(shortened(label, _MAX_NAME))) for label in labels]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="{min(11, cell)}">',
        '<rect width="100%" height="100%" fill="#fff"/>',
        f'<text x="8" y="{_TOP - 6}" fill="#666">true</text>',
        f'<text x="{_MARGIN}" y="16" fill="#666">predicted</text>',
    ]
    for i, name in enumerate(names):
        middle = i * cell + cell / 2
        parts.append(
            f'<text x="{_MARGIN - 6}" y="{_TOP + middle + 4:g}" text-anchor="end">{name}</text>'
        )
        x = _MARGIN + middle
        parts.append(f'<text transform="translate({x + 4:g} {_TOP - 6}) rotate(-60)">{name}</text>')
    for i, row in enumerate(confusion):
        total = sum(row)
        for j, count in enumerate(row):
            share = count / total if total else 0.0
            x, y = _MARGIN + j * cell, _TOP + i * cell
            parts.append(
                f'<rect x="{x}" y="{y}" width="{cell}" height="{cell}" fill="#4c78a8" '
                f'fill-opacity="{share:.3f}" stroke="#ddd"/>'
            )
            if size <= MAX_TABLE and count:
                color = "#fff" if share > 0.6 else "#333"
                parts.append(
                    f'<text x="{x + cell / 2:g}" y="{y + cell / 2 + 4:g}" text-anchor="middle" '
                    f'fill="{color}">{count}</text>'
                )
    return "\n".join([*parts, "</svg>", ""])
