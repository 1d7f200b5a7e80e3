"""How long a test waits for what other processes do. Nothing is asserted on how long something took."""

import time
from collections.abc import Callable

PATIENCE_SECONDS = 60.0


def until(is_so: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Return when something is so that no process tells of; fail with the complaint if it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)
