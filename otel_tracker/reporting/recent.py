"""What agents have done in the last eight days of the reader: what their faces, and what needs attention, are made of. Pure."""

from datetime import datetime, timedelta
from heapq import nlargest

from otel_tracker import names
from otel_tracker.reporting.window import PERIOD_NAMES, Window, moment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

    from otel_tracker.state.run_parts import RunPart

LAST_RUNS = 20
DAYS_BEFORE = 7


class RecentAgent:
    """An agent's last runs, and what it has cost each day."""

    __slots__ = ("costs", "runs")

    def __init__(self) -> None:
        self.runs: list[RunPart] = []
        """At most LAST_RUNS, newest first."""
        self.costs: dict[str, int] = {}
        """Micro-dollars by day, `2026-11-01`."""


class Recent:
    """The agents that had a run, by key, and what is not known of the days' usage."""

    __slots__ = ("agents", "incomplete_runs", "today", "unpriced", "window")

    def __init__(self, window: Window, today: str) -> None:
        self.window, self.today = window, today
        self.agents: dict[str, RecentAgent] = {}
        self.incomplete_runs = 0
        """Runs whose final usage is missing."""
        self.unpriced: dict[str, int] = {}
        """The tokens that have no price, by model."""


def recent_window(now: float, zone: "tzinfo | None" = None) -> Window:
    """Return the window of today and the DAYS_BEFORE days before it, with the days of a zone (None: the local time)."""
    first = datetime.fromtimestamp(now, zone).date() - timedelta(days=DAYS_BEFORE)
    return Window(moment(first.isoformat(), now, zone), None, zone)


def recent(parts: "Iterable[RunPart]", now: float, zone: "tzinfo | None" = None) -> Recent:
    """Return what the parts of runs in `recent_window(now, zone)` say."""
    day_of = PERIOD_NAMES["day"]
    result = Recent(recent_window(now, zone), day_of(now, zone))
    for part in parts:
        unpriced = names.total_tokens(part.tokens) - part.tokens.get(names.PRICED, 0)
        if unpriced:
            result.unpriced[part.model] = result.unpriced.get(part.model, 0) + unpriced
        if part.agent is None:
            continue
        agent = result.agents.setdefault(part.agent, RecentAgent())
        if part.runs > 0 and part.run_id:
            agent.runs.append(part)
            result.incomplete_runs += part.is_incomplete
        if names.COST in part.tokens:
            day = day_of(part.moment, zone)
            agent.costs[day] = agent.costs.get(day, 0) + part.tokens[names.COST]
    for agent in result.agents.values():
        agent.runs = nlargest(LAST_RUNS, agent.runs, key=lambda part: part.timestamp)
    return result
