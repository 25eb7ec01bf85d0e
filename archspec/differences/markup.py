"""Changes as Markdown for a pull request, and as HTML; nothing of a spec becomes markup."""

from __future__ import annotations

from collections.abc import Sequence

from archspec.differences import text_lines
from archspec.differences.change_set import ChangeSet
from archspec.report.markdown import code, plain, table
from archspec.report.tables import safe_html

_SIGNS = {"kept": "=", "added": "+", "removed": "−", "changed": "~", "moved": "→"}
_STYLE = """\
body { font: 14px/1.5 system-ui, sans-serif; margin: 2rem; color-scheme: light dark; }
table { border-collapse: collapse; margin: 0 0 1.5rem; }
th, td { text-align: left; padding: .15rem .8rem .15rem 0; vertical-align: top; }
td { font-family: ui-monospace, monospace; }
td.number { text-align: right; }
"""
_COLORS = {
    "kept": "transparent",
    "added": "#1a7f37",
    "removed": "#cf222e",
    "changed": "#9a6700",
    "moved": "#0969da",
}


# ---------------------------------------------------------------------------------------- Markdown


def markdown(change_set: ChangeSet) -> str:
    """As ``Diff.to_markdown``."""
    lines = [f"### {code(change_set.old)} → {code(change_set.new)}", ""]
    if not change_set:
        lines += [text_lines.verdict(change_set), ""]
    for title, changes in text_lines.sections(change_set):
        head = ["", title, "change", "where"]
        rows = [
            [_SIGNS[line.kind], *map(code, (line.what, line.how)), plain(line.where)]
            for line in changes
        ]
        lines += table(head, rows, "---")
    for figures in text_lines.figures(change_set):
        head = [figures.title, code(change_set.old), code(change_set.new), "difference"]
        lines += table(head, [[plain(cell) for cell in row] for row in figures.rows], "---:")
    lines += [f"{plain(note)}  " for note in change_set.notes]
    return "\n".join(lines).rstrip() + "\n"


# -------------------------------------------------------------------------------------------- HTML


def page(change_set: ChangeSet) -> str:
    """As ``Diff.to_html``."""
    title = safe_html(text_lines.title(change_set))
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{title}</title>'
        f"<style>\n{_STYLE}</style></head>\n<body>\n{fragment(change_set)}\n</body>\n</html>\n"
    )


def fragment(change_set: ChangeSet) -> str:
    """The same without a page around it, for a notebook."""
    parts = [f"<h3>{safe_html(text_lines.title(change_set))}</h3>"]
    if not change_set:
        parts.append(f"<p>{safe_html(text_lines.verdict(change_set))}</p>")
    for title, lines in text_lines.sections(change_set):
        parts.append(f"<h4>{title}</h4>\n<table>{''.join(map(_change, lines))}</table>")
    for figures in text_lines.figures(change_set):
        head = "".join(
            f"<th>{safe_html(name)}</th>" for name in ("", change_set.old, change_set.new, "")
        )
        body = "".join(_numbers(row) for row in figures.rows)
        parts.append(f"<h4>{figures.title}</h4>\n<table><tr>{head}</tr>{body}</table>")
    parts += [f"<p>{safe_html(note)}</p>" for note in change_set.notes]
    content = "\n".join(parts)
    return f'<div class="archspec-diff">{content}</div>'


def _change(line: text_lines.Line) -> str:
    cells = "".join(f"<td>{safe_html(text)}</td>" for text in (line.what, line.how, line.where))
    style = f"border-left:3px solid {_COLORS[line.kind]};padding-left:.5rem"
    return f'<tr><td style="{style}">{safe_html(_SIGNS[line.kind])}</td>{cells}</tr>\n'


def _numbers(row: Sequence[str]) -> str:
    cells = "".join(f'<td class="number">{safe_html(cell)}</td>' for cell in row[1:])
    return f"<tr><td>{safe_html(row[0])}</td>{cells}</tr>\n"
