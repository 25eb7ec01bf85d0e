"""Memory and first values for a module that was made on ``meta``.

Each module's values come from a generator of its own, seeded by the seed and the module's path:
they do not depend on what else is in the model, and many threads can draw them at once.
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
    """A seed from PyTorch's global generator, so that ``torch.manual_seed`` governs it."""
    return int(torch.randint(0, 2**62, (), dtype=torch.int64).item())


def seed_of(seed: int, path: str) -> int:
    """The seed of the module at ``path``."""
    digest = hashlib.blake2b(f"{seed}:{path}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """As ``torch.manual_seed``, but other devices' generators stand still."""
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def needs_construction(model: nn.Module) -> bool:
    """Whether some module holds tensors that only its constructor knows how to fill."""
    return any(_own(module) and _reset(module) is None for module in model.modules())


def _own(module: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors that a module holds itself."""
    tensors = {**module._parameters, **module._buffers}
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def _reset(module: nn.Module) -> Callable[[], None] | None:
    """PyTorch's own way to give a module its first values."""
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
    given: Mapping[str, torch.Tensor],
) -> None:
    """Give every tensor memory on ``device``, and first values to those that are not ``given``."""
    wanting = [
        (path, child)
        for path, child in model.named_modules()
        if any(_join(path, name) not in given for name in _own(child) or _arranged(child))
    ]
    # Whoever shares another's tensor is filled first: the other one decides its values.
    borrowers = {name.rpartition(".")[0] for name in generated.ties}
    wanting.sort(key=lambda item: item[0] in borrowers)
    _allocate(wanting, device, dtype)
    _reset_defaults(wanting, generated.filled, device, seed)
    if generated.initialize is not None:
        _apply_rules(wanting, generated, module, device, seed)


def _arranged(module: nn.Module) -> dict[str, torch.Tensor]:
    """The tensors below a module that has none itself, yet fills them, as nn.Transformer does."""
    return module.state_dict(keep_vars=True) if _reset(module) is not None else {}


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _allocate(
    modules: list[tuple[str, nn.Module]], device: torch.device, dtype: torch.dtype | None
) -> None:
    """Replace tensors on ``meta`` by uninitialised ones; shared tensors stay shared."""
    made: dict[int, torch.Tensor] = {}
    for _, module in modules:
        for name, tensor in _own(module).items():
            if tensor.is_meta:
                if id(tensor) not in made:
                    made[id(tensor)] = _empty_like(tensor, device, dtype)
                setattr(module, name, made[id(tensor)])  # an LSTM keeps a list of them, too


def _empty_like(
    tensor: torch.Tensor, device: torch.device, dtype: torch.dtype | None
) -> torch.Tensor:
    kind = dtype if dtype is not None and tensor.is_floating_point() else tensor.dtype
    empty = torch.empty(tensor.shape, dtype=kind, device=device)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=tensor.requires_grad)
    return empty


def _reset_defaults(
    modules: list[tuple[str, nn.Module]],
    filled: Mapping[str, frozenset[str]],
    device: torch.device,
    seed: int,
) -> None:
    """PyTorch's default values where no rule covers all tensors; children before parents."""
    wanting = [
        (path, reset)
        for path, module in reversed(modules)
        if (_own(module) or _arranged(module)).keys() - filled.get(path, frozenset())
        and (reset := _reset(module)) is not None
    ]
    if not wanting:
        return
    # reset_parameters draws from the global generator: lend it, and give it back as it was.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for path, reset in wanting:
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
        known = {"name": path, "config": config}
        module.initialize(child, *(known[use] for use in uses), generator=generator)

    def names(task: tuple[str, nn.Module]) -> set[str]:
        return {_join(task[0], name) for name in _own(task[1])}

    for task in modules:
        if names(task) & generated.ties and names(task) - generated.ties:
            run(task)
    tasks = [task for task in modules if names(task) and not names(task) & generated.ties]
    tasks.sort(key=lambda task: -sum(t.numel() for t in _own(task[1]).values()))
    workers = min(os.cpu_count() or 1, 16) if device.type == "cpu" else 1
    if workers == 1:
        for task in tasks:
            run(task)
        return
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, tasks))
