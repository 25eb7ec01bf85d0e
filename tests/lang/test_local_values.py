"""``let``, defaults of siblings, and functions of plain numbers: values, places, limits."""

from __future__ import annotations

import math
import time

import pytest
import torch

import archspec
from archspec import SpecError
from archspec.codegen import generate
from archspec.lang.expr import numeric
from tests.tables import every

SPEC = """\
archspec: 1
model: Net
params: {mult: 1.25, widths: [16, 24, 32], head_dim: 16, depth: $len(channels)}
let:
  wide: $channels[-1] * 2
  channels: $[divisible(c * mult, 8) for c in widths]
  kind: $'Tanh' if wide > 8 else 'ReLU'
dims: {batch: 2}
blocks:
  Part:
    params:
      wider: {type: int, default: $2 * planes}
      planes: int
      act: {type: layer, default: ReLU}
      last: {type: layer, default: $act}
    let:
      scale: $sqrt(inner) / ceil(inner / 3)
      inner: $planes + wider
    inputs: {x: [batch, $planes]}
    outputs: {y: [batch, $inner]}
    modules:
      fc: {type: Linear, in_features: $planes, out_features: $inner}
      first: {type: $act}
      second: {type: $last}
      third: {type: $kind}
    forward:
      - n: x.shape[-1]
      - for: i in range(2)
        do: [{n: "max(n, i) + 1"}]
      - factor: sqrt(n) * log2(head_dim) + int(n * 0.5)
      - y: third(second(first(fc(x)))) * scale + factor
      - return: where(y > 0, sqrt(abs(y)), finfo(y.dtype).min + finfo(float16).max)
  Net:
    inputs: {x: [batch, "$channels[0]"]}
    modules: {part: {type: Part, planes: "$channels[0]", act: GELU}}
"""


def test_values_reach_the_model() -> None:
    spec = archspec.loads(SPEC)
    assert spec.values == {
        "mult": 1.25, "widths": (16, 24, 32), "head_dim": 16, "depth": 3, "wide": 80,
        "channels": (24, 32, 40), "kind": "Tanh",
    }  # fmt: skip
    part = dict(spec.root.children)["part"]
    assert dict(part.let) == {"scale": math.sqrt(72) / 24, "inner": 72}
    assert list(part.arguments) == ["wider", "planes", "act", "last"]
    model = archspec.build(spec, device="cpu", seed=0)
    fc, x = model.get_submodule("part.fc"), torch.randn(2, 24)
    y = torch.tanh(torch.nn.functional.gelu(torch.nn.functional.gelu(fc(x))))
    y = y * (math.sqrt(72) / 24) + math.sqrt(26) * 4 + 13
    low = torch.finfo(torch.float32).min + torch.finfo(torch.float16).max
    torch.testing.assert_close(model(x), torch.where(y > 0, torch.sqrt(torch.abs(y)), low))
    text = generate(spec).text
    lines = ["wider = 2 * planes", "inner = planes + wider", "scale = math.sqrt(inner) / math.ceil"]
    at = [text.index(f"{line}") for line in (*lines, "self.scale = scale")]
    assert at == sorted(at)
    again = spec.with_params(widths=[40])
    assert (again.values["depth"], again.values["channels"]) == (1, (48,))


def test_functions_are_those_of_python_and_torch() -> None:
    for name, limits in numeric.FINFO.items():
        for key, value in limits.items():
            assert value == getattr(torch.finfo(getattr(torch, name)), key), (name, key)
    for value in (*range(1, 400), 33.6, 0.5):  # as torchvision has it
        expected = max(8, int(value + 4) // 8 * 8)
        assert numeric.divisible(value, 8) == expected + 8 * (expected < 0.9 * value)


HEAD = "archspec: 1\nmodel: Net\n"
NET = "blocks:\n  Net:\n    inputs: {x: [batch, 4]}\n"
MISTAKES = [
    ("params: {a: 1}\nlet: {b: $c, c: $b}\n" + NET, ("E306", 4, "values are computed from each")),
    (NET + "    params: {a: $b, b: $a}", ("E306", 6, "parameters are computed from each other")),
    (NET + "    params: {a: 1}\n    let: {b: $b + a}", ("E306", 7, "b → b")),
    ("let: {x: {y: 1}}\n" + NET, ("E205", 3, "'x' cannot be a mapping")),
    (NET + "    let: {y: [{z: 1}]}", ("E205", 6, "'y' cannot be a mapping")),
    ("params: {a: 1}\nlet: {a: 2}\n" + NET, ("E207", 4, "'a' is already a parameter")),
    ("let: {a: 2}\n" + NET + "    let: {a: 2}", ("E207", 7, "already a local value of the spec")),
    (NET + "    let: {x: 2}", ("E207", 5, "'x' is already a local value")),
    (NET + "    let: {max: 2}", ("E207", 6, "cannot be used as a name here")),
    ("let: {a: '$[b for b, b in 3]'}\n" + NET, ("E306", 3, "a loop needs a list, not 3")),
    ("let: {a: '$[b for b in [1] for c in a]'}\n" + NET, ("E306", 3, "a → a")),
    ("let: {a: '$[config for config in [1]]'}\n" + NET, ("E207", 3, "'config' cannot be used")),
    ("params: {c: 1}\nlet: {a: '$[c for c in [1]]'}\n" + NET, ("E207", 4, "'c' is already")),
    ("let: {a: '$[b for b, c in [[1, 2], [3]]]'}\n" + NET, ("E306", 3, "1 values for the 2 names")),
    ("let: {a: '$zip([1])'}\n" + NET, ("E304", 3, "unknown function 'zip'")),
    ("let: {a: $finfo(int8).min}\n" + NET, ("E303", 3, "unknown name 'int8'")),
    ("let: {a: $finfo(float16).dtype}\n" + NET, ("E304", 3, "no attribute 'dtype'")),
    ("let: {a: ReLU}\n" + NET + "    modules: {m: {type: $a, b: 1}}", ("E203", 7, "ReLU has no")),
    (NET + "    let: {a: ReLU}\n    modules: {m: {type: $a}}", ("E206", 7, "'a' is no block or")),
    (NET + "    forward: [{return: 'sqrt(2, 3) + x'}]", ("E305", 6, "sqrt takes 1")),
    (NET + "    forward: [{y: 'max(1, 2)'}, {max: x}, {return: x}]", ("E308", 6, "a function")),
    (NET + "    forward: [{n: 2}, {for: i in range(9), do: [{n: 'int(n) ** n'}]}, {return: x}]",
     ("E307", 6, "more than 4,096 bits")),
    (NET + "    forward: [{return: finfo(x.dtype)}]", ("E304", 6, "no function or")),
    (NET + "    forward: [{return: finfo(x.dtype).dtype}]", ("E304", 6, "no attribute 'dtype'")),
]  # fmt: skip


@every("text, expected", MISTAKES)
def test_mistakes_have_a_place(text: str, expected: tuple[str, int, str]) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(HEAD + text)
    found = [(p.code, p.place.line if p.place else 0, p.message) for p in caught.value.problems]
    code, line, message = expected
    assert any(c == code and at == line and message in said for c, at, said in found), found


def test_a_local_value_is_not_given() -> None:
    with pytest.raises(SpecError, match=r"'wide' is computed \(wide=…\)"):
        archspec.loads(SPEC, wide=3)


BOMBS = [
    "$[0 for a in range(9223372036854775807)]",
    "$[0 for a in range(100000) for b in range(100000) if False]",
    "$[sum([0 for b in range(9999)]) for a in range(9999)]",
    "$[xs == ys for x in xs for y in xs]",
]


def test_no_comprehension_hangs() -> None:
    start = time.process_time()
    for bomb in BOMBS:
        lists = "  xs: $[i for i in range(4000)]\n  ys: $[i for i in range(4000)]\n"
        with pytest.raises(SpecError) as caught:
            archspec.loads(f"{HEAD}let:\n{lists}  bomb: {bomb!r}\n{NET}")
        assert [problem.code for problem in caught.value.problems] == ["E307"], bomb
    assert time.process_time() - start < 20
