"""How tests wait for what another process does."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

BOUND = 60.0
"""Seconds after which a test gives up; nothing depends on how much of them it takes."""


def until(is_so: Callable[[], object], process: "subprocess.Popen[str] | None" = None) -> None:
    """Wait for a condition, as long as `process` lives."""
    last = time.monotonic() + BOUND
    while not is_so():
        assert time.monotonic() < last
        assert process is None or process.poll() is None
        time.sleep(0.01)
