"""Graphviz: which one runs, what it is given, and what may come out of it."""

from __future__ import annotations

import stat
import struct
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.drawing import Arrow, Box, Drawing, graphviz_engines

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    'a"];n0->n1[URL="javascript:alert()"];x["',
    "back\\\\N\\\\G\\\\",
    "\\\\",
    "&lt;b&gt;&#60;&quot;",
    "<b>bold</b>",
    "--></title><script>",
    "]]>",
    "名前-λ-🙂",
    "a|b<d>",
    "*/;shapefile=",
]
ITEMS = "".join(
    f"          '{name}': {{type: Linear, in_features: 4, out_features: 4, bias: {bias}}}\n"
    for name, bias in zip(HOSTILE, ["true", "false"] * len(HOSTILE), strict=False)
)
TEXT = f"""archspec: 1
model: M
dims: {{batch: 2}}
blocks:
  Inner:
    inputs: {{x: [batch, 4]}}
    modules:
      d:
        type: ModuleDict
        items:
{ITEMS}
    forward:
      - for: m in d
        do: [{{x: m(x)}}]
      - return: einsum('bi,bi->b', x, x)
  M:
    inputs: {{x: [batch, 4]}}
    modules: {{inner: {{type: Inner}}}}
    forward: [{{return: inner(x)}}]
"""


@pytest.fixture
def pure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with no ``dot`` on its PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))


def drawing(*names: str, **facts: Any) -> Drawing:
    """Boxes of these names in a row."""
    nodes = tuple(
        Box(f"n{i}", "module", name, type=name, path=name, link=name, text=name, state="trainable")
        for i, name in enumerate(names)
    )
    edges = tuple(Arrow(f"n{i}", f"n{i + 1}", (1,), "[1]") for i in range(len(names) - 1))
    given = {"spec": "spec", "block": "B", "path": "", "dims": {}, "freeze": None, **facts}
    return Drawing(nodes=nodes, edges=edges, **given)


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ElementTree.fromstring(svg).iter(f"{SVG}text")]


# --------------------------------------------------------------------------------------- engines


def test_graphviz_pure_is_found_off_the_path(pure: None) -> None:
    assert Path(graphviz_engines.engine()).stem == "graphviz-pure"
    assert "relu_" in texts(archspec.draw("resnet18", block="BasicBlock").svg())


@pytest.mark.skipif(sys.platform == "win32", reason="a script as a program")
def test_dot_on_the_path_comes_first(pure: None, tmp_path: Path) -> None:
    real, fake = graphviz_engines.engine(), tmp_path / "dot"
    fake.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexec "{real}" "$@"\n')
    fake.chmod(fake.stat().st_mode | stat.S_IXUSR)
    assert graphviz_engines.engine() == str(fake)
    assert archspec.draw("resnet18", block="BasicBlock").png()[:4] == b"\x89PNG"
    assert (tmp_path / "asked").read_text() == "-Kdot -Tpng -Gsize=100,100 -Gdpi=120\n"


def missing(name: str) -> Any:
    raise metadata.PackageNotFoundError(name)


def test_without_graphviz(pure: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(metadata, "files", missing)
    monkeypatch.setattr(graphviz_engines.sysconfig, "get_path", lambda name: str(tmp_path))
    found = archspec.draw("resnet18")
    for render in (found.svg, found.png):
        with pytest.raises(archspec.UsageError) as caught:
            render()
        assert (caught.value.code, caught.value.message) == ("E801", "drawing needs Graphviz")
        assert "pip install graphviz-pure" in caught.value.hint
    assert found._repr_svg_() is None
    assert found.dot.startswith("digraph {")
    assert repr(found) == "<Drawing resnet18: modules: 58 nodes, 57 edges>"


@pytest.mark.parametrize(
    ("outcome", "message"),
    [
        (subprocess.TimeoutExpired("dot", 7), "Graphviz took more than 7 seconds"),
        (OSError(8, "Exec format error"), "Graphviz cannot be run: Exec format error"),
        ((1, b"", b"Error: out of memory\nmore"), "Graphviz failed: Error: out of memory"),
        ((0, b"", b""), "Graphviz failed: no message"),
        ((0, b"x" * 101, b""), "the drawing has more than 0 MiB"),
    ],
)
def test_graphviz_gives_up(outcome: Any, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], **how: Any) -> Any:
        assert how["timeout"] == 7
        if isinstance(outcome, Exception):
            raise outcome
        return subprocess.CompletedProcess(command, *outcome)

    monkeypatch.setattr(graphviz_engines, "MAX_BYTES", 100)
    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(archspec.UsageError) as caught:
        drawing("a").svg(seconds=7)
    assert caught.value.code == "E801" and caught.value.message == message


# ------------------------------------------------------------------------------------- hostility


@pytest.mark.parametrize("block", [None, "Inner"])
def test_hostile_names(block: str | None) -> None:
    spec = archspec.loads(TEXT, name='<img src=x>"\\N&amp;.yaml')
    found = archspec.draw(spec, block=block)
    svg = found.svg()
    shown = "\n".join(texts(svg))
    for name in HOSTILE:
        assert name in shown, name
    check_harmless(svg)
    links = {e.get("href") for e in ElementTree.fromstring(svg).iter(f"{SVG}a")}
    assert links <= {"M.svg", "Inner.svg"}


def check_harmless(svg: str) -> None:
    allowed = {"svg", "g", "a", "polygon", "polyline", "path", "ellipse", "text", "title"}
    for element in ElementTree.fromstring(svg).iter():
        assert element.tag.removeprefix(SVG) in allowed
        assert not [name for name in element.attrib if name.startswith("on") or ":" in name]
        assert "style" not in element.attrib and "id" not in element.attrib
    assert "<!" not in svg and "<?" not in svg


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@settings(max_examples=40)
@given(st.lists(NAMES, min_size=1, max_size=4), NAMES, NAMES)
def test_any_text_stays_a_text(names: list[str], spec: str, note: str) -> None:
    found = drawing(*names, spec=spec, block=f"B{note}", notes=(note,), dims={note: 1})
    svg = found.svg()
    check_harmless(svg)
    boxes = [e for e in ElementTree.fromstring(svg).iter(f"{SVG}g") if e.get("class") == "node"]
    legend = 2
    assert len(boxes) == len(names) + legend


def test_foreign_svg_is_cleaned() -> None:
    given = ElementTree.fromstring(
        '<svg xmlns="http://www.w3.org/2000/svg" onload="x()" width="3"><script>1</script>'
        '<foreignObject/><image href="x"/><style>a</style><g onclick="x()" style="a" class="node">'
        '<a href="B.svg" onclick="x()"><path d="M0" fill="#fff"/></a></g></svg>'
    )
    cleaned = graphviz_engines._cleaned(given)
    assert cleaned is not None
    assert ElementTree.tostring(cleaned).decode() == (
        '<svg width="3"><g class="node"><a href="B.svg"><path d="M0" fill="#fff" /></a></g></svg>'
    )


def test_a_link_is_quoted() -> None:
    found = drawing("a", '"/?#&\\ é').with_links("{}.svg?x=1&y=2")
    links = [e.get("href") for e in ElementTree.fromstring(found.svg()).iter(f"{SVG}a")]
    assert links == ["a.svg?x=1&y=2", "%22%2F%3F%23%26%5C%20%C3%A9.svg?x=1&y=2"]


# ----------------------------------------------------------------------------------------- files


@pytest.mark.parametrize(
    "links",
    ['javascript:alert("{}")', "JavaScript:{}", " javascript:1", "java\tscript:{}", "data:,{}", 1],
)
def test_links_that_run_something_are_refused(links: Any) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        drawing("a").with_links(links)
    assert caught.value.code == "E801" and "no pattern of links" in caught.value.message


@pytest.mark.parametrize(
    ("links", "href"),
    [
        ('/x?a="{}"', "/x?a=%22a%22"),
        ("<{}>", "%3Ca%3E"),
        ("{}\\", "a\\"),
        ("&lt;{}", "&lt;a"),
        ("https://example.org/{}?t=1:2", "https://example.org/a?t=1:2"),
        ("#x:{}", "#x:a"),
    ],
)
def test_links_are_escaped(links: str, href: str) -> None:
    svg = drawing("a").with_links(links).svg()
    assert [e.get("href") for e in ElementTree.fromstring(svg).iter(f"{SVG}a")] == [href]


def test_svg_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archspec.drawing.graphviz_engines.render", lambda *given: b"<svg")
    with pytest.raises(archspec.UsageError, match="Graphviz made no SVG"):
        drawing("a").svg()


def test_tooltips_tell_the_line_of_the_spec() -> None:
    svg = archspec.draw("bert", block="BertPooler").svg()
    tips = [e.text or "" for e in ElementTree.fromstring(svg).iter(f"{SVG}title")]
    assert any(tip.startswith("operation · [:, 0] · ") and ".yaml:" in tip for tip in tips)
    assert not any(tip.startswith("n0") for tip in tips)
    assert ElementTree.fromstring(svg).get("aria-label") == "bert: BertPooler"


def test_save(tmp_path: Path) -> None:
    found = archspec.draw("bert", block="BertPooler")
    for name in ("a.svg", "b.PNG", "c.dot"):
        found.save(tmp_path / name)
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == found.svg()
    head = (tmp_path / "b.PNG").read_bytes()[:24]
    width, height = struct.unpack(">II", head[16:])
    assert head[:4] == b"\x89PNG" and 400 < width < 2_000 and 300 < height < 2_000
    assert (tmp_path / "c.dot").read_bytes().decode() == found.dot
    for name in ("d.pdf", "d"):
        with pytest.raises(archspec.UsageError) as caught:
            found.save(tmp_path / name)
        assert caught.value.code == "E801" and (
            caught.value.hint == "there are svg, png, dot; draw_canvas writes html"
        )
        assert not (tmp_path / name).exists()


def test_a_notebook_shows_svg_without_links() -> None:
    shown = archspec.draw("bert", block="BertLayer")._repr_svg_()
    assert shown is not None and "href" not in shown and "BertAttention" in shown


def test_each_box_is_found_by_its_id() -> None:
    found = archspec.draw("resnet18", block="BasicBlock")
    groups = [e for e in ElementTree.fromstring(found.svg()).iter() if "data-node" in e.attrib]
    names = {e.get("data-node"): "".join(e.itertext()) for e in groups}
    assert names.keys() == {box.id for box in found.nodes}
    assert all(box.name in names[box.id] for box in found.nodes if box.kind == "module")
