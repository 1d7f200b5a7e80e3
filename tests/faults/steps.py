"""Steps that go wrong: the calls of the system with which the storage changes files, of which a chosen one dies or fails."""

import errno
import os
import signal
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import pytest

from otel_tracker.storage import files, lock

GoWrong = Callable[..., Any]

_STEPS = {
    *("open", "close", "write", "writev", "ftruncate", "fsync", "fdatasync"),
    *("replace", "unlink", "mkdir", "rmdir", "chmod", "fchmod"),
}
_SURVIVED, _RAISED = 0, 1


class FaultyOs:
    """The module `os`, of whose steps one goes wrong, or all from this one on."""

    def __init__(self, step: int, go_wrong: GoWrong, *, is_for_good: bool = False) -> None:
        self._step, self._go_wrong, self._is_for_good = step, go_wrong, is_for_good
        self.taken = 0

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return partial(self._take, real) if name in _STEPS else real

    def _take(self, real: Callable[..., Any], *arguments: Any) -> Any:
        self.taken += 1
        is_wrong = self.taken == self._step or (self._is_for_good and self.taken > self._step)
        return self._go_wrong(real, *arguments) if is_wrong else real(*arguments)


def use(faulty: FaultyOs, patch: pytest.MonkeyPatch) -> None:
    """Let the storage take its steps with `faulty`."""
    patch.setattr(files, "os", faulty)
    patch.setattr(lock, "os", faulty)


def fail(real: Callable[..., Any], *arguments: Any) -> NoReturn:
    """Fail as a broken disk does; a file is closed even then (close(2))."""
    if real is os.close:
        real(*arguments)
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def die(real: Callable[..., Any], *arguments: Any) -> None:
    """Kill the process; of a write, half is done."""
    if real is os.write:
        real(arguments[0], arguments[1][: len(arguments[1]) // 2])
    os.kill(os.getpid(), signal.SIGKILL)


def survives(act: Callable[[], None], step: int) -> bool:
    """Run `act` in a forked process that is killed at one of its steps, and tell whether it takes fewer than that."""
    child = os.fork()
    if not child:
        _run(act, FaultyOs(step, die))
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (_SURVIVED, -signal.SIGKILL)
    return status == _SURVIVED


def _run(act: Callable[[], None], faulty: FaultyOs) -> NoReturn:
    status = _RAISED
    try:
        use(faulty, pytest.MonkeyPatch())
        act()
        status = _SURVIVED
    finally:
        os._exit(status)
