"""Judging in a process of its own, which may hang, crash or be killed.

Run as a module, it is that process: a line of JSON in, a text and its origin's; lines of JSON out,
each step that begins, then the verdict.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import subprocess
import sys
import time
from functools import lru_cache
from typing import Any

import archspec
from tools.fuzz.corpus import ROOT
from tools.fuzz.judging import SECONDS, Finding, judge, slowness, warm_up

WALL = 120.0  # seconds; CPU time runs out long before, this is for what sleeps
ADDRESSES = 12 * 2**30  # bytes of address space; PyTorch alone takes a few


class Worker:
    """A child process that judges texts, one by one; a new one after a crash or a slow text."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = b""

    def judge(self, text: str, origin: str = "") -> tuple[Finding | None, str]:
        """As ``judging.judge``, of the texts of a mutant and its origin."""
        process = self.start()
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it is gone: there will be no answer
            process.stdin.write(json.dumps([text, origin]).encode() + b"\n")
            process.stdin.flush()
        step, deadline = "", time.monotonic() + WALL
        while (line := self._line(deadline)) is not None:
            said: dict[str, Any] = json.loads(line)
            if "step" in said:
                step = said["step"]
                continue
            finding = Finding(**said["finding"]) if said["finding"] else None
            if finding is not None and finding.kind in ("slow", "memory"):
                self.close()
            return finding, said["last"]
        self.close()
        return Finding("killed", step, "", f"ended by {-process.wait()} after {step}"), ""

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._process, self._buffer = None, b""

    def start(self) -> subprocess.Popen[bytes]:
        """The process; a new one if there is none."""
        if self._process is None:
            command = [sys.executable, "-m", "tools.fuzz.worker"]
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
        return self._process

    def _line(self, deadline: float) -> bytes | None:
        """The next line of what the child says; None when it is gone or sleeps."""
        assert self._process is not None and self._process.stdout is not None
        out = self._process.stdout.fileno()
        while b"\n" not in self._buffer:
            ready, _, _ = select.select([out], [], [], max(0.0, deadline - time.monotonic()))
            if not ready or not (more := os.read(out, 65_536)):
                return None
            self._buffer += more
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line


@lru_cache(maxsize=64)
def _loaded(text: str) -> Any:
    """An origin as a spec; None if it is one that nothing can be compared with."""
    try:
        spec = archspec.loads(text)
        archspec.build(spec, device="meta")
    except archspec.ArchspecError:
        return None
    return spec


def main() -> None:
    """Answer until there is nothing more to read."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever prints, prints elsewhere
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESSES, ADDRESSES))
    warm_up()

    def say(**what: Any) -> None:
        out.write(json.dumps(what) + "\n")
        out.flush()

    for line in sys.stdin:
        text, origin = json.loads(line)
        _end_after(20 * SECONDS * slowness())
        finding, last = judge(text, _loaded(origin), lambda step: say(step=step))
        say(finding=finding.to_dict() if finding else None, last=last)


def _end_after(seconds: float) -> None:
    """Let the system end this process if it takes more CPU time, whatever it does."""
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + seconds) + 1, hard))


if __name__ == "__main__":
    main()
