"""The journal: one event a line, in segments named by the number of their first event; order is by number.

A `Journal` remembers how far it has read, so that asking again costs one look at the last segment. The caller of `append`
must hold the append lock.
"""

import os

from otel_tracker.errors import StorageError
from otel_tracker.runtime.log import warn
from otel_tracker.state.document import encode_line
from otel_tracker.state.replay import SAYING_OTHERWISE, Replay
from otel_tracker.storage.journal_lines import is_number, last_number_in, lines_with, number_of, offset_after, parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.files import Files

    Mark = tuple[str | None, int, int]  # an end of the journal: segment, bytes, number of the last event

SEGMENT_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_SUFFIX = ".jsonl"
_FAR_BYTES = 4 * SEGMENT_BYTES
_KEPT_BYTES = 1024 * 1024
_ENDLESS = float("inf")
_CHANGING = tuple(action.encode() for action in SAYING_OTHERWISE)


class Journal:
    """The events of a home in the order of their numbers.

    It keeps as text what it has read since a caller last asked for events: a writer that only appends needs no more than the
    last number.
    """

    def __init__(self, folder: str, files: "Files") -> None:
        self._folder, self._files = folder, files
        self._segment: str | None = None
        self._inode = self._size = 0
        self._offset = 0  # how far the segment has been read: always the beginning of a line
        self._tail = b""  # whole lines up to there, all those with a number above `_after`
        self._after = self._last = 0
        self._reported: set[str | None] = set()  # segments with damaged lines that a warning has named
        self._written: dict[bytes, Event] = {}  # own events by their lines, so that they need no parsing

    def segments(self) -> list[str]:
        """Return the paths of all segments, oldest first."""
        numbers = [name[: -len(_SUFFIX)] for name in self._files.names(self._folder) if name.endswith(_SUFFIX)]
        return [self._path(number) for number in sorted(int(text) for text in numbers if is_number(text))]

    def last_numbers(self, segments: list[str]) -> list[int]:
        """Return the number of the last event of each segment except the last one, which may still grow."""
        return [first_number(later) - 1 for later in segments[1:]]

    def first(self) -> "int | None":
        """Return the number of the oldest event that is kept, None if there is none."""
        segments = self.segments()
        return first_number(segments[0]) if segments else None

    def last(self) -> int:
        """Return the number of the last event, 0 if there is none."""
        if not self._catch_up():
            self._read_anew(_ENDLESS)
        if len(self._tail) > _KEPT_BYTES:
            self._tail, self._after, self._written = b"", self._last, {}
        return self._last

    def after(self, sequence: int) -> "list[Event]":
        """Return the events with a higher number than `sequence`."""
        if not self._catch_up() or sequence < self._after:
            self._read_anew(sequence)
        later = self._tail[offset_after(self._tail, sequence) or 0 :]
        self._tail, self._after = later, max(self._after, min(sequence, self._last))
        events = self._events_of(later, self._segment)
        self._written = {}
        return events

    def before(self, sequence: float) -> "Iterator[tuple[float, list[Event]]]":
        """Yield the events with a lower number than `sequence`, the newest segment's first, in order in each.

        Before them stands the moment at which their segment was last written: nothing in it has happened later.
        """
        for segment in reversed(self.segments()):
            if first_number(segment) < sequence:
                events = self._events_of(self.lines_of(segment), segment)
                yield self.written_at(segment), [event for event in events if event["seq"] < sequence]

    def contents(self) -> "Iterator[bytes]":
        """Return the whole lines of each segment as they are on the disk, the newest segment's first, one at a time."""
        return map(self.lines_of, reversed(self.segments()))

    def lines_of(self, segment: str, start: int = 0) -> bytes:
        """Return the whole lines of a segment from the byte `start` on; an incomplete last line is left out."""
        read = self._files.read(segment, start)
        return read[1][: read[1].rfind(b"\n") + 1] if read else b""

    def written_at(self, segment: str) -> float:
        """Return the moment at which a segment was last written, in seconds since 1970; 0 if it is gone."""
        signature = self._files.signature(segment)
        return signature[2] / 1e9 if signature else 0.0

    def segments_after(self, sequence: int) -> "Iterator[list[Event]]":
        """Yield the events with a higher number than `sequence`, the oldest segment's first."""
        for segment in self._segments_after(sequence):
            events = self._events_of(self.lines_of(segment, self._start_after(segment, sequence)), segment)
            later = [event for event in events if event["seq"] > sequence]
            if later:
                yield later

    def tail(self) -> bytes:
        """Return the newest lines that are in memory: all since this process last asked for events."""
        self.last()
        return self._tail

    def replay_after(self, sequence: int, until: float = _ENDLESS) -> Replay:
        """Return which of the events after the number `sequence`, up to `until`, count.

        Only lines of events that change what counts are parsed.
        """
        changing = []
        for segment in self._segments_after(sequence):
            lines = lines_with(_CHANGING, self.lines_of(segment))
            changing += [event for line in lines if (event := parsed(line)) and sequence < event["seq"] <= until]
        return Replay(changing)

    def is_far_ahead(self, sequence: int) -> bool:
        """Tell whether folding the events after the number `sequence` takes seconds: they fill four segments or more."""
        if self._segment is not None and sequence >= self._after:
            return len(self._tail) > _FAR_BYTES
        sizes = [self._files.signature(segment) for segment in self._segments_after(sequence)[1:]]
        return sum(signature[1] for signature in sizes if signature) > _FAR_BYTES

    def forget(self) -> None:
        """Forget what was read: it may no longer be in the files. The next question reads them again."""
        self._segment, self._written = None, {}

    def mark(self) -> "Mark":
        """Return where the journal ends; the caller must have called `last` just before."""
        return self._segment, self._offset, self._last

    def end(self) -> "tuple[str, int, int] | None":
        """Return how far the journal has been read: segment, its inode, bytes; None if there may be more behind that."""
        if self._segment is None or self._offset != self._size or self._offset >= SEGMENT_BYTES:
            return None
        return self._segment, self._inode, self._offset

    def write_again(self, mark: "Mark") -> "list[str]":
        """Write everything behind `mark` to the same place again, and return the paths of the segments concerned."""
        first, offset, _ = mark
        segments = [path for path in self.segments() if first is None or first_number(path) >= first_number(first)]
        for segment in segments:
            self._files.rewrite(segment, offset if segment == first else 0)
        return segments

    def append(self, events: "list[Event]") -> str:
        """Write numbered events behind the last one and return the path of their segment.

        The caller must have called `last` just before. A last line that is incomplete is cut off.
        """
        if self._segment is not None and self._size > self._offset:
            warn("cut a line off the end of %s: it was not written whole", self._segment)
            self._files.truncate(self._segment, self._offset)
        segment, beginning = self._segment, self._path(events[0]["seq"])
        # A full segment without an event is named like the next one: it is used, full as it is.
        if segment is None or (self._offset >= SEGMENT_BYTES and segment != beginning):
            segment = self._begin_segment(beginning)
        if not self._offset:  # the process that made it may have been killed before the name was on the disk
            self._sync_names()
        written = {encode_line(event): event for event in events}
        lines = b"".join(line + b"\n" for line in written)
        self._files.append(segment, lines)
        self._written.update(written)
        self._offset = self._size = self._offset + len(lines)
        self._tail += lines
        self._last = events[-1]["seq"]
        return segment

    def _events_of(self, lines: bytes, segment: "str | None") -> "list[Event]":
        """Return the events of whole lines; one warning for each segment says how many of its lines are damaged."""
        events = [self._written.get(line) or parsed(line) for line in lines.splitlines()]
        damaged = events.count(None)
        if damaged and segment not in self._reported:
            self._reported.add(segment)
            warn("skipped %d lines of %s that are no events", damaged, segment)
        return [event for event in events if event is not None]

    def _begin_segment(self, segment: str) -> str:
        if self._segment is not None:  # so that a power cut can take away the journal's end only
            self._files.sync(self._segment)
        self._files.make_folder(self._folder)
        self._files.append(segment, b"")
        self._move_to(segment)
        return segment

    def _sync_names(self) -> None:
        """Flush the names of the newest segment, and of the folders around it if it is the first one."""
        self._files.sync_folder(self._folder)
        if len(self.segments()) == 1:
            home = os.path.dirname(self._folder)
            self._sync_if_ours(home)
            self._sync_if_ours(os.path.dirname(home))

    def _sync_if_ours(self, folder: str) -> None:
        try:
            self._files.sync_folder(folder)
        except StorageError:
            return  # a process that may not open the folder has not made the names in it

    def _segments_after(self, sequence: float) -> list[str]:
        """Return the paths of the segments that hold the events with a higher number than `sequence`; the last one always."""
        segments = self.segments()
        while len(segments) > 1 and first_number(segments[1]) <= sequence + 1:
            del segments[0]
        return segments

    def _path(self, sequence: int) -> str:
        return os.path.join(self._folder, f"{sequence}{_SUFFIX}")

    def _move_to(self, segment: str) -> None:
        signature = self._files.signature(segment)
        self._segment, self._offset = segment, 0
        self._inode, self._size, _ = signature or (0, 0, 0)

    def _catch_up(self) -> bool:
        """Read the lines that are new; False if the files are no longer those that were read."""
        while self._segment is not None:
            signature = self._files.signature(self._segment)
            if signature is None or signature[0] != self._inode or signature[1] < self._offset:
                return False
            self._size = signature[1]
            if self._size > self._offset:
                self._take(self._segment, self._offset)
            if self._offset < SEGMENT_BYTES:
                return True
            later = [path for path in self.segments() if first_number(path) > first_number(self._segment)]
            if not later:
                return True
            self._move_to(later[0])
        return False

    def _read_anew(self, sequence: float) -> None:
        try:
            self._scan(sequence)
        except BaseException:
            self.forget()  # else the part that was read would pass for the whole
            raise

    def _scan(self, sequence: float) -> None:
        """Read from the disk all events after `sequence`."""
        self._segment, self._offset, self._tail, self._last = None, 0, b"", 0
        for segment in self._segments_after(sequence):
            self._move_to(segment)
            self._last = max(self._last, first_number(segment) - 1)
            self._take(segment, self._start_after(segment, sequence))
        self._tail = self._tail[offset_after(self._tail, sequence) or 0 :]
        self._after = int(min(sequence, self._last))

    def _take(self, segment: str, start: int) -> None:
        """Read the whole lines of `segment` from `start` on."""
        read = self._files.read(segment, start)
        content = read[1] if read else b""
        lines = content[: content.rfind(b"\n") + 1]
        last = max(self._last, last_number_in(lines))
        self._tail += lines
        self._offset, self._size, self._last = start + len(lines), start + len(content), last

    def _start_after(self, segment: str, sequence: float) -> int:
        """Return where reading begins for the lines after `sequence`, looking from the segment's end.

        The line before them is read, too: if no line follows it, it gives the last number.
        """
        signature = self._files.signature(segment)
        size = signature[1] if signature else 0
        reach = _BLOCK_BYTES
        while reach < size:
            read = self._files.read(segment, size - reach)
            content = read[1] if read else b""
            first = content.find(b"\n") + 1
            number = number_of(content[first : content.find(b"\n", first) + 1])
            if first and number is not None and number <= sequence:
                return size - reach + first
            reach *= 8
        return 0


def first_number(segment: str) -> int:
    """Return the number of a segment's first event, by which it is named."""
    return int(os.path.basename(segment)[: -len(_SUFFIX)])
