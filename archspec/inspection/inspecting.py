"""``inspect`` and ``largest_batch``: build on ``meta``, run forward twice, add up the figures."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn

from archspec.builder import build
from archspec.building.examples import example_inputs
from archspec.building.run_errors import run_error
from archspec.errors import BuildError, Note, Problem, UsageError, did_you_mean
from archspec.freezing import SharedFrozen
from archspec.freezing import freeze as apply_plan
from archspec.freezing.plans import ResolvedPlan
from archspec.freezing.selection import Selection
from archspec.inspection.figures import Figure, Memory, Node
from archspec.inspection.measure import run, without_garbage_collection
from archspec.inspection.memory import (
    Precision,
    StaticMemory,
    memory,
    pick_kernels,
    pick_optimizer,
    pick_precision,
)
from archspec.inspection.report import Inspection
from archspec.inspection.tree import tree
from archspec.lang.instances import ancestors, walk
from archspec.lang.schema import FreezePlan
from archspec.lang.sizes import ANY, symbols_of
from archspec.lang.spec import Spec, as_spec
from archspec.tracing.forward_record import Run
from archspec.tracing.limits import RunLimitExceeded

MAX_SIZE = 1_000_000
"""The largest size of a dimension, as in a spec, and so the largest batch."""

Source = str | os.PathLike[str] | Spec
Plan = str | Sequence[str] | None


def inspect(
    source: Source,
    *,
    freeze: Plan = None,
    batch: int | None = None,
    precision: str = "fp32",
    optimizer: str = "adamw",
    checkpoint_blocks: Sequence[str] = (),
    without: Sequence[str] = (),
    device: str = "cpu",
    **dims: int,
) -> Inspection:
    """What a model consists of and what it costs, without allocating memory for it.

    The model is built on ``meta`` and run forward there twice: in training mode with gradients, and
    in inference mode without. Optional inputs are passed, unless ``without`` lists them.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        freeze: the name of one of the spec's freeze plans, or patterns.
        batch: samples in one step; by default the spec's own size, or 1.
        precision: ``fp32``; ``bf16`` or ``fp16`` for everything; ``bf16-mixed`` or ``fp16-mixed``
            for the forward pass alone, as under autocast.
        optimizer: ``adamw``, ``adamw-8bit``, ``adam``, ``sgd`` (without momentum),
            ``sgd-momentum``, ``rmsprop``, ``adagrad`` or ``none``.
        checkpoint_blocks: patterns of modules whose activations are recomputed during backward,
            as ``torch.utils.checkpoint`` does.
        without: names of optional inputs to leave out, such as an attention mask.
        device: whose kernels decide what is saved for backward: ``cpu``, or ``cuda`` for a GPU
            with fused attention (compute capability 8.0 or newer); a GPU often saves much less.
        **dims: sizes of the spec's symbolic dimensions; they override its ``dims``.

    Returns:
        Figures with units: parameters and buffers (elements), MACs of one forward pass, bytes.

    Raises:
        UsageError: E801 for an unknown precision, optimizer, device, dimension or input, for a
            dimension without a size, and for an input in ``without`` that is required.
        ShapeError, SpecError, BuildError, FreezeError: as ``build``.

    Example:
        >>> inspection = inspect("bert", seq=512)
        >>> inspection.macs.value, str(inspection.parameters)
        (48318973440, '109,483,778 parameters')
    """
    sizes = dims if batch is None else {**dims, "batch": batch}
    case = MeasuredModel.of(
        source, sizes, freeze, precision, optimizer, checkpoint_blocks, without, device
    )
    return case.inspection()


def largest_batch(
    source: Source,
    gib: float,
    *,
    freeze: Plan = None,
    precision: str = "fp32",
    optimizer: str = "adamw",
    checkpoint_blocks: Sequence[str] = (),
    without: Sequence[str] = (),
    device: str = "cpu",
    **dims: int,
) -> int:
    """The largest batch with which a training step fits into ``gib`` GiB.

    It is the largest for which ``inspect(…).memory.training`` is within the limit; a real device
    needs some more memory.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        gib: memory in units of 2**30 bytes.
        freeze: as for ``inspect``.
        precision: as for ``inspect``.
        optimizer: as for ``inspect``.
        checkpoint_blocks: as for ``inspect``.
        without: as for ``inspect``.
        device: as for ``inspect``.
        **dims: sizes of the spec's symbolic dimensions.

    Returns:
        The number of samples; 0 if not even one fits, at most 1,000,000.

    Raises:
        UsageError: E801 as ``inspect``, for a spec without a dimension named ``batch``, for
            ``batch`` among the dimensions, and if ``gib`` is not a number of 0 or more.

    Example:
        >>> largest_batch("resnet18", 4)
        185
    """
    if "batch" in dims:
        raise _usage("largest_batch finds the batch: it cannot be given")
    sizes = {**dims, "batch": 1}
    case = MeasuredModel.of(
        source, sizes, freeze, precision, optimizer, checkpoint_blocks, without, device
    )
    return case.largest_batch(gib)


def example_run(
    source: Source, sizes: Mapping[str, int], without: Sequence[str] = ()
) -> tuple[Spec, dict[str, Any]]:
    """A spec with the given sizes as its ``dims``, and inputs of these sizes on ``meta``.

    Args:
        without: names of optional inputs to leave out.
    """
    spec = as_spec(source, {})
    left_out = _check_omitted(spec, without)
    spec = _with_sizes(spec, sizes, left_out)
    return spec, _inputs(spec, left_out)


def _inputs(spec: Spec, left_out: Sequence[str]) -> dict[str, Any]:
    tensors = example_inputs(spec, spec.architecture.dims, "meta")
    return {name: tensor for name, tensor in tensors.items() if name not in left_out}


@dataclass(frozen=True)
class MeasuredModel:
    """A model on ``meta``, and everything else that its cost depends on."""

    spec: Spec
    model: nn.Module
    freeze: Plan
    precision: Precision
    optimizer: str
    static: StaticMemory
    ties: tuple[SharedFrozen, ...]
    checkpointed: tuple[str, ...]
    without: tuple[str, ...]
    device: str

    @classmethod
    @without_garbage_collection()
    def of(
        cls,
        source: Source,
        sizes: Mapping[str, int],
        freeze: Plan,
        precision: str,
        optimizer: str,
        checkpoint_blocks: Sequence[str] = (),
        without: Sequence[str] = (),
        device: str = "cpu",
    ) -> MeasuredModel:
        chosen, optimizer = pick_precision(precision), pick_optimizer(optimizer)
        device = pick_kernels(device)
        spec = as_spec(source, {})
        left_out = _check_omitted(spec, without)
        spec = _with_sizes(spec, sizes, left_out)
        model = build(spec, device="meta", dtype=chosen.stored, freeze=freeze)
        static = StaticMemory.of(model, optimizer)
        ties = () if freeze is None else apply_plan(model, freeze, spec=spec).ties
        checkpointed = checkpointed_blocks(model, checkpoint_blocks)
        return cls(
            spec, model, freeze, chosen, optimizer, static, ties, checkpointed, left_out, device
        )

    def with_batch(self, batch: int) -> MeasuredModel:
        return replace(self, spec=_with_sizes(self.spec, {"batch": batch}, self.without))

    @without_garbage_collection()
    def inspection(self) -> Inspection:
        trained, inferred = self._runs()
        spec, root = self.spec, tree(self.spec, self.model, trained, inferred)
        plan = self.freeze
        return Inspection(
            name=spec.name,
            root=root,
            dims=dict(spec.architecture.dims),
            precision=self.precision.name,
            optimizer=self.optimizer,
            freeze=plan if isinstance(plan, str) or plan is None else tuple(plan),
            parameters=Figure(root.parameters, "parameters"),
            trainable=Figure(root.trainable, "parameters"),
            buffers=Figure(root.buffers, "elements"),
            macs=Figure(root.macs, "MACs"),
            training_macs=Figure(root.training_macs, "MACs"),
            step_flops=Figure(
                2 * (root.training_macs + trained.backward_macs),
                "FLOPs",
                # A checkpointed module may stop early; a loss may leave outputs out.
                exact=not self.checkpointed and len(root.outputs) == 1,
            ),
            memory=memory(self.static, trained, inferred, self.device),
            uncounted=dict(inferred.uncounted.most_common()),
            ties=self.ties,
            checkpointed=self.checkpointed,
            without=self.without,
            device=self.device,
            warnings=tuple(_warnings(root, {**trained.beyond, **inferred.beyond})),
        )

    def memory(self) -> Memory:
        return memory(self.static, *self._runs(), self.device)

    def largest_batch(self, gib: float) -> int:
        """As the function of that name; the case is one with a batch of 1."""

        def needs(batch: int) -> int:
            return self.with_batch(batch).memory().training.value

        if not isinstance(gib, int | float) or isinstance(gib, bool) or not 0 <= gib < float("inf"):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _usage(f"the memory is a number of GiB, not {gib!r}")
        limit = gib * 2**30
        try:
            low, used = 1, needs(1)
        except BuildError as error:
            if error.__cause__ is None or not _has_too_few_values(error.__cause__):
                raise
            low, used = 2, needs(2)  # no batch of 1 can be trained
        if used > limit:
            return 0
        high, guess, rounds = MAX_SIZE + 1, low + 1, 0
        while high - low > 1:
            needed = needs(guess)
            slope = (needed - used) / (guess - low)  # nearly the same everywhere
            if needed <= limit:
                low, used = guess, needed
            else:
                high = guess
            guess = low + int((limit - used) / slope) if slope > 0 else high - 1
            rounds += 1
            if rounds > 8:  # not in proportion after all
                guess = (low + high) // 2
            guess = min(max(guess, low + 1), high - 1)
        return low

    def _runs(self) -> tuple[Run, Run]:
        """A pass with gradients in training mode, and one without in inference mode."""
        spec, model, precision = self.spec, self.model, self.precision
        below: dict[str, list[str]] = {}
        for path in self.checkpointed:
            for around in (path, *ancestors(path)):
                below.setdefault(around, []).append(path[len(around) :].removeprefix("."))
        kinds = {p: (id(instance), *below.get(p, ())) for p, instance in walk(spec.root)}
        inputs = {
            name: _in_precision(value, precision.stored)
            for name, value in _inputs(spec, self.without).items()
        }
        autocast = precision.computed if precision.mixed else None
        options: dict[str, Any] = {"kinds": kinds, "autocast": autocast, "device": self.device}
        try:
            try:
                with torch.enable_grad():
                    checkpointed = frozenset(self.checkpointed)
                    trained, fault = run(model, inputs, **options, checkpointed=checkpointed), None
            except RunLimitExceeded:
                raise
            except Exception as error:
                trained, fault = None, error
            model.eval()
            with torch.no_grad():
                inferred = run(model, inputs, **options)
        except Exception as error:
            action = f"{spec.name} cannot be run in {precision.name} on meta"
            raise run_error(spec, model, error, action) from error
        finally:
            model.train()
        if trained is None:
            assert fault is not None
            action = f"{spec.name} cannot be run in training mode, nor can it in plain PyTorch"
            ones = [f"{name}=2" for name, size in spec.architecture.dims.items() if size == 1]
            has_hint = ones and _has_too_few_values(fault)
            hint = f"give a larger size: --dim {' --dim '.join(ones)}" if has_hint else ""
            raise run_error(spec, model, fault, action, hint) from fault
        return trained, inferred


def _in_precision(value: Any, dtype: torch.dtype | None) -> Any:
    """An input whose floating-point tensors are of ``dtype``, if one is given."""
    if isinstance(value, list):
        return [_in_precision(item, dtype) for item in cast("list[Any]", value)]
    is_float = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.to(dtype) if is_float else value


def _has_too_few_values(error: BaseException) -> bool:
    """Whether a norm is given one value per channel: in training mode it takes statistics."""
    return isinstance(error, ValueError) and str(error).startswith("Expected more than 1 ")


def checkpointed_blocks(model: nn.Module, patterns: Sequence[str]) -> tuple[str, ...]:
    """The outermost modules that patterns select; of a list or a mapping, its items.

    Raises:
        FreezeError: E701, E702, a pattern is wrong or selects nothing.
    """
    if isinstance(patterns, str) or not all(isinstance(text, str) for text in patterns):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _usage("checkpoint_blocks takes a list of patterns")
    if not patterns:
        return ()
    chosen = ResolvedPlan(None, FreezePlan(patterns=list(patterns)), (None,) * len(patterns))
    selection = Selection(model, chosen)
    outermost: dict[str, nn.Module] = {}
    for path, module in selection.modules.items():
        called = not isinstance(module, nn.ModuleList | nn.ModuleDict)
        if called and selection.freezes(path) and not any(p in outermost for p in ancestors(path)):
            outermost[path] = module
    first = {id(module): path for path, module in reversed(outermost.items())}
    return tuple(path for path, module in outermost.items() if first[id(module)] == path)


def _warnings(root: Node, beyond: Mapping[str, tuple[int, int]]) -> Iterator[Note]:
    """Tables that are too short, such as one of positions for the length of a sequence."""
    pending = [root]
    while pending:
        node = pending.pop()
        pending += reversed(node.children)
        if node.path in beyond:
            rows, index = beyond[node.path]
            name = node.path or node.type
            message = f"{name} has {rows:,} rows, but is indexed with {index:,}:"
            yield Note(f"{message} on a device this fails with an IndexError", node.place)


def _check_omitted(spec: Spec, names: Sequence[str]) -> tuple[str, ...]:
    """The optional inputs of these names."""
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise _usage("without takes a list of names of inputs")
    inputs = spec.architecture.blocks[spec.architecture.model].inputs
    optional = [name for name, contract in inputs.items() if contract.optional]
    for name in names:
        if name not in optional:
            what = "needs its input" if name in inputs else "has no input"
            hint = "" if name in inputs else did_you_mean(name, optional)
            hint = hint or f"optional inputs: {', '.join(optional) or 'none'}"
            raise _usage(f"{spec.name} {what} '{name}'", hint)
    return tuple(dict.fromkeys(names))


def _with_sizes(spec: Spec, sizes: Mapping[str, int], left_out: Sequence[str] = ()) -> Spec:
    """The spec with these sizes as its ``dims``; inputs that are left out need none."""
    own_sizes = spec.architecture.dims
    users: dict[str, list[str]] = {}
    for name, contract in spec.tree.blocks[spec.architecture.model].inputs.items():
        for symbol in symbols_of([contract]):
            users.setdefault(symbol, []).append(name)
    symbols = [size for size, names in users.items() if not {*names} <= {*left_out}]
    known = list(dict.fromkeys([*own_sizes, *users]))
    for name, size in sizes.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known) or 'none'}"
            raise _usage(f"{spec.name} has no dimension '{name}'", hint)
        least = min(1, own_sizes.get(name, 1))  # 0 where the spec says so, as of an empty cache
        if not isinstance(size, int) or isinstance(size, bool) or size < least:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _usage(f"the size of '{name}' is an integer of {least} or more, not {size!r}")
        if size > MAX_SIZE:
            raise _usage(f"the size of '{name}' is at most {MAX_SIZE:,}, not {size:,}")
    dims = {**({"batch": 1} if "batch" in known else {}), **own_sizes, **sizes}
    for name in symbols:
        if name not in dims:
            hint = f"write dims: {{{name}: …}} in the spec, or give {name}=… (--dim {name}=…)"
            if name == ANY:
                hint = f"give it a name in the inputs of {spec.architecture.model}, and a size"
            raise _usage(f"{spec.name} gives '{name}' no size", hint)
    architecture = spec.architecture.model_copy(update={"dims": dims})
    return replace(spec, architecture=architecture)


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
