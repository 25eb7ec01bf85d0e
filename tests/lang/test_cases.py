"""Specs that once did harm or led astray, each with what is right: see ``cases/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import archspec
from archspec import ArchspecError, SpecError
from archspec.lang.expr.numeric import FUNCTIONS

CASES = Path(__file__).with_name("cases")
ACTIONS: dict[str, Callable[[Path], object]] = {
    "load": archspec.load,
    "build": lambda spec: archspec.build(spec, device="meta"),
    "inspect": archspec.inspect,
    "draw": archspec.draw,
    "to_python": archspec.to_python,
    "lock": archspec.lock,
    "diff": lambda spec: archspec.diff(spec, "resnet18"),
}


def found(action: Callable[[Path], object], spec: Path) -> list[tuple[str, int]]:
    """Code and line of each problem; none if it ends well."""
    try:
        action(spec)
    except ArchspecError as error:
        return [(p.code, p.place.line) for p in error.problems if p.place]
    return []


CODE = {
    "identity-argument.yaml": [("E207", 7)],
    "init-match-quote.yaml": [],
    "item-name.yaml": [("E207", 10)],
}


@pytest.mark.parametrize("action", ACTIONS)
def test_no_text_becomes_code(action: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # where the code of these specs would make a file
    specs = sorted((CASES / "code-from-spec").iterdir())
    assert {spec.name: found(ACTIONS[action], spec) for spec in specs} == CODE
    assert not list(tmp_path.iterdir())


ERRORS = {
    "dict-return.yaml": [],  # a dict is returned
    "echo-1.yaml": [
        (4, "E201", "did you mean 'min'?"),
        (9, "E203", "it takes: in_features, out_features, bias"),
    ],
    "echo-2.yaml": [
        (8, "E202", ""),
        (11, "E303", "a name is an input, a child, a parameter or an earlier target"),
        (11, "E303", "a name is an input, a child, a parameter or an earlier target"),
    ],
    "hydra-style-1.yaml": [(11, "E101", "a parameter's value is $name, without braces")],
    "hydra-style-2.yaml": [
        (9, "E202", "write type: Linear in place of _target_: torch.nn.Linear"),
        (9, "E302", "write $hidden"),
        (10, "E202", "write type: ReLU in place of class_path: torch.nn.ReLU"),
        (11, "E206", "a type is a name, never an import; did you mean 'Linear'?"),
        (12, "E206", "a type is a name, never an import; did you mean 'ReLU'?"),
    ],
    "no-break-space.yaml": [],
    "recursive-block.yaml": [(24, "E211", "")],
}


def test_errors_lead_on() -> None:
    told: dict[str, list[tuple[int, str, str]]] = {}
    for spec in sorted((CASES / "errors").iterdir()):
        try:
            archspec.load(spec)
            told[spec.name] = []
        except SpecError as error:
            told[spec.name] = [(p.place.line, p.code, p.hint) for p in error.problems if p.place]
    assert told == ERRORS


HEAD = "archspec: 1\nmodel: Net\n"
NET = HEAD + "blocks:\n  Net:\n    inputs: {x: [batch, 4]}\n    "
HINTS = {
    # a spec, and the hint that it is given
    NET + "forward: [{y: 'clip(x, 0, 1)'}, {return: y}]": "write clamp(…)",
    NET + "forward: [{return: lstm(x)}]": "LSTM is a layer: declare a module of that type",
    NET + "forward: [{return: sofmax(x)}]": "did you mean 'softmax'?",
    NET + "forward: [{'y, (h, c)': relu(x)}, {return: x}]": (
        "unpack in two steps: {y, state: …}, then {h, c: state}"
    ),
    NET + "forward: [{break: x}, {return: x}]": (
        "there is no early exit: run all rounds, and choose the result with a if c else b"
    ),
    NET + "modules: {l: {type: GLEU}}": "did you mean 'GELU' or 'GLU'?",
    NET + "modules: {l: {type: weight_norm}}": (
        "write a block with the parameters weight_g and weight_v, and compute the weight in a step"
    ),
    NET + "modules: {l: {type: timm.DropPath}}": (
        "a type is a name, never an import; write a block: "
        "{return: x * dropout(ones_like(x[:, :1, :1]), p) if training else x}"
    ),
    HEAD + "blocks: {DropPaths: {}, Net: {modules: {l: {type: DropPath}}}}": (
        "did you mean 'DropPaths'?"
    ),
    NET + "modules: {l: {type: Sequential, items: [{repeat: 2, in_features: 3}]}}": (
        "several modules are repeated together as items: {repeat: 2, items: [{type: …}, …]}"
    ),
    HEAD + "params: {d: {default: {a: 1}}}\nblocks: {Net: {}}": (
        "there are no mappings as values: declare a parameter for each of its keys"
    ),
    HEAD + "params: {w: {type: int, default: $None}}\nblocks: {Net: {}}": (
        "to allow null, declare it with default: null, or with nullable: true"
    ),
    HEAD + "params:\n  t: int?\nblocks: {Net: {}}": (
        "a parameter that may be null is declared with default: null, or with nullable: true"
    ),
    HEAD + "params: {t: {type: int?}}\nblocks: {Net: {}}": (
        "a parameter that may be null is declared with default: null, or with nullable: true"
    ),
    HEAD + "params: {g: '$triangle(2.5)'}\nblocks: {Net: {}}": (
        f"arguments know {', '.join(FUNCTIONS)}"
    ),
    HEAD + "params: {g: '$range(2)'}\nblocks: {Net: {}}": (
        f"it stands in a comprehension: [… for x in …]; arguments know {', '.join(FUNCTIONS)}"
    ),
    HEAD + "params: {g: '$finfo(float16)'}\nblocks: {Net: {}}": (
        f"write finfo(float16).min; arguments know {', '.join(FUNCTIONS)}"
    ),
    NET + "forward: [{return: 'divisible(x, 8)'}]": "it takes plain numbers",
    NET + "let: {a: {b: 1}}": (
        "a local value is a number, a text, true, false, null or a list of these"
    ),
    NET + "forward: [{return: 'x if x else x'}]": "write where(x, a, b), or … is None",
}


def test_hints_say_what_to_write() -> None:
    wrong: list[str] = []
    for text, hint in HINTS.items():
        try:
            archspec.loads(text)
            wrong.append(f"accepted: {text}")
        except SpecError as error:
            if [problem.hint for problem in error.problems] != [hint]:
                wrong.append(f"{text}\n{error}")
    assert not wrong, "\n\n".join(wrong)


LANGUAGE = {
    "extends-outputs.yaml": [],
    "function-in-default.yaml": [],
    "function-in-init.yaml": [],
    "layer-default-from-param.yaml": [],
    "list-return.yaml": [],
    "scalar-input.yaml": [("E305", 7)],
}


@pytest.mark.parametrize("action", ["load", "build", "inspect", "draw"])
def test_what_is_accepted_builds(action: str) -> None:
    specs = sorted((CASES / "language").iterdir())
    assert {spec.name: found(ACTIONS[action], spec) for spec in specs} == LANGUAGE


def test_functions_of_arguments_have_the_values_that_were_checked() -> None:
    model = archspec.build(CASES / "language" / "function-in-default.yaml", device="meta")
    assert model.get_parameter("f.weight").shape == (8, 4)
    assert "std=1 / max(4, config.w)" in archspec.to_python(
        CASES / "language" / "function-in-init.yaml"
    )


def test_what_is_returned_is_as_many_values_as_there_are_outputs() -> None:
    text = NET + "outputs: {y: [batch, 4]}\n    forward: [{return: 'x, x'}]"
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    assert [(p.code, p.message) for p in caught.value.problems] == [
        ("E305", "Net returns 2 values, its outputs are 1")
    ]
