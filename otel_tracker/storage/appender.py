"""The writing end of the journal: numbers events, and brings each in once, however often an attempt has failed.

A flush that fails leaves it open what of the journal the disk has, and the system forgets what it could not write. So
what was appended since is in doubt: the next attempt writes it to its place again, and appends only what isn't there.
"""

from otel_tracker.errors import DocumentError, StorageError, UnsupportedVersionError
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.log import warn
from otel_tracker.storage import lock, unwritten

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.journal import Mark
    from otel_tracker.storage.parts import Parts
    from otel_tracker.storage.recognition import Recognition


class Appended:
    """Events that are in the journal: numbered, in `segments` that are still to be flushed.

    `last` is the number of the last event when they were appended: what they repeat isn't behind it.
    """

    __slots__ = ("events", "failures", "last", "segments")

    def __init__(self, events: "list[Event]", segments: list[str], failures: int, last: int) -> None:
        self.events, self.segments, self.failures, self.last = events, segments, failures, last


class Appender:
    """Appends to one journal what is news to `recognition`."""

    def __init__(self, parts: "Parts", recognition: "Recognition") -> None:
        self._home, self._files, self._journal, self._file = parts.home, parts.files, parts.journal, parts.document_file
        self._recognition = recognition
        self._unreadable: set[str] = set()  # files that were left over, and that this process can't take in
        self._flushed: Mark | None = None  # an end of the journal: what comes after it may not be on the disk
        self._unflushed: list[Event] = []  # own events after it
        self._failures = 0
        self._is_in_doubt = False  # whether an attempt has failed since
        self._guard = Guard()  # threads flush side by side

    def append(self, events: "list[Event]", *, may_repeat: bool) -> Appended:
        """Append what is news of `events`, and before it what others have left over."""
        with lock.held(self._home.append_lock, self._files), _Attempt(self):
            doubt = self._flushed if self._is_in_doubt else None
            segments, written = self._write_again(doubt) if doubt else ([], {})
            self._take_in_unwritten()
            appended = [written[event["id"]] for event in events if event["id"] in written]
            rest = [event for event in events if event["id"] not in written]
            new = self._recognition.news(rest, may_repeat=may_repeat)
            if new:
                segment, numbered = self._number(new)
                segments.append(segment)
                appended += numbered
            elif rest:  # what they repeat may have been appended just now
                segments += self._journal.segments()[-1:]
            return Appended(appended, segments, self._failures, self._journal.last())

    def flush(self, appended: Appended) -> None:
        """Return when what was appended is on the disk."""
        with _Attempt(self):
            for segment in dict.fromkeys(appended.segments):
                self._files.sync(segment)
            if self._failures != appended.failures:  # that one may have been about these events, too
                raise StorageError("flush", self._home.journal, "another attempt to do so has failed meanwhile")
        with self._guard:
            if not self._unflushed or self._unflushed[-1]["seq"] <= appended.last:
                self._flushed, self._unflushed, self._is_in_doubt = None, [], False

    def flush_all(self) -> None:
        """Return when all that is in the journal, by whatever process, is on the disk."""
        with _Attempt(self):
            for segment in self._journal.segments()[-1:]:
                self._files.sync(segment)

    def append_durably(self, find: "Callable[[], list[Event]]") -> "list[Event]":
        """Append what `find` returns once nobody else can append, and return it when it is on the disk."""
        with lock.held(self._home.append_lock, self._files), _Attempt(self):
            events = find()
            if events:
                segment, events = self._number(events)
                self._files.sync(segment)
            return events

    def take_in_unwritten(self) -> int:
        """Append what others have left over, and return how many events that are, when they are on the disk."""
        with lock.held(self._home.append_lock, self._files), _Attempt(self):
            return self._take_in_unwritten()

    def last_number(self) -> int:
        """Return the number of the last event; raises UnsupportedVersionError."""
        try:
            of_document = self._file.sequence()
        except UnsupportedVersionError:
            raise
        except DocumentError:  # nothing tells what a damaged document held: events go on to the journal
            of_document = 0
        return max(self._journal.last(), of_document)

    def fail(self) -> None:
        """Take what is in the journal since the last good flush for doubtful."""
        with self._guard:
            self._failures += 1
            self._is_in_doubt = self._flushed is not None

    def _number(self, events: "list[Event]") -> "tuple[str, list[Event]]":
        sequence = self.last_number()
        numbered = [{"seq": sequence + n, **event} for n, event in enumerate(events, 1)]
        return self._append(numbered), numbered

    def _append(self, numbered: "list[Event]") -> str:
        with self._guard:
            self._flushed = self._flushed or self._journal.mark()
            segment = self._journal.append(numbered)
            self._unflushed += numbered
            return segment

    def _write_again(self, doubt: "Mark") -> "tuple[list[str], dict[str, Event]]":
        """Write what is in doubt to its place again, and return its segments, and its events by their ids.

        What is no longer there is appended under its old number, as which the document may have counted it; unless
        others have gone on from there.
        """
        segments = self._journal.write_again(doubt)
        self._journal.forget()
        found = {event["id"]: event for event in self._journal.after(doubt[2])}
        lost = [event for event in self._unflushed if event["id"] not in found]
        if lost and lost[0]["seq"] > self._journal.last():
            segments.append(self._journal.append(lost))
            found.update((event["id"], event) for event in lost)
        return segments, found

    def _take_in_unwritten(self) -> int:
        if self._files.signature(self._home.unwritten) is None:
            return 0
        paths = [path for path in unwritten.paths(self._home, self._files) if path not in self._unreadable]
        events = [event for path in paths for event in self._read_unwritten(path)]
        paths = [path for path in paths if path not in self._unreadable]
        if not paths:
            unwritten.remove(self._home, self._files, [])
            return 0
        new = self._recognition.news(events, may_repeat=True)
        if new:
            self._number(new)
        for segment in self._journal.segments()[-2:]:
            self._files.sync(segment)
        try:
            unwritten.remove(self._home, self._files, paths)
        except StorageError as error:
            self._unreadable.update(paths)
            warn("%s", error)
        return len(new)

    def _read_unwritten(self, path: str) -> "list[Event]":
        try:
            return unwritten.read(path, self._files)
        except StorageError as error:
            self._unreadable.add(path)
            warn("%s", error)
            return []


class _Attempt:
    """A block whose failure leaves it open what the disk has."""

    __slots__ = ("_appender",)

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None:
            self._appender.fail()
