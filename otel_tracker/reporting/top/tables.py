"""The tables of `otel-tracker top`: agents, running tasks, runs, and tokens by model. Pure."""

from otel_tracker import names
from otel_tracker.reporting.aggregate import Sums
from otel_tracker.reporting.page import figures
from otel_tracker.reporting.page.figures import MARKS, RUNNING, UNKNOWN
from otel_tracker.reporting.page.fleet import row_of
from otel_tracker.reporting.top.columns import BROKEN, FAINT, LOOK, PLAIN, Column, Line, Piece, text, width_of
from otel_tracker.reporting.top.lines import breaker

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Any

    from otel_tracker.reporting.page.faces import Face
    from otel_tracker.reporting.page.figures import Figure
    from otel_tracker.reporting.page.fleet import AgentRow, Fleet
    from otel_tracker.reporting.page.runs import ShownRun
    from otel_tracker.state.run_parts import RunPart
    from otel_tracker.state.shapes import Row

_WIDE = 100
"""The width from which on there is room for whole faces."""
_LEAST_BREAKER, _COUNTDOWN = len("breaker▾"), len("blacklisted 59 m 59 s")
_HALF_FACE, _FACE = 10, 20


def agent_rows(fleet: "Fleet", *, shows_idle: bool) -> "list[AgentRow | str]":
    """Return the rows of the agents' table, in the reader's order; of idle agents the keys, at the end."""
    return [*fleet.agents, *(fleet.idle if shows_idle else ())]


def key_of(row: "AgentRow | str") -> str:
    """Return the key of the agent of a row of the agents' table."""
    return row if isinstance(row, str) else row.agent


def agent_columns(rows: "Sequence[AgentRow | str]", width: int, now: float) -> "list[Column]":
    """Return the columns of a table of these agents on a screen of some width."""
    marks = _FACE if width >= _WIDE else _HALF_FACE

    def last(row: "AgentRow") -> Line:
        return text(UNKNOWN if row.last is None else figures.ago(row.last, now), FAINT)

    return [
        Column("agent", 19, lambda row: text(key_of(row)), is_flexible=True, sort="agent"),
        Column(f"last {marks}", marks, _of_agent(lambda row: _face(row.face, marks)), rank=3),
        Column("breaker", max(map(_breaker_width, rows), default=_LEAST_BREAKER), _breaker, sort="trouble"),
        _figure("runs", 7, "runs", rank=4),
        _figure("success", 8, "success", rank=1),
        _figure("median", 9, "median", rank=7),
        _figure("p95", 9, "p95", rank=8),
        _figure("tokens", 9, "tokens", rank=6),
        _figure("cost ≈", 10, "cost", rank=2),
        Column("last", 8, _of_agent(last), is_right=True, rank=5, sort="last"),
    ]


def _figure(head: str, width: int, name: str, rank: int) -> Column:
    def cell(row: "AgentRow") -> Line:
        figure: Figure = getattr(row, name)
        return text(figure.text, FAINT if figure.text == UNKNOWN else PLAIN)

    return Column(head, width, _of_agent(cell), is_right=True, rank=rank, sort=name)


def _of_agent(cell: "Callable[[AgentRow], Line]") -> "Callable[[Any], Line]":
    """Return a cell that is a dash for an idle agent, of which there is only the key."""
    return lambda row: text(UNKNOWN, FAINT) if isinstance(row, str) else cell(row)


def _breaker_width(row: "AgentRow | str") -> int:
    if isinstance(row, str) or row.breaker.until is None:
        return max(_LEAST_BREAKER, width_of(_breaker(row)))
    return _COUNTDOWN  # always, so that it doesn't change from second to second


def _breaker(row: "AgentRow | str") -> Line:
    return text("healthy", FAINT) if isinstance(row, str) else breaker(row.breaker)


def _face(face: "Face", most: int) -> Line:
    marks = [Piece(mark, marks.outcome) for marks in face.marks for mark in marks.text]
    return tuple(marks[-most:])


def running_columns(running: "Sequence[Row]") -> "list[Column]":
    """Return the columns of the running tasks (`summary.running_tasks`). What they cost is known only when they end."""
    return [
        Column(f"Running {len(running):,}", 20, lambda task: text(task["agent"]), is_flexible=True),
        Column("for", 9, lambda task: text(figures.duration(task["running_seconds"])), is_right=True),
        Column("cost ≈", 6, lambda _: text(UNKNOWN, FAINT), is_right=True, rank=2),
        Column("model", 8, lambda task: text(task.get("model") or UNKNOWN, FAINT), rank=3, is_flexible=True),
        Column("task", 8, lambda task: text(task.get("task_id") or UNKNOWN, FAINT), rank=4, is_flexible=True),
        Column("", 15, _note, rank=1),
    ]


def _note(task: "Row") -> Line:
    if task["is_gone"]:
        return text("process is gone", LOOK)
    return text("overdue" if task["is_overdue"] else "", LOOK)


def run_columns(now: float) -> "list[Column]":
    """Return the columns of an agent's runs."""

    def when(run: "ShownRun") -> Line:
        return text("now" if run.is_running else figures.clock(run.ended, None)[5:], FAINT)

    return [
        Column("", 11, _outcome),
        Column("ended", 15, when),
        Column("duration", 9, lambda run: _known(run.seconds), is_right=True),
        Column("cost ≈", 11, lambda run: _known(run.cost), is_right=True),
        Column("tokens", 9, lambda run: _known(run.tokens), is_right=True, rank=2),
        Column("error", 10, lambda run: text(run.why), is_flexible=True),
        Column("model", 14, lambda run: text(run.model, FAINT), rank=1, is_flexible=True),
    ]


def _outcome(run: "ShownRun") -> Line:
    mark = Piece(MARKS[run.outcome], run.outcome)
    level = {names.FAILURE: BROKEN, names.LOST: LOOK}.get(run.outcome, FAINT)
    return mark, Piece(f" {run.outcome}", level if run.outcome != RUNNING else PLAIN)


def _known(figure: "Figure") -> Line:
    return text(figure.text, FAINT if figure.text == UNKNOWN else PLAIN)


def model_columns(of: str) -> "list[Column]":
    """Return the columns of tokens by model, whose rows are sums (`Sums.row`) with their `model`."""

    def kind(head: str, name: str, rank: int) -> Column:
        return Column(head, 11, lambda row: text(figures.short(row[name]) if row[name] else UNKNOWN), True, rank)

    return [
        Column("model", 20, lambda row: text(row["model"]), is_flexible=True),
        Column("tokens", 9, lambda row: _known(figures.tokens(row, of)), is_right=True),
        kind("input", "input", 3),
        kind("output", "output", 2),
        kind("cache read", "cache_read", 4),
        kind("cache write", "cache_write", 5),
        Column("cost ≈", 11, lambda row: _known(figures.cost(row, of)), is_right=True),
    ]


def model_rows(parts: "Iterable[RunPart]", agent: str) -> "list[Row]":
    """Return what an agent has used of each model, the dearest first, of parts of all runs."""
    sums: dict[str, Sums] = {}
    for part in parts:
        if part.agent == agent:
            sums.setdefault(part.model, Sums()).add(part)
    rows = [
        {"model": model, **row_of(of_model)} for model, of_model in sums.items() if names.total_tokens(of_model.tokens)
    ]
    return sorted(rows, key=lambda row: (-(row["cost_usd"] or 0), -row["tokens"], row["model"]))
