"""The store: the only writer of a home.

Recording has two halves, each under a lock of its own. Events are numbered and appended to the journal; and what the
journal has and the document doesn't is folded into the document, which is replaced. Then the journal is flushed.

A writer that finds the document locked flushes the journal first and only then waits; by then another writer has often
folded its event in. A reader needs no lock: the document and the journal's later events give the present state. A process
that holds the document's lock may take that of the journal, never the other way round.
"""

import time
import weakref
from contextlib import contextmanager
from itertools import chain

from otel_tracker.errors import DocumentError, LaggingError, MountedAloneError, StorageError
from otel_tracker.names import failures_in_a_row
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.log import notice, warn
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.runtime.writer import is_idle, uninterrupted
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.fold import fold_all, pruned
from otel_tracker.state.replay import SAYING_OTHERWISE, Replay
from otel_tracker.state.settings import Settings, problems_in
from otel_tracker.storage import claim, lock
from otel_tracker.storage.appender import Appender
from otel_tracker.storage.backups import Backups
from otel_tracker.storage.document_file import DocumentFile
from otel_tracker.storage.files import Files
from otel_tracker.storage.journal import Journal
from otel_tracker.storage.maintenance import Upkeep
from otel_tracker.storage.observer import Observer
from otel_tracker.storage.recognition import Recognition
from otel_tracker.storage.recovery import newest_base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.files import Signature
    from otel_tracker.storage.home import Home


_ALIKE = 0.85  # names of one that was misspelt: from 7 letters on a single one may differ


class View:
    """A state, and what the files were like that it was read from: as long as they are so, it is the present one."""

    __slots__ = ("_document", "_end", "_signature", "state")

    def __init__(
        self, state: Document, document: str, signature: "Signature | None", end: "tuple[str, int, int]"
    ) -> None:
        self.state, self._document, self._signature, self._end = state, document, signature, end

    def is_present(self, files: "Files") -> bool:
        """Tell whether both files are still what they were; that takes no lock and changes nothing."""
        segment, inode, size = self._end
        now = files.signature(segment)
        return now is not None and now[:2] == (inode, size) and files.signature(self._document) == self._signature


class Store:
    """The document of a home and its journal. Safe from several threads and processes.

    Its own memory is guarded by a lock between threads, which is taken before those between processes.
    """

    def __init__(self, home: "Home", files: "Files | None" = None, clock: "Callable[[], float]" = time.time) -> None:
        self.home = home
        self.files = files or Files()
        self.clock = clock
        self._guard = Guard()
        self.forget()
        _stores.add(self)

    def forget(self) -> None:
        """Forget what has been read: in the child of a fork another thread may have been in the middle of reading it."""
        home, clock = self.home, self.clock
        self.journal = Journal(home.journal, self.files)
        self.backups = Backups(home, self.files, self.journal)
        self.file = DocumentFile(home, self.files, self.journal, self.backups)
        recognition = Recognition(self.journal, self.backups, self.files, self._state)
        self._appender = Appender(home, self.files, self.journal, self.file, recognition)
        self._observer = Observer(clock)
        self._folded = new_document()  # the state: a document and the journal's later events
        self._folded_from: Document | None = None
        self._view: View | None = None
        self._warned: set[str] = set()
        self._is_checked = self._is_in_place = False
        self._upkeep = Upkeep(
            home,
            self.files,
            self.file,
            self.backups,
            self.journal,
            clock,
            flush=self._appender.flush_all,
            say=self.warn_once,
        )

    @uninterrupted
    def announce(self, events: "list[Event]", *, may_repeat: bool = False) -> None:
        """Write `events` to the journal only: they survive the process, but not a power cut; the rest is as in `record`."""
        with self._guard:
            self._check_home()
            self._appender.append(events, may_repeat=may_repeat)

    @uninterrupted
    def record(self, events: "list[Event]", *, may_repeat: bool = False) -> "list[Event]":
        """Return what is news of `events`, numbered, when all are on the disk and the document shows them.

        The end of a run counts once, and that of one that was taken for lost becomes an amendment. Other events may only
        come again, after a failure or under ids that are not drawn but computed, where they are said to: `may_repeat`.

        Raises StorageError where they could not be written, DocumentError where the document is of a version that
        must not be written to. Events that are in the journal are recorded, even if the document can't be replaced.
        """
        began = time.monotonic()
        with self._guard:
            self._check_home()
            appended = self._appender.append(events, may_repeat=may_repeat)
            try:
                with lock.held_if_free(self.home.document_lock, self.files) as is_alone:
                    if is_alone:
                        self._project()
            except StorageError:  # it can't be locked, as the wait in turn will say
                is_alone = False
        self._appender.flush(appended)
        if not is_alone:
            self._project_in_turn(appended.last, began)
        return appended.events

    @uninterrupted
    def record_found(self, find: "Callable[[Document], list[Event]]", *, is_patient: bool = False) -> "list[Event]":
        """Record what `find` makes of the present state, while nobody else can record anything, and return it.

        `is_patient` as in `read`. Errors as `record`, and LockTimeoutError.
        """
        with self.locked():
            self.present(is_patient=is_patient)
            events = self._appender.append_durably(lambda: find(self._state(is_patient=is_patient)))
            if events:
                self._project()
            return events

    def read(self, *, is_patient: bool = True) -> Document:
        """Return the present state, by whatever process it was recorded.

        Where the journal has so much more than the document that this takes seconds, a patient caller waits, and the document
        is written; for another one it is a LaggingError.

        Where the document is damaged that is the state that a writer would rebuild, and a line of log says so. Raises
        DocumentError where there is nothing to rebuild it from, and StorageError where files can't be read.
        """
        view = self._view
        if view is not None and is_idle() and view.is_present(self.files):
            return view.state
        state, was_far_behind = self._look(is_patient=is_patient)
        if was_far_behind:
            self.settle()  # else the next reader would have to fold all of it again
        return state

    @uninterrupted
    def _look(self, *, is_patient: bool) -> "tuple[Document, bool]":
        """Return the present state, and whether the document was far behind it."""
        with self._guard:
            if self.home.named != self.home.document and not self._is_checked:
                claim.check(self.home, self.files)
            was_far_behind = self.is_far_behind()
            state, damage = self._state(is_patient=is_patient), self.file.damage
            if damage is not None:
                self.warn_once(f"{self.home.document} is damaged: {damage.reason}; this is the state of {damage.base}")
            end = self.journal.end()
            self._view = View(state, self.home.document, self.file.signature, end) if end and not damage else None
            return state, was_far_behind

    def last_known(self, agent: str) -> "Event | None":
        """Return an agent's entry as this process has last seen it, without looking; None if it hasn't."""
        entry: Event | None = self._folded.head["agents"].get(agent)
        return entry

    @uninterrupted
    def rewrite(self) -> None:
        """Write the document anew, within the limits of its settings, even if nothing has come."""
        with self.locked():
            state = self.present()
            state = pruned(state, Settings.of(state.config))
            if state.head["updated"] is None:
                state = Document({**state.head, "updated": format_timestamp(self.clock())}, state.history)
            self._put(state)

    @uninterrupted
    def settle(self) -> None:
        """Record what the store itself finds out, if that is possible now; never raises."""
        try:
            self.rewrite()
        except Exception as error:  # noqa: BLE001 - a reader needs no more than the answer
            self.warn_once(str(error))

    @uninterrupted
    def back_up(self) -> "str | None":
        """Make a backup of the document as it is on the disk, and return its path; None if there is no document.

        A damaged one is rebuilt first. Backups that are too many, and segments that no backup needs, are deleted.
        """
        with self.locked():
            self.settle_file()
            path = self.keep_copy()
            self._upkeep.tidy()
            return path

    def back_up_if_possible(self) -> None:
        """Make a backup; a line of log says where that fails, on a full disk for one: an order of a person doesn't wait."""
        try:
            self.back_up()
        except StorageError as error:
            self.warn_once(f"{error} (going on without a new backup)")

    def take_in_left_over(self) -> int:
        """Record what other processes could not write before they ended, and return how many events that are."""
        with self._guard:
            self._check_home()
            taken_in = self._appender.take_in_left_over()
        if taken_in:
            self.rewrite()
        return taken_in

    @contextmanager
    def locked(self) -> "Iterator[None]":
        """Hold the document's lock, which `present`, `append` and `write` need."""
        with self._guard:
            self._check_home()
            with lock.held(self.home.document_lock, self.files):
                yield

    def present(self, *, is_patient: bool = True) -> Document:
        """Return the present state, after recording what the store itself finds out; `is_patient` as in `read`."""
        self._observer.look()
        state = self._state(is_patient=is_patient)
        if not self._found(state):
            return state
        self._appender.append_durably(lambda: self._found(self._state(is_patient=is_patient)))
        self._folded_from = None  # settings may be in force since before what has been folded
        return self._state(is_patient=is_patient)

    def append(self, event: "Event") -> "Event":
        """Append an event, and return it with its number when it is on the disk."""
        return self._appender.append_durably(lambda: [event])[0]

    def settle_file(self) -> None:
        """Write the document anew where it is damaged, or where a person has changed settings that no event tells yet."""
        self.file.look_closer()
        if self.file.is_edited or self.file.damage is not None:
            self.write(self.present())

    def last_number(self) -> int:
        """Return the number of the last event."""
        return self._appender.last_number()

    def keep_copy(self) -> "str | None":
        """Make a backup of the document as it is on the disk, and return its path; None if there is no valid one."""
        return self._upkeep.keep_copy()

    def write(self, state: Document) -> None:
        """Replace the document by `state`; a damaged one is kept, and a line of log says so."""
        damage = self.file.damage
        kept = None
        if damage is not None and damage.text is not None:
            kept = self.backups.keep_damaged(damage.text, self.clock())
        try:
            self.file.write(state)
        except MountedAloneError:
            self._upkeep.ensure_copy()  # what a killed process leaves of the file comes back from there
            self.file.write(state, in_place=True)
            self._is_in_place = True
        self._folded = self._folded_from = state
        if damage is not None:
            set_aside = f"; what was there is now {kept}" if kept else ""
            warn("%s was damaged: %s; rebuilt from %s%s", self.home.document, damage.reason, damage.base, set_aside)

    def is_far_behind(self) -> bool:
        """Tell whether it takes seconds to fold what the journal has and this process doesn't know."""
        document = self.file.load()
        known = document if self._folded_from is not document else self._folded
        return self.journal.is_far_ahead(known.sequence)

    def _state(self, *, is_patient: bool = False) -> Document:
        """Return the present state: the document, and what the journal has and it doesn't; `is_patient` as in `read`."""
        document = self.file.load()
        if self._folded_from is not document:
            self._folded = self._folded_from = document
            for problem in problems_in(document.head):
                self.warn_once(f"{self.home.document}: {problem}")
        if self.journal.is_far_ahead(document.sequence):
            return self._far_state(document, is_patient=is_patient)
        events = self.journal.after(document.sequence)
        if Replay(events).has_discarded(document.sequence):  # a restore was killed before it wrote the document
            base = newest_base(self.backups, self.journal)
            if base is not None:
                return fold_all(base.document, self.journal.after(base.document.sequence))
        self._folded = fold_all(self._folded, events)
        return self._folded

    def _far_state(self, document: Document, *, is_patient: bool) -> Document:
        """Return the state where the journal has far more than the document: it is folded once, a segment at a time."""
        if self.journal.is_far_ahead(self._folded.sequence):
            if not is_patient:
                raise LaggingError(self.home.document, self.home.option)
            base = self._base_of(document)
            later = chain.from_iterable(self.journal.segments_after(base.sequence))
            self._folded = fold_all(base, later, self.journal.replay_after(base.sequence))
        events = self.journal.after(self._folded.sequence)
        if any(event["action"] in SAYING_OTHERWISE for event in events):
            self._folded = document
            return self._far_state(document, is_patient=is_patient)
        self._folded = fold_all(self._folded, events)
        return self._folded

    def _base_of(self, document: Document) -> Document:
        """Return the document, or where a restore has discarded it the newest base that it has not."""
        if not self.journal.replay_after(document.sequence).has_discarded(document.sequence):
            return document
        base = newest_base(self.backups, self.journal)
        return document if base is None else base.document

    def _found(self, state: Document) -> "list[Event]":
        """Return what the store itself finds out about the document on the disk, and the state."""
        document: Document = self.file.document
        found: list[Event] = []
        if self.file.is_edited:
            found += self._observer.settings(document, self.journal.after(document.sequence))
        found += self._observer.lost(state, document.head["updated"])
        return found + self._observer.permits(state) + self._observer.cooldowns(state)

    def _project(self) -> None:
        """Bring the document up to the journal's end. Where that fails the next writer does it: no event is lost."""
        try:
            state = self.present(is_patient=False)
            self._say_what_is_alike(self.file.document, state)
            self._say_what_has_opened(self.file.document, state)
            self._put(state)
        except Exception as error:  # noqa: BLE001 - whatever it is, the events are recorded
            self.warn_once(f"{error} (the new events are safe in the journal)")

    def _project_in_turn(self, sequence: int, began: float) -> None:
        """Bring the document up to the journal's end, unless another writer has brought it to `sequence` already."""

        def is_done() -> bool:
            return self.file.sequence() >= sequence

        try:
            with self._guard, lock.held(self.home.document_lock, self.files, is_done, began) as is_held:
                if is_held and not is_done():
                    self._project()
        except (StorageError, DocumentError) as error:
            self.warn_once(f"{error} (the new events are safe in the journal)")

    def _check_home(self) -> None:
        """See to it, before the first write, that the document is this home's."""
        if self._is_checked:
            return
        claim.check(self.home, self.files)
        if claim.is_needed(self.home, self.files):
            with lock.held(self.home.document_lock, self.files):
                claim.check(self.home, self.files)
                claim.leave_note(self.home, self.files)
        self._is_checked = True

    def _put(self, state: Document) -> None:
        """Replace the document by `state`, with the backups that are due.

        There is one before the first write of an hour, and before what another program has written is written
        anew; settings that a person has changed are in one once they have come into force, with their event.
        """
        self._upkeep.sweep()
        is_changed = self.file.is_edited
        is_due = not is_changed and self._upkeep.is_backup_due()
        if is_due:
            self.file.look_closer()
            if self.file.damage is not None:
                self._put(self.present())
                return
            self._upkeep.keep_copy_if_possible()
        self.write(state)
        if is_changed:
            self._upkeep.keep_copy_if_possible()
        if is_due or is_changed:
            self._upkeep.tidy()
            if self._is_in_place:  # often enough: `doctor` says so, too
                from otel_tracker.storage import mounts

                self.warn_once(mounts.written_in_place(self.home.document))

    def _say_what_is_alike(self, document: Document, state: Document) -> None:
        """Say of each agent that `state` has and the `document` doesn't if it may be a known one that was misspelt.

        An agent that was registered is one of its own.
        """
        if len(state.agents) <= len(document.agents) or self.file.damage is not None:
            return
        from otel_tracker.errors import command
        from otel_tracker.state.lookup import similar

        for key, entry in state.agents.items():
            like = [] if key in document.agents or entry.get("name") else similar(document, key, _ALIKE)
            if like:
                merge = command("agents merge", key, like[0], home=self.home.option)
                text = f"{key} is a new agent whose name is like that of {like[0]}; if they are one: {merge}"
                self.warn_once(text, notice)

    def _say_what_has_opened(self, document: Document, state: Document) -> None:
        """Say of each agent whose breaker has opened since the `document` was written: one process does, whose turn it is."""
        openings = state.head["metrics"]["circuit_breaks"] - document.head["metrics"]["circuit_breaks"]
        if openings <= 0 or self.file.damage is not None:
            return
        from otel_tracker.errors import command

        for key, entry in state.agents.items():
            before = document.agents.get(key)
            if (
                entry["tallies"]["opened"] > (before["tallies"]["opened"] if before else 0)
                and entry["blacklisted_until"]
            ):
                until, failures = entry["blacklisted_until"], entry["failures"]
                look = command("breaker", key, home=self.home.option)
                text = f"{key} is blacklisted until {until}: {failures_in_a_row(failures)}; look at: {look}"
                self.warn_once(text, notice)

    def warn_once(self, message: str, log: "Callable[..., None]" = warn) -> None:
        """Log a warning, with `warn` or `notice`, unless this store has logged the same one before."""
        if message not in self._warned:
            self._warned.add(message)
            log("%s", message)


_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()


def forget_all() -> None:
    """Make the stores usable in the child of a fork."""
    for store in list(_stores):
        store.forget()
