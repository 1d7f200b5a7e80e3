"""The writing end of the journal: numbers events, and brings each in once, however often an attempt has failed.

A flush that fails leaves it open what of the journal the disk has, and the system forgets what it could not write. So
what was appended since is in doubt: the next attempt writes it to its place again, and appends only what isn't there.
"""

from otel_tracker.errors import DocumentError, StorageError, UnsupportedVersionError
from otel_tracker.log import warn
from otel_tracker.storage import left_over, lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from otel_tracker.storage.document_file import DocumentFile
    from otel_tracker.storage.files import Files
    from otel_tracker.storage.home import Home
    from otel_tracker.storage.journal import Journal, Mark

    Event = dict[str, Any]
    Resolve = Callable[[list[Event]], list[Event]]


class Appended:
    """Events that are in the journal: numbered, in `segments` that are still to be flushed."""

    __slots__ = ("doubt", "events", "mark", "segments")

    def __init__(self, events: "list[Event]", segments: list[str], mark: "Mark", doubt: "Mark | None") -> None:
        self.events, self.segments, self.mark, self.doubt = events, segments, mark, doubt


class Appender:
    """Appends to one journal. `resolve` fills in which run of a task an event is about."""

    def __init__(
        self, home: "Home", files: "Files", journal: "Journal", document_file: "DocumentFile", resolve: "Resolve"
    ) -> None:
        self._home, self._files, self._journal, self._file, self._resolve = home, files, journal, document_file, resolve
        self._unreadable: set[str] = set()  # files that were left over, and that this process can't take in
        self._doubt: Mark | None = None  # an end of the journal: what comes after it may not be on the disk

    def append(self, events: "list[Event]") -> Appended:
        """Append events, and before them what others have left over."""
        with lock.held(self._home.append_lock, self._files):
            self._journal.last()
            mark, doubt = self._journal.mark(), self._doubt
            try:
                segments, written = self._write_again(doubt) if doubt else ([], {})
                self._take_in_left_over()
                new = [event for event in events if event["id"] not in written]
                if new:
                    segment, numbered = self._number(new)
                    segments.append(segment)
                    written.update((event["id"], event) for event in numbered)
            except BaseException:
                self._doubt = doubt or mark
                raise
            return Appended([written[event["id"]] for event in events], segments, mark, doubt)

    def flush(self, appended: Appended) -> None:
        """Return when what was appended is on the disk."""
        try:
            for segment in dict.fromkeys(appended.segments):
                self._files.sync(segment)
        except StorageError:
            self._doubt = self._doubt or appended.mark
            raise
        if self._doubt is appended.doubt:
            self._doubt = None

    def append_durably(self, find: "Callable[[], list[Event]]") -> "list[Event]":
        """Append what `find` returns once nobody else can append, and return it when it is on the disk."""
        with lock.held(self._home.append_lock, self._files):
            events = find()
            if events:
                segment, events = self._number(events)
                self._files.sync(segment)
            return events

    def take_in_left_over(self) -> int:
        """Append what others have left over, and return how many events that are, when they are on the disk."""
        with lock.held(self._home.append_lock, self._files):
            return self._take_in_left_over()

    def last_number(self) -> int:
        """Return the number of the last event; raises UnsupportedVersionError."""
        try:
            of_document = self._file.sequence()
        except UnsupportedVersionError:
            raise
        except DocumentError:  # nothing tells what a damaged document held: events go on to the journal
            of_document = 0
        return max(self._journal.last(), of_document)

    def _number(self, events: "list[Event]") -> "tuple[str, list[Event]]":
        sequence = self.last_number()
        numbered = [{"seq": sequence + n, **event} for n, event in enumerate(self._resolve(events), 1)]
        return self._journal.append(numbered), numbered

    def _write_again(self, doubt: "Mark") -> "tuple[list[str], dict[str, Event]]":
        """Write what is in doubt to its place again, and return its segments, and its events by their ids."""
        segments = self._journal.write_again(doubt)
        return segments, {event["id"]: event for event in self._journal.after(doubt[2])}

    def _take_in_left_over(self) -> int:
        if self._files.signature(self._home.left_over) is None:
            return 0
        paths = [path for path in left_over.paths(self._home, self._files) if path not in self._unreadable]
        events = [event for path in paths for event in self._read_left_over(path)]
        paths = [path for path in paths if path not in self._unreadable]
        if not paths:
            left_over.remove(self._home, self._files, [])
            return 0
        new = left_over.not_in(self._journal, events)
        if new:
            self._number(new)
        for segment in self._journal.segments()[-2:]:
            self._files.sync(segment)
        try:
            left_over.remove(self._home, self._files, paths)
        except StorageError as error:
            self._unreadable.update(paths)
            warn("%s", error)
        return len(new)

    def _read_left_over(self, path: str) -> "list[Event]":
        try:
            return left_over.read(path, self._files)
        except StorageError as error:
            self._unreadable.add(path)
            warn("%s", error)
            return []
