"""One pass over the runs of a window: the sums by agent, model and session that all views of the page share. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting.aggregate import Sums, parts_in
from otel_tracker.reporting.window import Window

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from otel_tracker.state.run_parts import Batches, Read, RunPart
    from otel_tracker.state.shapes import Event


class End(NamedTuple):
    """The end of a run, or of several of one day that only the archive knows."""

    moment: float
    outcome: "str | None"
    runs: int
    seconds: "float | None"
    cost: int
    """In millionths of a dollar."""


class SessionTally:
    """The runs and the main conversation of one session in a window."""

    __slots__ = ("first", "last", "main", "project", "runs")

    def __init__(self) -> None:
        self.project: str | None = None
        self.first, self.last = float("inf"), float("-inf")
        """The first and the last moment at which something of it ended."""
        self.runs, self.main = Sums(), Sums()


class Tally:
    """The sums of a window; `before` are those of the window before, None where there is none."""

    def __init__(self, window: Window, earlier: "Window | None") -> None:
        self.window = window
        self.total = Sums()
        self.before = None if earlier is None else Sums()
        self.agents: dict[str, Sums] = {}
        self.ends: dict[str, list[End]] = {}
        """The ends of each agent's runs, oldest first."""
        self.models: dict[str, Sums] = {}
        self.sessions: dict[str, SessionTally] = {}
        self.refused = self.refused_before = 0

    def first_moment(self) -> "float | None":
        """Return when the first run of the window ended, None without one."""
        return min((ends[0].moment for ends in self.ends.values()), default=None)


def tally_of(read: "Read", window: Window, now: float, renamed: "Mapping[str, str] | None" = None) -> Tally:
    """Return the sums of a window; `read` and `renamed` as in `state.run_parts.ended_runs`."""
    earlier = window.before(now)
    tally = Tally(window, earlier)
    whole = window if earlier is None else window._replace(since=earlier.since)
    beginning, _ = window.timestamps()
    for part in parts_in(whole, _noting(read, tally, whole), renamed):
        if part.timestamp >= beginning:
            _add(tally, part)
        elif tally.before is not None:
            tally.before.add(part)
    for ends in tally.ends.values():
        ends.sort(key=lambda end: end.moment)
    return tally


def _add(tally: Tally, part: "RunPart") -> None:
    tally.total.add(part)
    tally.models.setdefault(part.model, Sums()).add(part)
    if part.agent is not None:
        tally.agents.setdefault(part.agent, Sums()).add(part)
        cost = part.tokens.get(names.COST, 0)
        if part.runs > 0 or cost:
            end = End(part.moment, part.outcome, max(0, part.runs), part.duration_seconds, cost)
            tally.ends.setdefault(part.agent, []).append(end)
    if part.session is not None:
        session = tally.sessions.setdefault(part.session, SessionTally())
        (session.runs if part.agent is not None else session.main).add(part)
        session.project = session.project or part.project
        session.first, session.last = min(session.first, part.moment), max(session.last, part.moment)


def _noting(read: "Read", tally: Tally, whole: Window) -> "Read":
    """Return `read`, which counts the refusals that pass by."""
    beginning, _ = tally.window.timestamps()
    since, until = whole.timestamps()

    def noted(events: "Iterable[Event]") -> "Iterator[Event]":
        for event in events:
            if event["action"] == names.TASK_REJECTED and since <= event["timestamp"] < until:
                if event["timestamp"] >= beginning:
                    tally.refused += 1
                else:
                    tally.refused_before += 1
            yield event

    def reading(since: float, awaited: "set[str]") -> "Batches":
        for written, events in read(since, awaited):
            yield written, noted(events)

    return reading
