"""What a model's modules give for one input: the values of each output, and attention weights."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from archspec.building.devices import is_out_of_memory
from archspec.errors import BuildError, Problem
from archspec.freezing.modes import evaluating
from archspec.predicting.engine import batch_in_memory
from archspec.predicting.variants import Variant
from archspec.report.text import first_line
from archspec.weights.value_statistics import (
    ValueStatistics,
    figures,
    with_outliers_noted,
)

MAX_POSITIONS = 128
"""Queries and keys of an attention map that are kept, the first ones."""

MAX_MAPS = 256
_LARGEST_HALF = 65_504.0
_ATTENTION = frozenset({F.scaled_dot_product_attention})
_SOFTMAX = frozenset({F.softmax, torch.softmax, Tensor.softmax})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleActivation(ValueStatistics):
    """The output of one module; of several tensors the first, with the one input as a batch of 1.

    Attributes:
        path: of the module; "" is the whole model.
        type: class name.
        calls: how often the module ran; the figures are those of the last time.
    """

    path: str
    type: str
    calls: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class AttentionMap:
    """The attention weights of one call.

    Attributes:
        path: of the module whose forward computes them.
        source: ``scaled_dot_product_attention``, whose weights are computed anew from its
            arguments, or ``softmax``, of scores with four axes, whose result they are.
        weights: float32 [heads, queries, keys] on the CPU, each row with the sum 1.
        queries, keys: how many there are; ``weights`` has the first 128 at most.
    """

    path: str
    source: str
    weights: Tensor = field(repr=False)
    queries: int
    keys: int


@dataclass(frozen=True, slots=True)
class Activations:
    """What is in a model while it predicts on one input.

    Attributes:
        tokens: the names of the input's tokens, in their order; none for an image.
        modules: in the order of ``named_modules``; those that gave no tensor are left out.
        attention: in the order of the calls.
        notes: what is not known, as sentences without a period.
    """

    tokens: tuple[str, ...]
    modules: tuple[ModuleActivation, ...]
    attention: tuple[AttentionMap, ...]
    notes: tuple[str, ...]


def observe(variant: Variant, batch: Mapping[str, Tensor], tokens: Sequence[str]) -> Activations:
    """As ``Predictor.activations``.

    Raises:
        BuildError: E503 or E512, the model cannot be run on the input.
    """
    observer = _Observer()
    with ExitStack() as stack:
        stack.enter_context(evaluating(variant.model))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(batch_in_memory(1))
        for path, module in variant.model.named_modules():
            stack.callback(observer.watch(path, module))
        stack.enter_context(observer)
        try:
            variant(batch)
        except (ArithmeticError, IndexError, RuntimeError, TypeError, ValueError) as error:
            if is_out_of_memory(error):
                raise
            message = f"the model cannot be run on the input: {first_line(error)}"
            raise BuildError(Problem("E512", message)) from error
    order = {path: i for i, (path, _) in enumerate(variant.model.named_modules())}
    found = sorted(observer.modules.values(), key=lambda one: order[one.path])
    return Activations(
        tuple(tokens),
        tuple(with_outliers_noted(found, lambda one: (one.path, one.type), "modules")),
        tuple(observer.attention),
        tuple(_unknown(variant.model, observer)),
    )


class _Observer(TorchFunctionMode):
    """Takes down outputs of modules, by hooks, and attention weights, from calls of functions."""

    def __init__(self) -> None:
        super().__init__()
        self.modules: dict[str, ModuleActivation] = {}
        self.attention: list[AttentionMap] = []
        self.left_out = 0
        self._running: list[str] = []

    def watch(self, path: str, module: nn.Module) -> Callable[[], None]:
        """Returns what ends it."""

        def started(module: nn.Module, args: object) -> None:
            self._running.append(path)

        def ended(module: nn.Module, args: object, output: object) -> None:
            self._running.pop()
            if (tensor := _first_tensor(output)) is not None:
                before = self.modules.get(path)
                found = _described(path, type(module).__name__, tensor)
                self.modules[path] = replace(found, calls=before.calls + 1 if before else 1)

        hooks = module.register_forward_pre_hook(started), module.register_forward_hook(ended)

        def end() -> None:
            for hook in hooks:
                hook.remove()

        return end

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        result = func(*args, **given)
        if func in _ATTENTION:
            self._keep("scaled_dot_product_attention", _attention_weights(*args, **given))
        elif func in _SOFTMAX and isinstance(result, Tensor) and result.ndim == 4:
            dim = given.get("dim", args[1] if len(args) > 1 else None)
            if dim in (-1, 3):
                self._keep("softmax", result)
        return result

    def _keep(self, source: str, weights: Tensor) -> None:
        if len(self.attention) >= MAX_MAPS:
            self.left_out += 1
            return
        queries, keys = weights.shape[-2:]
        of_input = weights.reshape(-1, queries, keys)[:, :MAX_POSITIONS, :MAX_POSITIONS]
        kept = of_input.detach().float().cpu()
        path = self._running[-1] if self._running else ""
        self.attention.append(AttentionMap(path, source, kept, queries, keys))


def _attention_weights(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """The weights that scaled dot product attention multiplies values with, without dropout."""
    if enable_gqa:
        key = key.repeat_interleave(query.shape[-3] // key.shape[-3], -3)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query.float() @ key.float().transpose(-2, -1)) * factor
    if is_causal:
        scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -torch.inf)
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores = scores.masked_fill(~attn_mask, -torch.inf)
    elif attn_mask is not None:
        scores = scores + attn_mask
    return scores.softmax(-1).nan_to_num()  # a row that may look at nothing gives zeros


def _first_tensor(output: object) -> Tensor | None:
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = [*cast("Mapping[object, object]", output).values()]
    if isinstance(output, list | tuple):
        parts = cast("Sequence[object]", output)
        return next((one for part in parts if (one := _first_tensor(part)) is not None), None)
    return None


def _described(path: str, kind: str, tensor: Tensor) -> ModuleActivation:
    found = ModuleActivation(**figures(tensor), path=path, type=kind)
    return replace(found, notes=(*found.notes, *_notes(found, tensor)))


def _notes(found: ModuleActivation, tensor: Tensor) -> Iterator[str]:
    size = tensor.numel()
    if found.lowest is None or found.highest is None or not tensor.is_floating_point():
        return
    if found.are_all_equal:
        yield f"dead: all values are {found.lowest:g}"
        return
    if max(-found.lowest, found.highest) > _LARGEST_HALF:
        yield "exploding: values are too large for float16"
    # Channels of images stand behind the batch, features of everything else at the end.
    axis = 1 if tensor.ndim == 4 else tensor.ndim - 1
    units = tensor.shape[axis] if tensor.ndim > 1 else 0
    if units > 1 and size > units:  # of a single row, zeros are no unit's habit
        dead = int((tensor == 0).movedim(axis, 0).reshape(units, -1).all(1).sum())
        if dead > 1:
            yield f"{dead:,} of {units:,} units are zero everywhere"


def _unknown(model: nn.Module, observer: _Observer) -> Iterator[str]:
    hidden = [path for path, one in model.named_modules() if isinstance(one, nn.MultiheadAttention)]
    if hidden:
        what = f"{len(hidden):,} modules" if len(hidden) > 1 else f"'{hidden[0]}'"
        yield f"the attention weights of {what} of the class MultiheadAttention are not known"
    elif not observer.attention:
        yield "no module computes attention weights in a way that can be seen"
    if observer.left_out:
        yield f"{observer.left_out:,} more attention maps are left out"
