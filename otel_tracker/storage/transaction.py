"""The operations that need the document lock. `Store.transaction` takes the lock and yields a Transaction.

A transaction appends first and writes the document last. An event is on the disk before the document shows it, and a backup is
made before the document is replaced: a process that is killed in between leaves nothing that the next one can't fold again.
"""

from otel_tracker.errors import MountedAloneError
from otel_tracker.runtime.log import notice, warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.appender import Appender
    from otel_tracker.storage.maintenance import Maintenance
    from otel_tracker.storage.observer import Observer
    from otel_tracker.storage.parts import Parts
    from otel_tracker.storage.present_state import PresentState


class Transaction:
    """Changes one home, until `close` is called before the lock is released."""

    def __init__(
        self,
        parts: "Parts",
        state: "PresentState",
        appender: "Appender",
        observer: "Observer",
        maintenance: "Maintenance",
    ) -> None:
        self._parts, self._state, self._appender = parts, state, appender
        self._observer, self._maintenance = observer, maintenance
        self._file = parts.document_file

    def close(self) -> None:
        """Let every further call fail: the lock that it needs is about to be released."""
        vars(self).clear()

    def present(self, *, is_patient: bool = True) -> "Document":
        """Return the present state, after recording what the store itself finds out; `is_patient` as in `Store.read`."""
        self._observer.look()
        state = self._state.load(is_patient=is_patient)
        if not self._observations(state):
            return state
        self._appender.append_durably(lambda: self._observations(self._state.load(is_patient=is_patient)))
        self._state.fold_again()
        return self._state.load(is_patient=is_patient)

    def append(self, event: "Event") -> "Event":
        """Append an event, and return it with its number when it is on the disk."""
        return self._appender.append_durably(lambda: [event])[0]

    def last_number(self) -> int:
        """Return the number of the last event."""
        return self._appender.last_number()

    def write(self, state: "Document") -> None:
        """Replace the document by `state`; a damaged one is kept, and a line of log says so."""
        damage = self._file.damage
        kept = None
        if damage is not None and damage.text is not None:
            kept = self._parts.backups.keep_damaged(damage.text, self._parts.clock())
        try:
            self._file.write(state)
        except MountedAloneError:
            self._maintenance.ensure_copy()  # a killed process would leave a part of the file: it comes back from there
            self._file.write(state, in_place=True)
        self._state.hold(state)
        if damage is not None:
            path, set_aside = self._parts.home.document, f"; what was there is now {kept}" if kept else ""
            warn("%s was damaged: %s; rebuilt from %s%s", path, damage.reason, damage.base, set_aside)

    def save(self, state: "Document") -> None:
        """Replace the document by `state`, with the backups that are due.

        A backup is made before the first write of an hour, and before a document that another program has written is
        replaced; settings that were edited by hand are in a backup after they have come into force, with their event.
        """
        maintenance = self._maintenance
        maintenance.sweep()
        is_edited = self._file.is_edited
        is_due = not is_edited and maintenance.is_backup_due()
        if is_due:
            self._file.look_closer()
            if self._file.damage is not None:
                self.save(self.present())
                return
            maintenance.keep_copy_if_possible()
        self.write(state)
        if is_edited:
            maintenance.keep_copy_if_possible()
        if is_due or is_edited:
            maintenance.tidy()
            if self._file.is_in_place:  # often enough: `doctor` says so, too
                from otel_tracker.storage import mounts

                self._parts.warn_once(mounts.written_in_place(self._parts.home.document))

    def bring_up_to_date(self) -> None:
        """Fold into the document what only the journal has, and say what users want to hear of at once."""
        state = self.present(is_patient=False)
        if self._file.damage is None:
            self._say_what_is_new(self._file.document, state)
        self.save(state)

    def settle_document(self) -> None:
        """Write the document anew if it is damaged, or if settings were edited by hand that no event tells yet."""
        self._file.look_closer()
        if self._file.is_edited or self._file.damage is not None:
            self.write(self.present())

    def back_up(self) -> "str | None":
        """Make a backup of the document as it is on the disk, and return its path; None if there is no valid one."""
        return self._maintenance.keep_copy()

    def tidy(self) -> None:
        """Delete the backups that are too many, and the segments of the journal that no backup needs."""
        self._maintenance.tidy()

    def _observations(self, state: "Document") -> "list[Event]":
        """Return the events that the store itself finds out about the document on the disk, and the state."""
        document: Document = self._file.document
        observer, edited = self._observer, []
        if self._file.is_edited:
            edited = observer.settings(document, self._parts.journal.after(document.sequence))
        lost = observer.lost(state, document.head["updated"])
        return [*edited, *lost, *observer.permits(state), *observer.cooldowns(state)]

    def _say_what_is_new(self, document: "Document", state: "Document") -> None:
        """Say what has happened to agents since the document was written; only the process that writes it next does."""
        has_new_agents = len(state.agents) > len(document.agents)
        has_openings = state.head["metrics"]["circuit_breaks"] > document.head["metrics"]["circuit_breaks"]
        if has_new_agents or has_openings:
            from otel_tracker.storage import notices

            option = self._parts.home.option
            misspelt = notices.misspelt(document, state, option) if has_new_agents else ()
            opened = notices.opened(document, state, option) if has_openings else ()
            for text in (*misspelt, *opened):
                self._parts.warn_once(text, notice)
