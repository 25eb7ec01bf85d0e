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
        ("f.{s + 1}.{i}", "b.{s}.{i}", "f.3.0.weight", "b.2.0.weight"),
        ("f.{s+1}", "b.{ s }", "f.0", None),  # s would be -1
        ("f.{s}", "b.{s - 1}", "f.0", None),
        ("f.{2 * s + 1}", "b.{s}", "f.7.w", "b.3.w"),
        ("f.{2 * s + 1}", "b.{s}", "f.6.w", None),
        ("f.{s}", "b.{3*s - 1}", "f.2.w", "b.5.w"),
        ("f.{s}", "b.{s}", "f.01", None),
        ("f.{s}", "b.{s}", "f.x", None),
        ("block{s}.block{s}-{i}.a", "s{s}.b{i + 1}.a", "block2.block2-0.a", "s2.b1.a"),
        ("block{s}.block{s}-{i}.a", "s{s}.b{i + 1}.a", "block2.block1-0.a", None),
        ("f.{i}.block.{k}.fc", "f.{i}.fc", "f.3.block.2.fc.bias", "f.3.fc.bias"),
        ("a.{i}.*.b", "x.*.{i}", "a.4.q.b.w", "x.q.4.w"),
        ("**.a.{i}.b.{i + 1}", "**.c.{i}", "a.1.b.1.a.1.b.2", "a.1.b.1.c.1"),
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
        ("{i}..b", "{i}", "{i}..b", (3, 5), "a name is missing"),
        ("a.{i}", "b.{j}", "b.{j}", (0, 5), "'b.{j}' has the number {j}, which 'a.{i}' has not"),
        ("a.{i}", "b.*", "b.*", (0, 3), "'a.{i}' has the wildcards none, 'b.*' has *: both sides"),
        (
            "a.{i * 2}",
            "b.{i}",
            "a.{i * 2}",
            (2, 9),
            "a number in braces is {i}, {i + 1} or {2 * i - 1}",
        ),
        ("a.{i", "b.{i}", "a.{i", (2, 3), "a number in braces is {i}, {i + 1} or {2 * i - 1}"),
        ("a.x{i}*", "b.{i}*", "a.x{i}*", (2, 7), "a number in braces stands in a name without"),
        ("a.1{i}", "b.{i}", "a.1{i}", (2, 6), "a number in braces stands in a name without"),
        (
            "a.{i}{j}",
            "b.{i}.{j}",
            "a.{i}{j}",
            (2, 8),
            "a number in braces stands in a name without",
        ),
        ("a", "b**", "b**", (0, 3), "'**' stands alone between dots"),
    ],
)
def test_not_a_rename(
    ours: str, foreign: str, wrong: str, stretch: tuple[int, int], message: str
) -> None:
    with pytest.raises(PatternError, match=f"^{re.escape(message)}") as caught:
        parse_rename(ours, foreign)
    assert (caught.value.text, (caught.value.start, caught.value.end)) == (wrong, stretch)
