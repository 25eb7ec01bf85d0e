"""``build`` and ``to_python``: what they take, and that the module is like any other."""

from __future__ import annotations

import copy
import inspect
import multiprocessing
import operator
import os
import pickle
import subprocess
import sys
import traceback
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import archspec
from archspec import BuildError, ShapeError, SpecError, UsageError, build, builder
from archspec.building import devices

ROOT = Path(archspec.__file__).parent.parent
SMALL: dict[str, Any] = {
    "hidden_size": 24,
    "num_attention_heads": 4,
    "num_hidden_layers": 2,
    "intermediate_size": 32,
    "vocab_size": 50,
    "max_position_embeddings": 32,
}
IDS = torch.arange(18).view(2, 9)
MASK = torch.tensor([[1] * 9, [1] * 5 + [0] * 4])
INPUTS = {"input_ids": IDS, "attention_mask": MASK}


def small_bert(**options: Any) -> nn.Module:
    return build("bert", **{"device": "cpu", "seed": 0, **SMALL, **options}).eval()


def same_state(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


# ----------------------------------------------------------------------------------- what it takes


def test_a_name_a_path_and_a_spec_give_the_same() -> None:
    sources = ["resnet18", ROOT / "specs" / "vision" / "resnet18.yaml", archspec.load("resnet18")]
    models = [build(source, device="meta", num_classes=3) for source in sources]
    assert len({str(model) for model in models}) == 1
    assert models[0].get_parameter("fc.weight").shape == (3, 512)


@pytest.mark.parametrize("source", ["archspec: 1\nmodel: A", 3, None])
def test_not_a_source(source: Any) -> None:
    with pytest.raises(UsageError) as caught:
        build(source)
    assert caught.value.code == "E801"


def test_the_module_is_as_a_constructor_gives_it() -> None:
    model = build("resnet18", device="cpu", num_classes=3)
    assert all(module.training for module in model.modules())
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())
    assert {t.device.type for t in model.state_dict().values()} == {"cpu"}


def test_freeze() -> None:
    model = build("bert", device="meta", freeze="last-2-and-head")
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == 14_177_282
    chosen = build("bert", device="meta", freeze=["**", "!classifier"])
    assert sum(p.numel() for p in chosen.parameters() if p.requires_grad) == 1_538


# -------------------------------------------------------------------------------- devices, dtypes


@pytest.mark.parametrize("name", ["gpu", "cpu:0", "cuda:x", "meta:1", "", "CPU", "cuda:99999"])
def test_no_such_device_name(name: str) -> None:
    with pytest.raises(UsageError, match="no device is called") as caught:
        build("resnet18", device=name)
    assert caught.value.code == "E801"


@pytest.mark.parametrize("name", ["cuda:77", "mps"])
def test_a_device_that_is_not_there(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(BuildError, match=f"device '{name}'") as caught:
        build("resnet18", device=name)
    assert caught.value.code == "E502"


def test_auto_takes_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert devices.pick_device("auto") == torch.device("cpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.pick_device("auto") == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert devices.pick_device("auto") == torch.device("cuda")
    assert devices.pick_device(torch.device("cuda", 0)) == torch.device("cuda:0")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", torch.bfloat16, "float32"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_dtype(dtype: Any, device: str) -> None:
    kind = dtype if isinstance(dtype, torch.dtype) else getattr(torch, dtype)
    model = build("resnet18", device=device, dtype=dtype, num_classes=2)
    kinds = {name: t.dtype for name, t in model.state_dict().items()}
    counters = {name for name in kinds if name.endswith("num_batches_tracked")}
    assert len(counters) == 20
    assert {kinds.pop(name) for name in counters} == {torch.int64}
    assert set(kinds.values()) == {kind}


@pytest.mark.parametrize("dtype", ["int64", "half", "float", torch.int32, "bool", 16])
def test_no_such_dtype(dtype: Any) -> None:
    with pytest.raises(UsageError, match="no floating-point dtype is called") as caught:
        build("resnet18", dtype=dtype)
    assert caught.value.code == "E801"


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_forward_in_other_dtypes(kind: torch.dtype) -> None:
    expected = small_bert()(**INPUTS)
    for model in (small_bert().to(kind), small_bert(dtype=kind)):
        found = model(**INPUTS)
        assert found.dtype == kind
        assert found.shape == expected.shape
    assert torch.allclose(small_bert().to(kind)(**INPUTS).float(), expected, atol=0.02)


# ------------------------------------------------------------------------------------------ memory


def test_a_model_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda device: 300 * 2**20)
    with pytest.raises(BuildError) as caught:
        build("bert", device="cpu")
    assert caught.value.code == "E503"
    assert "bert needs 417.6 MiB on cpu, 300.0 MiB is free" in str(caught.value)
    half = build("bert", device="cpu", dtype="bfloat16")
    assert half.get_parameter("classifier.weight").dtype == torch.bfloat16
    assert build("bert", device="meta").get_parameter("classifier.weight").is_meta


def test_unknown_memory_is_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "free_bytes", lambda device: None)
    assert not small_bert().get_parameter("classifier.weight").is_meta


def test_free_memory_is_known_here() -> None:
    free = devices.free_bytes(torch.device("cpu"))
    if sys.platform == "linux":
        assert free is not None
        assert 2**20 < free < 2**50


def test_shared_tensors_count_once() -> None:
    spec = archspec.load(ROOT / "tests" / "inputs" / "gpt2.yaml")
    assert devices.tensor_bytes(build(spec, device="meta"), None) == 4 * 124_439_808
    assert devices.tensor_bytes(build(spec, device="meta"), torch.float16) == 2 * 124_439_808


# ------------------------------------------------------------------------------------------ errors


LAYER = """
archspec: 1
model: Net
blocks:
  Net:
    inputs: {{x: [batch, 6]}}
    modules:
      first: {{type: Linear, in_features: 6, out_features: 6}}
      second: {layer}
"""


def test_a_layer_that_cannot_be_constructed() -> None:
    text = LAYER.format(layer="{type: GroupNorm, num_groups: 4, num_channels: 6}")
    with pytest.raises(BuildError) as caught:
        build(archspec.loads(text, name="net.yaml"))
    assert str(caught.value).splitlines()[:2] == [
        "net.yaml:9:15: error[E501]: GroupNorm cannot be constructed:"
        " num_channels (6) must be divisible by num_groups (4)",
        "    9 |       second: {type: GroupNorm, num_groups: 4, num_channels: 6}",
    ]
    assert "instance: second (GroupNorm)" in str(caught.value)


def test_shapes_that_do_not_fit() -> None:
    text = LAYER.format(layer="{type: Linear, in_features: 7, out_features: 6}")
    with pytest.raises(ShapeError) as caught:
        build(archspec.loads(text, name="net.yaml"), device="meta")
    assert caught.value.code == "E510"
    assert "net.yaml:9" in str(caught.value)
    assert "second (Linear)" in str(caught.value)


def test_a_wrong_spec() -> None:
    with pytest.raises(SpecError) as caught:
        archspec.to_python("bert", hidden_sise=3)
    assert "hidden_sise" in str(caught.value)
    assert "hidden_size" in str(caught.value)


# --------------------------------------------------------------------------- like any other module


def test_deepcopy() -> None:
    model = small_bert(freeze="head-only")
    twin = copy.deepcopy(model)
    assert type(twin) is type(model)
    assert same_state(model, twin)
    nn.init.zeros_(twin.get_parameter("classifier.weight"))
    assert model.get_parameter("classifier.weight").abs().sum() > 0
    twin.train()
    assert twin.get_submodule("classifier").training
    assert not twin.get_submodule("bert").training, "the copy is frozen by itself"
    assert not model.training


def test_pickle_in_the_same_process() -> None:
    model = small_bert(freeze="head-only")
    twin = pickle.loads(pickle.dumps(model))
    assert type(twin) is type(model)
    assert torch.equal(twin(**INPUTS), model(**INPUTS))
    assert [p.requires_grad for p in twin.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]
    assert not twin.train().get_submodule("bert").training


LOAD = """
import pickle, sys, inspect, torch
model = {load}
assert torch.equal(model(torch.load("ids")), torch.load("logits"))
assert inspect.getsource(type(model)).startswith("class BertForSequenceClassification(nn.Module):")
print(type(model).__module__)
"""


@pytest.mark.parametrize(
    "load",
    ["pickle.load(open('model', 'rb'))", "torch.load('saved', weights_only=False)"],
)
def test_pickle_in_another_process(load: str, tmp_path: Path) -> None:
    """A pickle carries the source of its classes, so that it can be read anywhere."""
    model = small_bert()
    (tmp_path / "model").write_bytes(pickle.dumps(model))
    torch.save(model, tmp_path / "saved")
    torch.save(IDS, tmp_path / "ids")
    torch.save(model(IDS), tmp_path / "logits")
    done = subprocess.run(
        [sys.executable, "-c", LOAD.format(load=load)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == type(model).__module__


IMPORTS = """
import sys, torch, archspec
spec = archspec.load("bert", num_hidden_layers=2)
archspec.build(spec, device="meta")
archspec.inspect(spec)
print("torch._dynamo" in sys.modules)
from torch import _refs
print(torch.compile(lambda x: _refs.add(x, 1) * 2, backend="eager")(torch.ones(2)).tolist())
from archspec.tracing.compiler_import import _decorated
print(len(_decorated()) > 100, any(f.__dict__.get("__dynamo_disable") is f for f in _decorated()))
"""


def test_a_run_on_meta_imports_no_compiler() -> None:
    """It takes about two seconds to import; what kept it away is gone after the run."""
    done = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert done.stdout.split("\n")[:3] == ["False", "[4.0, 4.0]", "True False"], done.stderr


def test_spawned_processes_take_modules() -> None:
    model = small_bert(freeze="all")  # what goes from one process to another has no gradient
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: Any = pool.apply(operator.call, (model, IDS))
    assert torch.equal(found, model(IDS))


def test_state_dict_survives_a_file(tmp_path: Path) -> None:
    model, other = small_bert(), small_bert(seed=1)
    torch.save(model.state_dict(), tmp_path / "state.pt")
    assert not same_state(model, other)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True), strict=True)
    assert same_state(model, other)


def test_there_and_back_over_meta() -> None:
    model = small_bert()
    empty = copy.deepcopy(model).to("meta")
    assert all(t.is_meta for t in empty.state_dict().values())
    again = empty.to_empty(device="cpu")
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(**INPUTS), model(**INPUTS))


def test_export() -> None:
    model = small_bert()
    batch, seq = torch.export.Dim("batch"), torch.export.Dim("seq", max=32)
    shapes = {"input_ids": {0: batch, 1: seq}, "attention_mask": {0: batch, 1: seq}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own tracing
        exported = torch.export.export(model, (), INPUTS, dynamic_shapes=shapes).module()
    for size in ((2, 9), (5, 13)):
        ids = torch.randint(50, size)
        mask = torch.ones_like(ids)
        mask[1, 4:] = 0
        given = {"input_ids": ids, "attention_mask": mask}
        assert torch.allclose(exported(**given), model(**given), atol=1e-6)


def test_export_of_a_convolutional_model() -> None:
    model = build("resnet18", device="cpu", num_classes=5, seed=0).eval()
    batch = torch.export.Dim("batch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exported = torch.export.export(
            model, (torch.zeros(2, 3, 64, 64),), dynamic_shapes=({0: batch},)
        ).module()
    x = torch.randn(3, 3, 64, 64)
    assert torch.allclose(exported(x), model(x), atol=1e-5)


@pytest.mark.parametrize("name", ["bert", "features"])
def test_compile_without_a_graph_break(name: str) -> None:
    inputs = INPUTS
    model = small_bert()
    if name == "features":
        model = build(ROOT / "tests" / "inputs" / "features.yaml", device="cpu", seed=0).eval()
        inputs = {"ids": IDS % 11}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch._dynamo.reset()
        compiled = torch.compile(model, backend="eager", fullgraph=True)
        found = compiled(**inputs)
    torch.testing.assert_close(found, model(**inputs))


def test_its_source_can_be_read() -> None:
    spec = archspec.load("bert", **SMALL)
    model = build(spec, device="meta")
    text = archspec.to_python(spec)
    source = inspect.getsource(type(model))
    assert source.startswith("class BertForSequenceClassification(nn.Module):\n")
    assert source in text
    assert inspect.getsource(type(model.get_submodule("bert.pooler"))) in text
    assert inspect.getsource(sys.modules[type(model).__module__]) == text


def test_tracebacks_show_the_source() -> None:
    with pytest.raises(IndexError) as caught:
        small_bert()(torch.tensor([[60]]))
    lines = [line.strip() for line in traceback.format_tb(caught.value.__traceback__)]
    ours = [line for line in lines if line.startswith('File "<bert.py ')]
    assert [line.splitlines()[1].strip() for line in ours] == [
        "_, pooled = self.bert(",
        "self.embeddings(input_ids, token_type_ids=token_type_ids), mask=mask",
        "self.word_embeddings(input_ids)",
    ]


def test_an_input_by_name_only_says_so() -> None:
    model = small_bert()
    message = "takes attention_mask, token_type_ids by name only: attention_mask=…"
    for module in (model, model.get_submodule("bert"), pickle.loads(pickle.dumps(model))):
        with pytest.raises(TypeError) as caught:
            module(IDS, MASK)
        assert str(caught.value) == f"{type(module).__name__}.forward() {message}"
    kinds = [p.kind.name for p in inspect.signature(model.forward).parameters.values()]
    assert kinds == ["POSITIONAL_OR_KEYWORD", "KEYWORD_ONLY", "KEYWORD_ONLY"]


def test_equal_sources_are_compiled_once() -> None:
    one, other = small_bert(), small_bert(seed=5)
    assert type(one) is type(other)
    assert type(one) is not type(small_bert(num_labels=3))
    assert type(one).__module__ in sys.modules


@pytest.mark.parametrize("name", ["class", "2fast", "a b.c", "torch", "", "__main__"])
def test_any_spec_name_makes_a_module(name: str) -> None:
    module = builder.compiled('"""Nothing else."""\n', name)
    assert module.__name__.isidentifier()
    assert sys.modules[module.__name__] is module
    assert module.__doc__ == "Nothing else."
