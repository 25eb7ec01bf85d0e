"""Every packaged spec against its original: sizes, names, outputs, gradients, and all that is done
with a model. A spec without an entry in ``references/`` fails.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from random import Random
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # pyright: ignore[reportPrivateUsage]
from torch.utils._pytree import tree_map

import archspec
from archspec.lang import packaged, yaml
from archspec.lang.packaged import (
    FIGURES,
    TREES,
    packaged_folder,
    packaged_specs,
    parameter_counts,
)
from archspec.weights import to_foreign
from tests.loaded import packaged as packaged_spec
from tests.zoo.reference import Small, fill
from tests.zoo.references import REFERENCES
from tests.zoo.tree_levels import tree_levels

SPECS = packaged_specs()
# What a spec says that only gives other sizes to its parent, whose small models cover it.
SIZES_ONLY = {"archspec", "extends", "description", "paper", "params", "dims", "task"}
State = dict[str, torch.Tensor]


def only_sizes(name: str) -> bool:
    root, _ = yaml.read(SPECS[name])
    return "extends" in root.entries and root.entries.keys() <= SIZES_ONLY


SMALL = [name for name in SPECS if not only_sizes(name)]


def test_names() -> None:
    paths = sorted(packaged_folder().rglob("*.y*ml"))
    assert [path for path in paths if path not in SPECS.values()] == [], (
        "two of one name, or astray"
    )
    assert SPECS.keys() == REFERENCES.keys()
    assert {path.parent.name for path in SPECS.values()} <= {
        "audio",
        "multimodal",
        "text",
        "vision",
    }
    without = [name for name in SMALL if name in REFERENCES and REFERENCES[name].small is None]
    assert without == [], "these need small models"


@pytest.mark.parametrize("name", SPECS)
def test_default_size(name: str, request: pytest.FixtureRequest) -> None:
    reference, spec = REFERENCES[name], packaged_spec(name)
    assert spec.architecture.description and spec.architecture.paper
    with torch.device("meta"):
        theirs = reference.default()
    ours = archspec.build(spec, device="meta")
    count = sum(p.numel() for p in ours.parameters())
    assert count == sum(p.numel() for p in theirs.parameters())
    if request.config.getoption("update_golden"):
        write_known(SPECS[name], FIGURES, count)
        write_known(SPECS[name], TREES, tree_levels(ours))
    assert parameter_counts()[name] == count
    assert packaged.tree_levels()[name] == tree_levels(ours)
    layout = spec.architecture.checkpoints[reference.layout] if reference.layout else None
    if layout is None or not (layout.split or layout.stack or layout.transpose):
        shapes = {n: t.shape for n, t in ours.state_dict().items()}
        expected = {n: t.shape for n, t in theirs.state_dict().items()}
        assert {(to_foreign(n, layout) if layout else n): s for n, s in shapes.items()} == expected


def write_known(spec: Path, file: str, value: object) -> None:
    """In a file for all specs of a folder, one line for each."""
    path = spec.with_name(file)
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    known[spec.stem] = value
    lines = [f"  {json.dumps(name)}: {json.dumps(one)}" for name, one in sorted(known.items())]
    path.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def test_images_are_prepared_as_for_torchvisions_weights() -> None:
    from torchvision import models

    wrong: list[str] = []
    for name, count in parameter_counts().items():
        if name.replace("-", "_") not in models.list_models(models):
            continue
        weights = models.get_model_weights(name.replace("-", "_")).DEFAULT  # pyright: ignore
        theirs: Any = weights.transforms()
        task = packaged_spec(name).architecture.task
        assert task and task.image
        ours = (task.image.resize, task.image.crop, task.image.interpolation)
        expected = (*theirs.resize_size, *theirs.crop_size, theirs.interpolation.value)
        scale = (task.image.mean, task.image.std) == (theirs.mean, theirs.std)
        # The Inceptions take the mean and deviation of ImageNet out again.
        if (
            ours != expected
            or scale is (name in {"googlenet", "inception-v3"})
            or count != weights.meta["num_params"]
        ):
            wrong.append(f"{name}: {ours}, not {expected}")
    assert wrong == []


# ------------------------------------------------------------------------------------ small models


@cache
def small(name: str, seed: int) -> Small:
    make = REFERENCES[name].small
    assert make is not None
    torch.manual_seed(seed)
    made = make(Random(f"{name} {seed}"))
    fill(made.theirs, seed)
    return made


def spec_of(case: Small, name: str, folder: Path) -> archspec.Spec:
    if case.config is None:
        return archspec.load(name, **case.params)
    (folder / "config.json").write_text(json.dumps(case.config), encoding="utf-8")
    return archspec.load(name, config=folder / "config.json", **case.params)


def pair(name: str, seed: int, folder: Path) -> tuple[Small, archspec.Spec, nn.Module]:
    """Their model, and ours with its weights, loaded from a file and in part saved to another."""
    case, layout = small(name, seed), REFERENCES[name].layout
    spec = spec_of(case, name, folder)
    state = {n: t.detach().clone() for n, t in case.theirs.state_dict().items()}
    save_file(state, folder / "theirs.safetensors")
    ours = archspec.build(spec, device="cpu", seed=seed)
    layout = layout or "archspec"
    report = archspec.load_weights(ours, folder / "theirs.safetensors", layout=layout)
    assert report.complete and not report.counts.get("ignored"), report
    archspec.save_weights(ours, folder / "ours.safetensors", layout=layout)
    saved = load_file(folder / "ours.safetensors")
    assert saved.keys() <= state.keys()
    assert all(torch.equal(tensor, state[n]) for n, tensor in saved.items())
    owners = {tensor.data_ptr() for n, tensor in case.theirs.state_dict().items() if n in saved}
    rest = [t for n, t in case.theirs.state_dict().items() if n not in saved]
    assert all(tensor.data_ptr() in owners for tensor in rest), "only shared tensors stand once"
    return case, spec, ours


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """The tensors in an output, each with its place."""
    if isinstance(value, torch.Tensor):
        yield at, value
    elif isinstance(value, Mapping):
        for key in sorted(value):
            yield from leaves(value[key], f"{at}.{key}")
    elif isinstance(value, Sequence):
        for i, item in enumerate(value):
            yield from leaves(item, f"{at}[{i}]")
    else:
        assert value is None, f"{at}: {type(value).__name__}"


def run(model: nn.Module, case: Small) -> Any:
    torch.manual_seed(0)  # for the noise that a forward draws
    return model(*case.args, **case.kwargs)


def check_close(ours: Mapping[str, torch.Tensor], theirs: Mapping[str, torch.Tensor]) -> None:
    """Equal to 1e-5 of the largest value, or of 1."""
    assert ours.keys() == theirs.keys()
    for name, expected in theirs.items():
        found, expected = ours[name].detach().float(), expected.detach().float()
        assert found.shape == expected.shape, name
        if expected.numel():
            limit = 1e-5 * max(1.0, expected.abs().max().item())
            assert (found - expected).abs().max().item() <= limit, name


def gradients(model: nn.Module, case: Small, outputs: Any) -> State:
    """Of every parameter, with the statistics of batches; dropout is off."""
    model.eval().zero_grad()
    for module in model.modules():
        module.train(isinstance(module, _BatchNorm))
    random = torch.Generator().manual_seed(1)
    loss = torch.zeros(())
    for _, tensor in leaves(outputs(run(model, case))):
        loss = loss + (tensor * torch.randn(tensor.shape, generator=random)).mean()
    loss.backward()
    model.eval()
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("name", SMALL)
def test_small_models(name: str, tmp_path: Path) -> None:
    """Weights there and back, outputs, gradients and running statistics of three sizes."""
    reference = REFERENCES[name]
    for seed in range(3):
        case, spec, ours = pair(name, seed, tmp_path)
        theirs = case.theirs.eval()
        with torch.inference_mode():
            found = dict(leaves(run(ours.eval(), case)))
            check_close(found, dict(leaves(reference.outputs(run(theirs, case)))))
        assert any(tensor.std() > 1e-3 for tensor in found.values()), "nothing could be told apart"
        wanted = gradients(theirs, case, reference.outputs)
        got = gradients(ours, case, lambda output: output)
        layout = spec.architecture.checkpoints[reference.layout] if reference.layout else None
        if layout is None or not (layout.split or layout.stack or layout.transpose):
            check_close({to_foreign(n, layout) if layout else n: g for n, g in got.items()}, wanted)
            buffers = {to_foreign(n, layout) if layout else n: b for n, b in ours.named_buffers()}
            persistent = buffers.keys() & theirs.state_dict().keys()
            check_close(
                {n: buffers[n] for n in persistent}, {n: theirs.state_dict()[n] for n in persistent}
            )


# ------------------------------------------------------------------------------- all that is done


def larger(case: Small, spec: archspec.Spec, sizes: Sequence[str]) -> tuple[Small, dict[str, Any]]:
    """Inputs of a batch that is one larger and other sizes that are one smaller; what is open."""
    contracts = spec.architecture.blocks[spec.architecture.model].inputs
    bound = dict(zip(contracts, case.args, strict=False)) | case.kwargs
    shapes: dict[str, Any] = {}
    for name, tensor in bound.items():
        named = enumerate(re.findall(r"\w+", str(size)) for size in contracts[name].shape or [])
        # What is computed from an open size, such as $past + seq, is open as well.
        open_sizes = {i: n[-1] for i, n in named if n and n[-1] in sizes}
        shapes[name] = dict.fromkeys(open_sizes, torch.export.Dim.DYNAMIC)
        for dim, size in open_sizes.items():
            if size == "batch":
                tensor = torch.cat([tensor, tensor.narrow(dim, 0, 1)], dim)
            else:
                tensor = tensor.narrow(dim, 0, tensor.shape[dim] - 1)
        bound[name] = tensor
    args = tuple(bound[name] for name in list(contracts)[: len(case.args)])
    kwargs = {name: bound[name] for name in case.kwargs}
    return Small(case.theirs, args=args, kwargs=kwargs), shapes


def executed(text: str) -> ModuleType:
    module = ModuleType("exported_by_a_test")
    sys.modules[module.__name__] = module  # a dataclass wants to find its own
    exec(compile(text, "exported.py", "exec", dont_inherit=True), vars(module))
    return module


@pytest.mark.parametrize("name", SMALL)
def test_all_that_is_done_with_a_model(name: str, tmp_path: Path) -> None:
    case, spec, model = pair(name, 0, tmp_path)
    count = sum(p.numel() for p in model.parameters())
    with torch.inference_mode():
        expected = dict(leaves(run(model.eval(), case)))

    inspection = archspec.inspect(spec)
    assert inspection.root.parameters == count and inspection.macs.value > 0
    assert len(archspec.draw(spec).nodes) > 1
    assert archspec.draw(spec, block=spec.architecture.model).edges

    for plan in spec.architecture.freeze:
        report = archspec.freeze(model, plan)
        frozen = report.frozen
        assert {"none": frozen == 0, "all": frozen == count}.get(plan, 0 < frozen < count), plan
        assert not any(pattern.overruled for pattern in report.patterns), plan
    archspec.freeze(model, [])

    alone = getattr(executed(archspec.to_python(spec)), spec.architecture.model)()
    alone.load_state_dict(model.state_dict(), strict=True)
    with torch.inference_mode():
        check_close(dict(leaves(run(alone.eval(), case))), expected)

    other, shapes = larger(case, spec, REFERENCES[name].dynamic)
    bound = inspect.signature(model.forward).bind(*case.args, **case.kwargs).arguments
    with torch.no_grad():
        exported = torch.export.export(
            model, case.args, case.kwargs, dynamic_shapes={n: shapes[n] for n in bound}
        ).module()
        check_close(dict(leaves(run(exported, other))), dict(leaves(run(model, other))))
        torch.compiler.reset()
        compiled: Any = torch.compile(
            model, backend="eager", fullgraph=REFERENCES[name].whole_graph
        )
        check_close(dict(leaves(run(compiled, case))), expected)
        torch.compiler.reset()

        half = archspec.build(spec, device="cpu", dtype="bfloat16", seed=0).eval()
        args, kwargs = tree_map(
            lambda x: x.bfloat16() if x.is_floating_point() else x, (case.args, case.kwargs)
        )
        outputs = dict(leaves(half(*args, **kwargs)))
        assert all(t.isfinite().all() for t in outputs.values())
        assert {t.dtype for t in outputs.values()} == {torch.bfloat16}
