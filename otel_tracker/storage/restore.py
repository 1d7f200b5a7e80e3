"""Bringing a backup back, with what came after it or without."""

from contextlib import suppress

from otel_tracker import names
from otel_tracker.errors import DocumentError, RestoreError
from otel_tracker.runtime.writer import uninterrupted
from otel_tracker.state.event import happened
from otel_tracker.state.fold import fold_all
from otel_tracker.state.replay import Replay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.storage.store import Store


@uninterrupted
def restore(store: "Store", name: str, *, discard_later: bool) -> "tuple[str, int, int]":
    """Bring the document back from the backup `name`, after a backup of the present one.

    The journal's later events are folded into it, or no longer count if `discard_later`; they stay in the journal, and
    going back to a backup that had them brings them back. Returns the backup's path, and how many events were folded
    and discarded. Raises UnknownBackupError, DocumentError where the backup is damaged, and RestoreError.
    """
    with store.locked():
        path = store.backups.path_of(name)
        document = store.backups.document(path)
        later = store.journal.after(document.sequence)
        if Replay(later).has_discarded(document.sequence) and not discard_later:
            raise RestoreError(path)
        with suppress(DocumentError):  # a file that nothing can be made of is no hindrance
            store.settle_file()
        store.keep_copy()
        restored = happened(
            names.DOCUMENT_RESTORED,
            store.clock(),
            backup=path.rpartition("/")[2],
            after=document.sequence,
            until=store.last_number() if discard_later else document.sequence,
        )
        number = store.append(restored)["seq"]
        events = store.journal.after(document.sequence)
        store.write(fold_all(document, events))
        store.keep_copy()  # a newer base than what was there before
        discarded = sum(1 for event in events if discard_later and event["seq"] < number)
        return path, len(events) - 1 - discarded, discarded
