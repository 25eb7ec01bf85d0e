"""Hashes of what is frozen, which show later that none of it moved."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from archspec.errors import FreezeError, Problem, UsageError
from archspec.freezing.modes import stays
from archspec.freezing.selection import check_module, shared_parameters
from archspec.report.display import Displayed
from archspec.report.text import printable

if TYPE_CHECKING:
    from rich.console import RenderableType

ALGORITHM = "sha256 of dtype, shape and bytes"
CHUNK = 2**22
"""Elements that are copied at once."""

_MOST_SHOWN = 8  # to_dict has all


@dataclass(frozen=True, slots=True)
class FreezeProof(Displayed):
    """Hashes of a model's frozen tensors, taken at one time and held against it at another.

    Attributes:
        hashes: name of a frozen parameter, or of a buffer that stands still → SHA-256 over its
            dtype, shape and bytes, in hexadecimal digits.
    """

    hashes: Mapping[str, str]

    @classmethod
    def of(cls, model: nn.Module) -> FreezeProof:
        """The proof of a model as it is, without hashes if nothing is frozen.

        Raises:
            UsageError: E801, a tensor has no data.
        """
        return cls({name: tensor_hash(name, tensor) for name, tensor in _frozen(model).items()})

    @property
    def digest(self) -> str:
        """One hash of all names and hashes."""
        lines = "".join(f"{name} {found}\n" for name, found in sorted(self.hashes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def verify(self, model: nn.Module) -> None:
        """Check that everything is still there, still frozen, and the same to the last bit.

        Args:
            model: the model itself, a copy, or one that was built anew with the same plan and
                the weights of a checkpoint.

        Raises:
            FreezeError: E704, each tensor that moved, was thawed or vanished.
            UsageError: E801, a tensor has no data.
        """
        check_module(model)
        frozen, there = _frozen(model), _tensors(model)
        problems: list[Problem] = []
        for name, expected in self.hashes.items():
            if name not in there:
                problems.append(Problem("E704", f"'{name}' is no longer there"))
            elif tensor_hash(name, there[name]) != expected:
                problems.append(Problem("E704", f"'{name}' has moved"))
            elif name not in frozen:
                hint = "freeze the model as it was when the proof was taken"
                problems.append(Problem("E704", f"'{name}' has been thawed", hint=hint))
        if problems:
            raise FreezeError(problems)

    def to_dict(self) -> dict[str, Any]:
        """The proof as plain data, for a file of JSON."""
        return {"algorithm": ALGORITHM, "digest": self.digest, "tensors": dict(self.hashes)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> FreezeProof:
        """The proof that ``to_dict`` gave.

        Raises:
            UsageError: E801, it is none, or was changed since.
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
        shown = list(self.hashes.items())[:_MOST_SHOWN]
        lines += [f"  {found[:12]}  {printable(name)}" for name, found in shown]
        more = len(self.hashes) - len(shown)
        return Text("\n".join([*lines, f"  … {more:,} more"] if more else lines))


def freeze_proof(model: nn.Module) -> FreezeProof:
    """Take hashes of every frozen parameter, and of the buffers of what stays in inference mode.

    Tensors are read in pieces: this takes time, and no memory to speak of.

    Args:
        model: with a freeze plan.

    Returns:
        The proof; ``proof.verify(model)`` raises if one of these tensors moved since.

    Raises:
        UsageError: E801, nothing is frozen, or a tensor has no data, being on ``meta``.

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
    """All parameters and buffers by each of their names."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    return {**parameters, **dict(model.named_buffers(remove_duplicate=False))}


def _frozen(model: nn.Module) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {
        name: one.tensor
        for one in shared_parameters(model)
        for name in one.names
        if not one.tensor.requires_grad
    }
    for path, module in model.named_modules(remove_duplicate=False):
        if stays(module):
            own = module.named_buffers(path, recurse=False, remove_duplicate=False)
            found.update(own)
    return found


def tensor_hash(name: str, tensor: Tensor) -> str:
    """SHA-256 over a tensor's dtype, shape and bytes; ``name`` is for the error.

    Raises:
        UsageError: E801, the tensor has no data.
    """
    if tensor.is_meta:
        raise _usage(f"'{name}' is on meta and has no data: build the model on a device")
    found = hashlib.sha256(f"{tensor.dtype} {list(tensor.shape)}\n".encode())
    for piece in _pieces(tensor.detach()):
        real = piece.resolve_conj().resolve_neg().cpu()
        dense = real.clone(memory_format=torch.contiguous_format).view(-1)
        found.update(dense.view(torch.uint8).numpy().data)
    return found.hexdigest()


def _pieces(tensor: Tensor) -> Iterator[Tensor]:
    """Views of a tensor, in the order of its elements, of no more than ``CHUNK`` each."""
    if tensor.numel() <= CHUNK:
        yield tensor
        return
    rows = CHUNK * len(tensor) // tensor.numel()
    for part in tensor.split(rows) if rows else tensor.unbind():
        yield from _pieces(part)


_HEX = re.compile(r"[0-9a-f]{64}")


def _are_hashes(found: Mapping[Any, Any]) -> bool:
    return all(
        isinstance(name, str) and isinstance(value, str) and _HEX.fullmatch(value)
        for name, value in found.items()
    )


def _usage(message: str, hint: str = "") -> UsageError:
    return UsageError(Problem("E801", message, hint=hint))
