"""``inspect`` and ``largest_batch``: build on ``meta``, run forward twice, add up."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from archspec.builder import build
from archspec.building.run_errors import run_error
from archspec.building.shapes import example_inputs
from archspec.errors import Problem, UsageError, did_you_mean
from archspec.freezing import Tie
from archspec.freezing import freeze as apply_plan
from archspec.inspection.measure import run
from archspec.inspection.memory import Held, Precision, memory, pick_optimizer, pick_precision
from archspec.inspection.report import Figure, Inspection, Memory
from archspec.inspection.tree import tree
from archspec.lang.instances import walk
from archspec.lang.spec import Spec, as_spec
from archspec.tracing.ledger import Run

MOST = 1_000_000
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
    **dims: int,
) -> Inspection:
    """What a model is and what it costs, without giving it memory.

    The model is built on ``meta`` and run forward there twice: in training mode with gradients, and
    in inference mode without. Inputs that are optional are given.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        freeze: the name of one of the spec's freeze plans, or patterns.
        batch: samples in one step; the spec's own size, or 1, if left out.
        precision: ``fp32``; ``bf16`` or ``fp16`` for everything; ``bf16-mixed`` or ``fp16-mixed``
            for the forward pass alone, as under autocast.
        optimizer: ``adamw``, ``adam``, ``sgd``, ``sgd-momentum``, ``rmsprop``, ``adagrad`` or
            ``none``.
        **dims: sizes of the spec's symbolic dimensions, instead of those in its ``dims``.

    Returns:
        Figures with units: parameters and buffers (elements), MACs of one forward pass, bytes.

    Raises:
        UsageError: E801 for an unknown precision, optimizer or dimension, or one without a size.
        ShapeError, SpecError, BuildError, FreezeError: as ``build``.

    Example:
        >>> found = inspect("bert", seq=512)
        >>> found.macs.value, str(found.parameters)
        (48318973440, '109,483,778 parameters')
    """
    sizes = dims if batch is None else {**dims, "batch": batch}
    return Case.of(source, sizes, freeze, precision, optimizer).inspection()


def largest_batch(
    source: Source,
    gib: float,
    *,
    freeze: Plan = None,
    precision: str = "fp32",
    optimizer: str = "adamw",
    **dims: int,
) -> int:
    """The largest batch that one training step can take in ``gib`` GiB.

    Counted is what ``inspect(…).memory.training`` says, at that batch; a real device needs some
    memory besides.

    Args:
        source: a path, a packaged spec's name, or a Spec.
        gib: memory in units of 2**30 bytes.
        freeze: as for ``inspect``, like what follows.
        precision: of weights and of what is computed.
        optimizer: whose state is held.
        **dims: sizes of the spec's symbolic dimensions.

    Returns:
        The number of samples; 0 if not even one fits, at most 1,000,000.

    Raises:
        UsageError: E801, as ``inspect``, and for a spec without a dimension named ``batch``, for a
            batch that is given, and for ``gib`` that is no number of 0 or more.

    Example:
        >>> largest_batch("resnet18", 4)
        185
    """
    if "batch" in dims:
        raise _usage("largest_batch finds the batch: it cannot be given")
    sizes = {**dims, "batch": 1}
    return Case.of(source, sizes, freeze, precision, optimizer).largest_batch(gib)


def example_run(source: Source, sizes: Mapping[str, int]) -> tuple[Spec, dict[str, torch.Tensor]]:
    """A spec with the given sizes as its ``dims``, and inputs of these sizes on ``meta``."""
    spec = _sized(as_spec(source, {}), sizes)
    return spec, example_inputs(spec, spec.architecture.dims, "meta")


@dataclass(frozen=True)
class Case:
    """A model on ``meta``, and everything else that decides what it costs."""

    spec: Spec
    model: nn.Module
    freeze: Plan
    precision: Precision
    optimizer: str
    held: Held
    ties: tuple[Tie, ...]

    @classmethod
    def of(
        cls,
        source: Source,
        sizes: Mapping[str, int],
        freeze: Plan,
        precision: str,
        optimizer: str,
    ) -> Case:
        chosen, optimizer = pick_precision(precision), pick_optimizer(optimizer)
        spec = _sized(as_spec(source, {}), sizes)
        model = build(spec, device="meta", dtype=chosen.held, freeze=freeze)
        held = Held.by(model, optimizer)
        ties = () if freeze is None else apply_plan(model, freeze, spec=spec).ties
        return cls(spec, model, freeze, chosen, optimizer, held, ties)

    def at(self, batch: int) -> Case:
        return replace(self, spec=_sized(self.spec, {"batch": batch}))

    def inspection(self) -> Inspection:
        trained, inferred = self._runs()
        spec, root = self.spec, tree(self.spec, self.model, trained)
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
            memory=memory(self.held, trained, inferred),
            uncounted=dict(trained.uncounted.most_common()),
            ties=self.ties,
        )

    def memory(self) -> Memory:
        return memory(self.held, *self._runs())

    def largest_batch(self, gib: float) -> int:
        """As the function of that name; the case is one with a batch of 1."""
        if not isinstance(gib, int | float) or isinstance(gib, bool) or not 0 <= gib < float("inf"):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _usage(f"the memory is a number of GiB, not {gib!r}")
        limit = gib * 2**30
        low, used = 1, self.memory().training.value
        if used > limit:
            return 0
        high, guess, rounds = MOST + 1, 2, 0
        while high - low > 1:
            needed = self.at(guess).memory().training.value
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
        kinds = {path: id(instance) for path, instance in walk(spec.root)}
        inputs = {
            name: tensor.to(precision.held) if tensor.is_floating_point() else tensor
            for name, tensor in example_inputs(spec, spec.architecture.dims, "meta").items()
        }
        how = {"kinds": kinds, "autocast": precision.computed if precision.mixed else None}
        try:
            with torch.enable_grad():
                trained = run(model, inputs, **how)
            model.eval()
            with torch.no_grad():
                return trained, run(model, inputs, **how)
        except Exception as error:
            doing = f"{spec.name} cannot be run in {precision.name} on meta"
            raise run_error(spec, model, error, doing) from error
        finally:
            model.train()


def _sized(spec: Spec, sizes: Mapping[str, int]) -> Spec:
    """The spec with these sizes as its ``dims``."""
    given = spec.architecture.dims
    inputs = spec.architecture.blocks[spec.architecture.model].inputs
    symbols = [
        size
        for contract in inputs.values()
        for size in contract.shape
        if isinstance(size, str) and not size.startswith("$")
    ]
    known = list(dict.fromkeys([*given, *symbols]))
    for name, size in sizes.items():
        if name not in known:
            hint = did_you_mean(name, known) or f"there are {', '.join(known) or 'none'}"
            raise _usage(f"{spec.name} has no dimension '{name}'", hint)
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise _usage(f"the size of '{name}' is an integer of 1 or more, not {size!r}")
        if size > MOST:
            raise _usage(f"the size of '{name}' is at most {MOST:,}, not {size:,}")
    wanted = {**({"batch": 1} if "batch" in known else {}), **given, **sizes}
    for name in symbols:
        if name not in wanted:
            raise _usage(f"{spec.name} gives '{name}' no size", f"give one: {name}=…")
    architecture = spec.architecture.model_copy(update={"dims": wanted})
    return replace(spec, architecture=architecture)


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
