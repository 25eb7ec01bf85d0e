"""Runs the measurements and prints them as one table."""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
from collections.abc import Callable, Iterator

import torch

import benchmarks
from benchmarks import (
    building,
    drawing,
    editing,
    forward,
    generating,
    gpu,
    loading,
    predicting,
    tasks,
    training,
    validating,
)
from benchmarks.pairs import Pair, Result, compare
from benchmarks.references import versions

Measurable = Pair | Callable[[int], Result]
SUITES: dict[str, Callable[[], Iterator[Measurable]]] = {
    "forward": forward.pairs,
    "generating": generating.pairs,
    "meta": building.on_meta,
    "build": building.initialised,
    "load": loading.pairs,
    "predict": predicting.pairs,
    "validate": validating.pairs,
    "train": training.results,
    "tasks": tasks.results,
    "edit": editing.pairs,
    "draw": drawing.pairs,
    "gpu": gpu.pairs,
}
NEEDS: dict[str, tuple[Callable[[], bool], str]] = {
    "draw": (drawing.is_possible, "pip install torchvista ai-edge-model-explorer"),
    "gpu": (torch.cuda.is_available, "a CUDA device"),
}
"""What a measurement needs that not every machine has; without it, it is left out."""
ROW = "{:42} {:>10} {:>10} {:>6}  {:11} {:>6}  {}"


def main() -> None:
    """Parse the command line and measure."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks",
        description=benchmarks.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SUITES)}")
    parser.add_argument("--runs", type=int, default=7, help="of each pair, in turn (default 7)")
    parser.add_argument("--json", action="store_true", help="every time, in seconds")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - SUITES.keys():
        parser.error(f"no benchmark is called {', '.join(sorted(unknown))}")
    if arguments.runs < 1:
        parser.error("--runs is at least 1")
    lacking = {name: what for name, (is_there, what) in NEEDS.items() if not is_there()}
    names = arguments.names or [name for name in SUITES if name not in lacking]
    for name in {*names} & lacking.keys():
        parser.error(f"{name} needs {lacking[name]}")
    shown = sys.stderr if arguments.json else sys.stdout
    print(_setting(arguments.runs), file=shown)
    print(ROW.format("", "ours", "theirs", "ratio", "min–max", "target", ""), file=shown)
    results: list[Result] = []
    for name in names:
        for one in SUITES[name]():
            runs = arguments.runs
            results.append(compare(one, runs) if isinstance(one, Pair) else one(runs))
            print(_row(results[-1]), file=shown, flush=True)
            if name == "edit":
                print(f"  {editing.told(results[-1])}", file=shown, flush=True)
        if name == "meta":
            print(f"  {building.first()}", file=shown, flush=True)
        if name == "gpu":
            for line in gpu.memory():
                print(line, file=shown, flush=True)
    if arguments.json:
        print(json.dumps([_plain(result) for result in results], indent=2))


def _setting(runs: int) -> str:
    parts = [f"{name} {version}" for name, version in versions().items()]
    python = ".".join(map(str, sys.version_info[:3]))
    cores = f"{torch.get_num_threads()} threads on {os.cpu_count()} cores"
    return f"Python {python}, {', '.join(parts)}; {cores}; medians of {runs} paired runs"


def _row(result: Result) -> str:
    ours, theirs = (
        f"{1000 * statistics.median(times):.1f} ms" for times in (result.ours, result.theirs)
    )
    spread = f"{min(result.ratios):.2f}–{max(result.ratios):.2f}"
    ratio = f"{result.ratio:.2f}" if result.ratio >= 0.1 else f"{result.ratio:.4f}"
    target = "" if result.target is None else f"≤ {result.target:.2f}"
    return ROW.format(result.name, ours, theirs, ratio, spread, target, result.verdict)


def _plain(result: Result) -> dict[str, object]:
    return {
        "name": result.name,
        "target": result.target,
        "ratio": result.ratio,
        "verdict": result.verdict,
        "ours_s": result.ours,
        "theirs_s": result.theirs,
        "versions": versions(),
        "threads": torch.get_num_threads(),
    }


if __name__ == "__main__":
    main()
