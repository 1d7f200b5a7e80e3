"""Which events are news: an event, and the end of a run, counts once for as long as the journal or a backup knows it.

That is decided once, when an event is appended: the journal holds no repetition, so folding it needs no memory of what has
been. A run that is in flight has not ended. Of any other the bytes of the journal are searched, the newest first and
back to the beginning of the run, and then the history of the document and of the backups made since: they know what was
in segments that have been deleted. What a restore has discarded isn't known.
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
from otel_tracker.storage import journal
from otel_tracker.storage.journal import parsed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.parts import Parts


_CLOCK_SLACK_SECONDS = 60.0  # that a run may have begun before a segment was written, and yet have its end in it
_NEWEST_SEGMENTS = 2  # in which running tasks are looked for where the state isn't known
_FEW = 8  # texts: to search a segment for each takes less time than to list all that it says
_LISTINGS = 4  # segments
_LISTED = rb'"(?:id|run_id|action)": "[^"]*"'  # compiled when it is first needed, which in most hooks is never
RESTORED = encode_line({"action": names.DOCUMENT_RESTORED})[1:-1]
_LOST, _AMENDED = (encode_line({"action": action})[1:-1] for action in (names.TASK_LOST, names.TASK_AMENDED))


class Recognition:
    """Tells news from repetitions. Its callers hold the lock for appending, with the journal read to its end.

    `state` returns the present state of the document.
    """

    def __init__(self, parts: "Parts", state: "Callable[[], Document]") -> None:
        self._journal, self._backups, self._files, self._state = parts.journal, parts.backups, parts.files, state
        self._lately: tuple[int, Document] | None = None  # by the number of the journal's last event
        self._listings: dict[str, _Listing] = {}  # of the segments that were listed last

    def news(self, events: "list[Event]", *, may_repeat: bool) -> "list[Event]":
        """Return what `events` add to those that are known, the ends of tasks with their runs.

        Unless they `may_repeat`, only the ends of tasks can be known: all other ids, and runs that start, have just been drawn.
        """
        newest = self._newest_known(_in_question(events, may_repeat=may_repeat))
        news: list[Event] = []
        for event in events:
            whole = self._with_run(event, news, newest) if is_without_run(event) else event
            known = newest.get(_text_of(whole)) if may_repeat or whole["action"] in names.OUTCOMES else None
            if known is not None and known.get("agent", whole["agent"]) != whole["agent"]:
                whole, known = self._under_present_keys([whole, known])
            new = as_news(whole, known)
            if new is not None:
                news.append(new)
                newest.update((text, new) for text in _texts_of(new))
        return news

    def _newest_known(self, in_question: "dict[bytes, Event]") -> "dict[bytes, Event]":
        """Return the newest known event of the run, or with the id, that each text names."""
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
        """Return what the journal's end, as far as it is in memory, says of texts; nothing if a restore is among it.

        It has the start of a run that this process has just begun: nothing else needs to be read for its end.
        """
        tail = self._journal.tail()
        events = [] if RESTORED in tail else events_of(lines_with(_spelled(texts), tail))
        return {text: event for event in events for text in texts.intersection(_texts_of(event))}

    def _with_run(self, event: "Event", news: "list[Event]", newest: "dict[bytes, Event]") -> "Event":
        """Return the end of a task that names no run with the one that it ends, or that has ended by it before."""
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
        """Return the known events, in their order, about ends of tasks with the same start, or lost ones of the same id."""
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
            return self._newest_part()
        except DocumentError:
            return new_document()

    def _newest_part(self) -> "Document":
        """Return a document of the tasks that began lately, for one that takes seconds to fold."""
        last = self._journal.last()
        if self._lately is None or self._lately[0] != last:
            running: dict[str, Event] = {}
            for events in reversed(list(islice(self._journal.before(float("inf")), _NEWEST_SEGMENTS))):
                _note_running(running, events)
            document = new_document()
            self._lately = last, Document({**document.head, "in_flight": running}, document.history)
        return self._lately[1]

    def _search(
        self, texts: "set[bytes]", since: float, is_wanted: "Callable[[bytes], bool] | None" = None
    ) -> "Iterator[Event]":
        """Yield the events, the newest first, that count and in whose lines one of `texts` stands.

        They are those that were recorded since the moment `since`, in seconds since 1970, and some before it; of all lines
        only those that pass `is_wanted` are read.
        """
        discarded: list[tuple[int, int]] = []
        for lines in self._lines_since(since, {*_spelled(texts), RESTORED}):
            events = events_of(line for line in lines if is_wanted is None or is_wanted(line) or RESTORED in line)
            yield from reversed(not_discarded(events, discarded))

    def _lines_since(self, since: float, texts: "set[bytes]") -> "Iterator[list[bytes]]":
        """Yield the lines in which one of `texts` stands, those of the newest segment first, as in `_search`."""
        for place, segment in enumerate(reversed(self._journal.segments())):
            signature = self._files.signature(segment)
            if place and signature is not None and signature[2] / 1e9 < since - _CLOCK_SLACK_SECONDS:
                break
            yield self._lines_of(segment, texts)
        yield lines_with(texts, b"".join(self._present().history.pieces()))
        try:
            for path in reversed(self._backups.paths()):
                if self._backups.made_at(path) >= since - _CLOCK_SLACK_SECONDS:
                    read = self._files.read(path)
                    yield lines_with(texts, read[1]) if read else []
        except StorageError:
            return  # backups that can't be read know nothing

    def _lines_of(self, segment: str, texts: "set[bytes]") -> "list[bytes]":
        """Return the lines of a segment in which one of `texts` stands; where they are many, the newest one for each."""
        if len(texts) <= _FEW:
            return lines_with(texts, self._whole_lines(segment))
        known = self._listing_of(segment).places
        if RESTORED in known or any(map(_is_cut, texts)):  # then the newest may not count, or be another's
            return lines_with(texts, self._whole_lines(segment))
        places = sorted({known[text] for text in texts if text in known})
        content = self._whole_lines(segment) if places else b""
        return [content[place : content.find(b"\n", place)] for place in places]

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
    """Where the newest line of a segment begins that says something about an event or a run, up to the byte `end`."""

    __slots__ = ("end", "inode", "places")

    def __init__(self, inode: int) -> None:
        self.inode, self.end = inode, 0
        self.places: dict[bytes, int] = {}

    def extend(self, lines: bytes) -> None:
        """List further lines of the segment."""
        for line in lines.splitlines(keepends=True):
            self.places.update(dict.fromkeys(re.findall(_LISTED, line), self.end))
            self.end += len(line)


def _note_running(running: "dict[str, Event]", events: "list[Event]") -> None:
    """Add the runs that begin in `events`, which are in their order, to those that are running, and drop those that end."""
    for event in events:
        if event["action"] == names.TASK_STARTED:
            running[event["run_id"]] = {**event, "started": event["timestamp"]}
        else:
            running.pop(event.get("run_id", ""), None)


def _in_question(events: "list[Event]", *, may_repeat: bool) -> "dict[bytes, Event]":
    """Return the events that are to be looked up by what stands in the line of an event that they repeat."""
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
    """Return the lines in which one of `texts` stands, in their order."""
    if len(texts) > _FEW:
        listed = set(re.findall(_LISTED, content))
        texts = {text for text in texts if text in listed or _is_cut(text)}
    return journal.lines_with(texts, content)


def events_of(lines: "Iterable[bytes]") -> "list[Event]":
    """Return the events of lines of the journal or of a history; others are left out."""
    events = [parsed(line.strip(b" ,")) for line in lines]
    return [event for event in events if event is not None]


def _spelled(texts: "set[bytes]") -> "set[bytes]":
    """Return texts in both forms: as they are, and as in a line that is written in ASCII for something else in it."""
    odd = (text for text in texts if not text.isascii())
    return texts.union(json.dumps(decode_json(b"{" + text + b"}"))[1:-1].encode() for text in odd)


def _is_cut(text: bytes) -> bool:
    """Tell whether a text may be listed without its end, which is taken to be at the first quote."""
    return b"\\" in text


def _text_of(event: "Event") -> bytes:
    """Return what stands in the lines of all that an event may repeat: its run if it begins or ends one, else its id."""
    key = "run_id" if event["action"] == names.TASK_STARTED or event["action"] in names.OUTCOMES else "id"
    return _line_part(key, event[key])


def _texts_of(event: "Event") -> "Iterable[bytes]":
    return [_line_part(key, event[key]) for key in ("id", "run_id") if event.get(key)]


def _line_part(key: str, value: str) -> bytes:
    if value.isalnum() and value.isascii():  # mostly
        return f'"{key}": "{value}"'.encode()
    return encode_line({key: value})[1:-1]


def _beginning(event: "Event") -> float:
    """Return a moment before which no event can have been recorded that this one repeats."""
    return parse_timestamp(event.get("started") or event["timestamp"])


def _number(event: "Event") -> int:
    number: int = event["seq"]
    return number
