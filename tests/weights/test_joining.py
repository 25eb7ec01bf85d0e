"""Layouts whose files have tensors joined, apart, stacked or transposed: there and back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

import archspec
from archspec import SpecError, WeightsError, build, load_weights, save_weights
from archspec.cli import main

NET = """\
archspec: 1
model: Net
blocks:
  Layer:
    inputs: {x: [batch, 6]}
    parameters: {packed: {shape: [3, 6, 4]}}
    modules:
      query: {type: Linear, in_features: 6, out_features: 6}
      key: {type: Linear, in_features: 6, out_features: 2}
      value: {type: Linear, in_features: 6, out_features: 2}
      joint: {type: Linear, in_features: 6, out_features: 12}
      experts: {type: ModuleList, items: [{type: Linear, in_features: 6, out_features: 4, repeat: 3}]}
    forward: [{return: x}]
  Net:
    inputs: {x: [batch, 6]}
    modules: {layers: {type: ModuleList, items: [{type: Layer, repeat: 2}]}}
    forward: [{return: x}]
"""  # noqa: E501
State = dict[str, torch.Tensor]
QKV = ["**.query", "**.key", "**.value"]


def spec_with(**layout: Any) -> archspec.Spec:
    return archspec.loads(
        NET + yaml.safe_dump({"checkpoints": {"theirs": layout}}), name="net.yaml"
    )


def test_what_stands_in_the_file(tmp_path: Path) -> None:
    spec = spec_with(
        prefix="m.",
        rename={"layers": "h"},
        split=[
            {"ours": QKV, "theirs": "**.qkv", "dim": -1},
            {"ours": "**.joint", "theirs": ["**.gate", "**.up"]},
        ],
        stack=[
            {"ours": "**.experts.#.weight", "theirs": "**.moe.w"},
            {"ours": "**.packed", "theirs": "**.slices.#.w"},
        ],
        transpose=["**.query.weight", "**.key.weight", "**.value.weight", "**.experts.*.weight"],
    )
    model = build(spec, device="cpu", seed=0)
    ours = model.state_dict()
    (path,) = save_weights(model, tmp_path / "a.safetensors", layout="theirs")
    theirs = load_file(path)
    at = "layers.1"
    expected = {
        "qkv.weight": torch.cat([ours[f"{at}.{n[3:]}.weight"].T for n in QKV], 1),
        "qkv.bias": torch.cat([ours[f"{at}.{n[3:]}.bias"] for n in QKV]),
        "gate.weight": ours[f"{at}.joint.weight"][:6],
        "up.weight": ours[f"{at}.joint.weight"][6:],
        "gate.bias": ours[f"{at}.joint.bias"][:6],
        "up.bias": ours[f"{at}.joint.bias"][6:],
        "moe.w": torch.stack([ours[f"{at}.experts.{i}.weight"].T for i in range(3)]),
        **{f"slices.{i}.w": ours[f"{at}.packed"][i] for i in range(3)},
    }
    biases = {f"h.1.experts.{i}.bias": ours[f"{at}.experts.{i}.bias"] for i in range(3)}
    for name, tensor in {**{f"{at}.{n}": t for n, t in expected.items()}, **biases}.items():
        assert torch.equal(theirs[f"m.{name}"], tensor), name
    assert len(theirs) == 2 * (len(expected) + len(biases))
    second = build(spec, device="cpu", seed=1)
    report = load_weights(second, path)
    assert report.layout == "theirs" and report.complete
    built = build(spec, device="cpu", weights=path)
    for model in (second, built):
        assert all(torch.equal(tensor, ours[name]) for name, tensor in model.state_dict().items())
        assert all(tensor.is_contiguous() for tensor in model.state_dict().values())
    rows = {row.ours.name: row for row in report.rows if row.ours}
    key = rows["layers.0.key.weight"]
    assert key.kind == "renamed" and key.theirs
    assert key.theirs.name == "m.layers.0.qkv.weight[dim 1, 6:8]"
    assert [rule.text.partition(" ")[0] for rule in key.rules] == ["split", "transpose"]
    assert all(rule.place for rule in key.rules)
    prefixed = {f"module.{name}": tensor for name, tensor in theirs.items()}
    save_file(prefixed, tmp_path / "b.safetensors")
    assert load_weights(second, tmp_path / "b.safetensors").complete


SHAPES = st.sampled_from([None, None, [-1], [0, -1], [-1, 2], [5, -1]])
DIMS = st.sampled_from([0, -1])
RULES: list[tuple[str, dict[str, Any], str]] = [
    ("split", {"ours": QKV, "theirs": "**.qkv"}, "**.query"),
    ("split", {"ours": "**.joint", "theirs": ["**.a", "**.b", "**.c"]}, "**.joint"),
    ("split", {"ours": "**.joint", "theirs": ["**.q", "**.k"], "sizes": [2, 1]}, "**.joint"),
    (
        "split",
        {"ours": "**.joint", "theirs": ["**.q", "**.k", "**.v"], "sizes": [3, 1, 2]},
        "**.joint",
    ),
    ("split", {"ours": ["**.experts.1", "**.experts.0"], "theirs": "**.two"}, "**.experts.1"),
    ("stack", {"ours": "**.experts.#", "theirs": "**.experts"}, "**.experts"),
    ("stack", {"ours": "layers.#", "theirs": "all"}, "**.query"),
    ("stack", {"ours": "**.packed", "theirs": "**.p.#"}, "**.packed"),
]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(RULES), DIMS, st.booleans(), SHAPES), max_size=3),
    st.sampled_from(["", "net."]),
)
def test_there_and_back(rules: list[tuple[Any, int, bool, list[int] | None]], prefix: str) -> None:
    """Whatever is joined: what is saved in a layout loads from it, or is refused in saving."""
    layout: dict[str, Any] = {"split": [], "stack": [], "transpose": [], "reshape": {}}
    layout["prefix"] = prefix
    for (kind, rule, pattern), dim, swapped, shape in rules:
        layout[kind].append({**rule, "dim": dim})
        layout["transpose"] += [pattern] if swapped else []
        layout["reshape"] |= {pattern: shape} if shape else {}
    spec = spec_with(**layout)
    first, second = (build(spec, device="cpu", seed=seed) for seed in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.safetensors"
        try:
            save_weights(first, path, layout="theirs")
        except WeightsError as error:
            refused = {problem.code for problem in error.problems}
        else:
            refused = set[str]()
        if refused:
            assert refused <= {"E603", "E605"}, layout
            return
        report = load_weights(second, path, layout="theirs")
        assert report.complete
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, second.state_dict()[name]), (name, layout)
        assert sum(t.numel() for t in load_file(path).values()) == sum(
            t.numel() for t in first.state_dict().values()
        )


def test_tensors_of_another_shape(tmp_path: Path) -> None:
    """In the file as the layout says; a file that has our shape, or a third one, is told."""
    spec = spec_with(
        reshape={"**.joint.weight": [0, 3, -1], "**.query.weight": [-1]},
        transpose=["**.query.weight"],
    )
    model = build(spec, device="cpu", seed=0)
    ours = {n: t.clone() for n, t in model.state_dict().items()}
    (path,) = save_weights(model, tmp_path / "a.safetensors", layout="theirs")
    held = load_file(path)
    joint, query = "layers.0.joint.weight", "layers.1.query.weight"
    assert torch.equal(held[joint], ours[joint].reshape(12, 3, 2))
    assert torch.equal(held[query], ours[query].T.reshape(-1))
    other = build(spec, device="cpu", seed=1)
    report = load_weights(other, path, layout="theirs")
    assert report.complete
    assert all(torch.equal(other.state_dict()[n], tensor) for n, tensor in ours.items())
    save_file({**held, joint: torch.zeros(12, 2, 3)}, path)
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path, layout="theirs")
    assert caught.value.code == "E603" and joint in str(caught.value)


def test_a_shape_that_ours_cannot_have(tmp_path: Path) -> None:
    spec = spec_with(reshape={"**.joint.weight": [5, -1]})
    with pytest.raises(WeightsError, match=r"\[12, 6\] cannot have the shape \[5, -1\]") as caught:
        save_weights(build(spec, device="cpu"), tmp_path / "a", layout="theirs")
    assert caught.value.code == "E603" and caught.value.place is not None


def test_parts_that_do_not_fit(tmp_path: Path) -> None:
    """A file whose joined tensor is of another size, or lacks one, is told and not cut."""
    spec = spec_with(split=[{"ours": QKV, "theirs": "**.qkv"}])
    model = build(spec, device="cpu", seed=0)
    (path,) = save_weights(model, tmp_path / "a.safetensors", layout="theirs")
    held = load_file(path)
    for size in (8, 12):
        save_file({**held, "layers.0.qkv.bias": torch.zeros(size)}, path)
        with pytest.raises(WeightsError) as caught:
            load_weights(model, path, layout="theirs")
        assert {problem.code for problem in caught.value.problems} == {"E602"}
        assert "layers.0.qkv.bias" in str(caught.value)
    less = {n: t for n, t in held.items() if n != "layers.0.qkv.bias"}
    save_file(less, path)
    with pytest.raises(WeightsError, match=r"layers\.0\.query\.bias"):
        load_weights(model, path, layout="theirs")


def test_unequal_parts_of_ours(tmp_path: Path) -> None:
    """A file of 8 and 4 rows is ours of 12, and back; other sizes than are said are refused."""
    said = {"ours": "**.joint", "theirs": ["**.gate", "**.up"]}
    model = build(spec_with(split=[{**said, "sizes": [2, 1]}]), device="cpu", seed=0)
    (path,) = save_weights(model, tmp_path / "a.safetensors", layout="theirs")
    held = load_file(path)
    assert [held[f"layers.1.{name}.weight"].shape[0] for name in ("gate", "up")] == [8, 4]
    for layout, complete in (({}, True), ({"sizes": [8, 4]}, True), ({"sizes": [1, 1]}, False)):
        second = build(spec_with(split=[{**said, **layout}]), device="cpu", seed=1)
        if complete:
            assert load_weights(second, path, layout="theirs").complete
            state = second.state_dict()
            assert all(torch.equal(state[n], t) for n, t in model.state_dict().items()), layout
            continue
        with pytest.raises(WeightsError, match=r"layers\.0\.joint\.weight"):
            load_weights(second, path, layout="theirs")
    odd = build(spec_with(split=[{**said, "sizes": [4, 1]}]), device="cpu", seed=0)
    with pytest.raises(WeightsError, match="cannot be split into parts of 4:1"):
        save_weights(odd, path, layout="theirs")


def test_mistakes() -> None:
    rows: list[tuple[dict[str, Any], str]] = [
        ({"split": [{"ours": "a", "theirs": "b"}]}, "E207 split joins several tensors into one"),
        ({"split": [{"ours": ["a", "b"], "theirs": ["c", "d"]}]},
         "E207 split joins several tensors into one"),
        ({"split": [{"ours": "**.joint", "theirs": ["a", "b"], "sizes": [1]}]},
         "E207 sizes are one for each foreign pattern"),
        ({"split": [{"ours": QKV, "theirs": "**.qkv", "sizes": [3, 1, 1]}]},
         "E207 sizes are one for each foreign pattern"),
        ({"stack": [{"ours": "layers.0", "theirs": "b"}]},
         "E207 stack joins several tensors into one"),
        ({"stack": [{"ours": "layers.#", "theirs": "b.#"}]},
         "E207 stack joins several tensors into one"),
        ({"split": [{"ours": [*QKV, "**.bias2"], "theirs": "**.qkv"}]},
         "E701 the split of '**.bias2' selects nothing"),
        ({"stack": [{"ours": "**.heads.#", "theirs": "**.heads"}]},
         "E701 the stack of '**.heads.#' selects nothing"),
        ({"transpose": ["**.dense"]}, "E701 the pattern '**.dense' selects nothing"),
        ({"reshape": {"**.dense": [-1]}}, "E701 the pattern '**.dense' selects nothing"),
        ({"reshape": {"!layers.0": [-1]}}, "E702 a reshape cannot exclude"),
        ({"reshape": {"**.joint.weight": [-1, -1]}}, "E207 only one size can be what is left"),
        ({"reshape": {"**.joint.weight": [-2]}}, "E2"),
        ({"reshape": {"**.joint.weight": []}}, "E2"),
        ({"reshape": {"**.joint.weight": [1] * 9}}, "E2"),
        ({"split": [{"ours": ["**.a", "*.b"], "theirs": "**.c"}]}, "E7"),
    ]  # fmt: skip
    wrong: list[str] = []
    for layout, expected in rows:
        try:
            spec_with(**layout)
        except SpecError as error:
            found = [f"{problem.code} {problem.message}" for problem in error.problems]
            if not found[0].startswith(expected) or error.place is None:
                wrong.append(f"{layout}: {found}")
        else:
            wrong.append(f"{layout}: loads")
    assert not wrong, "\n".join(wrong)


def test_the_command_converts(tmp_path: Path) -> None:
    spec = tmp_path / "net.yaml"
    layout = {"split": [{"ours": QKV, "theirs": "**.qkv"}], "transpose": ["**.joint.weight"]}
    spec.write_text(NET + yaml.safe_dump({"checkpoints": {"theirs": layout}}))
    model = build(spec, device="cpu", seed=0)
    save_weights(model, tmp_path / "ours.safetensors")
    for source, to in (("ours", "theirs"), ("theirs", "archspec")):
        command = ["weights", "convert", str(spec), str(tmp_path / f"{source}.safetensors")]
        out = tmp_path / ("theirs.safetensors" if to == "theirs" else "back.safetensors")
        result = CliRunner().invoke(main, [*command, "--to", to, "-o", str(out)])
        assert result.exit_code == 0, result.output
    ours, back = (load_file(tmp_path / f"{name}.safetensors") for name in ("ours", "back"))
    assert "layers.0.qkv.weight" in load_file(tmp_path / "theirs.safetensors")
    assert ours.keys() == back.keys() and all(torch.equal(ours[n], t) for n, t in back.items())
