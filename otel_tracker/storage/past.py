"""The history, which begins in the document and goes on in the journal with older events, and with imported ones of any age."""

from otel_tracker import names
from otel_tracker.state import lookup
from otel_tracker.state.document import encode_line
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.fold import is_before
from otel_tracker.state.replay import not_discarded
from otel_tracker.storage.recognition import RESTORED, events_of, lines_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.journal import Journal


def newest_first(
    document: "Document", journal: "Journal", agent: "str | None" = None, since: float = 0.0
) -> "Iterator[Event]":
    """Yield the events of a document and its journal, newest first, from the moment `since` on.

    Those of an `agent` are also those under keys that it had before; raises AmbiguousAgentError. Those that a history
    doesn't list are left out. One segment of the journal is in memory at a time.
    """
    agents = None if agent is None else lookup.all_keys(document, agent)
    return _newest_first(journal, document.history.entries(), agents, since)


def _newest_first(
    journal: "Journal", entries: "list[Event]", agents: "set[str] | None", since: float
) -> "Iterator[Event]":
    """Yield the entries of a document's history, and then the journal's other events."""
    yield from reversed(selected(entries, agents, since))
    # An entry of another program was there before the journal's first event.
    first = float("inf") if not entries else entries[0]["seq"] if is_event(entries[0]) else 0
    discarded: list[tuple[int, int]] = []
    restores = [entry for entry in entries if entry.get("action") == names.DOCUMENT_RESTORED and is_event(entry)]
    not_discarded(restores, discarded)
    is_past = False
    for written, events in journal.before(float("inf")):
        if is_past and written < since:
            return  # clocks jump, and imports come late, but nothing of a whole segment was young enough
        others = [event for event in not_discarded(events, discarded) if event["seq"] < first or event.get("imported")]
        yield from reversed(selected(others, agents, since))
        is_past = all(is_before(event, since) for event in events)


def of_conversation(journal: "Journal", conversation: str) -> "list[Event]":
    """Return the journal's events about ends of a conversation's tasks, amendments included, oldest first."""
    about_ends = (*names.OUTCOMES, names.TASK_AMENDED)
    return [event for event in with_value(journal, "conversation_id", {conversation}) if event["action"] in about_ends]


def with_value(journal: "Journal", key: str, values: "set[str]", since: float = 0.0) -> "list[Event]":
    """Return the journal's events in which `key` is one of `values`, starts of tasks included, oldest first.

    Segments that were last written before the moment `since` (seconds since 1970) are not read.
    """
    texts = {encode_line({key: value})[1:-1] for value in values}
    discarded: list[tuple[int, int]] = []
    events: list[Event] = []
    for segment in reversed(journal.segments()):
        if journal.written_at(segment) < since:
            break
        events = not_discarded(events_of(lines_with({*texts, RESTORED}, journal.lines_of(segment))), discarded) + events
    return [event for event in events if event.get(key) in values]


def selected(entries: "list[Event]", agents: "set[str] | None" = None, since: float = 0.0) -> "list[Event]":
    """Return the listed `entries` (names.UNLISTED) about one of `agents` (about any if that is None), not before `since`."""
    return [
        entry
        for entry in entries
        if entry.get("action") not in names.UNLISTED
        and (agents is None or (isinstance(entry.get("agent"), str) and entry["agent"] in agents))
        and not is_before(entry, since)
    ]
