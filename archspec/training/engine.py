"""The engine of a run: Lightning Fabric's processes, devices and precision, and split models.

PyTorch's ``fully_shard`` (Zhao et al. 2023, PyTorch FSDP, arXiv:2304.11277) splits each parameter
alone, along its first dimension: frozen and trained ones may stand side by side.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.precision.amp import MixedPrecision
from lightning_fabric.strategies.model_parallel import ModelParallelStrategy
from torch import Tensor, distributed, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from archspec.building.devices import pick_device
from archspec.errors import ArchspecError, Problem, UsageError
from archspec.freezing import freeze
from archspec.freezing.quantized import Quantization, is_quantized, quantized_copy
from archspec.inspection.inspecting import checkpointed_blocks
from archspec.report.text import first_line
from archspec.training import environment
from archspec.training.data_feed import DataFeed, inputs_of, moved
from archspec.training.options import Phase, TrainOptions

_Mixed = Literal["16-mixed", "bf16-mixed"]
_MIXED: dict[str, _Mixed] = {"bf16-mixed": "bf16-mixed", "fp16-mixed": "16-mixed"}


class _Autocast(MixedPrecision):
    """Mixed precision as PyTorch has it: inputs and outputs are left as they are."""

    def convert_input(self, data: Any) -> Any:
        return data

    def convert_output(self, data: Any) -> Any:
        return data


def launched(model: nn.Module, feed: DataFeed, options: TrainOptions) -> Fabric:
    """The engine of a run, once all its processes are there.

    Args:
        model: whole, on the CPU; each plan of the run is applied to it.
    """
    device, started = pick_device(options.device), environment.processes()
    devices = options.devices if device.index is None else [device.index]
    mixed = _MIXED.get(options.precision)
    with quiet():
        fabric = Fabric(
            accelerator=device.type,
            devices=started.local if started else devices,
            num_nodes=started.nodes if started else 1,
            strategy=_strategy(model, feed, options),
            plugins=[_Autocast(mixed, device.type)] if mixed else None,
        )
        fabric.launch()
    return fabric


def _strategy(
    model: nn.Module, feed: DataFeed, options: TrainOptions
) -> str | ModelParallelStrategy:
    world = environment.world(options.devices)
    if options.strategy == "fsdp":
        return ModelParallelStrategy(_split, data_parallel_size=world, tensor_parallel_size=1)
    if world == 1:
        return options.strategy
    for phase in options.phases:
        freeze(model, phase.patterns)
        if has_unused(model, feed):
            return "ddp_find_unused_parameters_true"
    return "ddp"


def has_unused(model: nn.Module, feed: DataFeed) -> bool:
    """Whether a parameter that is trained has no part in the loss, as a few rows show.

    Processes that average gradients must know. Nothing random is drawn and no statistics move. True
    also where the model cannot be tried out.
    """
    trained = [one for one in model.parameters() if one.requires_grad]
    device = trained[0].device
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []), torch.enable_grad():
            batch = moved(feed.rows_for_loss(), device)
            outputs = functional_call(model, buffers, (), inputs_of(batch))
            loss = feed.objective.loss(outputs, batch, len(batch["labels"])).sum
            gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    except (ArchspecError, RuntimeError):
        return True
    return any(one is None for one in gradients)


def check_quantizable(
    model: nn.Module, feed: DataFeed, phases: Sequence[Phase], kind: Quantization
) -> None:
    """Try a few rows with quantized weights, for each plan.

    Raises:
        UsageError: E801, a plan freezes no Linear layer, or the model does more with the weights of
            one than to call it.
    """
    for phase in phases:
        freeze(model, phase.patterns)
        copied = quantized_copy(model, kind).train()
        batch = feed.rows_for_loss()
        try:
            with torch.random.fork_rng([]):
                outputs = copied(**inputs_of(batch))
                feed.objective.loss(outputs, batch, len(batch["labels"])).sum.backward()
        except Exception as error:  # whatever torchao raises for what it does not offer
            message = f"the model cannot be trained on quantized weights: {first_line(error)}"
            raise UsageError(Problem("E801", message, hint="leave quantize out")) from error


@contextlib.contextmanager
def recomputing(model: nn.Module, patterns: Sequence[str]) -> Iterator[None]:
    """Activations in the blocks that patterns select are recomputed in the backward pass inside.

    Chen et al. 2016, Training Deep Nets with Sublinear Memory Cost, arXiv:1604.06174.
    """
    paths = checkpointed_blocks(model, patterns) if patterns else ()
    blocks = [model.get_submodule(path) for path in paths]
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward


def _recomputed(forward: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    if not torch.is_grad_enabled():
        return forward(*inputs, **named)
    return checkpoint(forward, *inputs, use_reentrant=False, **named)


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function, such as a module, as ``torch.compile`` has it, for tensors of all sizes.

    A module's names stay: what is compiled is a function that calls it. What was compiled before,
    in an earlier run, is forgotten, so that the number of runs does not count as recompilations.
    """
    torch.compiler.reset()

    def call(*inputs: Any, **named: Any) -> Any:
        return function(*inputs, **named)

    return torch.compile(call, dynamic=True)


@contextlib.contextmanager
def compiling() -> Iterator[None]:
    """What was ``compiled`` is called inside.

    Raises:
        UsageError: E801, it cannot be compiled.
    """
    from torch._dynamo.exc import TorchDynamoException  # slow to import

    try:
        yield
    except TorchDynamoException as error:
        cause = getattr(error, "inner_exception", error)  # what the compiler itself raised
        message = f"the model cannot be compiled: {first_line(cause)}"
        raise UsageError(Problem("E801", message, hint="leave compile out")) from error


def any_process(fabric: Fabric, *wishes: bool) -> list[bool]:
    """What at least one process wishes: all must do the same, or they would wait forever."""
    if fabric.world_size == 1:
        return [*wishes]
    votes = torch.tensor(wishes, dtype=torch.int32, device=fabric.device)
    distributed.all_reduce(votes)
    return [bool(count) for count in votes.tolist()]


def leave_group() -> None:
    """Leave the process group: gloo's threads crash a process that exits without it."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Fabric: its advice is for authors of loops, and would bury a run's own lines."""
    names = ("lightning_fabric", "lightning_fabric.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# ------------------------------------------------------------------------------------ split models

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

    return [one for one in repeated_blocks(model) if is_apart(one)]


def repeated_blocks(module: nn.Module) -> list[nn.Module]:
    """The items of lists, the outermost ones, in their order; small layers are none."""
    is_list = isinstance(module, _LISTS)
    if not is_list and type(module).__module__.startswith("torch.nn."):
        return []  # PyTorch's own modules look into each other
    found: list[nn.Module] = []
    for child in module.children():
        if is_list and not isinstance(child, _LISTS) and _is_large(child):
            found.append(child)
        else:
            found += repeated_blocks(child)
    return found


def _is_large(module: nn.Module) -> bool:
    sizes = [parameter.numel() for parameter in module.parameters()]
    return bool(sizes) and (any(True for _ in module.children()) or sum(sizes) >= _LARGE)


def _split(step: nn.Module, mesh: DeviceMesh) -> nn.Module:
    """Split the model of a ``TrainingStep``, the same in every process, unit by unit."""
    model = step.get_submodule("model")
    for one in [*units(model), model]:
        fully_shard(one, mesh=mesh["data_parallel"])
    return step


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
    """Bring a whole model up to date with its split or quantized copy, tensor by tensor.

    All processes must ask for it. What is quantized is frozen: the whole model has it.
    """
    state = whole.state_dict()
    for name, tensor in model.state_dict().items():
        if not is_quantized(tensor):
            state[name].copy_(whole_on_cpu(tensor))


def whole_on_cpu(value: Any) -> Any:
    """A tensor as one process has it, on the CPU; all processes must ask for it."""
    value = value.full_tensor() if isinstance(value, DTensor) else value
    return value.cpu() if isinstance(value, Tensor) else value


def gathered(optimizer: Mapping[str, Any]) -> dict[str, Any]:
    """An optimizer's state with whole tensors, on the CPU: what one process would have."""
    states = cast("Mapping[Any, Mapping[str, Any]]", optimizer["state"])
    state = {
        key: {name: whole_on_cpu(value) for name, value in one.items()}
        for key, one in states.items()
    }
    return {**optimizer, "state": state}


def scattered(state: Mapping[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What ``gathered`` gave, split as the optimizer's parameters are, if they are."""
    parameters = [one for group in optimizer.param_groups for one in group["params"]]
    states = {
        key: {name: part_of(value, parameters[key]) for name, value in one.items()}
        for key, one in state["state"].items()
    }
    return {**state, "state": states}


def part_of(value: Any, parameter: Tensor) -> Any:
    """What of a whole tensor belongs to this process, if the parameter is split."""
    is_alike = isinstance(value, Tensor) and value.shape == parameter.shape
    if not is_alike or not isinstance(parameter, DTensor):
        return value
    value = value.to(parameter.device)
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)
