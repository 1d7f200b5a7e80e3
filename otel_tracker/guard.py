"""A lock between threads that a fork leaves usable in the child, where nobody would ever release the parent's."""

import os
import threading
import weakref


class Guard:
    """A re-entrant lock: a signal handler or a generator that is collected may come back to what it interrupted."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _guards.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self._lock.release()

    def renew(self) -> None:
        """Forget the threads that a fork has left behind."""
        self._lock = threading.RLock()


_guards: "weakref.WeakSet[Guard]" = weakref.WeakSet()


forks = 0
"""How many forks lie between this process and the one that has loaded this module."""


def _renew_all() -> None:
    global forks  # noqa: PLW0603 - cheaper to read than the process's id
    forks += 1
    for guard in list(_guards):
        guard.renew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
