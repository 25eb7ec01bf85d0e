"""Whatever the text: it comes back as it was dumped, or is refused; with either parser alike."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st

from archspec.errors import SpecError
from archspec.lang.yaml import MAX_DIGITS, Listing, Mapping, Node, Scalar, parse, plain, reading


def parsed(text: str) -> Mapping:
    root, problems = parse(text)
    assert problems == []
    return root


class Dumper(yaml.SafeDumper):
    """Writes every string in quotes, as text that could be read as something else has to be."""

    def represent_text(self, data: str) -> yaml.ScalarNode:
        # In single quotes PyYAML leaves line separators as they are, which we refuse.
        style = "'" if data.isprintable() and len(data) % 2 else '"'
        return self.represent_scalar("tag:yaml.org,2002:str", data, style=style)


Dumper.add_representer(str, Dumper.represent_text)

TEXT = st.text(max_size=12)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**MAX_DIGITS) + 1, 10**MAX_DIGITS - 1),
    st.floats(),
    TEXT,
    st.sampled_from(["no", "1e3", "~", "!fc", "*a", "a: b", "x # y", "- z", "a\nb\n", "\t", "'\""]),
)
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(
    data=st.dictionaries(TEXT, DATA, max_size=4),
    style=st.fixed_dictionaries(
        {
            "default_flow_style": st.sampled_from([None, True, False]),
            "width": st.sampled_from([8, 20, 80]),
            "allow_unicode": st.booleans(),
            "line_break": st.sampled_from(["\n", "\r\n", "\r"]),
            "indent": st.sampled_from([2, 5]),
        }
    ),
)
def test_what_is_dumped_comes_back(data: dict[str, object], style: dict[str, Any]) -> None:
    text = yaml.dump(data, Dumper=Dumper, sort_keys=False, **style)
    assume("\\\\" + style["line_break"] not in text)  # PyYAML folds wrongly in narrow columns
    assert repr(plain(parsed(text))) == repr(data)  # as reprs: nan is nan, and 1 is not True


PIECES = [
    *[
        "a",
        "b: ",
        "key: v\n",
        "- ",
        "\n",
        "\n  ",
        "\n    ",
        "[",
        "]",
        "{",
        "}",
        ", ",
        "? ",
        ": ",
        "#",
        " # c",
    ],
    *[
        "'x'",
        '"y"',
        "'",
        '"',
        "|\n  ",
        ">-\n",
        "|",
        "&a ",
        "*a",
        "*b",
        "!c ",
        "!c",
        "\\n",
        "\\",
        "\t",
        "~",
    ],
    *[
        "😀",
        "中",
        "é",
        "\r\n",
        "\r",
        "\u2028",
        "\ufeff",
        "\0",
        "\ud800",
        "%",
        "@",
        "---",
        "\n---\n",
        "...",
        "<<",
    ],
    *[
        "http://x",
        "a:b",
        "?",
        "x?",
        "|#",
        "{k: }",
        "[k: ]",
        "''",
        '"\\ud800"',
        '"\\U00110000"',
        "!<%ED%A0%80> ",
    ],
]


@given(st.lists(st.sampled_from(PIECES), max_size=14).map("".join) | st.text())
def test_any_text_is_read_or_refused_the_same_by_both_parsers(text: str) -> None:
    fast, slow = outcome(text, getattr(yaml, "CSafeLoader", None)), outcome(text, None)
    assert fast == slow


def outcome(text: str, loader: object) -> object:
    """The whole tree and all problems, as values that can be compared."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reading, "_FAST", loader)
        try:
            root, problems = parse(text)
        except SpecError as error:
            return error.problems
    return list(described(root)), problems


def described(node: Node) -> Iterator[object]:
    span = node.span
    yield type(node), span.line, span.column, span.end_line, span.end_column
    assert (span.line, span.column) <= (span.end_line, span.end_column)
    match node:
        case Scalar():
            yield repr(node.value), node.text, node.plain
            for start in range(len(node.text) + 1):
                yield node.place(start, start + 1)
        case Listing():
            for item in node.items:
                yield from described(item)
        case Mapping():
            for key, entry in node.entries.items():
                yield key, entry.key.place()
                yield from described(entry.value)


@given(
    words=st.lists(
        st.sampled_from(["bn1(x)", "+", "é", "😀", "中", "$a[0]", "in_planes", "!="]), min_size=1
    ),
    gaps=st.lists(st.sampled_from([" ", "  "]), min_size=20),
    quote=st.sampled_from(["", "'", '"']),
    before=st.sampled_from(["a: ", "é😀: ", "中:\n  - ", "a: &x "]),
    data=st.data(),
)
def test_stretches_show_what_they_are_of(
    words: list[str], gaps: list[str], quote: str, before: str, data: st.DataObject
) -> None:
    text = "".join(word + gap for word, gap in zip(["x", *words], gaps * 10, strict=False)).strip()
    node: Node = parsed(before + quote + text + quote)
    while not isinstance(node, Scalar):
        node = next(
            iter(
                node.items
                if isinstance(node, Listing)
                else (e.value for e in node.entries.values())
            )
        )
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    assert node.text == text
    place = node.place(start, end)
    assert place.source[place.column - 1 : place.end_column - 1] == text[start:end]
