"""The writing end of the journal: numbers events, and brings each in once, however often an attempt has failed.

Read this first. An append is in doubt until it is flushed: a flush that fails leaves it open how much of the journal the disk
has, and the system then takes for written what it could not write. So every append goes through these steps, in this order, and holds
the append lock for all of them:

1. If an attempt has failed, all that was appended since the last good flush is written again, to the same place and under the same
   numbers: the document may already count events by them. Only afterwards can the journal be searched for repetitions.
2. Events that other processes could not write (unwritten.py) come next, for they are older than the new ones. They are flushed at
   once, before their files are deleted.
3. Of the new events, those that the journal, the document or a backup has already are left out (recognition.py); the rest
   gets the next numbers and is written behind the last line.

The flush comes later and without the lock, so that other processes can append meanwhile. It takes the events out of doubt only if no
other attempt has failed since they were appended.
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
    """Numbered events that are in the journal, in `segments` that must still be flushed.

    `last` is the number of the journal's last event when they were appended: the events that they repeat come before it.
    """

    __slots__ = ("events", "failures", "last", "segments")

    def __init__(self, events: "list[Event]", segments: list[str], failures: int, last: int) -> None:
        self.events, self.segments, self.failures, self.last = events, segments, failures, last


class Appender:
    """Appends to one journal what is news to `recognition`."""

    def __init__(self, parts: "Parts", recognition: "Recognition") -> None:
        self._home, self._files, self._journal, self._file = parts.home, parts.files, parts.journal, parts.document_file
        self._recognition = recognition
        self._unreadable: set[str] = set()  # files of unwritten events that this process can't read or delete
        self._flushed: Mark | None = None  # an end of the journal: later events may not be on the disk
        self._unflushed: list[Event] = []  # own events after it
        self._failures = 0
        self._is_in_doubt = False  # whether an attempt has failed since `_flushed`
        self._guard = Guard()  # threads flush side by side

    def append(self, events: "list[Event]", *, may_repeat: bool) -> Appended:
        """Append the unwritten events of other processes, and then those of `events` that are new."""
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
            elif rest:  # the events that they repeat may not be flushed yet
                segments += self._journal.segments()[-1:]
            return Appended(appended, segments, self._failures, self._journal.last())

    def new_among(self, events: "list[Event]") -> "list[Event]":
        """Return what `append` would append of events now, without their numbers; other processes may append meanwhile."""
        return self._recognition.news(events, may_repeat=True)

    def flush(self, appended: Appended) -> None:
        """Return when the events are on the disk; raises StorageError if that is in doubt."""
        with _Attempt(self):
            for segment in dict.fromkeys(appended.segments):
                self._files.sync(segment)
            if self._failures != appended.failures:  # the failed attempt may have concerned these events, too
                raise StorageError("flush", self._home.journal, "another attempt to do so has failed meanwhile")
        with self._guard:
            if not self._unflushed or self._unflushed[-1]["seq"] <= appended.last:
                self._flushed, self._unflushed, self._is_in_doubt = None, [], False

    def flush_all(self) -> None:
        """Return when the whole journal is on the disk, whichever processes wrote it."""
        with _Attempt(self):
            for segment in self._journal.segments()[-1:]:
                self._files.sync(segment)

    def append_durably(self, find: "Callable[[], list[Event]]") -> "list[Event]":
        """Append the events that `find` returns while no other process can append; return them when they are on the disk."""
        with lock.held(self._home.append_lock, self._files), _Attempt(self):
            events = find()
            if events:
                segment, events = self._number(events)
                self._files.sync(segment)
            return events

    def take_in_unwritten(self) -> int:
        """Append the unwritten events of other processes; return how many were new when they are on the disk."""
        with lock.held(self._home.append_lock, self._files), _Attempt(self):
            return self._take_in_unwritten()

    def last_number(self) -> int:
        """Return the number of the last event; raises UnsupportedVersionError."""
        try:
            of_document = self._file.sequence()
        except UnsupportedVersionError:
            raise
        except DocumentError:  # which events a damaged document held is unknown: the journal's number counts
            of_document = 0
        return max(self._journal.last(), of_document)

    def fail(self) -> None:
        """Put in doubt all that was appended since the last good flush."""
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
        """Write the journal behind `doubt` to the same place again, and return its segments, and its events by their ids.

        Own events that are no longer there are appended under their old numbers, by which the document may have counted
        them, unless other processes have used these numbers since.
        """
        segments = self._journal.write_again(doubt)
        self._journal.forget()
        written = {event["id"]: event for event in self._journal.after(doubt[2])}
        missing = [event for event in self._unflushed if event["id"] not in written]
        if missing and missing[0]["seq"] > self._journal.last():
            segments.append(self._journal.append(missing))
            written.update((event["id"], event) for event in missing)
        return segments, written

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
    """A block whose failure puts in doubt what the disk has."""

    __slots__ = ("_appender",)

    def __init__(self, appender: Appender) -> None:
        self._appender = appender

    def __enter__(self) -> None:
        pass

    def __exit__(self, error_type: object, error: object, trace: object) -> None:
        if error is not None:
            self._appender.fail()
