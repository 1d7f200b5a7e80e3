"""The home that is examined: its store, and what was read of it, once."""

from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from otel_tracker import names
from otel_tracker.doctor.audit import Audit, Totals, totals_of
from otel_tracker.errors import DocumentError
from otel_tracker.state.event_checks import is_event

if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.store import Store


class ValidBackup(NamedTuple):
    """A valid backup: its path, the number of its last event, and its totals."""

    path: str
    sequence: int
    totals: Totals


class Subject:
    """A home as it was when the doctor looked. Of the journal and the backups, only their totals are kept."""

    def __init__(self, store: "Store") -> None:
        self.store, self.parts = store, store.parts
        self.ends_before: list[Event] = []
        """Ends of runs from before the journal's first event, which only documents know; complete once `bases` was read."""
        self._renamed: dict[str, str] = {}

    @cached_property
    def document(self) -> "Document | None":
        """The document on the disk, None if there is none that can be read."""
        file = self.parts.document_file
        try:
            document = file.load()
        except DocumentError:
            return None
        return document if file.exists and file.damage is None else None

    @cached_property
    def valid_backups(self) -> list[ValidBackup]:
        """The backups that hold a document, oldest first."""
        bases = []
        for path, document in self.parts.backups.valid():
            bases.append(ValidBackup(path, document.sequence, totals_of(document)))
            self._renamed = dict(document.renamed)  # in the end those of the oldest
            self._note_ends(document)
        return bases[::-1]

    @cached_property
    def audit(self) -> Audit:
        """What the journal holds."""
        marks = [0, *(base.sequence for base in self.valid_backups)]
        if self.document is not None:
            marks.append(self.document.sequence)
            self._note_ends(self.document)
        audit = Audit(self.parts.journal.replay_after(0), marks, self.ends_before, self._renamed)
        audit.read(self.parts)
        return audit

    @cached_property
    def bases(self) -> list[ValidBackup]:
        """The valid backups from which the journal leads to the document, without a gap, oldest first."""
        document = self.document
        if document is None:
            return []
        numbered = [base for base in self.valid_backups if self._has_reliable_number(base)]
        return [base for base in numbered if self.audit.leads_on(base.sequence, document.sequence)]

    def between(self, sequence: int, until: int) -> "Iterator[Event]":
        """Yield the journal's events after the number `sequence` up to `until`."""
        later = chain.from_iterable(self.parts.journal.segments_after(sequence))
        return (event for event in later if event["seq"] <= until)

    def _has_reliable_number(self, base: ValidBackup) -> bool:
        """Tell whether a backup's number is reliable.

        An adopted document has none, nor has one from which another program has dropped the key.
        """
        is_first = base.path == min(other.path for other in self.valid_backups)
        return is_first or self.parts.backups.has_sequence(base.path)

    def _note_ends(self, document: "Document") -> None:
        first = self.parts.journal.first() or 0
        self.ends_before += [
            entry
            for entry in document.history.entries()
            if is_event(entry) and entry["action"] in names.OUTCOMES and entry["seq"] < first
        ]
