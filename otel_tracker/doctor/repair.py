"""Mends what can be mended without a person, after a backup."""

import os
import stat
from contextlib import suppress

from otel_tracker.doctor import contents, folders
from otel_tracker.doctor.subject import Subject
from otel_tracker.errors import DocumentError, StorageError, UnsupportedVersionError
from otel_tracker.reporting.finding import WRONG
from otel_tracker.runtime.writer import uninterrupted
from otel_tracker.state.fold import fold_all
from otel_tracker.storage.maintenance import temporary_files
from otel_tracker.storage.store import Store

_ALL = 1_000_000


@uninterrupted
def repair(store: Store) -> list[str]:
    """Mend a home, and return what was done, in words.

    Numbers that are not what the journal gives are replaced by those that are. Nothing is deleted but what was never
    whole: the document as it was is set aside, and so are damaged files. Raises StorageError and
    DocumentError where that is not possible.
    """
    done = []
    for path in folders.open_to_others(store):
        with suppress(PermissionError):  # it is another user's: the doctor goes on saying so
            os.chmod(path, stat.S_IMODE(os.stat(path).st_mode) & ~stat.S_IWOTH)
            done.append(f"closed {path} to others")
    waiting = store.take_in_left_over()
    if waiting:
        done.append(f"took in {waiting} events that were left over")
    if store.is_far_behind():
        store.read()  # before the lock, for which tasks wait
        done.append("wrote what only the journal had into the document")
    with store.locked():
        for path in temporary_files(store.home, store.files):
            store.files.remove(path)
            done.append(f"removed {path}")
        done += _set_aside_backups(store)
        done += _mend_document(store)
    return done


def _set_aside_backups(store: Store) -> list[str]:
    done = []
    valid = {path for path, _ in store.backups.valid()}
    for path in store.backups.paths():
        if path not in valid and _is_damaged(path, store):
            read = store.files.read(path)
            kept = store.backups.keep_damaged(read[1] if read else b"", store.clock(), most=_ALL)
            store.files.remove(path)
            done.append(f"set {path} aside as {kept}")
    return done


def _is_damaged(path: str, store: Store) -> bool:
    """Tell whether a backup can be read and makes no sense; one of a newer version does, to others."""
    try:
        store.backups.document(path)
    except (UnsupportedVersionError, StorageError):
        return False
    except DocumentError:
        return True
    return False


def _mend_document(store: Store) -> list[str]:
    store.file.load()
    damage = store.file.damage
    if damage is not None:
        store.write(store.present())
        return [f"rebuilt the document from {damage.base}"]
    store.present()  # records settings that were changed by hand: they stay
    subject = Subject(store)
    document = subject.document
    if document is None:
        return []
    wrong = any(finding.level == WRONG for finding in contents.comparison(subject))
    if not wrong and not subject.audit.unfolded:
        return []
    if not wrong:
        store.write(store.present())
        return [f"wrote {subject.audit.unfolded} events into the document that only the journal had"]
    base = contents.contradicting(subject) or subject.bases[-1]
    mended = contents.expected(base, document, subject)
    # Set aside, not among the backups: from there it could come back.
    kept = store.backups.keep_damaged(store.file.valid_text() or b"", store.clock())
    store.write(fold_all(mended, store.journal.after(mended.sequence)))
    store.keep_copy()
    return [f"wrote what the journal gives; the document as it was is {kept}"]
