"""Hashes of frozen tensors, which later prove that none of them has changed."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from archspec.errors import FreezeError, Problem, UsageError
from archspec.freezing.modes import stays_in_inference
from archspec.freezing.selection import check_module, shared_parameters
from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

ALGORITHM = "sha256 of dtype, shape and bytes"
MAX_CHUNK = 2**22
"""Number of elements that are copied at once."""

_MAX_SHOWN = 8  # to_dict has all


@dataclass(frozen=True, slots=True)
class FreezeProof(Displayed):
    """Hashes of a model's frozen tensors, to be compared with the model later.

    Attributes:
        hashes: name of a frozen parameter or of a buffer of a module in inference mode → SHA-256
            over its dtype, shape and bytes, in hexadecimal digits.
    """

    hashes: Mapping[str, str]

    @classmethod
    def of(cls, model: nn.Module) -> FreezeProof:
        """The proof of a model in its current state, empty if nothing is frozen.

        Raises:
            UsageError: E801, a tensor has no data.
        """
        return cls({name: tensor_hash(name, tensor) for name, tensor in _frozen(model).items()})

    @property
    def digest(self) -> str:
        """One hash of all names and hashes."""
        lines = "".join(
            f"{name} {tensor_digest}\n" for name, tensor_digest in sorted(self.hashes.items())
        )
        return hashlib.sha256(lines.encode()).hexdigest()

    def verify(self, model: nn.Module) -> None:
        """Check that all tensors still exist, are still frozen, and are bitwise equal.

        Args:
            model: the model itself, a copy, or a new one with the same plan and the weights of a
                checkpoint.

        Raises:
            FreezeError: E704, each tensor that was changed, unfrozen or removed.
            UsageError: E801, a tensor has no data.
        """
        check_module(model)
        frozen, tensors = _frozen(model), _tensors(model)
        problems: list[Problem] = []
        for name, expected in self.hashes.items():
            if name not in tensors:
                problems.append(Problem("E704", f"'{name}' is no longer there"))
            elif tensor_hash(name, tensors[name]) != expected:
                problems.append(Problem("E704", f"'{name}' has moved"))
            elif name not in frozen:
                hint = "freeze the model as it was when the proof was taken"
                problems.append(Problem("E704", f"'{name}' has been thawed", hint=hint))
        if problems:
            raise FreezeError(problems)

    def to_dict(self) -> dict[str, Any]:
        """The proof as plain data, for a JSON file."""
        return {"algorithm": ALGORITHM, "digest": self.digest, "tensors": dict(self.hashes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FreezeProof:
        """The proof from the data that ``to_dict`` returned.

        Raises:
            UsageError: E801, it is not a proof, or was changed.
        """
        tensors = data.get("tensors") if isinstance(data, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if not isinstance(tensors, Mapping) or not _are_hashes(tensors):
            raise _usage("this is no freeze proof")
        proof = cls(dict(cast("Mapping[str, str]", tensors)))
        if (data.get("algorithm"), data.get("digest")) != (ALGORITHM, proof.digest):
            raise _usage("this freeze proof was made otherwise, or changed since")
        return proof

    def __rich__(self) -> RenderableType:
        from rich.text import Text

        lines = [f"{len(self.hashes):,} frozen tensors, sha256 {self.digest}"]
        shown = list(self.hashes.items())[:_MAX_SHOWN]
        lines += [f"  {digest[:12]}  {printable(name)}" for name, digest in shown]
        more = len(self.hashes) - len(shown)
        return Text("\n".join([*lines, f"  … {more:,} more"] if more else lines))


def freeze_proof(model: nn.Module) -> FreezeProof:
    """Hash every frozen parameter, and the buffers of modules that stay in inference mode.

    Tensors are read in chunks, so that this takes time but little memory.

    Args:
        model: with a freeze plan.

    Returns:
        The proof; ``proof.verify(model)`` raises if one of these tensors has changed.

    Raises:
        UsageError: E801, nothing is frozen, or a tensor is on ``meta`` and has no data.

    Example:
        >>> import archspec
        >>> model = archspec.build("resnet18", device="cpu", freeze="last-stage-and-head")
        >>> proof = freeze_proof(model)
        >>> len(proof.hashes), "bn1.running_mean" in proof.hashes
        (90, True)
        >>> proof.verify(model)
    """
    check_module(model)
    proof = FreezeProof.of(model)
    if not proof.hashes:
        hint = "archspec.freeze(model, plan) comes first"
        raise _usage("nothing is frozen that a proof could be taken of", hint)
    return proof


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers under each of their names."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {**parameters, **dict(model.named_buffers(remove_duplicate=False))}


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    tensors: dict[str, Tensor] = {
        name: one.tensor
        for one in shared_parameters(model)
        for name in one.names
        if not one.tensor.requires_grad
    }
    for path, module in model.named_modules(remove_duplicate=False):
        if stays_in_inference(module):
            buffers = module.named_buffers(path, recurse=False, remove_duplicate=False)
            tensors.update(buffers)
    return tensors


def tensor_hash(name: str, tensor: Tensor) -> str:
    """SHA-256 over a tensor's dtype, shape and bytes; ``name`` is for the error.

    Raises:
        UsageError: E801, the tensor has no data.
    """
    if tensor.is_meta:
        raise _usage(f"'{name}' is on meta and has no data: build the model on a device")
    hasher = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
    for piece in _pieces(tensor.detach()):
        real = piece.resolve_conj().resolve_neg().cpu()
        dense = real.clone(memory_format=torch.contiguous_format).view(-1)
        hasher.update(dense.view(torch.uint8).numpy().data)
    return hasher.hexdigest()


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """Views of a tensor, in the order of its elements, of at most ``MAX_CHUNK`` each."""
    if tensor.numel() <= MAX_CHUNK:
        yield tensor
        return
    rows = MAX_CHUNK * len(tensor) // tensor.numel()
    for part in tensor.split(rows) if rows else tensor.unbind():
        yield from _pieces(part)


_HEX = re.compile(r"[0-9a-f]{64}")


def _are_hashes(hashes: Mapping[Any, Any]) -> bool:
    return all(
        isinstance(name, str) and isinstance(value, str) and _HEX.fullmatch(value)
        for name, value in hashes.items()
    )


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
