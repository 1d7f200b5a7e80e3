"""How an event changes the entry of an agent: its counters, its tokens, its breaker. Pure.

An entry's parts are replaced, never changed in place: the document before the event still has them.
"""

from otel_tracker import names
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state import breaker, schema
from otel_tracker.state.checks import DURATION_BOUNDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Agent, Event, Head, Shares, Tokens


# What an outcome adds 1 to: in the agent's metrics, in the system's.
TASK_COUNTERS = {
    names.SUCCESS: ("tasks_successful", "successful"),
    names.FAILURE: ("tasks_failed", "failed"),
    names.LOST: ("tasks_failed", "failed"),
    names.CANCELLED: ("tasks_cancelled", "cancelled"),
}
# What counts the tasks that were counted by an outcome first, in the agent's tallies.
AMENDED = {
    names.SUCCESS: "amended_success",
    names.FAILURE: "amended_failure",
    names.CANCELLED: "amended_cancelled",
    names.LOST: "amended",
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
        streak=tuple(circuit.get("streak", ()))[-agent["failures"] :] if agent["failures"] and not is_open else (),
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
    if after.streak or "streak" in agent["circuit"]:
        agent["circuit"]["streak"] = list(after.streak)


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
    _note_moments(metrics, event)
    duration = event.get("duration_seconds")
    if duration is not None:
        _add_duration(agent, duration)
        _count_in_bucket(agent, duration, 1)
    _set_average(agent["metrics"])
    add(agent, "tallies", lost=outcome == names.LOST, usage_incomplete=bool(event.get("usage_incomplete")))


def is_told_later(event: "Event") -> bool:
    """Tell whether an event may be older than those recorded before it, as its writer says in `told_later`.

    Journals from before that key have only one such writer: the events of Claude Code's runs, which have one of these ids.
    """
    is_told_later: bool | None = event.get("told_later")
    if is_told_later is not None:
        return is_told_later
    return event.get("agent_id") is not None or event.get("tool_use_id") is not None


def amend_moments(agent: "Agent", event: "Event") -> None:
    """Note the end that a run has according to an amendment that was told later."""
    if is_told_later(event):
        agent["metrics"] = dict(agent["metrics"])
        _note_moments(agent["metrics"], event)


def _note_moments(metrics: "Agent", event: "Event") -> None:
    """Set the moments of an agent's first and last task in a copy of its metrics."""
    at, first, last = event["timestamp"], metrics["first_task_timestamp"], metrics["last_task_timestamp"]
    is_told = is_told_later(event)
    if last is None or not is_told or parse_timestamp(at) > parse_timestamp(last):
        metrics["last_task_timestamp"] = at
    if first is None or (is_told and parse_timestamp(at) < parse_timestamp(first)):
        metrics["first_task_timestamp"] = at


def amend_duration(agent: "Agent", event: "Event") -> None:
    """Add the difference that an amendment says; the task moves to another bucket, or to its first one."""
    difference = event.get("duration_seconds")
    if difference is None:
        return
    _add_duration(agent, difference)
    previous = event.get("previous_duration_seconds")
    now = round((previous or 0.0) + difference, 6)
    if previous is None or _bucket(previous) != _bucket(now):
        if previous is not None:
            _count_in_bucket(agent, previous, -1)
            _count_in_bucket(agent, previous, 1, "moved")
        _count_in_bucket(agent, now, 1)
    _set_average(agent["metrics"])


def amend_incompleteness(agent: "Agent", event: "Event") -> None:
    """Count a run whose final usage turned out to be missing, or one fewer where it turned up."""
    before, after = bool(event.get("previous_usage_incomplete")), bool(event.get("usage_incomplete"))
    if before != after:
        add(agent, "tallies", usage_incomplete=after - before)


def amend_outcome(agent: "Agent", event: "Event") -> None:
    """Count a run by the outcome that it turned out to have, and no longer by the one that it was counted by."""
    for key, change in (("previous_outcome", -1), ("outcome", 1)):
        if event.get(key):
            amended = {AMENDED[event[key]]: 1} if change < 0 else {}
            add(agent, "metrics", **{TASK_COUNTERS[event[key]][0]: change})
            add(agent, "tallies", lost=change * (event[key] == names.LOST), **amended)


def _add_duration(agent: "Agent", seconds: float) -> None:
    add(agent, "metrics", total_duration_seconds=seconds)
    add(agent, "durations", sum=seconds)


def _count_in_bucket(agent: "Agent", duration: float, change: int, part: str = "buckets") -> None:
    counts, place = list(agent["durations"].get(part) or [0] * (len(DURATION_BOUNDS) + 1)), _bucket(duration)
    counts[place] = max(0, counts[place] + change)
    agent["durations"] = {**agent["durations"], part: counts}


def _bucket(duration: float) -> int:
    from bisect import bisect_left  # only for writers: a question for an agent's health doesn't load it

    return bisect_left(DURATION_BOUNDS, duration)


def model_of(end: "Event", known: "Event") -> "str | None":
    """Return the model that the end of a run counts under: full ids that it has come before a name given at its start."""
    model: str | None = end.get("model") or (None if end.get("models") else known.get("model"))
    return model


def count_tokens(agent: "Agent", event: "Event", model: "str | None", tasks: int) -> None:
    """Add the event's tokens under its full ids, and under what they are rolled up to.

    The task that it is about has them measured now, also where it was counted without them before.
    """
    models, is_of_task = event.get("models") or {}, bool(tasks or event.get("run_id"))
    for part, shares in (("models", models), ("token_usage", shares_of(model, event.get("tokens"), models))):
        for name, tokens in shares.items():
            total = names.total_tokens(tokens or {})
            # An amendment that takes tokens away is not the last task.
            is_last = tokens is not None and (tasks or total > 0)
            measured = int(is_of_task and tokens is not None)
            _add_tokens(agent, part, name, tokens or {}, tasks, measured, max(0, total) if is_last else None)


def shares_of(model: "str | None", tokens: "Tokens | None", models: "Shares") -> "Shares":
    """Return a run's tokens under the model that the user named, else under the family of each full id.

    None in the place of tokens is a run that is counted and not measured.
    """
    if model:
        return {model: tokens}
    if not models:
        return {names.UNKNOWN_MODEL: tokens} if tokens else {}
    shares: Shares = {}
    for full_id, of_model in models.items():
        family = names.model_family(full_id)
        shares[family] = _sum_of(shares.get(family), of_model)
    return shares


def amend_tokens(agent: "Agent", event: "Event") -> None:
    """Add the differences that an amendment says; the task is counted under other models if it says what it was."""
    if event.get("previous_models") is None:
        count_tokens(agent, event, event.get("model"), tasks=0)
        return
    before, tokens = event["previous_models"], event.get("previous_tokens")
    models = {name: _changed(before.get(name), change) for name, change in (event.get("models") or {}).items()}
    _exchange(agent, "models", before, models)
    shares_before = shares_of(event.get("previous_model"), tokens, before)
    shares = shares_of(event.get("model"), _changed(tokens, event.get("tokens")), models)
    _exchange(agent, "token_usage", shares_before, shares)


def _changed(tokens: "Tokens | None", change: "Tokens | None") -> "Tokens | None":
    """Return tokens after a change; without one they turned out unmeasured."""
    if change is None:
        return None
    return {kind: number for kind, number in names.added_tokens(tokens or {}, change).items() if number}


def _exchange(agent: "Agent", part: str, before: "Shares", after: "Shares") -> None:
    """Put the shares that a run has in the place of those that it was counted with."""
    for name in {**before, **after}:
        if name not in after and name not in agent[part]:
            continue  # a person has taken it out
        was, tokens = before.get(name) or {}, after.get(name)
        change = {kind: (tokens or {}).get(kind, 0) - was.get(kind, 0) for kind in {**was, **(tokens or {})}}
        last = max(0, names.total_tokens(tokens)) if tokens else None
        measured = (tokens is not None) - (before.get(name) is not None)
        _add_tokens(agent, part, name, change, (name in after) - (name in before), measured, last)


def _set_average(metrics: "Agent") -> None:
    total = metrics["tasks_total"]
    metrics["avg_duration_seconds"] = round(metrics["total_duration_seconds"] / total, 6) if total else 0.0


def add(owner: "Agent", part: str, **changes: float) -> None:
    """Replace `owner[part]` by a copy with `changes` added to its numbers, none of which falls below 0."""
    numbers = owner[part]
    changed = {key: max(0, round(numbers[key] + change, 6)) for key, change in changes.items() if change}
    if changed:
        owner[part] = {**numbers, **changed}


def _add_tokens(
    agent: "Agent", part: str, model: str, change: "Tokens", tasks: int, measured: int, last: "int | None"
) -> None:
    use = dict(agent[part].get(model) or schema.new_token_entry())
    use["count"] = max(0, use["count"] + tasks)
    if use["measured"] is not None:  # else nobody knows how many were, of those that an older file has counted
        use["measured"] = max(0, use["measured"] + measured)
    for kind, number in change.items():
        use[kind] = max(0, use.get(kind, 0) + number)
    if use.get(names.CACHE_WRITE_1H) == 0:
        del use[names.CACHE_WRITE_1H]  # what nobody has told isn't shown as none
    use["total"] = max(0, use["total"] + names.total_tokens(change))
    if last is not None:
        use["last"] = last
    agent[part] = {**agent[part], model: use}


def _sum_of(one: "Tokens | None", other: "Tokens | None") -> "Tokens | None":
    """Return the sum of tokens by type; unmeasured is unmeasured only where both are."""
    if one is None or other is None:
        return one if other is None else other
    return names.added_tokens(one, other)


def seconds_of(text: "str | None") -> "float | None":
    """Return the moment of a timestamp that may be missing."""
    return None if text is None else parse_timestamp(text)


def _timestamp(seconds: "float | None") -> "str | None":
    return None if seconds is None else format_timestamp(seconds)
