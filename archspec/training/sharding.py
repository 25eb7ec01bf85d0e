"""A model in parts: every process holds its part of each tensor, and the whole comes and goes.

PyTorch's ``fully_shard`` (Zhao et al. 2023, PyTorch FSDP, arXiv:2304.11277) splits each parameter
alone, along its first dimension: frozen and trained ones may stand side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from archspec.errors import Problem, UsageError

_LISTS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)
_LARGE = 1_000_000  # parameters: a layer of its own that is worth a message of its own


def check_shardable(model: nn.Module) -> None:
    """Whether all parameters of a model can be split.

    Raises:
        UsageError: E801, some have no dimension.
    """
    problems = [
        Problem("E801", f"'{name}' has no dimension to split", hint="ddp, or a shape of [1]")
        for name, parameter in model.named_parameters()
        if not parameter.ndim
    ]
    if problems:
        raise UsageError(problems)


def units(model: nn.Module) -> list[nn.Module]:
    """The modules whose parameters are together while they compute, and nowhere else.

    They are the repeated blocks: the items of lists, the outermost ones. What is in none of them
    (embeddings, a head) belongs to the model itself, and so does an item that shares a parameter.

    Example:
        >>> import archspec
        >>> [type(one).__name__ for one in units(archspec.build("bert", device="meta"))][-2:]
        ['BertLayer', 'BertLayer']
        >>> len(units(archspec.build("resnet18", device="meta")))
        8
    """
    names = model.named_parameters(remove_duplicate=False)
    uses = Counter(parameter for _, parameter in names)

    def is_apart(module: nn.Module) -> bool:
        return all(uses[parameter] == 1 for parameter in module.parameters())

    return [one for one in _items(model) if is_apart(one)]


def _items(module: nn.Module) -> list[nn.Module]:
    is_list = isinstance(module, _LISTS)
    if not is_list and type(module).__module__.startswith("torch.nn."):
        return []  # PyTorch's own modules look into each other
    found: list[nn.Module] = []
    for child in module.children():
        if is_list and not isinstance(child, _LISTS) and _is_large(child):
            found.append(child)
        else:
            found += _items(child)
    return found


def _is_large(module: nn.Module) -> bool:
    sizes = [parameter.numel() for parameter in module.parameters()]
    return bool(sizes) and (any(True for _ in module.children()) or sum(sizes) >= _LARGE)


def shard(model: nn.Module, device: torch.device) -> None:
    """Split a model over all processes, unit by unit, and bring it to a device.

    Args:
        model: whole, the same in every process; what it holds afterwards is split.
        device: where it computes: this process's.
    """
    mesh = init_device_mesh(device.type, (distributed.get_world_size(),))
    for one in [*units(model), model]:
        fully_shard(one, mesh=mesh)


def share(model: nn.Module, device: torch.device) -> None:
    """Give all processes the first one's tensors, passing through a device."""
    for tensor in model.state_dict().values():
        passed = tensor.to(device)
        distributed.broadcast(passed, 0)
        tensor.copy_(passed)


def share_buffers(model: nn.Module) -> None:
    """Give all processes the first one's buffers, such as running statistics, as DDP does."""
    for buffer in model.buffers():
        distributed.broadcast(buffer, 0)


def gather(model: nn.Module, whole: nn.Module) -> None:
    """Bring a whole model up to date with the split one, tensor by tensor, in every process."""
    share_buffers(model)
    state = whole.state_dict()
    for name, tensor in model.state_dict().items():
        state[name].copy_(_whole(tensor))


def _whole(value: Any) -> Any:
    return value.full_tensor() if isinstance(value, DTensor) else value


def gathered(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state with whole tensors, on the CPU: what one process would have."""
    states = cast("Mapping[Any, Mapping[str, Any]]", optimizer["state"])
    state = {
        key: {name: _on_cpu(_whole(value)) for name, value in one.items()}
        for key, one in states.items()
    }
    return {**optimizer, "state": state}


def _on_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value


def scattered(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What ``gathered`` gave, split as the optimizer's parameters are, if they are."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    states = {
        key: {name: _part(value, parameters[key]) for name, value in one.items()}
        for key, one in state["state"].items()
    }
    return {**state, "state": states}


def _part(value: Any, parameter: Tensor) -> Any:
    is_alike = isinstance(value, Tensor) and value.shape == parameter.shape
    if not is_alike or not isinstance(parameter, DTensor):
        return value
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)
