"""What the past has used, as the parts that every view of usage adds up (state/run_parts.py)."""

from otel_tracker import names
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.run_parts import RunPart, parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from otel_tracker.integrations.claude_code.past.history import PastHistory, PastRun
    from otel_tracker.reporting.window import Window
    from otel_tracker.state.prices import Cost
    from otel_tracker.state.shapes import Tokens

    Group = tuple[str, str | None, str, float]
    """Session, project, model, and the quarter of an hour."""

QUARTER_SECONDS = 900.0
"""In no zone an hour begins within a quarter of one."""


def parts_of_history(history: "PastHistory", cost: "Cost", window: "Window") -> "Iterator[RunPart]":
    """Yield the parts of a window: of the runs that ended in it, and of what the main conversations asked for in it."""
    for run in history.runs:
        parts = parts_of(run.end) if run.end is not None else _of_running(run)
        yield from (part for part in parts if window.contains(part.moment))
    yield from _of_conversations(history, cost, window)


def _of_running(run: "PastRun") -> "Iterator[RunPart]":
    """Yield what a run has used that goes on: it is none of the runs yet, but its tokens are used."""
    for model, tokens in run.spending.models.items():
        session = run.conversation
        at = format_timestamp(run.at)
        yield RunPart(at, run.agent, None, model, session.project, session.id, tokens=tokens, is_incomplete=True)


def _of_conversations(history: "PastHistory", cost: "Cost", window: "Window") -> "Iterator[RunPart]":
    groups: dict[Group, Tokens] = {}
    incomplete: set[Group] = set()
    for conversation, request in history.requests:
        for model, tokens, at in request.priced_shares(cost):
            if window.contains(at):
                group = conversation.id, conversation.project, model, at // QUARTER_SECONDS
                sum_so_far = groups.get(group)
                groups[group] = names.added_tokens(sum_so_far, tokens) if sum_so_far else tokens
                if not request.is_final:
                    incomplete.add(group)
    for group, tokens in groups.items():
        session, project, model, quarter = group
        timestamp, is_incomplete = format_timestamp(quarter * QUARTER_SECONDS), group in incomplete
        yield RunPart(timestamp, None, None, model, project, session, tokens=tokens, is_incomplete=is_incomplete)
