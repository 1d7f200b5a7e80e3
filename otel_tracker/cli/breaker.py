"""`otel-tracker breaker` and `reset`: what an agent's breaker is doing, and what people order it to do."""

import time

from otel_tracker.cli.stores import store_of, tracker_of
from otel_tracker.cli.terminal import plain, print_json, shown_state
from otel_tracker.errors import InvalidValueError, command
from otel_tracker.names import CLOSED, DISABLED, FORCED_OPEN, failures_in_a_row
from otel_tracker.reporting import wording
from otel_tracker.runtime.owner import is_seen_gone
from otel_tracker.state import breaker as policy
from otel_tracker.state import permission

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace

    from otel_tracker.state.shapes import Row
    from otel_tracker.tracking.metric_tracker import MetricTracker

_KINDS = {"open": FORCED_OPEN, "disable": DISABLED, "auto": None}


def breaker(options: "Namespace") -> int:
    """Give the order, if there is one, and print the breaker as it is then."""
    if options.order not in ("open", "disable") and (options.seconds is not None or options.reason is not None):
        raise InvalidValueError("an order with --for or --reason", options.order, "open or disable")
    tracker = tracker_of(options)
    if options.order == "close":
        tracker.reset_agent_failures(options.agent)
        tracker.override_breaker(options.agent, None)
    elif options.order is not None:
        tracker.override_breaker(options.agent, _KINDS[options.order], options.seconds, options.reason)
    row = tracker.get_agent_metrics(options.agent)
    agent, document = row["agent_file"], store_of(options).read()
    answer = permission.answer(document, agent, time.time(), is_seen_gone)
    settings = permission.settings_of_agent(document, agent)
    facts = {
        "agent": agent,
        "is_admitted": answer.is_admitted,
        **{key: row[key] for key in ("state", "failures", "last_failure", "blacklisted_until", "permit", "override")},
        "reopenings": row["circuit"]["reopenings"],
        "failure_threshold": settings.failure_threshold,
        "next_cooldown_seconds": policy.cooldown_seconds(_reopenings(row), settings),
    }
    if options.format == "json":
        print_json(facts)
        return 0
    print(f"{plain(agent)}: {shown_state(row)}")
    shown = {
        "next task": "let through" if answer.is_admitted else f"refused: {plain(wording.reason_of(answer))}",
        "override": plain(wording.shown_override(row["override"])) if row["override"] else "-",
        "permit": plain(wording.shown_permit(row["permit"])) if row["permit"] else "-",
        "last failure": f"{wording.moment(row['last_failure'])} UTC" if row["last_failure"] else "-",
        "opens": f"after {failures_in_a_row(settings.failure_threshold)}",
        "next cooldown": wording.seconds(facts["next_cooldown_seconds"]),
    }
    for label, value in shown.items():
        print(f"{label:<15}{value}")
    return 0


def reset(options: "Namespace") -> int:
    """Close an agent's breaker and forget its failures."""
    print(reset_breaker(tracker_of(options), options.agent, store_of(options).home.option))
    return 0


def reset_breaker(tracker: "MetricTracker", agent: str, home: "str | None") -> str:
    """Close an agent's breaker, forget its failures, and return in words how it is then; `home` is the value of --home."""
    tracker.reset_agent_failures(agent)
    row = tracker.get_agent_metrics(agent)
    agent, override = row["agent_file"], row["override"]
    lift = command("breaker", agent, "auto", home=home)
    order = f"; still {plain(wording.shown_override(override))} (lift that with: {plain(lift)})" if override else ""
    return f"{plain(agent)}: healthy, 0 failures{order}"


def _reopenings(row: "Row") -> int:
    """Return how often the breaker will have been reopened when it opens next."""
    return 0 if row["state"] == CLOSED else row["circuit"]["reopenings"] + 1
