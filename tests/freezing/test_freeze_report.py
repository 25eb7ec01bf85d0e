"""What a freeze report says: patterns, totals, modes, ties; as data, in a terminal, as HTML."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from archspec import build, freeze, load, loads
from archspec.freezing import FreezeReport

GPT2 = Path(__file__).parents[1] / "inputs" / "gpt2.yaml"
SMALL_GPT2: dict[str, Any] = {"n_embd": 8, "n_head": 2, "n_layer": 3, "vocab_size": 11}
Golden = Callable[[str, str], None]


def gpt2() -> nn.Module:
    return build(GPT2, device="meta", **SMALL_GPT2)


@pytest.fixture(scope="module")
def bert() -> nn.Module:
    return build("bert", device="meta")


# --------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize(
    ("plan", "trainable", "inference", "training"),
    [
        ("none", 109_483_778, {}, {"Dropout": 38, "BertSelfAttention": 12}),
        ("all", 0, {"Dropout": 38, "BertSelfAttention": 12}, {}),
        (
            "embeddings",
            85_646_594,
            {"Dropout": 1},
            {"Dropout": 37, "BertSelfAttention": 12},
        ),
        ("head-only", 1_538, {"Dropout": 37, "BertSelfAttention": 12}, {"Dropout": 1}),
        (
            "last-2-and-head",
            14_177_282,
            {"Dropout": 31, "BertSelfAttention": 10},
            {"Dropout": 7, "BertSelfAttention": 2},
        ),
    ],
)
def test_the_plans_of_bert(
    bert: nn.Module, plan: str, trainable: int, inference: dict[str, int], training: dict[str, int]
) -> None:
    report = freeze(bert, plan)
    assert (report.plan, report.trainable, report.frozen) == (
        plan,
        trainable,
        109_483_778 - trainable,
    )
    assert (report.inference, report.training) == (inference, training)
    assert report.ties == ()


def test_patterns_say_what_they_select_and_decide(bert: nn.Module) -> None:
    found = freeze(bert, "last-2-and-head").patterns
    assert [(p.text, p.freezes, p.modules, p.tensors, p.parameters) for p in found] == [
        ("**", True, 231, 201, 95_306_496),
        ("!bert.encoder.layer[-2:]", False, 36, 32, 2 * 7_087_872),
        ("!dropout", False, 1, 0, 0),
        ("!classifier", False, 1, 2, 1_538),
    ]
    lines = Path("specs/text/bert.yaml").read_text().splitlines()
    for pattern in found:
        place = pattern.place
        assert place and place.source == lines[place.line - 1]
        assert place.source[place.column :].startswith(pattern.text)
        assert not pattern.overruled


def test_the_statistics_of_resnet() -> None:
    model = build("resnet18", device="meta")
    report = freeze(model, "last-stage-and-head")
    assert (report.trainable, report.inference, report.training) == (
        8_906_728, {"BatchNorm2d": 15}, {"BatchNorm2d": 5},
    )  # fmt: skip
    report = freeze(model, "last-stage-and-head", statistics=False)
    assert (report.inference, report.training) == ({}, {"BatchNorm2d": 20})


def test_overruled_patterns() -> None:
    model = build("resnet18", device="meta")
    report = freeze(model, ["!fc", "layer1", "layer2", "**", "!fc"])
    assert [p.overruled for p in report.patterns] == [True, True, True, False, False]
    assert [p.parameters for p in report.patterns] == [0, 0, 0, 11_176_512, 513_000]
    assert "Decided by later patterns alone: !fc, layer1, layer2." in report.text()
    only_modules = freeze(
        model, ["**", "!@BatchNorm2d", "**.weight", "**.bias", "**.bn1.running_*"]
    )
    assert [p.overruled for p in only_modules.patterns] == [False] * 5


PATTERNS = ["**", "!**", "lm_head", "!lm_head", "transformer.wte", "!transformer", "**.h[:2]"]


@settings(max_examples=60)
@given(st.lists(st.sampled_from(PATTERNS), max_size=5), st.booleans())
def test_each_parameter_is_decided_once(patterns: list[str], gradients: bool) -> None:
    model = gpt2()
    report = freeze(model, patterns, gradients=gradients)
    freezing = sum(p.parameters for p in report.patterns if p.freezes)
    assert sum(p.parameters for p in report.patterns) <= report.parameters
    assert report.frozen == (freezing if gradients else 0)
    assert report.parameters == sum(p.numel() for p in model.parameters())
    assert report.trainable == sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert all(not p.parameters for p in report.patterns if p.overruled)


# ------------------------------------------------------------------------------------------- ties


@pytest.mark.parametrize(
    ("patterns", "frozen_by"),
    [
        (["lm_head"], "lm_head.weight"),
        (["transformer.wte"], "transformer.wte.weight"),
        (["**", "!lm_head"], "transformer.wte.weight"),
        (["**", "!transformer"], "lm_head.weight"),
        (["**"], ""),
        (["!lm_head"], ""),
        (["transformer.h"], ""),
    ],
)
def test_freezing_one_of_two_names_is_reported_as_freezing_both(
    patterns: list[str], frozen_by: str
) -> None:
    model = gpt2()
    report = freeze(model, patterns)
    assert [tie.frozen_by for tie in report.ties] == ([(frozen_by,)] if frozen_by else [])
    if frozen_by:
        assert report.ties[0].names == ("transformer.wte.weight", "lm_head.weight")
        said = "lm_head.weight is transformer.wte.weight: frozen as both"
        assert str(report.ties[0]) == said
        assert f"Shared: {said}." in report.text()
    weight = model.get_parameter("lm_head.weight")
    assert weight.requires_grad is (not frozen_by and patterns != ["**"])
    assert freeze(model, patterns, gradients=False).ties == ()


def test_three_names_of_one_tensor() -> None:
    model = nn.ModuleList([nn.Linear(2, 2, bias=False) for _ in range(3)])
    model[1].weight = model[2].weight = model[0].weight  # pyright: ignore
    report = freeze(model, ["1"])
    assert str(report.ties[0]) == "2.weight is 1.weight is 0.weight: frozen as all"
    assert (report.parameters, report.frozen, report.patterns[0].parameters) == (4, 4, 4)


# ------------------------------------------------------------------------------------ what is shown


def test_it_is_plain_data() -> None:
    report = freeze(gpt2(), ["**", "!lm_head"], dropout=False)
    data = json.loads(json.dumps(report.to_dict()))
    assert data == report.to_dict()
    assert data["model"] == "GPT" and data["plan"] is None and data["dropout"] is False
    assert data["patterns"][1] == {
        "text": "!lm_head", "freezes": False, "modules": 1, "tensors": 1, "parameters": 0,
        "overruled": False, "file": None, "line": None, "column": None,
    }  # fmt: skip
    assert data["ties"] == [
        {
            "names": ["transformer.wte.weight", "lm_head.weight"],
            "frozen_by": ["transformer.wte.weight"],
        }
    ]
    assert data["frozen"] + data["trainable"] == data["parameters"]


REPORTS: dict[str, Callable[[], FreezeReport]] = {
    **{
        f"{name}-{plan}": lambda name=name, plan=plan: freeze(build(name, device="meta"), plan)
        for name, plan in (("bert", "none"), ("bert", "last-2-and-head"), ("resnet18", "head-only"))
    },
    "gpt2-ties": lambda: freeze(
        build(GPT2, device="meta"),
        ["lm_head", "**.h[:2]", "!**.h[0]", "**.h[0]"],
        statistics=False,
        dropout=False,
    ),
}


@pytest.mark.parametrize("name", REPORTS)
def test_rendering(name: str, golden: Golden) -> None:
    text = REPORTS[name]().text(100)
    golden(f"freezing/{name}.txt", text + "\n")


@pytest.mark.parametrize(
    ("frozen", "shares"),
    [
        ("a", ["< 0.01 %", "> 99.99 %"]),
        ("b", ["> 99.99 %", "< 0.01 %"]),
        ("**", ["100.00 %", "0.00 %"]),
    ],
)
def test_a_share_is_never_rounded_to_all_or_nothing(frozen: str, shares: list[str]) -> None:
    model = nn.ModuleDict({"a": nn.Linear(1, 1), "b": nn.Linear(300, 300)})
    lines = freeze(model, [frozen]).text().splitlines()
    found = [line.partition("parameters")[2].strip() for line in lines if "rs  " in line]
    assert [share for share in found if share.endswith("%")] == shares


def test_a_module_without_parameters() -> None:
    report = freeze(nn.Dropout(), ["**"])
    assert (report.parameters, report.frozen, report.inference) == (0, 0, {"Dropout": 1})
    assert "frozen     0  parameters" in report.text()


def test_names_of_strangers_are_escaped() -> None:
    model = nn.Sequential()
    model.add_module("<b>\x1b[31m", nn.Linear(1, 1))
    model.add_module("<i>", model[0])
    report = freeze(model, ["<i>"])
    html = report._repr_html_()
    assert "&lt;i&gt;" in html and "<i>" not in html and "<b>" not in html
    assert "\x1b[31m" not in report.text() and "\x1b" not in html


def test_a_hostile_plan_name() -> None:
    text = GPT2.read_text() + '\nfreeze: {"\\x1b[31m<script>": ["**"]}\n'
    spec = loads(text)
    report = freeze(build(spec, device="meta", **SMALL_GPT2), "\x1b[31m<script>")
    assert "\x1b[31m" not in report.text() and "<script>" not in report._repr_html_()


def test_the_spec_gives_the_place_of_a_plan_in_its_long_form() -> None:
    text = (
        GPT2.read_text() + "\nfreeze:\n  heads:\n    patterns:\n      - lm_head\n      - '**.wpe'\n"
    )
    spec = loads(text, **SMALL_GPT2)
    report = freeze(build(spec, device="meta"), "heads")
    line = len(text.splitlines())
    assert [p.place and (p.place.line, p.place.column) for p in report.patterns] == [
        (line - 1, 9), (line, 9),
    ]  # fmt: skip


def test_a_plan_from_a_parent_has_its_place_there() -> None:
    report = freeze(build(load("resnet50"), device="meta"), "head-only")
    place = report.patterns[0].place
    assert place and Path(place.file).name == "resnet18.yaml"
