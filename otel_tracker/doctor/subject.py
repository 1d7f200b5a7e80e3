"""What is examined: a home's store, and what was read of it, once."""

from functools import cached_property
from typing import Any

from otel_tracker.document import Document
from otel_tracker.errors import DocumentError
from otel_tracker.replay import is_discarded
from otel_tracker.storage.store import Store


class Subject:
    """A home as it was when the doctor looked."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def events(self) -> list[dict[str, Any]]:
        """All events of the journal."""
        return self.store.journal.after(0)

    @cached_property
    def document(self) -> "Document | None":
        """The document on the disk, None if there is none that can be read."""
        file = self.store.file
        try:
            document = file.load()
        except DocumentError:
            return None
        return document if file.exists and file.damage is None else None

    @cached_property
    def bases(self) -> list[tuple[str, Document]]:
        """The valid backups from which the journal leads to the document, without a gap, the newest first."""
        return [(path, base) for path, base in self.store.backups.valid() if self._leads_on(base)]

    def between(self, base: Document, document: Document) -> list[dict[str, Any]]:
        """Return the events that `document` has and `base` doesn't."""
        return [event for event in self.events if base.sequence < event["seq"] <= document.sequence]

    def _leads_on(self, base: Document) -> bool:
        document = self.document
        if document is None or base.sequence > document.sequence:
            return False
        later = [event for event in self.events if event["seq"] > base.sequence]
        numbers = [event["seq"] for event in self.between(base, document)]
        return not is_discarded(base.sequence, later) and numbers == list(
            range(base.sequence + 1, document.sequence + 1)
        )
