"""Mends what can be mended without a person's decision, after a backup."""

import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from otel_tracker.doctor import contents, folders
from otel_tracker.doctor.subject import Subject
from otel_tracker.errors import DocumentError, StorageError, UnsupportedVersionError
from otel_tracker.reporting.finding import WRONG
from otel_tracker.reporting.wording import counted
from otel_tracker.runtime.writer import uninterrupted
from otel_tracker.state.fold import fold_all
from otel_tracker.storage.maintenance import temporary_files
from otel_tracker.storage.store import Store

if TYPE_CHECKING:
    from otel_tracker.storage.backups import Backups
    from otel_tracker.storage.parts import Parts
    from otel_tracker.storage.transaction import Transaction

_ALL = 1_000_000


@uninterrupted
def repair(store: Store) -> list[str]:
    """Mend a home, and return what was done, in words.

    Wrong numbers are replaced by those that the journal gives. The old document and damaged files are set aside; only
    temporary files are deleted. Raises StorageError and DocumentError where that is not possible.
    """
    done = []
    for path in folders.open_to_others(store.parts):
        with suppress(PermissionError):  # it is another user's: the finding stays
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~stat.S_IWOTH)
            done.append(f"closed {path} to others")
    count = store.take_in_unwritten()
    if count:
        done.append(f"took in {counted(count, 'event that was', 'events that were')} left over")
    if store.is_far_behind():
        store.read()  # before the lock, for which tasks wait
        done.append("wrote what only the journal had into the document")
    with store.transaction() as transaction:
        for path in temporary_files(store.home, store.parts.files):
            store.parts.files.remove(path)
            done.append(f"removed {path}")
        done += _set_aside_backups(store.parts)
        done += _mend_document(store, transaction)
    return done


def _set_aside_backups(parts: "Parts") -> list[str]:
    done = []
    valid = {path for path, _ in parts.backups.valid()}
    for path in parts.backups.paths():
        if path not in valid and _is_damaged(path, parts.backups):
            read = parts.files.read(path)
            kept = parts.backups.keep_damaged(read[1] if read else b"", parts.clock(), most=_ALL)
            parts.files.remove(path)
            done.append(f"set {path} aside as {kept}")
    return done


def _is_damaged(path: str, backups: "Backups") -> bool:
    """Tell whether a backup can be read and is damaged; a backup of a newer version isn't."""
    try:
        backups.document(path)
    except (UnsupportedVersionError, StorageError):
        return False
    except DocumentError:
        return True
    return False


def _mend_document(store: Store, transaction: "Transaction") -> list[str]:
    parts = store.parts
    parts.document_file.load()
    damage = parts.document_file.damage
    if damage is not None:
        transaction.write(transaction.present())
        return [f"rebuilt the document from {damage.base}"]
    transaction.present()  # records settings that were changed by hand, so that they stay
    subject = Subject(store)
    document = subject.document
    if document is None:
        return []
    wrong = any(finding.level == WRONG for finding in contents.comparison(subject))
    if not wrong and not subject.audit.unfolded:
        return []
    if not wrong:
        transaction.write(transaction.present())
        return [f"wrote {subject.audit.unfolded} events into the document that only the journal had"]
    base = contents.contradicting(subject) or subject.bases[-1]
    mended = contents.expected(base, document, subject)
    # Set aside, not among the backups: from there it could come back.
    kept = parts.backups.keep_damaged(parts.document_file.valid_text() or b"", parts.clock())
    transaction.write(fold_all(mended, parts.journal.after(mended.sequence)))
    transaction.back_up()
    return [f"rebuilt the document from the journal; the old one is {kept}"]
