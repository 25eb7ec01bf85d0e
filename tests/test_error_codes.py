"""Each error code: raised by the examples of its page, and rendered as agreed."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from textwrap import indent

import pytest
import torch
from safetensors.torch import save_file

import archspec
from archspec.building import devices
from archspec.errors import (
    CODES,
    ArchspecError,
    BuildError,
    DataError,
    FreezeError,
    RunError,
    SpecError,
    UsageError,
    WeightsError,
)

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
LANGUAGE = (ROOT / "docs" / "language.md").read_text(encoding="utf-8")
GOLDEN = Path(__file__).parent / "golden" / "errors"
RAISED = list(CODES)

_FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SECTION = re.compile(r"^## (E\d{3}): (.*?)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_CLASSES = {"5": BuildError, "6": WeightsError, "8": UsageError, "9": DataError}
_CLASSES |= {"92": RunError}


def sections() -> list[tuple[str, str, str]]:
    """Code, title and text of each section of the page."""
    return _SECTION.findall(PAGE)


def snippets(code: str, language: str) -> list[str]:
    text = next(text for found, _, text in sections() if found == code)
    return [body for kind, body in _FENCE.findall(text) if kind == language]


def is_spec(text: str) -> bool:
    """Whether a snippet is a whole spec, perhaps behind a comment that names its file."""
    return re.match(r"(# .*\n)?archspec: 1\n", text) is not None


def marked_line(text: str, code: str) -> int:
    """The number of the one line that ends with the code as a comment; 0 if there is none."""
    lines = [i for i, line in enumerate(text.splitlines(), 1) if line.endswith(f"  # {code}")]
    assert len(lines) <= 1, f"{code} is marked twice"
    return lines[0] if lines else 0


def wrong_and_right(code: str) -> list[tuple[str, str]]:
    """The wrong specs of a section, and each with the block below it in place of the wrong line."""
    found: list[tuple[str, str]] = []
    blocks = snippets(code, "yaml")
    for wrong, right in pairwise(blocks):
        if number := marked_line(wrong, code):
            assert not is_spec(right), f"{code}: what replaces the wrong line is no spec"
            lines = wrong.splitlines(keepends=True)
            margin = lines[number - 1][: -len(lines[number - 1].lstrip())]
            lines[number - 1] = indent(right, margin)
            found.append((wrong, "".join(lines)))
    return found


def named_specs(text: str) -> dict[str, str]:
    """The specs of a page that begin with a comment that names their file."""
    bodies = [body for kind, body in _FENCE.findall(text) if kind == "yaml" and is_spec(body)]
    names = [(re.match(r"# (\S+\.yaml)\n", body), body) for body in bodies]
    return {name[1]: body for name, body in names if name}


def tables(text: str) -> dict[str, str]:
    """The CSV files of a page, each below a line that names it; rows are repeated."""
    bodies = [body for kind, body in _FENCE.findall(text) if kind == "csv"]
    found: dict[str, str] = {}
    for body in bodies:
        name, header, rows = body.split("\n", 2)
        found[name.removeprefix("# ")] = f"{header}\n{rows * 5}"
    return found


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files that the page speaks of, in the working folder of a machine with no GPU."""
    for name, text in named_specs(PAGE).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    tiny = (tmp_path / "tiny.yaml").read_text(encoding="utf-8")
    (tmp_path / "base.yaml").write_text(tiny, encoding="utf-8")
    (tmp_path / "pytorch_model.bin").write_bytes(b"PK")
    weight, bias = torch.zeros(2, 4), torch.zeros(2)
    files = {
        "model": {"fc.weight": weight, "fc.bias": bias},
        "older": {"linear.weight": weight, "linear.bias": bias, "step": torch.zeros(1)},
        "wide": {"fc.weight": torch.zeros(2, 8), "fc.bias": bias},
        "counts": {"fc.weight": torch.zeros(2, 4, dtype=torch.int8), "fc.bias": bias},
        "two": {"a.weight": weight + 1, "a.bias": bias, "b.weight": weight, "b.bias": bias + 1},
    }
    for name, tensors in files.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\ngood\n", encoding="utf-8")
    for name, text in tables(PAGE).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "config.json").write_text(snippets("E215", "json")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(devices, "free_bytes", lambda device: 16 * 2**30)
    return tmp_path


def use(text: str, *, build: bool) -> None:
    """Load a spec from ``spec.yaml`` in the working folder; build it where that is asked for."""
    Path("spec.yaml").write_text(text, encoding="utf-8")
    spec = archspec.load("spec.yaml")
    if build:
        archspec.build(spec, device="meta")


def run(text: str) -> None:
    exec(compile(text, "errors.md", "exec"), {"archspec": archspec, "torch": torch})


def use_wrong(code: str) -> None:
    """Do what the wrong example of a section does."""
    if specs := wrong_and_right(code):
        use(specs[0][0], build=code.startswith("E5"))
    else:
        call = snippets(code, "python")[0]
        run("\n".join(call.splitlines()[: marked_line(call, code)]))


def _class(code: str) -> type[ArchspecError]:
    return _CLASSES.get(code[1:3], _CLASSES.get(code[1], SpecError))


def raised_by(code: str) -> ArchspecError:
    with pytest.raises(ArchspecError) as caught:
        use_wrong(code)
    return caught.value


def test_the_page_has_one_section_per_code_in_order() -> None:
    assert [(code, title) for code, title, _ in sections()] == list(CODES.items())
    groups = re.findall(r"^## (E\d)xx: ", PAGE, re.MULTILINE)
    assert groups == sorted({code[:2] for code in CODES})


def test_every_code_is_raised_somewhere() -> None:
    files = set((ROOT / "archspec").rglob("*.py")) - {ROOT / "archspec" / "errors.py"}
    texts = [path.read_text(encoding="utf-8") for path in files]
    assert set(CODES) == {c for text in texts for c in re.findall(r'"(E\d{3})"', text)}


@pytest.mark.parametrize("code", RAISED)
def test_every_code_has_a_wrong_and_a_right_example(code: str, folder: Path) -> None:
    specs, calls = wrong_and_right(code), snippets(code, "python")
    assert len(specs) + len(calls) == 1
    for _, right in specs:
        use(right, build=code.startswith("E5"))
    for call in calls:
        number = marked_line(call, code)
        assert number
        run("\n".join(call.splitlines()[number:]))


@pytest.mark.parametrize("code", RAISED)
def test_the_wrong_example_raises_its_code_and_nothing_else(code: str, folder: Path) -> None:
    error = raised_by(code)
    kind = FreezeError if code in ("E703", "E704", "E705") else _class(code)
    assert isinstance(error, kind)
    assert {problem.code for problem in error.problems} == {code}
    for wrong, _ in wrong_and_right(code):
        problem = error.problems[0]
        places = [problem.place, *(note.place for note in problem.notes)]
        told = next(place for place in places if place)
        lines = {place.line for place in places if place and place.file == "spec.yaml"}
        assert told.file == "spec.yaml"
        assert marked_line(wrong, code) in lines


@pytest.mark.parametrize("code", RAISED)
def test_the_rendered_error(code: str, folder: Path, golden: Callable[[str, str], None]) -> None:
    golden(f"errors/{code}.txt", f"{raised_by(code)}\n")


def test_every_golden_belongs_to_a_code() -> None:
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(RAISED)


def test_other_specs_of_the_page_load(folder: Path) -> None:
    for name in named_specs(PAGE):
        archspec.load(name)


def test_the_specs_of_the_language_page_load(tmp_path: Path) -> None:
    """The page shows ResNet-18 without its middle stages: they are put in; the rest as it is."""
    whole = [body for kind, body in _FENCE.findall(LANGUAGE) if kind == "yaml" and is_spec(body)]
    assert len(whole) >= 2
    stages = "".join(
        f"      layer{i}: {{type: Sequential, items: [{{type: $block, in_planes: {width}, planes: "
        f"{2 * width}, stride: 2}}, {{type: $block, in_planes: {2 * width}, planes: {2 * width},"
        f' repeat: "$depths[{i - 1}] - 1"}}]}}\n'
        for i, width in enumerate((64, 128, 256), 2)
    )
    gap = re.compile(r"^ *# layer2, layer3, layer4 alike.*\n", re.MULTILINE)
    assert sum(len(gap.findall(text)) for text in whole) == 1
    for text in whole:
        full = gap.sub(lambda _: stages, text)
        full = full.replace("extends: bert-model.yaml", "extends: bert-model")  # text has no folder
        if "model: SentenceEncoder" in full:  # shown to its middle: the block comes after
            full = full.replace("model: SentenceEncoder", "")
        spec = archspec.loads(full)
        model = archspec.build(spec, device="meta")
        if "ResNet" in full:
            assert sum(p.numel() for p in model.parameters()) == 11_689_512
