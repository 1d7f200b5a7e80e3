"""Runs as lists show them, from the events of their ends and starts. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting.aggregate import Sums
from otel_tracker.reporting.page import figures
from otel_tracker.reporting.page.figures import MARKS, RUNNING, Figure
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.run_parts import ended_runs, parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event, Row

OF_RUN = "of this run"
HEADS = ("run", "agent", "outcome", "started", "ended", "seconds", "model", "tokens", "cost_usd", "why")


class ShownRun(NamedTuple):
    """A run that has ended, or is running."""

    run_id: str
    agent: str
    outcome: str
    began: float
    ended: float
    """Of a running one: now."""
    seconds: Figure
    model: str
    tokens: Figure
    cost: Figure
    why: str
    """Its error or reason, empty without one."""
    parent: str | None
    event: "Event"

    @property
    def mark(self) -> str:
        """The mark of the outcome."""
        return MARKS[self.outcome]

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.outcome == RUNNING

    @property
    def cells(self) -> "tuple[object, ...]":
        """The cells of a table with the heads HEADS."""
        return (
            self.run_id, self.agent, self.outcome, self.event.get("started") or "", self.event["timestamp"],
            self.seconds, self.model, self.tokens, self.cost, self.why,
        )  # fmt: skip


def sums_of(event: "Event") -> "Row":
    """Return the sums of one event (`Sums.row`), and whether its final usage is missing."""
    sums = Sums()
    for part in parts_of(event):
        sums.add(part)
    return {**sums.row(), "is_incomplete": sums.is_incomplete}


def ended_of(events: "Iterable[Event]", renamed: "Mapping[str, str]") -> "list[Event]":
    """Return the ends of the runs that events tell of, as they were amended, newest first; events are oldest first."""
    batch = (float("inf"), list(events)[::-1])
    ends = (end for end in ended_runs(lambda *_: [batch], None, renamed) if end["action"] in names.OUTCOMES)
    return sorted(ends, key=lambda end: end["timestamp"], reverse=True)


def running_of(events: "Iterable[Event]", document: "Document") -> "list[Event]":
    """Return the starts, among events, of the runs that have not ended."""
    in_flight = document.head["in_flight"]
    return [event for event in events if event["action"] == names.TASK_STARTED and event.get("run_id") in in_flight]


def ended_run(end: "Event") -> ShownRun:
    """Return the run that an event ended."""
    ended, seconds = parse_timestamp(end["timestamp"]), end.get("duration_seconds")
    started = end.get("started")
    began = parse_timestamp(started) if started else ended - (seconds or 0.0)
    row = sums_of(end)
    return ShownRun(
        end.get("run_id") or "",
        end["agent"],
        names.OUTCOMES[end["action"]],
        min(began, ended),
        ended,
        figures.seconds(seconds, "is how long it worked"),
        ", ".join(end.get("models") or ()) or end.get("model") or figures.UNKNOWN,
        figures.tokens(row, OF_RUN),
        figures.cost(row, OF_RUN),
        end.get("error") or end.get("reason") or end.get("error_type") or end.get("environment_error") or "",
        end.get("parent_run_id"),
        end,
    )


def running_run(start: "Event", now: float) -> ShownRun:
    """Return the run that an event started, and that has not ended."""
    began = parse_timestamp(start["timestamp"])
    unknown = Figure(figures.UNKNOWN, "not known before it ends")
    return ShownRun(
        start["run_id"],
        start["agent"],
        RUNNING,
        began,
        max(now, began),
        figures.seconds(max(0.0, now - began), "is how long it has run"),
        start.get("model") or figures.UNKNOWN,
        unknown,
        unknown,
        "",
        start.get("parent_run_id"),
        {"started": start["timestamp"], **start},
    )
