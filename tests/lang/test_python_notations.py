"""Python's statements, methods and attributes in forward steps: what an error says."""

from __future__ import annotations

import re

import pytest

import archspec
from archspec.errors import Problem, SpecError
from archspec.lang.checks.python_notations import meant_step
from tests.tables import every

HEAD = """\
archspec: 1
model: Net
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, 3, 8]}
    buffers: {average: {shape: [8]}}
    modules:
      fc: {type: Linear, in_features: 8, out_features: 8}
      layers: {type: ModuleList, items: [{type: Tanh, repeat: 3}]}
    forward:
      - y: x
      - ys: "[x]"
"""


def problems_of(step: str, *more: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        archspec.loads(HEAD + "".join(f"      - {one}\n" for one in (step, *more, "return: x")))
    return caught.value.problems


def loads(step: str) -> None:
    archspec.loads(HEAD + f"      - {step}\n      - return: x\n")


@every(
    "step, code, hint",
    [
        ("y = fc(x)", "E202", "write {y: fc(x)}"),
        ("y += fc(x)", "E202", "write {y: y + fc(x)}"),
        ("y *= 1 + x", "E202", "write {y: y * (1 + x)}"),
        ("a, b = chunk(x, 2, -1)", "E202", 'write {"a, b": "chunk(x, 2, -1)"}'),
        ("self.y = fc(x)", "E202", "write {y: fc(x)}"),
        ("fc(x)", "E202", "give what it returns a name: {x: fc(x)}"),
        ("ys.append(x)", "E202", 'write {ys: "ys + [x]"}'),
        ("_: ys.append(x)", "E304", 'write {ys: "ys + [y]"}'),
        ("x[:, 0] = y[:, 0]", "E202", "write {x: select_scatter(x, y, dim, index)}"),
        ("x[:, 0]: y[:, 0]", "E207", "write {x: select_scatter(x, y, dim, index)}"),
        ("y +=: fc(x)", "E207", "write {y: y + …}"),
        ("for layer in layers: x", "E207", "write {for: x in layers, do: [steps]}"),
        ("with torch.no_grad(): x", "E207", "detach(x)"),
        ("assert x.shape[0] > 1", "E202", "by the inputs' contracts"),
        ("average: y", "E308", "{_: copy_(average, …)}"),
        ("y: copy_(x, y)", "E305", "everything else is computed anew"),
        ("y: copy_(fc.weight, y)", "E305", "everything else is computed anew"),
        ("y: x.size(0)", "E304", "write x.shape, x.shape[0] for its first size"),
        ("y: ys[0].size(0)", "E304", "write ys[0].shape"),
        ("y: x @ fc.weight.t()", "E304", "write transpose(fc.weight, 0, 1)"),
        ("y: x @ fc.wieght.t()", "E304", "did you mean 'weight'?"),
        ("y: max(x, 1).values", "E304", "in a step of its own: {values, indices: max(x, 1)}"),
        ("y: x.unfold(-1, 4, 2)", "E304", "x[..., arange(n)[:, None] * step + arange(size)]"),
        ("y: x.clip(0, 1)", "E304", "write clamp(…)"),
        ("y: multiply(x, 2)", "E304", "write mul(…)"),
        ("y: unique(x)", "E304", "its shape depends on values"),
        ("y: sum(a for a in x)", "E302", "or among steps {for: x in xs, do: […]}"),
        ("y: x.mT", "E304", "write transpose(x, -2, -1)"),
        ("y: x.masked_fill_(x > 0, 0)", "E304", "write masked_fill(x, …)"),
        ("y: masked_fill_(x, x > 0, 0)", "E304", "write masked_fill(…)"),
        ("y: self.forward(x)", "E303", "a block does not call itself"),
        ("y: forward(x)", "E304", "a block does not call itself"),
        ("y: zeros(3, device='cuda')", "E305", "write device=x.device"),
        ("y: zeros(batch, 3)", "E303", "write x.shape[0]"),
        ('{for: "i, a in enumerate(zip(ys, layers))", do: [{y: x}]}', "E304", "{for: i in range("),
        ('{for: "i, (a, b) in zip(ys, ys)", do: [{y: x}]}', "E308", "{for: i in range(len(xs))"),
        ("y: layers.0(x)", "E301", "write layers[0]"),
        ("{for: layer in reversed(layers), do: [{x: layer(x)}]}", "E304", 'layers[::-1]", do'),
        ('{for: "a, b in zip(ys, reversed(ys))", do: [{y: a}]}', "E304", "zip(ys, ys[::-1])"),
    ],
)
def test_each_is_one_problem_with_what_to_write(step: str, code: str, hint: str) -> None:
    (problem,) = problems_of(step)
    assert problem.code == code
    assert hint in problem.hint
    assert problem.place and problem.place.line == 14


def test_what_is_meant_is_read_on() -> None:
    """What a later step says of the name is checked, and nothing follows from the first problem."""
    first, second = problems_of("z = fc(x)", "y: sofmax(z)")
    assert first.hint == "write {z: fc(x)}"
    assert second.message == "no function or child is called 'sofmax'"
    (first,) = problems_of("z = fc(x)", "y: z + 1")
    assert [p.code for p in problems_of("pass", "y: z + 1")] == ["E202", "E303"]


@every(
    "step",
    ["y = fc(x)", "y += fc(x)", "a, b = chunk(x, 2, -1)", "ys.append(x)", "self.y = x", "fc(x)"],
)
def test_the_hint_is_right_when_followed(step: str) -> None:
    (problem,) = problems_of(step)
    found = re.search(r"\{.*\}", problem.hint)
    assert found
    loads(found[0])


def test_texts_that_hold_no_statement() -> None:
    for text in ("", "x x", "(" * 900, "x = " + "-" * 900 + "1", "a = 1; b = 2", "1 is x", "é = "):
        hint, step = meant_step(text)
        assert hint == "a step is {name: expression} or {return: expression}"
        assert step == {}


@every(
    "block, code, hint",
    [
        (
            "{modules: {n: {type: \"$'LayerNorm' if n else 'RReLU'\", normalized_shape: 4}}}",
            *("E203", "use a block for each"),
        ),
        (
            "{modules: {n: {type: \"$'Net' if n == 5 else 'ReLU'\", inplace: true}}}",
            *("E203", "use a block for each"),
        ),
        (
            "{modules: {n: {type: MultiheadAttention, embed_dim: 4, num_heads: 2, kdim: None}}}",
            "E205",
            "write null",
        ),
        (
            "{buffers: {n: [1, 2]}, forward: [{return: x}]}",
            "E202",
            "write {value: $tensor([1, 2])}",
        ),
        (
            "{parameters: {w: {shape: $sizes}}, forward: [{return: x}]}",
            *("E202", 'write its sizes: shape: ["$sizes[0]", "$sizes[1]"]'),
        ),
        ("{parameters: {w: {shape: 4}}, forward: [{return: x}]}", "E202", "write shape: [4]"),
        ("{buffers: {w: {shape: [4], dtype: torch.long}}}", "E202", "write int64"),
        (
            "{forward: {y: relu(x), return: y}}",
            *("E202", "write forward: [{y: relu(x)}, {return: y}]"),
        ),
        ("{items: []}\nloss: mse", "E201", "archspec train takes the rest as options"),
        ("{modules: {m: {type: Part, size: n}}}", "E205", "write $n for its value"),
        ("{modules: {m: {type: Part, size: '4'}}}", "E205", "write 4, without quotes"),
        ("{modules: {m: {Part: {size: 4}}}}", "E202", "write {type: Part, …}, its arguments"),
        (
            "{modules: {m: {type: Linear, in_features: 4, out_features: 4, activation: relu}}}",
            *("E203", "call it in a step"),
        ),
        (
            "{modules: {m: {type: Sequential, items: []}}, forward: [{return: m.a(x)}]}",
            *("E304", "call an item, as m[0]"),
        ),
        (
            "{modules: {m: {type: Sequential, items: [{type: ReLU, name: 'a{n}'}]}}, "
            "forward: [{return: m.a5(x)}]}",
            *("E304", "it has: a4"),
        ),
        (
            "{parameters: {w: {shape: [4], requires_grad: false}}, forward: [{return: x}]}",
            *("E201", "what is never trained stands under buffers"),
        ),
        (
            "{buffers: {w: {value: [{return: 'stack([x for x in n])'}]}}, forward: [{return: x}]}",
            *("E302", "write steps: [{xs: []}, {for: x in range(n)"),
        ),
        (
            "{buffers: {embedding: {shape: [4]}, w: {value: $embedding}}, forward: [{return: x}]}",
            *("E303", "a value is computed from parameters"),
        ),
        (
            "{items: [{each: a, in: '[[n, 2]]', items: [{type: ReLU}]}]}",
            *("E306", 'a list in quotes begins with $: "$[…]"'),
        ),
        (
            "{items: [{each: a, in: [Tanh, ReLU], items: [{type: $a}]}]}",
            *("E206", "write here what it is: $'A' if a == … else 'B'"),
        ),
    ],
)
def test_declarations_as_in_python(block: str, code: str, hint: str) -> None:
    part = "{params: {size: int}, items: [{type: ReLU}]}"
    text = f"archspec: 1\nmodel: Net\nparams: {{n: 4}}\nblocks:\n  Part: {part}\n  Net: {block}\n"
    with pytest.raises(SpecError) as caught:
        archspec.loads(text.replace("Net: {", "Net: {inputs: {x: [batch, 4]}, "))
    (problem,) = caught.value.problems
    assert problem.code == code and hint in problem.hint


def test_modules_are_tied_by_their_parameters() -> None:
    text = HEAD.replace("dims:", "tie: {fc: layers}\ndims:") + "      - return: x\n"
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    assert caught.value.problems[0].hint == "tie each of its parameters, such as fc.weight, fc.bias"
    with pytest.raises(SpecError) as caught:
        archspec.loads(text.replace("{fc: layers}", "{'layers.*.weight': fc.weight}"))
    assert caught.value.problems[0].hint.startswith("a tie is of two parameters")
