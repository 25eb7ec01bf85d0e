"""The JSON Schema takes what the language takes, and says no where an editor should underline."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

import archspec
from archspec.lang import yaml
from archspec.lang.json_schema import json_schema
from archspec.lang.packaged import packaged_specs
from archspec.lang.registry import layers
from archspec.lang.registry.initializers import INITIALISERS
from archspec.lang.schema import Architecture
from tests.tables import every

ROOT = Path(__file__).parents[2]
SCHEMA = json_schema()
DEFINITIONS = SCHEMA["definitions"]
EDITOR = Draft7Validator(SCHEMA)

HEAD = "archspec: 1\nmodel: Net\nblocks:\n  Net:\n    inputs: {x: [batch, 3]}\n"
MODULES = HEAD + "    modules:\n      "
FORWARD = HEAD + "    modules: {fc: {type: ReLU}}\n    forward:\n      - "
TOP = HEAD + "    modules: {fc: {type: ReLU}}\n"
CHILD = "archspec: 1\nextends: resnet18\n"


def plain(text: str) -> Any:
    root, problems = yaml.parse(text, "spec.yaml")
    assert not problems
    return yaml.plain(root)


def underlined(document: Any) -> set[tuple[str, str]]:
    """Where the schema says no, as a dotted path, and the keyword that says it."""
    errors = EDITOR.iter_errors(document)
    # A schema that is false has no keyword.
    return {(".".join(map(str, e.absolute_path)), str(e.validator or e.schema)) for e in errors}


# ------------------------------------------------------------------------------ the schema itself


def test_it_is_a_schema_and_plain_json() -> None:
    Draft7Validator.check_schema(SCHEMA)
    text = json.dumps(SCHEMA, allow_nan=False, indent=2)
    assert json.loads(text) == SCHEMA
    assert len(text) < 1_000_000


def test_every_reference_leads_somewhere() -> None:
    found = set(re.findall(r'"\$ref": "#/definitions/([^"]+)"', json.dumps(SCHEMA)))
    assert found <= set(DEFINITIONS)
    assert {"Architecture", "Architecture.partial", "Step", "torch.nn.Linear"} <= found


def test_the_text_is_the_same_each_time_and_needs_no_torch() -> None:
    code = (
        "import json, sys; from archspec.lang.json_schema import json_schema;"
        "print(json.dumps(json_schema())); sys.exit('torch' in sys.modules)"
    )
    texts = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed},
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1] == json.dumps(SCHEMA) + "\n"


def test_every_key_has_a_description_to_hover_over() -> None:
    def described(schema: Any) -> bool:
        if "$ref" in schema:
            return described(DEFINITIONS[schema["$ref"].removeprefix("#/definitions/")])
        return bool(schema.get("description"))

    undescribed = {
        (name, key)
        for name, definition in DEFINITIONS.items()
        for key, schema in definition.get("properties", {}).items()
        if not isinstance(schema, bool)
        and not (name.startswith(layers.CONTAINERS) and key == "items")  # Module describes it
        and not described(schema)
    }
    assert undescribed == set()


def test_every_key_of_the_models_is_there() -> None:
    assert set(DEFINITIONS["Architecture"]["properties"]) == set(Architecture.model_fields)
    assert set(DEFINITIONS["Step"]["properties"]) == {"return", "for", "do"}
    called = DEFINITIONS["Initialiser"]["anyOf"][1]["properties"]
    assert {name: tuple(schema["properties"]) for name, schema in called.items()} == {
        name: arguments for name, (arguments, _) in INITIALISERS.items()
    }


def test_types_and_parents_are_offered() -> None:
    types = DEFINITIONS["Module"]["properties"]["type"]["anyOf"]
    assert [offer.get("const") for offer in types] == [*layers.CONTAINERS, *layers.names(), None]
    parents = DEFINITIONS["Architecture"]["properties"]["extends"]["anyOf"]
    assert [offer.get("const") for offer in parents] == [*packaged_specs(), None]


# --------------------------------------------------------------------------------- whole specs


@pytest.mark.parametrize(
    "path",
    [*sorted((ROOT / "specs").glob("*/*.yaml")), ROOT / "tests" / "inputs" / "features.yaml"],
    ids=lambda path: path.stem,
)
def test_specs_are_valid(path: Path) -> None:
    assert underlined(plain(path.read_text(encoding="utf-8"))) == set()


VALID = [
    # inputs that are no tensors, lists of tensors, outputs of other kinds
    HEAD.replace("[batch, 3]", "{dtype: bool}"),
    HEAD.replace("[batch, 3]", "float"),
    HEAD.replace("[batch, 3]", "[[batch, $2 * batch]]"),
    # params and their short forms
    TOP
    + "params: {a: int, b: 3, c: [1, 2.5], d: null, e: text, f: $2 * b, g: list, h: 'list[int]'}",
    TOP + "params: {a: {type: float, default: 1, min: 0, max: 2.5, choices: [1, 2.5], help: so}}",
    TOP + "params: {a: {}, b: {type: list}, c: {type: 'list[block]'}, d: {default: {x: 1}}}",
    TOP + "dims: {batch: 2}",
    # contracts
    HEAD.replace(
        "[batch, 3]",
        "{shape: [batch, $n, 0], dtype: int64, optional: true, keyword: true, below: $n}",
    ),
    HEAD.replace("[batch, 3]", "[]") + "    outputs: {y: [batch], z: {shape: [1], below: 3}}",
    # modules
    MODULES + "fc: {type: Linear, in_features: $a, out_features: 3, bias: $b, when: $c}",
    MODULES + "fc: {type: Conv2d, in_channels: 1, out_channels: 1, kernel_size: [3, $k]}",
    MODULES + "fc: {type: SomeBlock, anything: {type: ReLU}, goes: [1, x], when: false}",
    MODULES + "fc: {type: $block, anything: here, renamed_from: b.c}",
    MODULES + "fc: {type: \"$'Tanh' if a else 'ReLU'\", renamed_from: a}",
    MODULES + "fc: {type: Identity, anything: here}",
    MODULES + "fc: {type: Sequential}",
    MODULES + "fc: {type: Sequential, when: $a, items: [{type: ReLU, repeat: 3, index: i}]}",
    MODULES
    + "fc: {type: Sequential, items: {a-b: {type: ReLU, repeat: $n, index: i, name: 'l{i}'}}}",
    MODULES + "fc: {type: ModuleDict, items: {a: {type: ModuleList, items: [{type: ReLU}]}}}",
    MODULES + "fc: {type: TransformerEncoderLayer, d_model: 4, nhead: 2, activation: {type: SiLU}}",
    MODULES + "fc: {type: TransformerEncoderLayer, d_model: 4, nhead: 2, activation: gelu}",
    # raw tensors
    HEAD + "    parameters: {w: {shape: [$n, 3]}, v: {shape: [], init: {normal_: {std: $s}}}}",
    HEAD + "    buffers: {b: {shape: [2], dtype: bool, init: ones_, persistent: false}}",
    # steps
    FORWARD + "a, b: split(x, 2)",
    FORWARD + "a: 0.5\n      - b: null\n      - c: [x, y]\n      - return: true",
    FORWARD + "for: a, b in zip(x, y)\n        do: [{for: c in d, do: [{x: c(x)}]}]",
    # the rest
    TOP + 'init: [{match: "@Linear", weight: {normal_: {std: $s}}, "w[0]": zeros_, any: ones_}]',
    TOP + 'init: [{match: ["@Linear", fc], weight: {constant_: {val: 1}}, bias: {zeros_: {}}}]',
    TOP + "tie: {a.weight: b.weight}",
    TOP
    + 'freeze: {none: [], all: ["**"], some: {patterns: [fc], statistics: false, dropout: false}}',
    TOP + "freeze: {still: {patterns: [fc], gradients: false, dropout: false}}",
    TOP + "checkpoints: {a: {rename: {a: b}, prefix: m., ignore: [c], optional: [d]}, b: {}}",
    TOP + "task: {kind: text-embedding, text: {max_length: 8}, image: null, labels: [a, b]}",
    TOP + "description: what\npaper: who\nremove: [a.b]\nextends: null\ntask: null",
]


@every("text", VALID)
def test_what_the_models_take_is_valid(text: str) -> None:
    document = plain(text)
    Architecture.model_validate(document)
    assert underlined(document) == set()


OWN = """\
archspec: 1
model: Net
blocks:
  Transformer: {params: {size: int}, items: [{type: Linear, given: $size, made: $size}]}
  Linear: {params: {given: int, made: int}, items: [{type: ReLU}]}
  Net:
    inputs: {x: [batch, 4]}
    modules:
      a: {type: Transformer, size: 4, renamed_from: b}
      b: {type: Sequential, items: [{type: Transformer, size: 4, repeat: 2, index: i}]}
      c: {type: Linear, given: 3, made: 5}
"""
OF_PARENT = OWN.replace("model: Net\n", "extends: resnet18\n")


@every("text", [OWN, OF_PARENT, OF_PARENT.replace("a: {type: Transformer, ", "a: {")])
def test_a_block_may_have_the_name_of_a_layer(text: str) -> None:
    assert underlined(plain(text)) == set()
    without = text.replace("  Transformer:", "  Transformer2:").replace("  Linear:", "  Linear2:")
    assert ("blocks.Net.modules.c", "additionalProperties") in underlined(plain(without))


def test_null_leaves_out_what_like_takes_over() -> None:
    text = HEAD.replace("inputs: {", "inputs: {like: Part, y: null, ")
    assert underlined(plain(text)) == set()
    assert underlined(plain(text.replace("like: Part, ", ""))) == {("blocks.Net.inputs.y", "type")}


def test_the_block_is_what_the_language_means() -> None:
    assert archspec.loads(OWN).root.type == "Net"


@every(
    "old, new, path, keyword",
    [
        ("c: {type: Linear", "c: {tpye: Linear", "blocks.Net.modules.c", "required"),
        (
            "type: Sequential,",
            "type: Sequential, x: 3,",
            "blocks.Net.modules.b",
            "additionalProperties",
        ),
        ("repeat: 2", "repeat: n", "blocks.Net.modules.b.items.0.repeat", "pattern"),
        ("    inputs", "    input", "blocks.Net", "additionalProperties"),
    ],
)
def test_all_else_is_underlined_beside_such_a_block(
    old: str, new: str, path: str, keyword: str
) -> None:
    assert underlined(plain(OWN.replace(old, new))) == {(path, keyword)}


FC = "blocks.Net.modules.fc"
LINEAR = MODULES + "fc: {type: Linear, in_features: 3, out_features: "
SEQUENTIAL = MODULES + "fc: {type: Sequential, items: "
STEP = "blocks.Net.forward.0"
X = "blocks.Net.inputs.x"
UNKNOWN = "additionalProperties"
# fmt: off
INVALID = [
    # unknown keys, wherever the models have none
    (TOP + "modle: Net", "", UNKNOWN),
    (HEAD + "    foward: []", "blocks.Net", UNKNOWN),
    (TOP + "params: {a: {defualt: 3}}", "params.a", UNKNOWN),
    (HEAD.replace("[batch, 3]", "{shape: [], x: 1}"), X, UNKNOWN),
    (HEAD + "    buffers: {b: {shape: [], persist: true}}", "blocks.Net.buffers.b", UNKNOWN),
    (TOP + "freeze: {a: {patterns: [], x: 1}}", "freeze.a", UNKNOWN),
    (TOP + "checkpoints: {a: {renames: {}}}", "checkpoints.a", UNKNOWN),
    (TOP + "task: {kind: text-embedding, txt: {}}", "task", "anyOf"),
    # what is missing
    ("archspec: 1\nblocks: {Net: {}}", "", "required"),
    ("archspec: 1\nmodel: Net\nblocks: {}", "blocks", "minProperties"),
    (HEAD.replace("[batch, 3]", "boolean"), X, "pattern"),
    (HEAD.replace("[batch, 3]", "null"), X, "type"),
    (HEAD + "    buffers: {b: {dtype: bool}}", "blocks.Net.buffers.b", "required"),
    (TOP + "init: [{weight: zeros_}]", "init.0", "required"),
    (TOP + "task: {labels: [a]}", "task", "anyOf"),
    # values
    (TOP.replace("archspec: 1", "archspec: 2"), "archspec", "const"),
    (TOP.replace("model: Net", "model: my net"), "model", "pattern"),
    (TOP + "params: {a: {type: itn}}", "params.a.type", "enum"),
    (TOP + "params: {a: {min: low}}", "params.a.min", "type"),
    (TOP + "params: {2a: 3}", "params", "pattern"),
    (TOP + "dims: {batch: -1}", "dims.batch", "minimum"),
    (TOP + "dims: {batch: two}", "dims.batch", "type"),
    (HEAD.replace("[batch, 3]", "3"), X, "type"),
    (HEAD.replace("[batch, 3]", "[-1]"), f"{X}.0", "minimum"),
    (HEAD.replace("[batch, 3]", "{shape: [], dtype: ints}"), f"{X}.dtype", "enum"),
    (HEAD.replace("[batch, 3]", "{shape: [], below: n}"), f"{X}.below", "pattern"),
    (HEAD + "    buffers: {w: {shape: [n]}}", "blocks.Net.buffers.w.shape.0", "pattern"),
    (HEAD + "    buffers: {w: {shape: [], init: one}}", "blocks.Net.buffers.w.init", "anyOf"),
    (TOP + "freeze: {a: fc}", "freeze.a", "type"),
    (TOP + "task: {kind: text}", "task", "anyOf"),
    # modules
    (MODULES + "f.c: {type: ReLU}", "blocks.Net.modules", "pattern"),
    (MODULES + "fc: Linear", FC, "type"),
    (MODULES + "fc: {in_features: 3}", FC, "required"),
    (MODULES + "fc: {type: Linear, in_features: 3}", FC, "required"),
    (LINEAR + "4, bais: true}", FC, UNKNOWN),
    (LINEAR + "n}", f"{FC}.out_features", "pattern"),
    (LINEAR + "$$n}", f"{FC}.out_features", "pattern"),
    (LINEAR + "0.5}", f"{FC}.out_features", "type"),
    (MODULES + "fc: {type: MaxPool2d, kernel_size: [3, x]}", f"{FC}.kernel_size.1", "pattern"),
    (MODULES + "fc: {type: GELU, approximate: tan}", f"{FC}.approximate", "pattern"),
    (MODULES + "fc: {type: nn.Linear}", f"{FC}.type", "pattern"),
    (MODULES + "fc: {type: ReLU, when: a != b}", f"{FC}.when", "pattern"),
    (MODULES + "fc: {type: ReLU, repeat: 3}", FC, "False"),
    (MODULES + "fc: {type: SomeBlock, items: []}", FC, "False"),
    (MODULES + "fc: {type: Sequential, inplace: true}", FC, UNKNOWN),
    (MODULES + "fc: {type: ModuleList, items: {a: {type: ReLU}}}", f"{FC}.items", "type"),
    (MODULES + "fc: {type: ModuleDict, items: [{type: ReLU}]}", f"{FC}.items", "type"),
    (SEQUENTIAL + "{a.b: {type: ReLU}}}", f"{FC}.items", "pattern"),
    (SEQUENTIAL + "{a: {type: ReLU, inplac: 1}}}", f"{FC}.items.a", UNKNOWN),
    (SEQUENTIAL + "[{type: ReLU, inplac: 1}]}", f"{FC}.items.0", UNKNOWN),
    (SEQUENTIAL + "[{type: ReLU, repeat: n}]}", f"{FC}.items.0.repeat", "pattern"),
    (SEQUENTIAL + "[{type: ReLU, index: i}]}", f"{FC}.items.0", "dependencies"),
    # steps
    (FORWARD + "a: 1\n        b: 2", STEP, "maxProperties"),
    (FORWARD + "2a: 1", STEP, "pattern"),
    (FORWARD + "a: {b: 1}", f"{STEP}.a", "type"),
    (FORWARD + "for: a of b\n        do: [x: a(x)]", f"{STEP}.for", "pattern"),
    (FORWARD + "for: a in b", STEP, "required"),
    (FORWARD + "for: a in b\n        do: []", f"{STEP}.do", "minItems"),
    (FORWARD + "for: a in b\n        do: [x: 1]\n        y: 2", STEP, "maxProperties"),
    (FORWARD + "return: x\n        y: 2", STEP, "maxProperties"),
    # initialisation
    (TOP + "init: [{match: []}]", "init.0.match", "minItems"),
    (TOP + "init: [{match: a, weight: normal}]", "init.0.weight", "anyOf"),
    (TOP + "init: [{match: a, weight: constant_}]", "init.0.weight", "anyOf"),
    (TOP + "init: [{match: a, weight: {constant_: {}}}]", "init.0.weight", "anyOf"),
    (TOP + "init: [{match: a, weight: {normal_: {sdt: 1}}}]", "init.0.weight", "anyOf"),
    (TOP + "init: [{match: a, other: {normal_: {}, zeros_: {}}}]", "init.0.other", "anyOf"),
]
# fmt: on


@every(("text", "path", "keyword"), INVALID)
def test_mistakes_are_underlined_where_they_are(text: str, path: str, keyword: str) -> None:
    assert underlined(plain(text)) == {(path, keyword)}


# ---------------------------------------------------------------------------- specs with a parent

CHILDREN = [
    "extends: resnet18",
    CHILD + "params: {num_classes: 10}",
    CHILD + "blocks: {ResNet: {modules: {fc: {bias: false}, bn1: {type: BatchNorm2d, eps: 1e-3}}}}",
    CHILD + "blocks: {ResNet: {outputs: {logits: {shape: [batch, 1000]}}}}",
    CHILD + "blocks: {BasicBlock: {modules: {shortcut: {when: true}}}}",
    CHILD + "blocks: {}\ndims: {batch: 4}",
    CHILD + "task: {image: {crop: 200}}",
    CHILD + "remove: [task, freeze.head-only]",
    "extends: bert\nblocks: {BertModel: {inputs: {input_ids: {optional: false}}}}",
    "extends: minilm-l6\nfreeze: {all: []}\ntask: {text: {max_length: 32}}",
]


@pytest.mark.parametrize("text", CHILDREN)
def test_a_child_leaves_out_what_its_parent_has(text: str) -> None:
    assert archspec.loads(text)
    assert underlined(plain(text)) == set()


RESNET = CHILD + "blocks: {ResNet: {"
A = "blocks.ResNet.modules.a"
# fmt: off
INVALID_CHILDREN = [
    (CHILD + "modle: ResNet", "", UNKNOWN),
    (CHILD + "task: {imag: {}}", "task", "anyOf"),
    (RESNET + "modules: {a: {type: ReLU, inplac: 1}}}}", A, UNKNOWN),
    (RESNET + "modules: {a: {type: ReLU, inplace: 1}}}}", f"{A}.inplace", "type"),
    # A list replaces the parent's, so that what it holds is whole.
    (RESNET + "modules: {a: {items: [{when: $a}]}}}}", f"{A}.items.0", "required"),
    (RESNET + "forward: [{for: x in y}]}}", "blocks.ResNet.forward.0", "required"),
    (CHILD + "init: [{bias: zeros_}]", "init.0", "required"),
]
# fmt: on


@pytest.mark.parametrize(("text", "path", "keyword"), INVALID_CHILDREN)
def test_mistakes_in_a_child_are_underlined(text: str, path: str, keyword: str) -> None:
    assert underlined(plain(text)) == {(path, keyword)}
