"""Tells new events from repetitions: an event, and the end of a run, counts once as long as the journal or a backup has it.

That is decided once, when an event is appended: the journal holds no repetition, so folding it needs no memory of earlier events.
A run in flight has not ended. For any other run the bytes of the journal are searched, from the newest back to the beginning of
the run, and then the histories of the document and of the backups made since, which have events of deleted segments. Events that
a restore has discarded don't count as earlier ones.
"""

import json
import re
from itertools import islice

from otel_tracker import names
from otel_tracker.errors import DocumentError, LaggingError, StorageError
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.document import Document, decode_json, encode_line, new_document
from otel_tracker.state.replay import not_discarded
from otel_tracker.state.resolve import as_news, ended_run, is_without_run, lost_run, running_task, with_run
from otel_tracker.state.roster import with_present_keys
from otel_tracker.storage import journal_lines
from otel_tracker.storage.journal_lines import parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable, Iterable, Iterator

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.parts import Parts


_CLOCK_SLACK_SECONDS = 60.0  # by which a segment may be older than a run that has its end in it
_NEWEST_SEGMENTS = 2  # in which running tasks are looked for if it takes seconds to fold the state
_FEW = 8  # texts: searching a segment for each of so few takes less time than listing all its texts
_LISTINGS = 4  # segments whose listings are kept
_LISTED = rb'"(?:id|run_id|action)": "[^"]*"'  # compiled when first needed: most hooks never need it
RESTORED = encode_line({"action": names.DOCUMENT_RESTORED})[1:-1]
_LOST, _AMENDED = (encode_line({"action": action})[1:-1] for action in (names.TASK_LOST, names.TASK_AMENDED))


class Recognition:
    """Compares events with earlier ones. The caller must hold the append lock, and have read the journal to its end.

    `state` returns the present state.
    """

    def __init__(self, parts: "Parts", state: "Callable[[], Document]") -> None:
        self._journal, self._backups, self._files, self._state = parts.journal, parts.backups, parts.files, state
        self._newest_part: tuple[int, Document] | None = None  # with the number of the journal's last event
        self._listings: dict[str, _Listing] = {}  # of the segments that were listed last, by path
        self._hashes: dict[str, tuple[int, int, array[int]]] = {}  # of the texts of files that no longer grow

    def news(self, events: "list[Event]", *, may_repeat: bool) -> "list[Event]":
        """Return what `events` add to earlier ones; ends of tasks get the runs that they end.

        Unless they `may_repeat`, only ends of tasks are compared: the ids of all other events, and of new runs, were just drawn.
        """
        newest = self._newest_earlier(_in_question(events, may_repeat=may_repeat))
        news: list[Event] = []
        for event in events:
            whole = self._with_run(event, news, newest) if is_without_run(event) else event
            earlier = newest.get(_text_of(whole)) if may_repeat or whole["action"] in names.OUTCOMES else None
            if earlier is not None and earlier.get("agent", whole["agent"]) != whole["agent"]:
                whole, earlier = self._under_present_keys([whole, earlier])
            new = as_news(whole, earlier)
            if new is not None:
                news.append(new)
                newest.update((text, new) for text in _texts_of(new))
        return news

    def _newest_earlier(self, in_question: "dict[bytes, Event]") -> "dict[bytes, Event]":
        """Return for each text, which names a run or an id, the newest earlier event of that run or with that id."""
        left = set(in_question)
        newest = self._newest_in_tail(left) if left else {}
        left -= newest.keys()
        if left:
            in_flight = self._present().head["in_flight"]
            running = {text for text in left if in_question[text].get("run_id") in in_flight}
            newest.update((text, {"action": names.TASK_STARTED}) for text in running)
            left -= running
        if left:
            for event in self._search(left, min(_beginning(in_question[text]) for text in left)):
                newest.update((text, event) for text in left.intersection(_texts_of(event)))
                left -= newest.keys()
                if not left:
                    break
        return newest

    def _newest_in_tail(self, texts: "set[bytes]") -> "dict[bytes, Event]":
        """Return the newest event for each text in the part of the journal that is in memory; none if it has a restore.

        It has the start of a run that this process has just begun: for its end nothing else needs to be read.
        """
        tail = self._journal.tail()
        events = [] if RESTORED in tail else events_of(lines_with(_spelled(texts), tail))
        return {text: event for event in events for text in texts.intersection(_texts_of(event))}

    def _with_run(self, event: "Event", news: "list[Event]", newest: "dict[bytes, Event]") -> "Event":
        """Return the end of a task, which names no run, with the run that it ends or repeats the end of."""
        in_flight = dict(self._present().head["in_flight"])
        _note_running(in_flight, news)
        (event,) = self._under_present_keys([event])
        match = running_task(in_flight, event, is_exact=True)
        if match is None:
            earlier = self._under_present_keys([*self._ends_like(event), *news])
            match = ended_run(event, earlier) or running_task(in_flight, event, is_exact=False)
            match = match or lost_run(event, earlier)
        whole = with_run(event, match)
        if match is not None:
            newest[_text_of(whole)] = match if "action" in match else {"action": names.TASK_STARTED}
        return whole

    def _ends_like(self, event: "Event") -> "list[Event]":
        """Return the earlier ends of tasks, in their order, that have the same start, or are lost and have the same task id."""
        start, task = (_line_part(key, event[key]) if event.get(key) else None for key in ("started", "task_id"))

        def is_wanted(line: bytes) -> bool:
            return (start is not None and start in line) or _LOST in line or _AMENDED in line

        texts = {text for text in (start, task) if text is not None}
        return sorted(self._search(texts, _beginning(event), is_wanted), key=_number)

    def _under_present_keys(self, events: "list[Event]") -> "list[Event]":
        """Return events under the keys that their agents have now: they may have been renamed in between."""
        head = self._present().head
        return [with_present_keys(head, event) for event in events]

    def _present(self) -> "Document":
        try:
            return self._state()
        except LaggingError:
            return self._of_newest_part()
        except DocumentError:
            return new_document()

    def _of_newest_part(self) -> "Document":
        """Return a document that has only the tasks that began lately, for a state that takes seconds to fold."""
        last = self._journal.last()
        if self._newest_part is None or self._newest_part[0] != last:
            running: dict[str, Event] = {}
            for _, events in reversed(list(islice(self._journal.before(float("inf")), _NEWEST_SEGMENTS))):
                _note_running(running, events)
            document = new_document()
            self._newest_part = last, Document({**document.head, "in_flight": running}, document.history)
        return self._newest_part[1]

    def _search(
        self, texts: "set[bytes]", since: float, is_wanted: "Callable[[bytes], bool] | None" = None
    ) -> "Iterator[Event]":
        """Yield the events that count and whose lines contain one of `texts`, the newest first.

        All events recorded since the moment `since` (seconds since 1970) are searched, and some before it; only lines
        that pass `is_wanted` are parsed.
        """
        discarded: list[tuple[int, int]] = []
        for lines in self._lines_since(since, {*_spelled(texts), RESTORED}):
            events = events_of(line for line in lines if is_wanted is None or is_wanted(line) or RESTORED in line)
            yield from reversed(not_discarded(events, discarded))

    def _lines_since(self, since: float, texts: "set[bytes]") -> "Iterator[list[bytes]]":
        """Yield the lines that contain one of `texts`, those of the newest segment first, as in `_search`."""
        # Of many texts few are in any file, unless an import is repeated.
        hashes = set(map(hash, texts)) if len(texts) > _FEW and not any(map(_is_cut, texts)) else None
        for number, segment in enumerate(reversed(self._journal.segments())):
            signature = self._files.signature(segment)
            if number and signature is not None and signature[2] / 1e9 < since - _CLOCK_SLACK_SECONDS:
                break
            if not number or hashes is None or self._may_have(segment, hashes):
                yield self._lines_of(segment, texts)
        yield lines_with(texts, b"".join(self._present().history.pieces()))
        try:
            for path in reversed(self._backups.paths()):
                if self._backups.made_at(path) < since - _CLOCK_SLACK_SECONDS:
                    continue
                if hashes is None or self._may_have(path, hashes):
                    read = self._files.read(path)
                    yield lines_with(texts, read[1]) if read else []
        except StorageError:
            return  # a backup that can't be read has no earlier events

    def _may_have(self, path: str, hashes: "set[int]") -> bool:
        """Tell whether a file that no longer grows may have lines with texts of these hashes; its own are remembered."""
        inode, size, _ = self._files.signature(path) or (0, 0, 0)
        known = self._hashes.get(path)
        if known is None or known[:2] != (inode, size):
            from array import array  # here: no hook has many texts

            read = self._files.read(path)
            known = inode, size, array("q", map(hash, re.findall(_LISTED, read[1] if read else b"")))
            self._hashes[path] = known
        return not hashes.isdisjoint(known[2])

    def _lines_of(self, segment: str, texts: "set[bytes]") -> "list[bytes]":
        """Return the lines of a segment that contain one of `texts`; for many texts, only the newest line of each."""
        if len(texts) <= _FEW:
            return lines_with(texts, self._whole_lines(segment))
        offsets = self._listing_of(segment).offsets
        if RESTORED in offsets or any(map(_is_cut, texts)):  # then the newest line may not count, or be another text's
            return lines_with(texts, self._whole_lines(segment))
        beginnings = sorted({offsets[text] for text in texts if text in offsets})
        content = self._whole_lines(segment) if beginnings else b""
        return [content[beginning : content.find(b"\n", beginning)] for beginning in beginnings]

    def _listing_of(self, segment: str) -> "_Listing":
        inode, size, _ = self._files.signature(segment) or (0, 0, 0)
        listing = self._listings.pop(segment, None)
        if listing is None or listing.inode != inode or listing.end > size:
            listing = _Listing(inode)
        if len(self._listings) >= _LISTINGS:
            del self._listings[next(iter(self._listings))]
        self._listings[segment] = listing
        listing.extend(self._whole_lines(segment, listing.end))
        return listing

    def _whole_lines(self, segment: str, start: int = 0) -> bytes:
        read = self._files.read(segment, start)
        return read[1][: read[1].rfind(b"\n") + 1] if read else b""


class _Listing:
    """For each text about an event or a run, the offset of the newest line of a segment that has it, up to the byte `end`."""

    __slots__ = ("end", "inode", "offsets")

    def __init__(self, inode: int) -> None:
        self.inode, self.end = inode, 0
        self.offsets: dict[bytes, int] = {}

    def extend(self, lines: bytes) -> None:
        """List further lines of the segment."""
        for line in lines.splitlines(keepends=True):
            self.offsets.update(dict.fromkeys(re.findall(_LISTED, line), self.end))
            self.end += len(line)


def _note_running(running: "dict[str, Event]", events: "list[Event]") -> None:
    """Add to `running` the runs that begin in `events`, which are in their order, and drop the runs that end."""
    for event in events:
        if event["action"] == names.TASK_STARTED:
            running[event["run_id"]] = {**event, "started": event["timestamp"]}
        else:
            running.pop(event.get("run_id", ""), None)


def _in_question(events: "list[Event]", *, may_repeat: bool) -> "dict[bytes, Event]":
    """Return the events that must be looked up, by the text that the line of an event contains that they may repeat."""
    in_question: dict[bytes, Event] = {}
    begun: set[str] = set()
    for event in events:
        if event["action"] == names.TASK_STARTED:
            begun.add(event["run_id"])
        is_end = event["action"] in names.OUTCOMES
        if event.get("run_id") not in begun if is_end and not is_without_run(event) else may_repeat and not is_end:
            in_question.setdefault(_text_of(event), event)
    return in_question


def lines_with(texts: "set[bytes]", content: bytes) -> "list[bytes]":
    """Return the lines that contain one of `texts`, in their order."""
    if len(texts) > _FEW:
        listed = set(re.findall(_LISTED, content))
        texts = {text for text in texts if text in listed or _is_cut(text)}
    return journal_lines.lines_with(texts, content)


def events_of(lines: "Iterable[bytes]") -> "list[Event]":
    """Return the events of lines of the journal or of a history; others are left out."""
    events = [parsed(line.strip(b" ,")) for line in lines]
    return [event for event in events if event is not None]


def _spelled(texts: "set[bytes]") -> "set[bytes]":
    """Return texts in both forms: as they are, and as a line has them that is written in ASCII."""
    odd = (text for text in texts if not text.isascii())
    return texts.union(json.dumps(decode_json(b"{" + text + b"}"))[1:-1].encode() for text in odd)


def _is_cut(text: bytes) -> bool:
    """Tell whether a text may be listed without its end: a listed text ends at the first quote."""
    return b"\\" in text


def _text_of(event: "Event") -> bytes:
    """Return the text that lines of repeated events have: the run if the event begins or ends one, else the id."""
    key = "run_id" if event["action"] == names.TASK_STARTED or event["action"] in names.OUTCOMES else "id"
    return _line_part(key, event[key])


def _texts_of(event: "Event") -> "Iterable[bytes]":
    return [_line_part(key, event[key]) for key in ("id", "run_id") if event.get(key)]


def _line_part(key: str, value: str) -> bytes:
    if value.isalnum() and value.isascii():  # mostly
        return f'"{key}": "{value}"'.encode()
    return encode_line({key: value})[1:-1]


def _beginning(event: "Event") -> float:
    """Return a moment (seconds since 1970) before which no event that this one repeats can have been recorded."""
    return parse_timestamp(event.get("started") or event["timestamp"])


def _number(event: "Event") -> int:
    number: int = event["seq"]
    return number
