"""The hierarchy of modules, and albums of linked drawings."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

import archspec
from archspec.drawing import Drawing, pictures

DATA = Path(__file__).parents[1] / "inputs"
LLAMA = Path(__file__).parents[1] / "inspection" / "llama-3-405b.yaml"
Golden = Callable[[str, str], None]


def outline(drawing: Drawing) -> dict[str, tuple[str, int, int, str]]:
    """Path → type, times, parameters, state."""
    return {b.path: (b.type, b.times, b.parameters, b.state) for b in drawing.nodes}


def test_bert(golden: Golden) -> None:
    found = archspec.draw("bert", freeze="last-2-and-head")
    boxes = outline(found)
    assert boxes[""] == ("BertForSequenceClassification", 1, 109_483_778, "partly frozen")
    assert boxes["bert.embeddings"] == ("BertEmbeddings", 1, 23_837_184, "frozen")
    assert boxes["bert.encoder.layer.0"] == ("BertLayer", 10, 7_087_872, "frozen")
    assert boxes["bert.encoder.layer.10"] == ("BertLayer", 2, 7_087_872, "trainable")
    assert boxes["dropout"] == ("Dropout", 1, 0, "no parameters")
    assert "bert.encoder.layer.1" not in boxes
    assert found.nodes[0].trainable == 14_177_282
    names = {box.path: box.name for box in found.nodes}
    assert names["bert.encoder.layer.0"] == "layer[0-9]"
    golden("drawing/bert.dot", found.dot)


def test_every_box_but_the_root_has_one_parent() -> None:
    found = archspec.draw("resnet18")
    assert sorted(e.target for e in found.edges) == sorted(box.id for box in found.nodes[1:])
    assert {e.shape for e in found.edges} == {None}
    place = next(box.place for box in found.nodes if box.path == "layer2.1.bn2")
    assert place is not None and place.source.lstrip().startswith("bn2:")


@pytest.mark.parametrize(
    ("plan", "style", "said"),
    [
        ("all", 'style="filled,dashed"', "109.5 M, frozen"),
        ("none", 'fillcolor="#dcebfb"', "109.5 M"),
        ("head-only", 'fillcolor="#fbeecb"', "109.5 M, partly frozen"),
    ],
)
def test_a_state_is_a_colour_and_a_word(plan: str, style: str, said: str) -> None:
    line = next(
        line for line in archspec.draw("bert", freeze=plan).dot.splitlines() if " n0 [" in line
    )
    assert style in line and f'\\n{said}"' in line


def test_a_shared_parameter_is_told() -> None:
    found = archspec.draw(DATA / "gpt2.yaml")
    assert {box.path for box in found.nodes if box.shared} == {"lm_head"}
    assert "Linear · 38.60 M, shared" in found.dot


def test_the_same_text_every_time() -> None:
    for source in ("bert", DATA / "containers.yaml"):
        spec = archspec.load(source)
        assert archspec.draw(spec).dot == archspec.draw(archspec.load(source)).dot
    assert archspec.draw("bert") == archspec.draw("bert")


def test_a_large_model_is_small_on_paper() -> None:
    found = archspec.draw(LLAMA)
    assert len(found.nodes) == 20
    assert outline(found)["model.layers.0"][1] == 126
    assert "405.9 B" in found.dot


MANY = """archspec: 1
model: M
dims: {batch: 2}
blocks:
  Pair:
    params: {n: int}
    inputs: {x: [batch, 1]}
    modules:
      a: {type: Linear, in_features: 1, out_features: $n}
      b: {type: Linear, in_features: $n, out_features: 1}
    forward: [{return: b(a(x))}]
  M:
    inputs: {x: [batch, 1]}
    modules:
      many: {type: Sequential, items: [{type: Pair, n: $i + 1, repeat: 1000, index: i}]}
    forward: [{return: many(x)}]
"""


def test_thousands_of_distinct_modules() -> None:
    spec = archspec.loads(MANY)
    found = archspec.draw(spec)
    assert len(found.nodes) == 2 + 40 + 2 * 39
    assert "… and 961 more" in found.dot
    inside = archspec.draw(spec, block="M")
    assert len(inside.nodes) == 302 and inside.nodes[-2].name == "… and 701 more"
    with pytest.raises(archspec.UsageError) as caught:
        archspec.draw_all(spec)
    assert caught.value.message == "spec has 1,001 distinct blocks, too many to draw all"


# ---------------------------------------------------------------------------------------- albums


def test_an_album_has_each_distinct_block_once() -> None:
    found = archspec.draw_all("bert", freeze="last-2-and-head")
    assert list(found)[:3] == ["index", "BertForSequenceClassification", "BertModel"]
    assert found["BertLayer"].path == "bert.encoder.layer.0"
    assert found["BertLayer-2"].path == "bert.encoder.layer.10"
    assert len(found) == 18
    assert found["BertLayer-2"].above == (("all modules", "index"), ("BertEncoder", "BertEncoder"))
    links = [(box.name, box.link) for box in found["BertEncoder"].nodes if box.link]
    assert links == [("layer[0-9]", "BertLayer"), ("layer[10-11]", "BertLayer-2")]
    assert (
        archspec.draw("bert", block="BertLayer").nodes
        == archspec.draw_all("bert")["BertLayer"].nodes
    )


def test_every_link_of_an_album_leads_somewhere() -> None:
    found = archspec.draw_all("resnet18")
    assert len(found) == 9
    reached, waiting = set[str](), ["index"]
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += re.findall(r'URL="([^"]*)\.svg"', found[name].dot)
    assert reached == set(found)


def test_names_that_would_be_one_file() -> None:
    text = """archspec: 1
model: Index
dims: {batch: 2}
blocks:
  Net: {inputs: {x: [batch, 4]}, modules: {a: {type: ReLU}}, forward: [{return: a(x)}]}
  net: {inputs: {x: [batch, 4]}, modules: {a: {type: GELU}}, forward: [{return: a(x)}]}
  Index:
    inputs: {x: [batch, 4]}
    modules: {one: {type: Net}, two: {type: net}}
    forward: [{return: one(two(x))}]
"""
    found = archspec.draw_all(archspec.loads(text))
    assert list(found) == ["index", "Index-2", "Net", "net-2"]
    links = {box.name: box.link for box in found["Index-2"].nodes if box.kind == "module"}
    assert links == {"one": "Net", "two": "net-2"}


def test_links_are_as_one_likes() -> None:
    found = archspec.draw("bert", block="BertLayer")
    assert 'URL="BertAttention.svg"' in found.dot
    assert 'URL="#BertAttention"' in found.with_links("#{}").dot
    assert "URL" not in found.with_links("").dot


def test_the_bound_of_an_album(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_DRAWINGS", 7)
    with pytest.raises(archspec.UsageError, match="8 distinct blocks, too many"):
        archspec.draw_all("resnet18")
