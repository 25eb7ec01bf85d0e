"""What holds of any names: renames come back, nothing is lost and nothing is told twice."""

from __future__ import annotations

import string
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

import archspec
from archspec import WeightsError, build, load_weights, save_weights
from archspec.weights.folding import fold_rows
from archspec.weights.layouts import Naming, naming_of
from archspec.weights.matching import best_fit
from archspec.weights.rows import TensorInfo
from archspec.weights.tensor_names import Choices, ModelAndFile, Target

SIDES = [("a", "b"), ("a.b", "c"), ("**.a", "**.c"), ("*.b", "*.x"), ("a.**", "z.**"), ("b", "a")]
SIDES += [
    ("**.b.**", "**.y.**"),
    ("**", "model.**"),
    ("a*", "c*"),
    ("*.*.a", "*_*.a"),
    ("c", "a.d"),
]
NAME = st.sampled_from(["a", "b", "c", "ab"])
TREE: st.SearchStrategy[Any] = st.recursive(
    st.none(), lambda inner: st.dictionaries(NAME, inner, min_size=1, max_size=3), max_leaves=8
)


def spec_text(tree: dict[str, Any], rename: dict[str, str], prefix: str) -> str:
    """A spec whose modules are that tree of containers, with a Linear in the place of a leaf."""

    def module(below: Any) -> dict[str, Any]:
        if below is None:
            return {"type": "Linear", "in_features": 1, "out_features": 1}
        return {"type": "Sequential", "items": {n: module(b) for n, b in below.items()}}

    root: dict[str, Any] = {"modules": {name: module(below) for name, below in tree.items()}}
    root["inputs"] = {"inp": ["batch", 1]}
    layout = {"rename": rename, "prefix": prefix}
    return yaml.safe_dump(
        {"archspec": 1, "model": "Net", "blocks": {"Net": root}, "checkpoints": {"theirs": layout}},
        sort_keys=False,
    )


def spec_of(tree: dict[str, Any], rename: dict[str, str], prefix: str) -> archspec.Spec:
    """The spec, without the renames that it says rename nothing."""
    try:
        return archspec.loads(spec_text(tree, rename, prefix))
    except archspec.SpecError as error:
        problems = error.problems
    idle = [one.message.split("'")[1] for one in problems if one.code == "E701"]
    rest = {ours: foreign for ours, foreign in rename.items() if ours not in idle}
    return archspec.loads(spec_text(tree, rest, prefix))


@settings(max_examples=60)
@given(
    st.dictionaries(NAME, TREE, min_size=1, max_size=3),
    st.lists(st.sampled_from(SIDES), max_size=3, unique_by=lambda pair: pair[0]).map(dict),
    st.sampled_from(["", "net.", "p_"]),
)
def test_load_save_load(tree: dict[str, Any], rename: dict[str, str], prefix: str) -> None:
    """Weights come back under the same keys, unless a layout gives two of them one name."""
    spec = spec_of(tree, rename, prefix)
    first, second = (build(spec, device="cpu", seed=seed) for seed in (0, 1))
    with tempfile.TemporaryDirectory() as folder:
        naming = naming_of("theirs", spec)
        names = naming.foreign_all(first.state_dict())
        if len(set(names.values())) < len(names):
            with pytest.raises(WeightsError) as caught:
                save_weights(first, folder, layout="theirs")
            assert {problem.code for problem in caught.value.problems} == {"E605"}
            return
        (path,) = save_weights(first, Path(folder) / "a.safetensors", layout="theirs")
        report = load_weights(second, path, layout="theirs")
        assert report.complete and len(report.rows) == len(first.state_dict())
        for name, tensor in first.state_dict().items():
            assert torch.equal(tensor, second.state_dict()[name])
        (again,) = save_weights(second, Path(folder) / "b.safetensors", layout="theirs")
        assert load_file(path).keys() == load_file(again).keys()
        assert len(load_file(path)) == len(first.state_dict())


TENSOR = st.sampled_from(
    ["a.weight", "a.bias", "b.weight", "norm.weight", "norm.bias", "b.0.weight"]
)
TENSOR |= st.sampled_from(
    ["b.1.weight", "norm.gamma", "norm.beta", "p.a.weight", "p.b.weight", "x"]
)
SHAPE = st.sampled_from([(2,), (3,), (2, 2)])
DTYPE = st.sampled_from(["float32", "float16", "int64"])
SIDE = st.dictionaries(TENSOR, st.tuples(SHAPE, DTYPE), max_size=8)


def infos(side: dict[str, Any]) -> dict[str, TensorInfo]:
    return {name: TensorInfo(name, shape, dtype) for name, (shape, dtype) in side.items()}


@given(
    SIDE, SIDE, st.lists(TENSOR, max_size=2), st.lists(TENSOR, max_size=2), st.booleans(), st.data()
)
def test_every_name_occurs_once(
    ours: dict[str, Any],
    theirs: dict[str, Any],
    ignore: list[str],
    optional: list[str],
    equal: bool,
    data: st.DataObject,
) -> None:
    names = list(ours)
    tied = tuple(
        data.draw(st.lists(st.sampled_from(names), max_size=3, unique=True)) if names else []
    )
    shared = dict.fromkeys(tied, tied) if len(tied) > 1 else {}
    types = {"norm": "LayerNorm", "a": "Linear"}
    target = Target("Net", infos(ours), shared, types, {})
    choices = Choices(ignore, [name for name in optional if name in ours])
    fit = best_fit(ModelAndFile.make(target, infos(theirs), choices, lambda *_: equal), [Naming()])
    mine = Counter(row.ours.name for row in fit.rows if row.ours)
    others = Counter(row.theirs.name for row in fit.rows if row.theirs)
    assert mine == Counter(list(ours)) and others == Counter(list(theirs))
    assert all(row.explained for row in fit.rows) == (not fit.problems())
    lines = fold_rows(fit.rows)
    assert sum(line.tensors * line.times for line in lines) == len(fit.rows)
    for row in fit.rows:
        if row.kind in ("loaded", "renamed"):
            assert row.ours and row.theirs and row.ours.shape == row.theirs.shape
            assert (row.kind == "renamed") == bool(row.rules) == (row.ours.name != row.theirs.name)


WORD = st.text(string.ascii_lowercase, min_size=1, max_size=3)


@given(
    st.lists(st.lists(WORD, min_size=1, max_size=4).map(".".join), min_size=1, unique=True),
    st.lists(WORD, max_size=2).map(lambda words: "".join(f"{word}." for word in words)),
)
def test_any_prefix_is_found(names: list[str], prefix: str) -> None:
    target = Target("Net", {n: TensorInfo(n, (1,), "float32") for n in names}, {}, {}, {})
    held = {prefix + n: TensorInfo(prefix + n, (1,), "float32") for n in names}
    fit = best_fit(ModelAndFile.make(target, held, Choices(), lambda *_: True), [Naming()])
    assert fit.problems() == []
    back = {n: TensorInfo(n, (1,), "float32") for n in held}
    other = Target("Net", back, {}, {}, {})
    lacking = best_fit(
        ModelAndFile.make(other, target.tensors, Choices(), lambda *_: True), [Naming()]
    )
    assert lacking.problems() == []
