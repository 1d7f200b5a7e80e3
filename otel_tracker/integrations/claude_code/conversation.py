"""Finds a task's own share of the sums that `claude -p` reports for its session.

A sum includes the runs of sub-agents, which hooks record as tasks of their own. From Claude Code 2.1.332 on it also includes
what earlier processes of the session have used (`--resume`). So the share is the sum less the tokens that are recorded already.
"""

from typing import NamedTuple

from otel_tracker.errors import OtelTrackerError
from otel_tracker.names import (
    CACHE_WRITE_1H,
    COST,
    TASK_AMENDED,
    UNKNOWN_MODEL,
    added_tokens,
    model_family,
    total_tokens,
)
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.amendment import changed_tokens
from otel_tracker.state.shapes import Event, Tokens
from otel_tracker.state.tokens import priced_tokens
from otel_tracker.storage.port import Port

Models = dict[str, Tokens]
"""Tokens by full model id, or by the name that stands for it, and by type."""
Sums = dict[str | None, Tokens]
"""As Models; None is a model without a name."""


class Recorded(NamedTuple):
    """The tokens that tasks of a conversation have been recorded with."""

    before: Models
    """By tasks that ended before this one began."""
    since: Models

    def with_share(self, share: Sums) -> "Recorded":
        """Return this with the share of an attempt of the task: another attempt may resume the conversation."""
        named = {model: tokens for model, tokens in share.items() if model}
        return Recorded({**self.before, **_added(self.before, named)}, self.since)


NOTHING = Recorded({}, {})


def recorded_in(store: Port, conversation: str, began: float) -> Recorded:
    """Return the tokens recorded for a conversation, before and since the moment `began`; none if the journal can't be read."""
    try:
        events = store.conversation(conversation)
    except OtelTrackerError:
        return NOTHING
    parts: tuple[list[Event], list[Event]] = [], []
    for event in events:
        parts[parse_timestamp(event["timestamp"]) >= began].append(event)
    return Recorded(*map(_total, parts))


def own_share(sums: Sums, turns: Tokens | None, recorded: Recorded) -> Sums:
    """Return a session's sums less the tokens, and their cost, that are recorded for it.

    Before Claude Code 2.1.332 the sums begin anew with each process. `turns`, the tokens of the main agent in this
    process, show whether they include the tokens recorded before.
    """
    share = of_process = _less(sums, recorded.since)
    if recorded.before:
        share, used = _less(of_process, recorded.before), total_tokens(turns or {})
        if _number(share) < used and abs(_number(of_process) - used) < used - _number(share):
            share = of_process
    writers = [tokens for tokens in share.values() if tokens["cache_write"]]
    if turns and turns.get(CACHE_WRITE_1H) and len(writers) == 1:  # sums don't say how long the cache is kept
        writers[0][CACHE_WRITE_1H] = min(turns[CACHE_WRITE_1H], writers[0]["cache_write"])
    return {model: priced_tokens(tokens, tokens.get(COST)) for model, tokens in share.items()}


def _total(events: list[Event]) -> Models:
    """Return the tokens that runs were recorded with, as amended."""
    runs: dict[str, dict[str, Tokens | None]] = {}
    for event in events:
        models = event.get("models") or {event.get("model") or UNKNOWN_MODEL: event.get("tokens")}
        if event["action"] == TASK_AMENDED:
            before = runs.get(event["run_id"], {})
            models = {model: changed_tokens(before.get(model), change) for model, change in models.items()}
        runs[event["run_id"]] = models
    total: Models = {}
    for models in runs.values():
        total |= _added(total, {model: tokens or {} for model, tokens in models.items()})
    return total


def _added(total: Models, models: Models) -> Models:
    """Return the tokens of `models`, with those of the same models in `total` added."""
    return {model: added_tokens(total.get(model, {}), tokens) for model, tokens in models.items()}


def _less(sums: Sums, recorded: Models) -> Sums:
    """Return sums less the tokens recorded for the same models, or if these have other names, for their families."""
    left = {model: dict(tokens) for model, tokens in sums.items()}
    for model, tokens in recorded.items():
        relatives = (name for name in left if name is not None and model_family(name) == model_family(model))
        name = model if model in left else next(relatives, None)
        if name in left:
            left[name] = {key: max(0, number - tokens.get(key, 0)) for key, number in left[name].items()}
    return left


def _number(models: Sums) -> int:
    return sum(total_tokens(tokens) for tokens in models.values())
