"""The base from which a damaged document is rebuilt: the newest valid backup and the journal, else the journal alone."""

from otel_tracker import names
from otel_tracker.errors import StorageError
from otel_tracker.state.document import Document, new_document

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from otel_tracker.storage.backups import Backups
    from otel_tracker.storage.journal import Journal


class Base:
    """A document from which the journal leads to the present state."""

    __slots__ = ("document", "missing", "source")

    def __init__(self, document: Document, source: "str | None", missing: str) -> None:
        self.document = document
        self.source = source
        """The path of the backup that it was read from, None if there is none."""
        self.missing = missing
        """The events, in words, that neither it nor the journal has; empty if none is known to be missing."""

    def __str__(self) -> str:
        """Return in words what the state is rebuilt from."""
        return f"{self.source or 'no backup'} and the journal{self.missing and f'; missing: {self.missing}'}"


def newest_base(backups: "Backups", journal: "Journal") -> "Base | None":
    """Return the newest valid backup that no restore has discarded, else an empty document; None if there is nothing to fold.

    A journal of nothing but what a history doesn't list counts as nothing: that is appended before there is a document. Nothing is missing
    if the journal goes on where the backup ends.
    """
    for path, document in _valid(backups):
        if not journal.replay_after(document.sequence).has_discarded(document.sequence):
            first = next((events[0]["seq"] for events in journal.segments_after(document.sequence)), None)
            return Base(document, path, _gap(document.sequence, first))
    first = _first_to_count(journal)
    if first is None:
        return None  # the first task still runs: there has been no document yet
    unknown = "settings, keys and totals that were in the document before its first event"
    gap = _gap(0, first)
    return Base(new_document(), None, f"{gap}, {unknown}" if gap else unknown)


def _first_to_count(journal: "Journal") -> "int | None":
    """Return the number of the journal's first event, None if it has nothing that a history lists."""
    first: int | None = None
    for events in journal.segments_after(0):
        first = first or events[0]["seq"]
        if any(event["action"] not in names.UNLISTED for event in events):
            return first
    return None


def _valid(backups: "Backups") -> "Iterable[tuple[str, Document]]":
    try:
        yield from backups.valid()
    except StorageError:
        return


def _gap(sequence: int, first: "int | None") -> str:
    if first is None or first <= sequence + 1:
        return ""
    return f"event {first - 1}" if first == sequence + 2 else f"events {sequence + 1} to {first - 1}"
