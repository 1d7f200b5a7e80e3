"""One agent as the page shows it: its breaker over time, errors, durations, tokens, cost, runs and settings. Pure."""

from bisect import bisect_left
from datetime import datetime
from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting import summary
from otel_tracker.reporting.aggregate import Sums
from otel_tracker.reporting.page import charts, figures, orders, runs
from otel_tracker.reporting.page.faces import breaker_of, face_of
from otel_tracker.reporting.page.figures import Figure, plural
from otel_tracker.reporting.page.fleet import Tile, judged, row_of
from otel_tracker.reporting.page.tables import Table
from otel_tracker.reporting.page.timeline import timeline_of
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state import breaker as policy
from otel_tracker.state import fallbacks, permission
from otel_tracker.state.settings import AGENT_KEYS, Settings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from otel_tracker.reporting.page.charts import Bars, Dots, Spark
    from otel_tracker.reporting.page.faces import Breaker, Face
    from otel_tracker.reporting.page.query import Query
    from otel_tracker.reporting.page.runs import ShownRun
    from otel_tracker.reporting.page.tally import End, Tally
    from otel_tracker.reporting.page.timeline import Timeline
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event, Row

FIRST_RUNS, MOST_RUNS = 50, 1000
"""Runs that are listed at first, and on demand."""
_BAD = (names.FAILURE, names.LOST)
_TYPES = {
    "input": "input", "output": "output", "cache_read": "cache read", "cache_write": "cache write", "untyped": "untyped"
}  # fmt: skip
_DAY, _WEEK_DAYS = 86_400.0, 7


class ErrorRow(NamedTuple):
    """The runs that failed with the same text."""

    text: str
    runs: int
    first: float
    last: float
    run_id: str
    """Of the newest one."""


class TokenPart(NamedTuple):
    """The tokens of a type."""

    name: str
    share: float
    tokens: Figure


class CostRow(NamedTuple):
    """What a step of time has cost."""

    label: str
    dollars: float


class SettingRow(NamedTuple):
    """A setting, and where its value comes from."""

    key: str
    value: str
    source: str


class AgentView(NamedTuple):
    """All that an agent's view shows."""

    agent: str
    name: str
    is_known: bool
    face: "Face"
    breaker: "Breaker"
    next_cooldown: str
    tiles: "list[Tile]"
    timeline: "Timeline"
    tasks: "Bars"
    errors: "list[ErrorRow]"
    durations: "Dots | None"
    parts: "list[TokenPart]"
    cache_share: Figure
    costs: "Spark | None"
    cost_rows: "list[CostRow]"
    cost_today: str
    """Its cost today against the daily one of the seven days before, as a sentence; empty where neither is known."""
    running: "list[ShownRun]"
    ended: "list[ShownRun]"
    """The newest FIRST_RUNS of the window, or MOST_RUNS if all are asked for."""
    found: int
    """How many ended runs of the window the journal still has one by one."""
    settings: "list[SettingRow]"
    fallbacks: "list[str]"
    fallback_source: str
    orders: "tuple[str, ...]"
    """What its breaker can be ordered to do."""

    @property
    def tables(self) -> "dict[str, Table]":
        """The tables of what is drawn and listed, by the names that the address of a CSV has."""
        moves = [(format_timestamp(move.moment), move.words, move.why) for move in self.timeline.moves]
        errors = [(row.text, row.runs, format_timestamp(row.first), format_timestamp(row.last)) for row in self.errors]
        return {
            "breaker": Table("What moved the breaker", ("when", "to", "why"), moves),
            "tasks": Table("Tasks that ended", ("from", *charts.STACKED), self.tasks.rows),
            "errors": Table("Errors", ("error", "runs", "first", "last"), errors),
            "tokens": Table("Tokens by type", ("type", "tokens"), [(part.name, part.tokens) for part in self.parts]),
            "costs": Table("Cost over time", ("from", "cost_usd"), self.cost_rows),
            "runs": Table("Runs", runs.HEADS, [run.cells for run in (*self.running, *self.ended)]),
        }


def agent_of(
    document: "Document",
    agent: str,
    tally: "Tally",
    week: "Tally",
    events: "Sequence[Event]",
    query: "Query",
    now: float,
) -> AgentView:
    """Return an agent's view.

    `week` are the sums from eight days ago on; `events` are the agent's in the window, oldest first, with the starts.
    """
    of, ends = query.in_words(), tally.ends.get(agent, [])
    steps = charts.steps_of(tally.window, now, ends[0].moment if ends else None)
    row = row_of(tally.agents.get(agent, Sums()))
    state = summary.agent_state(document, agent, now) if agent in document.agents else None
    running = [runs.running_run(start, now) for start in runs.running_of(events, document)]
    ended = [
        end
        for end in runs.ended_of(events, document.renamed)
        if tally.window.contains(parse_timestamp(end["timestamp"]))
    ]
    until = now if tally.window.until is None else min(now, tally.window.until)
    costs = _costs(ends, steps)
    return AgentView(
        agent,
        names.agent_stem(agent) if state is None else state["agent_name"],
        state is not None,
        face_of(ends, len(running), of),
        breaker_of(state or _UNKNOWN, now),
        _next_cooldown(document, agent, state),
        _tiles(row, of),
        timeline_of(document, agent, events, steps.bounds[0], until),
        charts.bars_of([ends], steps),
        _errors(ended),
        charts.dots_of(ends, steps, row["duration_median_seconds"], row["duration_p95_seconds"]),
        _token_parts(row, of),
        _cache_share(row),
        charts.line_of([costs_of.dollars for costs_of in costs], "cost"),
        costs,
        _cost_today(week.ends.get(agent, []), tally.window.zone, now),
        running,
        [runs.ended_run(end) for end in ended[: MOST_RUNS if query.rows == "all" else FIRST_RUNS]],
        len(ended),
        _settings(document, agent),
        fallbacks.chain_of(document, agent)[1:],
        "its own setting" if "fallbacks" in _own(document, agent) else "the document's fallback_chain",
        orders.offered(document.agents[agent]) if state else (),
    )


_UNKNOWN: "Row" = {"state": names.CLOSED, "status": "", "failures": 0, "override": None, "permit": None}


def _tiles(row: "Row", of: str) -> "list[Tile]":
    of_runs = f"of its {plural(row['runs'], 'run')} {of}"
    return [
        Tile("Runs", figures.number(row["runs"], f"runs that ended {of}")),
        Tile(
            "Success",
            figures.share(row["success_rate"], f"of {plural(judged(row), 'run')} {of} that were not cancelled"),
            f"{row['failed']} failed, {row['lost']} lost, {row['cancelled']} cancelled",
        ),
        Tile("Median", figures.seconds(row["duration_median_seconds"], f"is the median {of_runs}")),
        Tile("p95", figures.seconds(row["duration_p95_seconds"], f"is what 95 % {of_runs} did not exceed")),
        Tile("Tokens", figures.tokens(row, of_runs)),
        Tile("Cost ≈", figures.cost(row, of_runs)),
    ]


def _next_cooldown(document: "Document", agent: str, state: "Row | None") -> str:
    """Return in words what the breaker does next."""
    settings = permission.settings_of_agent(document, agent) if state else Settings.of(document.config)
    reopenings = 0 if state is None or state["state"] == names.CLOSED else state["circuit"]["reopenings"] + 1
    cooldown = figures.duration(policy.cooldown_seconds(reopenings, settings))
    if state is None or state["state"] == names.CLOSED:
        return f"Opens after {names.failures_in_a_row(settings.failure_threshold)}, for {cooldown}."
    return f"If its probe fails, it stays blacklisted for {cooldown}."


def _errors(ended: "Sequence[Event]") -> "list[ErrorRow]":
    """Return the errors of failed and lost runs, the most frequent first; `ended` is newest first."""
    grouped: dict[str, list[Event]] = {}
    for end in ended:
        if names.OUTCOMES[end["action"]] in _BAD:
            text = end.get("error") or end.get("reason") or end.get("error_type") or _WITHOUT_TEXT[end["action"]]
            grouped.setdefault(text, []).append(end)
    rows = [
        ErrorRow(
            text,
            len(group),
            parse_timestamp(group[-1]["timestamp"]),
            parse_timestamp(group[0]["timestamp"]),
            group[0].get("run_id") or "",
        )
        for text, group in grouped.items()
    ]
    return sorted(rows, key=lambda row: (-row.runs, -row.last))


_WITHOUT_TEXT = {names.TASK_FAILED: "failed without an error's text", names.TASK_LOST: "its process was gone"}


def _token_parts(row: "Row", of: str) -> "list[TokenPart]":
    total = row["tokens"]
    return [
        TokenPart(name, row[key] / total, Figure(figures.short(row[key]), f"{row[key]:,} tokens {of}", row[key]))
        for key, name in _TYPES.items()
        if total > 0 and row[key] > 0
    ]


def _cache_share(row: "Row") -> Figure:
    """Return the share of the cache among the tokens that went in."""
    read = row["input"] + row["cache_read"] + row["cache_write"]
    if not read:
        return Figure(figures.UNKNOWN, "no input tokens are known")
    return figures.share(row["cache_read"] / read, f"of {read:,} tokens that went in were read from the cache")


def _costs(ends: "Sequence[End]", steps: "charts.Steps") -> "list[CostRow]":
    micro = [0] * (len(steps.bounds) - 1)
    for end in ends:
        micro[steps.at(end.moment)] += end.cost
    return [CostRow(steps.label(index), cost / 1e6) for index, cost in enumerate(micro)]


def _cost_today(ends: "Sequence[End]", zone: "Any", now: float) -> str:
    midnight = datetime.fromtimestamp(now, zone).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    week = midnight - _WEEK_DAYS * _DAY
    split = bisect_left(ends, midnight, key=lambda end: end.moment)
    today = sum(end.cost for end in ends[split:]) / 1e6
    daily = sum(end.cost for end in ends[:split] if end.moment >= week) / 1e6 / _WEEK_DAYS
    if not today and not daily:
        return ""
    times = f", {today / daily:.1f} times" if daily and today else ""
    return f"{figures.money(today)} today{times}, against {figures.money(daily)} a day in the seven days before."


def _settings(document: "Document", agent: str) -> "list[SettingRow]":
    own, settings = _own(document, agent), Settings.of_agent(document.config, _own(document, agent))
    return [
        SettingRow(
            key,
            _value(getattr(settings, key)),
            "its own" if key in own else "of all agents" if key in document.config else "default",
        )
        for key in AGENT_KEYS
        if key != "fallbacks"
    ]


def _value(value: "Any") -> str:
    if isinstance(value, tuple):
        return ", ".join(value) or "none"
    return ("yes" if value else "no") if isinstance(value, bool) else f"{value:,}"


def _own(document: "Document", agent: str) -> "dict[str, Any]":
    own: dict[str, Any] = document.agents.get(agent, {}).get("config") or {}
    return own
