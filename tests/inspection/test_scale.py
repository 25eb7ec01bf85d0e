"""A model of 405 billion parameters, in a process of its own, against one of 109 million."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
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


LARGE = {
    "llama": {
        "hidden_size": 16_384, "intermediate_size": 53_248, "num_hidden_layers": 126,
        "num_attention_heads": 128, "num_key_value_heads": 8, "vocab_size": 128_256,
    },
    "mixtral": {
        "hidden_size": 6144, "intermediate_size": 16_384, "num_hidden_layers": 56,
        "num_attention_heads": 48, "num_key_value_heads": 8, "vocab_size": 32_768,
    },
}  # fmt: skip
PACKAGED = """
import json, re, sys, time
import archspec
from tests.pace import slowness

archspec.inspect("bert")  # torch imports much at its first operation on meta
before = slowness()
start = time.process_time()
found = archspec.inspect(archspec.load(sys.argv[1], **json.loads(sys.argv[2])), seq=8192)
seconds = (time.process_time() - start) / max(before, slowness())
with open("/proc/self/status") as status:
    peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", status.read())[1]) * 1024
print(json.dumps([found.macs.value, seconds, peak]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("name", LARGE)
def test_packaged_models_of_hundreds_of_billions(name: str) -> None:
    """Llama 3.1 405B and Mixtral 8x22B at 8,192 tokens, in two seconds of CPU time and 1 GB."""
    sizes = LARGE[name]
    command = [sys.executable, "-c", PACKAGED, name, json.dumps(sizes)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    macs, seconds, peak = json.loads(done.stdout)
    width, inner = sizes["hidden_size"], sizes["intermediate_size"]
    shared = width // sizes["num_attention_heads"] * sizes["num_key_value_heads"]
    projections = 2 * width * (width + shared)
    # Of Mixtral's eight experts each token goes through two.
    experts = width * 8 + 2 * 3 * width * inner if name == "mixtral" else 3 * width * inner
    layer = 8192 * (projections + experts) + 2 * 8192**2 * width
    assert macs == sizes["num_hidden_layers"] * layer + 8192 * width * sizes["vocab_size"]
    assert seconds < 2 and peak < 10**9
