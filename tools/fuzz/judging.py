"""One spec through everything, and what is wrong with how that went."""

from __future__ import annotations

import contextlib
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any

import archspec
from archspec.errors import ArchspecError, BuildError, SpecError
from archspec.lang.spec import Spec
from archspec.lang.spec import loads as load_text
from archspec.tracing.limits import RunLimitExceeded

SECONDS = 2.0  # of CPU time, for one step, on a machine that reads BERT's spec in LOAD_SECONDS
LOAD_SECONDS = 0.025
MEGABYTES = 600  # resident, at most, beyond what the process held before
SMALL = 10**6  # elements of a model that is built for real, too
PACKAGE = Path(archspec.__file__).parent
DEFECTS = {"E503", "E504"}  # on meta, nothing fills memory; what we generate is never refused


@dataclass(frozen=True)
class Finding:
    """What went wrong with a spec.

    Attributes:
        kind: the exception's type, or ``slow``, ``memory``, ``warning``, ``killed``.
        step: what was done with the spec: ``load``, ``build``, ….
        where: the innermost function of archspec that was at work.
        message: the first line of what was said.
    """

    kind: str
    step: str
    where: str
    message: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, str]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.kind} in {self.step} at {self.where}: {self.message}"


class TooSlow(BaseException):
    """The CPU time of one step is over."""


Step = Callable[[Spec, Spec | None], object]


def _diff(spec: Spec, origin: Spec | None) -> object:
    if origin is None:
        return None
    found = archspec.diff(origin, spec)
    return found.to_dict(), found.to_html(), found.to_markdown()


def _fill(spec: Spec, origin: Spec | None) -> object:
    """A model of real numbers, if it is small."""
    return archspec.build(spec, device="cpu") if spec.root.elements < SMALL else None


STEPS: dict[str, Step] = {
    "to_python": lambda spec, _: archspec.to_python(spec),
    "build": lambda spec, _: str(archspec.build(spec, device="meta")),
    "fill": _fill,
    "inspect": lambda spec, _: archspec.inspect(spec).to_dict(),
    "draw": lambda spec, _: [drawing.dot for drawing in archspec.draw_all(spec).values()],
    "diff": _diff,
}


WARM = """
archspec: 1
model: Net
blocks: {Net: {inputs: {x: [batch, 4]}, modules: {act: {type: ReLU}}}}
"""


def warm_up() -> None:
    """Go through everything once: what is imported on the way is no fault of a mutant's."""
    spec = load_text(WARM)
    for step in STEPS.values():
        step(spec, spec)
    slowness()


def judge(
    text: str, origin: Spec | None = None, at: Callable[[str], object] = str
) -> tuple[Finding | None, str]:
    """What is wrong with how a text goes through load, build, ….

    Args:
        origin: what the spec is compared with by ``diff``; left out, it is not.
        at: is told the name of each step before it begins.

    Returns:
        The first thing found, if any; and the last step that went through, "" for none.
    """
    last, spec = "", None
    for step in ("load", *STEPS):
        at(step)
        error, value, finding = _run(step, partial(_work, step, text, spec, origin))
        finding = finding or (_unplaced(step, last, error) if error else None)
        if finding is not None or error is not None:
            return finding, last
        spec = value if step == "load" else spec
        last = step
    return None, last


def _work(step: str, text: str, spec: Spec | None, origin: Spec | None) -> Any:
    if spec is None:
        return load_text(text)
    return STEPS[step](spec, origin)


def _run(step: str, work: Callable[[], Any]) -> tuple[ArchspecError | None, Any, Finding | None]:
    """Our error, or the result; and what is wrong with either."""
    held = resident("VmRSS:")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            with _limited():
                value, error = work(), None
                peak = resident()
        except ArchspecError as ours:
            value, error, peak = None, ours, resident()
            str(ours)
        except TooSlow as slow:
            message = f"over {SECONDS * slowness():.1f} s of CPU time"
            return None, None, _finding("slow", step, slow, message)
        except Exception as other:
            return None, None, _finding(type(other).__name__, step, other, str(other))
    if peak - held > MEGABYTES or (error is not None and "allocate memory" in error.message):
        return error, value, Finding("memory", step, "", f"{peak - held} MB more")
    ours = [
        w for w in told if w.category is SyntaxWarning or Path(w.filename).is_relative_to(PACKAGE)
    ]
    if ours:
        return (
            error,
            value,
            Finding("warning", step, ours[0].category.__name__, str(ours[0].message)),
        )
    return error, value, None


def _unplaced(step: str, last: str, error: ArchspecError) -> Finding | None:
    """What is wrong with an error of ours: defects, no place, or one that comes too late."""
    kind = type(error).__name__
    for problem in error.problems:
        if problem.code in DEFECTS:
            return _finding(problem.code, step, error, problem.message)
        if problem.place is None and isinstance(error, SpecError | BuildError):
            return _finding(f"{problem.code} without a place", step, error, problem.message)
    if isinstance(error, SpecError) and step != "load":
        return _finding(f"{error.code} though it loads", step, error, error.message)
    has_inputs = not error.hint.startswith("declare its inputs")  # else nothing was run before
    if step == "draw" and isinstance(error.__cause__, RunLimitExceeded):
        return None  # build runs one of a loop's equal iterations, a drawing has each
    if step == "inspect" and "in training mode, nor can it in plain PyTorch" in error.message:
        return None  # build runs the model in inference mode
    if isinstance(error, BuildError) and has_inputs and step not in ("load", "build", "fill"):
        return _finding(f"{error.code} though it builds", step, error, error.message)
    return None if isinstance(error, ArchspecError) else _finding(kind, step, error, str(error))


def _finding(kind: str, step: str, error: BaseException, message: str) -> Finding:
    first = (message.splitlines() or [""])[0][:200]
    return Finding(kind, step, where(error, outermost=kind == "slow"), first)


def where(error: BaseException, *, outermost: bool = False) -> str:
    """``lang/inherit.py merge``: the innermost function of archspec in an error's traceback.

    Args:
        outermost: the second from outside instead: where time runs out inside is chance.
    """
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_ours(f.filename)]
    if not frames:
        return ""
    frame = frames[min(1, len(frames) - 1)] if outermost else frames[-1]
    return f"{Path(frame.filename).relative_to(PACKAGE).as_posix()} {frame.name}"


def _is_ours(file: str) -> bool:
    return Path(file).is_relative_to(PACKAGE)


# ------------------------------------------------------------------------------------------ limits


@contextlib.contextmanager
def _limited() -> Iterator[None]:
    """Raises ``TooSlow`` when the CPU time is over."""
    before = signal.signal(signal.SIGPROF, _too_slow)
    # Again and again: callbacks swallow exceptions.
    signal.setitimer(signal.ITIMER_PROF, SECONDS * slowness(), 0.1)
    _forget_peak()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


@cache
def slowness() -> float:
    """How many times more CPU time is allowed here, measured by reading a spec of known length."""
    seconds: list[float] = []
    for _ in range(3):
        start = time.process_time()
        archspec.load("bert")
        seconds.append(time.process_time() - start)
    return max(1.0, min(seconds) / LOAD_SECONDS)


def _too_slow(number: int, frame: FrameType | None) -> None:
    raise TooSlow


def _forget_peak() -> None:
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def resident(row: str = "VmHWM:") -> int:
    """The most megabytes that the process held at once, since the last step began."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(row):
                return int(line.split()[1]) // 1024
    return 0
