"""`otel-tracker history`: what has happened, newest first."""

from itertools import islice

from otel_tracker import names
from otel_tracker.cli.stores import store_of
from otel_tracker.cli.terminal import (
    print_json_list,
    print_table,
)
from otel_tracker.reporting import wording

TYPE_CHECKING = False
if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from typing import Any

    from otel_tracker.state.shapes import Event


HISTORY_ENTRIES = 20


def history(options: "Namespace") -> int:
    """Print the newest entries of the history, newest first; all since a moment if only that is given."""
    number = options.number if options.number is not None or options.since is not None else HISTORY_ENTRIES
    rows = islice(store_of(options).history(options.agent, options.since or 0.0), number)
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
            _as_far_as_possible(wording.seconds, row.get("duration_seconds")),
            row.get("task_id"),
            _cut(_why(row)),
        )
        for row in rows
    )
    print_table(("When (UTC)", "Agent", "What", "Model", "Tokens", "Duration", "Task", "Why"), shown, "llllrrll")
    return 0


def _cut(text: str, most: int = 60) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


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


def _tokens_of(event: "Event") -> object:
    """Return the tokens of an entry of the history, which another program may have written."""
    tokens = event.get("tokens_used")
    if not isinstance(tokens, int):
        return tokens
    return f"~ {tokens:,}" if event.get("estimated") else wording.at_least(tokens, event.get("usage_incomplete"))
