"""The recorder: hands events to a store, and never raises into the task that it records.

Where the process is disabled it drops them. Events that can't be written now wait in memory, in order, and are written with the next event, or at exit. Events that can't be
written then are left beside the journal for the next writer, if possible.
"""

import time
from _thread import get_ident
from functools import partial

from otel_tracker.runtime import lifecycle
from otel_tracker.runtime.environment import is_disabled
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.vitals import vitals
from otel_tracker.runtime.writer import Receipt, is_idle, submit, uninterrupted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.port import Port

_LONGEST_QUEUE = 100_000  # events; of more, the oldest are dropped: an agent's memory is not ours to fill


class Recorder(lifecycle.Part):
    """Writes the events of this process to one store. Safe from several threads."""

    def __init__(self, store: "Port") -> None:
        self.store = store
        self._guard = Guard()
        self._writers: set[int] = set()  # the threads that are writing
        self._waiting: list[Event] = []
        self._has_complained = False
        lifecycle.join(self)

    def renew(self) -> None:
        """Begin anew in the child of a fork: the parent writes the events that wait in memory."""
        self._waiting, self._writers = [], set()

    def end(self) -> None:
        """Leave."""
        self.leave()

    @uninterrupted
    def announce(self, event: "Event") -> None:
        """Write the start of a task."""
        self._hand_over([event], is_start=True)

    @uninterrupted
    def record(self, event: "Event", *, may_repeat: bool = False) -> None:
        """Write an event; if that succeeds, it is on the disk, and in the document, on return.

        With `may_repeat` it is left out if an event with the same `id` is recorded already.
        """
        self._hand_over([event], is_start=False, may_repeat=may_repeat)

    def submit(self, event: "Event", *, may_repeat: bool = False) -> Receipt:
        """Have an event written as `record` does, and return at once; `wait` of the receipt returns when it is written."""
        return submit(partial(self.record, event, may_repeat=may_repeat))

    @uninterrupted
    def record_all(self, events: "list[Event]") -> None:
        """Write several events like one."""
        self._hand_over(events, is_start=False)

    def flush(self) -> bool:
        """Try to write the events that wait, and tell whether none waits any more."""
        return (is_idle() and not self._waiting) or self._flush()

    @uninterrupted
    def _flush(self) -> bool:
        with self._guard:
            if get_ident() in self._writers:
                return not self._waiting
            waiting, self._waiting = self._waiting, []
        return not waiting or self._write(waiting, is_start=False, retried=len(waiting))

    @uninterrupted
    def leave(self) -> None:
        """Write the events that wait, or leave them beside the journal, or log how many are lost: for the end of the process."""
        if self.flush():
            return
        with self._guard:
            waiting, self._waiting = self._waiting, []
        store = self.store
        try:
            path = store.leave(waiting)
        except Exception as error:  # noqa: BLE001 - whatever it is, the process ends
            vitals.count(dropped=len(waiting))
            warn("%d events of %s could not be written and are lost: %s", len(waiting), store.home.document, error)
        else:
            warn("%d events are left in %s for the next task of this home to take in", len(waiting), path)

    def _hand_over(self, new: "list[Event]", *, is_start: bool, may_repeat: bool = False) -> None:
        if is_disabled():
            return
        with self._guard:
            if get_ident() in self._writers:
                # A signal handler, or a generator that is collected, has interrupted the writing.
                self._waiting += new
                return
            events, self._waiting = [*self._waiting, *new], []
        self._write(events, is_start=is_start, retried=len(events) - len(new), may_repeat=may_repeat)
        if self._waiting and not self._has_complained:
            self.flush()  # events that came meanwhile

    def _write(self, events: "list[Event]", *, is_start: bool, retried: int = 0, may_repeat: bool = False) -> bool:
        self._writers.add(get_ident())
        began = time.perf_counter()
        try:
            write = self.store.announce if is_start and not retried else self.store.record
            write(events, may_repeat=may_repeat or retried > 0)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is not the fault of the user's task
            self._keep(events, error)
            return False
        except BaseException:  # Ctrl-C: at the process's end they are tried again
            with self._guard:
                self._waiting = [*events, *self._waiting]
            raise
        finally:
            self._writers.discard(get_ident())
            vitals.writes.observe(time.perf_counter() - began)
        vitals.count(recorded=len(events), retried=retried)
        self._has_complained = False
        return True

    def _keep(self, events: "list[Event]", error: Exception) -> None:
        with self._guard:
            waiting = [*events, *self._waiting]
            self._waiting = waiting[-_LONGEST_QUEUE:]
        vitals.count(dropped=len(waiting) - len(self._waiting))
        if not self._has_complained:
            self._has_complained = True
            warn("%s (%d events wait in memory and are tried again with the next one)", error, len(self._waiting))
