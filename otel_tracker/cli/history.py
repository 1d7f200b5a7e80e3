"""`otel-tracker history`: what has happened, newest first."""

import time
from itertools import islice

from otel_tracker import names
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import (
    print_json_list,
    print_table,
)
from otel_tracker.cli.usage import has_window, print_sums, sums_of, window_of, with_rows
from otel_tracker.reporting import summary, wording
from otel_tracker.reporting.choices import PERIODS
from otel_tracker.state.fold import is_before

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any

    from otel_tracker.state.shapes import Event, Tokens


HISTORY_ENTRIES = 20
_WHY_CHARACTERS = 60


def history(options: "Namespace") -> int:
    """Print the newest entries of the history, newest first; all since a moment if only that is given."""
    if options.by is not None:
        return _print_by(options)
    of_time = window_of(options, time.time())
    since, until = of_time.since or 0.0, of_time.until
    number = options.number if options.number is not None or has_window(options) else HISTORY_ENTRIES
    events = store_of(options).history(options.agent, since)
    rows = islice((event for event in events if until is None or is_before(event, until)), number)
    if options.format == "json":
        print_json_list(rows)
        return 0
    shown = (
        (
            _as_far_as_possible(wording.moment, row.get("timestamp")),
            row.get("agent"),
            str(row.get("action", "")).removeprefix("task_").replace("_", " "),
            row.get("model"),
            _tokens_of(row),
            _cost_of(row),
            _as_far_as_possible(wording.seconds, row.get("duration_seconds")),
            row.get("task_id"),
            wording.cut(_why(row), _WHY_CHARACTERS),
        )
        for row in rows
    )
    print_table(
        ("When (UTC)", "Agent", "What", "Model", "Tokens", "Cost", "Duration", "Task", "Why"), shown, "llllrrrll"
    )
    return 0


def _print_by(options: "Namespace") -> int:
    """Print the sums of the runs in the history; the newest part of time first."""
    comparison = sums_of(options, "day", options.agent)
    rows = comparison.usage.rows[::-1] if options.by[0] in PERIODS else comparison.usage.rows
    return print_sums(with_rows(comparison, rows, options.number), options.format)


def _why(event: "Event") -> str:
    """Return why something has happened, as far as the event says."""
    if event.get("action") == names.AGENT_RENAMED:
        return f"to {event.get('to')}"
    if event.get("action") == names.BREAKER_OVERRIDE:
        return str(_as_far_as_possible(wording.shown_override, event.get("override") or None) or "lifted")
    parts = [str(event.get("error") or event.get("reason") or "")]
    if event.get("environment_error"):
        parts = [f"{event['environment_error']}: {parts[0]}"]
    if event.get("suspect"):
        parts.append("at once and without a tool: the breaker ignores it")
    if event.get("attempts"):
        parts.append(f"{event['attempts']} attempts")
    if event.get("fallback_for"):
        parts.append(f"for {event['fallback_for']}")
    return "; ".join(part for part in parts if part)


def _as_far_as_possible(show: "Callable[[Any], str]", value: "Any") -> "Any":
    """Return a value of an entry of the history for people; as it is if another program wrote it in a form of its own."""
    try:
        return None if value is None else show(value)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        return value


def _cost_of(event: "Event") -> "str | None":
    """Return what an entry of the history has cost, a dash if nothing tells."""

    def shown(tokens: "Tokens") -> str:
        use = {"total": names.total_tokens(tokens), **tokens}
        return wording.cost(summary.cost_of(use), is_lower_bound=bool(event.get("usage_incomplete")))

    return _as_far_as_possible(shown, event.get("tokens")) if isinstance(event.get("tokens"), dict) else None


def _tokens_of(event: "Event") -> object:
    """Return the tokens of an entry of the history, which another program may have written."""
    tokens = event.get("tokens_used")
    if not isinstance(tokens, int):
        return tokens
    return f"~ {tokens:,}" if event.get("estimated") else wording.at_least(tokens, event.get("usage_incomplete"))
