"""Allocates and initialises a module that was created on ``meta``.

Each module has its own random generator, seeded with the seed and the module's path: its values do
not depend on the rest of the model, and threads can draw them in parallel.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import torch
from torch import nn

from archspec.codegen import Generated


def draw_seed() -> int:
    """A seed from PyTorch's global generator, so that ``torch.manual_seed`` decides it."""
    return int(torch.randint(0, 2**62, (), dtype=torch.int64).item())


def seed_of(seed: int, path: str) -> int:
    """The seed of the module at ``path``."""
    digest = hashlib.blake2b(f"{seed}:{path}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """As ``torch.manual_seed``, without changing the generators of other devices."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def needs_construction(model: nn.Module) -> bool:
    """Whether a module has tensors that only its constructor can initialise."""
    return any(_own_tensors(module) and _reset_method(module) is None for module in model.modules())


def _own_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """A module's own tensors, without those of its submodules."""
    tensors = {**module._parameters, **module._buffers}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _reset_method(module: nn.Module) -> Callable[[], None] | None:
    """PyTorch's method that initialises a module."""
    for name in ("reset_parameters", "_reset_parameters"):
        method: Any = getattr(module, name, None)
        if callable(method):
            return method  # type: ignore[no-any-return]
    return None


def fill(
    model: nn.Module,
    generated: Generated,
    module: ModuleType,
    device: torch.device,
    dtype: torch.dtype | None,
    seed: int,
    loaded: Mapping[str, torch.Tensor],
) -> None:
    """Allocate all tensors on ``device``, and initialise those that are not ``loaded``."""
    unfilled = [
        (path, child)
        for path, child in model.named_modules()
        if any(
            _full_name(path, name) not in loaded
            for name in _own_tensors(child) or _managed_tensors(child)
        )
    ]
    # A module with a tied tensor is filled first: the owner of the tensor then decides its values.
    borrowers = {name.rpartition(".")[0] for name in generated.ties}
    unfilled.sort(key=lambda item: item[0] in borrowers)
    _allocate(unfilled, device, dtype)
    _apply_defaults(unfilled, generated.filled, device, seed)
    if generated.initialize is not None:
        _apply_rules(unfilled, generated, module, device, seed)


def _managed_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors of submodules that a module initialises, as nn.Transformer does."""
    return module.state_dict(keep_vars=True) if _reset_method(module) is not None else {}


def _full_name(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _allocate(
    modules: list[tuple[str, nn.Module]], device: torch.device, dtype: torch.dtype | None
) -> None:
    """Replace tensors on ``meta`` by uninitialised ones; shared tensors remain shared."""
    new_tensors: dict[int, torch.Tensor] = {}
    for _, module in modules:
        for name, tensor in _own_tensors(module).items():
            if tensor.is_meta:
                if id(tensor) not in new_tensors:
                    new_tensors[id(tensor)] = _empty_like(tensor, device, dtype)
                setattr(
                    module, name, new_tensors[id(tensor)]
                )  # through setattr, because an LSTM also has a list of them


def _empty_like(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None
) -> torch.Tensor:
    kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    empty = torch.empty(tensor.shape, dtype=kind, device=device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty


def _apply_defaults(
    modules: list[tuple[str, nn.Module]],
    filled: Mapping[str, frozenset[str]],
    device: torch.device,
    seed: int,
) -> None:
    """Apply PyTorch's defaults where rules do not cover all tensors; children before parents."""
    unfilled = [
        (path, reset)
        for path, module in reversed(modules)
        if (_own_tensors(module) or _managed_tensors(module)).keys() - filled.get(path, frozenset())
        and (reset := _reset_method(module)) is not None
    ]
    if not unfilled:
        return
    # reset_parameters draws from the global generator, which is restored afterwards.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for path, reset in unfilled:
            seed_generators(seed_of(seed, path), device)
            reset()


def _apply_rules(
    modules: list[tuple[str, nn.Module]],
    generated: Generated,
    module: ModuleType,
    device: torch.device,
    seed: int,
) -> None:
    """Run the generated ``initialize`` on every module, the largest first, in parallel on a CPU."""
    uses = generated.initialize or ()
    config = module.Config() if "config" in uses else None

    def run(task: tuple[str, nn.Module]) -> None:
        path, child = task
        generator = torch.Generator(device).manual_seed(seed_of(seed, path))
        arguments = {"name": path, "config": config}
        module.initialize(child, *(arguments[use] for use in uses), generator=generator)

    def names(task: tuple[str, nn.Module]) -> set[str]:
        return {_full_name(task[0], name) for name in _own_tensors(task[1])}

    for task in modules:
        if names(task) & generated.ties and names(task) - generated.ties:
            run(task)
    tasks = [task for task in modules if names(task) and not names(task) & generated.ties]
    tasks.sort(key=lambda task: -sum(t.numel() for t in _own_tensors(task[1]).values()))
    workers = min(os.cpu_count() or 1, 16) if device.type == "cpu" else 1
    if workers == 1:
        for task in tasks:
            run(task)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, tasks))
