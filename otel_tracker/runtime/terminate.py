"""Opt-in SIGTERM handling: running tasks end as cancelled, then the previous handler runs.

The handler is installed by `configure(handle_signals=True)`, or by the first task that begins where the environment
variable says so; no constructor installs it.
"""

import os
import signal
import threading
import weakref
from types import FrameType
from typing import Any, Protocol

from otel_tracker.runtime import environment
from otel_tracker.runtime.log import warn


class TerminatedError(KeyboardInterrupt):
    """The error that ends a task which SIGTERM cancels."""


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
        """Write the events that wait, as at the end of the process."""


class _Handler:
    """The handler of SIGTERM, of which a process has one."""

    def __init__(self) -> None:
        self._is_installed = self._has_followed = False
        self._previous: Any = None
        self._running: weakref.WeakValueDictionary[str, Running] = weakref.WeakValueDictionary()  # by run

    def follow_configuration(self) -> None:
        """Install the handler, or take it back, as `configure` and the environment say; in the main thread only."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._has_followed, is_wanted = True, environment.handles_signals()
        if is_wanted == self._is_installed:
            return
        present = signal.getsignal(signal.SIGTERM)
        if is_wanted and present != self._handle:
            self._previous = present
            signal.signal(signal.SIGTERM, self._handle)
        elif present == self._handle and not is_wanted:
            signal.signal(signal.SIGTERM, self._previous if self._previous is not None else signal.SIG_DFL)
        self._is_installed = is_wanted

    def cover(self, run_id: str, task: Running) -> None:
        """End a task that has begun when SIGTERM comes, if that is configured."""
        if not self._has_followed:
            self.follow_configuration()
        if self._is_installed:
            self._running[run_id] = task

    def _handle(self, number: int, frame: FrameType | None) -> None:
        for task in [task for reference in self._running.valuerefs() if (task := reference()) is not None]:
            try:
                task.end(TerminatedError("SIGTERM"))
                task.recorder.leave()
            except Exception as error:  # noqa: BLE001 - the process is to end, whatever becomes of a task
                warn("cannot end a task of %s at SIGTERM: %r", task.agent_file, error)
        if callable(self._previous):
            self._previous(number, frame)
        elif self._previous is not signal.SIG_IGN:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTERM)


handler = _Handler()
