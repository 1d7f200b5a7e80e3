"""The journal: one event a line, in segments named by the number of their first event; order is by number.

A `Journal` remembers how far it has read, so that asking again costs one look at the last segment. Only who holds
the home's lock may call `append`.
"""

import os

from otel_tracker.checks import is_event
from otel_tracker.document import decode_json, encode_line
from otel_tracker.log import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.storage.files import Files

    Event = dict[str, Any]

SEGMENT_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 64 * 1024
_SUFFIX = ".jsonl"
_ENDLESS = float("inf")


class Journal:
    """The events of a home in the order of their numbers."""

    def __init__(self, folder: str, files: "Files") -> None:
        self._folder, self._files = folder, files
        self._forget()

    def _forget(self) -> None:
        self._segment: str | None = None
        self._inode = self._size = 0
        self._offset = 0  # how far the segment has been read: always the beginning of a line
        self._after = 0  # events up to this number are not in memory
        self._events: list[Event] = []
        self._last = 0

    def segments(self) -> list[str]:
        """Return the paths of all segments, oldest first."""
        numbers = [name[: -len(_SUFFIX)] for name in self._files.names(self._folder) if name.endswith(_SUFFIX)]
        return [self._path(number) for number in sorted(int(text) for text in numbers if text.isdigit())]

    def last(self) -> int:
        """Return the number of the last event, 0 if there is none."""
        if not self._catch_up():
            self._scan(_ENDLESS)
        return self._last

    def after(self, sequence: int) -> "list[Event]":
        """Return the events with a higher number than `sequence`."""
        if not self._catch_up() or sequence < self._after:
            self._scan(sequence)
        return [event for event in self._events if event["seq"] > sequence]

    def forget_until(self, sequence: int) -> None:
        """Drop events up to `sequence` from memory: the document has them."""
        self._after = max(self._after, sequence)
        self._events = [event for event in self._events if event["seq"] > self._after]

    def append(self, events: "list[Event]") -> str:
        """Write numbered events behind the last one and return the path of their segment.

        The journal must have been read to its end (`last`). A last line that was not written whole is cut off.
        """
        if self._segment is not None and self._size > self._offset:
            warn("cut a line off the end of %s that was not written whole", self._segment)
            self._files.truncate(self._segment, self._offset)
        segment = self._segment
        if segment is None or self._offset >= SEGMENT_BYTES:
            segment = self._begin_segment(events[0]["seq"])
        lines = b"".join(encode_line(event) + b"\n" for event in events)
        self._files.append(segment, lines)
        self._offset = self._size = self._offset + len(lines)
        self._events += events
        self._last = events[-1]["seq"]
        return segment

    def _begin_segment(self, sequence: int) -> str:
        self._files.make_folder(self._folder)
        segment = self._path(sequence)
        self._files.append(segment, b"")
        self._files.sync_folder(self._folder)
        self._move_to(segment)
        return segment

    def _path(self, sequence: int) -> str:
        return os.path.join(self._folder, f"{sequence}{_SUFFIX}")

    def _move_to(self, segment: str) -> None:
        signature = self._files.signature(segment)
        self._segment, self._offset = segment, 0
        self._inode, self._size, _ = signature or (0, 0, 0)

    def _catch_up(self) -> bool:
        """Read what has come since; False if what is remembered is no longer so."""
        while self._segment is not None:
            signature = self._files.signature(self._segment)
            if signature is None or signature[0] != self._inode or signature[1] < self._offset:
                return False
            self._size = signature[1]
            if self._size > self._offset:
                self._take(self._segment, self._offset)
            if self._offset < SEGMENT_BYTES:
                return True
            later = [path for path in self.segments() if _first_number(path) > self._last]
            if not later:
                return True
            self._move_to(later[0])
        return False

    def _scan(self, sequence: float) -> None:
        """Read from the disk what comes after `sequence`."""
        self._forget()
        segments = self.segments()
        while len(segments) > 1 and _first_number(segments[1]) <= sequence + 1:
            del segments[0]
        for segment in segments:
            self._move_to(segment)
            self._last = _first_number(segment) - 1
            self._take(segment, self._offset_after(segment, sequence))
        self._after = int(min(sequence, self._last))

    def _take(self, segment: str, start: int) -> None:
        """Read the whole lines of `segment` from `start` on."""
        read = self._files.read(segment, start)
        content = read[1] if read else b""
        end = content.rfind(b"\n") + 1
        for line in content[:end].splitlines():
            event = _parse(line, segment)
            if event is not None:
                self._events.append(event)
                self._last = event["seq"]
        self._offset, self._size = start + end, start + len(content)

    def _offset_after(self, segment: str, sequence: float) -> int:
        """Return where the lines of `segment` with a higher number than `sequence` begin, looking from its end."""
        signature = self._files.signature(segment)
        size = signature[1] if signature else 0
        reach = _BLOCK_BYTES
        while True:
            start = max(0, size - reach)
            read = self._files.read(segment, start)
            offset = self._offset_within(read[1] if read else b"", sequence, is_whole=start == 0)
            if offset is not None:
                return start + offset
            reach *= 8

    def _offset_within(self, content: bytes, sequence: float, *, is_whole: bool) -> "int | None":
        end = content.rfind(b"\n") + 1
        while end > 0:
            beginning = content.rfind(b"\n", 0, end - 1) + 1
            if beginning == 0 and not is_whole:
                return None
            event = _parse(content[beginning:end], "")
            if event is not None and event["seq"] <= sequence:
                self._last = event["seq"]
                return end
            end = beginning
        return 0 if is_whole else None


def _first_number(segment: str) -> int:
    return int(os.path.basename(segment)[: -len(_SUFFIX)])


def _parse(line: bytes, segment: str) -> "Event | None":
    """Return the event of a line; None, and a warning, where somebody else has damaged it."""
    try:
        event: Event = decode_json(line)
    except (ValueError, RecursionError):
        event = {}
    if is_event(event):
        return event
    warn("skipped a line of %s that is no event", segment)
    return None
