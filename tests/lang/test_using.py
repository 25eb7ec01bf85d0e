"""Blocks of other files, and blocks of a parent under another name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import archspec
from archspec.errors import Problem, SpecError
from tests.tables import every

Write = Callable[..., None]

FILES = {
    "common/conv.yaml": """\
archspec: 1
use: [acts.yaml]
params: {ignored: 3}
blocks:
  ConvAct:
    params: {c: int, act: {type: block, default: Act}}
    items:
      - {type: Conv2d, in_channels: $c, out_channels: $width, kernel_size: 1}
      - {type: $act}
""",
    "common/acts.yaml": """\
archspec: 1
blocks:
  Act: {items: [{type: ReLU}]}
""",
    "net.yaml": """\
archspec: 1
use: [common/conv.yaml, common/acts.yaml]
model: Net
params: {width: 4, inner: {type: block, default: ConvAct, choices: [ConvAct]}, note: Act}
dims: {batch: 2, h: 8}
blocks:
  Net:
    inputs: {x: [batch, 3, h, h]}
    modules:
      a: {type: ConvAct, c: 3}
      b: {type: $inner, c: 4, act: Act}
      c: {type: Sequential, items: [{type: "$'Act' if width > 3 else 'ConvAct'"}]}
init: [{match: "@Conv2d", bias: zeros_}]
freeze: {some: ["@ConvAct", "!a"]}
""",
}


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> None:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")

    for name, text in FILES.items():
        write(name, text)
    return write


def problems_of(name: str) -> tuple[Problem, ...]:
    with pytest.raises(SpecError) as caught:
        archspec.load(name)
    return caught.value.problems


def test_a_spec_takes_the_blocks_of_other_files(write: Write) -> None:
    spec = archspec.load("net.yaml")
    assert [*spec.architecture.blocks] == ["Act", "ConvAct", "Net"]
    assert [*spec.params] == ["width", "inner", "note"]
    assert str(spec.document.place(("blocks", "Act"), key=True)) == "common/acts.yaml:3:3"
    assert [path.name for path in spec.document.files] == ["net.yaml", "conv.yaml", "acts.yaml"]
    model = archspec.build(spec, device="cpu", freeze="some")
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert names == ["a.0.weight", "a.0.bias"]
    write("child.yaml", "archspec: 1\nextends: net.yaml\nblocks: {Act: {items: [{type: GELU}]}}")
    assert "GELU" in str(archspec.build("child.yaml", device="meta"))
    # To tell of a block, or to remove it from the parent, is no use of it.
    about = (
        "description: no ConvAct, remove: [blocks.ConvAct, blocks.Net, params.inner, init, freeze]"
    )
    act = "model: N, use: [common/conv.yaml], blocks: {N: {items: [{type: Act}]}}"
    write("act.yaml", f"{{archspec: 1, extends: net.yaml, {act}, {about}}}")
    assert [*archspec.load("act.yaml").architecture.blocks] == ["Act", "N"]


def test_a_child_renames_blocks_of_its_parent(write: Write) -> None:
    names = "ConvAct: ConvNormActivation, Act: Activation, Net: Model"
    child = f"archspec: 1\nextends: net.yaml\nrename: {{{names}}}\n"
    write("child.yaml", child + "blocks: {Model: {outputs: {y: [batch, $width, h, h]}}}\n")
    spec, parent = archspec.load("child.yaml"), archspec.load("net.yaml")
    assert [*spec.architecture.blocks] == ["Activation", "ConvNormActivation", "Model"]
    assert (spec.root.type, spec.values["note"]) == ("Model", "Act")
    text = str(archspec.build(parent, device="meta"))
    for old, new in (("ConvAct", "ConvNormActivation"), ("Act(", "Activation("), ("Net", "Model")):
        text = text.replace(old, new)
    assert str(archspec.build(spec, device="meta")) == text.replace(
        "ConvNormActivationivation", "ConvNormActivation"
    )
    assert spec.architecture.freeze["some"].patterns == ["@ConvNormActivation", "!a"]
    archspec.build(spec, device="cpu", freeze="some")
    assert str(spec.document.place(("blocks", "Model"), key=True)) == "child.yaml:4:10"


HEAD = "archspec: 1\nmodel: Net\nblocks: {Net: {items: [{type: ReLU}]}, Act: {items: []}}\n"


@every(
    "text, code, line, message",
    [
        (f"{HEAD}use: [common/acts.yaml]", "E207", 3, "two blocks are called 'Act'"),
        (f"{HEAD}use: [../x.yaml]", "E109", 4, "outside"),
        (f"{HEAD}use: [bad.yaml]", "E110", 4, "uses itself"),
        (f"{HEAD}use: [nothing.yaml]", "E106", None, "no such file"),
        (f"{HEAD}use: [empty.yaml]", "E202", 4, "has no blocks"),
        (f"{HEAD}use: common/acts.yaml", "E202", 4, "expected a list"),
        (f"{HEAD}rename: {{Act: B}}", "E111", 4, "no parent"),
        ("archspec: 1\nextends: net.yaml\nrename: {Acts: B}", "E111", 3, "no block 'Acts'"),
        ("archspec: 1\nextends: net.yaml\nrename: {Act: Net}", "E207", 3, "already has a block"),
        ("archspec: 1\nextends: net.yaml\nrename: {Act: 3}", "E202", 3, "expected text"),
    ],
)
def test_what_cannot_be_used_or_renamed(
    text: str, code: str, line: int | None, message: str, write: Write
) -> None:
    write("empty.yaml", "archspec: 1\n")
    write("bad.yaml", text)
    problem = problems_of("bad.yaml")[0]
    assert (problem.code, problem.place and problem.place.line) == (code, line), problem
    assert message in problem.message
    if message.startswith("two blocks"):
        assert [str(note.place) for note in problem.notes] == ["common/acts.yaml:3:3"]


def test_a_text_without_a_folder_uses_packaged_specs_only() -> None:
    block = "{type: BasicBlock, in_planes: 4, planes: 4}"
    own = f"archspec: 1\nmodel: Net\nblocks: {{Net: {{items: [{block}]}}}}\n"
    assert archspec.loads(f"{own}use: [resnet18]").root.modules > 3
    with pytest.raises(SpecError) as caught:
        archspec.loads(f"{own}use: [resnet18.yaml]")
    assert caught.value.code == "E109"


def test_the_files_together_have_a_limit(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.yaml").write_text(f"archspec: 1\nblocks: {{}}\n#{'x' * 600_000}")
    (tmp_path / "net.yaml").write_text("archspec: 1\nmodel: Net\nuse: [a.yaml, b.yaml]\n")
    with pytest.raises(SpecError, match="the files have more than 1,000,000 bytes") as caught:
        archspec.load(tmp_path / "net.yaml")
    assert caught.value.problems[0].code == "E110"
    assert str(caught.value.problems[0].place).endswith("net.yaml:3:15")
    items = ", ".join(["*m"] * 3000)
    (tmp_path / "net.yaml").write_text("archspec: 1\nmodel: Net\nuse: [a.yaml, b.yaml, c.yaml]\n")
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.yaml").write_text(
            f"archspec: 1\nblocks: {{B: {{params: {{n: [&m [1, 2, 3, 4, 5], {items}]}}}}}}\n"
        )
    with pytest.raises(SpecError, match="more than 40,000 keys and values together") as caught:
        archspec.load(tmp_path / "net.yaml")
    assert str(caught.value.problems[0].place).endswith("net.yaml:3:23")
