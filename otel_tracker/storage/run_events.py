"""The journal's events about ended runs, read at the speed that sums over months need.

Of each line only what sums are made of is decoded, and checked as it is. A line that isn't plainly right is read as
everywhere else, and left out if it is no event.
"""

from datetime import datetime
from typing import Literal, Required, TypedDict

import msgspec

from otel_tracker import names
from otel_tracker.runtime.timestamps import WIDTH, format_timestamp, parse_timestamp
from otel_tracker.state.document import encode_line
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.replay import not_discarded
from otel_tracker.storage.archive import Archive
from otel_tracker.storage.journal import first_number
from otel_tracker.storage.journal_lines import parsed
from otel_tracker.storage.recognition import RESTORED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.journal import Journal
    from otel_tracker.storage.parts import Parts

_STARTED = encode_line({"action": names.TASK_STARTED})[1:-1]
_ENDS = [encode_line({"action": action})[1:-1] for action in names.OUTCOMES]
_TIMESTAMP = b'"timestamp": "'
_ENDLESS = float("inf")
_parse = datetime.fromisoformat
_ABOUT_RUNS = {*names.OUTCOMES, names.TASK_AMENDED}
_Outcome = Literal["success", "failure", "cancelled", "lost"]
_Kind = Literal["input", "output", "cache_read", "cache_write", "untyped", "cache_write_1h", "cost_micro_usd", "priced"]
_Tokens = dict[_Kind, int]
_Models = dict[str, _Tokens | None]


class _RunEvent(TypedDict, total=False):
    """The parts of an event about a run that sums are made of."""

    seq: Required[int]
    id: Required[str]
    timestamp: Required[str]
    agent: Required[str | None]
    action: Required[str]
    run_id: str | None
    model: str | None
    models: _Models | None
    tokens: _Tokens | None
    tokens_used: int | None
    project: str | None
    conversation_id: str | None
    duration_seconds: float | None
    usage_incomplete: bool | None
    outcome: _Outcome | None
    previous_outcome: _Outcome | None
    previous_model: str | None
    previous_models: _Models | None
    previous_tokens: _Tokens | None


_decode = msgspec.json.Decoder(_RunEvent).decode


def batches(
    parts: "Parts", document: "Document", since: float = -_ENDLESS, awaited: "Collection[str]" = ()
) -> "Iterator[tuple[float, Iterable[Event]]]":
    """Yield a home's events, without the starts of tasks, in batches, newest first; then the lines of its archive.

    Before each batch stands the moment at which its file was last written; it is read when it is iterated over, which must
    be before the next one is asked for. After the journal come the entries of the document's history from before it, and
    then the months of the archive that don't end before the moment `since`. Ends before that moment are left out while no run
    is `awaited`.
    """
    journal, archive = parts.journal, Archive(parts.home.archive, parts.files)
    oldest = format_timestamp(since).encode() if since > -_ENDLESS else b""
    discarded: list[tuple[int, int]] = []
    first = _ENDLESS
    for segment in reversed(journal.segments()):
        written, content = journal.written_at(segment), _Content(journal, segment)
        yield written, _newest_first(content, oldest, awaited, discarded)
        if content.is_there:  # else a process has retired it meanwhile: the archive counts it
            first = first_number(segment)
    yield _ENDLESS, reversed(_before_journal(journal, document, archive))
    for path in reversed(archive.paths()):
        if archive.end_of_month(path) > since:
            yield archive.end_of_month(path), archive.events(path, first)


class _Content:
    """The lines of a segment, which are read when they are asked for."""

    is_there = False

    def __init__(self, journal: "Journal", segment: str) -> None:
        self._journal, self._segment = journal, segment

    def read(self) -> bytes:
        lines = self._journal.lines_of(self._segment)
        self.is_there = bool(lines)
        return lines


def _newest_first(
    segment: _Content, oldest: bytes, awaited: "Collection[str]", discarded: "list[tuple[int, int]]"
) -> "Iterator[Event]":
    """Yield a segment's events that no restore has discarded; `discarded`, by later segments, is added to."""
    content = segment.read()
    lines = _without_starts(content)
    if discarded or RESTORED in content:
        yield from reversed(not_discarded(list(_events(lines))[::-1], discarded))
    elif oldest:
        yield from _events(line for line in lines if awaited or not _is_older_end(line, oldest))
    else:
        yield from _events(lines)


def events_in(content: bytes) -> "Iterator[Event]":
    """Yield the events of lines of the journal, newest first, without the starts of tasks."""
    return _events(_without_starts(content))


def _without_starts(content: bytes) -> "Iterator[bytes]":
    """Return the lines of the journal that aren't starts of tasks, newest first."""
    return reversed([line for line in content.splitlines() if _STARTED not in line])


def _is_older_end(line: bytes, oldest: bytes) -> bool:
    """Tell whether a line, without being decoded, is plainly the end of a run before the timestamp `oldest`."""
    at = line.find(_TIMESTAMP) + len(_TIMESTAMP)
    text = line[at : at + WIDTH]
    return text < oldest and text.endswith(b"Z") and any(end in line for end in _ENDS)


def _events(lines: "Iterable[bytes]") -> "Iterator[Event]":
    """Yield the events of lines, without those that another program has damaged."""
    for line in lines:
        event = _plain_event(line)
        if event is not None:
            yield event
        elif (event := parsed(line)) is not None:
            yield _in_usual_form(event)


def _plain_event(line: bytes) -> "Event | None":
    """Return the event of a line that is plainly one, about a run or the main conversation; None for any other line."""
    try:
        event: Event = _decode(line)  # type: ignore[assignment]  # typed, it is a dict all the same
        timestamp = event["timestamp"]
        _parse(timestamp)
    except (ValueError, OverflowError):
        return None
    if len(timestamp) != WIDTH or timestamp[-1] != "Z":
        return None
    is_of_run = event["action"] in _ABOUT_RUNS and event["agent"] is not None and event.get("run_id")
    return event if is_of_run or event["action"] == names.USAGE_RECORDED else None


def _in_usual_form(event: "Event") -> "Event":
    """Return an event with its values as this package writes them.

    Another program may have given the timestamp an offset, and made something other than a text of what only sums need.
    """
    texts = {key: event[key] if isinstance(event.get(key), str) else None for key in ("project", "conversation_id")}
    return {**event, **texts, "timestamp": format_timestamp(parse_timestamp(event["timestamp"]))}


def _before_journal(journal: "Journal", document: "Document", archive: Archive) -> "list[Event]":
    """Return the entries of the document's history that were there before the journal's first event, oldest first.

    Those that another program has written lack what makes an event. Those that the archive counts are left out.
    """
    history, first = document.history, journal.first()
    oldest = next(history.oldest(), None)
    if oldest is None or not _is_before(oldest, first):
        return []
    completed = (
        {"agent": None, "run_id": "", "id": "", "seq": 0, **entry}
        for entry in history.entries()
        if _is_before(entry, first)
    )
    archived = archive.last_number(_ENDLESS if first is None else first)
    return [_in_usual_form(entry) for entry in completed if is_event(entry) and not 0 < entry["seq"] <= archived]


def _is_before(entry: "Event", first: "int | None") -> bool:
    return first is None or not is_event(entry) or entry["seq"] < first
