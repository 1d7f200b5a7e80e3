"""A lock between threads that a fork leaves usable in the child, where nobody would ever release the parent's."""

import os
import weakref
from _thread import RLock


class Guard(RLock):  # type: ignore[misc]  # it isn't final, whatever typeshed says
    """A re-entrant lock: a generator that is collected may come back to what it interrupted.

    `with` takes and releases it without a step of Python's in between, at which an exception of a signal handler could
    come.
    """

    def __init__(self) -> None:
        super().__init__()
        _guards.add(self)


_guards: "weakref.WeakSet[Guard]" = weakref.WeakSet()


forks = 0
"""How many forks lie between this process and the one that has loaded this module."""


def _renew_all() -> None:
    """Forget the threads that a fork has left behind."""
    global forks  # noqa: PLW0603 - cheaper to read than the process's id
    forks += 1
    for guard in list(_guards):
        guard._at_fork_reinit()  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public way


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_all)
