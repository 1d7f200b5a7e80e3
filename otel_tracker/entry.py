"""How an event changes the entry of an agent: its counters, its tokens, its breaker. Pure.

An entry's parts are replaced, never changed in place: the document before the event still has them.
"""

from otel_tracker import breaker, names, schema
from otel_tracker.checks import DURATION_BOUNDS
from otel_tracker.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Event = dict[str, Any]
    Head = dict[str, Any]
    Agent = dict[str, Any]

# What an outcome adds 1 to: in the agent's metrics, in the system's.
TASK_COUNTERS = {
    names.SUCCESS: ("tasks_successful", "successful"),
    names.FAILURE: ("tasks_failed", "failed"),
    names.LOST: ("tasks_failed", "failed"),
    names.CANCELLED: ("tasks_cancelled", "cancelled"),
}


def open_agent(head: "Head", key: str) -> "Agent":
    """Return a copy of the agent's entry that stands in `head` and may be changed at its first level."""
    entry = dict(head["agents"].get(key) or schema.new_agent())
    head["agents"] = {**head["agents"], key: entry}
    return entry


def circuit_of(agent: "Agent") -> breaker.Circuit:
    """Return the breaker that an agent's entry describes. Its `status` rules, since people edit it by hand."""
    is_open = agent["status"] in (names.STATUSES[names.OPEN], names.STATUSES[names.HALF_OPEN])
    circuit = agent["circuit"]
    permit = _permit_of(circuit["permit"]) if agent["status"] == names.STATUSES[names.HALF_OPEN] else None
    return breaker.Circuit(
        state=names.HALF_OPEN if permit else names.OPEN if is_open else names.CLOSED,
        failures=agent["failures"],
        last_failure=seconds_of(agent["last_failure"]),
        blacklisted_until=seconds_of(agent["blacklisted_until"]) if is_open else None,
        generation=circuit["generation"],
        opened=seconds_of(circuit["opened"]) if is_open else None,
        reopenings=circuit["reopenings"] if is_open else 0,
        permit=permit,
        override=override_of(circuit["override"]),
    )


def write_circuit(agent: "Agent", before: breaker.Circuit, after: breaker.Circuit) -> None:
    """Write a breaker that has moved into an agent's entry; what did not change keeps its text."""
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
        "permit": _permit_value(after.permit),
        "override": _override_value(after.override),
    }


def _permit_of(value: "Agent | None") -> "breaker.Permit | None":
    if value is None:
        return None
    return breaker.Permit(
        value["run_id"],
        parse_timestamp(value["granted"]),
        parse_timestamp(value["expires"]),
        value.get("owner"),
        value.get("task_id"),
    )


def _permit_value(permit: "breaker.Permit | None") -> "Agent | None":
    if permit is None:
        return None
    return {
        "run_id": permit.run_id,
        "task_id": permit.task_id,
        "granted": format_timestamp(permit.granted),
        "expires": format_timestamp(permit.expires),
        "owner": permit.owner,
    }


def override_of(value: "Agent | None") -> "breaker.Override | None":
    """Return the override that a JSON value describes."""
    if value is None:
        return None
    return breaker.Override(value["kind"], seconds_of(value.get("until")), value.get("reason"))


def _override_value(override: "breaker.Override | None") -> "Agent | None":
    if override is None:
        return None
    return {"kind": override.kind, "until": _timestamp(override.until), "reason": override.reason}


def count_task(agent: "Agent", outcome: str, event: "Event") -> None:
    """Count an ended task, and how long it took if that is known."""
    metrics = agent["metrics"] = dict(agent["metrics"])
    metrics["tasks_total"] += 1
    metrics[TASK_COUNTERS[outcome][0]] += 1
    metrics["last_task_timestamp"] = event["timestamp"]
    metrics["first_task_timestamp"] = metrics["first_task_timestamp"] or event["timestamp"]
    duration = event.get("duration_seconds")
    if duration is not None:
        _add_duration(agent, duration)
        _count_in_bucket(agent, duration, 1)
    _set_average(agent["metrics"])
    if outcome == names.LOST:
        add(agent, "tallies", lost=1)


def amend_duration(agent: "Agent", event: "Event") -> None:
    """Add the difference that an amendment says; the task moves to another bucket, or to its first one."""
    difference = event.get("duration_seconds")
    if difference is None:
        return
    _add_duration(agent, difference)
    previous = event.get("previous_duration_seconds")
    if previous is not None:
        _count_in_bucket(agent, previous, -1)
    _count_in_bucket(agent, (previous or 0.0) + difference, 1)
    _set_average(agent["metrics"])


def _add_duration(agent: "Agent", seconds: float) -> None:
    add(agent, "metrics", total_duration_seconds=seconds)
    add(agent, "durations", sum=seconds)


def _count_in_bucket(agent: "Agent", duration: float, change: int) -> None:
    from bisect import bisect_left  # only for who counts: who asks for an agent's health doesn't load it

    buckets = list(agent["durations"]["buckets"])
    place = bisect_left(DURATION_BOUNDS, duration)
    buckets[place] = max(0, buckets[place] + change)
    agent["durations"] = {**agent["durations"], "buckets": buckets}


def count_tokens(agent: "Agent", event: "Event", model: "str | None", tasks: int) -> None:
    """Add the event's tokens under the model that the user named, else under the family of each full id."""
    shares: dict[str, dict[str, int] | None] = {model: event.get("tokens")} if model else {}
    if not model and not event.get("models") and event.get("tokens"):
        shares[names.UNKNOWN_MODEL] = event["tokens"]
    for full_id, tokens in (event.get("models") or {}).items():
        _add_tokens(agent, "models", full_id, tokens, tasks)
        if not model:
            family = names.model_family(full_id)
            shares[family] = _sum_of(shares.get(family), tokens)
    for name, tokens in shares.items():
        _add_tokens(agent, "token_usage", name, tokens, tasks)


def _set_average(metrics: "Agent") -> None:
    total = metrics["tasks_total"]
    metrics["avg_duration_seconds"] = round(metrics["total_duration_seconds"] / total, 6) if total else 0.0


def add(owner: "Agent", part: str, **changes: float) -> None:
    """Replace `owner[part]` by a copy with `changes` added to its numbers, none of which falls below 0."""
    numbers = owner[part]
    owner[part] = {**numbers, **{key: max(0, round(numbers[key] + change, 6)) for key, change in changes.items()}}


def _add_tokens(agent: "Agent", part: str, model: str, tokens: "dict[str, int] | None", tasks: int) -> None:
    use = dict(agent[part].get(model) or schema.new_token_entry())
    use["count"] += tasks
    if tokens is not None:
        total = sum(tokens.values())
        for kind, number in tokens.items():
            use[kind] = max(0, use.get(kind, 0) + number)
        use["total"] = max(0, use["total"] + total)
        if tasks or total > 0:  # an amendment that takes tokens away is not the last task
            use["last"] = max(0, total)
    agent[part] = {**agent[part], model: use}


def _sum_of(one: "dict[str, int] | None", other: "dict[str, int] | None") -> "dict[str, int] | None":
    """Return the sum of tokens by type; unmeasured is unmeasured only where both are."""
    if one is None or other is None:
        return one if other is None else other
    return names.added_tokens(one, other)


def seconds_of(text: "str | None") -> "float | None":
    """Return the moment of a timestamp that may be missing."""
    return None if text is None else parse_timestamp(text)


def _timestamp(seconds: "float | None") -> "str | None":
    return None if seconds is None else format_timestamp(seconds)
