"""The lock of a home: one file that is created once, never deleted, and held for a transaction at a time.

Waiting is polling with short random pauses: with 50 processes it starves nobody (docs/decisions.md has the figures).
"""

import os
import time
from contextlib import contextmanager

from otel_tracker.errors import LockTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.storage.files import Files

WAIT_SECONDS = 5.0
_EAGER_SECONDS = 0.1
_EAGER_PAUSE, _LATER_PAUSE = 0.0002, 0.002


@contextmanager
def held(path: str, files: "Files") -> "Iterator[bool]":
    """Hold the lock file at `path`, and say whether it had to be waited for.

    Raises LockTimeoutError when it could not be had within WAIT_SECONDS.
    """
    descriptor = files.open_lock(path)
    try:
        is_free = _try_lock(descriptor)
        if not is_free:
            _wait_for(descriptor, path)
        yield not is_free
    finally:
        os.close(descriptor)  # which releases the lock, too


def _wait_for(descriptor: int, path: str) -> None:
    began = time.monotonic()
    while not _try_lock(descriptor):
        waited = time.monotonic() - began
        if waited > WAIT_SECONDS:
            raise LockTimeoutError("lock", path, f"not free within {WAIT_SECONDS:g} s")
        longest = _EAGER_PAUSE if waited < _EAGER_SECONDS else _LATER_PAUSE
        time.sleep(longest * int.from_bytes(os.urandom(2), "big") / 65_536)


if os.name == "nt":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
