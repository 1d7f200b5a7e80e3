"""Lock files: created once, never deleted, and held for as short as possible.

Waiting is polling with random pauses that grow: with 50 processes it starves none, and leaves the machine to the processes that
work (docs/decisions.md has the figures). A process that has waited for a lock in vain doesn't wait for it again until it has once
taken it without waiting.
"""

import os
import time
from contextlib import contextmanager, suppress

from otel_tracker.errors import LockTimeoutError
from otel_tracker.runtime import lifecycle
from otel_tracker.runtime.vitals import vitals
from otel_tracker.storage.failures import attempting

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tracker.storage.files import Files

WAIT_SECONDS = 5.0
_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.001, 1.5, 0.02  # seconds, of which a random part is taken


class _Locks(lifecycle.Part):
    """The lock files of this process."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        """The descriptors that are open now."""
        self.given_up: set[str] = set()
        """The paths that it has waited for in vain, and hasn't had since."""
        lifecycle.join(self)

    def renew(self) -> None:
        """Close, in the child of a fork, what the parent's threads held: else it is locked for as long as the child lives."""
        for descriptor in list(self.open):
            with suppress(OSError):
                os.close(descriptor)
        self.open.clear()


_locks_of_process = _Locks()


@contextmanager
def held(
    path: str, files: "Files", is_needless: "Callable[[], bool] | None" = None, began: "float | None" = None
) -> "Iterator[bool]":
    """Hold the lock file at `path`; the context gives whether it is held.

    It is not if `is_needless` became true while another process held it. Raises LockTimeoutError if the lock isn't free
    within WAIT_SECONDS from `began` (of time.monotonic) on, by default from now.
    """
    descriptor = _opened(path, files)
    try:
        asked = time.perf_counter()
        is_held = _locks(descriptor, path) or _wait_for(descriptor, path, is_needless, began)
        vitals.lock_waits.observe(time.perf_counter() - asked)
        _locks_of_process.given_up.discard(path)
        yield is_held
    finally:
        _release(descriptor)


@contextmanager
def held_if_free(path: str, files: "Files") -> "Iterator[bool]":
    """Hold the lock file at `path` if no other process does; the context gives whether it is held."""
    descriptor = _opened(path, files)
    try:
        yield _locks(descriptor, path)
    finally:
        _release(descriptor)


def holders(path: str) -> list[int]:
    """Return the ids of the processes that hold the lock file at `path`, as far as the system tells."""
    try:
        inode = os.stat(path).st_ino
        with open("/proc/locks", encoding="ascii") as table:  # see proc_locks(5)
            rows = [line.split() for line in table]
    except OSError:
        return []
    return [int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == str(inode)]


def _opened(path: str, files: "Files") -> int:
    descriptor = files.open_lock(path)
    _locks_of_process.open.add(descriptor)
    return descriptor


def _release(descriptor: int) -> None:
    """Unlock a lock file and close it; unlocking counts, for a child that was forked meanwhile has the file open, too.

    A descriptor is closed even if `close` reports a failure (close(2)).
    """
    _locks_of_process.open.discard(descriptor)
    with suppress(OSError):
        _unlock(descriptor)
    with suppress(OSError):
        os.close(descriptor)


def _locks(descriptor: int, path: str) -> bool:
    with attempting("lock", path):
        return _try_lock(descriptor)


def _wait_for(
    descriptor: int, path: str, is_needless: "Callable[[], bool] | None", began: "float | None" = None
) -> bool:
    began, paused = time.monotonic() if began is None else began, 0.0
    longest = _FIRST_PAUSE
    while is_needless is None or not is_needless():
        if _locks(descriptor, path):
            return True
        # The sum of the pauses bounds the wait if the clock jumps back.
        if path in _locks_of_process.given_up or max(time.monotonic() - began, paused) > WAIT_SECONDS:
            _locks_of_process.given_up.add(path)
            by = " and ".join(f"process {pid}" for pid in holders(path)) or "another process"
            raise LockTimeoutError("lock", path, f"not free within {WAIT_SECONDS:g} s, {by} holds it")
        pause = longest * int.from_bytes(os.urandom(2), "big") / 65_536
        time.sleep(pause)
        paused += pause
        longest = min(longest * _PAUSE_GROWTH, _LONGEST_PAUSE)
    return False


if os.name == "nt":
    import msvcrt

    def _try_lock(descriptor: int) -> bool:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined,unused-ignore]

else:
    import fcntl

    def _try_lock(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
