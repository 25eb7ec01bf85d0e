"""What a block takes and returns: dicts, optional outputs, lists, numbers, related sizes."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import archspec
from archspec import ArchspecError
from tests.tables import every

HEAD = "archspec: 1\nmodel: Net\ndims: {batch: 2, seq: 3, past: 0}\nparams: {width: 4, layers: 2}\n"
NET = HEAD + "blocks:\n  Net:\n"
X = torch.ones(2, 3, 4)


def built(text: str) -> Any:
    return archspec.build(archspec.loads(text), device="cpu")


CACHE = (
    NET
    + """
    inputs:
      x: [batch, seq, $width]
      past: {shape: [[batch, past, $width]], length: $layers, optional: true}
      scale: {dtype: float, default: 2.0, keyword: true}
      all: {dtype: bool, optional: true, keyword: true}
    outputs:
      y: [batch, seq, $width]
      past: {shape: [[batch, any, $width]], length: $layers}
      aux: {shape: [batch], when: $training}
    forward:
      - past: "[x, x] if past is None else past"
      - return: {y: x * scale, past: past, aux: "sum(x, (1, 2))"}
"""
)


def test_a_dict_with_an_optional_output_and_a_list() -> None:
    model = built(CACHE)
    found = model(X, [X, X], scale=3.0)
    assert list(found) == ["y", "past", "aux"] and found["y"].eq(3).all()
    assert isinstance(found["past"], list) and found["aux"].shape == (2,)
    assert list(model.eval()(X)) == ["y", "past"]
    assert archspec.inspect(archspec.loads(CACHE)).dims["past"] == 0


def test_a_named_output_that_is_not_there_is_told_with_its_condition() -> None:
    text = (
        NET + "    inputs: {x: [batch]}\n    modules: {part: {type: Part}}\n"
        "    forward: [{r: part(x)}, {return: \"r['aux']\"}]\n"
        "  Part:\n    inputs: {x: [batch]}\n"
        "    outputs: {y: [batch], aux: {shape: [batch], when: $not training}}\n"
        "    forward: [{return: {y: x, aux: x}}]\n"
    )
    with pytest.raises(ArchspecError) as caught:
        archspec.inspect(archspec.loads(text))
    (problem,) = caught.value.problems
    assert problem.message.endswith("in plain PyTorch: there is no 'aux'")
    assert problem.hint == "Part returns it only while not training"
    assert problem.notes[0].message == "shapes: r has y"
    with pytest.raises(ArchspecError) as caught:
        built(text.replace("r['aux']", "r['z']"))
    assert caught.value.problems[0].message == "there is no 'z'"
    assert caught.value.problems[0].notes[0].message == "shapes: r has y, aux"


def test_a_tuple_is_shorter_where_an_output_is_left_out() -> None:
    model = built(
        NET + "    inputs: {x: [batch]}\n"
        "    outputs: {y: [batch], aux: {shape: [batch], when: $training and width > 3}}\n"
        "    forward: [{return: 'x, -x'}]"
    )
    x = torch.ones(2)
    assert [t.tolist() for t in model(x)] == [[1, 1], [-1, -1]]
    assert model.eval()(x) is x


def test_contracts_are_taken_over_in_their_place() -> None:
    spec = archspec.loads(
        NET + "    inputs: {z: [batch], like: Part, y: [batch, 9]}\n    outputs: {like: Part}\n"
        "    forward: [{return: x}]\n"
        "  Part:\n    inputs: {x: [batch, seq], y: [batch, 5], m: {shape: [seq], optional: true}}\n"
        "    outputs: {o: [batch, seq]}\n    forward: [{return: x}]"
    )
    net = spec.architecture.blocks["Net"]
    assert {name: one.sizes for name, one in net.inputs.items()} == {
        "z": ["batch"], "x": ["batch", "seq"], "y": ["batch", 9], "m": ["seq"],
    }  # fmt: skip
    assert list(net.outputs) == ["o"]


LEAVING_OUT = """\
archspec: 1
model: Net
blocks:
  Part:
    params: {n: 4}
    inputs: {x: [batch, 4], y: [batch, $n], m: {shape: [batch], optional: true}}
    outputs: {a: [batch, 4], b: [batch, $n]}
    forward: [{return: "x, y"}]
  Net:
    inputs: {like: Part, y: [batch, 4], m: null}
    outputs: {like: Part, b: null}
    modules: {part: {type: Part}}
    forward: [{"a, b": "part(x, y)"}, {return: a + b}]
"""


def test_null_leaves_out_a_contract_that_is_taken_over() -> None:
    net = archspec.loads(LEAVING_OUT).architecture.blocks["Net"]
    # Part's parameter is no question for the contracts that stand here or are left out.
    assert (list(net.inputs), list(net.outputs or ())) == (["x", "y"], ["a"])
    assert archspec.build(archspec.loads(LEAVING_OUT), device="meta")
    with pytest.raises(ArchspecError) as caught:
        archspec.loads(LEAVING_OUT.replace("m: null", "mm: null"))
    (problem,) = caught.value.problems
    assert problem.message == "'mm' is left out, and Part has none in its inputs"
    assert (str(problem.place), problem.hint) == ("<spec>:10:41", "did you mean 'm'?")


@every(
    "line, complaint",
    [
        # inputs, outputs and what is returned; "" where they agree
        ("{x: [b, s, 4]} → {y: [b, $2 * s, 4]} → cat([x, x], 1)", ""),
        (
            "{x: [b, s, 4]} → {y: [b, $s * 3, 4]} → cat([x, x], 1)",
            "the contract is [b=2, s * 3=21, 4]",
        ),
        ("{x: [b, $s + t], y: [b, s]} → {y: [b, t]} → x[:, y.shape[1]:]", ""),
        ("{x: [b, $s + t], y: [b, s]} → {y: [b, t]} → x", "y"),
        ("{x: [b, s]} → {y: [b, $u + s], z: [b, u]} → cat([x, x], 1), x", ""),
        ("{x: [b, s]} → {y: [b, $u + s], z: [b, u]} → x, x", "the contract is [b=2, u + s=14]"),
        (
            "{x: [b, s]} → {y: [b, $s - u], z: [b, u]} → cat([x, x], 1), x",
            "the contract is [b=2, s - u=0]",
        ),
        ("{x: [b, s]} → {y: [[b, s]]} → x", "is Tensor, not a list of tensors"),
        (
            "{x: [b, s]} → {y: {shape: [[b, s]], length: 2}} → [x]",
            "has 1 tensor, the contract is 2",
        ),
        ("{x: [b, s]} → {y: [[b, 4]]} → [x, x], x", "outputs are 1"),
        ("{x: [b, s]} → {y: {shape: [[b, $s - i]], index: i}} → [x] + [x[:, 1:]]", ""),
        (
            "{x: [b, s]} → {y: {shape: [[b, $s - i]], index: i}} → [x] + [x]",
            "Net's output 'y' has the shape [batch=2, 7] at [1], the contract is [b=2, s - 1=6]",
        ),
        ('{x: {shape: [[b, "$[4, 5][i]"]], index: i, length: 2}} → {y: [b, 9]} → cat(x, 1)', ""),
        ('{x: {shape: [["$[4, 5][i]"]], index: i, length: 3}} → {} → x', "index out of range"),
        ("{x: [b, _], y: [b, _, _]} → {z: [_, _]} → x[:, :0]", ""),
        (
            "{x: [b, _], y: [b, $_ + 1]} → {z: [b, _, $s - s]} → x",
            "the contract is [b=2, _, s - s]",
        ),
        ("{x: [b, ..., s]} → {y: [b, ...]} → x[..., None]", ""),
        ("{x: [b, ..., s]} → {y: [b, ..., s], z: [..., b, s]} → x, x[None, None]", ""),
        (
            "{x: [b, ..., s]} → {y: [b, ..., 4]} → x",
            "Net's output 'y' has the shape [batch=2, 7], the contract is [b=2, ..., 4]",
        ),
        (
            "{x: [b, s]} → {y: [b, ..., s]} → x[0]",
            "has the shape [7], the contract is [b=2",
        ),
        ("{x: [..., b, ...]} → {} → x", "'...' is no size"),
        ("{x: [b, s]} → {y: [b, s], n: int} → x, 2", ""),
        ("{x: [b, s]} → {y: [b, s], n: int} → x, 2.5", "is float, the contract is int"),
    ],
)
def test_sizes_are_related(line: str, complaint: str) -> None:
    inputs, outputs, returned = line.split(" → ")
    text = (
        "archspec: 1\nmodel: Net\ndims: {b: 2, s: 7, t: 5, u: 7}\nblocks:\n  Net:\n"
        f"    inputs: {inputs}\n    outputs: {outputs}\n    forward: [{{return: '{returned}'}}]"
    )
    if not complaint:
        built(text)
        return
    with pytest.raises(ArchspecError) as caught:
        built(text)
    assert complaint in caught.value.problems[0].message
