"""Tensors that do not fit, told with the step, the instance, both sizes and their lines."""

# ruff: noqa: E501  (messages are quoted whole)

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

import archspec
from archspec.building.examples import example_inputs
from archspec.building.forward_errors import instance_text
from archspec.errors import BuildError, ShapeError
from tests.tables import every

ENCODER = """\
archspec: 1
model: Encoder
params: {hidden_size: 32, inner_size: 64, num_layers: 3, num_heads: 4}
dims: {batch: 1, seq: 20}

blocks:
  MLP:
    params: {size: $inner_size}
    inputs: {x: [batch, seq, $hidden_size]}
    outputs: {y: [batch, seq, $hidden_size]}
    modules:
      up: {type: Linear, in_features: $hidden_size, out_features: $size}
      down: {type: Linear, in_features: $size, out_features: $hidden_size}
    forward:
      - y: relu(up(x))
      - return: down(y) + x

  Layer:
    inputs: {x: [batch, seq, $hidden_size], mask: {shape: [batch, seq], dtype: bool, optional: true}}
    modules:
      query: {type: Linear, in_features: $hidden_size, out_features: $hidden_size}
      mlp: {type: MLP}
    forward:
      - q: transpose(unflatten(query(x), -1, [num_heads, -1]), 1, 2)
      - y: flatten(transpose(q, 1, 2), 2)
      - y: y if mask is None else y * unsqueeze(mask, -1)
      - return: mlp(y)

  Encoder:
    inputs:
      ids: {shape: [batch, seq], dtype: int64, below: 10}
      mask: {shape: [batch, seq], dtype: bool, optional: true}
    outputs: {pooled: [batch, $hidden_size]}
    modules:
      embed: {type: Embedding, num_embeddings: 10, embedding_dim: $hidden_size}
      layers: {type: ModuleList, items: [{type: Layer, repeat: $num_layers}]}
      head: {type: Sequential, items: [{type: LayerNorm, normalized_shape: $hidden_size}, {type: Tanh}]}
    forward:
      - x: embed(ids)
      - for: layer in layers
        do:
          - x: layer(x, mask)
      - return: head(x[:, 0])
"""


def failure(*changes: tuple[str, str], text: str = ENCODER, **params: Any) -> BuildError:
    """What the build says of the encoder with some of its text changed."""
    for old, new in changes:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    with pytest.raises(BuildError) as caught:
        archspec.build(archspec.loads(text, name="encoder.yaml", **params), device="meta")
    return caught.value


NARROW_MLP = (
    ("mlp: {type: MLP}", "mlp: {type: MLP, size: 8}"),
    ("x: [batch, seq, $hidden_size]}\n    outputs", "x: [batch, seq, $size]}\n    outputs"),
)


@pytest.mark.parametrize(
    ("name", "changes", "params"),
    [
        (
            "linear",
            [("down: {type: Linear, in_features: $size", "down: {type: Linear, in_features: 63")],
            {},
        ),
        ("residual", [("down(y) + x", "down(y) + y")], {}),
        ("heads", [], {"num_heads": 5}),
        ("in-a-sequential", [("normalized_shape: $hidden_size", "normalized_shape: [20, 32]")], {}),
        ("input", NARROW_MLP, {}),
        ("output", [("head(x[:, 0])", "head(x)")], {}),
        ("other-reason", [("y: relu(up(x))", "y: relu(up(x)) + 'x'")], {}),
    ],
)
def test_what_a_failure_says(
    name: str,
    changes: list[tuple[str, str]],
    params: dict[str, Any],
    golden: Callable[[str, str], None],
) -> None:
    golden(f"shapes/{name}.txt", f"{failure(*changes, **params)}\n")


def test_nothing_is_said_of_what_fits() -> None:
    spec = archspec.loads(ENCODER)
    model = archspec.build(spec, device="cpu", seed=0)
    inputs = example_inputs(spec, {"batch": 3, "seq": 7}, "cpu")
    assert {name: tuple(x.shape) for name, x in inputs.items()} == {"ids": (3, 7), "mask": (3, 7)}
    assert (inputs["ids"].dtype, inputs["mask"].dtype) == (torch.int64, torch.bool)
    assert model(**inputs).shape == (3, 32)
    assert model(inputs["ids"]).shape == (3, 32)
    assert model.training


@every(
    ("changes", "code", "line", "message"),
    [
        (
            [("outputs: {pooled: [batch, $hidden_size]}", "outputs: {pooled: [batch, 31]}")],
            "E511",
            43,
            "Encoder's output 'pooled' has the shape [batch=2, hidden_size=32], the contract is [batch=2, 31]",
        ),
        (
            [
                (
                    "outputs: {pooled: [batch, $hidden_size]}",
                    "outputs: {pooled: [batch, 1, $hidden_size]}",
                )
            ],
            "E511",
            43,
            "Encoder's output 'pooled' has the shape [batch=2, hidden_size=32], the contract is [batch=2, 1, hidden_size=32]",
        ),
        (
            [("outputs: {pooled: [batch, $hidden_size]}", "outputs: {a: [batch, 32], b: [batch]}")],
            "E511",
            43,
            "Encoder returns 1 value, its outputs are 2",
        ),
        (
            [
                (
                    "outputs: {pooled: [batch, $hidden_size]}",
                    "outputs: {pooled: {shape: [batch, 32], dtype: int64}}",
                )
            ],
            "E511",
            43,
            "Encoder's output 'pooled' is float32, the contract is int64",
        ),
        (
            [
                (
                    "outputs: {pooled: [batch, $hidden_size]}",
                    "outputs: {pooled: [batch, $hidden_size]}",
                ),
                ("return: head(x[:, 0])", "return: ids"),
            ],
            "E511",
            43,
            "Encoder's output 'pooled' has the shape [batch=2, seq=20], the contract is [batch=2, hidden_size=32]",
        ),
        (
            [
                (
                    "mask: {shape: [batch, seq], dtype: bool, optional: true}}\n    modules:\n      query",
                    "mask: {shape: [batch, seq], dtype: float32, optional: true}}\n    modules:\n      query",
                )
            ],
            "E511",
            42,
            "Layer's input 'mask' is bool, the contract is float32",
        ),
        (
            [("x: layer(x, mask)", "x: layer(x, x)")],
            "E511",
            42,
            "Layer's input 'mask' has the shape [batch=2, seq=20, hidden_size=32], the contract is [batch=2, seq=20]",
        ),
        (
            [("x: layer(x, mask)", "x: layer(ids, mask)")],
            "E511",
            42,
            "Layer's input 'x' has the shape [batch=2, seq=20], the contract is [batch=2, seq=20, hidden_size=32]",
        ),
        (
            [("y: y if mask is None else y * unsqueeze(mask, -1)", "y: y * unsqueeze(mask, -1)")],
            "E512",
            26,
            "TypeError: unsqueeze(): argument 'input' (position 1) must be Tensor, not NoneType",
        ),
        (
            [("x: embed(ids)", "x: embed(mask)")],
            "E510",
            39,
            "embed (Embedding) does not fit its input: [batch=2, seq=20] of bool",
        ),
        (
            [("y: relu(up(x))", "y: relu(up(transpose(x, 1, 2)))")],
            "E510",
            15,
            "layers[0].mlp.up (Linear) takes in_features=32, its input has 20: [batch=2, hidden_size=32, seq=20]",
        ),
        (
            [("y: relu(up(x))", "y: x[:, 99]")],
            "E510",
            15,
            "index 99 is out of bounds for dimension 1 with size 20",
        ),
        ([("y: relu(up(x))", "y: cat([up(x), x], 1)")], "E510", 15, None),
        (
            [("y: relu(up(x))", "y: view(up(x), [7, -1])")],
            "E510",
            15,
            "shape '[7, -1]' is invalid for input of size 2560",
        ),
        (
            [("y: relu(up(x))", "y: pad(up(x), [1, 1, 1, 1, 1, 1], mode='reflect')")],
            "E510",
            15,
            "Padding size 6 is not supported for 3D input tensor.",
        ),
        (
            [("y: relu(up(x))", "y: interpolate(up(x), scale_factor=2, mode='bilinear')")],
            "E510",
            15,
            "Got 3D input, but bilinear mode needs 4D input",
        ),
        (
            [("y: relu(up(x))", "y: x[x > 0]")],
            "E510",
            15,
            "a shape here depends on the values of a tensor: write where(mask, x, y) or masked_fill(x, mask, value); for experts route(…)",
        ),
        (
            [("y: relu(up(x))", "y: x[::-1]")],
            "E510",
            15,
            "step must be greater than zero: write flip(x, [dim])",
        ),
    ],
)
def test_each_failure_has_its_place(
    changes: list[tuple[str, str]], code: str, line: int, message: str | None
) -> None:
    error = failure(*changes)
    assert isinstance(error, ShapeError)
    assert error.place is not None
    assert (error.code, error.place.line) == (code, line)
    told = f"{error.message}: {error.problems[0].hint}"
    assert message in (None, error.message, told)


def test_the_failing_part_of_a_step_is_marked() -> None:
    error = failure(("y: relu(up(x))", "y: relu(up(x) + (up(x[:, :3]) - down(x)))"))
    assert error.place is not None
    assert error.place.source[error.place.column - 1 : error.place.end_column - 1] == "down(x)"


def test_every_instance_is_named() -> None:
    counted = "items: [{type: Layer, repeat: 2}, {type: Layer, size: 31}]"
    error = failure(
        ("items: [{type: Layer, repeat: $num_layers}]", counted),
        ("  Layer:\n", "  Layer:\n    params: {size: 32}\n"),
        (
            "query: {type: Linear, in_features: $hidden_size",
            "query: {type: Linear, in_features: $size",
        ),
    )
    assert error.message.startswith(
        "layers[2].query (Linear) takes in_features=31, its input has 32"
    )
    texts = [note.message for note in error.problems[0].notes]
    assert texts[0] == "in_features is 31 here"
    assert texts[2] == "instance: layers[2] (Layer), in Layer.forward, step 1, encoder.yaml:25"
    assert (
        texts[3]
        == "called by: the model itself (Encoder), in Encoder.forward, step 2.1, encoder.yaml:43"
    )
    assert len(texts) == 4


def test_optional_inputs_may_be_left_out() -> None:
    error = failure(("return: head(x[:, 0])", "return: head(x[:, 0] * mask[:, :1])"))
    assert error.code == "E512"
    assert error.problems[0].notes[-1].message == "the optional inputs are left out in this call"


SMALL = """archspec: 1
model: Net
params: {{n: 3}}
blocks:
  Net:
    inputs: {inputs}
    modules: {{{modules}}}
    forward: [{steps}]
"""


def small(steps: str, inputs: str = "{x: [batch, 3]}", modules: str = "fc: {type: ReLU}") -> str:
    return SMALL.format(steps=steps, inputs=inputs, modules=modules)


@pytest.mark.parametrize(
    "text",
    [
        small("{return: fc(x)}", "{x: [batch, width, $n]}"),  # a dimension without a size
        small("{y: arange(3)}, {return: fc(x) + y}"),  # made on the device of all else
        small("{y: 'zeros(10 ** 9, 10 ** 6)'}, {return: fc(x)}"),  # takes no memory here
        small("{y: 'x if sum(x) > 0 else -x'}, {return: fc(y)}"),  # depends on values
        small("{return: 'fc(ones(3))'}", "{}"),  # no inputs, nothing to run it on
        "archspec: 1\nmodel: Net\nblocks: {Net: {modules: {act: {type: ReLU}}}}",
        "archspec: 1\nmodel: Net\nblocks: {Net: {}}",
    ],
)
def test_what_is_not_known_is_no_failure(text: str) -> None:
    archspec.build(archspec.loads(text), device="meta")


def test_a_size_that_nobody_gave_is_tried_twice() -> None:
    convolved = small(
        "{return: fc(x)}",
        "{x: [batch, 1, height, width]}",
        "fc: {type: Conv2d, in_channels: 1, out_channels: 1, kernel_size: 100}",
    )
    archspec.build(archspec.loads(convolved), device="meta")
    error = failure(("kernel_size: 100", "kernel_size: 300"), text=convolved)
    assert error.message.endswith("does not fit its input: [batch=2, 1, 224, 224] of float32")


def test_samples_are_not_taken_apart_because_they_are_two() -> None:
    step = "{'first, second': fc(x)}, {return: first}"
    error = failure(text=small(step))
    assert error.code == "E510" and error.place is not None and error.place.line == 8
    assert error.message == "too many values to unpack (expected 2)"
    assert error.hint.startswith("several names on the left split what the step gives")
    assert error.problems[0].notes[0].message == "shapes: x [batch=3, 3]"
    fitting = [
        small("{xs: '[]'}, {for: row in x, do: [{xs: 'xs + [fc(row)]'}]}, {return: stack(xs)}"),
        small("{'a, b': 'unbind(unflatten(x, 1, [2, -1]), 1)'}, {return: a}", "{x: [batch, 6]}"),
        small(step, "{x: [2, $n]}"),
        small(step) + "dims: {batch: 2}\n",
    ]
    for text in fitting:
        archspec.build(archspec.loads(text), device="meta")


@pytest.mark.parametrize(
    ("size", "told"),
    [
        ("$(batch)[0]", "cannot be evaluated: 'int' object is not subscriptable"),
        ("$8 // (batch * 0)", "cannot be evaluated: integer division or modulo by zero"),
        ("$batch ** 99", "the power does not fit into 64 bits"),
    ],
)
def test_a_size_that_cannot_be_computed_is_told_where_it_stands(size: str, told: str) -> None:
    text = small("{return: fc(x)}", f"{{y: [batch], x: [batch, '{size}']}}")
    for run in (lambda spec: archspec.build(spec, device="meta"), archspec.inspect, archspec.draw):
        with pytest.raises(BuildError) as caught:
            run(archspec.loads(text))
        error = caught.value
        assert error.place is not None and error.place.line == 6
        assert (error.code, error.message) == ("E510", f"the input 'x' has no size: {told}")


def test_a_size_that_some_sizes_have_not_is_told_when_they_are_given() -> None:
    spec = archspec.loads(small("{return: fc(x)}", "{y: [batch], x: [batch, '$8 // (batch - 5)']}"))
    with pytest.raises(BuildError, match="the input 'x' has no size"):
        archspec.inspect(spec, batch=5)


def test_a_block_without_steps_is_told_by_its_module() -> None:
    text = """archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 3]}
    modules:
      first: {type: Linear, in_features: 3, out_features: 5}
      second: {type: Linear, in_features: 4, out_features: 4}
"""
    error = failure(text=text)
    assert error.place is not None
    assert (error.code, error.place.line) == ("E510", 8)
    assert error.message == "second (Linear) takes in_features=4, its input has 5: [batch=2, 5]"


def test_tied_parameters_have_one_shape() -> None:
    layers = "a: {type: Linear, in_features: 3, out_features: 4}, b: {type: Linear, in_features: 4, out_features: 3}"
    text = small("{return: b(a(x))}", modules=layers) + "tie: {b.weight: a.weight}\n"
    error = failure(text=text)
    assert error.place is not None
    assert (error.code, error.place.line) == ("E510", 9)
    assert error.message == "'b.weight' has the shape [3, 4], 'a.weight' has [4, 3]"


@every(
    "tie, missing",
    [
        ("fc.bias: a.bias", "fc.bias"),
        ("a.bias: fc.bias", "fc.bias"),
        ("a.bias: attn.out_proj.bias", "attn.out_proj.bias"),
        ("attn.out_proj.weight: a.weight", ""),
    ],
)
def test_tied_parameters_are_there(tie: str, missing: str) -> None:
    layers = "a: {type: Linear, in_features: 3, out_features: 3}, fc: {type: Linear, in_features: 3, out_features: 3, bias: false}, attn: {type: MultiheadAttention, embed_dim: 3, num_heads: 1, bias: false}"
    spec = archspec.loads(small("{return: a(x)}", modules=layers) + f"tie: {{{tie}}}\n")
    if not missing:
        model = archspec.build(spec, device="meta")
        assert model.get_parameter("attn.out_proj.weight") is model.get_parameter("a.weight")
        return
    with pytest.raises(BuildError) as caught:
        archspec.build(spec, device="meta")
    assert caught.value.code == "E213" and f"no parameter '{missing}'" in caught.value.message


def test_instances_have_the_names_that_people_give_them() -> None:
    assert (
        instance_text("bert.encoder.layer.3.output", "BertOutput")
        == "bert.encoder.layer[3].output (BertOutput)"
    )
    assert instance_text("0.1", "Linear") == "[0][1] (Linear)"
    assert instance_text("", "Net") == "the model itself (Net)"


def test_a_symbol_is_bound_anew_in_each_call_of_a_block() -> None:
    """One block is called twice, on inputs of other sizes; its output has the size of its input."""
    text = """archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 6]}
    modules: {inner: {type: Half}}
    forward:
      - first: inner(x)
      - return: inner(x[:, :4])
  Half:
    inputs: {x: [n, width]}
    outputs: {y: [n, width]}
    modules: {act: {type: Tanh}}
    forward: [{return: act(x)}]
"""
    archspec.build(archspec.loads(text), device="meta")
    broken = archspec.loads(text.replace("{return: act(x)}", "{return: 'act(x)[:, :4]'}"))
    with pytest.raises(ShapeError) as caught:
        archspec.build(broken, device="meta")
    assert caught.value.code == "E511"
    assert "is [n=2, width=6]" in caught.value.message


def test_an_integer_that_is_given_stands_in_shapes() -> None:
    text = """archspec: 1
model: Net
dims: {batch: 2, rows: 4, columns: 6}
blocks:
  Grid:
    inputs: {x: [batch, $rows * columns, 8], rows: int, columns: {dtype: int, default: 6}}
    outputs: {y: [batch, 8, rows, columns]}
    forward: [{return: "unflatten(transpose(x, 1, 2), 2, [rows, -1])"}]
  Net:
    inputs: {like: Grid}
    modules: {grid: {type: Grid}}
    forward: [{return: "grid(x, rows, columns)"}]
"""
    spec = archspec.loads(text)
    archspec.build(spec, device="meta")
    assert archspec.inspect(spec, rows=5).root.inputs[0] == (2, 30, 8)
    with pytest.raises(ShapeError) as caught:
        archspec.build(archspec.loads(text.replace("rows, columns)", "rows + 1)")), device="meta")
    assert caught.value.message.endswith("the contract is [batch=2, rows * columns=30, 8]")


SEVERAL = """\
archspec: 1
model: Net
blocks:
  A:
    inputs: {x: [batch, 4]}
    outputs: {y: [batch, 8]}
    modules: {fc: {type: Linear, in_features: 5, out_features: 8}}
    forward: [{return: fc(x)}]
  B:
    inputs: {x: [batch, 8]}
    outputs: {y: [batch, 8]}
    modules: {fc: {type: Linear, in_features: 8, out_features: 9}}
    forward: [{return: fc(x)}]
  Net:
    inputs: {x: [batch, 4]}
    modules: {a: {type: A}, b: {type: B}, c: {type: B}, head: {type: Linear, in_features: 3, out_features: 3}}
    forward: [{x: a(x)}, {x: c(b(x))}, {return: head(x)}]
"""


def test_a_block_that_fails_is_taken_for_what_its_outputs_promise() -> None:
    error = failure(text=SEVERAL)
    found = [(p.code, p.place.line) for p in error.problems if p.place]
    assert found == [("E510", 8), ("E511", 13), ("E510", 17)]
    # Without a promise, what comes after may follow from it.
    error = failure(
        (
            "    outputs: {y: [batch, 8]}\n    modules: {fc: {type: Linear, in_features: 5,"
            " out_features: 8}}\n    forward: [{return: fc(x)}]",
            "    forward: [{return: 'matmul(x, x)'}]",
        ),
        text=SEVERAL,
    )
    assert [(p.code, p.place.line) for p in error.problems if p.place] == [("E510", 6)]


MISFITS = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 3, 8, 8]}
    modules:
      conv: {type: Conv2d, in_channels: 4, out_channels: 6, kernel_size: 3}
      norm: {type: BatchNorm2d, num_features: 5}
      next: {type: Conv2d, in_channels: 5, out_channels: 7, kernel_size: 1}
      last: {type: LayerNorm, normalized_shape: 9}
      head: {type: Linear, in_features: 9, out_features: 6}
    forward: [{x: next(norm(conv(x)))}, {y: head(last(x))}, {return: head(y) + y}]
"""


def test_a_layer_whose_input_has_another_size_is_taken_for_what_it_gives() -> None:
    """What follows has the sizes that the layer declares, whatever it was given."""
    error = failure(text=MISFITS)
    assert [(p.code, p.place.column) for p in error.problems if p.place] == [
        ("E510", 29), ("E510", 24), ("E510", 50), ("E510", 70),
    ]  # fmt: skip
    messages = [p.message.partition(",")[0] for p in error.problems]
    assert messages == [
        "conv (Conv2d) takes in_channels=4", "norm (BatchNorm2d) takes num_features=5",
        "last (LayerNorm) takes normalized_shape=9", "head (Linear) takes in_features=9",
    ]  # fmt: skip


def test_several_values_taken_for_one_tensor() -> None:
    text = small(
        "{y: rnn(x)}, {return: y + x}",
        "{x: [batch, 3, 4]}",
        "rnn: {type: GRU, input_size: 4, hidden_size: 4}",
    )
    problem = failure(text=text).problems[0]
    assert (problem.code, problem.hint) == (
        "E512", "y has 2 values: unpack them, {y, others: …}",
    )  # fmt: skip
    assert problem.notes[0].message.startswith("shapes: y 2 values ([batch=2, 3, 4], [1, 3, 4]), x")
    followed = text.replace("{y: rnn(x)}", '{"y, others": rnn(x)}')
    archspec.build(archspec.loads(followed), device="meta")


def test_the_model_is_as_it_was_after_several_failures() -> None:
    fixed = SEVERAL.replace("in_features: 5", "in_features: 4").replace(
        "out_features: 9", "out_features: 8"
    )
    model = archspec.build(
        archspec.loads(fixed.replace("in_features: 3", "in_features: 8")), device="meta"
    )
    assert all("forward" not in vars(module) for module in model.modules())
    assert model(torch.zeros(2, 4, device="meta")).shape == (2, 3)


def test_a_root_that_cannot_be_called_is_told_where_it_stands() -> None:
    spec = archspec.loads("archspec: 1\nmodel: Net\nblocks:\n  Net: {}")
    with pytest.raises(BuildError) as caught:
        archspec.inspect(spec)
    problem = caught.value.problems[0]
    assert problem.place is not None and (problem.code, problem.place.line) == ("E512", 4)
    assert problem.hint == "declare its inputs: inputs: {x: [batch, …]}"
