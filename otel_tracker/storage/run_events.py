"""What the journal says of ended runs, read at the speed that sums over months of it need.

Of each line only what sums are made of is decoded, and checked as it is. A line that isn't plainly right is read as
everywhere else, and left out if it is no event.
"""

from typing import Literal, Required, TypedDict

import msgspec

from otel_tracker import names
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.document import encode_line
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.replay import not_discarded
from otel_tracker.storage.journal_lines import parsed
from otel_tracker.storage.recognition import RESTORED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.journal import Journal

_STARTED = encode_line({"action": names.TASK_STARTED})[1:-1]
_PLAIN = {*names.OUTCOMES, names.TASK_AMENDED}
_Outcome = Literal["success", "failure", "cancelled", "lost"]
_Kind = Literal["input", "output", "cache_read", "cache_write", "untyped", "cache_write_1h", "cost_micro_usd", "priced"]
_Tokens = dict[_Kind, int]
_Models = dict[str, _Tokens | None]


class _RunEvent(TypedDict, total=False):
    """What sums are made of, of an event about a run."""

    seq: Required[int]
    id: Required[str]
    timestamp: Required[str]
    agent: Required[str | None]
    action: Required[str]
    run_id: str | None
    model: str | None
    project: str | None
    conversation_id: str | None
    duration_seconds: float | None
    tokens_used: int | None
    tokens: _Tokens | None
    models: _Models | None
    usage_incomplete: bool | None
    outcome: _Outcome | None
    previous_outcome: _Outcome | None
    previous_models: _Models | None


_decode = msgspec.json.Decoder(_RunEvent).decode


def batches(journal: "Journal", document: "Document") -> "Iterator[tuple[float, Iterable[Event]]]":
    """Yield a home's events, without the starts of tasks, in batches, the newest first.

    Before each batch stands the moment at which its file was last written; it is read when it is iterated over. The last
    one is what the document's history has from before the journal.
    """
    discarded: list[tuple[int, int]] = []
    for segment in reversed(journal.segments()):
        yield journal.written_at(segment), _newest_first(journal, segment, discarded)
    yield float("inf"), reversed(_before_journal(journal, document))


def _newest_first(journal: "Journal", segment: str, discarded: "list[tuple[int, int]]") -> "Iterator[Event]":
    """Yield a segment's events that no restore has discarded; `discarded`, by later segments, is added to."""
    content = journal.lines_of(segment)
    lines = [line for line in content.splitlines() if _STARTED not in line]
    events = (event for line in reversed(lines) if (event := _event(line)) is not None)
    if not discarded and RESTORED not in content:
        yield from events
    else:
        yield from reversed(not_discarded(list(events)[::-1], discarded))


def _event(line: bytes) -> "Event | None":
    """Return the event of a line, None where another program has damaged it."""
    try:
        event: Event = _decode(line)  # type: ignore[assignment]  # typed, it is a dict all the same
        parse_timestamp(event["timestamp"])
    except (ValueError, OverflowError):
        return parsed(line)
    is_of_run = event["action"] in _PLAIN and event["agent"] is not None and event.get("run_id")
    return event if is_of_run or event["action"] == names.USAGE_RECORDED else parsed(line)


def _before_journal(journal: "Journal", document: "Document") -> "list[Event]":
    """Return the entries of the document's history that were there before the journal's first event, oldest first.

    Those that another program has written lack what makes an event.
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
    return [entry for entry in completed if is_event(entry)]


def _is_before(entry: "Event", first: "int | None") -> bool:
    return first is None or not is_event(entry) or entry["seq"] < first
