"""What training finds around it: packages, devices, and the processes of a run."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from dataclasses import dataclass
from types import ModuleType

from archspec.building.devices import pick_device
from archspec.errors import Problem, UsageError
from archspec.freezing.quantized import Quantization, check_torchao
from archspec.report.text import first_line
from archspec.tracking import check_tracker


def require() -> None:
    """Make sure that what training needs can be imported.

    Raises:
        UsageError: E801, it is not installed.
    """
    for name in ("lightning_fabric", "tensorboard", "torchmetrics"):
        if importlib.util.find_spec(name) is None:
            hint = "pip install 'archspec-nn[train]'"
            raise UsageError(Problem("E801", f"training needs {name}", hint=hint))
    _tolerate_torchvision()


_META = "torchvision._meta_registrations"


def _tolerate_torchvision() -> None:
    """Let a torchvision that was made for another PyTorch stand.

    torchmetrics imports torchvision where it is installed, though nothing here uses it. One whose
    compiled half does not load fails while it registers the shapes of its own operators:
    without them the rest of it can be imported.
    """
    if "torchvision" in sys.modules or importlib.util.find_spec("torchvision") is None:
        return
    try:
        importlib.import_module("torchvision")
    except RuntimeError:
        sys.modules[_META] = ModuleType(_META)
    except Exception as error:
        raise _unusable(error) from None
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        sys.modules.pop(_META, None)
        raise _unusable(error) from None


def _unusable(error: Exception) -> UsageError:
    hint = "install the one for this PyTorch, or none: training does not need it"
    return UsageError(
        Problem("E801", f"torchvision cannot be imported: {first_line(error)}", hint=hint)
    )


def check_device(name: str, precision: str) -> None:
    """Whether a device is there, and computes as it is asked to.

    Raises:
        UsageError: E801, it is none, or has no such precision.
        BuildError: E502, it is not there.
    """
    kind = pick_device(name).type
    if kind == "meta":
        raise UsageError(Problem("E801", "on meta there is nothing to train"))
    if kind == "cpu" and precision == "fp16-mixed":
        hint = "bf16-mixed, or fp32"
        raise UsageError(Problem("E801", "fp16-mixed is not for the CPU", hint=hint))


@dataclass(frozen=True, slots=True)
class Processes:
    """What ``torchrun`` started: all processes, those of this machine, and how many machines."""

    world: int
    local: int

    @property
    def nodes(self) -> int:
        return max(1, self.world // self.local)


def processes() -> Processes | None:
    """The processes that ``torchrun`` started; None if this one was started by hand."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return None
    world, local = (max(1, _number(name, 1)) for name in ("WORLD_SIZE", "LOCAL_WORLD_SIZE"))
    return Processes(world, local)


def check_strategy(name: str, device: str, devices: int) -> None:
    """Whether there are as many processes as a strategy needs, and their devices can be joined.

    Raises:
        UsageError: E801, there is one process, and nothing to split over, or the device is alone.
    """
    if pick_device(device).type == "mps" and (name != "auto" or world(devices) > 1):
        hint = "leave strategy and devices out, or device='cpu'"
        raise UsageError(Problem("E801", "mps is for one process", hint=hint))
    if name == "fsdp" and world(devices) == 1:
        hint = "torchrun --nproc-per-node 2 -m archspec train …, or devices=2"
        raise UsageError(Problem("E801", "fsdp is for several processes", hint=hint))


def check_quantization(kind: Quantization | None, devices: int) -> None:
    """Whether weights can be quantized here.

    Raises:
        UsageError: E801, torchao is not installed, or there are several processes.
    """
    if kind is None:
        return
    check_torchao()
    if world(devices) > 1:
        message = "quantize is for one process"
        raise UsageError(Problem("E801", message, hint="leave quantize out, or devices=1"))


def check_tracking(service: str | None, devices: int) -> None:
    """Whether the first process, which alone tells it, can use a tracking service.

    Raises:
        UsageError: E801, it cannot.
    """
    if service is not None and rank(devices) == 0:
        check_tracker(service)


def rank(devices: int) -> int:
    """Which of the processes of a run this is, as ``torchrun`` or Fabric numbers them.

    Args:
        devices: that the run asks for. One that is alone may find numbers that others have left.
    """
    if processes() is not None:
        return _number("RANK", 0)
    return _number("LOCAL_RANK", 0) if devices > 1 else 0


def world(devices: int) -> int:
    """How many processes a run has that asks for so many devices."""
    started = processes()
    return started.world if started else devices


def _number(name: str, otherwise: int) -> int:
    found = os.environ.get(name, "")
    return int(found) if found.isdecimal() else otherwise
