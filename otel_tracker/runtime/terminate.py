"""SIGTERM, for programs that have asked for it: running tasks end as cancelled, and then happens what would have happened."""

import os
import signal
import threading
import weakref
from types import FrameType
from typing import Any, Protocol

from otel_tracker.runtime import environment
from otel_tracker.runtime.log import warn


class TerminatedError(KeyboardInterrupt):
    """What a task ends with that SIGTERM has cancelled."""


class Running(Protocol):
    """A task that has begun."""

    @property
    def agent_file(self) -> str:
        """The agent's key."""

    @property
    def recorder(self) -> "Leaving":
        """Where the task is recorded."""

    def end(self, error: BaseException | None = None) -> None:
        """End the task by this error."""


class Leaving(Protocol):
    """A recorder."""

    def leave(self) -> None:
        """Bring what waits to the disk, as at the end of the process."""


running: "weakref.WeakValueDictionary[str, Running]" = weakref.WeakValueDictionary()
"""The tasks that have begun since the handler is installed, by run."""
is_installed = False
_previous: Any = None


def follow_configuration() -> None:
    """Install the handler, or take it back, as `configure` and the environment say; in the main thread only."""
    global _previous, is_installed  # noqa: PLW0603 - a process has one handler
    is_wanted = environment.handles_signals()
    if is_wanted == is_installed or threading.current_thread() is not threading.main_thread():
        return
    present = signal.getsignal(signal.SIGTERM)
    if is_wanted and present is not _handle:
        _previous = present
        signal.signal(signal.SIGTERM, _handle)
    elif present is _handle and not is_wanted:
        signal.signal(signal.SIGTERM, _previous if _previous is not None else signal.SIG_DFL)
    is_installed = is_wanted


def _handle(number: int, frame: FrameType | None) -> None:
    for task in [task for reference in running.valuerefs() if (task := reference()) is not None]:
        try:
            task.end(TerminatedError("SIGTERM"))
            task.recorder.leave()
        except Exception as error:  # noqa: BLE001 - the process is to end, whatever becomes of a task
            warn("cannot end a task of %s at SIGTERM: %r", task.agent_file, error)
    if callable(_previous):
        _previous(number, frame)
    elif _previous is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
