"""``load_weights``: into the tensors that are there, all or nothing, every tensor explained."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import archspec
from archspec import Spec, SpecError, UsageError, WeightsError, WeightsReport, build, load_weights
from archspec.weights.matching import castable

NET = """\
archspec: 1
model: Net
params: {labels: 2}
blocks:
  Net:
    inputs: {ids: {shape: [batch], dtype: int64, below: 5}}
    modules:
      embed: {type: Embedding, num_embeddings: 5, embedding_dim: 4}
      trunk: {type: Linear, in_features: 4, out_features: 4, renamed_from: body}
      norm: {type: LayerNorm, normalized_shape: 4}
      bn: {type: BatchNorm1d, num_features: 4}
      lm: {type: Linear, in_features: 4, out_features: 5, bias: false}
      head: {type: Linear, in_features: 4, out_features: $labels}
    forward:
      - x: bn(norm(trunk(embed(ids))))
      - return: lm(x), head(x)
tie: {lm.weight: embed.weight}
checkpoints:
  theirs:
    prefix: "net."
    rename: {"trunk": "stem.fc"}
    ignore: ["**.junk"]
    optional: [bn.num_batches_tracked]
"""
State = dict[str, torch.Tensor]
Saved = Callable[[State], Path]


@pytest.fixture
def spec() -> Spec:
    return archspec.loads(NET, name="net.yaml")


@pytest.fixture
def model(spec: Spec) -> nn.Module:
    return build(spec, device="cpu", seed=0)


@pytest.fixture
def state(spec: Spec) -> State:
    """Values that are nowhere the model's own; the tied tensor once."""
    torch.manual_seed(1)
    found = build(spec, device="cpu", seed=7).state_dict()
    del found["lm.weight"]
    return {
        n: torch.randn(t.shape) if t.dtype.is_floating_point else t + 9 for n, t in found.items()
    }


@pytest.fixture
def saved(tmp_path: Path) -> Saved:
    def save(state: State) -> Path:
        save_file({n: t.clone() for n, t in state.items()}, tmp_path / "a.safetensors")
        return tmp_path / "a.safetensors"

    return save


def holds(model: nn.Module, state: State) -> bool:
    expected = {**state, "lm.weight": state["embed.weight"]}
    found = model.state_dict()
    return found.keys() == expected.keys() and all(
        torch.equal(tensor, expected[name]) for name, tensor in found.items()
    )


def row(report: WeightsReport, name: str) -> tuple[Any, ...]:
    """Kind, the file's name, the rules."""
    (found,) = [r for r in report.rows if r.ours and r.ours.name == name]
    rules = [(r.text, r.place.line if r.place else None) for r in found.rules]
    return found.kind, found.theirs.name if found.theirs else None, rules


def failure(model: nn.Module, path: Path, **options: Any) -> list[str]:
    """What is wrong; the model stays as it was."""
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path, **options)
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    return [f"{p.code} {p.message}" for p in caught.value.problems]


# ------------------------------------------------------------------------------------------ values


def test_values_go_into_the_tensors_that_are_there(
    model: nn.Module, state: State, saved: Saved
) -> None:
    tensors = model.state_dict(keep_vars=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    cast("nn.Parameter", tensors["head.weight"]).requires_grad_(False)
    report = load_weights(model, saved(state))
    assert holds(model, state)
    after = model.state_dict(keep_vars=True)
    assert all(after[name] is tensor for name, tensor in tensors.items())
    assert after["lm.weight"] is after["embed.weight"]
    assert not after["head.weight"].requires_grad
    assert {id(p) for p in model.parameters()} == {
        id(p) for p in optimizer.param_groups[0]["params"]
    }
    assert report.counts == {"loaded": len(state), "tied": 1} and report.complete


def test_values_are_cast_to_the_models_dtypes(model: nn.Module, state: State, saved: Saved) -> None:
    model.double().head.half()
    state["bn.num_batches_tracked"] = state["bn.num_batches_tracked"].to(torch.int32)
    report = load_weights(model, saved(state))
    assert model.get_parameter("head.weight").dtype == torch.float16
    assert torch.equal(model.get_parameter("head.weight"), state["head.weight"].half())
    assert torch.equal(model.get_parameter("trunk.weight"), state["trunk.weight"].double())
    assert model.get_buffer("bn.num_batches_tracked").dtype == torch.int64
    assert all(found.cast for found in report.rows if found.theirs)


def test_a_module_that_archspec_did_not_build(saved: Saved) -> None:
    state = nn.Linear(3, 2).state_dict()
    model = nn.Linear(3, 2)
    report = load_weights(model, saved(state))
    assert torch.equal(model.weight, state["weight"]) and report.layout == "archspec"
    with pytest.raises(WeightsError) as caught:
        load_weights(model, saved(state), layout="theirs")
    assert caught.value.message == "a model that archspec did not build has no layout 'theirs'"


def test_a_copy_is_given_its_spec(spec: Spec, model: nn.Module, state: State, saved: Saved) -> None:
    other = copy.deepcopy(model)
    theirs = {f"net.{n.replace('trunk', 'stem.fc')}": t for n, t in state.items()}
    report = load_weights(other, saved(theirs), spec=spec)
    assert holds(other, state) and report.layout == "theirs"


def test_nan_and_infinity_are_values(saved: Saved) -> None:
    model = nn.Linear(2, 1)
    load_weights(
        model, saved({"weight": torch.tensor([[torch.nan, torch.inf]]), "bias": torch.ones(1)})
    )
    assert torch.isnan(model.weight[0, 0]) and torch.isinf(model.weight[0, 1])


# ------------------------------------------------------------------------------------------- names


def test_a_declared_layout(model: nn.Module, state: State, saved: Saved) -> None:
    theirs = {f"net.{n.replace('trunk', 'stem.fc')}": t for n, t in state.items()}
    theirs["net.x.junk"] = torch.zeros(1)
    del theirs["net.bn.num_batches_tracked"]
    before = model.get_buffer("bn.num_batches_tracked").clone()
    report = load_weights(model, saved(theirs))
    assert holds(model, {**state, "bn.num_batches_tracked": before})
    assert report.layout == "theirs" and report.place and report.place.line == 19
    prefix = ("prefix 'net.'", 20)
    assert row(report, "trunk.bias") == (
        "renamed", "net.stem.fc.bias", [("rename trunk: stem.fc", 21), prefix]
    )  # fmt: skip
    assert row(report, "head.bias") == ("renamed", "net.head.bias", [prefix])
    optional = ("optional bn.num_batches_tracked", 23)
    assert row(report, "bn.num_batches_tracked") == ("missing", None, [optional])
    (ignored,) = [r for r in report.rows if r.kind == "ignored"]
    assert ignored.theirs and ignored.theirs.name == "net.x.junk"
    (rule,) = ignored.rules
    assert rule.text == "ignore **.junk" and rule.place and rule.place.line == 22


def test_the_layout_can_be_chosen(model: nn.Module, state: State, saved: Saved) -> None:
    path = saved(state)
    assert load_weights(model, path, layout="archspec").layout == "archspec"
    found = failure(model, path, layout="theirs")
    assert found[0].startswith("E602 ") and "in the layout 'theirs'" in found[0]
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path, layout="their")
    assert (caught.value.code, caught.value.hint) == ("E604", "did you mean 'theirs'?")


def test_the_first_rename_that_applies_counts(state: State, saved: Saved) -> None:
    renames = 'rename: {"trunk.weight": "stem.w", "trunk": "stem.fc", "**.weight": "**.x"}'
    text = NET.replace('rename: {"trunk": "stem.fc"}', renames)
    model = build(archspec.loads(text, name="net.yaml"), device="cpu")
    words = {"trunk.weight": "stem.w", "trunk.bias": "stem.fc.bias"}
    theirs = {"net." + words.get(n, n.replace("weight", "x")): t for n, t in state.items()}
    report = load_weights(model, saved(theirs))
    assert holds(model, state)
    rules = [("rename trunk.weight: stem.w", 21), ("prefix 'net.'", 20)]
    assert row(report, "trunk.weight") == ("renamed", "net.stem.w", rules)


def test_the_second_renames_see_the_names_of_the_first(state: State, saved: Saved) -> None:
    renames = (
        'rename: {"trunk": "stem.fc", "norm": "stem.norm"}\n    then: {"stem.fc": "a", "stem": "b"}'
    )
    text = NET.replace('rename: {"trunk": "stem.fc"}', renames)
    model = build(archspec.loads(text, name="net.yaml"), device="cpu")
    words = {"trunk": "a", "norm": "b.norm"}
    theirs = {f"net.{words.get((m := n.split('.'))[0], m[0])}.{m[1]}": t for n, t in state.items()}
    report = load_weights(model, saved(theirs))
    assert holds(model, state)
    rules = [
        ("rename trunk: stem.fc", 21),
        ("then stem.fc: a", 22),
        ("prefix 'net.'", 20),
    ]
    assert row(report, "trunk.weight") == ("renamed", "net.a.weight", rules)


def test_second_renames_that_apply_to_no_name_of_the_first() -> None:
    both = 'rename: {"trunk": "stem.fc"}\n    then: {"trunk": "a"}'
    with pytest.raises(SpecError) as caught:
        archspec.loads(NET.replace('rename: {"trunk": "stem.fc"}', both), name="net.yaml")
    (problem,) = caught.value.problems
    assert (problem.code, problem.message) == ("E701", "the rename 'trunk' renames nothing")
    assert problem.place and (problem.place.line, problem.place.column) == (22, 12)
    hint = "it sees the names that rename gives: embed.weight, stem.fc.weight, stem.fc.bias, norm"
    assert problem.hint.startswith(hint)


def test_a_layout_may_require_values_of_parameters(
    tmp_path: Path, state: State, saved: Saved
) -> None:
    text = NET.replace("    prefix", "    require: {eps: [1e-5, 1e-6]}\n    prefix")
    text = text.replace("labels: 2}", "labels: 2, eps: 1e-3}")
    path = saved({f"net.{n.replace('trunk', 'stem.fc')}": t for n, t in state.items()})
    model = build(archspec.loads(text, name="net.yaml"), device="cpu")
    message = "E609 the layout 'theirs' is of models with eps 1e-05 or 1e-06: here it is 0.001"
    assert failure(model, path) == [message]
    with pytest.raises(WeightsError) as caught:
        archspec.save_weights(model, tmp_path / "theirs", layout="theirs")
    assert caught.value.problems[0].message == message[5:]
    assert caught.value.hint == "build it with -p eps=1e-05; in Python, eps=1e-05"
    assert caught.value.problems[0].place and caught.value.problems[0].place.line == 20
    other = build(archspec.loads(text, name="net.yaml", eps=1e-6), device="cpu")
    assert load_weights(other, path).layout == "theirs"
    assert holds(other, state)


@pytest.mark.parametrize(
    ("required", "code", "message"),
    [
        ("{label: 2}", "E208", "no parameter 'label'"),
        ("{labels: [2, many]}", "E209", "parameter 'labels': takes an integer, not 'many'"),
    ],
)
def test_what_a_layout_cannot_require(required: str, code: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        archspec.loads(NET.replace("    prefix", f"    require: {required}\n    prefix"))
    assert [(p.code, p.message) for p in caught.value.problems] == [(code, message)]


def test_tied_tensors_may_have_one_name(state: State, saved: Saved) -> None:
    text = NET.replace('rename: {"trunk": "stem.fc"}', 'rename: {"embed": "words", "lm": "words"}')
    model = build(archspec.loads(text, name="net.yaml"), device="cpu")
    theirs = {f"net.{n.replace('embed', 'words')}": t for n, t in state.items()}
    report = load_weights(model, saved(theirs))
    assert holds(model, state)
    assert row(report, "lm.weight") == ("tied", None, [])


def test_renamed_from(model: nn.Module, state: State, saved: Saved) -> None:
    older = {n.replace("trunk", "body"): t for n, t in state.items()}
    report = load_weights(model, saved(older))
    assert holds(model, state)
    assert row(report, "trunk.weight") == ("renamed", "body.weight", [("renamed_from body", 9)])


def test_tensorflows_names(model: nn.Module, state: State, saved: Saved) -> None:
    words = {"norm.weight": "norm.gamma", "norm.bias": "norm.beta"}
    words |= {"bn.weight": "bn.gamma", "bn.bias": "bn.beta"}
    report = load_weights(model, saved({words.get(n, n): t for n, t in state.items()}))
    assert holds(model, state)
    rule = [("TensorFlow's gamma and beta", None)]
    assert row(report, "norm.weight") == ("renamed", "norm.gamma", rule)
    assert row(report, "bn.bias") == ("renamed", "bn.beta", rule)
    assert report.counts["renamed"] == 4


def test_gamma_is_no_name_of_other_weights(model: nn.Module, state: State, saved: Saved) -> None:
    state["head.gamma"] = state.pop("head.weight")
    assert failure(model, saved(state)) == [
        "E602 1 tensors are missing: head.weight",
        "E602 1 tensors have no place: head.gamma",
    ]


@pytest.mark.parametrize("prefix", ["net.", "model.", "model.base."])
def test_a_prefix_of_the_whole_file(
    prefix: str, model: nn.Module, state: State, saved: Saved
) -> None:
    report = load_weights(model, saved({prefix + n: t for n, t in state.items()}))
    assert holds(model, state)
    assert report.prefix == f"the file's prefix '{prefix}'"
    assert row(report, "head.bias") == ("renamed", f"{prefix}head.bias", [(report.prefix, None)])


def test_a_prefix_before_a_layouts_names(model: nn.Module, state: State, saved: Saved) -> None:
    theirs = {f"model.net.{n.replace('trunk', 'stem.fc')}": t for n, t in state.items()}
    report = load_weights(model, saved(theirs))
    assert holds(model, state)
    assert (report.layout, report.prefix) == ("theirs", "the file's prefix 'model.'")


class Headed(nn.Module):
    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base, self.classifier = base, nn.Linear(4, 3)


def test_a_base_model_into_one_with_a_head(model: nn.Module, state: State, saved: Saved) -> None:
    headed = Headed(model)
    path = saved(state)
    assert failure(headed, path) == [
        "E602 2 tensors are missing (the file lacks the prefix 'base.'): classifier.weight, "
        "classifier.bias"
    ]
    head = copy.deepcopy(headed.classifier.state_dict())
    report = load_weights(headed, path, allow_missing="classifier")
    assert holds(model, state)
    assert all(torch.equal(t, head[n]) for n, t in headed.classifier.state_dict().items())
    assert row(report, "classifier.bias") == ("missing", None, [("optional classifier", None)])
    assert report.prefix == "the file lacks the prefix 'base.'"


def test_a_model_with_a_head_into_its_base(model: nn.Module, state: State, saved: Saved) -> None:
    whole = {f"base.{n}": t for n, t in state.items()} | {"classifier.bias": torch.zeros(3)}
    path = saved(whole)
    where = "(the file's prefix 'base.')"
    assert failure(model, path) == [f"E602 1 tensors have no place {where}: classifier.bias"]
    report = load_weights(model, path, ignore=["classifier"])
    assert holds(model, state) and report.counts["ignored"] == 1


def test_what_is_ignored_is_not_loaded(model: nn.Module, state: State, saved: Saved) -> None:
    head = model.get_parameter("head.weight").clone()
    path = saved(state)
    assert failure(model, path, ignore="head.weight") == ["E602 1 tensors are missing: head.weight"]
    report = load_weights(model, path, ignore="head.weight", allow_missing="head")
    assert holds(model, {**state, "head.weight": head})
    assert report.counts == {"loaded": len(state) - 1, "tied": 1, "missing": 1, "ignored": 1}


# ------------------------------------------------------------------------------------------ shared


@pytest.mark.parametrize("name", ["embed.weight", "lm.weight"])
def test_one_name_of_a_shared_tensor_is_enough(
    name: str, model: nn.Module, state: State, saved: Saved
) -> None:
    other = {"embed.weight": "lm.weight", "lm.weight": "embed.weight"}[name]
    report = load_weights(
        model, saved({name if n == "embed.weight" else n: t for n, t in state.items()})
    )
    assert holds(model, state)
    (tied,) = [r for r in report.rows if r.kind == "tied"]
    assert tied.ours and (tied.ours.name, tied.theirs, tied.shares) == (other, None, name)


def test_both_names_with_equal_values(model: nn.Module, state: State, saved: Saved) -> None:
    state["embed.weight"][0, 0] = torch.nan
    report = load_weights(model, saved({**state, "lm.weight": state["embed.weight"]}))
    assert row(report, "lm.weight") == ("tied", "lm.weight", [])
    assert row(report, "embed.weight") == ("loaded", "embed.weight", [])
    assert torch.isnan(model.get_parameter("lm.weight")[0, 0])


def test_both_names_with_other_values(model: nn.Module, state: State, saved: Saved) -> None:
    path = saved({**state, "lm.weight": state["embed.weight"] + 1})
    message = "E607 'lm.weight' and 'embed.weight' are one tensor, the file has two"
    assert failure(model, path) == [message]
    load_weights(model, path, ignore="lm.weight")
    assert holds(model, state)
    load_weights(model, path, ignore="embed.weight")
    assert holds(model, {**state, "embed.weight": state["embed.weight"] + 1})


def test_both_names_of_other_kinds(model: nn.Module, state: State, saved: Saved) -> None:
    words = state["embed.weight"]
    message = "E607 'lm.weight' and 'embed.weight' are one tensor, the file has two"
    path = saved({**state, "lm.weight": words.half()})
    assert failure(model, path) == [f"{message}, of float16 and float32"]
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    assert caught.value.hint == "leave one unread: ignore=['lm.weight'], or --ignore"
    path = saved({**state, "lm.weight": words[:4]})
    assert failure(model, path) == [f"{message}, of the shapes [4, 4] and [5, 4]"]


def test_both_names_of_another_size(model: nn.Module, state: State, saved: Saved) -> None:
    """Their values are not even looked at."""
    path = saved({**state, "lm.weight": torch.zeros(7, 4), "embed.weight": torch.ones(7, 4)})
    assert failure(model, path) == [
        f"E603 '{name}' has the shape [5, 4], in the file [7, 4]"
        for name in ("embed.weight", "lm.weight")
    ]


# ------------------------------------------------------------------------------------------ shapes


@pytest.fixture
def other(spec: Spec) -> nn.Module:
    """The model with three labels."""
    return build(spec.with_params(labels=3), device="cpu", seed=0)


def test_resizing_has_to_be_asked_for(other: nn.Module, state: State, saved: Saved) -> None:
    path = saved(state)
    problems = [
        "E603 'head.weight' has the shape [3, 4], in the file [2, 4]",
        "E603 'head.bias' has the shape [3], in the file [2]",
    ]
    assert failure(other, path) == problems
    assert failure(other, path, resize={"head.bias": "rows"}) == problems[:1]


def test_fresh(other: nn.Module, state: State, saved: Saved) -> None:
    head = {n: t.clone() for n, t in other.state_dict().items() if n.startswith("head")}
    report = load_weights(other, saved(state), resize={"head": "fresh"})
    assert holds(other, {**state, **head})
    assert row(report, "head.bias") == ("resized", "head.bias", [("resize head: fresh", None)])
    (found,) = [r for r in report.rows if r.ours and r.ours.name == "head.weight"]
    assert (
        found.ours and found.theirs and (found.theirs.shape, found.ours.shape) == ((2, 4), (3, 4))
    )


def test_rows(other: nn.Module, state: State, saved: Saved) -> None:
    head = {n: t.clone() for n, t in other.state_dict().items() if n.startswith("head")}
    head["head.weight"][:2] = state["head.weight"]
    head["head.bias"][:2] = state["head.bias"]
    load_weights(other, saved(state), resize={"head": "rows"})
    assert holds(other, {**state, **head})


def test_rows_of_a_larger_tensor(saved: Saved) -> None:
    model = nn.Linear(2, 3, bias=False)
    before = model.weight.detach().clone()
    wide = torch.arange(8.0).reshape(2, 4)
    load_weights(model, saved({"weight": wide}), resize={"**": "rows"})
    assert torch.equal(model.weight[:2], wide[:, :2]) and torch.equal(model.weight[2], before[2])
    found = failure(model, saved({"weight": torch.zeros(6)}), resize={"**": "rows"})
    assert found == ["E603 'weight' has the shape [3, 2], in the file [6]"]
    load_weights(
        model, saved({"weight": torch.zeros(6)}), resize={"**": "fresh"}, allow_partial=True
    )


def test_what_fits_is_loaded_whatever_may_be_resized(
    model: nn.Module, state: State, saved: Saved
) -> None:
    report = load_weights(model, saved(state), resize={"head": "fresh"})
    assert holds(model, state) and not report.counts["resized"]


def test_a_larger_vocabulary(spec: Spec, state: State, saved: Saved) -> None:
    """Shared by two modules, and in the file under both names."""
    text = NET.replace("num_embeddings: 5", "num_embeddings: 6").replace(
        "features: 5", "features: 6"
    )
    model = build(archspec.loads(text, name="net.yaml"), device="cpu", seed=0)
    words = model.get_parameter("embed.weight").detach().clone()
    words[:5] = state["embed.weight"]
    path = saved({**state, "lm.weight": state["embed.weight"]})
    report = load_weights(model, path, resize={"embed": "rows"})
    assert holds(model, {**state, "embed.weight": words})
    assert row(report, "lm.weight") == ("tied", "lm.weight", [])
    built = build(
        archspec.loads(text, name="net.yaml"), device="cpu", seed=0, weights=path,
        resize={"embed": "rows"},
    )  # fmt: skip
    assert holds(built, model.state_dict()) and built.get_parameter(
        "lm.weight"
    ) is built.get_parameter("embed.weight")
    path = saved({**state, "lm.weight": torch.zeros(5, 4)})
    message = "E607 'lm.weight' and 'embed.weight' are one tensor, the file has two"
    assert failure(model, path, resize={"**": "rows"}) == [message]


# ---------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        ("bn.num_batches_tracked", torch.float32),
        ("bn.num_batches_tracked", torch.bool),
        ("bn.num_batches_tracked", torch.uint64),
        ("head.bias", torch.int64),
        ("head.bias", torch.complex64),
        ("head.bias", torch.bool),
    ],
)
def test_dtypes_that_cannot_be_cast(
    name: str, dtype: torch.dtype, model: nn.Module, state: State, saved: Saved
) -> None:
    state[name] = state[name].to(dtype)
    ours = str(model.state_dict()[name].dtype).removeprefix("torch.")
    theirs = str(dtype).removeprefix("torch.")
    message = f"E606 '{name}' has the dtype {ours}, in the file {theirs}"
    assert failure(model, saved(state)) == [message]


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("float16", "float64", True),
        ("float64", "bfloat16", True),
        ("float8_e4m3fn", "float32", True),
        ("complex64", "complex128", True),
        ("uint8", "int16", True),
        ("int8", "int64", True),
        ("uint8", "int8", False),
        ("int8", "uint16", False),
        ("int64", "int32", False),
        ("bool", "uint8", False),
        ("uint8", "bool", False),
        ("float32", "complex64", False),
    ],
)
def test_castable(source: str, target: str, expected: bool) -> None:
    assert castable(source, target) is expected


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_values_that_would_become_infinite(
    dtype: torch.dtype, spec: Spec, model: nn.Module, state: State, saved: Saved
) -> None:
    most = torch.finfo(dtype).max
    state = {n: t.double() if t.is_floating_point() else t for n, t in state.items()}
    state["head.bias"][0], state["trunk.bias"][1] = 2 * most, -2 * most
    state["head.weight"][0, 0], state["head.weight"][0, 1] = torch.inf, most
    names = ("trunk.bias", "head.bias")
    kind = str(dtype).removeprefix("torch.")
    found = failure(model.to(dtype), saved(state))
    assert found == [f"E606 '{n}' has values beyond {kind}, which ends at {most:g}" for n in names]
    with pytest.raises(WeightsError) as caught:
        build(spec, weights=saved(state), dtype=dtype, device="cpu")
    told = [f"{p.code} {p.message}" for p in caught.value.problems]
    assert told == found
    fitting = {torch.float16: "bfloat16 or float32 or float64", torch.float32: "float64"}
    assert {p.hint for p in caught.value.problems} == {f"build the model as {fitting[dtype]}"}
    build(spec, weights=saved(state), dtype=torch.float64, device="cpu")
    state["head.bias"][0], state["trunk.bias"][1] = most, torch.nan
    load_weights(model.to(dtype), saved(state))


def test_every_problem_at_once(model: nn.Module, state: State, saved: Saved) -> None:
    state["fc.weight"] = state.pop("trunk.weight")
    state["head.bias"] = torch.zeros(7)
    state["head.weight"] = state["head.weight"].to(torch.int8)
    path = saved({**state, "lm.weight": torch.zeros(5, 4)})
    assert failure(model, path) == [
        "E602 1 tensors are missing: trunk.weight",
        "E602 1 tensors have no place: fc.weight",
        "E607 'lm.weight' and 'embed.weight' are one tensor, the file has two",
        "E606 'head.weight' has the dtype float32, in the file int8",
        "E603 'head.bias' has the shape [2], in the file [7]",
    ]
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path)
    (note,) = caught.value.problems[0].notes
    assert note.message == "'trunk.weight' may be 'fc.weight' in the file"


def test_a_layout_in_which_names_meet(state: State, saved: Saved) -> None:
    text = NET.replace('rename: {"trunk": "stem.fc"}', 'rename: {"trunk": "head"}')
    model = build(archspec.loads(text, name="net.yaml"), device="cpu")
    theirs = {f"net.{n}": t for n, t in state.items()}
    found = failure(model, saved(theirs), layout="theirs")
    assert found[:2] == [
        "E605 'trunk.weight' and 'head.weight' are both 'net.head.weight' in the layout 'theirs'",
        "E605 'trunk.bias' and 'head.bias' are both 'net.head.bias' in the layout 'theirs'",
    ]


def test_patterns_of_the_call(model: nn.Module, state: State, saved: Saved) -> None:
    path = saved(state)
    assert failure(model, path, allow_missing="haed") == ["E701 the pattern 'haed' selects nothing"]
    assert failure(model, path, resize={"haed": "rows"}) == [
        "E701 the pattern 'haed' selects nothing"
    ]
    assert failure(model, path, ignore=["a..b"]) == ["E702 'a..b': a name is missing"]
    with pytest.raises(WeightsError) as caught:
        load_weights(model, path, allow_missing=["haed"])
    assert caught.value.hint == "did you mean 'head'?"
    load_weights(model, path, allow_missing="@LayerNorm", ignore=["**.position_ids"])


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"resize": {"x": "frsh"}}, "no way to resize is called 'frsh'", "did you mean 'fresh'?"),
        ({"resize": {"head": 3}}, "no way to resize is called '3'", "ways: fresh, rows"),
        (
            {"resize": ["head"]},
            "resize takes patterns and what is done",
            "resize={'classifier': 'fresh'}",
        ),
        ({"ignore": 3}, "ignore takes patterns", ""),
        ({"allow_missing": [3]}, "allow_missing takes patterns", ""),
        ({"allow_missing": b"a"}, "allow_missing takes patterns", ""),
    ],
)  # fmt: skip
def test_arguments_that_make_no_sense(
    options: dict[str, Any], message: str, hint: str, model: nn.Module, state: State, saved: Saved
) -> None:
    with pytest.raises(UsageError) as caught:
        load_weights(model, saved(state), **options)
    problem = caught.value.problems[0]
    assert (problem.code, problem.message, problem.hint) == ("E801", message, hint)


def test_things_that_are_no_models_and_no_paths(model: nn.Module, tmp_path: Path) -> None:
    for call in (
        lambda: load_weights(cast("Any", {}), tmp_path),
        lambda: load_weights(model, cast("Any", 3)),
        lambda: load_weights(model, cast("Any", None)),
    ):
        with pytest.raises(UsageError) as caught:
            call()
        assert caught.value.code == "E801"


def test_a_model_without_memory(spec: Spec, state: State, saved: Saved) -> None:
    with pytest.raises(UsageError) as caught:
        load_weights(build(spec, device="meta"), saved(state))
    assert caught.value.message == "'embed.weight' has no memory that values could be copied into"


def test_tensors_that_cannot_be_written(saved: Saved) -> None:
    """Found before the first tensor changes."""
    model = nn.Linear(2, 2)
    before = model.weight.detach().clone()
    path = saved({"weight": torch.ones(2, 2), "bias": torch.ones(2), "odd": torch.ones(3)})
    for odd in (torch.zeros(1).expand(3), torch.zeros(3).to_sparse()):
        model.register_buffer("odd", odd)
        with pytest.raises(UsageError) as caught:
            load_weights(model, path)
        assert "'odd' has no memory" in caught.value.message
    assert torch.equal(model.weight, before)


def test_the_name_of_our_own_layout_is_taken() -> None:
    with pytest.raises(archspec.SpecError) as caught:
        archspec.loads(NET.replace("  theirs:", "  archspec:"), name="net.yaml")
    assert caught.value.code == "E207" and caught.value.place and caught.value.place.line == 19


ATTENTION = """\
archspec: 1
model: Net
blocks:
  Net:
    inputs: {x: [batch, seq, 4]}
    modules: {NAME: {type: MultiheadAttention, embed_dim: 4, num_heads: 2}}
    forward: [{"y, _": "NAME(x, x, x)"}, {return: y}]
"""


def test_renamed_from_reaches_parts_that_the_spec_does_not_name(tmp_path: Path) -> None:
    old = archspec.build(archspec.loads(ATTENTION.replace("NAME", "old")), device="cpu")
    archspec.save_weights(old, tmp_path / "old.safetensors")
    renamed = ATTENTION.replace("NAME:", "new:").replace("NAME", "new")
    renamed = renamed.replace("num_heads: 2", "num_heads: 2, renamed_from: old")
    new = archspec.build(archspec.loads(renamed), device="cpu")
    report = archspec.load_weights(new, tmp_path / "old.safetensors")
    assert row(report, "new.out_proj.weight") == (
        "renamed", "old.out_proj.weight", [("renamed_from old", 6)],
    )  # fmt: skip
    assert torch.equal(new.new.out_proj.weight, old.old.out_proj.weight)  # pyright: ignore
