"""The store: the only writer of a home.

Read this first. `record` takes three steps, in this order; each of the first two has a lock of its own:

1. Under the append lock, events get their numbers and go to the end of the journal. From then on they survive the process.
2. Under the document lock, a transaction folds into the document the events that only the journal has, and replaces the file.
3. The journal is flushed, with no lock held. Only now has `record` succeeded: the events survive a power cut.

The journal comes first because it alone is the truth: the document can be folded again from it, never the other way round. The
flush comes last because the disk merges it with the rename of the document, which is cheaper for a writer that is alone. A writer
that finds the document locked flushes first and only then waits; by then another writer has often folded its events in. A process that
holds the document lock may take the append lock, never the other way round. A reader takes neither: the document and the
journal's later events give the present state.

All other packages use only the methods that `port.Port` lists. `parts` is for the doctor and for restoring backups; operations that
need the document lock are methods of the Transaction that `transaction` yields.
"""

import time
from contextlib import closing, contextmanager

from otel_tracker.errors import DocumentError, StorageError
from otel_tracker.runtime import lifecycle
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.runtime.writer import is_idle, uninterrupted
from otel_tracker.state.document import Document
from otel_tracker.state.fold import pruned
from otel_tracker.state.settings import Settings
from otel_tracker.storage import claim, lock, unwritten
from otel_tracker.storage.appender import Appender
from otel_tracker.storage.files import Files
from otel_tracker.storage.maintenance import Maintenance
from otel_tracker.storage.observer import Observer
from otel_tracker.storage.parts import Parts
from otel_tracker.storage.present_state import PresentState
from otel_tracker.storage.recognition import Recognition
from otel_tracker.storage.transaction import Transaction

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.home import Home

_SAFE = " (the new events are safe in the journal)"


class Store(lifecycle.Part):
    """The document of a home and its journal. Safe from several threads and processes.

    Its own memory is guarded by a lock between threads, which is taken before those between processes.
    """

    def __init__(self, home: "Home", files: Files | None = None, clock: "Callable[[], float]" = time.time) -> None:
        """`clock` returns seconds since 1970."""
        self.home = home
        self._files, self._clock = files or Files(), clock
        self._guard = Guard()
        self.renew()
        lifecycle.join(self)

    def renew(self) -> None:
        """Forget all that was read, in the child of a fork: a thread of the parent may have been in the middle of reading it."""
        self.parts = Parts(self.home, self._files, self._clock)
        self._state = PresentState(self.parts)
        self._appender = Appender(self.parts, Recognition(self.parts, self._state.load))
        self._observer = Observer(self._clock)
        self._maintenance = Maintenance(self.parts, self._appender)
        self._is_checked = False

    @uninterrupted
    def announce(self, events: "list[Event]", *, may_repeat: bool = False) -> None:
        """Write `events` to the journal only: they survive the process, but not a power cut; the rest is as in `record`."""
        with self._guard:
            self._check_home()
            self._appender.append(events, may_repeat=may_repeat)

    @uninterrupted
    def record(self, events: "list[Event]", *, may_repeat: bool = False) -> "list[Event]":
        """Return those of `events` that are new, numbered, when all are on the disk and the document shows them.

        The end of a run counts once, and that of a run that was taken for lost becomes an amendment. With `may_repeat` any other
        event counts once, too, by its id: a caller needs that after a failure, or if it computes ids instead of drawing them.

        Raises StorageError if they could not be written, DocumentError if the document is of a version that
        must not be written to. Events that are in the journal are recorded, even if the document can't be replaced.
        """
        began = time.monotonic()
        with self._guard:
            self._check_home()
            appended = self._appender.append(events, may_repeat=may_repeat)
            try:
                with lock.held_if_free(self.home.document_lock, self._files) as is_alone:
                    if is_alone:
                        self._bring_up_to_date()
            except StorageError:  # it can't be locked, as the wait below will say
                is_alone = False
        self._appender.flush(appended)
        if not is_alone:
            self._bring_up_to_date_in_turn(appended.last, began)
        return appended.events

    def new_among(self, events: "list[Event]") -> "list[Event]":
        """Return what `record`, of events that may repeat earlier ones, would record now; nothing is written."""
        with self._guard:
            return self._appender.new_among(events)

    @uninterrupted
    def record_found(self, find: "Callable[[Document], list[Event]]", *, is_patient: bool = False) -> "list[Event]":
        """Record the events that `find` makes of the present state, and return them; no other process records meanwhile.

        `is_patient` as in `read`. Errors as `record`, and LockTimeoutError.
        """
        with self.transaction() as transaction:
            transaction.present(is_patient=is_patient)
            events = self._appender.append_durably(lambda: find(self._state.load(is_patient=is_patient)))
            if events:
                self._try(transaction.bring_up_to_date, _SAFE)
            return events

    def read(self, *, is_patient: bool = True) -> Document:
        """Return the present state, whichever process recorded it.

        If the journal has so much more than the document that this takes seconds, a patient caller waits, and the document
        is written; another caller gets a LaggingError.

        If the document is damaged, that is the state that a writer would rebuild, and a line of log says so. Raises
        DocumentError if there is nothing to rebuild it from, and StorageError if files can't be read.
        """
        unchanged = self._state.unchanged() if is_idle() else None
        if unchanged is not None:
            return unchanged
        state, was_far_behind = self._look(is_patient=is_patient)
        if was_far_behind:
            self.settle()  # else the next reader would have to fold all of it again
        return state

    def last_known(self, agent: str) -> "Event | None":
        """Return an agent's entry as this process has last seen it, without looking at the files; None if it hasn't seen one."""
        return self._state.last_seen(agent)

    def history(self, agent: "str | None" = None, since: float = 0.0) -> "Iterator[Event]":
        """Yield all events that a history lists (names.UNLISTED), newest first, from the moment `since` on (seconds since 1970).

        With an `agent`, only its events, also those under keys that it had before; raises AmbiguousAgentError.
        What the document no longer holds is read from the journal, one segment at a time.
        """
        from otel_tracker.storage import past  # here: recording needs no history

        return past.newest_first(self.read(), self.parts.journal, agent, since)

    def run_events(
        self, document: Document, since: float = float("-inf"), awaited: "Collection[str]" = ()
    ) -> "Iterator[tuple[float, Iterable[Event]]]":
        """Yield what a document, its journal and its archive say of ended runs, newest first, in batches (storage/run_events.py)."""
        from otel_tracker.storage import run_events  # here: recording needs no sums

        return run_events.batches(self.parts, document, since, awaited)

    def conversation(self, conversation_id: str) -> "list[Event]":
        """Return the ends of a conversation's tasks, and what amends them, oldest first."""
        from otel_tracker.storage import past

        return past.of_conversation(self.parts.journal, conversation_id)

    def events_with(self, key: str, values: "set[str]", since: float = 0.0) -> "list[Event]":
        """Return the journal's events in which `key` is one of `values`, oldest first (storage/past.py)."""
        from otel_tracker.storage import past

        return past.with_value(self.parts.journal, key, values, since)

    def events_after(self, number: int) -> "Iterator[list[Event]]":
        """Yield all events with a higher number, oldest first, in lists of at most as many as a segment has."""
        return self.parts.journal.segments_after(number)

    def last_number(self) -> int:
        """Return the number of the journal's last event, 0 if there is none."""
        return self.parts.journal.last()

    @uninterrupted
    def rewrite(self) -> None:
        """Write the document anew, within the limits of its settings, even if there is no new event."""
        with self.transaction() as transaction:
            state = transaction.present()
            state = pruned(state, Settings.of(state.config))
            if state.head["updated"] is None:
                state = Document({**state.head, "updated": format_timestamp(self._clock())}, state.history)
            transaction.save(state)

    @uninterrupted
    def settle(self) -> None:
        """Record what the store itself finds out, if that is possible now; never raises."""
        self._try(self.rewrite)

    @uninterrupted
    def back_up(self) -> "str | None":
        """Make a backup of the document as it is on the disk, and return its path; None if there is no document.

        A damaged one is rebuilt first. Backups that are too many, and segments that no backup needs, are deleted.
        """
        with self.transaction() as transaction:
            transaction.settle_document()
            path = transaction.back_up()
            transaction.tidy()
            return path

    def back_up_if_possible(self) -> None:
        """Make a backup; if that fails, on a full disk for one, log why: a user's order doesn't wait for a backup."""
        try:
            self.back_up()
        except StorageError as error:
            self.warn_once(f"{error} (going on without a new backup)")

    def leave(self, events: "list[Event]") -> str:
        """Leave `events`, which could not be recorded, beside the journal for the next writer, and return the file's path."""
        claim.check_links(self.home, self._files)
        return unwritten.leave(self.home, self._files, events)

    def take_in_unwritten(self) -> int:
        """Record what other processes have left (`leave`), and return how many events were new."""
        with self._guard:
            self._check_home()
            count = self._appender.take_in_unwritten()
        if count:
            self.rewrite()
        return count

    def is_far_behind(self) -> bool:
        """Tell whether it takes seconds to fold what the journal has and this process hasn't folded yet."""
        return self._state.is_far_behind()

    def warn_once(self, message: str) -> None:
        """Log a warning, unless this store has logged the same one before."""
        self.parts.warn_once(message)

    @contextmanager
    def transaction(self) -> "Iterator[Transaction]":
        """Hold the document lock, and yield what needs it; raises LockTimeoutError."""
        with self._guard:
            self._check_home()
            with lock.held(self.home.document_lock, self._files), closing(self._transaction()) as transaction:
                yield transaction

    def _transaction(self) -> Transaction:
        return Transaction(self.parts, self._state, self._appender, self._observer, self._maintenance)

    @uninterrupted
    def _look(self, *, is_patient: bool) -> "tuple[Document, bool]":
        """Return the present state, and whether the document was far behind it."""
        with self._guard:
            if self.home.config_file != self.home.document and not self._is_checked:
                claim.check(self.home, self._files)
            was_far_behind = self._state.is_far_behind()
            state, damage = self._state.load(is_patient=is_patient), self.parts.document_file.damage
            if damage is not None:
                self.warn_once(f"{self.home.document} is damaged: {damage.reason}; this is the state of {damage.base}")
            self._state.remember(state)
            return state, was_far_behind

    def _bring_up_to_date(self) -> None:
        """Bring the document up to the journal's end; the caller must hold the document lock."""
        with closing(self._transaction()) as transaction:
            self._try(transaction.bring_up_to_date, _SAFE)

    def _bring_up_to_date_in_turn(self, number: int, began: float) -> None:
        """Bring the document up to the journal's end, unless another writer has brought it to the event `number` already."""

        def is_done() -> bool:
            return self.parts.document_file.sequence() >= number

        try:
            with self._guard, lock.held(self.home.document_lock, self._files, is_done, began) as is_held:
                if is_held and not is_done():
                    self._bring_up_to_date()
        except (StorageError, DocumentError) as error:
            self.warn_once(f"{error}{_SAFE}")

    def _try(self, act: "Callable[[], None]", consolation: str = "") -> None:
        """Call `act`; if that fails, log why: whatever it is, no event is lost, and the next writer tries again."""
        try:
            act()
        except Exception as error:  # noqa: BLE001 - whatever it is, the events are in the journal
            self.warn_once(f"{error}{consolation}")

    def _check_home(self) -> None:
        """Check, before the first write, that the document is this home's."""
        if self._is_checked:
            return
        claim.check(self.home, self._files)
        if claim.is_needed(self.home, self._files):
            with lock.held(self.home.document_lock, self._files):
                claim.check(self.home, self._files)
                claim.leave_note(self.home, self._files)
        self._is_checked = True
