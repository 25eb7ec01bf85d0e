"""An inspection as people and programs get it: text, HTML, plain data."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import click
import pytest
from rich.console import Console

import archspec
from archspec.inspection.report import rows

DATA = Path(__file__).parents[1] / "inputs"
Golden = Callable[[str, str], None]


@pytest.mark.parametrize(
    ("name", "source", "options", "width"),
    [
        ("bert", "bert", {"batch": 8}, None),
        ("bert-last-2-and-head-100", "bert", {"freeze": "last-2-and-head"}, 100),
        ("resnet18", "resnet18", {}, None),
        ("gpt2-80", DATA / "gpt2.yaml", {"precision": "bf16-mixed"}, 80),
    ],
)
def test_text(
    name: str, source: str, options: dict[str, object], width: int | None, golden: Golden
) -> None:
    found = archspec.inspect(source, **options)  # type: ignore[arg-type]
    golden(f"inspection/{name}.txt", click.unstyle(found.text(width)) + "\n")


@pytest.mark.parametrize("width", [80, 120, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    lines = click.unstyle(archspec.inspect("resnet18").text(width)).split("\n")
    assert max(map(len, lines)) <= width
    assert ("declared" in lines[3]) == (width == 200)


def labels(source: str | archspec.Spec, **options: object) -> list[str]:
    return [row.label for row in rows(archspec.inspect(source, **options).root)]  # type: ignore[arg-type]


def test_equal_neighbours_are_folded() -> None:
    assert "(0-11): 12 × BertLayer" in labels("bert")
    frozen = labels("bert", freeze="last-2-and-head")
    assert "(0-9): 10 × BertLayer" in frozen and "(10-11): 2 × BertLayer" in frozen
    assert "(0): BasicBlock" in labels("resnet18")


def test_what_is_shared_is_said() -> None:
    found = archspec.inspect(DATA / "gpt2.yaml")
    shown = click.unstyle(found.text())
    assert "\n  (lm_head): Linear (weight shared) " in shown
    assert "\nShared, counted once: lm_head.weight is transformer.wte.weight.\n" in shown
    assert "lm_head.weight is transformer.wte.weight" in found._repr_html_()


def test_rich_prints_it(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=100, force_jupyter=False).print(archspec.inspect("resnet18"))
    printed = capsys.readouterr().out
    assert re.search(r"^  parameters +11,689,512 +parameters +exact *$", printed, re.M)


def test_json_holds_everything() -> None:
    found = archspec.inspect("bert", freeze=["**", "!classifier"])
    data = found.to_dict()
    assert json.loads(json.dumps(data, allow_nan=False)) == data
    assert data["macs"] == {"value": 11_174_217_216, "unit": "MACs", "exact": True}
    assert data["memory"]["training"]["optimizer"]["value"] == 8 * 1_538
    assert data["memory"]["training"]["activations"]["exact"] is False
    assert data["freeze"] == ["**", "!classifier"]
    assert data["dims"] == {"batch": 1, "seq": 128}
    classifier = data["tree"]["children"][-1]
    assert classifier["path"] == "classifier" and classifier["outputs"] == [[1, 2]]
    assert classifier["file"].endswith("bert.yaml") and classifier["line"] == 17


HOSTILE = """
archspec: 1
model: Net
dims: {batch: 1}
blocks:
  Net:
    inputs: {x: [batch, 4]}
    modules:
      parts:
        type: ModuleDict
        items:
          "<script>alert(1)</script>": {type: Linear, in_features: 4, out_features: 4}
          "[bold]x[/bold]": {type: Linear, in_features: 4, out_features: 4}
    forward:
      - for: part in parts
        do:
          - x: part(x)
      - return: x
"""


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_hostile_names_are_text() -> None:
    found = archspec.inspect(archspec.loads(HOSTILE, name='"><img src=x>.yaml'))
    parser = _Tags()
    parser.feed(found._repr_html_())
    assert parser.tags == {"div", "p", "b", "br", "table", "caption", "thead", "tbody", "tr"} | {
        "th",
        "td",
    }
    assert "(<script>alert(1)</script>): Linear" in parser.texts
    assert "([bold]x[/bold]): Linear" in parser.texts
    shown = click.unstyle(found.text())
    assert "\x1b" not in shown
    assert "([bold]x[/bold]): Linear" in shown


def test_html_shows_what_the_text_shows() -> None:
    found = archspec.inspect("bert", batch=8)
    parser = _Tags()
    parser.feed(found._repr_html_())
    for word in re.findall(r"[\d,]{5,}", click.unstyle(found.text())):
        assert any(word in part for part in parser.texts), word
