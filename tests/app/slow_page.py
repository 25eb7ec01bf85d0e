"""``archspec app`` whose workers never finish with a model called Slow, and break at two others.

python -m tests.app.slow_page --port PORT SECONDS
python -m tests.app.slow_page FD
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any


def serve(port: int, seconds: float) -> None:
    from archspec_app import serving
    from archspec_app.worker_pool import WorkerPool

    workers = WorkerPool(("-m", "tests.app.slow_page"))
    serving.serve("bert", folder=Path.cwd(), port=port, time_limit=seconds, workers=workers)


def work(descriptor: int) -> None:
    import archspec
    from archspec_app import worker_process

    inspect = archspec.inspect

    def slow(spec: Any, **options: Any) -> Any:
        model = getattr(getattr(spec, "architecture", None), "model", "")
        while model == "Slow":  # computes, and lets no other thread go on
            pass
        if model == "Crash":
            os.abort()
        if model == "Defect":
            raise RuntimeError("nobody has thought of this")
        return inspect(spec, **options)

    archspec.inspect = slow
    worker_process.main(descriptor)


if __name__ == "__main__":
    if "--port" in sys.argv:
        at = sys.argv.index("--port")
        serve(int(sys.argv[at + 1]), float(sys.argv[1]))
    else:
        work(int(sys.argv[1]))
