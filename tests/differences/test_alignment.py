"""Which modules correspond: an insertion is one insertion, a move a move, a wrap a wrap."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archspec.differences.alignment import Alignment
from archspec.differences.changes import tensor_changes, tree_changes
from archspec.differences.outline import Outline, Tensor, outline
from archspec.lang.spec import load, loads

NET = """\
archspec: 1
model: Net
blocks:
  Pair: &pair
    inputs: {{x: [batch, 4]}}
    modules:
      up: {{type: Linear, in_features: 4, out_features: 8}}
      down: {{type: Linear, in_features: 8, out_features: 4}}
  Same: *pair
  Net:
    inputs: {{x: [batch, 4]}}
    modules: {{{modules}}}
    forward: [{{return: x}}]
"""


def net(modules: str) -> Outline:
    return outline(loads(NET.format(modules=modules)))


def changes(old: str, new: str) -> list[str]:
    """``kind old>new type``, as short as it can be read."""
    found: list[str] = []
    for change in tree_changes(Alignment(net(old), net(new))):
        paths = ">".join(dict.fromkeys(p for p in (change.old, change.new) if p is not None))
        kinds = ">".join(dict.fromkeys(filter(None, [change.old_type, change.new_type])))
        given = "".join(
            f" {name}={old or ''}>{new or ''}"
            for name, (old, new) in change.arguments.items()
            if change.kind == "changed"
        )
        found.append(f"{change.kind} {paths} {kinds}{given}")
    return found


def linear(size: int) -> str:
    return f"{{type: Linear, in_features: 4, out_features: {size}}}"


def items(*sizes: int) -> str:
    return f"m: {{type: Sequential, items: [{', '.join(map(linear, sizes))}]}}"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (items(1, 2, 3), items(1, 2, 3), []),
        (items(1, 2, 3), items(1, 9, 2, 3), ["added m.1 Linear"]),
        (items(1, 2, 3), items(9, 1, 2, 3), ["added m.0 Linear"]),
        (items(1, 2, 3), items(1, 3), ["removed m.1 Linear"]),
        (items(1, 1, 1), items(1, 1, 1, 1), ["added m.3 Linear"]),
        (items(1, 2), items(1, 3), ["changed m.1 Linear out_features=2>3"]),
        (items(1), items(), ["removed m.0 Linear"]),
        ("a: {type: ReLU}", "a: {type: GELU}", ["changed a ReLU>GELU"]),
        ("a: {type: ReLU}, b: {type: ReLU}", "b: {type: ReLU}, a: {type: ReLU}", ["moved b ReLU"]),
        (f"a: {linear(1)}", f"b: {{renamed_from: a, {linear(1)[1:]}", ["moved a>b Linear"]),
        (f"a: {linear(1)}", f"b: {linear(1)}", ["moved a>b Linear"]),
        (
            f"a: {linear(1)}",
            f"a: {{type: Sequential, items: [{linear(1)}]}}",
            ["added a Sequential", "moved a>a.0 Linear"],
        ),
        (
            f"a: {{type: Sequential, items: [{linear(1)}]}}",
            f"a: {linear(1)}",
            ["removed a Sequential", "moved a.0>a Linear"],
        ),
        ("a: {type: Pair}", "a: {type: Same}", ["changed a Pair>Same"]),
        (
            "m: {type: Sequential, items: [{type: Tanh}, {type: Pair}]}",
            "m: {type: Sequential, items: [{type: Same}]}",
            ["removed m.0 Tanh", "changed m.1>m.0 Pair>Same"],
        ),
        (
            f"a: {linear(1)}, b: {linear(2)}",
            f"b: {{renamed_from: a, {linear(2)[1:]}",
            ["removed a Linear"],
        ),
        (
            f"a: {linear(1)}",
            f"b: {{renamed_from: a, {linear(1)[1:]}, a: {linear(1)}",
            ["added b Linear"],
        ),
        ("a: {type: ReLU}", "b: {type: Dropout}", ["removed a ReLU", "added b Dropout"]),
        (
            "a: {type: Pair}, m: {type: ModuleDict, items: {x: {type: ReLU}}}",
            "m: {type: ModuleDict, items: {x: {type: ReLU}, y: {type: Pair}}}",
            ["moved a>m.y Pair"],
        ),
        (
            "a: {type: Pair}",
            "w: {type: Sequential, items: [{type: Pair}]}",
            ["added w Sequential", "moved a>w.0 Pair"],
        ),
        (
            "m: {type: Sequential, items: [{type: Pair}, {type: Tanh}, {type: ReLU}]}",
            "m: {type: Sequential, items: [{type: Tanh}, {type: ReLU}, {type: Pair}]}",
            ["moved m.0>m.2 Pair"],
        ),
    ],
)
def test_changes_of_a_tree(old: str, new: str, expected: list[str]) -> None:
    assert sorted(changes(old, new)) == sorted(expected)


def test_a_model_inside_a_larger_one() -> None:
    old, new = outline(load("bert-model")), outline(load("bert"))
    wrapped = list(tree_changes(Alignment(old, new)))
    assert [(c.kind, c.old, c.new, c.wraps, c.modules) for c in wrapped] == [
        ("added", None, "", ("bert",), 3),
        ("moved", "", "bert", (), 1),
    ]
    unwrapped = list(tree_changes(Alignment(new, old)))
    assert [(c.kind, c.old, c.new, c.wraps) for c in unwrapped] == [
        ("removed", "", None, ("bert",)),
        ("moved", "bert", "", ()),
    ]


@given(st.lists(st.integers(1, 3), max_size=6), st.lists(st.integers(1, 3), max_size=6))
def test_every_module_and_tensor_is_told_once(old: list[int], new: list[int]) -> None:
    first, second = with_tensors(items(*old)), with_tensors(items(*new))
    found = Alignment(first, second)
    assert {p.path for p in found.partner.values()} == set(found.successor)
    assert {p.path for p in found.successor.values()} == set(found.partner)
    tensors = list(tensor_changes(found))
    assert sorted(t.old_name for t in tensors if t.old_name) == sorted(first.state())
    assert sorted(t.new_name for t in tensors if t.new_name) == sorted(second.state())
    for tensor in tensors:
        same_name, same_shape = tensor.old_name == tensor.new_name, tensor.old == tensor.new
        expected = {
            "same": tensor.old is not None and same_name and same_shape,
            "renamed": tensor.old is not None and not same_name and same_shape,
            "resized": tensor.old is not None and tensor.new is not None and not same_shape,
            "new": tensor.old is None and tensor.new is not None,
            "lost": tensor.old is not None and tensor.new is None,
        }
        assert expected[tensor.status]


def with_tensors(modules: str) -> Outline:
    """With the weight of each Linear, as the built model has it."""
    spec = loads(NET.format(modules=modules))
    sizes = {
        f"{module.path}.weight": Tensor((int(module.arguments["out_features"]), 4))
        for module in outline(spec).walk()
        if module.type == "Linear"
    }
    return outline(spec, sizes)


def test_tensors_of_parts_that_the_spec_does_not_name_belong_to_the_part_that_it_does() -> None:
    spec = loads(
        NET.format(modules="a: {type: MultiheadAttention, embed_dim: 4, num_heads: 2}"),
    )
    found = outline(spec, {"a.in_proj_weight": Tensor((12, 4)), "a.out_proj.bias": Tensor((4,))})
    assert list(found.children[0].tensors) == ["in_proj_weight", "out_proj.bias"]
    assert list(found.state()) == ["a.in_proj_weight", "a.out_proj.bias"]


def test_a_checkpoint_of_before_a_renaming_loads_by_the_rule() -> None:
    old = with_tensors(f"a: {linear(1)}")
    new = with_tensors(f"b: {{renamed_from: a, {linear(1)[1:]}")
    (tensor,) = tensor_changes(Alignment(old, new))
    assert (tensor.status, tensor.old_name, tensor.new_name) == ("renamed", "a.weight", "b.weight")
    assert tensor.rule == "renamed_from"
    (back,) = tensor_changes(Alignment(new, old))
    assert back.rule == ""


def test_a_tensor_that_no_module_explains_loads_by_its_name() -> None:
    spec = "m: {{type: Sequential, items: [{{type: {}, normalized_shape: 4}}]}}"
    state = {"m.0.weight": Tensor((4,))}
    first, second = (
        outline(loads(NET.format(modules=spec.format(kind))), state)
        for kind in ("LayerNorm", "RMSNorm")
    )
    (tensor,) = tensor_changes(Alignment(first, second))
    assert (tensor.status, tensor.old_name, tensor.new_name) == ("same", "m.0.weight", "m.0.weight")


def test_tensors_that_are_shared_now() -> None:
    modules = f"a: {linear(1)}, b: {linear(1)}"
    spec = loads(NET.format(modules=modules))
    own = {"a.weight": Tensor((1, 4)), "b.weight": Tensor((1, 4))}
    tied = {"a.weight": Tensor((1, 4)), "b.weight": Tensor((1, 4), shared="a.weight")}
    for before, after, status in ((own, tied, "tied"), (tied, own, "untied"), (tied, tied, "same")):
        found = list(tensor_changes(Alignment(outline(spec, before), outline(spec, after))))
        assert [tensor.status for tensor in found] == ["same", status]
