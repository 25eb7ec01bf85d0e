"""A model of 405 billion parameters, in a process of its own, against the clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LLAMA = Path(__file__).with_name("llama-3-405b.yaml")
PROGRAM = """
import json, re, sys, time
import torch, torch._dynamo  # torch imports the latter at its first operation on meta
start = time.process_time(), time.perf_counter()
import archspec
found = archspec.inspect(sys.argv[1])
cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
with open("/proc/self/status") as status:  # getrusage knows the memory of the process before, too
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024
print(json.dumps([found.parameters.value, found.macs.value, cpu, wall, peak]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_llama_3_405b_is_inspected_in_two_seconds_and_one_gigabyte() -> None:
    """Seconds of the processor: the tests beside this one may hold it up. Bytes with torch's."""
    command = [sys.executable, "-c", PROGRAM, str(LLAMA)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    parameters, macs, cpu, wall, peak = json.loads(done.stdout)
    assert parameters == 405_853_388_800
    assert (
        macs == 8192 * (parameters - 128_256 * 16_384 - 253 * 16_384) + 126 * 2 * 8192**2 * 16_384
    )
    assert cpu < 2, f"{cpu:.2f} s of the processor, {wall:.2f} s in all"
    assert peak < 10**9
