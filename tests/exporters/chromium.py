"""The browser that tests drive: Debian's Chromium, by Playwright; and axe-core, from npm."""

import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.components import miss

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

AXE = "axe-core@4.14.1"
_OPTIONS = (
    *(
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
    ),
    *("--disable-sync", "--host-resolver-rules=MAP *.example 127.0.0.1"),
)


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Run the browser; names below `example` are this machine's."""
    program = shutil.which("chromium")
    if program is None:
        miss("chromium is missing; install it with: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        miss("playwright is missing; install it with: pip install playwright")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_OPTIONS)
        yield browser
        browser.close()


def axe_in(folder: Path) -> str:
    """Install axe-core in a folder, and return its script."""
    npm = shutil.which("npm")
    if npm is None:
        miss("npm is missing; install it with: apt-get install npm")
    command = [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), AXE]
    installed = subprocess.run(command, capture_output=True, text=True, check=False)
    if installed.returncode:
        miss(f"npm can't install {AXE}; npm needs a registry: {installed.stderr[-300:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()
