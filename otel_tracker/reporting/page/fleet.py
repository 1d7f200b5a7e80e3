"""The fleet as the page shows it: what needs attention, the tiles, tasks over time, agents, and cost by model. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting import summary
from otel_tracker.reporting.aggregate import Sums
from otel_tracker.reporting.page import charts, figures
from otel_tracker.reporting.page.faces import breaker_of, face_of
from otel_tracker.reporting.page.figures import Figure, plural
from otel_tracker.reporting.page.tables import Table
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from otel_tracker.reporting.page.charts import Bars, Spark, Steps
    from otel_tracker.reporting.page.faces import Breaker, Face
    from otel_tracker.reporting.page.query import Query
    from otel_tracker.reporting.page.tally import Tally
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Row

MOST_ROWS = 100
"""Agents that are shown at once; the others on demand."""
_NO_RUNS = Sums()


class Tile(NamedTuple):
    """A figure with its name, and how it has changed against the window before."""

    name: str
    figure: Figure
    change: str = ""
    level: str = "ok"


class AgentRow(NamedTuple):
    """An agent in the fleet's table."""

    agent: str
    name: str
    face: "Face"
    breaker: "Breaker"
    runs: Figure
    success: Figure
    median: Figure
    p95: Figure
    tokens: Figure
    cost: Figure
    last: "float | None"
    """When its last run of the window ended, in seconds since 1970."""
    spark: "Spark | None"
    running: int
    rank: "tuple[float, ...]"
    """Its place in the order of trouble."""


class ModelRow(NamedTuple):
    """A model's part of the cost."""

    model: str
    runs: Figure
    tokens: Figure
    cost: Figure
    share: float
    """Of the whole cost, from 0 to 1; where nothing has a price, of the tokens."""


class Fleet(NamedTuple):
    """All that the fleet's view shows."""

    tiles: "list[Tile]"
    tasks: "Bars"
    agents: "list[AgentRow]"
    """In the reader's order, at most MOST_ROWS unless all are asked for."""
    found: int
    """How many agents with something to show the filter has left."""
    idle: "list[str]"
    """The other agents: nothing runs, nothing ran in the window, and nothing is wrong."""
    models: "list[ModelRow]"
    known: int
    """How many agents the home knows."""

    @property
    def tables(self) -> "dict[str, Table]":
        """The tables of what is drawn and listed, by the names that the address of a CSV has."""
        return {
            "tasks": Table("Tasks that ended", ("from", *charts.STACKED), self.tasks.rows),
            "agents": Table("Agents", _HEADS, [_cells(row) for row in self.agents]),
            "models": Table(
                "Cost by model",
                ("model", "runs", "tokens", "cost_usd", "share"),
                [(row.model, row.runs, row.tokens, row.cost, round(row.share, 6)) for row in self.models],
            ),
        }


_HEADS = (
    *("agent", "breaker", "running", "runs", "success_rate", "median_seconds", "p95_seconds", "tokens", "cost_usd"),
    "last",
)


def _cells(row: AgentRow) -> "tuple[object, ...]":
    last = "" if row.last is None else format_timestamp(row.last)
    figures_of = (row.runs, row.success, row.median, row.p95, row.tokens, row.cost)
    return row.agent, row.breaker.text, row.running, *figures_of, last


def fleet_of(document: "Document", tally: "Tally", query: "Query", now: float) -> Fleet:
    """Return the fleet's view."""
    of, steps = query.in_words(), charts.steps_of(tally.window, now, tally.first_moment())
    rows = [_agent_row(row, tally, steps, of, now) for row in _states(document, tally, now)]
    wanted = query.filter.lower()
    rows = [row for row in rows if wanted in row.agent.lower() or wanted in row.name.lower()]
    shown = [row for row in rows if not _is_idle(row)]
    ordered = _ordered(shown, query.sort)
    return Fleet(
        tiles_of(document, tally, query, now),
        charts.bars_of(tally.ends.values(), steps),
        ordered if query.rows == "all" else ordered[:MOST_ROWS],
        len(shown),
        sorted(row.agent for row in rows if _is_idle(row)),
        model_rows(tally, of),
        len(document.agents),
    )


def tiles_of(document: "Document", tally: "Tally", query: "Query", now: float) -> "list[Tile]":
    """Return the tiles, those of the window with the change against the window before."""
    of, total = query.in_words(), row_of(tally.total)
    before = None if tally.before is None else row_of(tally.before)
    known = dict.fromkeys(total) if before is None or not _has_any(before) else before
    running = [parse_timestamp(task["started"]) for task in document.head["in_flight"].values()]
    refused = figures.difference(tally.refused, tally.refused_before) if before is not None else ""
    return [
        Tile(
            "Running",
            figures.number(len(running), "tasks that have started and not ended"),
            f"longest {figures.duration(max(0.0, now - min(running)))}" if running else "",
        ),
        _blacklisted(document, now),
        Tile(
            "Success",
            figures.share(total["success_rate"], f"of {plural(judged(total), 'run')} {of} that were not cancelled"),
            figures.points(total["success_rate"], known["success_rate"]),
        ),
        Tile("Cost ≈", figures.cost(total, of), figures.change(total["cost_usd"], known["cost_usd"])),
        Tile("Tokens", figures.tokens(total, of), figures.change(total["tokens"], known["tokens"])),
        Tile(
            "Runs",
            figures.number(total["runs"], f"runs of agents that ended {of}"),
            figures.change(total["runs"], known["runs"]),
        ),
        Tile("Refused", figures.number(tally.refused, f"tasks that a breaker did not let through {of}"), refused),
    ]


def row_of(sums: Sums) -> "Row":
    """Return the sums as a row (`Sums.row`), and whether the final usage of a run is missing."""
    return {**sums.row(), "is_incomplete": sums.is_incomplete}


def model_rows(tally: "Tally", of: str) -> "list[ModelRow]":
    """Return the models by what they cost, the main conversations' too."""
    rows = [(model, row_of(sums)) for model, sums in tally.models.items()]
    measure = "cost_usd" if any(row["cost_usd"] for _, row in rows) else "tokens"
    whole = sum(row[measure] or 0 for _, row in rows)
    rows.sort(key=lambda pair: (-(pair[1]["cost_usd"] or 0), -pair[1]["tokens"], pair[0]))
    return [
        ModelRow(
            model,
            figures.number(row["runs"], f"runs that used {model} the most {of}"),
            figures.tokens(row, f"of {model} {of}"),
            figures.cost(row, f"for {model} {of}"),
            (row[measure] or 0) / whole if whole > 0 else 0.0,
        )
        for model, row in rows
    ]


def _states(document: "Document", tally: "Tally", now: float) -> "list[Row]":
    """Return the state of each agent, and one for those that have run and are known no more."""
    known = summary.agent_states(document, now)
    gone = [agent for agent in tally.agents if agent not in document.agents]
    healthy = {"state": names.CLOSED, "status": "", "failures": 0, "override": None, "permit": None, "in_flight": 0}
    return [*known, *({**healthy, "agent_file": agent, "agent_name": names.agent_stem(agent)} for agent in gone)]


def _agent_row(state: "Row", tally: "Tally", steps: "Steps", of: str, now: float) -> AgentRow:
    agent = state["agent_file"]
    row, ends = row_of(tally.agents.get(agent, _NO_RUNS)), tally.ends.get(agent, [])
    face, breaker = face_of(ends, state["in_flight"], of), breaker_of(state, now)
    of_runs = f"of its {plural(row['runs'], 'run')} {of}"
    level = ("broken", "look", "ok").index(breaker.level)
    return AgentRow(
        agent,
        state["agent_name"],
        face,
        breaker,
        figures.number(row["runs"], f"runs that ended {of}"),
        figures.share(row["success_rate"], f"of {plural(judged(row), 'run')} {of} that were not cancelled"),
        figures.seconds(row["duration_median_seconds"], f"is the median {of_runs}"),
        figures.seconds(row["duration_p95_seconds"], f"is what 95 % {of_runs} did not exceed"),
        figures.tokens(row, of_runs),
        figures.cost(row, of_runs),
        ends[-1].moment if ends else None,
        charts.spark_of(ends, steps),
        state["in_flight"],
        (level, -face.bad, -state["failures"], -(row["cost_usd"] or 0), -row["runs"]),
    )


def _is_idle(row: AgentRow) -> bool:
    is_healthy = row.breaker.level == "ok" and not row.rank[2]
    return is_healthy and not row.running and not row.runs.value and not row.tokens.value


def judged(row: "Row") -> int:
    """Return how many runs count for the success rate."""
    number: int = row["runs"] - row["cancelled"]
    return number


def _has_any(row: "Row") -> bool:
    return bool(row["runs"] or row["tokens"])


def _blacklisted(document: "Document", now: float) -> Tile:
    refused = sum(
        1
        for agent in document.agents
        for row in (summary.agent_state(document, agent, now),)
        if row["status"] in (names.STATUSES[names.OPEN], names.FORCED_OPEN)
    )
    known = plural(len(document.agents), "agent")
    return Tile(
        "Blacklisted",
        figures.number(refused, f"of {known}, those that no task is let through to now"),
        f"of {known}",
        "broken" if refused else "ok",
    )


def _by_figure(name: str, *, falls: bool) -> "Callable[[AgentRow], tuple[float, str]]":
    """Return a sort key by a figure; unknown ones come last."""

    def key(row: AgentRow) -> "tuple[float, str]":
        value = getattr(row, name).value
        return (float("inf") if value is None else -value if falls else value), row.agent

    return key


COLUMNS: "dict[str, Callable[[AgentRow], object]]" = {
    "trouble": lambda row: (row.rank, row.agent),
    "agent": lambda row: row.agent.lower(),
    **{name: _by_figure(name, falls=True) for name in ("runs", "median", "p95", "tokens", "cost")},
    "success": _by_figure("success", falls=False),
    "last": lambda row: (-(row.last or 0.0), row.agent),
}
"""The orders of the agents' table."""


def _ordered(rows: "Sequence[AgentRow]", sort: str) -> "list[AgentRow]":
    key = COLUMNS.get(sort.removeprefix("-"), COLUMNS["trouble"])
    return sorted(rows, key=key, reverse=sort.startswith("-"))  # type: ignore[arg-type]
