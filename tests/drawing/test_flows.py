"""The data flow of one block: boxes, arrows, shapes, places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import archspec
from archspec.drawing import Arrow, Box, Drawing, flow_recorder, folding

DATA = Path(__file__).parents[1] / "inputs"
LLAMA = Path(__file__).parents[1] / "inspection" / "llama-3-405b.yaml"
Golden = Callable[[str, str], None]


def arrows(drawing: Drawing) -> list[str]:
    """``source -> target shape`` by the names of the boxes, in order."""
    names = {box.id: box.name for box in drawing.nodes}
    return [f"{names[e.source]} -> {names[e.target]} {e.text}" for e in drawing.edges]


def spec(forward: str, modules: str = "{}", more: str = "") -> archspec.Spec:
    """A model of one block that takes ``x`` and ``y``, both [batch, 4]."""
    steps = "".join(f"      - {step.strip()}\n" for step in forward.strip().splitlines())
    return archspec.loads(
        "archspec: 1\nmodel: M\ndims: {batch: 3}\nblocks:\n  M:\n"
        "    inputs: {x: [batch, 4], y: [batch, 4]}\n"
        f"    modules: {modules}\n{more}    forward:\n{steps}",
        name="spec.yaml",
    )


def flow(forward: str, modules: str = "{}", more: str = "") -> Drawing:
    return archspec.draw(spec(forward, modules, more), block="M")


# -------------------------------------------------------------------------------- real models


def test_attention(golden: Golden) -> None:
    found = archspec.draw("bert", block="BertSelfAttention", batch=8, freeze="last-2-and-head")
    assert found.path == "bert.encoder.layer.0.attention.self"
    assert found.notes == (
        "at bert.encoder.layer[0].attention.self",
        "one of 12 BertSelfAttention, 10 of them alike",
    )
    joined = {
        e.argument: e for e in found.edges if found.nodes_by_id[e.target].name[:6] == "scaled"
    }
    assert list(joined) == ["0", "1", "2", "attn_mask"]
    assert [joined[a].text for a in "012"] == ["[batch, 12, seq, 64]"] * 3
    assert joined["0"].shape == (8, 12, 128, 64)
    assert joined["attn_mask"].text == "[batch, 1, 1, seq]"
    assert {box.state for box in found.nodes if box.kind == "module"} == {"frozen"}
    golden("drawing/bert-BertSelfAttention.dot", found.dot)


def test_residual_connections_of_bert() -> None:
    found = archspec.draw("bert", block="BertLayer")
    assert arrows(found) == [
        "x -> attention [batch, seq, 768]",
        "mask -> attention [batch, 1, 1, seq]",
        "attention -> intermediate [batch, seq, 768]",
        "intermediate -> output [batch, seq, 3072]",
        "attention -> output [batch, seq, 768]",
        "output -> output [batch, seq, 768]",
    ]
    assert [e.argument for e in found.edges] == ["x", "mask", "x", "x", "residual", ""]


def test_a_block_with_a_shortcut(golden: Golden) -> None:
    """relu_ and add_ work in place: what follows comes from them."""
    found = archspec.draw("resnet18", block="layer2[0]")
    assert arrows(found) == [
        "x -> conv1 [batch, 64, 56, 56]",
        "conv1 -> bn1 [batch, 128, 28, 28]",
        "bn1 -> relu_ [batch, 128, 28, 28]",
        "relu_ -> conv2 [batch, 128, 28, 28]",
        "conv2 -> bn2 [batch, 128, 28, 28]",
        "x -> shortcut[0] [batch, 64, 56, 56]",
        "shortcut[0] -> shortcut[1] [batch, 128, 28, 28]",
        "bn2 -> add_ [batch, 128, 28, 28]",
        "shortcut[1] -> add_ [batch, 128, 28, 28]",
        "add_ -> relu_ [batch, 128, 28, 28]",
        "relu_ -> output [batch, 128, 28, 28]",
    ]
    golden("drawing/resnet18-BasicBlock-shortcut.dot", found.dot)


def test_a_block_without_a_shortcut(golden: Golden) -> None:
    found = archspec.draw("resnet18", block="BasicBlock")
    assert found.path == "layer1.0"
    assert found.notes[1] == "one of 8 BasicBlock, 2 of them alike"
    assert "x -> add_ [batch, 64, 56, 56]" in arrows(found)
    golden("drawing/resnet18-BasicBlock.dot", found.dot)


def test_places_are_the_steps() -> None:
    found = archspec.draw("bert", block="BertModel")
    text = Path("specs/text/bert-model.yaml")
    lines = (Path(archspec.__file__).parents[1] / text).read_text().splitlines()
    place = {box.name: box.place for box in found.nodes if box.place}
    assert "attention_mask is None" in lines[place["getitem"].line - 1]
    assert "encoder(embeddings(" in lines[place["embeddings"].line - 1]
    assert place["encoder"] == place["embeddings"] != place["pooler"]
    assert lines[place["input_ids"].line - 1].lstrip().startswith("input_ids:")
    data = {node["name"]: node for node in found.to_dict()["nodes"]}
    assert data["pooler"]["line"] == place["pooler"].line
    assert data["pooler"]["file"].endswith("bert-model.yaml")
    assert f'bert-model.yaml:{place["pooler"].line}"' in found.dot


def test_equal_layers_in_a_chain_are_one_box() -> None:
    found = archspec.draw("bert", block="BertEncoder", freeze="last-2-and-head")
    folded = [(b.name, b.times, b.state) for b in found.nodes if b.kind == "module"]
    assert folded == [("layer[0-9]", 10, "frozen"), ("layer[10-11]", 2, "trainable")]
    assert arrows(found) == [
        "x -> layer[0-9] [batch, seq, 768]",
        "mask -> layer[0-9] [batch, 1, 1, seq]",
        "layer[0-9] -> layer[10-11] [batch, seq, 768]",
        "mask -> layer[10-11] [batch, 1, 1, seq]",
        "layer[10-11] -> output [batch, seq, 768]",
    ]
    vit = archspec.draw(DATA / "vit-b-16.yaml", block="Encoder")
    assert ("layers.encoder_layer_0-11", 12) in [(b.name, b.times) for b in vit.nodes]
    llama = archspec.draw(LLAMA, block="LlamaModel")
    assert [(b.name, b.times) for b in llama.nodes if b.times > 1] == [("layers[0-125]", 126)]


def test_a_parameter_and_several_results() -> None:
    found = archspec.draw(DATA / "vit-b-16.yaml", block="VisionTransformer")
    token = next(box for box in found.nodes if box.kind == "tensor")
    assert (token.name, token.parameters, token.state) == ("class_token", 768, "trainable")
    assert "class_token -> expand [1, 1, 768]" in arrows(found)  # 1 is not the batch here
    gpt = archspec.draw(DATA / "gpt2.yaml", block="CausalSelfAttention")
    outputs = [e.output for e in gpt.edges if gpt.nodes_by_id[e.source].name == "chunk"]
    assert outputs == [0, 1, 2]
    assert archspec.draw("bert", block="BertModel").nodes[-1].name == "pooled"


# ---------------------------------------------------------------------------------- by identity


def test_a_module_that_returns_its_input() -> None:
    """Dropout in inference mode returns the very tensor: x stays x all the same."""
    found = flow("a: drop(x)\nreturn: x - a", "{drop: {type: Dropout}}")
    assert arrows(found)[1:3] == ["x -> sub [batch, 4]", "drop -> sub [batch, 4]"]


def test_a_function_that_returns_its_input() -> None:
    found = flow("a: contiguous(x)\nreturn: x - a")
    assert arrows(found)[1:3] == ["x -> sub [batch, 4]", "contiguous -> sub [batch, 4]"]


def test_one_tensor_for_two_inputs() -> None:
    text = """archspec: 1
model: M
dims: {batch: 3}
blocks:
  Two:
    inputs: {a: [batch, 4], b: [batch, 4]}
    forward:
      - return: relu(a) - b
  M:
    inputs: {x: [batch, 4]}
    modules: {two: {type: Two}}
    forward:
      - return: two(x, x)
"""
    found = archspec.draw(archspec.loads(text), block="Two")
    assert arrows(found)[:3] == [
        "a -> relu [batch, 4]",
        "relu -> sub [batch, 4]",
        "b -> sub [batch, 4]",
    ]
    around = archspec.draw(archspec.loads(text), block="M")
    assert [e.argument for e in around.edges] == ["a", "b", ""]
    assert " × 2 " in around.dot


def test_a_change_through_a_view() -> None:
    found = flow("a: transpose(x, 0, 1)\nb: relu_(a)\nreturn: x - y")
    assert arrows(found) == [
        "x -> transpose [batch, 4]",
        "transpose -> relu_ [4, 3]",
        "relu_ -> sub [batch, 4]",
        "y -> sub [batch, 4]",
        "sub -> output [batch, 4]",
    ]


def test_questions_for_a_size_are_no_boxes() -> None:
    found = flow("n: x.shape[0] + len(x)\nreturn: x * n if x.ndim == 2 else y")
    assert [(b.kind, b.name) for b in found.nodes] == [
        ("input", "x"), ("input", "y"), ("operation", "mul"), ("output", "output"),
    ]  # fmt: skip
    assert found.nodes[2].text == "× 6"


def test_an_input_is_an_output() -> None:
    found = flow("return: [x, None, y]")
    assert arrows(found) == ["x -> output 0 [batch, 4]", "y -> output 2 [batch, 4]"]


def test_a_buffer_is_drawn() -> None:
    found = flow("return: x + table", more="    buffers: {table: {shape: [4]}}\n")
    box = next(box for box in found.nodes if box.kind == "tensor")
    assert (box.name, box.type, box.state) == ("table", "buffer", "no parameters")


def test_a_block_that_is_called_twice_without_an_input() -> None:
    text = """archspec: 1
model: M
dims: {batch: 3}
blocks:
  Choice:
    inputs: {a: [batch, 4], b: {shape: [batch, 4], optional: true}}
    forward:
      - return: a if b is None else a + b
  M:
    inputs: {x: [batch, 4]}
    modules: {unused: {type: Choice}, choice: {type: Choice}}
    forward:
      - x: choice(x)
      - return: choice(x, x)
"""
    found = archspec.draw(archspec.loads(text), block="Choice")
    assert found.path == "choice"  # the first that runs
    assert "not given: b" in found.notes
    assert arrows(found) == ["a -> output [batch, 4]"]
    with pytest.raises(archspec.UsageError) as caught:
        archspec.draw(archspec.loads(text), block="unused")
    assert caught.value.message == "unused is not run by the forward of spec"
    around = archspec.draw(archspec.loads(text), block="M")
    assert [box.name for box in around.nodes] == ["x", "choice", "choice", "output"]


def test_equal_containers_are_all_looked_into() -> None:
    item = "{type: Linear, in_features: 4, out_features: 4}"
    modules = (
        f"{{m: {{type: ModuleList, items: [{{type: Sequential, items: [{item}], repeat: 4}}]}}}}"
    )
    found = flow("return: m[0](x) + m[1](x) + m[2](x) + m[3](y)", modules)
    assert [b.name for b in found.nodes if b.kind == "module"] == [f"m[{i}][0]" for i in range(4)]
    assert not [box for box in found.nodes if box.kind == "constant"]


DROPS = [f"drop_{letter}" for letter in "abcdefgh"]  # one a step: equal ones would be one box
STEPS = st.tuples(
    st.sampled_from(["relu", "relu_", "drop", "sub", "view"]), st.integers(0, 9), st.integers(0, 9)
)


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=1, max_size=8), st.integers(0, 9))
def test_every_arrow_comes_from_what_made_the_value(
    steps: list[tuple[str, int, int]], last: int
) -> None:
    """Held against a model of its own: a value knows its memory, a memory its last writer."""
    lines, maker, memory = list[str](), {"x": "x", "y": "y"}, {"x": 0, "y": 1}
    expected = list[str]()
    for i, (kind, a, b) in enumerate(steps):
        names = list(maker)
        one, two = names[a % len(names)], names[b % len(names)]
        kind = DROPS[i] if kind == "drop" else kind
        target, node = f"v{i}", f"{ {'view': 'view_as'}.get(kind, kind) }{i}"
        taken = [one, two] if kind in ("sub", "view") else [one]
        call = {"sub": f"{one} - {two}", "view": f"view_as({one}, {two})"}
        lines.append(f"{target}: {call.get(kind, f'{kind}({one})')}")
        expected += [f"{maker[name]} -> {node}" for name in taken]
        memory[target] = i + 2 if kind in ("relu", "sub") else memory[one]
        if kind == "relu_":
            for name in memory.keys() & maker.keys():
                if memory[name] == memory[one]:
                    maker[name] = node
        maker[target] = node
    names = list(maker)
    result = names[last % len(names)]
    expected.append(f"{maker[result]} -> output")
    modules = f"{{{', '.join(f'{name}: {{type: Dropout}}' for name in DROPS)}}}"
    found = flow("\n".join([*lines, f"return: {result}"]), modules)
    numbers = iter(range(len(steps)))
    titles = {
        box.id: f"{box.name}{next(numbers)}" if box.kind in ("operation", "module") else box.name
        for box in found.nodes
    }
    assert [f"{titles[e.source]} -> {titles[e.target]}" for e in found.edges] == expected


# --------------------------------------------------------------------------------- what is asked


@pytest.mark.parametrize(
    ("block", "message", "hint"),
    [
        ("BertLayr", "bert has no block or module 'BertLayr'", "did you mean 'BertLayer'?"),
        (
            "bert.pooler.dense",
            "bert.pooler.dense is no block, its type is Linear",
            "give a block's name",
        ),
        (
            "bert.encoder.layer",
            "bert.encoder.layer is no block, its type is ModuleList",
            "give a block's",
        ),
        ("bert.encoder.layer[12]", "bert has no block or module", "bert.encoder.layer["),
        (3, "a block is a name or a path, not int", ""),
    ],
)
def test_what_is_no_block(block: str, message: str, hint: str) -> None:
    with pytest.raises(archspec.UsageError) as caught:
        archspec.draw("bert", block=block)
    assert caught.value.code == "E801"
    assert caught.value.message.startswith(message) and hint in caught.value.hint


def test_a_path_is_written_either_way() -> None:
    found = archspec.draw("bert", block="bert.encoder.layer[3]")
    assert found.path == "bert.encoder.layer.3"
    assert archspec.draw("bert", block="bert.encoder.layer.3") == found


def test_a_sequential_is_drawn_as_well() -> None:
    found = archspec.draw("resnet18", block="layer2")
    assert [box.name for box in found.nodes] == ["input 0", "[0]", "[1]", "output"]


def test_what_depends_on_values_is_told() -> None:
    with pytest.raises(archspec.BuildError) as caught:
        flow("return: x if bool(sum(x) > 0) else y")
    assert caught.value.code == "E512" and "meta" in caught.value.message


def test_sizes_are_those_asked_for() -> None:
    found = archspec.draw("bert", block="BertPooler", batch=4, seq=7)
    assert found.edges[0].shape == (4, 7, 768) and found.dims == {"batch": 4, "seq": 7}
    with pytest.raises(archspec.UsageError, match="did you mean 'seq'"):
        archspec.draw("bert", sek=7)


# ---------------------------------------------------------------------------------------- bounds


def test_no_more_boxes_than_fit() -> None:
    nodes = [Box(f"n{i}", "operation", f"op {i}", text=f"op {i}") for i in range(20)]
    nodes = [replace(nodes[0], kind="input"), *nodes[1:-1], replace(nodes[-1], kind="output")]
    edges = [Arrow(f"n{i}", f"n{i + 1}", (1,), "[1]") for i in range(19)]
    shown, between = folding.with_ids(*folding.limit_boxes(nodes, edges, max_boxes=5))
    assert [box.name for box in shown] == [
        "op 0",
        "op 1",
        "op 2",
        "op 3",
        "op 4",
        "… and 14 more",
        "op 19",
    ]
    assert [(e.source, e.target) for e in between][-2:] == [("n4", "n5"), ("n5", "n6")]


def test_a_forward_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_recorder, "MAX_RECORDED", 20)
    found = flow("{for: i in range(50), do: [{x: relu(x) + y}]}\nreturn: x")
    assert found.notes == ("it has too many steps: only the first ones are drawn",)
    assert [box.name for box in found.nodes][-2:] == ["…", "output"] and len(found.nodes) == 22
