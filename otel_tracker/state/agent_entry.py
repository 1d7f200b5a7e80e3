"""How an event changes the counters in the entry of an agent: tasks, outcomes, durations, moments. Pure.

circuit.py has its breaker, token_use.py its tokens. The parts of an entry are replaced, never changed in place: the document
before the event still has them.
"""

from otel_tracker import names
from otel_tracker.runtime.limits import DURATION_BOUNDS
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state import schema

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.shapes import Agent, Event, Head


# The counters that an outcome adds 1 to: of the agent, of the system.
TASK_COUNTERS = {
    names.SUCCESS: ("tasks_successful", "successful"),
    names.FAILURE: ("tasks_failed", "failed"),
    names.LOST: ("tasks_failed", "failed"),
    names.CANCELLED: ("tasks_cancelled", "cancelled"),
}
# The agent's tallies of tasks that were counted under an outcome and had it amended.
AMENDED = {
    names.SUCCESS: "amended_success",
    names.FAILURE: "amended_failure",
    names.CANCELLED: "amended_cancelled",
    names.LOST: "amended",
}


def open_agent(head: "Head", key: str) -> "Agent":
    """Put a copy of the agent's entry into `head` and return it; its first level may be changed."""
    entry = dict(head["agents"].get(key) or schema.new_agent())
    head["agents"] = {**head["agents"], key: entry}
    return entry


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


def is_reported_late(event: "Event") -> bool:
    """Tell whether an event may be older than those recorded before it, as its writer marks with `told_later`.

    Journals from before that key have only one such writer: the events of Claude Code's runs, which have one of these ids.
    """
    told_later: bool | None = event.get("told_later")
    if told_later is not None:
        return told_later
    return event.get("agent_id") is not None or event.get("tool_use_id") is not None


def amend_moments(agent: "Agent", event: "Event") -> None:
    """Note the end of a run that an amendment reports late."""
    if is_reported_late(event):
        agent["metrics"] = dict(agent["metrics"])
        _note_moments(agent["metrics"], event)


def _note_moments(metrics: "Agent", event: "Event") -> None:
    """Set the moments of an agent's first and last task in a copy of its metrics."""
    at, first, last = event["timestamp"], metrics["first_task_timestamp"], metrics["last_task_timestamp"]
    is_late = is_reported_late(event)
    if last is None or not is_late or parse_timestamp(at) > parse_timestamp(last):
        metrics["last_task_timestamp"] = at
    if first is None or (is_late and parse_timestamp(at) < parse_timestamp(first)):
        metrics["first_task_timestamp"] = at


def amend_duration(agent: "Agent", event: "Event") -> None:
    """Add the difference in an amendment; the task moves to another bucket, or to its first one."""
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
    """Count a run whose final usage turned out to be missing, or uncount it where the usage has come."""
    before, after = bool(event.get("previous_usage_incomplete")), bool(event.get("usage_incomplete"))
    if before != after:
        add(agent, "tallies", usage_incomplete=after - before)


def amend_outcome(agent: "Agent", event: "Event") -> None:
    """Count a run under the outcome that it turned out to have, and no longer under its former one."""
    for key, change in (("previous_outcome", -1), ("outcome", 1)):
        if event.get(key):
            amended = {AMENDED[event[key]]: 1} if change < 0 else {}
            add(agent, "metrics", **{TASK_COUNTERS[event[key]][0]: change})
            add(agent, "tallies", lost=change * (event[key] == names.LOST), **amended)


def _add_duration(agent: "Agent", seconds: float) -> None:
    add(agent, "metrics", total_duration_seconds=seconds)
    add(agent, "durations", sum=seconds)


def _count_in_bucket(agent: "Agent", duration: float, change: int, part: str = "buckets") -> None:
    counts, index = list(agent["durations"].get(part) or [0] * (len(DURATION_BOUNDS) + 1)), _bucket(duration)
    counts[index] = max(0, counts[index] + change)
    agent["durations"] = {**agent["durations"], part: counts}


def _bucket(duration: float) -> int:
    from bisect import bisect_left  # only for writers: a process that asks for an agent's health doesn't load it

    return bisect_left(DURATION_BOUNDS, duration)


def _set_average(metrics: "Agent") -> None:
    total = metrics["tasks_total"]
    metrics["avg_duration_seconds"] = round(metrics["total_duration_seconds"] / total, 6) if total else 0.0


def add(owner: "Agent", part: str, **changes: float) -> None:
    """Replace `owner[part]` by a copy with `changes` added to its numbers, none of which falls below 0."""
    numbers = owner[part]
    changed = {key: max(0, round(numbers[key] + change, 6)) for key, change in changes.items() if change}
    if changed:
        owner[part] = {**numbers, **changed}
