"""Tries specs, each in a process of its own that PyTorch was imported into, and measures them.

Reads ``{name: [text, actions]}`` as JSON, writes ``{name: {action: [seconds of CPU, MB, what was
said]}}``, of several tries the one that took least.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo  # some operations need it on meta; counted as PyTorch's own

import archspec
from archspec.inspection.summary_table import summary_table
from tests.pace import slowness

SECONDS = 20  # then a case is killed
LONG = 4.0  # one that takes longer is tried again: other work may have been in the way
TRIES = 3  # against the pace of this machine at the moment, which takes longer than most cases do
ACTIONS: dict[str, Callable[[Any], Any]] = {
    "build": lambda spec: archspec.build(spec, device="meta"),
    "inspect": archspec.inspect,
    "draw": archspec.draw_all,
    "table": summary_table,
    "to_python": archspec.to_python,
}


def said(action: str, text: str) -> str:
    """``done``, or code, line and column, and message of an error of ours."""
    try:
        ACTIONS[action](archspec.loads(text, name="bomb.yaml"))
    except archspec.ArchspecError as error:
        return f"{error.code} {error.place}: {error.message}"
    except BaseException as error:
        return f"CRASH {type(error).__name__}: {error}"
    return "done"


def peak() -> int:
    """Peak memory in kB of this process; a fork's ``ru_maxrss`` begins with its parent's."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


def measured(action: str, text: str, *, scaled: bool = False) -> list[Any]:
    before = slowness() if scaled else 1.0
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
        held = peak()
        result = said(action, text)
        os.write(write, json.dumps([peak() - held, result[:2000]]).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    _, _, usage = os.wait4(pid, 0)
    kilobytes, result = json.loads(answer) if answer else (0, "KILLED")
    seconds = usage.ru_utime + usage.ru_stime
    if scaled:
        seconds /= max(before, slowness())
    return [seconds, kilobytes // 1024, result]


if __name__ == "__main__":
    torch.set_num_threads(1)
    found: dict[str, dict[str, list[Any]]] = {}
    for name, (text, actions) in json.load(sys.stdin).items():
        found[name] = {}
        for action in actions:
            tries = [measured(action, text)]
            while tries[-1][0] > LONG and len(tries) <= TRIES:
                tries.append(measured(action, text, scaled=True))
            found[name][action] = min(tries)
    json.dump(found, sys.stdout)
