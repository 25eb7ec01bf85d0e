"""Adapters in the files of PEFT: ``adapter_config.json`` and ``adapter_model.safetensors``.

A file names layers as the base model's checkpoints do, so that the spec's layouts say which of our
layers are meant.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from archspec import storage
from archspec.errors import Problem, UsageError, WeightsError, listing
from archspec.lang import json_file, patterns
from archspec.lang.adapters import AppliedAdapter
from archspec.lang.instances import walk
from archspec.lang.json_file import JsonFile
from archspec.lang.layer_parts import entries
from archspec.lang.params import Override
from archspec.lang.patterns import Tree
from archspec.lang.spec import Spec, as_spec
from archspec.weights.casting import check_range
from archspec.weights.files import WeightFiles
from archspec.weights.layouts import OWN, Naming, naming_of, namings
from archspec.weights.loading import known_spec, state_of, target_of
from archspec.weights.matching import castable
from archspec.weights.rows import TensorInfo
from archspec.weights.saving import write
from archspec.weights.tensor_names import Names

CONFIG = "adapter_config.json"
WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_PREFIX = "base_model.model."
_ENDINGS = (
    "lora_A.weight",
    "lora_B.weight",
    "lora_embedding_A",
    "lora_embedding_B",
    "lora_magnitude_vector",
    "ia3_l",
)
_READ = frozenset(
    "peft_type r lora_alpha lora_dropout use_dora use_rslora target_modules exclude_modules "
    "modules_to_save feedforward_modules layers_to_transform layers_pattern".split()
)
# What says nothing about what the adapter computes.
_IGNORED = frozenset(
    "auto_mapping base_model_name_or_path revision task_type inference_mode peft_version "
    "fan_in_fan_out init_lora_weights init_ia3_weights loftq_config eva_config corda_config "
    "lora_ga_config runtime_config megatron_core qalora_group_size".split()
)
_EMPTY = (None, False, {}, [], "none")


# ---------------------------------------------------------------------------------------- reading


def is_folder(value: object) -> bool:
    """Whether an adapter is given as a folder of PEFT's files: a path, not a bare name."""
    return isinstance(value, os.PathLike) or (isinstance(value, str) and os.sep in value)


def with_folder(spec: Spec, folder: str | os.PathLike[str]) -> Spec:
    """The spec with the adapter that a folder holds; ``build`` loads its weights, too.

    Raises:
        WeightsError: E601 for files that cannot be read or say what archspec does not know, E602
            for layers that the model does not have.
        SpecError: E106, the configuration is no JSON; E707, the adapter does not fit.
    """
    found = _Folder.read(Path(folder))
    naming = _fitting(found, spec.plain)
    layers, others = found.split(_layers_of(naming, spec.plain), naming, spec.plain)
    if missing := [name for name, ours in others.items() if not ours]:
        message = f"{found.file}: {spec.name} has no layers or tensors for {listing(missing)}"
        raise WeightsError(Problem("E602", message, hint="layouts of the base model are tried"))
    adapter = {**found.settings(), "match": sorted({path for path, _ in layers.values()})}
    if rows := [p for n, (p, _) in layers.items() if found.is_feedforward(n)]:
        adapter["feedforward"] = sorted(rows)
    if others:
        adapter["train"] = [
            *dict.fromkeys(str(ours).rpartition(".")[0] for ours in others.values())
        ]
    override = Override(adapter, str(folder))
    return replace(spec.with_adapter(override), adapter_weights=Path(folder))


def as_adapted_spec(source: str | os.PathLike[str] | Spec, params: Mapping[str, Any]) -> Spec:
    """As ``as_spec``; the adapter may be a folder with an adapter's files."""
    folder = params.get("adapter")
    if folder is None or not is_folder(folder):
        return as_spec(source, params)
    others = {name: value for name, value in params.items() if name != "adapter"}
    return with_folder(as_spec(source, others), folder)


def tensors_of_folder(spec: Spec) -> frozenset[str]:
    """Our names of the tensors that the spec's adapter folder brings; none without a folder."""
    if spec.adapter_weights is None:
        return frozenset()
    return frozenset(_pairs(_Folder.read(spec.adapter_weights), spec).values())


def _pairs(found: _Folder, spec: Spec) -> dict[str, str]:
    """The names in a folder's file → ours, of all tensors that are in the model."""
    naming = _fitting(found, spec.plain)
    layers, others = found.split(_layers_of(naming, spec.plain), naming, spec.plain)
    pairs = {name: f"{path}.{part}" for name, (path, part) in layers.items()}
    return pairs | {name: ours for name, ours in others.items() if ours}


def load_folder(model: nn.Module, spec: Spec) -> None:
    """Copy the weights of the spec's adapter folder into a model that has the adapter.

    Raises:
        WeightsError: E602, E603 or E606 for tensors that are missing or do not fit.
    """
    assert spec.adapter_weights is not None and spec.adapter is not None
    found = _Folder.read(spec.adapter_weights)
    pairs = _pairs(found, spec)
    state = state_of(model, spec)
    own = {name for name in state if spec.adapter.is_own(name)}
    if missing := sorted(own - {*pairs.values()}):
        message = f"{found.file}: {len(missing)} tensors are missing: {listing(missing)}"
        raise WeightsError(Problem("E602", message))
    problems = [p for name, ours in pairs.items() if (p := _unfit(found, name, state, ours))]
    if problems:
        raise WeightsError(problems)
    values = found.files.read([found.names[name] for name in pairs], "cpu")
    copies = {ours: values[found.names[name]] for name, ours in pairs.items()}
    check_range((ours, new, state[ours].dtype) for ours, new in copies.items())
    with torch.no_grad():
        for ours, new in copies.items():
            state[ours].copy_(new)


def _unfit(
    found: _Folder, name: str, state: Mapping[str, torch.Tensor], ours: str
) -> Problem | None:
    theirs = found.tensors[name]
    if ours not in state:
        return Problem("E602", f"{found.file}: the model has no '{ours}' for '{name}'")
    shape, dtype = tuple(state[ours].shape), str(state[ours].dtype).removeprefix("torch.")
    if theirs.shape != shape:
        message = f"'{ours}' has the shape {list(shape)}, in the file {list(theirs.shape)}"
        return Problem("E603", message)
    if not castable(theirs.dtype, dtype):
        return Problem("E606", f"'{ours}' has the dtype {dtype}, in the file {theirs.dtype}")
    return None


@dataclass(frozen=True, slots=True)
class _Folder:
    """What a folder holds.

    Attributes:
        tensors: by their names without PEFT's prefix.
        names: those names → as the file has them.
    """

    file: Path
    config: JsonFile
    files: WeightFiles
    tensors: Mapping[str, TensorInfo]
    names: Mapping[str, str]

    @classmethod
    def read(cls, folder: Path) -> _Folder:
        there = [folder / name for name in WEIGHTS if (folder / name).is_file()]
        if not there:
            message = f"{folder / WEIGHTS[0]}: no such file"
            raise WeightsError(Problem("E601", message))
        config = json_file.read(folder / CONFIG)
        files = WeightFiles.open(there[0])
        names = {name.removeprefix(_PREFIX): name for name in files.tensors}
        tensors = {name: files.tensors[full] for name, full in names.items()}
        return cls(there[0], config, files, tensors, names)

    def settings(self) -> dict[str, Any]:
        """The kind of the adapter, and its numbers; raises E601 for what is not understood."""
        data, kind = self.config.data, self.config.data.get("peft_type")
        if kind not in ("LORA", "IA3"):
            raise self._refused("peft_type", f"{kind!r}: LORA and IA3 are known")
        for key, value in data.items():
            said = value if isinstance(value, bool | int | float | str) else "set"
            if key not in _READ | _IGNORED and value not in _EMPTY:
                raise self._refused(key, f"{said}, which is not offered here")
        if kind == "IA3":
            return {"kind": "ia3"}
        return {
            "kind": "dora" if data.get("use_dora") else "lora",
            "rank": data.get("r", 8),
            "alpha": data.get("lora_alpha", 8),
            "dropout": data.get("lora_dropout", 0.0),
            "rslora": data.get("use_rslora", False),
        }

    def _refused(self, key: str, what: str) -> WeightsError:
        place = self.config.place((key,) if key in self.config.data else ())
        return WeightsError(Problem("E601", f"the adapter's {key} is {what}", place))

    def is_feedforward(self, name: str) -> bool:
        """Whether the factors of (IA)³ belong to the input."""
        return name.endswith(".ia3_l") and self.tensors[name].shape[:1] == (1,)

    def split(
        self, layers: Mapping[str, str], naming: Naming, spec: Spec
    ) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """The adapter's tensors, each with our layer and its part; all others, with our tensor.

        Args:
            layers: the file's names of layers → our paths.
        """
        tensors = [entry.path for entry in entries(spec.root) if entry.type is None]
        known = {foreign: ours for ours, foreign in naming.foreign_all(tensors).items()}
        parts: dict[str, tuple[str, str]] = {}
        others: dict[str, str] = {}
        for name in self.tensors:
            bare = name.removesuffix(".weight") if "magnitude" in name else name
            ending = next((one for one in _ENDINGS if bare.endswith(f".{one}")), "")
            layer = bare.removesuffix(f".{ending}")
            if ending and layer in layers:
                parts[name] = layers[layer], ending
            else:
                others[name] = known.get(name, "")
        return parts, others


def _layers_of(naming: Naming, spec: Spec) -> dict[str, str]:
    """How a layout calls the layers that hold a weight → our paths; none that it has joined."""
    paths = [path for path, one in walk(spec.root) if "weight" in one.tensors]
    weights = {f"{path}.weight": path for path in paths}
    free = [n for n in weights if all(join.place_of(n) is None for join in naming.joins)]
    names = naming.foreign_all(free)
    return {foreign.removesuffix(".weight"): weights[ours] for ours, foreign in names.items()}


def _fitting(found: _Folder, spec: Spec) -> Naming:
    """The layout in which most names of the file are those of the model."""

    def unknown(naming: Naming) -> int:
        _, others = found.split(_layers_of(naming, spec), naming, spec)
        return sum(not ours for ours in others.values())

    return min(namings(spec).values(), key=unknown)


# ----------------------------------------------------------------------------------------- saving


def save_adapter(
    model: nn.Module, folder: str | os.PathLike[str], *, layout: str | None = None
) -> tuple[Path, ...]:
    """Write the adapter of a model as PEFT does, without the base model's weights.

    ``PeftModel.from_pretrained(base, folder)`` opens it, and ``build(…, adapter=folder)``.

    Args:
        model: built with an adapter.
        folder: gets ``adapter_model.safetensors`` and ``adapter_config.json``.
        layout: how layers are called: a name from the spec's ``checkpoints``, or ``archspec`` for
            the model's own names; left out, ``transformers`` if the spec has it.

    Returns:
        The two files.

    Raises:
        WeightsError: E601 if a file cannot be written, E604 for an unknown layout, E605 for a layer
            that the layout joins with others.
        UsageError: E801, the model was not built with an adapter.

    Example:
        >>> from archspec import build
        >>> folder = getfixture("tmp_path")
        >>> adapter = {"kind": "lora", "match": "classifier"}
        >>> small = {"num_hidden_layers": 1, "vocab_size": 99}
        >>> model = build("bert", device="cpu", adapter=adapter, **small)
        >>> [file.name for file in save_adapter(model, folder)]
        ['adapter_model.safetensors', 'adapter_config.json']
    """
    spec = known_spec(model, None)
    if spec is None or spec.adapter is None:
        hint = "archspec.build(…, adapter=…) gives one; a copy of it is not known"
        raise UsageError(Problem("E801", "the model was not built with an adapter", hint=hint))
    known = namings(spec.plain)
    name = layout or ("transformers" if "transformers" in known else OWN)
    naming = naming_of(name, spec.plain)
    state, adapter = state_of(model, spec), spec.adapter
    layers = {path: foreign for foreign, path in _layers_of(naming, spec.plain).items()}
    if joined := [path for path in adapter.classes if path not in layers]:
        message = f"'{joined[0]}' is joined with other layers in the layout '{name}'"
        hint = "layout='archspec' writes the model's own names"
        raise WeightsError(Problem("E605", message, naming.place, hint))
    tensors: dict[str, torch.Tensor] = {}
    for ours, tensor in state.items():
        path, part = adapter.split(ours)
        if part:
            tensors[f"{_PREFIX}{layers[path]}.{part}"] = tensor
    whole = _trained_modules(spec, adapter, state)
    saved = naming.foreign_all(n for n in state if n.rpartition(".")[0] in whole)
    tensors |= {_PREFIX + foreign: state[ours] for ours, foreign in saved.items()}
    modules = dict.fromkeys(foreign.rpartition(".")[0] for foreign in saved.values())
    config = _config(spec, adapter, naming, layers, [*modules], model)
    place = Path(folder)
    try:
        place.mkdir(exist_ok=True)
    except OSError as error:
        raise WeightsError(Problem("E601", f"{place}: {error.strerror}")) from None
    files = write(tensors, place / WEIGHTS[0])
    try:
        storage.write(place / CONFIG, json.dumps(config, indent=2) + "\n")
    except OSError as error:
        message = f"{place / CONFIG}: cannot be written: {error.strerror}"
        raise WeightsError(Problem("E601", message)) from None
    return (*files, place / CONFIG)


def _trained_modules(spec: Spec, adapter: AppliedAdapter, names: Iterable[str]) -> set[str]:
    """The modules of the tensors that are trained as a whole beside the adapter."""
    tree = Tree([one for one in entries(spec.plain.root) if one.type is None])
    last = tree.last_match([patterns.parse(text) for text in adapter.declared.train])
    negated = [text.startswith("!") for text in adapter.declared.train]
    pairs = zip(tree.entries, last, strict=True)
    trained = {one.path for one, match in pairs if match is not None and not negated[match]}
    return {name.rpartition(".")[0] for name in names if name in trained}


def _config(
    spec: Spec,
    adapter: AppliedAdapter,
    naming: Naming,
    layers: Mapping[str, str],
    modules: list[str],
    model: nn.Module,
) -> dict[str, Any]:
    """What PEFT reads beside the tensors."""
    declared = adapter.declared
    config: dict[str, Any] = {
        "peft_type": "IA3" if declared.kind == "ia3" else "LORA",
        "base_model_name_or_path": None,
        "task_type": None,
        "inference_mode": True,
        "target_modules": [layers[path] for path in adapter.classes],
        "modules_to_save": modules or None,
        "fan_in_fan_out": _is_transposed(spec, adapter, naming, model),
    }
    if declared.kind == "ia3":
        rows = [p for p, kind in adapter.classes.items() if kind == "Ia3FeedforwardLinear"]
        return {**config, "feedforward_modules": [layers[path] for path in rows]}
    return {
        **config,
        "r": declared.rank,
        "lora_alpha": declared.alpha,
        "lora_dropout": declared.dropout,
        "use_dora": declared.kind == "dora",
        "use_rslora": declared.rslora,
        "bias": "none",
    }


def _is_transposed(spec: Spec, adapter: AppliedAdapter, naming: Naming, model: nn.Module) -> bool:
    """Whether the layout has the layers' weights transposed, as GPT-2's ``Conv1D``."""
    target = target_of(model, spec)
    swapped = Names(target.tensors, target.types).selected(naming.transposed)
    found = {f"{path}.weight" in swapped for path in adapter.classes}
    if len(found) > 1:
        message = f"some layers are transposed in the layout '{naming.name}', others not"
        raise WeightsError(Problem("E605", message, naming.place))
    return found == {True}
