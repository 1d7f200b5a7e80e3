"""Backups as a user asks for them: which there are, and bringing one back, with the events after it or without."""

import os
from contextlib import suppress

from otel_tracker import names
from otel_tracker.errors import DocumentError, RestoreError
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.runtime.writer import uninterrupted
from otel_tracker.state.event import happened
from otel_tracker.state.fold import fold_all
from otel_tracker.state.replay import Replay

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.storage.store import Store


def backup_rows(store: "Store") -> "list[dict[str, Any]]":
    """Return each backup's path, when it was made, bytes, and last event (`sequence`; None if it is damaged), oldest first."""
    backups = store.parts.backups
    return [
        {
            "path": path,
            "made_at": format_timestamp(backups.made_at(path)),
            "bytes": os.path.getsize(path),
            "sequence": None if backups.sequence(path) < 0 else backups.sequence(path),
        }
        for path in backups.paths()
    ]


def damaged_documents(store: "Store") -> list[str]:
    """Return the paths of the damaged documents that were set aside, oldest first."""
    return store.parts.backups.damaged_paths()


@uninterrupted
def restore(store: "Store", name: str, *, discard_later: bool) -> "tuple[str, int, int]":
    """Bring the document back from the backup `name`, after a backup of the present one.

    The journal's later events are folded into it, or no longer count if `discard_later`; they stay in the journal, and
    going back to a backup that had them brings them back. Returns the backup's path, and how many events were folded
    and discarded. Raises UnknownBackupError, DocumentError where the backup is damaged, and RestoreError.
    """
    parts = store.parts
    with store.transaction() as transaction:
        path = parts.backups.path_of(name)
        document = parts.backups.document(path)
        later = parts.journal.after(document.sequence)
        if Replay(later).has_discarded(document.sequence) and not discard_later:
            raise RestoreError(path)
        with suppress(DocumentError):  # a file that can't be rebuilt is replaced, too
            transaction.settle_document()
        transaction.back_up()
        restored = happened(
            names.DOCUMENT_RESTORED,
            parts.clock(),
            backup=path.rpartition("/")[2],
            after=document.sequence,
            until=transaction.last_number() if discard_later else document.sequence,
        )
        number = transaction.append(restored)["seq"]
        events = parts.journal.after(document.sequence)
        transaction.write(fold_all(document, events))
        transaction.back_up()  # a newer base than the backups made before
        discarded = sum(1 for event in events if discard_later and event["seq"] < number)
        return path, len(events) - 1 - discarded, discarded
