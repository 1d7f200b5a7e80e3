"""Lock files: created once, never deleted, and held for as short as possible.

Waiting is polling with short random pauses: with 50 processes it starves nobody (docs/decisions.md has the figures).
"""

import os
import time
from contextlib import contextmanager

from otel_tracker.errors import LockTimeoutError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tracker.storage.files import Files

WAIT_SECONDS = 5.0
_LONGEST_PAUSE = 0.001


@contextmanager
def held(path: str, files: "Files", is_needless: "Callable[[], bool] | None" = None) -> "Iterator[bool]":
    """Hold the lock file at `path`, and say whether it is held.

    It isn't where, while another one held it, it has become needless. Raises LockTimeoutError when it could not be had
    within WAIT_SECONDS.
    """
    descriptor = files.open_lock(path)
    try:
        yield _try_lock(descriptor) or _wait_for(descriptor, path, is_needless)
    finally:
        os.close(descriptor)  # which releases the lock, too


@contextmanager
def held_if_free(path: str, files: "Files") -> "Iterator[bool]":
    """Hold the lock file at `path` if nobody else does, and say whether it is held."""
    descriptor = files.open_lock(path)
    try:
        yield _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, path: str, is_needless: "Callable[[], bool] | None") -> bool:
    began = time.monotonic()
    while is_needless is None or not is_needless():
        if _try_lock(descriptor):
            return True
        if time.monotonic() - began > WAIT_SECONDS:
            raise LockTimeoutError("lock", path, f"not free within {WAIT_SECONDS:g} s")
        time.sleep(_LONGEST_PAUSE * int.from_bytes(os.urandom(2), "big") / 65_536)
    return False


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
