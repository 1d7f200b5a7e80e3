"""The document on the disk, and the copy of it in memory; if the file is damaged, the document that stands in for it."""

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
_REREADS = 5  # of a file that begins with a zero byte: a process is overwriting it in place, or was killed while it did
_BEGINNING_BYTES = 4096
_PREDICTED_EVENTS = 8
_OUR_BEGINNING = rb'.\n  "version": "7\.\d+",\n  "updated": (?:null|"[^"\n]*"),\n  "sequence": ([1-9]\d{0,18}),\n'
_OUR_KEY = b'"config_digest"'
# The beginning of an agent's entry in the format of v7.0; a key with an escape in it passes for another agent's.
_AGENT_ENTRY = rb'"([^"\n]+)"\s*:\s*\{\s*"status"\s*:'


class Damage:
    """A fault of a file: its `text` (None if it has vanished), the `reason`, and the `base` from which it can be rebuilt."""

    __slots__ = ("base", "reason", "text")

    def __init__(self, text: "bytes | None", reason: str, base: "Base") -> None:
        self.text, self.reason, self.base = text, reason, base


class DocumentFile:
    """Reads the file again only if it has changed. The caller of `write` must hold the document lock."""

    def __init__(self, home: "Home", files: "Files", journal: "Journal", backups: "Backups") -> None:
        self._path, self._files, self._journal, self._backups = home.document, files, journal, backups
        self._codec = DocumentCodec()
        self.document = new_document()
        """The document in memory, as of the last `load` or `write`."""
        self.signature: Signature | None = None
        """The signature of the file that `document` was read from or written to."""
        self._is_loaded = False
        self._peeked: tuple[Signature | None, int] | None = None  # the sequence of a file that was not read whole
        self.damage: Damage | None = None
        """The fault of the file when it was last read, None if it was whole."""
        self.is_edited = False
        """Whether settings of the document in memory were edited by hand since this package last wrote it."""
        self.is_foreign = False
        """Whether the document in memory comes from a file that another program has written."""
        self.is_in_place = False
        """Whether the last `write` overwrote the file in place."""

    @property
    def exists(self) -> bool:
        """Whether there is a file, as of the last `load` or `write`."""
        return self.signature is not None

    def load(self) -> Document:
        """Return the document on the disk, from memory if it is still the same.

        If the file is damaged or has vanished, the newest base, from which the journal leads to the present state, stands in for
        it, and `damage` is set. Raises DocumentError if there is no base, or if the file is of an unknown version.
        """
        signature = self._files.signature(self._path)
        if not self._is_loaded or signature != self.signature:
            read = self._read()
            predicted = self._predicted(read[1]) if read and self._is_loaded else None
            if read and predicted:
                self._hold(predicted)
            else:
                read = self._decode(read)
            self.signature = read[0] if read else None
            self._is_loaded = True
        return self.document

    def look_closer(self) -> None:
        """Load the document, and check its history, too, which most callers pass on unread."""
        try:
            self.load().history.entries()
        except DocumentError:
            self._is_loaded = False
            self.load()

    def sequence(self) -> int:
        """Return the number of the last event in the document on the disk; mostly the file's beginning is enough."""
        signature = self._files.signature(self._path)
        if self._is_loaded and signature == self.signature:
            return self.document.sequence
        if self._peeked is None or self._peeked[0] != signature:
            read = self._files.read(self._path, 0, _BEGINNING_BYTES)
            ours = re.match(_OUR_BEGINNING, read[1]) if read and read[1].startswith(b"{") else None
            self._peeked = signature, int(ours[1]) if ours else self.load().sequence
        return self._peeked[1]

    def valid_text(self) -> "bytes | None":
        """Return the content of the file on the disk if it is a valid document, else None."""
        self.load()
        while self.damage is None:
            read = self._files.read(self._path)
            if read is None:
                return None
            if read[0] == self.signature:
                return read[1]
            self.load()  # another program has written it meanwhile
        return None

    def write(self, document: Document, *, in_place: bool = False) -> None:
        """Put `document` in the place of the file in one step, or into the file if that has to stay `in_place`.

        Raises DocumentError if it can't be encoded as JSON, and MountedAloneError if no other file can take the file's place.
        """
        try:
            text = self._codec.encode(document)
        except (ValueError, RecursionError) as error:
            raise DocumentError(self._path, "$", f"can't be written again: {error}") from error
        if self.signature is None and self._files.create(self._path, b"".join(text)):
            self.signature = self._files.signature(
                self._path
            )  # it is flushed: nothing could stand in for the first document
        else:
            put = self._files.overwrite if in_place else self._files.replace
            self.signature = put(self._path, text)
        self._hold(document)
        self._is_loaded, self.is_in_place = True, in_place

    def _read(self) -> "tuple[Signature, bytes] | None":
        return self._files.steadily(self._path, lambda: self._files.read(self._path))

    def _decode(self, read: "tuple[Signature, bytes] | None") -> "tuple[Signature, bytes] | None":
        """Take the document of a file, and return what was read; a faulty file is read again.

        Another program may have been in the middle of writing it.
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
        """Tell whether a damaged file may hold more than `base` and the journal give.

        A file that this package wrote from events of the journal can't. Neither can a torn file of this package: events that it
        has and the journal doesn't were lost in the same power cut, before their record returned. Without a backup, both
        hold only if the journal is whole. Any other file may hold more if it names an agent that neither the backup nor the
        journal has; and, without a backup, if it isn't blank.
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
        agents = {*base.document.agents, *(event.get(key) for event in later for key in ("agent", "to"))}
        return any(match[1].decode("utf-8", "replace") not in agents for match in re.finditer(_AGENT_ENTRY, text))

    def _take(self, read: "tuple[Signature, bytes] | None") -> "DocumentError | None":
        """Take the document that was read; return the error if the file holds none."""
        if read is None:
            return DocumentError(self._path, "", "it has vanished")
        try:
            document = self._codec.decode(read[1], self._path)
            if not self._is_loaded:  # once in a process's life: it takes as long as all the rest
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
        """Take a document that another program has rewritten without `sequence`: which events it holds is unknown.

        If a backup and the journal give the state, that state counts; else the document's numbers, as if it held all events.
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
        """Tell whether a document without `sequence` was written by this package before, and so is not to be adopted."""
        is_numbered = (self._backups.sequence(path) > 0 for path in self._backups.paths())
        return document.sequence == 0 and (_OUR_KEY in text or any(is_numbered))

    def _advanced(self, document: Document) -> Document:
        """Return a document with all later events of the journal folded in, unless that takes seconds."""
        if self._journal.is_far_ahead(document.sequence):
            return document
        return fold_all(document, self._journal.after(document.sequence))

    def _hold(self, document: Document) -> None:
        """Keep a document as that of the file, which is whole."""
        self.document, self.damage = document, None
        self.is_edited = self.is_foreign = False

    def _predicted(self, text: bytes) -> "Document | None":
        """Return the document in memory with the journal's later events folded in, if `text` is its exact encoding.

        It mostly is after another process has recorded a task, and this takes a third of the time of decoding.
        """
        sequence = sequence_of(text[:_BEGINNING_BYTES])
        if sequence is None or not 0 < sequence - self.document.sequence <= _PREDICTED_EVENTS:
            return None
        later = self._journal.after(self.document.sequence)
        document = fold_all(self.document, [event for event in later if event["seq"] <= sequence])
        return document if self._codec.is_text_of(document, text) else None
