"""How the page looks: calm and dense, with the fonts that are on the reader's machine."""

from __future__ import annotations

from gradio.themes import Base

from archspec_app.component import ASSETS, CANVAS_ASSETS

FONT = ["ui-sans-serif", "system-ui", "sans-serif"]
MONO = ["ui-monospace", "SF Mono", "Cascadia Code", "DejaVu Sans Mono", "monospace"]


def theme() -> Base:
    return Base(
        primary_hue="teal", neutral_hue="slate", text_size="sm", spacing_size="sm",
        radius_size="sm", font=FONT, font_mono=MONO,
    )  # fmt: skip


def head() -> str:
    """The styles that Gradio must not change."""
    return f"<style>{(ASSETS / 'states.css').read_text(encoding='utf-8')}</style>"


def css() -> str:
    """Rules for Gradio's markup, then those of the page, then those of its parts."""
    first = [ASSETS / "framework.css", ASSETS / "page.css"]
    others = (file for file in ASSETS.glob("*.css") if file not in (*first, ASSETS / "states.css"))
    parts = [*first, CANVAS_ASSETS / "canvas.css", *sorted(others)]
    return "\n".join(part.read_text(encoding="utf-8") for part in parts)
