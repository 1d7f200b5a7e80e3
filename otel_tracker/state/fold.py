"""The fold: (document, event) -> document. Pure, so that any document can be computed again from a backup and the journal.

An event's `seq` decides whether a document has it already; replay.py decides the order of the others. No event repeats
another one: the journal holds no repetitions (storage/recognition.py).

An `imported` event is about the past: it counts, but moves no breaker, and the history, which is about what has been recorded
as it happened, is without it.
"""

from itertools import takewhile

from otel_tracker import names
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state import agent_entry, breaker, roster, token_use
from otel_tracker.state.circuit import Circuit, ProbePermit, circuit_of, override_of, seconds_of, write_circuit
from otel_tracker.state.document import Document, encode_line
from otel_tracker.state.replay import Replay
from otel_tracker.state.schema import new_agent, settings_digest
from otel_tracker.state.settings import Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from otel_tracker.state.shapes import Agent, Event, Head


def fold_all(document: Document, events: "Iterable[Event]", replay: "Replay | None" = None) -> Document:
    """Return `document` after `events`, all those that the journal has after some number, in its order.

    They must go on from the document (see `Replay.has_discarded`). If their `replay` is given, they are read one by one, and
    may be more than fit into memory.
    """
    number = document.sequence
    later: Iterable[Event] = (event for event in events if event["seq"] > number)
    if replay is None:
        later = list(later)
        replay = Replay(later)
    for event in replay.in_force(later):
        document = _after(document, event)
    return document


def fold(document: Document, event: "Event") -> Document:
    """Return `document` after one event; the same object if it has the event already."""
    return fold_all(document, (event,))


def _after(document: Document, event: "Event") -> Document:
    head = {**document.head, "sequence": max(document.sequence, event["seq"])}
    event = roster.with_present_keys(head, event)
    head["updated"] = _updated(document, event)
    _APPLY.get(event["action"], _apply_nothing)(head, event, Settings.of(head["config"]))
    head["metrics"] = {**head["metrics"], "total_agents": len(head["agents"])}
    if event["action"] in names.UNLISTED or event.get("imported"):
        return Document(head, document.history)
    return pruned(Document(head, document.history.append(encode_line(event))), Settings.of(head["config"]))


def _updated(document: Document, event: "Event") -> str:
    """Return the time of the newest event: mostly the last one, unless that was reported late.

    An event older than what the history keeps is no late report, unless it is imported: then the clock of the others has jumped.
    """
    at: str = event["timestamp"]
    updated: str | None = document.head["updated"]
    if updated is None or not agent_entry.is_reported_late(event):
        return at
    if event.get("imported"):
        return max(updated, at, key=parse_timestamp)
    age, kept = parse_timestamp(updated) - parse_timestamp(at), Settings.of(document.config).history_retention_days
    return updated if 0 <= age <= kept * 86_400 else at


def pruned(document: Document, settings: Settings) -> Document:
    """Return `document` with its history within the limits of its settings, as of its last event."""
    history = document.history
    history = history.drop_first(history.count - settings.history_max_entries)
    if document.head["updated"] is not None:
        oldest = parse_timestamp(document.head["updated"]) - settings.history_retention_days * 86_400
        if is_before({"timestamp": history.oldest_timestamp()}, oldest):
            too_old = takewhile(lambda past: is_before(past, oldest), history.oldest())
            history = history.drop_first(sum(1 for _ in too_old))
    return Document(document.head, history)


def is_before(past: "Event", moment: float) -> bool:
    """Tell whether an entry of the history is older than a moment; not where its age is unknown."""
    try:
        return parse_timestamp(past["timestamp"]) < moment
    except (KeyError, ValueError, AttributeError, TypeError):
        return False  # an entry of another program's


_NO_FAILURES = (names.SUCCESS, names.CANCELLED)


def _apply_nothing(head: "Head", event: "Event", settings: Settings) -> None:
    """Change nothing: the event, perhaps of an action that this version doesn't know, is only kept in the history."""


def _apply_settings(head: "Head", event: "Event", settings: Settings) -> None:
    head["config"] = event["config"]
    for key in [key for key, agent in head["agents"].items() if agent.get("config") and key not in event["agents"]]:
        del agent_entry.open_agent(head, key)["config"]
    for key, config in event["agents"].items():
        agent_entry.open_agent(head, key)["config"] = config
    head["config_digest"] = settings_digest(head)


def _apply_registered(head: "Head", event: "Event", settings: Settings) -> None:
    roster.register(head, event["agent"], event["name"])


def _apply_removed(head: "Head", event: "Event", settings: Settings) -> None:
    roster.remove(head, event["agent"], event["timestamp"], settings.history_retention_days)


def _apply_renamed(head: "Head", event: "Event", settings: Settings) -> None:
    roster.rename(head, event["agent"], event["to"])


def _apply_reset(head: "Head", event: "Event", settings: Settings) -> None:
    _move(head, event, breaker.after_reset)


def _apply_shortened(head: "Head", event: "Event", settings: Settings) -> None:
    until = parse_timestamp(event["blacklisted_until"])
    if not roster.is_about_removed(head, event):
        _move(head, event, lambda circuit: breaker.after_clock_jump(circuit, until))


def _apply_granted(head: "Head", event: "Event", settings: Settings) -> None:
    granted, expires = parse_timestamp(event["timestamp"]), parse_timestamp(event["expires"])
    permit = ProbePermit(event["permit"], granted, expires, event.get("owner"), event.get("task_id"))
    _move(head, event, lambda circuit: breaker.after_grant(circuit, permit))


def _apply_returned(head: "Head", event: "Event", settings: Settings) -> None:
    if not roster.is_about_removed(head, event):
        _move(head, event, lambda circuit: breaker.after_return(circuit, event["permit"]))


def _apply_override(head: "Head", event: "Event", settings: Settings) -> None:
    override = override_of(event.get("override"))
    _move(head, event, lambda circuit: breaker.after_override(circuit, override))


def _move(head: "Head", event: "Event", change: "Callable[[Circuit], Circuit]") -> None:
    """Change the breaker of the agent that an event is about."""
    agent = agent_entry.open_agent(head, event["agent"])
    before = circuit_of(agent)
    write_circuit(agent, before, change(before))


def _apply_rejected(head: "Head", event: "Event", settings: Settings) -> None:
    agent_entry.add(agent_entry.open_agent(head, event["agent"]), "tallies", rejected=1)


def _apply_started(head: "Head", event: "Event", settings: Settings) -> None:
    agent = agent_entry.open_agent(head, event["agent"])
    task = {key: event.get(key) for key in ("agent", "model", "task_id")}
    task |= {"started": event["timestamp"], "owner": event.get("owner"), "generation": agent["circuit"]["generation"]}
    task |= {key: event[key] for key in ("clock", "loss_error") if event.get(key)}
    head["in_flight"] = {**head["in_flight"], event["run_id"]: task}


def _apply_ended(head: "Head", event: "Event", settings: Settings) -> None:
    head["in_flight"] = dict(head["in_flight"])
    task = head["in_flight"].pop(event["run_id"], None) or {}
    outcome = names.OUTCOMES[event["action"]]
    agent = agent_entry.open_agent(head, event["agent"])
    agent_entry.count_task(agent, outcome, event)
    token_use.count_tokens(agent, event, token_use.model_of(event, task), tasks=1)
    _, system_counter = agent_entry.TASK_COUNTERS[outcome]
    agent_entry.add(head, "metrics", total_requests=1, **{system_counter: 1})
    if not event.get("imported"):
        _move_breaker(head, agent, event, task)
    replaced = event.get("fallback_for")
    if replaced:
        agent_entry.add(agent_entry.open_agent(head, replaced), "tallies", fallback=1)
        agent_entry.add(head, "metrics", fallback_used=1)


def _move_breaker(head: "Head", agent: "Agent", event: "Event", task: "Agent") -> None:
    before, after = _moved(head, agent, event, task)
    write_circuit(agent, before, after)
    if _is_opening(before, after):
        agent_entry.add(agent, "tallies", opened=1)
        agent_entry.add(head, "metrics", circuit_breaks=1)


def transition(head: "Head", event: "Event") -> "str | None":
    """Return the state that an agent's breaker would get, or get again, by the end of a task; None if it would keep it."""
    event = roster.with_present_keys(head, event)
    agent = head["agents"].get(event["agent"]) or new_agent()
    before, after = _moved(head, agent, event, head["in_flight"].get(event.get("run_id")) or {})
    return after.state if after.state != before.state or _is_opening(before, after) else None


def _is_opening(before: Circuit, after: Circuit) -> bool:
    return after.state == names.OPEN and after.failures > before.failures  # not where a permit comes back


def _moved(head: "Head", agent: "Agent", event: "Event", task: "Agent") -> "tuple[Circuit, Circuit]":
    """Return the agent's breaker before and after the end of a task."""
    outcome = names.OUTCOMES[event["action"]]
    settings = Settings.of_agent(head["config"], agent.get("config"))
    at = parse_timestamp(event["timestamp"])
    started = seconds_of(event.get("started") or task.get("started"))
    if started is None or started > at:  # a clock has jumped back: the start is wrong
        started = at - (event.get("duration_seconds") or 0.0)
    is_outage = event.get("environment_error") or settings.is_environment_error(event)
    is_counted = not is_outage and not event.get("suspect") and (outcome != names.LOST or settings.count_lost)
    before = circuit_of(agent)
    end = breaker.TaskEnd(outcome, at, started, task.get("generation"), is_counted, event.get("run_id"))
    return before, breaker.after_task(before, end, settings)


def _apply_amended(head: "Head", event: "Event", settings: Settings) -> None:
    """Apply differences to counted values: tokens, duration, and the outcome if it has changed."""
    for key, change in (("previous_outcome", -1), ("outcome", 1)):
        if event.get(key):
            _, system_counter = agent_entry.TASK_COUNTERS[event[key]]
            agent_entry.add(head, "metrics", **{system_counter: change})
    if not roster.is_about_removed(head, event):
        agent = agent_entry.open_agent(head, event["agent"])
        token_use.amend_tokens(agent, event)
        agent_entry.amend_duration(agent, event)
        agent_entry.amend_incompleteness(agent, event)
        agent_entry.amend_moments(agent, event)
        agent_entry.amend_outcome(agent, event)
        if _takes_failure_back(event):
            before = circuit_of(agent)
            is_success = event["outcome"] == names.SUCCESS and not event.get("suspect")
            write_circuit(
                agent, before, breaker.after_correction(before, event.get("run_id") or "", is_success=is_success)
            )


def _apply_usage(head: "Head", event: "Event", settings: Settings) -> None:
    head["main_conversation"] = token_use.main_conversation_after(head["main_conversation"], event)


def _takes_failure_back(amendment: "Event") -> bool:
    """Tell whether a run has turned out to be no failure; an imported event leaves all breakers alone."""
    is_failure_before = amendment.get("previous_outcome") in (names.FAILURE, names.LOST)
    return is_failure_before and amendment.get("outcome") in _NO_FAILURES and not amendment.get("imported")


_APPLY: "dict[str, Callable[[Head, Event, Settings], None]]" = {
    names.AGENT_REGISTERED: _apply_registered,
    names.AGENT_RESET: _apply_reset,
    names.AGENT_REMOVED: _apply_removed,
    names.AGENT_RENAMED: _apply_renamed,
    names.COOLDOWN_SHORTENED: _apply_shortened,
    names.PROBE_GRANTED: _apply_granted,
    names.PROBE_RETURNED: _apply_returned,
    names.TASK_REJECTED: _apply_rejected,
    names.BREAKER_OVERRIDE: _apply_override,
    names.SETTINGS_CHANGED: _apply_settings,
    names.TASK_STARTED: _apply_started,
    names.TASK_AMENDED: _apply_amended,
    names.USAGE_RECORDED: _apply_usage,
    **dict.fromkeys(names.OUTCOMES, _apply_ended),
}
