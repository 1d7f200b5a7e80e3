"""The store: the only writer of a home.

Recording has two halves, each under a lock of its own. Events are numbered and appended to the journal; and what the
journal has and the document doesn't is folded into the document, which is replaced. Then the journal is flushed.

Who finds the document's lock taken is in a crowd: it flushes first and comes back for the document, which by then
another one has often replaced for all. Whoever reads needs no lock: the document and the journal's later events give
the present state.
"""

import threading
import time
import weakref
from contextlib import contextmanager

from otel_tracker.codec import DocumentCodec, sequence_of
from otel_tracker.document import Document, new_document
from otel_tracker.errors import DocumentError, StorageError, UnsupportedVersionError
from otel_tracker.fold import fold, fold_all, pruned
from otel_tracker.log import warn
from otel_tracker.runs import resolve
from otel_tracker.settings import Settings
from otel_tracker.storage import lock
from otel_tracker.storage.backups import Backups, settings_of
from otel_tracker.storage.files import Files
from otel_tracker.storage.journal import Journal
from otel_tracker.timestamps import format_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from otel_tracker.storage.files import Signature
    from otel_tracker.storage.home import Home

    Event = dict[str, Any]

BACKUP_SECONDS = 3600
_BEGINNING_BYTES = 4096
_FORESEEN_EVENTS = 8
_OUR_BEGINNING = b'{\n  "version": "7.'


class Store:
    """The document of a home and its journal. Safe from several threads and processes.

    Its own memory is guarded by a lock between threads, which is taken before those between processes.
    """

    def __init__(self, home: "Home", files: "Files | None" = None, clock: "Callable[[], float]" = time.time) -> None:
        self.home = home
        self._files = files or Files()
        self.backups = Backups(home, self._files)
        self._clock = clock
        self._journal = Journal(home.journal, self._files)
        self._codec = DocumentCodec()
        self._guard = threading.RLock()
        self._document = new_document()
        self._signature: Signature | None = None  # of the file that `_document` was read from or written to
        self._folded = self._folded_from = self._document  # the state: `_document` and the journal's later events
        self._torn: bytes | None = None  # the content of a file that `_document` had to be found elsewhere for
        self._written: Document | None = None
        self._peeked: tuple[Signature | None, int] | None = None  # the sequence of a file that was not read whole
        self._warned: set[str] = set()
        self._backed_up: tuple[float, Any] | None = None  # when the newest backup was made, and its settings
        _stores.add(self)

    def announce(self, events: "list[Event]") -> None:
        """Write `events` to the journal only: they survive the process, but not a power cut; errors as `record`."""
        with self._guard:
            self._append(events)

    def record(self, events: "list[Event]") -> "list[Event]":
        """Return `events`, numbered, when they are on the disk and the document shows them.

        Raises StorageError where they could not be written, DocumentError where the document is of a version that
        must not be written to. Events that are in the journal are recorded, even if the document can't be replaced.
        """
        with self._guard:
            segment, numbered = self._append(events)
            with lock.held_if_free(self.home.document_lock, self._files) as is_alone:
                if is_alone:
                    self._project()
        self._files.sync(segment)
        if not is_alone:
            self._project_in_turn(numbered[-1]["seq"])
        return numbered

    def read(self) -> Document:
        """Return the present state, by whatever process it was recorded.

        Raises DocumentError where the file is not a document, and StorageError where it can't be read.
        """
        with self._guard:
            return self._read()

    def rewrite(self) -> None:
        """Write the document anew, within the limits of its settings, even if nothing has come."""
        with self._locked():
            document = self._read()
            document = pruned(document, Settings.of(document.config))
            self._back_up_if_due(self._document)
            if document.head["updated"] is None:
                document = Document({**document.head, "updated": format_timestamp(self._clock())}, document.history)
            self._write(document)

    def back_up(self) -> "str | None":
        """Make a backup of the document as it is on the disk, and return its path; None if there is no document."""
        with self._locked():
            document = self._load()
            if self._torn is not None:
                self._project()
                document = self._document
            return self._back_up(document)

    @contextmanager
    def _locked(self) -> "Iterator[None]":
        """Hold the document's lock."""
        with self._guard, lock.held(self.home.document_lock, self._files):
            yield

    def _append(self, events: "list[Event]") -> "tuple[str, list[Event]]":
        with lock.held(self.home.append_lock, self._files):
            sequence = max(self._journal.last(), self._sequence_of_document())
            numbered = [{"seq": sequence + n, **event} for n, event in enumerate(self._resolved(events), 1)]
            return self._journal.append(numbered), numbered

    def _project(self) -> None:
        """Bring the document up to the journal's end. Where that fails the next writer does it: no event is lost."""
        try:
            document = self._load()
            self._back_up_if_due(document)
            self._write(fold_all(document, self._journal.after(document.sequence)))
        except Exception as error:  # noqa: BLE001 - whatever it is, the events are recorded
            self._warn_once(f"{error} (the new events are safe in the journal)")

    def _project_in_turn(self, sequence: int) -> None:
        """Bring the document up to the journal's end, unless somebody else has brought it to `sequence` already."""
        try:
            with (
                self._guard,
                lock.held(
                    self.home.document_lock, self._files, lambda: self._sequence_of_document() >= sequence
                ) as is_held,
            ):
                if is_held and self._sequence_of_document() < sequence:
                    self._project()
        except StorageError as error:
            self._warn_once(f"{error} (the new events are safe in the journal)")

    def _load(self) -> Document:
        """Return the document on the disk, from memory if it is still the same."""
        if self._files.signature(self.home.document) != self._signature:
            read = self._files.read(self.home.document)
            if read is None:
                self._document, self._signature, self._torn = new_document(), None, None
            else:
                signature, text = read
                self._document = self._foreseen(text) or self._decoded(text)
                self._signature = signature
                for problem in Settings.of(self._document.config).problems:
                    self._warn_once(f"{self.home.document}: {problem}")
        return self._document

    def _decoded(self, text: bytes) -> Document:
        """Return the document of a file; for a torn one the newest backup, which the journal brings up to date."""
        self._torn = None
        try:
            return self._codec.decode(text, self.home.document)
        except DocumentError as error:
            if error.place or isinstance(error, UnsupportedVersionError):
                raise  # a wrong value: somebody has put it there, and is to correct it
            self._torn = text
            backup = self.backups.newest_valid(DocumentCodec())
            path, document = backup or ("no backup", new_document())
            self._warn_once(f"{self.home.document} is torn: {error.reason}; going on from {path} and the journal")
            return document

    def _foreseen(self, text: bytes) -> "Document | None":
        """Return the document in memory moved on by the journal, if that is to the letter what `text` says.

        It mostly is when another process has recorded a task, and takes a third of the time of decoding.
        """
        sequence = sequence_of(text[:_BEGINNING_BYTES])
        if sequence is None or not 0 < sequence - self._document.sequence <= _FORESEEN_EVENTS:
            return None
        later = self._journal.after(self._document.sequence)
        document = fold_all(self._document, [event for event in later if event["seq"] <= sequence])
        return document if self._codec.is_text_of(document, text) else None

    def _warn_once(self, message: str) -> None:
        if message not in self._warned:
            self._warned.add(message)
            warn("%s", message)

    def _read(self) -> Document:
        document = self._load()
        if self._folded_from is not document:
            self._folded = self._folded_from = document
        self._folded = fold_all(self._folded, self._journal.after(document.sequence))
        return self._folded

    def _resolved(self, events: "list[Event]") -> "list[Event]":
        """Return `events` with the runs that they end, which may have begun in the same batch."""
        if all(event.get("run_id") for event in events):
            return events
        try:
            document = self._read()
        except DocumentError:
            document = new_document()
        resolved = []
        for event in events:
            resolved.append(resolve(document, event))
            document = fold(document, {"seq": document.sequence + 1, **resolved[-1]})
        return resolved

    def _sequence_of_document(self) -> int:
        """Return the number of the last event that the document on the disk holds, from its beginning if possible.

        A damaged document counts as 0, so that events go on to the journal; one of a newer version raises.
        """
        signature = self._files.signature(self.home.document)
        if signature == self._signature:
            return self._document.sequence
        if self._peeked is None or self._peeked[0] != signature:
            self._peeked = (signature, self._peek())
        return self._peeked[1]

    def _peek(self) -> int:
        read = self._files.read(self.home.document, 0, _BEGINNING_BYTES)
        sequence = sequence_of(read[1]) if read and read[1].startswith(_OUR_BEGINNING) else None
        try:
            return self._load().sequence if sequence is None else sequence
        except UnsupportedVersionError:
            raise
        except DocumentError:
            return 0

    def _write(self, document: Document) -> None:
        try:
            text = self._codec.encode(document)
        except (ValueError, RecursionError) as error:
            raise DocumentError(self.home.document, "$", f"can't be written again: {error}") from error
        if self._torn is not None:
            self.backups.keep_damaged(self._torn, self._clock())
        self._signature, self._torn = self._files.replace(self.home.document, text), None
        self._document = self._folded = self._folded_from = self._written = document

    def _back_up_if_due(self, document: Document) -> None:
        """Make a backup before the first write of an hour, and before settings changed by hand come into force."""
        if self._signature is None or self._torn is not None or self._is_backed_up(document):
            return
        newest = self.backups.paths()[-1:]
        if newest:
            self._backed_up = self.backups.made_at(newest[0]), self.backups.settings(newest[0], DocumentCodec())
        if not self._is_backed_up(document):
            self._back_up(document)

    def _is_backed_up(self, document: Document) -> bool:
        if self._backed_up is None:
            return False
        made_at, settings = self._backed_up
        if not 0 <= self._clock() - made_at < BACKUP_SECONDS:
            return False
        # What this process has written itself has the settings that it found.
        return document is self._written or bool(settings == settings_of(document.head))

    def _back_up(self, document: Document) -> "str | None":
        read = self._files.read(self.home.document)
        if read is None:
            return None
        document.history.entries()
        now = self._clock()
        path = self.backups.create(read[1], now)
        self._backed_up = (now, settings_of(document.head))
        return path

    def renew_guard(self) -> None:
        """Forget threads that a fork left behind: in the child nobody would ever release their lock."""
        self._guard = threading.RLock()


_stores: "weakref.WeakSet[Store]" = weakref.WeakSet()


def renew_guards() -> None:
    """Make the stores usable in the child of a fork."""
    for store in list(_stores):
        store.renew_guard()
