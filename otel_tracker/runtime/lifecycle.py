"""The forks and the end of this process, for all parts of it that must hear of them. No other module registers hooks."""

import atexit
import os
import sys
import weakref
from contextlib import ExitStack


class Part:
    """Something that a fork copies in whatever state it is in, or that has work left when the process ends.

    Parts hear of a fork in the order in which they have joined, and of the end in the opposite one.
    """

    def before_fork(self) -> None:
        """Get ready for a fork."""

    def after_fork(self) -> None:
        """Go on in the parent."""

    def renew(self) -> None:
        """Begin anew in the child: a thread of the parent, which isn't there, may have been in the middle of a change."""

    def end(self) -> None:
        """Finish, at the normal end of the process."""


forks = 0
"""How many forks lie between this process and the one that has loaded this module."""

_parts: "weakref.WeakValueDictionary[int, Part]" = weakref.WeakValueDictionary()  # by identity, in the order of joining


def join(part: Part) -> None:
    """Tell `part` of the forks and the end of this process, for as long as anything else holds it."""
    _parts[id(part)] = part


def parts() -> list[Part]:
    """Return the parts that have joined, in that order."""
    return [part for reference in _parts.valuerefs() if (part := reference()) is not None]


def _before_fork() -> None:
    for part in parts():
        part.before_fork()


def _after_fork() -> None:
    for part in parts():
        part.after_fork()


def _renew() -> None:
    global forks  # noqa: PLW0603 - cheaper to read than the process's id
    forks += 1
    for part in parts():
        part.renew()
    util = sys.modules.get("multiprocessing.util")
    if util is not None:  # its children end without atexit, and drop finalizers from before they began
        util.register_after_fork(_parts, lambda _: util.Finalize(None, _end, exitpriority=0))


@atexit.register
def _end() -> None:
    with ExitStack() as ends:  # all of them, even where one is interrupted
        for part in parts():
            ends.callback(part.end)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_renew)
