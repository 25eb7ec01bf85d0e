"""The verifier of generated source: all that the generator prints passes, and nothing else."""

from __future__ import annotations

import ast
import difflib
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import cast

import pytest
from torch import nn

import archspec
from archspec import BuildError, SpecError, builder
from archspec.codegen import module
from archspec.codegen.verify import verify
from archspec.codegen.verify.source import MAX_TEXT
from archspec.lang.packaged import packaged_specs
from archspec.lang.registry import attributes, functions, layers
from tests.loaded import packaged

ROOT = Path(archspec.__file__).parent.parent
GOLDEN = sorted((ROOT / "tests" / "golden" / "python").glob("*.py"))

# Each form that the generator knows, once.
SOURCE = '''
"""Every form.

A paper.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def make_divisible(value: float, divisor: int) -> int:
    """The multiple of divisor nearest to value."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


@dataclass(frozen=True)
class Config:
    width: int = 8  # channels
    rate: float | None = None
    sizes: tuple[int, ...] = (2, -3)
    limit: float = float("inf")
    mode: str = "plain"

    @cached_property
    def inner(self) -> int:
        return max(2 * self.width, len(self.sizes))


class Gate(nn.Module):
    def __init__(self, size: int, gate=None):
        super().__init__()
        if gate is None:
            gate = "a" if size > 3 else "b"
        self.size = size
        self.squash = nn.Tanh()

    def forward(self, x: Tensor, skip: Tensor | None = None):
        """x: [batch, size]."""
        return self.squash(x) * self.size if skip is None else skip


class Mixer(nn.Module):
    def __init__(
        self,
        config: Config,
        inner: type[nn.Module] = Gate,
        act: type[nn.Module] | None = None,
        scale: float = 1.0,
    ):
        super().__init__()
        if act is None:
            act = nn.ReLU if config.mode == "plain" else nn.GELU
        self.scale = scale
        self.body = inner(size=config.width)
        self.act = act(inplace=True)
        if config.rate is not None and not config.width < 4:
            self.extra = nn.Linear(config.width, config.inner // 2, bias=False)
        self.layers = nn.ModuleList([Gate(size=i + 1) for i in range(config.width) if i > 2])
        self.pair = nn.ModuleList([nn.ReLU(), *([nn.Tanh()] if config.rate is None else [])])
        self.box = nn.ModuleDict(
            {"a": Gate(size=3), **{f"b_{i}": Gate(size=i) for i in range(len(config.sizes))}}
        )
        self.named = nn.Sequential(
            OrderedDict({"first": nn.ReLU(), **({"c-d": nn.Linear(3, 3)} if config.rate else {})})
        )
        entries = OrderedDict()
        entries["one"] = nn.ReLU()
        for j in range(2):
            entries[f"two_{j}"] = nn.Tanh()
        self.other = nn.Sequential(entries)
        if config.mode == "plain":
            self.tail = nn.Sequential(nn.ReLU(), *[nn.Tanh() for _ in range(2)])
        else:
            self.tail = nn.Sequential()
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2), 2)
        self.weight = nn.Parameter(torch.empty(config.width, config.sizes[0]))
        self.register_buffer("count", torch.empty((), dtype=torch.int64), persistent=False)
        self.register_buffer("table", self.compute_table().to(torch.float64))
        self.start = nn.Parameter(self.compute_start())
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self):
        nn.init.normal_(self.weight, std=0.5 / math.sqrt(self.scale))
        nn.init.zeros_(self.count)
        self.table.copy_(self.compute_table())
        self.start.copy_(self.compute_start())

    def compute_table(self):
        y = torch.arange(3)
        for i in range(2):
            y = y + i
        return y

    def compute_start(self):
        return torch.ones(3) * self.scale

    def forward(self, x: Tensor):
        """x: [batch, size]."""
        for layer in self.layers:
            x = layer(x)
        for i, act in enumerate(self.pair):
            x = act(x) / (i + 1)
        for key, (gate) in zip(x.shape, self.box.values()):
            x = gate(x, skip=None) + key
        for k in range(len(self.layers)):
            x = x + k
        a, b = torch.chunk(x, 2, dim=-1)
        x = F.relu(a).view(-1, x.shape[0]) @ torch.linalg.norm(self.weight)
        x = self.tail(self.layers[0](x[:, ::2, None, ...])).to(torch.float32)
        x = self.missing(x) if self.training and x.ndim in (2, 3) else self.named.first(x)
        return x, self.encoder.layers[0].self_attn.in_proj_weight


@torch.no_grad()
def initialize(
    module: nn.Module, name: str, config: Config, generator: torch.Generator | None = None
):
    """Give the parameters that a module itself holds their first values."""
    if isinstance(module, (nn.Linear, Mixer)) or name in {"a", "b.c"}:
        nn.init.normal_(module.weight, std=1 / config.width, generator=generator)
        if module.bias is not None:
            nn.init.zeros_(module.bias[-1])
    if name == "mixer" or name.startswith("mixer.") and name.endswith((".a", ".b")):
        nn.init.constant_(module.weight, val=config.sizes[0])
    if isinstance(module, nn.ReLU) and getattr(module, "bias", None) is not None:
        nn.init.ones_(module.bias)


class Chain(nn.Sequential):
    def __init__(self, config: Config, size: int, act=None):
        if act is None:
            act = nn.ReLU
        super().__init__(
            nn.Linear(size, size),
            *[nn.Linear(size, size) for _ in range(config.width)],
            *([act()] if size > 3 else []),
        )

    def forward(self, x: Tensor):
        """x: [batch, size]."""
        return super().forward(x)


class Stack(nn.Sequential):
    def __init__(self, config: Config, size: int):
        pairs = tuple(a for a, b in zip(config.sizes, (1, 2)) if b)
        wide = make_divisible(math.sqrt(size), 8) + sum(pairs)
        layers = [nn.Linear(size, wide)]
        last = wide
        kept = torch.finfo(torch.float16).max
        for i, (a, b) in enumerate(((8, 2), (4, 1))):
            parts = []
            for c in range(b):
                parts.append(nn.Linear(a, c))
            layers.append(nn.Sequential(*parts))
            if b > 1:
                layers += [nn.ReLU(), nn.Tanh()]
            layers += [nn.Identity() for _ in range(i)]
            last, kept = a, last
        super().__init__(*layers, *[nn.Linear(last, d) for d in config.sizes])


class Named(nn.Sequential):
    def __init__(self):
        super().__init__(OrderedDict({"first": nn.ReLU()}))


class Net(nn.Module):
    def __init__(self, config: Config = Config()):
        super().__init__()
        self.mixer = Mixer(config, inner=Gate, act=nn.ReLU)
        self.head = nn.Linear(3, 3)
        for name, module in self.named_modules():
            initialize(module, name, config)
        self.head.weight = self.mixer.named.get_submodule("c-d").weight

    def forward(self, x: Tensor):
        for module in self.children():
            x = module(x)
        return x
'''.lstrip()


def refused(text: str) -> bool:
    try:
        verify.__wrapped__(text)
    except BuildError as error:
        return error.code == "E504"
    return False


# ------------------------------------------------------------------------------- what is accepted


def sources() -> Iterator[tuple[str, str]]:
    for name in packaged_specs():
        yield f"{name}.yaml", module.generate(packaged(name)).text
    for folder in ("examples", "tests"):
        for path in sorted((ROOT / folder).rglob("*.yaml")):
            try:
                yield path.name, module.generate(archspec.load(path)).text
            except SpecError:
                assert not {"mistakes", "fuzz", "cases"}.isdisjoint(path.parts), path
    for path in GOLDEN:
        yield path.name, path.read_text(encoding="utf-8")


def test_all_that_is_generated_passes() -> None:
    failed: list[str] = []
    known = dict(sources())
    for name, text in known.items():
        try:
            verify(text)
        except BuildError as error:
            failed.append(f"{name}: {error.message}")
    assert not failed, "\n".join(failed)
    assert len(known) > 25


def test_every_form_passes() -> None:
    verify(SOURCE)
    verify('"""Nothing but a text."""\n')


# --------------------------------------------------------------------------------- what is refused


def hostile_code() -> dict[str, list[str]]:
    """Pieces of code by where they are put; ¶ is the end of a line."""
    text = Path(__file__).with_name("hostile_code.txt").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("== "):
            found[line[3:]] = []
        else:
            found[[*found][-1]].append(line.replace("¶", "\n"))
    return found


def inserted(line: str, statement: str) -> str:
    """The source with a statement before a line, at its indentation."""
    assert SOURCE.count(line) == 1, line
    margin = " " * (len(line) - len(line.lstrip()))
    code = "".join(f"{margin}{part}\n" for part in statement.split("\n"))
    return replaced(line, code + line)


def replaced(old: str, new: str, *, whole: bool = False) -> str:
    """The source with one piece for another, where it first occurs.

    What would follow that function or class is left out, as in ``with_statement``, unless the
    ``whole`` is asked for: a name may be missed there alone.
    """
    before, found, after = SOURCE.partition(old)
    assert found, old
    return before + new + (after if whole else after.partition("\n\n\n")[0] + "\n")


TYPED = {
    "skip: ": "Tensor | None",
    "module: ": "nn.Module",
    "inner(self) -> ": "int",
    "inner: ": "type[nn.Module]",
    "width: ": "int",
}
PLACES = {
    "__init__": "        self.encoder = nn.Trans",
    "forward": "        a, b = torch.chunk",
    "reset_parameters": "        nn.init.zeros_(self.count)",
    "initialize": "    if isinstance(module, nn.ReLU)",
    "config": "    mode: str",
    "a rule": "        nn.init.constant_",
}


def hostile() -> Iterator[tuple[str, str]]:
    """What a text is, and the text."""
    code = hostile_code()
    for value in code["step"]:
        yield f"step: {value}", replaced("x + k", value)
    for value in code["argument"]:
        yield f"argument: {value}", replaced("(config.width, config.inner // 2", f"({value}")
    for condition in code["condition"]:
        yield f"condition: {condition}", replaced('name == "mixer"', condition)
    for statement in code["statement"]:
        for place, line in PLACES.items():
            if (place, statement) != ("config", "x: int = 3"):
                yield f"{place}: {statement}", inserted(line, statement)
    for statement in code["module"]:
        yield f"module: {statement}", inserted("class Gate(nn.Module)", statement)
        yield f"module, at its end: {statement}", f"{SOURCE}\n\n{statement}\n"
    for kind in code["type"]:
        for name, old in TYPED.items():
            yield f"type of {name}: {kind}", replaced(f"{name}{old}", f"{name}{kind}")
    for piece in code["instead"]:
        old, new = piece.split(" → ")
        yield f"{old} → {new}", replaced(old, new, whole=True)


def test_hostile_sources_are_refused() -> None:
    texts = dict(hostile())
    passed = [what for what, text in texts.items() if not refused(text)]
    assert not passed, "\n".join(passed)
    assert len(texts) > 1_000


# ----------------------------------------------------------------------- a real source, changed

STATEMENTS = [ast.unparse(statement) for statement in ast.parse(SOURCE).body]
CALLS = ["__import__('os').system('id')", "torch.load('f')", "().__class__", "(lambda: 3)()"]


class Replace(ast.NodeTransformer):
    """Puts an expression in place of the one with a number, in the order of the tree."""

    def __init__(self, number: int, text: str) -> None:
        self.number, self.text = number, text

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.expr):
            self.number -= 1
            if self.number < 0:
                self.number = 10**9
                return ast.parse(self.text, mode="eval").body
        if isinstance(node, ast.JoinedStr):  # whose parts are no expressions, but hold some
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    part.value = cast("ast.expr", self.visit(part.value))
            return node
        return self.generic_visit(node)


def with_statement(index: int, statement: ast.stmt) -> str:
    """The source up to one of its outermost statements, with another one there.

    What would follow is left out: it takes time, and nothing there should be what is refused.
    """
    statement = ast.fix_missing_locations(statement)
    return "\n".join([*STATEMENTS[:index], ast.unparse(statement)])


def test_the_source_passes_up_to_any_statement() -> None:
    for index in range(len(STATEMENTS)):
        verify("\n".join(STATEMENTS[: index + 1]))


def test_no_expression_can_be_another() -> None:
    """Each expression of the source, targets and types included, becomes a hostile one."""
    passed: list[str] = []
    tried = 0
    for index, text in enumerate(STATEMENTS):
        for number in range(10**6):
            change = Replace(number, CALLS[tried % len(CALLS)])
            statement = change.visit(ast.parse(text).body[0])
            if change.number <= number:
                break
            tried += 1
            if not refused(with_statement(index, cast("ast.stmt", statement))):
                passed += difflib.unified_diff(
                    text.splitlines(), ast.unparse(statement).splitlines(), n=0
                )
    assert not passed, "\n".join(passed)
    assert tried > 600


def names_in(tree: ast.AST) -> Iterator[tuple[ast.AST, str, str]]:
    """Each node that holds a name, the field that holds it, and the name."""
    for node in ast.walk(tree):
        for field, value in ast.iter_fields(node):
            if isinstance(value, str) and not isinstance(node, ast.Constant):
                yield node, field, value


def hostile_names(node: ast.AST) -> tuple[str, ...]:
    """What must not stand in place of a name, beside a dunder."""
    match node:
        case ast.Attribute(value=ast.Name(id="torch" | "nn" | "F")):
            return ("load", "hub", "ops", "os", "modules", "apply")
        case ast.Attribute():
            return ("apply", "register_forward_hook", "_modules")
        case ast.Name(ctx=ast.Load()) | ast.alias():
            return ("eval", "os", "builtins")
        case _:
            return ()


def test_no_name_can_be_another() -> None:
    passed: list[str] = []
    tried = 0
    for index, statement in enumerate(ast.parse(SOURCE).body):
        for node, field, name in list(names_in(statement)):
            tried += 1
            for other in ("__class__", *hostile_names(node)):
                setattr(node, field, other)
                if not refused(with_statement(index, statement)):
                    passed.append(f"line {getattr(node, 'lineno', 0)}: {name} → {other}")
            setattr(node, field, name)
        assert ast.unparse(statement) == STATEMENTS[index]
    assert not passed, "\n".join(passed)
    assert tried > 400


# ---------------------------------------------------------------------------------------- limits


@pytest.mark.parametrize(
    "expression",
    [
        "-" * 5_000 + "1",
        "x" + ".shape" * 5_000,
        "x" + "[0]" * 5_000,
        " + ".join(["x"] * 20_000),
        "x if x else " * 5_000 + "x",
        "[" * 10_000,
        "9" * 5_000,
    ],
    ids=lambda text: text[:9],
)
def test_deep_and_broken_texts_are_refused(expression: str) -> None:
    assert refused(replaced("x + k", expression))


def test_long_texts_are_refused() -> None:
    assert refused(f"{SOURCE}#{'a' * MAX_TEXT}")


@pytest.mark.parametrize("character", ["\0", "\udc80"], ids=ascii)
def test_odd_characters_are_refused(character: str) -> None:
    assert refused(replaced('"plain"', f'"{character}"'))


def test_the_line_is_told() -> None:
    with pytest.raises(BuildError) as caught:
        verify(replaced("x + k", "eval(k)"))
    line = SOURCE.splitlines().index("            x = x + k") + 1
    assert caught.value.code == "E504"
    assert f"line {line}, the name 'eval' is not defined here: x = eval(k)" in caught.value.message
    assert caught.value.hint == "this is a defect of archspec, please report it"


# ----------------------------------------------------------------------------- where it is asked

BAD = '"""A text."""\n\nimport os\n'


@pytest.mark.parametrize(
    "use",
    [
        archspec.to_python,
        lambda spec: archspec.build(spec, device="meta"),
        archspec.draw,
        archspec.inspect,
    ],
    ids=["to_python", "build", "draw", "inspect"],
)
def test_nothing_is_handed_out_unseen(
    use: Callable[[archspec.Spec], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    generated = module.Generated(BAD, "Net", {}, None, {}, frozenset())
    monkeypatch.setattr(module, "generate", lambda spec: generated)
    spec = archspec.load("resnet18")
    with pytest.raises(BuildError) as caught:
        use(spec)
    assert caught.value.code == "E504"


def test_compiling_asks_again() -> None:
    with pytest.raises(BuildError):
        builder.compiled(BAD, "unseen")
    assert not [name for name in sys.modules if name.startswith("spec_unseen")]


def test_a_pickle_with_another_source_is_refused() -> None:
    saved = pickle.dumps(archspec.build("resnet18", device="meta"))
    old, new = b"from torch import Tensor, nn", b"from torch import loader, n"
    assert old in saved
    assert len(old) == len(new) + 1
    with pytest.raises(BuildError) as caught:
        pickle.loads(saved.replace(old, new + b"n"))
    assert caught.value.code == "E504"


# --------------------------------------------------------------------------------- trusted Python

OWN = """
import torch
from torch import nn

class Outer:
    class Scale(nn.Module):
        def __init__(self, size: int):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(size))

        def forward(self, x):
            return x * self.gain

def twice(x, times=2):
    return x * times

def secret(path):
    open(path, "w").close()
"""
TRUSTED = '''
"""Own layers."""

from torch import Tensor, nn

from own_things import Outer, twice


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = Outer.Scale(3)

    def forward(self, x: Tensor):
        return twice(self.scale(x), times=3) + self.scale.gain
'''.lstrip()


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "own_things.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_things", raising=False)
    monkeypatch.setattr(layers, "_registered", {})
    monkeypatch.setattr(functions, "_registered", {})
    import own_things  # type: ignore[import-not-found]

    archspec.register_layer(own_things.Outer.Scale)
    archspec.register_op(own_things.twice)
    return own_things


def test_what_is_registered_is_called_and_nothing_else(own: ModuleType) -> None:
    verify.__wrapped__(TRUSTED)
    changes = [
        ("import Outer, twice", "import Outer, twice, secret"),
        ("import Outer, twice", "import Outer as O, twice"),
        ("from own_things", "from other_things"),
        ("Outer.Scale(3)", "Outer(3)"),
        ("Outer.Scale(3)", "Outer.Other(3)"),
        ("Outer.Scale(3)", "Outer.Scale.save(3)"),
        ("Outer.Scale(3)", "Outer.Scale(3, path='a')"),
        ("Outer.Scale(3)", "Outer.Scale.__init__(3)"),
        ("Outer.Scale(3)", "twice(3)"),
        ("twice(self", "twice.__call__(self"),
        ("times=3", "path=3"),
        ("self.scale.gain", "self.scale.save('a')"),
        ("self.scale.gain", "self.scale.__class__"),
        ("self.scale.gain", "self.scale.apply(x)"),
        ("self.scale.gain", "self.scale.gain.numpy()"),
        ("self.scale.gain", "twice"),
        ("self.scale.gain", "Outer.Scale(3)"),
    ]
    passed = [change for change in changes if not refused(TRUSTED.replace(*change))]
    assert not passed


def test_nothing_is_trusted_that_is_not_registered() -> None:
    assert refused(TRUSTED)
    known = (("own_things", "Outer.Scale"), ("own_things", "twice"))
    verify.__wrapped__(TRUSTED, known)
    with pytest.raises(BuildError):
        verify(TRUSTED.replace("twice", "secret"), known)


def test_pickles_name_what_they_trust(own: ModuleType, tmp_path: Path) -> None:
    """Another process has registered nothing, and may read the model and write it all the same."""
    spec = archspec.loads(
        "{archspec: 1, model: Net, blocks: {Net: {inputs: {x: [batch, 3]}, modules: {"
        "scale: {type: Scale, size: 3}}, forward: [{return: twice(scale(x))}]}}}"
    )
    (tmp_path / "model").write_bytes(pickle.dumps(archspec.build(spec, device="cpu")))
    code = (
        "import pickle, torch; model = pickle.load(open('model', 'rb')); "
        "print(pickle.loads(pickle.dumps(model))(torch.ones(3)).tolist())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[2.0, 2.0, 2.0]", done.stderr


def _module(value: object) -> str:
    return getattr(value, "__module__", None) or ""


def test_the_tables_are_those_of_torch() -> None:
    # transformers adds a method of its own to the class while it makes a model.
    foreign = {n for n, one in vars(nn.Module).items() if _module(one).startswith("transformers.")}
    there = {n for n in dir(nn.Module) if not n.startswith("_")} - foreign | {"training"}
    assert there <= attributes.MODULE_ATTRIBUTES
    for name, known in attributes.CONTAINER_ATTRIBUTES.items():
        own_names = {*dir(getattr(nn, name))} - {*dir(nn.Module)}
        assert {n for n in own_names if not n.startswith("_")} == known
