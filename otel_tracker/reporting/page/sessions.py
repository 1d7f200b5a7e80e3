"""The sessions of a window as a list, and one session as a tree of its runs with their times. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting.aggregate import Sums
from otel_tracker.reporting.page import figures, runs
from otel_tracker.reporting.page.charts import WIDTH
from otel_tracker.reporting.page.figures import Figure, plural
from otel_tracker.reporting.page.fleet import row_of
from otel_tracker.reporting.page.tables import Table
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.run_parts import parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from otel_tracker.reporting.page.query import Query
    from otel_tracker.reporting.page.runs import ShownRun
    from otel_tracker.reporting.page.tally import SessionTally, Tally
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Event, Row

MOST_SESSIONS = 100
"""Sessions that are listed at once; the others on demand."""
MOST_RUNS = 1000
"""Runs that a session's tree shows."""
_LEAST_WIDTH = 3.0


class SessionRow(NamedTuple):
    """A session in the list."""

    session: str
    project: str
    last: float
    runs: Figure
    failed: int
    main: Figure
    agents: Figure
    tokens: Figure


class Sessions(NamedTuple):
    """The sessions of a window, the newest first."""

    rows: "list[SessionRow]"
    found: int

    @property
    def tables(self) -> "dict[str, Table]":
        """The list as a table, by the name that the address of a CSV has."""
        heads = ("session", "project", "last", "runs", "failed", "main_cost_usd", "agents_cost_usd", "tokens")
        rows = [(*row[:2], format_timestamp(row.last), *row[3:]) for row in self.rows]
        return {"sessions": Table("Sessions", heads, rows)}


def sessions_of(tally: "Tally", query: "Query") -> Sessions:
    """Return the sessions of a window."""
    wanted = query.filter.lower()
    found = [
        (session, of)
        for session, of in tally.sessions.items()
        if wanted in session.lower() or wanted in (of.project or "").lower()
    ]
    found.sort(key=lambda pair: (-pair[1].last, pair[0]))
    shown = found if query.rows == "all" else found[:MOST_SESSIONS]
    return Sessions([_session_row(session, of, query.in_words()) for session, of in shown], len(found))


def _session_row(session: str, of: "SessionTally", when: str) -> SessionRow:
    agents, main = row_of(of.runs), row_of(of.main)
    both = Sums()
    both.include(of.runs)
    both.include(of.main)
    return SessionRow(
        session,
        of.project or figures.UNKNOWN,
        of.last,
        figures.number(agents["runs"], f"runs of agents that ended {when}"),
        agents["failed"] + agents["lost"],
        figures.cost(main, f"for the main conversation {when}"),
        figures.cost(agents, f"for its agents {when}"),
        figures.tokens(row_of(both), f"of main conversation and agents {when}"),
    )


class Strip(NamedTuple):
    """A stretch of time in a row."""

    x: float
    width: float
    outcome: str
    tip: str


class TreeRow(NamedTuple):
    """A row of a session's tree: the main conversation, or a run with the branches that lead to it."""

    branch: str
    depth: int
    run: "ShownRun | None"
    """None: the main conversation."""
    bars: "list[Strip]"
    tokens: Figure
    cost: Figure


class SessionView(NamedTuple):
    """All that a session's view shows."""

    session: str
    project: str
    began: float
    seconds: Figure
    main: Figure
    agents: Figure
    share: Figure
    """That of the agents in the cost."""
    rows: "list[TreeRow]"
    is_running: bool
    left_out: int
    """How many runs beyond MOST_RUNS are not shown."""

    @property
    def tables(self) -> "dict[str, Table]":
        """The runs as a table, by the name that the address of a CSV has."""
        return {"runs": Table("Runs", runs.HEADS, [row.run.cells for row in self.rows if row.run])}


def session_of(document: "Document", session: str, events: "Sequence[Event]", now: float) -> "SessionView | None":
    """Return a session's view of its events, oldest first; None where there are none."""
    found = [runs.ended_run(end) for end in runs.ended_of(events, document.renamed)]
    found += [runs.running_run(start, now) for start in runs.running_of(events, document)]
    used = [event for event in events if event["action"] == names.USAGE_RECORDED]
    if not found and not used:
        return None
    spans = [_span_of(event) for event in used]
    began = min([run.began for run in found] + [first for first, _ in spans])
    ended = max([run.ended for run in found] + [last for _, last in spans])
    scale = WIDTH / max(ended - began, 1.0)
    main, agents = _sums(used), _sums([run.event for run in found if not run.is_running])
    main_row = TreeRow(
        "", 0, None, [_main_strip(first, last, began, scale) for first, last in spans],
        figures.tokens(main, "of the main conversation"), figures.cost(main, "for the main conversation"),
    )  # fmt: skip
    tree = [_tree_row(run, branch, depth, began, scale) for run, branch, depth in _tree(found)]
    costs = (main["cost_usd"] or 0) + (agents["cost_usd"] or 0)
    return SessionView(
        session,
        next((event["project"] for event in reversed(events) if event.get("project")), ""),
        began,
        figures.seconds(ended - began, "from its first run or request to its last one"),
        main_row.cost,
        figures.cost(agents, f"for {plural(len(found), 'run')} of its agents"),
        figures.share((agents["cost_usd"] or 0) / costs, "of the cost is its agents'")
        if costs
        else Figure(figures.UNKNOWN, "no cost is known"),
        [main_row, *tree[:MOST_RUNS]],
        any(run.is_running for run in found),
        max(0, len(tree) - MOST_RUNS),
    )


def _sums(events: "Sequence[Event]") -> "Row":
    sums = Sums()
    for event in events:
        for part in parts_of(event):
            sums.add(part)
    return row_of(sums)


def _span_of(event: "Event") -> "tuple[float, float]":
    last = parse_timestamp(event["timestamp"])
    return min(parse_timestamp(event["started"]), last) if event.get("started") else last, last


def _main_strip(first: float, last: float, began: float, scale: float) -> Strip:
    tip = f"requests of the main conversation in {figures.duration(last - first)}"
    return Strip(round((first - began) * scale, 1), round(max((last - first) * scale, _LEAST_WIDTH), 1), "main", tip)


def _tree_row(run: "ShownRun", branch: str, depth: int, began: float, scale: float) -> TreeRow:
    width = max((run.ended - run.began) * scale, _LEAST_WIDTH)
    x = min((run.began - began) * scale, WIDTH - _LEAST_WIDTH)
    tip = f"{run.agent}: {run.outcome}, {figures.duration(run.ended - run.began)}"
    return TreeRow(branch, depth, run, [Strip(round(x, 1), round(width, 1), run.outcome, tip)], run.tokens, run.cost)


def _tree(found: "Sequence[ShownRun]") -> "Iterator[tuple[ShownRun, str, int]]":
    """Yield the runs in the order of a tree, each below its launcher, by their beginnings, with branches to be drawn."""
    ids = {run.run_id for run in found}
    below: dict[str | None, list[ShownRun]] = {}
    for run in sorted(found, key=lambda run: run.began):
        below.setdefault(run.parent if run.parent in ids and run.parent != run.run_id else None, []).append(run)
    seen: set[str] = set()

    waiting = [(run, "", index == len(below[None]) - 1, 1) for index, run in enumerate(below.get(None, ()))][::-1]
    while waiting:
        run, lines, is_last, depth = waiting.pop()
        if run.run_id in seen:
            continue
        seen.add(run.run_id)
        yield run, f"{lines}{'└' if is_last else '├'} ", depth
        inner, lines = below.get(run.run_id, []), f"{lines}{'  ' if is_last else '│ '}"
        waiting += [(one, lines, index == len(inner) - 1, depth + 1) for index, one in enumerate(inner)][::-1]
