"""A Chromium for the tests of the page and for its pictures: ``python tools/find_browser.py``.

The first of these: ``ARCHSPEC_BROWSER``, one on the PATH, one that Playwright downloaded. Where
there is none, it is installed: Debian's ``chromium`` where apt may be used, else Playwright's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",  # it sees pages of our own alone, and root has no sandbox
    "--disable-gpu",
    "--disable-background-networking",
    "--no-first-run",
    "--disable-sync",
    "--disable-component-update",
    "--disable-quic",
)
NONE = (
    "no Chromium was found and none could be installed: install chromium or google-chrome, "
    "or name one in ARCHSPEC_BROWSER"
)
LOCK = Path(tempfile.gettempdir()) / f"archspec-browser-{os.getuid()}.lock"


class NoBrowser(RuntimeError):
    """There is no browser, and what to install."""


def find() -> str | None:
    """The path of a browser that is on this machine."""
    named = os.environ.get("ARCHSPEC_BROWSER")
    if named:
        if not (path := shutil.which(named)):
            raise NoBrowser(f"ARCHSPEC_BROWSER names no program that can be run: {named}")
        return path
    return next(filter(None, map(shutil.which, NAMES)), None) or downloaded()


def find_or_install() -> str:
    """The path of a browser, installed if need be; one process at a time.

    Raises:
        NoBrowser: there is none and none could be installed.
    """
    if path := find():
        return path
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for install in (lambda: None, install_by_apt, download):
            install()
            if path := find():
                return path
    raise NoBrowser(NONE)


def downloaded() -> str | None:
    """The browser that Playwright downloaded earlier."""
    # In a process of its own: a loop of Playwright's cannot be run inside a test that has one.
    script = (
        "from playwright.sync_api import sync_playwright as start\n"
        "with start() as found: print(found.chromium.executable_path)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    path = done.stdout.strip()
    return path if path and os.access(path, os.X_OK) else None


def install_by_apt() -> None:
    """Debian's or Ubuntu's own, where apt is there and may be used without a password."""
    if not shutil.which("apt-get"):
        return
    root = os.geteuid() == 0
    if not root and not (shutil.which("sudo") and run("sudo", "--non-interactive", "true")):
        return
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--assume-yes"]
    if not root:
        apt = ["sudo", "--non-interactive", *apt]
    install = [*apt, "install", "--no-install-recommends", "chromium"]
    print("Installing Debian's chromium for the tests of the page", file=sys.stderr, flush=True)
    if not run(*install) and run(*apt, "update"):
        run(*install)


def download() -> None:
    """Playwright's own, into its cache."""
    print("Downloading Playwright's Chromium", file=sys.stderr, flush=True)
    run(sys.executable, "-m", "playwright", "install", "chromium")


def run(*command: str) -> bool:
    return subprocess.run(command, stdout=sys.stderr).returncode == 0


if __name__ == "__main__":
    try:
        print(find_or_install())
    except NoBrowser as error:
        sys.exit(str(error))
