"""The document on the disk, and the copy of it in memory; where the file is damaged, what stands in for it."""

import re
import time

from otel_tracker.errors import DocumentError, UnsupportedVersionError
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.fold import fold_all
from otel_tracker.state.layout import is_torn, sequence_of
from otel_tracker.state.schema import has_changed_settings
from otel_tracker.storage.recovery import Base, newest_base

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.storage.backups import Backups
    from otel_tracker.storage.files import Files, Signature
    from otel_tracker.storage.home import Home
    from otel_tracker.storage.journal import Journal

REREAD_SECONDS = 0.05
_REREADS = 5  # of a file that a process is overwriting in place, or was when it was killed: it begins with a zero byte
_BEGINNING_BYTES = 4096
_FORESEEN_EVENTS = 8
_OUR_BEGINNING = rb'.\n  "version": "7\.\d+",\n  "updated": (?:null|"[^"\n]*"),\n  "sequence": ([1-9]\d{0,18}),\n'
_OUR_KEY = b'"config_digest"'
# How an agent's entry begins in the format of v7.0; a key with an escape in it is taken for another agent's.
_AGENT_ENTRY = rb'"([^"\n]+)"\s*:\s*\{\s*"status"\s*:'


class Damage:
    """Why a file is no document: its `text` (None if it has vanished), the `reason`, and the `base` to go on from."""

    __slots__ = ("base", "reason", "text")

    def __init__(self, text: "bytes | None", reason: str, base: "Base") -> None:
        self.text, self.reason, self.base = text, reason, base


class DocumentFile:
    """Reads the file again only if it has changed. Who calls `write` holds the document's lock."""

    def __init__(self, home: "Home", files: "Files", journal: "Journal", backups: "Backups") -> None:
        self._path, self._files, self._journal, self._backups = home.document, files, journal, backups
        self._codec = DocumentCodec()
        self.document = new_document()
        """The document in memory, as of the last `load` or `write`."""
        self.signature: Signature | None = None
        """That of the file which `document` was read from or written to."""
        self._is_known = False
        self._peeked: tuple[Signature | None, int] | None = None  # the sequence of a file that was not read whole
        self.damage: Damage | None = None
        """What was wrong with the file when it was read, None if nothing."""
        self.is_edited = False
        """Whether a hand has changed the settings of the document in memory since it was last written."""
        self.is_foreign = False
        """Whether the document in memory comes from a file that this package would not have written like that."""
        self.is_in_place = False
        """Whether the last `write` overwrote the file in place."""

    @property
    def exists(self) -> bool:
        """Whether there is a file, as of the last `load` or `write`."""
        return self.signature is not None

    def load(self) -> Document:
        """Return the document on the disk, from memory if it is still the same.

        Where the file is damaged or has vanished, the newest base that the journal leads on from stands in for it, and
        `damage` says so. Raises DocumentError where there is no base, or the file is of a version not known here.
        """
        signature = self._files.signature(self._path)
        if not self._is_known or signature != self.signature:
            read = self._read()
            foreseen = self._foreseen(read[1]) if read and self._is_known else None
            if read and foreseen:
                self._hold(foreseen)
            else:
                read = self._decode(read)
            self.signature = read[0] if read else None
            self._is_known = True
        return self.document

    def look_closer(self) -> None:
        """Load the document, and check its history, too, which is mostly passed on unread."""
        try:
            self.load().history.entries()
        except DocumentError:
            self._is_known = False
            self.load()

    def sequence(self) -> int:
        """Return the number of the last event that the document on the disk holds, from its beginning if possible."""
        signature = self._files.signature(self._path)
        if self._is_known and signature == self.signature:
            return self.document.sequence
        if self._peeked is None or self._peeked[0] != signature:
            read = self._files.read(self._path, 0, _BEGINNING_BYTES)
            ours = re.match(_OUR_BEGINNING, read[1]) if read and read[1].startswith(b"{") else None
            self._peeked = signature, int(ours[1]) if ours else self.load().sequence
        return self._peeked[1]

    def valid_text(self) -> "bytes | None":
        """Return the content of the file on the disk, found to be a document; None if there is none."""
        self.load()
        while self.damage is None:
            read = self._files.read(self._path)
            if read is None:
                return None
            if read[0] == self.signature:
                return read[1]
            self.load()  # a foreign writer was faster
        return None

    def write(self, document: Document, *, in_place: bool = False) -> None:
        """Put `document` in the place of the file in one step, or into the file if that has to stay `in_place`.

        Raises DocumentError where it can't be JSON, and MountedAloneError where nothing can take the file's place.
        """
        try:
            text = self._codec.encode(document)
        except (ValueError, RecursionError) as error:
            raise DocumentError(self._path, "$", f"can't be written again: {error}") from error
        if self.signature is None and self._files.create(self._path, b"".join(text)):
            self.signature = self._files.signature(self._path)  # nothing could stand in for the first one
        else:
            put = self._files.overwrite if in_place else self._files.replace
            self.signature = put(self._path, text)
        self._hold(document)
        self._is_known, self.is_in_place = True, in_place

    def _read(self) -> "tuple[Signature, bytes] | None":
        return self._files.steadily(self._path, lambda: self._files.read(self._path))

    def _decode(self, read: "tuple[Signature, bytes] | None") -> "tuple[Signature, bytes] | None":
        """Take the document of a file, and return what was read: again where it makes no sense at first.

        A foreign writer may have been in the middle.
        """
        error = self._take(read)
        if error is None:
            return read
        if read is None and newest_base(self._backups, self._journal) is None:
            self._hold(new_document())
            return None
        for _ in range(_REREADS if read and read[1].startswith(b"\0") else 1):
            time.sleep(REREAD_SECONDS)
            read = self._read()
            error = self._take(read)
            if error is None:
                break
        if error is not None:
            base = newest_base(self._backups, self._journal)
            if base is None or (read is not None and self._may_hold_more(read[1], base)):
                raise error
            reason = f"{error.place}: {error.reason}" if error.place else error.reason
            self._hold(base.document)
            self.damage = Damage(read[1] if read else None, reason, base)
        return read

    def _may_hold_more(self, text: bytes, base: "Base") -> bool:
        """Tell whether a damaged file may hold what `base` and the journal don't give.

        A file that this package wrote from events of the journal may not. Neither may a torn one: events that it has and
        the journal hasn't were lost in the same power cut, before their record returned. Where there is no backup, the
        journal must be whole for that. Any other file may if it names an agent that the backup and the journal don't know;
        and, without a backup, if it isn't blank.
        """
        ours = re.match(_OUR_BEGINNING, text) if text[:1] in (b"{", b"\0") else None
        is_reached = ours is not None and int(ours[1]) <= self._journal.last()
        is_torn_ours = ours is not None and is_torn(text)
        if base.source is None:
            is_given = (is_reached or is_torn_ours) and self._journal.first() == 1
            return not is_given and bool(text.strip(b"\0 \r\n\t"))
        if is_torn_ours or (is_reached and not base.missing):
            return False
        later = self._journal.after(base.document.sequence)
        known = {*base.document.agents, *(event.get(key) for event in later for key in ("agent", "to"))}
        return any(match[1].decode("utf-8", "replace") not in known for match in re.finditer(_AGENT_ENTRY, text))

    def _take(self, read: "tuple[Signature, bytes] | None") -> "DocumentError | None":
        """Take the document that was read; return the error where it is none."""
        if read is None:
            return DocumentError(self._path, "", "it has vanished")
        try:
            document = self._codec.decode(read[1], self._path)
            if not self._is_known:  # once in a process's life: it takes as long as all the rest
                document.history.entries()
        except UnsupportedVersionError:
            raise
        except DocumentError as error:
            return error
        is_foreign = sequence_of(read[1][:_BEGINNING_BYTES]) is None
        if is_foreign and self._is_rewritten(document, read[1]):
            self._take_rewritten(document, read[1])
        else:
            self._hold(document)
        self.is_edited, self.is_foreign = has_changed_settings(self.document.head), is_foreign
        return None

    def _take_rewritten(self, document: Document, text: bytes) -> None:
        """Take a document that another program has rewritten without `sequence`: nothing tells which events it holds.

        Where a backup and the journal tell the state, that holds; else its numbers do, as if it held all events.
        """
        base = newest_base(self._backups, self._journal)
        is_whole = base is not None and (not base.missing if base.source else self._journal.first() == 1)
        if base is None or not is_whole:
            document = Document({**document.head, "sequence": self._journal.last()}, document.history)
            base = Base(document, "its own numbers", "")
        from otel_tracker.state.rewritten import with_changes

        self._hold(with_changes(self._advanced(base.document), document))
        self.damage = Damage(
            text, "another program has left out `sequence`: nothing tells what its numbers count", base
        )

    def _is_rewritten(self, document: Document, text: bytes) -> bool:
        """Tell whether a document that names no event was this package's before, and not one that is to be adopted."""
        is_numbered = (self._backups.sequence(path) > 0 for path in self._backups.paths())
        return document.sequence == 0 and (_OUR_KEY in text or any(is_numbered))

    def _advanced(self, document: Document) -> Document:
        """Return a document moved on to the journal's end, unless that takes seconds."""
        if self._journal.is_far_ahead(document.sequence):
            return document
        return fold_all(document, self._journal.after(document.sequence))

    def _hold(self, document: Document) -> None:
        """Take a document for that of the file, in which nothing is wrong."""
        self.document, self.damage = document, None
        self.is_edited = self.is_foreign = False

    def _foreseen(self, text: bytes) -> "Document | None":
        """Return the document in memory moved on by the journal, if that is to the letter what `text` says.

        It mostly is when another process has recorded a task, and takes a third of the time of decoding.
        """
        sequence = sequence_of(text[:_BEGINNING_BYTES])
        if sequence is None or not 0 < sequence - self.document.sequence <= _FORESEEN_EVENTS:
            return None
        later = self._journal.after(self.document.sequence)
        document = fold_all(self.document, [event for event in later if event["seq"] <= sequence])
        return document if self._codec.is_text_of(document, text) else None
