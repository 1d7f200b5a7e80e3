"""The fold: (document, event) -> document. Pure, so that any document can be computed again from a backup and the journal.

An event's `seq` decides whether a document has it already; its `run_id` (for a task's start and end) or its `id`
whether it merely repeats one that the document's history holds.
"""

from bisect import bisect_left
from itertools import takewhile

from otel_tracker import breaker, names, schema
from otel_tracker.document import Document, encode_line
from otel_tracker.settings import Settings
from otel_tracker.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    Event = dict[str, Any]
    Head = dict[str, Any]
    Agent = dict[str, Any]

_TASK_COUNTERS = {
    names.SUCCESS: ("tasks_successful", "successful"),
    names.FAILURE: ("tasks_failed", "failed"),
    names.LOST: ("tasks_failed", "failed"),
    names.CANCELLED: ("tasks_cancelled", "cancelled"),
}


def fold_all(document: Document, events: "Iterable[Event]") -> Document:
    """Return `document` after `events`, which are in the order of their `seq`."""
    for event in events:
        document = fold(document, event)
    return document


def fold(document: Document, event: "Event") -> Document:
    """Return `document` after one event; the same object if it has the event already."""
    if event["seq"] <= document.sequence:
        return document
    head = {**document.head, "sequence": event["seq"]}
    if _is_repeated(document, event):
        return Document(head, document.history)
    head["updated"] = event["timestamp"]
    settings = Settings(head["config"])
    _APPLY.get(event["action"], _apply_nothing)(head, event, settings)
    head["metrics"] = {**head["metrics"], "total_agents": len(head["agents"])}
    if event["action"] == names.TASK_STARTED:
        return Document(head, document.history)
    return pruned(Document(head, document.history.append(encode_line(event))))


def resolve(document: Document, event: "Event") -> "Event":
    """Return the end of a task with the run that it ends filled in; other events as they are.

    A run is found by agent and task id if the event has one, else by agent and start; of several, the oldest. An end
    without a known start is a run of its own.
    """
    if event.get("run_id") or event["action"] not in names.OUTCOMES:
        return event
    of_agent = [(run, task) for run, task in document.head["in_flight"].items() if task["agent"] == event["agent"]]
    by_task = [found for found in of_agent if event.get("task_id") and found[1].get("task_id") == event["task_id"]]
    by_start = [found for found in of_agent if found[1]["started"] == event.get("started")]
    found = min(by_task or by_start, key=lambda one: parse_timestamp(one[1]["started"]), default=None)
    if found is None:
        return {**event, "run_id": event["id"]}
    run_id, task = found
    known = {"model": event.get("model") or task.get("model"), "task_id": event.get("task_id") or task.get("task_id")}
    return {**event, **known, "run_id": run_id}


def pruned(document: Document) -> Document:
    """Return `document` with its history within the limits of its settings, as of its last event."""
    settings = Settings(document.config)
    history = document.history
    history = history.drop_first(history.count - settings.history_max_entries)
    if document.head["updated"] is not None:
        oldest = parse_timestamp(document.head["updated"]) - settings.history_retention_days * 86_400
        too_old = takewhile(lambda entry: _is_before(entry, oldest), history.oldest())
        history = history.drop_first(sum(1 for _ in too_old))
    return Document(document.head, history)


def circuit_of(agent: "Agent") -> breaker.Circuit:
    """Return the breaker that an agent's entry describes. Its `status` rules, since people edit it by hand."""
    is_open = agent["status"] in (names.STATUSES[names.OPEN], names.STATUSES[names.HALF_OPEN])
    circuit = agent["circuit"]
    return breaker.Circuit(
        state=names.OPEN if is_open else names.CLOSED,
        failures=agent["failures"],
        last_failure=_seconds(agent["last_failure"]),
        blacklisted_until=_seconds(agent["blacklisted_until"]) if is_open else None,
        generation=circuit["generation"],
        opened=_seconds(circuit["opened"]) if is_open else None,
        reopenings=circuit["reopenings"] if is_open else 0,
    )


def _is_repeated(document: Document, event: "Event") -> bool:
    """Tell whether the document holds the event under another number."""
    if event["action"] == names.TASK_STARTED:
        run_id = event["run_id"]
        # Who has an owner writes in order: its start can't come after its end.
        return run_id in document.head["in_flight"] or (not event.get("owner") and _has(document, "run_id", run_id))
    if event["action"] in names.OUTCOMES:
        run_id = event["run_id"]
        return run_id not in document.head["in_flight"] and _has(document, "run_id", run_id)
    return _has(document, "id", event["id"])


def _has(document: Document, key: str, value: str) -> bool:
    return document.history.has(encode_line({key: value})[1:-1])


def _is_before(entry: "Event", oldest: float) -> bool:
    try:
        return parse_timestamp(entry["timestamp"]) < oldest
    except (KeyError, ValueError, AttributeError, TypeError):
        return False  # an entry of somebody else's: its age is unknown


def _apply_nothing(head: "Head", event: "Event", settings: Settings) -> None:
    """Keep an event whose action this version doesn't know in the history only."""


def _apply_registered(head: "Head", event: "Event", settings: Settings) -> None:
    _open_agent(head, event["agent"])["name"] = event["name"]


def _apply_reset(head: "Head", event: "Event", settings: Settings) -> None:
    agent = _open_agent(head, event["agent"])
    before = circuit_of(agent)
    _write_circuit(agent, before, breaker.after_reset(before))


def _apply_started(head: "Head", event: "Event", settings: Settings) -> None:
    agent = _open_agent(head, event["agent"])
    task = {key: event.get(key) for key in ("agent", "model", "task_id")}
    task |= {"started": event["timestamp"], "owner": event.get("owner"), "generation": agent["circuit"]["generation"]}
    head["in_flight"] = {**head["in_flight"], event["run_id"]: task}


def _apply_ended(head: "Head", event: "Event", settings: Settings) -> None:
    head["in_flight"] = dict(head["in_flight"])
    task = head["in_flight"].pop(event["run_id"], None) or {}
    outcome = names.OUTCOMES[event["action"]]
    agent = _open_agent(head, event["agent"])
    _count_task(agent, outcome, event)
    _count_tokens(agent, event, event.get("model") or task.get("model"), tasks=1)
    _, system_counter = _TASK_COUNTERS[outcome]
    _add(head, "metrics", total_requests=1, **{system_counter: 1})
    _move_breaker(head, agent, event, task, settings)


def _move_breaker(head: "Head", agent: "Agent", event: "Event", task: "Agent", settings: Settings) -> None:
    outcome = names.OUTCOMES[event["action"]]
    at = parse_timestamp(event["timestamp"])
    started = _seconds(event.get("started") or task.get("started"))
    if started is None:
        started = at - (event.get("duration_seconds") or 0.0)
    is_counted = not event.get("environment_error") and (outcome != names.LOST or settings.count_lost)
    before = circuit_of(agent)
    after = breaker.after_task(
        before, breaker.TaskEnd(outcome, at, started, task.get("generation"), is_counted), settings
    )
    _write_circuit(agent, before, after)
    if after.generation != before.generation and after.state == names.OPEN:
        _add(agent, "tallies", opened=1)
        _add(head, "metrics", circuit_breaks=1)


def _apply_amended(head: "Head", event: "Event", settings: Settings) -> None:
    """Apply differences to what has been counted: tokens, duration, and the outcome if it turned out another."""
    agent = _open_agent(head, event["agent"])
    _count_tokens(agent, event, event.get("model"), tasks=0)
    _add(agent, "metrics", total_duration_seconds=event.get("duration_seconds") or 0.0)
    _set_average(agent["metrics"])
    for key, change in (("previous_outcome", -1), ("outcome", 1)):
        if event.get(key):
            agent_counter, system_counter = _TASK_COUNTERS[event[key]]
            _add(agent, "metrics", **{agent_counter: change})
            _add(head, "metrics", **{system_counter: change})
            _add(agent, "tallies", lost=change if event[key] == names.LOST else 0)


_APPLY: "dict[str, Callable[[Head, Event, Settings], None]]" = {
    names.AGENT_REGISTERED: _apply_registered,
    names.AGENT_RESET: _apply_reset,
    names.TASK_STARTED: _apply_started,
    names.TASK_AMENDED: _apply_amended,
    **dict.fromkeys(names.OUTCOMES, _apply_ended),
}


def _count_task(agent: "Agent", outcome: str, event: "Event") -> None:
    metrics = agent["metrics"] = dict(agent["metrics"])
    metrics["tasks_total"] += 1
    metrics[_TASK_COUNTERS[outcome][0]] += 1
    metrics["last_task_timestamp"] = event["timestamp"]
    metrics["first_task_timestamp"] = metrics["first_task_timestamp"] or event["timestamp"]
    duration = event.get("duration_seconds")
    if duration is not None:
        _add(agent, "metrics", total_duration_seconds=duration)
        _add(agent, "durations", sum=duration)
        buckets = list(agent["durations"]["buckets"])
        buckets[bisect_left(schema.DURATION_BOUNDS, duration)] += 1
        agent["durations"]["buckets"] = buckets
    _set_average(agent["metrics"])
    if outcome == names.LOST:
        _add(agent, "tallies", lost=1)


def _count_tokens(agent: "Agent", event: "Event", model: "str | None", tasks: int) -> None:
    """Add the event's tokens under the model that the user named, else under the family of each full id."""
    models = event.get("models") or {}
    shares = {model: event.get("tokens")} if model else {}
    for full_id, tokens in models.items():
        _add_tokens(agent, "models", full_id, tokens, tasks)
        if not model:
            _add_tokens(agent, "token_usage", names.model_family(full_id), tokens, tasks)
    for name, tokens in shares.items():
        _add_tokens(agent, "token_usage", name, tokens, tasks)


def _add_tokens(agent: "Agent", part: str, model: str, tokens: "dict[str, int] | None", tasks: int) -> None:
    entry = dict(agent[part].get(model) or schema.new_token_entry())
    entry["count"] += tasks
    if tokens is not None:
        for kind, number in tokens.items():
            entry[kind] = max(0, entry[kind] + number)
        entry["last"] = max(0, sum(tokens.values()))
        entry["total"] = max(0, entry["total"] + sum(tokens.values()))
    agent[part] = {**agent[part], model: entry}


def _set_average(metrics: "Agent") -> None:
    total = metrics["tasks_total"]
    metrics["avg_duration_seconds"] = round(metrics["total_duration_seconds"] / total, 6) if total else 0.0


def _add(owner: "Agent", part: str, **changes: float) -> None:
    """Replace `owner[part]` by a copy with `changes` added to its numbers, none of which falls below 0."""
    numbers = owner[part]
    owner[part] = {**numbers, **{key: max(0, round(numbers[key] + change, 6)) for key, change in changes.items()}}


def _open_agent(head: "Head", key: str) -> "Agent":
    """Return a copy of the agent's entry that stands in `head` and may be changed at its first level."""
    entry = dict(head["agents"].get(key) or schema.new_agent())
    head["agents"] = {**head["agents"], key: entry}
    return entry


def _write_circuit(agent: "Agent", before: breaker.Circuit, after: breaker.Circuit) -> None:
    if after is before:
        return
    agent["status"] = names.STATUSES[after.state]
    agent["failures"] = after.failures
    agent["blacklisted_until"] = _timestamp(after.blacklisted_until)
    if after.last_failure != before.last_failure:
        agent["last_failure"] = _timestamp(after.last_failure)
    agent["circuit"] = {
        **agent["circuit"],
        "state": after.state,
        "generation": after.generation,
        "opened": _timestamp(after.opened),
        "reopenings": after.reopenings,
    }


def _seconds(text: "str | None") -> "float | None":
    return None if text is None else parse_timestamp(text)


def _timestamp(seconds: "float | None") -> "str | None":
    return None if seconds is None else format_timestamp(seconds)
