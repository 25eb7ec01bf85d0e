"""What users of other tools write first: what is told, and that following it works."""

from __future__ import annotations

import re

import pytest

import archspec
from archspec.errors import Problem, SpecError
from tests.tables import every

HEAD = """\
archspec: 1
model: Net
params: {width: 4, deep: true}
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, $width]}
"""
MODULE = HEAD + "    modules:\n      base: &base {type: ReLU}\n      fc: %s\n"
STEP = HEAD + "    forward:\n      - y: x\n      - %s\n      - return: y\n"


def problems_of(text: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        archspec.loads(text)
    return caught.value.problems


@every(
    "module, codes, hint",
    [
        (
            "{_target_: torch.nn.Linear, in_features: $width, out_features: 3}",
            *("E202", "write type: Linear in place of _target_: torch.nn.Linear"),
        ),
        (
            '{_target_: torch.nn.Linear, in_features: "${width}", out_features: 3}',
            *("E202 E302", "write type: Linear in place of _target_: torch.nn.Linear"),
        ),
        (
            "{class_path: torch.nn.Dropout, init_args: {p: 2.0, q: 1}}",
            *("E202 E203", "and its arguments beside it, by name, in place of init_args"),
        ),
        ("{_target_: nn.ReLU, _partial_: true}", "E202", "leave out _partial_"),
        ("{_target_: my.own.Layer, size: 3}", "E202", "see archspec.register_layer"),
        ("{name: Linear, args: [4, 4]}", "E202", "in place of args"),
        ('{type: Dropout, p: "${params.width}"}', "E302", "write $width"),
        ('{type: Dropout, p: "${mul:2,3}"}', "E302", "write an expression, such as $2 * width"),
        ("{<<: *base, inplace: true}", "E201", "write the keys out; what repeats is one block"),
        ("{<<: [*base], inplce: true}", "E201 E203", "or an item with repeat"),
    ],
)
def test_modules(module: str, codes: str, hint: str) -> None:
    problems = problems_of(MODULE % module)
    assert sorted(problem.code for problem in problems) == codes.split(), problems
    assert all(problem.place and problem.place.line == 10 for problem in problems)
    assert any(hint in problem.hint for problem in problems), problems


@every(
    "step, message, hint",
    [
        ("{if: deep, do: [{y: relu(y)}]}", "conditional", "{y: relu(y) if deep else y}"),
        (
            "{if: width > 3, then: {y: relu(y)}, else: {y: gelu(y)}}",
            *("conditional", '{y: "relu(y) if width > 3 else gelu(y)"}'),
        ),
        ("{y: relu(y), if: deep}", "conditional", "{y: relu(y) if deep else y}"),
        ("{when: deep, y: relu(y)}", "conditional", "{y: relu(y) if deep else y}"),
        ("{if: deep, do: [{z: y}, {y: z}]}", "conditional", "else z}; the other steps alike"),
        ("{if: deep, do: [{return: x}]}", "conditional", "there is no early exit"),
        ("{if: deep}", "conditional", "{x: a if condition else b}"),
        ("{while: deep, do: [{y: relu(y)}]}", "while", "for: i in range(n)"),
    ],
)
def test_steps(step: str, message: str, hint: str) -> None:
    (problem,) = problems_of(STEP % step)
    assert (problem.code, problem.message) == ("E308", f"there is no {message} step")
    assert problem.place and problem.place.line == 10
    assert hint in problem.hint
    followed = re.fullmatch(r"write (\{.*\})", problem.hint)
    if followed:
        archspec.build(archspec.loads(STEP % followed[1]), device="meta")


HYDRA = [
    "model:\n  _target_: torch.nn.Linear\n  in_features: 4\n  out_features: 2",
    "archspec: 1\nmodel: {type: Linear, in_features: 4, out_features: 2}",
    "model:\n  class_path: torch.nn.Linear\n  init_args: {in_features: 4, out_features: 2}",
    "model:\n  _target_: torch.nn.Linear\n  _args_: [4, 2]\nparams: {width: 4}",
    "_target_: torch.nn.Sequential\n_args_:\n  - {_target_: torch.nn.Linear, _args_: [4, 2]}\n"
    "  - {_target_: torch.nn.ReLU, inplace: true, _convert_: all}",
    "class_path: torch.nn.Linear\ninit_args: {in_features: 4, out_features: 2}",
    "archspec: 1\ntype: Linear\nin_features: 4\nout_features: 2",
]


@every("text", HYDRA)
def test_a_class_as_the_whole_file(text: str) -> None:
    (problem,) = problems_of(text)
    assert (problem.code, problem.message) == ("E202", "a model is the name of a block")
    followed = problem.hint.removeprefix("write ")
    if "archspec: 1" in text:
        followed = f"archspec: 1, {followed}"
    model = archspec.build(archspec.loads(f"{{{followed}}}"), device="meta")
    assert [tuple(one.shape) for one in model.parameters()] == [(2, 4), (2,)]


def test_a_class_as_the_model_beside_blocks() -> None:
    text = "archspec: 1\nmodel: {_target_: nn.ReLU}\nblocks: {Net: {items: []}}"
    (problem,) = problems_of(text)
    assert problem.hint == "write model: Model; and among the blocks Model: {items: [{type: ReLU}]}"
    (problem,) = problems_of("archspec: 1\nmodel: {_target_: my.Net, size: 3}")
    hint = "write model: Model, blocks: {Model: {items: [{type: Net, size: 3}]}}; Net must be a "
    assert problem.hint.startswith(hint)
    (problem,) = problems_of('archspec: 1\nmodel: {_target_: nn.Dropout, p: "${rate}"}')
    assert problem.hint == "write model: Net, blocks: {Net: {items: [{type: NAME, …}]}}"


@every(
    "block, message, followed",
    [
        ("{_target_: torch.nn.Linear, in_features: 4, out_features: 2}", "unknown key '_target_'",
         "items: [{type: Linear, in_features: 4, out_features: 2}]"),
        ("{type: Linear, in_features: 4, out_features: 2}", "unknown key 'type'",
         "items: [{type: Linear, in_features: 4, out_features: 2}]"),
        ("{_target_: nn.Sequential, _args_: [{_target_: nn.Linear, _args_: [4, 2]}]}",
         "unknown key '_target_'", "items: [{type: Linear, in_features: 4, out_features: 2}]"),
    ],
)  # fmt: skip
def test_a_class_as_a_block(block: str, message: str, followed: str) -> None:
    text = "archspec: 1\nmodel: Net\nblocks: {Net: %s}"
    (problem,) = problems_of(text % block)
    assert (problem.code, problem.message) == ("E201", message)
    assert problem.hint == f"a block is made of modules: write {followed}"
    archspec.build(archspec.loads(text % f"{{{followed}}}"), device="meta")


def test_a_class_beside_what_a_block_has() -> None:
    text = "archspec: 1\nmodel: Net\nblocks: {Net: {type: Module, modules: {a: {type: ReLU}}}}"
    (problem,) = problems_of(text)
    assert problem.hint == "leave it out: a block is a class of its own"
    archspec.loads(text.replace("type: Module, ", ""))


@every(
    "key, hint",
    [
        ("_target_: torch.nn.ReLU", "leave it out: the class is the type"),
        ("class_path: torch.nn.ReLU", "leave it out: the class is the type"),
        ("_partial_: true", "leave it out: a module is made where it stands"),
        ("_convert_: all", "leave it out: a module is made where it stands"),
        ("_args_: [true]", "write the arguments beside type, by name"),
    ],
)
def test_what_hydra_has_beside_a_type(key: str, hint: str) -> None:
    for place in (
        MODULE % "{type: ReLU, %s}",
        MODULE % "{type: Sequential, items: [{type: ReLU, %s}]}",
    ):
        (problem,) = problems_of(place % key)
        name = key.partition(":")[0]
        assert (problem.code, problem.message) == ("E203", f"ReLU has no argument '{name}'")
        assert problem.hint == hint


OWNED = """\
archspec: 1
model: Net
params: {width: 4}
dims: {batch: 2}
blocks:
  Net:
    inputs: {x: [batch, $width]}
    modules:
      fc: {type: Linear, in_features: %s, out_features: 4}
      layers: {type: ModuleList, items: [{type: Dropout, p: "%s", repeat: 2}]}
    buffers: {scale: {value: "%s"}}
    forward:
      - y: "%s"
      - for: "layer in %s"
        do:
          - y: layer(y)
      - return: "%s"
"""
PLAIN = ("$width", "$sqrt(width) / 4", "$ones(width)", "fc(x)", "layers", "y + scale")


@every(
    "at, owned, hints, followed",
    [
        (0, "$self.width", ["$width in place of $self.width"], "$width"),
        (0, "$config.width", ["$width in place of $config.width"], "$width"),
        (0, "$self.config.width", ["$width in place of $self.config.width"], "$width"),
        (0, "$2 * params.width // 2", ["width in place of params.width"], "$2 * width // 2"),
        (1, "$math.sqrt(cfg.width) / 4", ["sqrt(width)", "width in place of cfg.width"],
         "$sqrt(width) / 4"),
        (2, "$torch.ones(self.width)", ["$ones(width)", "width in place of self.width"],
         "$ones(width)"),
        (3, "self.fc(x)", ["fc(x)"], "fc(x)"),
        (3, "torch.nn.functional.linear(x, self.fc.weight)",
         ["linear(x, fc.weight)", "fc in place of self.fc"], "linear(x, fc.weight)"),
        (4, "self.layers", ["layers in place of self.layers"], "layers"),
        (5, "y if self.training else y.new_ones(4) + self.scale",
         ["training in place of self.training", "scale in place of self.scale"],
         "y if training else y + scale"),
        (5, "y + zeros(4, dtype=torch.float32)", ["float32 in place of torch.float32"],
         "y + zeros(4, dtype=float32)"),
    ],
)  # fmt: skip
def test_owners_in_front_of_names(at: int, owned: str, hints: list[str], followed: str) -> None:
    problems = problems_of(OWNED % (*PLAIN[:at], owned, *PLAIN[at + 1 :]))
    found = [problem.hint for problem in problems if problem.code == "E303"]
    assert sorted(found) == sorted(f"write {hint}" for hint in hints)
    assert len(problems) == len(found) + ("new_ones" in owned)
    text = OWNED % (*PLAIN[:at], followed, *PLAIN[at + 1 :])
    archspec.build(archspec.loads(text), device="meta")


def test_targets_have_plain_names() -> None:
    step = STEP % "self.z: relu(self.y)"
    first, second = problems_of(step.replace("- return: y", "- return: self.z"))[:2]
    assert (first.code, first.message) == ("E207", "'self.z' is not a name")
    assert first.hint == "write z: what a step computes has a plain name"
    assert second.hint == "write z in place of self.z"


NET = "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 4]}\n"


@every(
    "block, hint, followed",
    [
        ("    items: [ReLU]", "write {type: ReLU}", "    items: [{type: ReLU}]"),
        (
            "    items:\n      - nn.Linear(4, 4, bias=False)",
            "write {type: Linear, in_features: 4, out_features: 4, bias: false}",
            "    items:\n      - {type: Linear, in_features: 4, out_features: 4, bias: false}",
        ),
        (
            "    modules: {fc: Linear(4, 2 * 3)}",
            "write {type: Linear, in_features: 4, out_features: $2 * 3}",
            "    modules: {fc: {type: Linear, in_features: 4, out_features: $2 * 3}}",
        ),
        (
            "    modules: {fc: [Linear, 4, 5]}",
            "write {type: Linear, in_features: 4, out_features: 5}",
            "    modules: {fc: {type: Linear, in_features: 4, out_features: 5}}",
        ),
        (
            "    modules: {fc: {type: ReLU}}\n    forward: fc(x) + relu(x, inplace=False)",
            'write forward: [{return: "fc(x) + relu(x, inplace=False)"}]',
            "    modules: {fc: {type: ReLU}}\n"
            "    forward: [{return: 'fc(x) + relu(x, inplace=False)'}]",
        ),
        (
            "    items: [{type: ReLU}]\nfreeze: {all: '*'}",
            'write all: ["*"]',
            "    items: [{type: ReLU}]\nfreeze: {all: ['*']}",
        ),
        ("    modules: {fc: Unknown(4)}", "a module is {type: NAME, …}", ""),
        ("    modules: {fc: 'Linear(*sizes)'}", "a module is {type: NAME, …}", ""),
        ("    modules: {fc: 3}", "a module is {type: NAME, …}", ""),
        ("    outputs: [y]\n    items: []", "write outputs: {x: [batch, 3]}, a shape for each", ""),
        ("    items: []\ntie: [[a, b]]", "write tie: {decoder.weight: embedding.weight}", ""),
    ],
)
def test_other_shapes_of_the_same(block: str, hint: str, followed: str) -> None:
    (problem,) = problems_of(NET + block)
    assert (problem.code, problem.hint) == ("E202", hint)
    if followed:
        archspec.loads(NET + followed)


@every(
    "line, hint, followed",
    [
        ("{type: Linear, in_channels: 4, out_features: 4}", "write in_features", "in_features"),
        ("{type: Linear, in: 4, out_features: 4}", "write in_features", "in_features"),
        ("{type: Linear, in_features: 4, units: 4}", "write out_features", "out_features"),
        ("{type: Softmax, axis: 1}", "write dim", "dim"),
        ("{type: Linear, args: [4, 4]}", "arguments stand beside type, each by its name", ""),
        ("{type: ReLU, unit: 4}", "it takes: inplace", ""),
    ],
)
def test_arguments_with_the_names_of_other_layers(line: str, hint: str, followed: str) -> None:
    problem = next(p for p in problems_of(NET + f"    items: [{line}]") if p.code == "E203")
    assert problem.hint == hint
    if followed:
        wrong = problem.message.split("'")[1]
        archspec.loads(NET + f"    items: [{line.replace(f'{wrong}:', f'{followed}:')}]")


def test_a_float_where_an_integer_belongs() -> None:
    text = NET + "    items: [{type: Linear, in_features: %s, out_features: 4}]"
    (problem,) = problems_of(text % "$8 / 2")
    assert (problem.code, problem.hint) == ("E205", "/ divides to a float: write //")
    archspec.loads(text % "$8 // 2")
    (problem,) = problems_of(text % "4.0")
    assert (problem.code, problem.hint) == ("E205", "write 4")


def test_what_every_file_begins_with() -> None:
    (problem,) = problems_of(NET.replace("archspec: 1\n", "") + "    items: []")
    assert problem.hint == "write archspec: 1, the version of the language"
    (problem,) = problems_of(NET.replace("model: Net\n", "") + "    items: []")
    assert problem.hint == "name the block that is built: model: Net"


@every(
    "params, message, hint",
    [
        (
            "{rope_parameters: {rope_theta: 1e4, rope_type: default}}",
            *("is a mapping: a parameter has one value", "read: {rope_theta: rope_parameters"),
        ),
        (
            "{rope_scaling: {type: linear, factor: 2.0}}",
            *(
                "is a mapping: a parameter has one value",
                "of its keys: factor: 2.0; of a",
            ),
        ),
        (
            "{act: {type: enum, values: [relu, gelu]}}",
            *(
                "is a mapping: a parameter has one value",
                "write act: {choices: [relu, gelu], ",
            ),
        ),
        ("{rope: {type: linear, min: 2}}", "unknown type 'linear'", "types: int, float"),
        ("{rope: {type: itn, factor: 2}}", "unknown type 'itn'", "did you mean 'int'?"),
        ("{width: {typ: int, default: 3}}", "unknown key 'typ'", "did you mean 'type'?"),
    ],
)
def test_parameters(params: str, message: str, hint: str) -> None:
    text = f"archspec: 1\nmodel: N\nparams: {params}\nblocks: {{N: {{items: []}}}}\n"
    problem = next(one for one in problems_of(text) if message in one.message)
    assert hint in problem.hint


@every(
    "line, hint",
    [
        ("defaults: [base, _self_]", "extends: NAME"),
        ("_common: &a {type: ReLU}", "there is no place for templates"),
        ("x-common: &a {type: ReLU}", "a block with params"),
        ("params: {<<: {width: 3}}", "extends: parent.yaml"),
    ],
)
def test_the_top(line: str, hint: str) -> None:
    text = f"archspec: 1\nmodel: N\n{line}\nblocks: {{N: {{items: []}}}}\n"
    (problem,) = problems_of(text)
    assert (problem.code, problem.place and problem.place.line) == ("E201", 3)
    assert hint in problem.hint


@every(
    "text, place, brackets",
    [
        (MODULE % "{type: Dropout, p: $max(0.1, 0.2), inplace: true}", "10:30-38", "{ }"),
        (MODULE % "{type: Linear, in_features: $width, out_features: $max(4, (1), 2)}",
         "10:61-67", "{ }"),
        (MODULE % "{type: AdaptiveAvgPool2d, output_size: [1, $max(4, 2)]}", "10:54-60", "[ ]"),
        (STEP % "{z: clamp(x, min=2)}", "10:13-20", "{ }"),
        (MODULE % "{type: Embedding, num_embeddings: $max(4, 2), embedding_dim: 3, padding_idx: }",
         "10:45-51", "{ }"),
        (STEP % "{for: i in range(2), do: [x: clamp(x, 2), z: relu(x)]}", "10:38-45", "[ ]"),
    ],
)  # fmt: skip
def test_a_comma_ends_a_value_in_brackets(text: str, place: str, brackets: str) -> None:
    (problem,) = problems_of(text)
    assert problem.place is not None
    found = f"{problem.place.line}:{problem.place.column}-{problem.place.end_column}"
    message = f"the comma ends the value inside {brackets}"
    assert (problem.code, found, problem.message) == ("E301", place, message)
    assert problem.hint == "put quotes around the expression"


def test_each_of_several_calls_is_told_at_its_place() -> None:
    text = MODULE % "{type: AdaptiveAvgPool2d, output_size: [$max(4, 2), $min(3, 1)]}"
    places = [problem.place and problem.place.column for problem in problems_of(text)]
    assert places == [51, 63]


LAYER = NET.replace(
    "blocks:", "params: {wide: true, act: relu, n: {type: int, default: null}}\nblocks:"
)
WHEN = LAYER + "    items: [{type: ReLU, when: '$%s'}]"


@every(
    "condition, code, hint, followed",
    [
        ("wide && act", "E301", "write and", "wide and act == 'relu'"),
        ("wide || act", "E301", "write or", "wide or act == 'relu'"),
        ("!wide", "E301", "write not", "not wide"),
        (
            *("wide ? True : False", "E301"),
            *("write b if a else c for a ? b : c", "True if wide else False"),
        ),
        ("wide == true", "E303", "write True", "wide == True"),
        ("n == null", "E303", "write None", "n is None"),
        ("act == relu", "E303", "a text has quotes: 'relu'", "act == 'relu'"),
        ("act != rel", "E303", "a text has quotes: 'rel'", "act != 'rel'"),
        ("model.wide", "E304", "write wide", "wide"),
        ("model.deep", "E304", "each parameter has a plain name", ""),
    ],
)  # fmt: skip
def test_conditions_of_other_languages(condition: str, code: str, hint: str, followed: str) -> None:
    (problem,) = problems_of(WHEN % condition)
    assert (problem.code, problem.hint) == (code, hint)
    if followed:
        archspec.loads(WHEN % followed.replace("'", "''"))


@every(
    "key, hint",
    [
        ("use: conv.yaml", "write use: [conv.yaml]"),
        ("task: classification", "write task: {kind: text-classification}, or another kind"),
        ("init: {'**': zeros_}", "write init: [{match: PATTERN, weight: zeros_}], a rule for each"),
        ("init: [{match: '**', weight: 0.5}]", "write weight: {constant_: {val: 0.5}}"),
    ],
)
def test_other_shapes_at_the_top(key: str, hint: str) -> None:
    item = "{type: Linear, in_features: 4, out_features: 4}"
    (problem,) = problems_of(NET + f"    items: [{item}]\n{key}\n")
    assert problem.code == "E202" and problem.hint.startswith(hint)


@every("pattern", [".*weight", "encoder\\\\..*", "^fc", "fc.*.$"])
def test_regular_expressions_as_patterns(pattern: str) -> None:
    problems = problems_of(NET + f'    items: [{{type: ReLU}}]\nfreeze: {{a: ["{pattern}"]}}\n')
    assert [problem.code for problem in problems] == ["E702"]
    assert "patterns are no regular expressions" in problems[0].message


def test_a_block_takes_an_integer_for_a_quotient() -> None:
    linear = "{type: Linear, in_features: $width, out_features: 4}"
    block = f"  Wide: {{params: {{width: int}}, items: [{linear}]}}"
    text = NET + "    items: [{type: Wide, width: $8 %s 2}]\n" + block
    (problem,) = problems_of(text % "/")
    assert (problem.code, problem.hint) == ("E205", "/ divides to a float: write //")
    archspec.loads(text % "//")


@every(
    "name, instead",
    [("swish", "silu"), ("concatenate", "cat"), ("attention", "scaled_dot_product_attention")],
)
def test_functions_of_other_frameworks(name: str, instead: str) -> None:
    (problem,) = problems_of(NET + f"    forward: [{{return: {name}(x)}}]")
    assert (problem.code, problem.hint) == ("E304", f"write {instead}(…)")
