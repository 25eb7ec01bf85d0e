"""``python -m tools.fuzz --minutes 30``: mutants of every spec, until the time is over."""

from __future__ import annotations

import argparse
import collections
import hashlib
import random
import re
import sys
import time
from pathlib import Path

from tools.fuzz.corpus import ROOT, Origin, origins
from tools.fuzz.judging import Finding
from tools.fuzz.minimising import minimised
from tools.fuzz.mutation import mutant
from tools.fuzz.worker import Worker

HEAD = "# ---\n"  # ends what a finding's file says about itself


class Fuzzer:
    """Makes mutants, has them judged, keeps one short file for each thing found."""

    def __init__(self, seed: int, folder: Path, worker: Worker) -> None:
        self.seed, self.folder, self.worker = seed, folder, worker
        self.pool = origins()
        self.reached: collections.Counter[str] = collections.Counter()
        self.found: dict[Finding, Path] = {}

    def mutant(self, number: int) -> tuple[Origin, str]:
        """The mutant of that number; every seed has its own."""
        dice = random.Random(f"{self.seed}:{number}")
        origin = dice.choices(self.pool, [0.2 if "mistakes" in o.name else 1 for o in self.pool])[0]
        return origin, mutant(origin, self.pool, dice)

    def try_one(self, number: int) -> None:
        origin, text = self.mutant(number)
        finding, last = self.worker.judge(text, origin.text)
        self.reached[last or "refused"] += 1
        if finding is None or finding in self.found:
            return
        again, _ = self.worker.judge(text, origin.text)  # time and memory may be another's
        if again == finding:
            self._keep(number, origin, text, finding)

    def _keep(self, number: int, origin: Origin, text: str, finding: Finding) -> None:
        def holds(candidate: str) -> bool:
            return self.worker.judge(candidate, origin.text)[0] == finding

        most = 25 if finding.kind in ("slow", "killed", "memory") else 600
        short = minimised(text, holds, most)
        name = re.sub(r"\W+", "-", f"{finding.kind}-{finding.step}")
        digest = hashlib.sha256(str((finding.kind, finding.step, finding.where)).encode())
        path = self.folder / f"{name}-{digest.hexdigest()[:8]}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = [
            str(finding),
            f"mutant {number} of seed {self.seed}, of {origin.name}",
            f'repeat with: make fuzz ARGS="--repeat {path}"',
        ]
        path.write_text("".join(f"# {line!a}\n" for line in head) + HEAD + short, "utf-8")
        self.found[finding] = path
        print(f"{finding}\n  {path}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5, help="how long [default: 5]")
    parser.add_argument("--seed", type=int, help="makes the mutants the same [default: drawn]")
    parser.add_argument("--first", type=int, default=0, help="number of the first mutant")
    parser.add_argument("--findings", type=Path, default=ROOT / "build/fuzz", metavar="FOLDER")
    parser.add_argument("--repeat", type=Path, metavar="FILE", help="judge one finding again")
    options = parser.parse_args()
    worker = Worker()
    try:
        return _repeat(worker, options.repeat) if options.repeat else _search(worker, options)
    finally:
        worker.close()


def _search(worker: Worker, options: argparse.Namespace) -> int:
    seed = random.randrange(2**32) if options.seed is None else options.seed
    print(f"seed {seed}", flush=True)
    fuzzer = Fuzzer(seed, options.findings, worker)
    number, end = options.first, time.monotonic() + 60 * options.minutes
    while time.monotonic() < end:
        fuzzer.try_one(number)
        number += 1
    steps = ", ".join(f"{step} {count}" for step, count in fuzzer.reached.most_common())
    print(f"{number - options.first} mutants, by the last step that went through: {steps}")
    print(f"{len(fuzzer.found)} findings")
    return 1 if fuzzer.found else 0


def _repeat(worker: Worker, path: Path) -> int:
    head, mark, text = path.read_text("utf-8").partition(HEAD)
    text = text if mark else head
    named = re.search(r", of (\S+?)'$", head, re.M)
    origin = Origin.read(ROOT / named[1]).text if mark and named else text
    finding, last = worker.judge(text, origin)
    print(finding or f"nothing found; the last step that went through: {last or 'none'}")
    return 1 if finding else 0


if __name__ == "__main__":
    sys.exit(main())
