"""The history beyond what the document holds: the journal's older events."""

from otel_tracker import lookup, names, summary
from otel_tracker.document import encode_line
from otel_tracker.fold import is_before
from otel_tracker.replay import not_discarded
from otel_tracker.storage.recognition import RESTORED, events_of, lines_with

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from otel_tracker.storage.store import Store

    Event = dict[str, Any]


def history(store: "Store", agent: "str | None", limit: "int | None", since: float = 0.0) -> "list[Event]":
    """Return the newest `limit` events, all of them if it is None, from the moment `since` on, oldest first.

    Those of an `agent` are also those under keys that it had before; raises AmbiguousAgentError. Starts of tasks are left
    out. Entries that were in the document before its first event are older than any of the journal's.
    """
    document = store.read()
    entries, agents = document.history.entries(), None if agent is None else lookup.all_keys(document, agent)
    wanted = summary.past(entries, agents, since)
    discarded: list[tuple[int, int]] = []
    not_discarded([entry for entry in entries if entry.get("action") == names.DOCUMENT_RESTORED], discarded)
    oldest = entries[0] if entries else {"seq": float("inf")}
    segments = store.journal.before(oldest["seq"]) if "seq" in oldest else iter(())
    last: list[Event] = []
    # Clocks jump: only where nothing of a whole segment is young enough nothing before it is.
    while (limit is None or len(wanted) < limit) and not (last and all(is_before(event, since) for event in last)):
        events = next(segments, None)
        if events is None:
            break
        wanted = summary.past(not_discarded(events, discarded), agents, since) + wanted
        last = events
    return wanted[len(wanted) - limit :] if limit is not None and limit < len(wanted) else wanted


def of_conversation(store: "Store", conversation: str) -> "list[Event]":
    """Return what the journal holds of the ends of a conversation's tasks, and of what amends them, oldest first."""
    text = encode_line({"conversation_id": conversation})[1:-1]
    discarded: list[tuple[int, int]] = []
    told: list[Event] = []
    for content in store.journal.contents():
        told = not_discarded(events_of(lines_with({text, RESTORED}, content)), discarded) + told
    is_about_ends = (*names.OUTCOMES, names.TASK_AMENDED)
    return [one for one in told if one.get("conversation_id") == conversation and one["action"] in is_about_ends]
