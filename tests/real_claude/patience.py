"""How long a test waits for what other processes do. Nothing is asserted on how long something took."""

import math
import time
from collections.abc import Callable

PATIENCE_SECONDS = 180.0
_AGAIN_SECONDS = 15.0


def until(is_so: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Return when something is so that no process tells of; fail with the complaint if it never is."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_so():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


def insist(act: Callable[[], None], is_so: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Act until something is so: again each time that it hasn't become so for a while."""
    acted = -math.inf

    def is_so_now() -> bool:
        nonlocal acted
        if is_so():
            return True
        if time.monotonic() - acted >= _AGAIN_SECONDS:
            act()
            acted = time.monotonic()
        return False

    until(is_so_now, complaint)
