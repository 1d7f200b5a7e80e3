"""`make pictures`: draws the README's pictures from the demo: the page by Debian's Chromium, the terminal as SVG by Rich."""

import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.text import Text

IMAGES = Path(__file__).parents[1] / "docs" / "images"
_CHROMIUM = "/usr/bin/chromium"
_COLUMNS = 80
_HOME_OPTION = " --home "  # commands are shown without it, as they are for the default home
_WITHOUT_HOME = (
    "option => document.querySelectorAll('code').forEach(c => c.textContent = c.textContent.split(option)[0])"
)


def main() -> None:
    """Record the demo in a home of its own, and draw `status` and the page."""
    with tempfile.TemporaryDirectory() as home:
        in_terminal("demo", "--into", home)
        draw_status(home)
        draw_page(home)


def in_terminal(*arguments: str) -> str:
    """Return what a command shows in a terminal."""
    near, far = pty.openpty()
    command = ["env", f"COLUMNS={_COLUMNS}", "TERM=xterm-256color", sys.executable, "-m", "otel_tracker", *arguments]
    with subprocess.Popen(command, stdout=far, stderr=subprocess.DEVNULL):
        os.close(far)
        shown = b""
        while chunk := _read(near):
            shown += chunk
    os.close(near)
    return shown.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65_536)
    except OSError:  # so Linux says that no process has the other end any more
        return b""


def draw_status(home: str) -> None:
    """Draw `otel-tracker status`."""
    output = in_terminal("status", "--home", home).replace(f"{_HOME_OPTION}{home}", "")
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=_COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text.from_ansi(f"$ otel-tracker status\n{output}"))
    svg = re.sub(r"\s*@font-face \{.*?\}", "", console.export_svg(title="otel-tracker"), flags=re.DOTALL)
    (IMAGES / "status.svg").write_text(svg)  # without fonts from elsewhere


def draw_page(home: str) -> None:
    """Draw the page's first screen."""
    command = [sys.executable, "-m", "otel_tracker", "serve", "--port", "0", "--home", home]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server, sync_playwright() as playwright:
        first_line = next(iter(server.stdout or ()), "")
        address = re.findall(r"http://[\w.:]+/", first_line)[0]
        browser = playwright.chromium.launch(executable_path=_CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        page.goto(address)
        page.evaluate(_WITHOUT_HOME, _HOME_OPTION)
        page.screenshot(path=IMAGES / "page.png")
        browser.close()
        server.terminate()


if __name__ == "__main__":
    main()
