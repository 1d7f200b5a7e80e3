"""What has been recorded of a conversation: `claude -p` tells the sum of all that its session has used.

That sum has the runs of sub-agents, which hooks record as tasks of their own, and from Claude Code 2.1.332 on also what
earlier processes of the session have used (`--resume`).
"""

from typing import NamedTuple

from otel_tracker.errors import OtelTrackerError
from otel_tracker.names import TASK_AMENDED, UNKNOWN_MODEL, added_tokens
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.amendment import changed_tokens
from otel_tracker.state.shapes import Event, Tokens
from otel_tracker.storage.port import Port

Models = dict[str, Tokens]
"""Tokens by full model id, or by what stands for it, and by type."""


class Told(NamedTuple):
    """The tokens that tasks of a conversation have been recorded with."""

    before: Models
    """By tasks that ended before this one began."""
    since: Models


NOTHING = Told({}, {})


def told_of(store: Port, conversation: str, began: float) -> Told:
    """Return what is recorded of a conversation, before and since the moment `began`; nothing if that can't be read."""
    try:
        events = store.conversation(conversation)
    except OtelTrackerError:
        return NOTHING
    parts: tuple[list[Event], list[Event]] = [], []
    for event in events:
        parts[parse_timestamp(event["timestamp"]) >= began].append(event)
    return Told(*map(_net, parts))


def _net(events: list[Event]) -> Models:
    """Return the sum of what runs were recorded with, as it was amended."""
    runs: dict[str, dict[str, Tokens | None]] = {}
    for event in events:
        models = event.get("models") or {event.get("model") or UNKNOWN_MODEL: event.get("tokens")}
        if event["action"] == TASK_AMENDED:
            before = runs.get(event["run_id"], {})
            models = {model: changed_tokens(before.get(model), change) for model, change in models.items()}
        runs[event["run_id"]] = models
    total: Models = {}
    for model, tokens in (share for models in runs.values() for share in models.items()):
        total[model] = added_tokens(total.get(model, {}), tokens or {})
    return total
