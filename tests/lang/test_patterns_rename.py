"""Renames from our paths to foreign ones."""

from __future__ import annotations

import re

import pytest

from archspec.lang.patterns import PatternError, Rename, parse_rename
from tests.tables import every


@every(
    ("ours", "foreign", "path", "expected"),
    [
        ("fc", "head", "fc", "head"),
        ("fc", "head", "fc.weight", "head.weight"),
        ("fc", "head", "fc2.weight", None),
        ("fc", "head", "x.fc", None),
        ("**.fc.**", "**.head.**", "x.fc.weight", "x.head.weight"),
        ("**.fc", "**.head", "fc", "head"),
        ("**.shortcut.**", "**.downsample.**", "layer2.0.shortcut.1", "layer2.0.downsample.1"),
        ("**.LayerNorm.weight", "**.LayerNorm.gamma", "a.LayerNorm.weight", "a.LayerNorm.gamma"),
        ("layer.*.out", "h.*.proj", "layer.3.out.bias", "h.3.proj.bias"),
        ("layer*.*", "stages.*.blocks.*", "layer2.5.conv", "stages.2.blocks.5.conv"),
        ("a*.**.b*", "*.x.**.y*z", "a1.m.n.b2.w", "1.x.m.n.y2z.w"),
        ("**", "model.**", "fc.weight", "model.fc.weight"),
        ("**", "model.**", "", "model"),
        ("backbone.**", "**", "backbone.conv1", "conv1"),
        ("layer*", "*", "layer", None),  # no name is left
        ("**.a.b", "**.c", "a.x.a.b.w", "a.x.c.w"),
        ("**.a", "**.b", "x.a.y.a", "x.b.y.a"),
        ("**.a", "**.b", "b.a", "b.b"),
        ("**.layers", "**", "f.d1.layers.l0.weight", "f.d1.l0.weight"),
        ("**.layers.**", "**.**", "f.d1.layers.l0.weight", "f.d1.l0.weight"),
        ("**.layers.*.**", "**.*.**", "f.d1.layers.l0.weight", "f.d1.l0.weight"),
        ("*.*.layers.*", "*.*.*", "f.d1.layers.l0.weight", "f.d1.l0.weight"),
        ("**.a.**", "**.x.**.y", "p.a.q.r", "p.x.q.r.y"),
        ("a.**", "b", "a.x.weight", "b.x.weight"),
    ],
)
def test_rename(ours: str, foreign: str, path: str, expected: str | None) -> None:
    rename = parse_rename(ours, foreign)
    assert rename == Rename(new=ours, old=foreign)
    assert rename.to_foreign(path) == expected


@pytest.mark.parametrize(
    ("ours", "foreign", "wrong", "stretch", "message"),
    [
        ("a", "b.*", "b.*", (0, 3), "'a' has the wildcards none, 'b.*' has *: both sides need"),
        (
            "*.**.a",
            "**.*.a",
            "**.*.a",
            (0, 6),
            "'*.**.a' has the wildcards * **, '**.*.a' has ** *",
        ),
        ("a*", "*a*", "*a*", (0, 3), "'a*' has the wildcards *, '*a*' has * *: both sides need"),
        ("a[0].b", "b", "a[0].b", (1, 4), "a rename cannot have '[0]'"),
        ("a", "b.@Linear", "b.@Linear", (2, 9), "a rename cannot have '@Linear'"),
        ("a", "!b", "!b", (0, 1), "a rename cannot have '!'"),
        ("a..b", "a", "a..b", (1, 3), "a name is missing"),
        ("a", "b**", "b**", (0, 3), "'**' stands alone between dots"),
    ],
)
def test_not_a_rename(
    ours: str, foreign: str, wrong: str, stretch: tuple[int, int], message: str
) -> None:
    with pytest.raises(PatternError, match=f"^{re.escape(message)}") as caught:
        parse_rename(ours, foreign)
    assert (caught.value.text, (caught.value.start, caught.value.end)) == (wrong, stretch)
