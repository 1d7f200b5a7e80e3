"""SIGTERM, for who has asked for it: running tasks end as cancelled, and then happens what would have happened."""

import os
import signal
import threading
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any

from otel_tracker import environment
from otel_tracker.log import warn

if TYPE_CHECKING:
    from otel_tracker.task import TaskTracker


class TerminatedError(KeyboardInterrupt):
    """What a task ends with that SIGTERM has cancelled."""


running: "weakref.WeakValueDictionary[str, TaskTracker]" = weakref.WeakValueDictionary()
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


class _Postponed(threading.local):
    """While it is entered in the main thread, which is where signals are handled, SIGTERM waits."""

    depth = 0
    due: "tuple[int, FrameType | None] | None" = None

    def __enter__(self) -> None:
        self.depth += 1

    def __exit__(self, *error: object) -> None:
        self.depth -= 1
        if self.due is not None and not self.depth:
            due, self.due = self.due, None
            _handle(*due)


postponed = _Postponed()
"""For the end of a task: in the middle of recording it, it's neither running nor recorded."""


def _handle(number: int, frame: FrameType | None) -> None:
    if postponed.depth:
        postponed.due = number, frame
        return
    for task in [task for reference in running.valuerefs() if (task := reference()) is not None]:
        try:
            task.end(TerminatedError("SIGTERM"))
            task.recorder.leave()
        except Exception as error:  # noqa: BLE001, PERF203 - the process is to end, whatever becomes of a task
            warn("cannot end a task of %s at SIGTERM: %r", task.agent_file, error)
    if callable(_previous):
        _previous(number, frame)
    elif _previous is not signal.SIG_IGN:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)
