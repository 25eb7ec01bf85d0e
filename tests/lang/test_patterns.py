"""The pattern language: what is selected, what is refused, what is suggested."""

from __future__ import annotations

import pytest

from archspec.lang.patterns import (
    MAX_LENGTH,
    AnyDepth,
    Entry,
    Named,
    PatternError,
    Pick,
    Tree,
    Typed,
    parse,
)
from tests.tables import every


def tree_of(text: str) -> Tree:
    """A tree from lines ``path Type``; a line without a type is a tensor, "." is the root."""
    rows = [line.split() for line in text.strip().splitlines()]
    return Tree([Entry("" if row[0] == "." else row[0], (*row, None)[1]) for row in rows])


def bert(layers: int = 12) -> Tree:
    layer = """
        bert.encoder.layer.{i} BertLayer
        bert.encoder.layer.{i}.attention BertAttention
        bert.encoder.layer.{i}.attention.self BertSelfAttention
        bert.encoder.layer.{i}.attention.self.query Linear
        bert.encoder.layer.{i}.attention.self.query.weight
        bert.encoder.layer.{i}.attention.self.query.bias
        bert.encoder.layer.{i}.output BertOutput
        bert.encoder.layer.{i}.output.LayerNorm LayerNorm
        bert.encoder.layer.{i}.output.LayerNorm.weight"""
    return tree_of(f"""
        . BertForSequenceClassification
        bert BertModel
        bert.embeddings BertEmbeddings
        bert.embeddings.position_ids
        bert.embeddings.word_embeddings Embedding
        bert.embeddings.word_embeddings.weight
        bert.embeddings.LayerNorm LayerNorm
        bert.embeddings.LayerNorm.weight
        bert.encoder BertEncoder
        bert.encoder.layer ModuleList {"".join(layer.format(i=i) for i in range(layers))}
        classifier Linear
        classifier.weight
        classifier.bias""")


BERT = bert()
RESNET = tree_of("""
    . ResNet
    conv1 Conv2d
    conv1.weight
    bn1 BatchNorm2d
    layer1 Sequential
    layer1.0 BasicBlock
    layer1.0.conv1 Conv2d
    layer1.0.bn1 BatchNorm2d
    layer1.0.shortcut Sequential
    layer1.1 BasicBlock
    layer1.1.conv1 Conv2d
    layer1.1.bn1 BatchNorm2d
    layer1.1.shortcut Sequential
    layer2 Sequential
    layer2.0 BasicBlock
    layer2.0.conv1 Conv2d
    layer2.0.bn1 BatchNorm2d
    layer2.0.shortcut Sequential
    layer2.0.shortcut.0 Conv2d
    layer2.0.shortcut.1 BatchNorm2d
    layer2.1 BasicBlock
    layer2.1.conv1 Conv2d
    layer2.1.bn1 BatchNorm2d
    layer2.1.shortcut Sequential
    layer2.2 BasicBlock
    head Head
    head.fc Linear
    head.fc.weight""")
TREES = {"bert": BERT, "resnet": RESNET}


def tops(tree: Tree, pattern: str) -> list[str]:
    """The selected paths that have no selected path above them."""
    paths = [tree.entries[i].path for i in sorted(tree.select(parse(pattern)))]
    return [p for p in paths if not any(is_below(p, q) for q in paths if q != p)]


def is_below(path: str, top: str) -> bool:
    return path == top or top == "" or path.startswith(f"{top}.")


# what is selected


@every(
    ("tree", "pattern", "expected"),
    [
        # names
        ("resnet", "conv1", "conv1"),
        ("resnet", "!conv1", "conv1"),
        ("resnet", "fc", ""),
        ("resnet", "head.fc", "head.fc"),
        ("resnet", "head.fc.weight", "head.fc.weight"),
        ("resnet", "ayer1", ""),
        ("resnet", "Conv1", ""),
        ("bert", "bert.encoder.layer.1", "bert.encoder.layer.1"),
        # one name, and parts of one
        ("resnet", "*", "conv1 bn1 layer1 layer2 head"),
        ("resnet", "*.*.conv1", "layer1.0.conv1 layer1.1.conv1 layer2.0.conv1 layer2.1.conv1"),
        ("resnet", "conv*", "conv1"),
        ("resnet", "*1", "conv1 bn1 layer1"),
        ("resnet", "l*r*", "layer1 layer2"),
        ("resnet", "*a*e*", "layer1 layer2"),
        ("resnet", "layer1*", "layer1"),
        ("resnet", "*layer1*", "layer1"),
        ("resnet", "conv1*1", ""),
        ("bert", "bert.*.*Norm*", "bert.embeddings.LayerNorm"),
        # any depth
        ("resnet", "**.fc", "head.fc"),
        ("resnet", "layer1.**.bn1", "layer1.0.bn1 layer1.1.bn1"),
        ("resnet", "layer1.0.**.bn1", "layer1.0.bn1"),
        ("resnet", "**.0.**.0", "layer2.0.shortcut.0"),
        ("resnet", "layer1.**", "layer1"),
        ("resnet", "**.**.layer1.**.**", "layer1"),
        ("resnet", "**.*", "conv1 bn1 layer1 layer2 head"),
        ("resnet", "head.**.*", "head.fc"),
        ("resnet", "**.*.*.shortcut.*", "layer2.0.shortcut.0 layer2.0.shortcut.1"),
        # positions
        ("resnet", "layer2[0]", "layer2.0"),
        ("resnet", "layer2[-1]", "layer2.2"),
        ("resnet", "layer2[-3]", "layer2.0"),
        ("resnet", "layer2[3]", ""),
        ("resnet", "layer2[-4]", ""),
        ("resnet", "layer2[-2:]", "layer2.1 layer2.2"),
        ("resnet", "layer2[:1]", "layer2.0"),
        ("resnet", "layer2[::2]", "layer2.0 layer2.2"),
        ("resnet", "layer2[::-2]", "layer2.0 layer2.2"),
        ("resnet", "layer2[1:0:-1]", "layer2.1"),
        ("resnet", "layer2[-20:]", "layer2.0 layer2.1 layer2.2"),
        ("resnet", "layer2[2:1]", ""),
        ("resnet", "layer*[-1]", "layer1.1 layer2.2"),
        ("resnet", "layer*[-1].conv1", "layer1.1.conv1"),
        ("resnet", "layer*[:1].**.bn1", "layer1.0.bn1 layer2.0.bn1"),
        ("resnet", "**.shortcut[1]", "layer2.0.shortcut.1"),
        ("resnet", "layer2[0].shortcut[0]", "layer2.0.shortcut.0"),
        ("resnet", f"layer2[{'9' * 900}]", ""),
        ("bert", "bert.encoder.layer[-2:]", "bert.encoder.layer.10 bert.encoder.layer.11"),
        ("bert", "bert.embeddings[0]", "bert.embeddings.word_embeddings"),
        ("bert", "classifier[1]", "classifier.bias"),
        # types
        ("resnet", "@BatchNorm2d", "bn1 {1}.0.bn1 {1}.1.bn1 {2}.0.bn1 {2}.0.shortcut.1 {2}.1.bn1"),
        ("resnet", "**.@Linear", "head.fc"),
        ("resnet", "@Sequential.*.@Conv2d", "{1}.0.conv1 {1}.1.conv1 {2}.0.conv1 {2}.1.conv1"),
        ("resnet", "*.@Linear", "head.fc"),
        ("resnet", "@Sequential.@Conv2d", "layer2.0.shortcut.0"),
        ("resnet", "@Linear.weight", "head.fc.weight"),
        ("resnet", "@BatchNorm", ""),
        # the root
        ("resnet", "**", "."),
        ("resnet", "@ResNet", "."),
        ("resnet", "**.@ResNet", "."),
        ("resnet", "*.@ResNet", ""),
        ("resnet", "@ResNet.@Conv2d", "conv1"),
        ("resnet", "@ResNet.**.@Linear", "head.fc"),
    ],
)
def test_select(tree: str, pattern: str, expected: str) -> None:
    paths = expected.replace("{1}", "layer1").replace("{2}", "layer2").split()
    assert tops(TREES[tree], pattern) == ["" if path == "." else path for path in paths]


def test_a_path_brings_its_subtree() -> None:
    selected = RESNET.select(parse("head"))
    paths = [RESNET.entries[i].path for i in sorted(selected)]
    assert paths == ["head", "head.fc", "head.fc.weight"]


def test_the_last_match_wins() -> None:
    tree = tree_of(". Net\n a Linear\n a.weight\n b Linear\n b.weight")
    patterns = [parse(p) for p in ("**", "!b", "**.weight", "nothing", "!b.weight")]
    assert tree.last_match(patterns) == [0, 0, 2, 1, 4]
    assert tree.last_match([parse("a")]) == [None, 0, 0, None, None]
    assert tree.last_match([]) == [None] * 5


def test_parents_may_be_left_out() -> None:
    tree = tree_of("layer.1.weight\n layer.0.weight\n fc.weight")
    assert sorted(tree.select(parse("layer"))) == [0, 1]
    assert sorted(tree.select(parse("layer[0]"))) == [0]
    assert sorted(tree.select(parse("**"))) == [0, 1, 2]


def test_parents_may_come_later() -> None:
    tree = tree_of("layer.0.weight\n . Net\n layer ModuleList\n layer.0 Linear")
    assert sorted(tree.select(parse("layer[0]"))) == [0, 3]
    assert sorted(tree.select(parse("@ModuleList"))) == [0, 2, 3]


def test_a_path_cannot_occur_twice() -> None:
    with pytest.raises(ValueError, match="'a' occurs twice"):
        tree_of("a Linear\n a Linear")


def test_segments() -> None:
    assert parse("a*[-2:].**.**.@Linear.b[3]").segments == (
        Named("a*", Pick((-2, None))),
        AnyDepth(),
        Typed("Linear"),
        Named("b", Pick((3,))),
    )
    assert parse("!@Linear").segments == (AnyDepth(), Typed("Linear"))
    assert (parse("!fc").negated, parse("fc").negated) == (True, False)
    assert str(parse("!a[::2]")) == "!a[::2]"
    assert len({parse("a[1:]"), parse("a[1:]"), parse("a[1:2]")}) == 2


# what is refused


@every(
    ("text", "stretch", "message"),
    [
        ("", "", "an empty pattern; '**' selects everything"),
        ("!", "!", "an empty pattern; '**' selects everything"),
        (".", ".", "a name is missing"),
        (".fc", ".", "a name is missing"),
        ("fc.", ".", "a name is missing"),
        ("a..b", "..", "a name is missing"),
        ("a**", "a**", "'**' stands alone between dots"),
        ("x.***", "***", "'**' stands alone between dots"),
        ("**[0]", "**[0]", "'**' stands alone between dots"),
        ("!!fc", "!", "'!' cannot stand in a name"),
        ("a.!fc", "!", "'!' cannot stand in a name"),
        ("a. fc", " ", "' ' cannot stand in a name"),
        ("layer?", "?", "'?' cannot stand in a name"),
        (
            "fc$",
            "$",
            "'$' cannot stand in a name: patterns are no regular expressions,"
            " ** is any number of names",
        ),
        ("{a,b}", "{", "'{' cannot stand in a name"),
        ("a@Linear", "@", "'@' cannot stand in a name"),
        ("x.@", "@", "'@' takes the whole name of one type"),
        ("@Batch*", "@Batch*", "'@' takes the whole name of one type"),
        ("a.@2d.b", "@2d", "'@' takes the whole name of one type"),
        ("@ModuleList[0]", "[0]", "an index goes behind a name, not behind a type"),
        ("[0]", "[0]", "an index needs the container's name before it"),
        ("a.[0].b", "[0]", "an index needs the container's name before it"),
        ("layer[0", "[0", "a bracket without its partner"),
        ("layer0].a", "]", "a bracket without its partner"),
        ("layer]0[", "]0[", "a bracket without its partner"),
        ("layer[[0]]", "[[0]]", "a bracket without its partner"),
        ("layer[1.5]", "[1", "a bracket without its partner"),
        ("layer[0]conv.a", "conv", "an index ends its name; a dot goes between"),
        ("layer[0][1]", "[1]", "an index ends its name; a dot goes between"),
        ("layer[]", "[]", "neither an index nor a slice"),
        ("layer[x]", "[x]", "neither an index nor a slice"),
        ("layer[1,2]", "[1,2]", "neither an index nor a slice"),
        ("layer[--1]", "[--1]", "neither an index nor a slice"),
        ("layer[+1]", "[+1]", "neither an index nor a slice"),
        ("layer[ 1]", "[ 1]", "neither an index nor a slice"),
        ("layer[٣]", "[٣]", "neither an index nor a slice"),
        ("layer[1:2:3:4].a", "[1:2:3:4]", "neither an index nor a slice"),
        ("a.layer[::0].b", "[::0]", "a slice cannot have step 0"),
        ("layer[1:2:-0]", "[1:2:-0]", "a slice cannot have step 0"),
    ],
)
def test_not_a_pattern(text: str, stretch: str, message: str) -> None:
    with pytest.raises(PatternError) as caught:
        parse(text)
    error = caught.value
    assert (str(error), error.message, error.text) == (message, message, text)
    assert text[error.start : error.end] == stretch


def test_the_stretch_is_the_right_one_of_several() -> None:
    with pytest.raises(PatternError) as caught:
        parse("!a.b..c")
    assert (caught.value.start, caught.value.end) == (4, 6)


def test_the_length_is_limited() -> None:
    assert parse("a" * MAX_LENGTH).text
    with pytest.raises(PatternError, match="a pattern of 1001 characters; 1000 are the limit") as e:
        parse("a" * (MAX_LENGTH + 1))
    assert (e.value.start, e.value.end) == (1000, 1001)


# what is suggested


@every(
    ("tree", "pattern", "expected"),
    [
        ("bert", "bert.encoder.layers[-2:]", ["bert.encoder.layer[-2:]"]),
        ("bert", "!bert.encoder.layers[-2:]", ["!bert.encoder.layer[-2:]"]),
        ("bert", "bert.encoder.layer[20]", ["bert.encoder.layer[11] (12 children)"]),
        ("bert", "bert.encoder.layer[-20]", ["bert.encoder.layer[-12] (12 children)"]),
        ("bert", "bert.encoder.layer[12:]", ["bert.encoder.layer[11:] (12 children)"]),
        ("bert", "bert.encoder.layer[5:3]", ["bert.encoder.layer[:] (12 children)"]),
        ("bert", "**.layer[12].**.query", ["**.layer[11].**.query (12 children)"]),
        ("bert", "bert.encodr.layr[0].attn", ["bert.encoder.layer[0].attention"]),
        ("bert", "encoder.layer[0]", ["**.encoder.layer[0]"]),
        ("bert", "layers[0]", ["**.layer[0]"]),
        ("bert", "bert.layer[0]", ["bert.**.layer[0]"]),
        ("bert", "classifier.wieght", ["classifier.weight"]),
        ("bert", "**.layernorm", ["**.LayerNorm", "@LayerNorm"]),
        ("bert", "@Layernorm", ["@LayerNorm"]),
        ("bert", "BERT", ["bert"]),
        ("resnet", "fc", ["**.fc"]),
        ("resnet", "@BatchNorm", ["@BatchNorm2d"]),
        ("resnet", "@BatchNorm1d.weight", []),
        ("resnet", "head.@Conv2", []),
        ("resnet", "Linear", ["@Linear"]),
        ("resnet", "layer1.Conv2d", ["layer1.**.@Conv2d"]),
        ("resnet", "@fc", ["**.fc"]),
        ("resnet", "@Resnet", ["@ResNet"]),
        ("resnet", "layer", ["layer1", "layer2"]),
        ("resnet", "layer1[0].shortcut[0]", ["layer1[0].shortcut (no children)"]),
        ("resnet", "head.fc[1]", ["head.fc[0] (1 child)"]),
        ("resnet", "something_else", []),
    ],
)
def test_near_misses(tree: str, pattern: str, expected: list[str]) -> None:
    assert not TREES[tree].select(parse(pattern))
    assert TREES[tree].near_misses(parse(pattern)) == expected


def test_a_pattern_that_selects_something_has_no_near_misses() -> None:
    assert RESNET.near_misses(parse("conv1")) == []
