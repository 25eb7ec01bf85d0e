"""A model of 405 billion parameters, in a process of its own, against one of 109 million."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

LLAMA = Path(__file__).with_name("llama-3-405b.yaml")
PROGRAM = """
import json, re, sys, time
import archspec

def seconds(source):
    start = time.process_time()
    found = archspec.inspect(source)
    return found, time.process_time() - start

seconds("bert")  # torch imports much at its first operation on meta
times = []
for _ in range(3):
    _, small = seconds("bert")
    found, large = seconds(sys.argv[1])
    times.append(large / small)
with open("/proc/self/status") as status:  # getrusage knows the memory of the process before, too
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024
print(json.dumps([found.parameters.value, found.macs.value, min(times), peak]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_llama_3_405b_is_inspected_in_the_time_of_six_berts_and_one_gigabyte() -> None:
    """Time of the processor; four times BERT's, which takes 0.4 s. Bytes with torch's."""
    command = [sys.executable, "-c", PROGRAM, str(LLAMA)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    parameters, macs, ratio, peak = json.loads(done.stdout)
    assert parameters == 405_853_388_800
    assert (
        macs == 8192 * (parameters - 128_256 * 16_384 - 253 * 16_384) + 126 * 2 * 8192**2 * 16_384
    )
    assert ratio < 6
    assert peak < 10**9
