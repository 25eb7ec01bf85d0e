"""Looks up devices and dtypes by name, and checks that a model fits into memory."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from archspec.errors import BuildError, Problem, UsageError
from archspec.lang.spec import Spec
from archspec.report.numbers import format_size

_NAMES = ("auto", "cpu", "cuda", "mps", "meta")
_DTYPES = ("float32", "float64", "float16", "bfloat16")


def pick_device(device: str | torch.device) -> torch.device:
    """The device with a name; ``auto`` is a GPU if there is one, else the CPU.

    Raises:
        UsageError: E801 for an unknown name.
        BuildError: E502 for a device that is not available.
    """
    name = str(device)
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu"
    if not re.fullmatch(r"cpu|meta|mps|cuda(:\d{1,4})?", name):
        hint = f"devices: {', '.join(_NAMES)}, cuda:N"
        raise UsageError(Problem("E801", f"no device is called '{name}'", hint=hint))
    if name.startswith("cuda"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(name.partition(":")[2] or 0) >= count:
            there = f"there are {count} CUDA devices" if count else "there is no CUDA device"
            raise BuildError(Problem("E502", f"device '{name}': {there}", hint="try device='cpu'"))
    if name == "mps" and not _has_mps():
        raise BuildError(Problem("E502", "device 'mps': not available", hint="try device='cpu'"))
    return torch.device(name)


def _has_mps() -> bool:
    return torch.backends.mps.is_available()


def pick_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """The floating-point dtype with a name.

    Raises:
        UsageError: E801 for anything else.
    """
    name = str(dtype).removeprefix("torch.")
    if dtype is not None and name not in _DTYPES:
        hint = f"dtypes: {', '.join(_DTYPES)}"
        raise UsageError(Problem("E801", f"no floating-point dtype is called '{name}'", hint=hint))
    return None if dtype is None else getattr(torch, name)


def tensor_bytes(model: nn.Module, dtype: torch.dtype | None) -> int:
    """Bytes of all parameters and buffers, shared ones counted once, exact."""
    total = 0
    for tensor in {id(t): t for t in [*model.parameters(), *model.buffers()]}.values():
        size = (
            dtype.itemsize if dtype is not None and tensor.is_floating_point() else tensor.itemsize
        )
        total += tensor.numel() * size
    return total


def check_memory(
    spec: Spec, model: nn.Module, device: torch.device, dtype: torch.dtype | None
) -> None:
    """Check that a model fits into the free memory.

    Raises:
        BuildError: E503, with both sizes.
    """
    needed, free = tensor_bytes(model, dtype), free_bytes(device)
    if free is not None and needed > free:
        message = (
            f"{spec.name} needs {format_size(needed)} on {device}, {format_size(free)} is free"
        )
        hint = "build it on 'meta' to inspect it, or choose a smaller dtype"
        raise BuildError(Problem("E503", message, hint=hint))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that a device has no memory left; a CPU's is a plain RuntimeError."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    said = str(error)
    return isinstance(error, RuntimeError) and (
        "DefaultCPUAllocator" in said or "MPS backend out of memory" in said
    )


@contextmanager
def out_of_memory_as_error(message: str, hint: str) -> Iterator[None]:
    """Raise a BuildError, E503, with this message if memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise BuildError(Problem("E503", message, hint=hint)) from error


def free_bytes(device: torch.device) -> int | None:
    """Free bytes on a device; None if unknown."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    available = re.search(r"^MemAvailable:\s+(\d+) kB", _read("/proc/meminfo"), re.MULTILINE)
    if available is None:
        return None  # not Linux: unknown
    return min(int(available[1]) * 1024, _free_in_container())


def _free_in_container() -> int:
    """Free bytes within a container's limit (cgroup v2); unlimited without one."""
    limit, used = _read("/sys/fs/cgroup/memory.max"), _read("/sys/fs/cgroup/memory.current")
    cache = re.search(r"^inactive_file (\d+)", _read("/sys/fs/cgroup/memory.stat"), re.MULTILINE)
    if not limit.strip().isdecimal() or not used.strip().isdecimal():
        return sys.maxsize
    return max(0, int(limit) - int(used) + (int(cache[1]) if cache else 0))


def _read(file: str) -> str:
    try:
        return Path(file).read_text(encoding="ascii")
    except OSError:
        return ""
