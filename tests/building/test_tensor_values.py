"""Raw tensors that start as a computed value."""

from __future__ import annotations

import copy
import io
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

import archspec
from archspec.building.init_report import first_values
from archspec.errors import ArchspecError
from tests.tables import every

SPEC = """\
archspec: 1
model: Net
params: {theta: 10000.0}
dims: {batch: 2}
blocks:
  Rotary:
    params: {head: int}
    inputs: {x: [batch, 4]}
    buffers:
      inv_freq: {value: "$1.0 / theta ** (arange(0, head, 2) / head)", persistent: false}
      mask: {shape: [3, 3], value: "$triu(full([3, 3], -inf), 1)"}
    parameters:
      A_log: {value: "$log(repeat(arange(1, 4), head, 1))"}
    forward: [{return: "x * inv_freq[0]"}]
  Net:
    inputs: {x: [batch, 4]}
    modules:
      fc: {type: Linear, in_features: 4, out_features: 4}
      a: {type: Rotary, head: 4}
      b: {type: Rotary, head: 6}
    buffers:
      index:
        value:
          - {"row, column": "meshgrid(arange(2), arange(3), indexing='ij')"}
          - {at: "stack([flatten(row), flatten(column)])"}
          - {apart: "unsqueeze(at, 2) - unsqueeze(at, 1)"}
          - {for: n in range(2), do: [{apart: apart + 1}]}
          - {return: "apart[0] * 5 + apart[1]"}
        persistent: false
      steps: {value: "$arange(3)", dtype: float64}
    forward: [{return: b(a(fc(x)))}]
"""


def _is_right(model: torch.nn.Module, dtype: torch.dtype = torch.float32) -> None:
    """Values as Python computes them, rounded once to the dtype of the model."""
    for name, head in (("a", 4), ("b", 6)):
        expected = 1.0 / 10_000.0 ** (torch.arange(0, head, 2) / head)
        rotary: Any = model.get_submodule(name)
        assert rotary.inv_freq.tolist() == expected.to(dtype).tolist()
        assert rotary.mask[0].tolist() == [0, -math.inf, -math.inf]
        log = torch.tensor([1, 2, 3]).log().to(dtype)
        assert rotary.A_log.tolist() == [log.tolist()] * head and rotary.A_log.requires_grad
    at = [(row, column) for row in range(2) for column in range(3)]
    index = [[(r - s + 2) * 5 + c - d + 2 for s, d in at] for r, c in at]
    assert model.get_buffer("index").tolist() == index
    assert model.get_buffer("index").dtype == torch.int64
    assert model.get_buffer("steps").tolist() == [0, 1, 2]


def test_values_survive_what_is_done_with_models(tmp_path: Path) -> None:
    spec = archspec.loads(SPEC)
    on_meta = archspec.build(spec, device="meta")
    shapes = {name: tuple(b.shape) for name, b in on_meta.named_buffers()}
    assert all(buffer.is_meta for buffer in on_meta.buffers())
    assert (shapes["a.inv_freq"], shapes["b.inv_freq"], shapes["index"]) == ((2,), (3,), (6, 6))
    assert on_meta.get_buffer("steps").dtype == torch.float64
    model = archspec.build(spec, device="cpu")
    _is_right(model)
    assert model.get_buffer("steps").dtype == torch.float64
    assert not {"index", "a.inv_freq"} & model.state_dict().keys() >= {"a.mask", "a.A_log"}
    _is_right(copy.deepcopy(model))
    _is_right(pickle.loads(pickle.dumps(model)))
    _is_right(archspec.build(spec, device="cpu", dtype="float16"), torch.float16)
    empty = on_meta.to_empty(device="cpu")
    module: Any
    for module in empty.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()
    _is_right(empty)
    archspec.save_weights(model, tmp_path / "model.safetensors")
    _is_right(archspec.build(spec, device="cpu", weights=tmp_path / "model.safetensors"))
    names: dict[str, Any] = {}
    exec(compile(archspec.to_python(spec), "net", "exec", dont_inherit=True), names)
    _is_right(names["Net"]())
    (text,) = first_values(model, "a")["inv_freq"]
    assert text.text == "1.0 / theta ** (arange(0, head, 2) / head)"
    assert text.place is not None and text.place.line == 10
    torch.save(model.state_dict(), io.BytesIO())


WRONG = """\
archspec: 1
model: Net
params: {{dim: 8}}
dims: {{batch: 2}}
blocks:
  Net:
    inputs: {{x: [batch, 4]}}
    modules: {{fc: {{type: Linear, in_features: 4, out_features: 4}}}}
    {}
    forward: [{{return: fc(x)}}]
"""


@every(
    "tensors, code, column, said",
    [
        ("buffers: {b: {}}", "E202", 15, "'shape' is missing in 'b'"),
        ("buffers: {b: {value: 3}}", "E202", 26, "an $expression or a list of steps"),
        ("buffers: {b: {value: arange(3)}}", "E202", 26, "begins with $"),
        ("buffers: {b: {value: [1]}}", "E202", 27, "$tensor([…])"),
        ('buffers: {b: {value: "$[1, dim]"}}', "E305", 28, "tensor([1, dim])"),
        ('buffers: {b: {value: "$fc(arange(3))"}}', "E303", 28, "'fc' is a module"),
        ('buffers: {b: {value: "$x + 1"}}', "E303", 28, "'x' is an input"),
        ('buffers: {b: {value: "$b.shape"}}', "E303", 28, "'b' is a tensor of the block"),
        ('buffers: {b: {value: "$training"}}', "E303", 28, "known when the model runs"),
        ('buffers: {b: {value: "$arrange(3)"}}', "E304", 28, "'arange'"),
        ("buffers: {b: {value: [{a: arange(3)}]}}", "E308", 27, "value ends without a return"),
        ('buffers: {b: {init: "$arange(3)"}}', "E214", 25, "value: $… in place of init"),
        ('buffers: {b: {value: "$arange(3)", init: zeros_}}', "E202", 40, "both"),
        ('buffers: {b: {value: "$arange(3)"}, compute_b: {shape: []}}', "E207", 41, "'b'"),
        ('buffers: {b: {value: "$arange(3)", shape: [4]}}', "E510", 47, "shape [3], declared [4]"),
        ('buffers: {b: {value: "$dim"}}', "E501", 18, "is int, not a tensor"),
        ('buffers: {b: {value: "$arange(3) + arange(dim)"}}', "E501", 26, "cannot be computed"),
        ('buffers: {b: {value: "$expand(arange(3), 5, -1)"}}', "E501", 18, "contiguous(…)"),
        ('buffers: {b: {value: "$1 if arange(3)[0] > 2 else 2"}}', "E501", 26, "parameters alone"),
        ('parameters: {b: {value: "$arange(3)"}}', "E501", 21, "floating point"),
        ('buffers: {b: {value: "$ones(100000, 100000)"}}', "E505", 26, "10^9 elements"),
        (
            "buffers: {b: {value: [{y: ones(2)}, {for: i in range(99999), do: [{y: y + 1}]},"
            " {return: y}]}}",
            *("E505", 47, "10,000 operations"),
        ),
        (
            "buffers: {b: {value: [{n: dim}, {for: i in range(60), do: [{n: n * n}]},"
            " {return: arange(n)}]}}",
            *("E307", 68, "4,096 bits"),
        ),
    ],
)
def test_what_no_value_can_be(tensors: str, code: str, column: int, said: str) -> None:
    with pytest.raises(ArchspecError) as caught:
        archspec.build(archspec.loads(WRONG.format(tensors)), device="meta")
    problem = caught.value.problems[0]
    assert (problem.code, problem.place and (problem.place.line, problem.place.column)) == (
        code,
        (9, column),
    )
    assert said in f"{problem.message}; {problem.hint}"


def test_a_buffer_that_a_step_writes_is_kept_and_exported() -> None:
    """A running mean: in training it moves, in eval it stands, and nothing of the graph is kept."""
    model: Any = archspec.build(
        archspec.loads(
            "archspec: 1\nmodel: Net\ndims: {batch: 2}\nblocks:\n  Net:\n"
            "    inputs: {x: [batch, 4]}\n    buffers: {average: {shape: [4]}}\n    forward:\n"
            "      - now: detach(mean(x, 0))\n"
            '      - {_: "copy_(average, lerp(average, now, 0.25)) if training else x"}\n'
            "      - return: x - average\n"
        ),
        device="cpu",
    )
    x = torch.ones(2, 4, requires_grad=True)
    for times in (1, 2):
        model.train()(x).sum().backward()
        torch.testing.assert_close(model.average, torch.full((4,), 1 - 0.75**times))
    torch.testing.assert_close(model.eval()(x), torch.full((2, 4), 0.75**2))
    exported = torch.export.export(model.train(), (torch.ones(2, 4),)).module()
    exported(torch.ones(2, 4))
    torch.testing.assert_close(exported.average, torch.full((4,), 1 - 0.75**3))


def test_a_large_model_computes_equal_values_once() -> None:
    """2,000 equal blocks of 10 operations are 20,000, were each of them counted."""
    text = WRONG.format('buffers: {b: {value: "$' + " + ".join(["arange(2)"] * 5) + '"}}')
    many = "Net: {modules: {all: {type: Sequential, items: [{type: Part, repeat: 2000}]}}}"
    text = text.replace("  Net:", "  Part:") + f"  {many}\n"
    assert len(list(archspec.build(archspec.loads(text), device="meta").buffers())) == 2000
