"""Fifty visitors of the inspector who edit BERT for two minutes, and leave.

python -m benchmarks.visitors
python -m benchmarks.visitors --visitors 20 --seconds 60

They arrive within half a minute. Each has a session of their own and changes a parameter of the
spec again and again, about every ten seconds. A time is that from the request to its answer, with
everything that the page shows; a visitor's first edit counts like all others. Memory is that of the
server and all its processes, what they share counted once.
"""

from __future__ import annotations

import argparse
import random
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import httpx
import psutil

from archspec.lang.inherit import locate
from benchmarks.editing import asked

ARRIVALS = 30.0  # seconds in which the visitors arrive, one after the other
PAUSE = 10.0  # seconds between two edits of a visitor, on average
TARGET = 1.5  # seconds, of 95 % of the answers


@dataclass
class Visit:
    """One visitor's answers.

    Attributes:
        seconds: of each answer.
        failed: how many there were none to.
    """

    number: int
    seconds: list[float] = field(default_factory=list[float])
    failed: int = 0

    def stay(self, address: str, handler: int, until: float) -> None:
        """Edit until then; the page is open so long."""
        session, chance = f"visitor{self.number}", random.Random(self.number)
        text = locate("bert").read_text(encoding="utf-8")
        with (
            httpx.Client(base_url=f"{address}gradio_api", timeout=60) as client,
            client.stream("GET", f"/heartbeat/{session}"),  # the server sees it end
        ):
            while time.monotonic() < until:
                changed = text.replace("default: 2,", f"default: {chance.randrange(3, 10**6)},")
                began = time.monotonic()
                try:
                    asked(client, handler, changed, session)
                    self.seconds.append(time.monotonic() - began)
                except (httpx.HTTPError, AssertionError):
                    self.failed += 1
                time.sleep(min(chance.uniform(0, 2 * PAUSE), max(0.0, until - began)))


def main() -> None:
    parser = argparse.ArgumentParser(
        "python -m benchmarks.visitors",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--visitors", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=120.0)
    arguments = parser.parse_args()
    with _served() as (address, server):
        config = httpx.get(f"{address}config", timeout=60).json()
        handler = next(
            one["id"]
            for one in config["dependencies"]
            if any(name == "input" for _, name in one["targets"])
        )
        print(f"memory at the start: {_memory(server):,.0f} MB")
        visits = [Visit(number) for number in range(arguments.visitors)]
        until = time.monotonic() + ARRIVALS + arguments.seconds
        threads = [
            threading.Thread(target=visit.stay, args=(address, handler, until)) for visit in visits
        ]
        for thread in threads:
            thread.start()
            time.sleep(ARRIVALS / len(threads))
        highest = 0.0
        while any(thread.is_alive() for thread in threads):
            time.sleep(5)
            highest = max(highest, _memory(server))
        seconds = sorted(one for visit in visits for one in visit.seconds)
        slow = seconds[int(0.95 * len(seconds))]
        print(f"{len(seconds)} answers, {sum(visit.failed for visit in visits)} failed")
        print(f"median {statistics.median(seconds):.2f} s, 95 % within {slow:.2f} s", end="")
        print(f" (≤ {TARGET} s: {'met' if slow <= TARGET else 'missed'})")
        print(f"memory at the most: {highest:,.0f} MB")
        time.sleep(10)
        print(f"memory after all have left: {_memory(server):,.0f} MB")


@contextmanager
def _served() -> Iterator[tuple[str, psutil.Process]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}/"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "archspec", "app", "--port", str(port)]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        try:
            while process.poll() is None:
                with suppress(httpx.HTTPError):
                    httpx.get(address, timeout=5)
                    break
                time.sleep(0.1)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait()


def _memory(server: psutil.Process) -> float:
    """Megabytes of a process and its children; of what several share, each counts its part."""
    total = 0
    for process in [server, *server.children(recursive=True)]:
        with suppress(psutil.NoSuchProcess):
            total += process.memory_full_info().pss
    return total / 1e6


if __name__ == "__main__":
    main()
