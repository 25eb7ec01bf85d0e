"""From a spec to the tree of its modules: names, numbers, what is left out, what is shared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import archspec
from archspec.errors import Problem, SpecError
from archspec.lang.expand import MAX_DISTINCT, MAX_REPEAT
from archspec.lang.instances import Instance, walk
from archspec.lang.layer_parts import entries
from archspec.lang.limits import MAX_MODULES
from archspec.lang.spec import Spec, loads
from tests.tables import every

NET = """\
archspec: 1
model: Net
params:
  n: 2
  wide: true
  kinds: [ReLU, GELU]
  kind: {{type: layer, default: Tanh}}
  part: {{type: block, default: Part}}
blocks:
  Part:
    params: {{size: {{default: 4, min: 1}}, act: {{type: layer, default: ReLU}}, twice: $2 * n}}
    inputs: {{x: [batch, $size]}}
    modules:
      fc: {{type: Linear, in_features: $size, out_features: $twice, when: $size > 3}}
      own: {{type: $act}}
  Other: {{inputs: {{x: [batch, 4]}}, modules: {{act: {{type: ReLU}}}}}}
  Net:
    inputs: {{x: [batch, 4]}}
    modules: {{{modules}}}
    parameters: {{weight: {{shape: [$n, 3]}}}}
    forward: [{{return: x}}]
"""


def net(modules: str, **params: Any) -> Spec:
    return loads(NET.format(modules=modules), **params)


def problem(modules: str, **params: Any) -> Problem:
    """The one thing that is wrong."""
    with pytest.raises(SpecError) as caught:
        net(modules, **params)
    (found,) = caught.value.problems
    return found


def at(spec: Spec, path: str) -> Instance:
    return dict(walk(spec.root))[path]


ITEMS = {
    "none": ("", []),
    "two": ("{type: ReLU}, {type: GELU}", ["0 ReLU", "1 GELU"]),
    "repeated": ("{type: ReLU, repeat: 2}, {type: GELU}", ["0 ReLU", "1 ReLU", "2 GELU"]),
    "not at all": ("{type: ReLU, repeat: 0}, {type: GELU}", ["0 GELU"]),
    "as often as computed": ("{type: ReLU, repeat: $n}", ["0 ReLU", "1 ReLU"]),
    "left out": ("{type: ReLU, when: false}, {type: GELU}", ["0 GELU"]),
    "one of two": ("{type: ReLU, when: $wide}, {type: GELU, when: $not wide}", ["0 ReLU"]),
    "counted": (
        "{type: \"$'ReLU' if i < 1 else kind\", repeat: 2, index: i}",
        ["0 ReLU", "1 Tanh"],
    ),
    "counted and left out": (
        "{type: ReLU, repeat: 3, index: i, when: $i != 1}",
        ["0 ReLU", "1 ReLU"],
    ),
    "named": ("{type: ReLU, name: one}, {type: GELU, name: two}", ["one ReLU", "two GELU"]),
    "named and counted": (
        "{type: ReLU, repeat: 2, index: i, name: 'x{i + 1}'}",
        ["x1 ReLU", "x2 ReLU"],
    ),
    "named by numbers": (
        "{type: ReLU, repeat: 2, index: i, name: '{1 - i}'}",
        ["1 ReLU", "0 ReLU"],
    ),
    "named and left out": (
        "{type: ReLU, name: one, when: false}, {type: GELU, name: two}",
        ["two GELU"],
    ),
    "chosen": (
        "{type: $kind}, {type: \"$'SiLU' if n > 1 else kind\"}",
        ["0 Tanh", "1 SiLU"],
    ),
    "in each other": (
        "{type: Sequential, repeat: 2, index: i, items:"
        " [{type: '$kinds[n - 1]', repeat: 2, index: j, when: $j >= i}]}",
        ["0 Sequential", "0.0 GELU", "0.1 GELU", "1 Sequential", "1.0 GELU"],
    ),
    "emptied": (
        "{type: Sequential, when: false, items: [{type: ReLU}]}, {type: GELU}",
        ["0 Sequential", "1 GELU"],
    ),
}


@every(("items", "expected"), ITEMS.values())
def test_items_have_the_names_that_pytorch_gives_them(items: str, expected: list[str]) -> None:
    spec = net(f"a: {{type: Sequential, items: [{items}]}}")
    found = [(path, instance.type) for path, instance in walk(spec.root) if path[:2] == "a."]
    assert [f"{path[2:]} {kind}" for path, kind in found] == expected
    model = archspec.build(spec, device="meta")
    built = [(path, type(m).__name__) for path, m in model.named_modules() if path[:2] == "a."]
    assert built == found


def test_arguments_are_values_and_blocks_have_all_of_theirs() -> None:
    spec = net("a: {type: $part, size: $n * 3}, b: {type: Part, act: $kind}", n=3)
    assert at(spec, "a").type == "Part"
    assert at(spec, "a").arguments == {"size": 9, "act": "ReLU", "twice": 6}
    assert at(spec, "a.fc").arguments == {"in_features": 9, "out_features": 6}
    assert at(spec, "b").arguments == {"size": 4, "act": "Tanh", "twice": 6}
    assert at(spec, "b.own").type == "Tanh"
    other = net("a: {type: $part}", part="Other")
    assert at(other, "a").type == "Other"


def test_equal_modules_are_one_instance_and_others_are_not() -> None:
    items = "{type: Part, repeat: 3, index: i, size: '$4 + i // 2'}, {type: Part, repeat: 2}"
    spec = net(f"a: {{type: ModuleList, items: [{items}]}}")
    first, second, third, *rest = (at(spec, f"a.{i}") for i in range(5))
    assert first is second
    assert third is not first
    assert third.arguments["size"] == 5
    assert rest[0] is rest[1]
    assert rest[0] is not first  # it is declared elsewhere


def test_one_and_true_are_different_values() -> None:
    echo = "{type: Echo, repeat: 2, index: i, value: $1 if i else i == 0}"
    block = "  Echo: {params: {value: null}, modules: {note: {type: Identity, x: $value}}}\n"
    text = NET.format(modules=f"a: {{type: ModuleList, items: [{echo}]}}") + block
    values = [at(loads(text), f"a.{i}.note").arguments["x"] for i in range(2)]
    assert [repr(value) for value in values] == ["True", "1"]


def test_what_is_left_out_is_remembered_by_name() -> None:
    spec = net("a: {type: Part, size: 3}, b: {type: ReLU, when: false}")
    assert spec.root.left_out == ("b",)
    assert [name for name, _ in spec.root.children] == ["a"]
    assert at(spec, "a").left_out == ("fc",)


def test_modules_are_counted_and_tensors_listed() -> None:
    spec = net("a: {type: ModuleList, items: [{type: Part, repeat: 5}]}")
    assert spec.root.modules == len(list(walk(spec.root))) == 1 + 1 + 5 * 3
    paths = [entry.path for entry in entries(spec.root) if entry.type is None]
    assert paths == ["weight", *(f"a.{i}.fc.{n}" for i in range(5) for n in ("weight", "bias"))]


def test_modules_as_arguments_are_instances() -> None:
    layer = "{type: TransformerEncoderLayer, d_model: $n, nhead: 2}"
    spec = net(f"a: {{type: TransformerEncoder, num_layers: 2, encoder_layer: {layer}}}")
    inner = at(spec, "a").arguments["encoder_layer"]
    assert isinstance(inner, Instance)
    assert inner.arguments == {"d_model": 2, "nhead": 2}


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=6))
def test_children_of_lists_are_numbered_without_gaps(items: list[tuple[int, bool]]) -> None:
    texts = [f"{{type: ReLU, repeat: {n}, when: {str(there).lower()}}}" for n, there in items]
    spec = net(f"a: {{type: ModuleList, items: [{', '.join(texts)}]}}")
    count = sum(n for n, there in items if there)
    assert [name for name, _ in at(spec, "a").children] == [str(i) for i in range(count)]


# ----------------------------------------------------------------------------------------- limits


def sequential(item: str, times: int = 1) -> str:
    return f"a: {{type: Sequential, items: [{', '.join([item] * times)}]}}"


def test_the_limits_are_where_they_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    relu = f"{{type: ReLU, repeat: {MAX_REPEAT}}}"
    assert net(sequential(relu)).root.modules == MAX_REPEAT + 2
    found = problem(sequential(f"{{type: ReLU, repeat: {MAX_REPEAT + 1}}}"))
    assert (found.code, found.message) == ("E401", "repeated more than 10,000 times")
    found = problem(sequential(relu, MAX_MODULES // MAX_REPEAT))
    assert (found.code, found.message) == ("E401", "the model has more than 20,000 modules")
    assert found.hint == "raise the limit with ARCHSPEC_MAX_MODULES"
    monkeypatch.setenv("ARCHSPEC_MAX_MODULES", "100000")
    assert net(sequential(relu, 9)).root.modules == 9 * MAX_REPEAT + 2
    counted = f"{{type: ReLU, repeat: {MAX_REPEAT}, index: i}}"
    found = problem(sequential(counted, MAX_DISTINCT // MAX_REPEAT))
    assert found.message == "the model has more than 30,000 distinct modules"


LARGE = "{type: Linear, in_features: 1000000, out_features: 1000000, repeat: 1001}"


@pytest.mark.parametrize(
    ("modules", "code", "message"),
    [
        ("a: {type: Linear, in_features: 40000000, out_features: 40000000}", "E402",
         "Linear would hold about 2e+15 parameters"),
        ("a: {type: LSTM, input_size: 4, hidden_size: 4, num_layers: 501}", "E401",
         "LSTM would stack 501 layers"),
        (sequential(LARGE), "E402", "the model has more than 10^15 parameters"),
    ],
)  # fmt: skip
def test_giants_are_refused(modules: str, code: str, message: str) -> None:
    found = problem(modules)
    assert (found.code, found.message) == (code, message)


def test_the_largest_models_there_are_fit() -> None:
    experts = "{type: Linear, in_features: 18432, out_features: 7168, repeat: 256}"
    layer = f"{{type: Sequential, repeat: 61, items: [{experts}]}}"
    assert net(sequential(layer)).root.modules > 15_000


def test_a_mistake_in_many_instances_is_one_problem() -> None:
    found = problem(sequential("{type: Part, repeat: 50, index: i, size: $0 * i}"))
    assert (found.code, found.message) == ("E205", "Part's size must be at least 1, not 0")


def test_overrides_are_told_as_such() -> None:
    found = problem("a: {type: $kind}", kind="Tanhh")
    assert (found.code, found.message) == ("E206", "no layer is called 'Tanhh' (kind=…)")
    assert (found.hint, found.place) == ("did you mean 'Tanh'?", None)
