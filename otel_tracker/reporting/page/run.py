"""One run as the page shows it: everything that is known of it. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting.page import figures, runs
from otel_tracker.reporting.page.figures import Figure
from otel_tracker.reporting.page.tables import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_tracker.reporting.page.runs import ShownRun
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event

_TYPES = {
    "input": "input", "output": "output", "cache_read": "cache read", "cache_write": "cache write",
    "cache_write_1h": "of it for an hour", "untyped": "untyped",
}  # fmt: skip
_FACTS = {
    "task_id": "task", "attempts": "attempts", "fallback_for": "stood in for", "environment_error": "not the agent's failure",
    "suspect": "suspect success", "error_type": "type of error", "claude_code_version": "Claude Code",
    "project": "project", "trace_id": "trace", "span_id": "span", "agent_id": "Claude Code's agent",
    "tool_use_id": "tool call that launched it", "skipped_lines": "lines that could not be read", "seq": "number of the event",
}  # fmt: skip


class ModelUse(NamedTuple):
    """What a run used of a model."""

    model: str
    types: "list[tuple[str, Figure]]"
    tokens: Figure
    cost: Figure


class RunView(NamedTuple):
    """All that a run's view shows."""

    run: "ShownRun"
    session: str
    models: "list[ModelUse]"
    facts: "list[tuple[str, str]]"
    """What else is known, with its name."""
    launched: "list[ShownRun]"
    """The runs that it launched."""
    amendments: int
    transcript: str
    """The path of its transcript, empty where there is none."""

    @property
    def tables(self) -> "dict[str, Table]":
        """The run as a table, by the name that the address of a CSV has."""
        return {"run": Table("Run", runs.HEADS, [self.run.cells])}


def run_of(
    document: "Document",
    run_id: str,
    events: "Sequence[Event]",
    launched: "Sequence[Event]",
    transcript_of: "Callable[[Event], str | None]",
    now: float,
) -> "RunView | None":
    """Return a run's view of the events about it and about those that it `launched`, oldest first; None without a run."""
    ended = [runs.ended_run(end) for end in runs.ended_of(events, document.renamed)]
    running = [runs.running_run(start, now) for start in runs.running_of(events, document)]
    run = next(iter([*ended, *running]), None)
    if run is None:
        return None
    event = run.event
    children = [runs.ended_run(end) for end in runs.ended_of(launched, document.renamed)]
    return RunView(
        run,
        event.get("conversation_id") or "",
        _models(event),
        [(name, _text(event[key])) for key, name in _FACTS.items() if event.get(key)],
        sorted((child for child in children if child.parent == run_id), key=lambda child: child.began),
        sum(1 for event in events if event["action"] == names.TASK_AMENDED),
        transcript_of(event) or "",
    )


def _models(event: "Event") -> "list[ModelUse]":
    shares = event.get("models") or {event.get("model") or names.UNKNOWN_MODEL: event.get("tokens")}
    rows = []
    for model, tokens in shares.items():
        of = {**event, "models": {model: tokens}} if event.get("models") else event
        row = runs.sums_of(of) if of["action"] in names.OUTCOMES else None
        if row is None or not row["tokens"]:
            continue
        types = [
            (name, Figure(figures.short(row[key]), f"{row[key]:,} tokens", row[key]))
            for key, name in _TYPES.items()
            if row[key]
        ]
        rows.append(ModelUse(model, types, figures.tokens(row, "of this run"), figures.cost(row, "for this run")))
    return rows


def _text(value: object) -> str:
    return "yes" if value is True else str(value)
