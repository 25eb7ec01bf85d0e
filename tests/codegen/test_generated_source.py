"""The generated Python: byte for byte, formatted, free of archspec, and the same model alone."""

from __future__ import annotations

import ast
import os
import random
import subprocess
import sys
import textwrap
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

import archspec
from archspec import build, load, loads, to_python
from archspec.building.examples import example_inputs
from archspec.codegen import generate
from archspec.codegen.line_breaks import fold
from archspec.lang.expr import parse
from archspec.lang.expr.printing import written
from archspec.lang.packaged import packaged_specs
from archspec.lang.registry import functions, layers
from tests.loaded import source_of
from tests.tables import every

DATA = Path(__file__).parents[1] / "inputs"
FEATURES = DATA / "features.yaml"
RUFF = Path(sys.executable).with_name("ruff")
SPECS: dict[str, tuple[str | Path, dict[str, Any]]] = {
    **{name: (name, {}) for name in packaged_specs()},
    **{path.stem: (path, {}) for path in sorted(DATA.glob("*.yaml"))},
    "vgg": (DATA / "groups" / "vgg.yaml", {"layers": [4, "M"], "batch_norm": True}),
    "mobilenet-v2": (DATA / "groups" / "mobilenet_v2.yaml", {"width_mult": 0.1}),
    "densenet": (DATA / "groups" / "densenet.yaml", {"block_config": [2, 1], "growth_rate": 4}),
    "convnext": (DATA / "groups" / "convnext.yaml", {"stages": [[1, 4], [2, 8]]}),
    "features-gated": (FEATURES, {"mode": "gated", "depth": 2, "act": "Tanh", "bias": False}),
    "features-wide": (
        FEATURES,
        {"label": "a 'quoted' \\ \"name\"", "width": 4},
    ),
    "bert-small": ("bert", {"hidden_size": 24, "num_hidden_layers": 2, "vocab_size": 99}),
    "gpt2-small": (DATA / "gpt2.yaml", {"n_embd": 24, "n_layer": 2, "vocab_size": 99}),
    "vit-small": (DATA / "vit-b-16.yaml", {"hidden_dim": 24, "num_layers": 1, "image_size": 32}),
    "resnet-small": ("resnet18", {"depths": [1, 1, 1, 1], "num_classes": 3}),
}


@cache
def text_of(name: str) -> str:
    source, params = SPECS[name]
    return source_of(name) if source == name else to_python(source, **params)


def executed(text: str) -> ModuleType:
    """The text as a module; a dataclass wants to find its own."""
    module = ModuleType("ejected_by_a_test")
    sys.modules[module.__name__] = module
    exec(compile(text, "ejected.py", "exec", dont_inherit=True), vars(module))
    return module


GOLDEN = ("bert", "resnet18", "resnet50", "minilm-l6", "features", "torch-layers")


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"python/{name}.py", text_of(name))


@pytest.fixture(scope="module")
def ejected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every spec's text as a file, as ``archspec export`` writes it."""
    folder = tmp_path_factory.mktemp("ejected")
    for name in SPECS:
        (folder / f"{name.replace('-', '_')}.py").write_text(text_of(name), encoding="utf-8")
    return folder


@pytest.mark.parametrize("command", ["check", "format --check --diff"])
def test_ruff_has_nothing_to_say(command: str, ejected: Path) -> None:
    arguments = [RUFF, *command.split(), "--isolated", "--no-cache", "."]
    done = subprocess.run(arguments, cwd=ejected, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@every("name", SPECS)
def test_no_trace_of_archspec(name: str) -> None:
    text = text_of(name)
    assert "archspec" not in text
    tree = ast.parse(text)
    imported = {
        node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    standard = {"re", "collections", "dataclasses", "functools", "math"}
    assert imported <= {"torch", "torch.nn.functional", *standard}
    assert text.endswith("\n")
    assert not text.endswith("\n\n")


ALONE = """
import importlib, sys, torch
sys.modules["archspec"] = None  # an import fails
sys.path.insert(0, sys.argv[1])
torch.set_grad_enabled(False)
trees, cases = torch.load("cases.pt")
for name, (root, tree) in trees.items():
    with torch.device("meta"):
        assert str(getattr(importlib.import_module(name), root)()) == tree, name
for name, (state, inputs, expected) in cases.items():
    model = getattr(importlib.import_module(name), trees[name][0])()
    model.load_state_dict(state, strict=True)
    found = model.eval()(**inputs)
    for one, other in zip(*(x if isinstance(x, tuple) else (x,) for x in (found, expected))):
        assert torch.equal(one, other), name
    print(name)
assert not [module for module in sys.modules if module.startswith("archspec.")]
"""


def case(name: str) -> tuple[Any, ...]:
    """Weights, inputs and outputs, which a module that runs alone has to give, too."""
    source, params = SPECS[name]
    spec = load(source, **params)
    model = build(spec, device="cpu", seed=0).eval()
    sizes = {"time": 5, "height": 64, "width": 64, **spec.architecture.dims, "batch": 2}
    inputs = example_inputs(spec, sizes | ({"seq": 7} if "seq" in sizes else {}), "cpu")
    random = torch.Generator().manual_seed(0)
    for tensor in inputs.values():
        if tensor.is_floating_point():
            tensor.normal_(generator=random)
        else:
            tensor.random_(0, 2, generator=random)
    with torch.no_grad():
        expected = model(**inputs)
    return model.state_dict(), inputs, expected


@pytest.mark.filterwarnings("ignore:LSTM with projections:UserWarning")
def test_alone_it_is_the_same_model(ejected: Path, tmp_path: Path) -> None:
    # All packaged specs are compared with their originals in tests/zoo.
    large = packaged_specs().keys() | {"vit-b-16", "gpt2"}
    names = ["minilm-l6", "resnet18", *sorted(SPECS.keys() - large)]
    trees = {
        name.replace("-", "_"): (spec.architecture.model, str(build(spec, device="meta")))
        for name in names
        for source, params in [SPECS[name]]
        for spec in [load(source, **params)]
    }
    cases = {name.replace("-", "_"): case(name) for name in names}
    torch.save((trees, cases), tmp_path / "cases.pt")
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE, str(ejected)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == list(cases)


def test_defaults_are_the_parameters() -> None:
    module = executed(to_python("bert", num_labels=7, hidden_size=24, num_hidden_layers=1))
    config = module.Config()
    assert (config.num_labels, config.hidden_size, config.layer_norm_eps) == (7, 24, 1e-12)
    assert module.BertForSequenceClassification().classifier.out_features == 7
    other = module.BertForSequenceClassification(module.Config(num_labels=3, hidden_size=12))
    assert other.classifier.weight.shape == (3, 12)


def test_derived_parameters_follow() -> None:
    module = executed(to_python(DATA / "gpt2.yaml", n_layer=1))
    config = module.Config(n_embd=24, n_head=2, vocab_size=30)
    assert config.n_inner == 96
    assert module.GPT(config).transformer["h"][0].mlp.c_fc.weight.shape == (96, 24)
    fixed = executed(to_python(DATA / "gpt2.yaml", n_layer=1, n_inner=50))
    assert fixed.Config(n_embd=24).n_inner == 50


def test_every_line_knows_its_place() -> None:
    spec = load("resnet18")
    generated = generate(spec)
    lines = generated.text.splitlines()
    for number, path in generated.paths.items():
        assert 1 <= number <= len(lines)
        assert spec.document.has(path) or path[-1] == "when", (lines[number - 1], path)
    by_text = {lines[number - 1].strip(): path for number, path in generated.paths.items()}
    assert by_text["out = F.relu_(self.bn1(self.conv1(x)))"] == (
        "blocks", "BasicBlock", "forward", 0, "out",
    )  # fmt: skip
    assert by_text["self.avgpool = nn.AdaptiveAvgPool2d((1, 1))"] == (
        "blocks", "ResNet", "modules", "avgpool",
    )  # fmt: skip


# --------------------------------------------------------------------------------- registered code

OWN = """
import torch
from torch import nn


class Scale(nn.Module):
    def __init__(self, size: int, start: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.full((size,), start))
        self.register_buffer("noise", torch.randn(size))

    def forward(self, x):
        return x * self.weight + self.noise


class Outer:
    class Inner(nn.Module):
        def forward(self, x):
            return -x


def rotate_half(x, dim=-1):
    a, b = x.chunk(2, dim)
    return torch.cat([-b, a], dim)
"""
USING_OWN = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, 6]}
    modules:
      scale: {type: Scale, size: 6, start: 2.0}
      turn: {type: Turn}
    forward:
      - return: turn(rotate(scale(x), dim=1))
init:
  - {match: "@Scale", weight: {constant_: {val: 3}}}
"""


def test_registered_layers_and_functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_layers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(layers, "_registered", {})
    monkeypatch.setattr(functions, "_registered", {})
    import own_layers  # type: ignore[import-not-found]

    archspec.register_layer(own_layers.Scale)
    archspec.register_layer(own_layers.Outer.Inner, name="Turn")
    archspec.register_op(own_layers.rotate_half, name="rotate")
    spec = loads(USING_OWN)
    before = torch.random.get_rng_state()
    model = build(spec, device="cpu", seed=0)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(
        model.get_buffer("scale.noise"), build(spec, seed=0).get_buffer("scale.noise")
    )
    assert model.get_parameter("scale.weight").tolist() == [3.0] * 6
    x = torch.randn(2, 6)
    noise = model.get_buffer("scale.noise")
    assert torch.equal(model(x), -own_layers.rotate_half(x * 3 + noise, dim=1))
    text = to_python(spec)
    assert "from own_layers import Outer, Scale, rotate_half\n" in text
    assert "self.turn = Outer.Inner()" in text
    (tmp_path / "ejected.py").write_text(text)
    for command in (["check"], ["format", "--check", "--diff"]):
        arguments = [RUFF, *command, "--isolated", "--no-cache", "ejected.py"]
        done = subprocess.run(arguments, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    code = "import ejected; print(ejected.Net().scale.weight.tolist())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == str([3.0] * 6), done.stderr


# -------------------------------------------------------------------------------------- any content

TEXTS = st.text(st.characters(codec="utf-8"), max_size=40)
WORDS = """
archspec: 1
model: Net
description: {description}
paper: {paper}
params:
  label: {{type: str, default: {value}, help: {note}}}
  size: 3
blocks:
  Net:
    inputs: {{x: [batch, $size]}}
    modules:
      fc: {{type: Linear, in_features: $size, out_features: 2}}
"""


def quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', allow_unicode=False, width=10**9).strip()


@given(TEXTS, TEXTS, TEXTS, TEXTS.filter(lambda text: not text.startswith("$")))
def test_no_text_breaks_out(description: str, paper: str, note: str, value: str) -> None:
    """Whatever a spec says in words ends up in docstrings, comments and literals."""
    words = {"description": description, "paper": paper, "note": note, "value": value}
    spec = loads(WORDS.format(**{name: quoted(text) for name, text in words.items()}))
    module = executed(to_python(spec))
    assert module.Config().label == value
    public = {name for name in vars(module) if not name.startswith("__")}
    assert public == {"dataclass", "nn", "Tensor", "Config", "Net"}


# ------------------------------------------------------------------------------------------ folding


class Statements:
    """Random statements of a forward, longer than a line."""

    NAMES = ("x", "y", "mask", "hidden", "attention_mask", "residual", "self.scale", "1", "0.5")
    CALLS = ("torch.cat", "self.attention.output", "self.dense", "F.relu", "torch.transpose")

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def statement(self, deep: int) -> str:
        while True:
            value = written(parse(self._expression(deep)))
            if 70 < len(value) < 600:
                lead = self.random.choice(["x = ", "return ", "hidden_states, _ = ", "if "])
                return f"{lead}{value}{':' if lead == 'if ' else ''}"

    def _expression(self, deep: int) -> str:
        chance = self.random.random()
        operator, count = self.random.choice("+-*/@"), self.random.choice([2, 2, 3])
        if deep <= 0 or chance < 0.5:
            return self._primary(deep)
        if chance < 0.8:
            return f" {operator} ".join(self._primary(deep - 1) for _ in range(count))
        if chance < 0.86:
            sign = self.random.choice(["==", "<", "is not"])
            right = "None" if sign == "is not" else self._primary(deep - 1)
            return f"{self._primary(deep - 1)} {sign} {right}"
        if chance < 0.92:
            word = self.random.choice([" and ", " or "])
            return word.join(self._primary(deep - 1) for _ in range(count))
        return " ".join([
            self._primary(deep - 1), "if", self._primary(deep - 1), "else", self._primary(deep - 1)
        ])  # fmt: skip

    def _primary(self, deep: int) -> str:
        chance = self.random.random()
        if deep <= 0 or chance < 0.35:
            return self.random.choice(self.NAMES)
        if chance < 0.75:
            items = [self._expression(deep - 1) for _ in range(self.random.choice([1, 2, 3]))]
            items += [f"dim={self._expression(deep - 2)}"] if self.random.random() < 0.4 else []
            return f"{self.random.choice(self.CALLS)}({', '.join(items)})"
        if chance < 0.8:
            return f"mask[:, {self.random.choice(['None', '0', '1:'])}]"
        if chance < 0.88:
            return f"[{', '.join(self._expression(deep - 2) for _ in range(2))}]"
        return f"({self._expression(deep - 1)})"


def test_long_lines_are_folded_as_a_formatter_does() -> None:
    statements = [Statements(seed).statement(2 + seed % 4) for seed in range(400)]
    ends = ["\n            pass" if text.endswith(":") else "" for text in statements]
    head = "class A{}:\n    def f(self):\n"
    flat, folded = list[str](), list[str]()
    for i, (statement, end) in enumerate(zip(statements, ends, strict=True)):
        flat.append(f"{head.format(i)}        {statement}{end}\n")
        folded.append(head.format(i) + "\n".join(fold(statement, 8)) + f"{end}\n")
        assert ast.dump(ast.parse(folded[-1])) == ast.dump(ast.parse(flat[-1]))
    done = subprocess.run(
        [RUFF, "format", "--isolated", "--stdin-filename", "a.py", "-"],
        input="\n\n".join(flat),
        capture_output=True,
        text=True,
        check=True,
    )
    for ours, theirs in zip(folded, done.stdout.split("\n\n\n"), strict=True):
        assert ours.strip() == theirs.strip(), textwrap.indent(theirs, "    ")


def test_where_a_module_is_made() -> None:
    generated = generate(archspec.load("resnet18"))
    lines = generated.text.splitlines()
    path = ("blocks", "ResNet", "modules", "layer1")
    made = [lines[number - 1] for number in generated.lines_of((*path, "items", 1))]
    assert made[0] == "        self.layer1 = nn.Sequential("
    assert generated.lines_of(path) == generated.lines_of((*path, "items", 0))
    first, source = generated.source_of("BasicBlock")
    assert source[0] == lines[first - 1] == "class BasicBlock(nn.Module):"
    assert source[-1] == "        return F.relu_(out.add_(self.shortcut(x)))"
    assert lines[first - 1 : first - 1 + len(source)] == source


def test_first_values_of_raw_tensors_follow_the_config() -> None:
    """A Config that is made of other values gives what ``build`` gives with them."""
    text = """\
archspec: 1
model: Net
params: {scale: 0.5, d: 16, act: {type: layer, default: ReLU}}
let: {inner: $2 * d}
dims: {batch: 1}
blocks:
  Net:
    inputs: {x: [batch, 8]}
    modules: {fc: {type: Cell}}
    buffers: {top: {shape: [2], init: {constant_: {val: $scale if act is not None else 1}}}}
  Cell:
    inputs: {x: [batch, 8]}
    parameters:
      a: {shape: [1], init: {constant_: {val: $scale}}}
      b: {shape: [1], init: {constant_: {val: $sqrt(d) / 2}}}
      c: {shape: [1], init: {constant_: {val: "$max(inner, 3)"}}}
      scale: {shape: [1], init: {constant_: {val: $-scale}}, when: $d > 3}
    forward: [{return: x * a + b * c}]
"""
    values: dict[str, Any] = {"scale": 3.0, "d": 64}
    module = executed(to_python(loads(text)))
    made = module.Net(module.Config(**values)).state_dict()
    built = build(loads(text, **values), device="cpu").state_dict()
    found = {name: tensor.tolist() for name, tensor in made.items()}
    assert found == {name: tensor.tolist() for name, tensor in built.items()}
    assert found["top"] == [3.0, 3.0]
    assert [found[f"fc.{name}"] for name in ("a", "b", "c", "scale")] == [[3], [4], [128], [-3]]


def test_packaged_first_values_follow_the_config() -> None:
    module = executed(to_python("convnext-tiny"))
    sizes: dict[str, Any] = {"dims": (8, 8, 8, 8), "depths": (1, 1, 2, 1), "layer_scale": 0.5}
    made = module.ConvNeXt(module.Config(**sizes)).state_dict()
    built = build("convnext-tiny", device="cpu", seed=0, **sizes).state_dict()
    names = [name for name in made if name.endswith(".scale")]
    assert len(names) == 5
    for name in names:
        assert made[name].flatten().tolist() == built[name].flatten().tolist() == [0.5] * 8


def test_a_parameter_that_only_init_uses() -> None:
    text = """\
archspec: 1
model: Net
params: {std: 0.5}
blocks:
  Net:
    inputs: {x: [batch, 8]}
    modules: {fc: {type: Linear, in_features: 8, out_features: 8}}
init: [{match: fc, weight: {constant_: {val: $std}}}]
dims: {batch: 1}
"""
    model = archspec.build(archspec.loads(text, std=0.25), device="cpu")
    assert set(model.state_dict()["fc.weight"].flatten().tolist()) == {0.25}
    assert "def __init__(self, config: Config = Config()):" in archspec.to_python(
        archspec.loads(text)
    )
