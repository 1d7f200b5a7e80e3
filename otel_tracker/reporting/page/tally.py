"""One pass over the runs of a window: the sums by agent, model and session that all views of the page share. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting.aggregate import Sums, parts_in
from otel_tracker.reporting.window import Window
from otel_tracker.state.run_parts import parts_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
        self.window, self.earlier = window, earlier
        self.begins, _ = window.timestamps()
        """The timestamp with which the window begins."""
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
    for part in parts_in(whole, _noting(read, tally, whole), renamed):
        _take(tally, part)
    _sort(tally, tally.ends)
    return tally


def extend(tally: Tally, events: "Sequence[Event]", renamed: "Mapping[str, str]") -> bool:
    """Add newer events, and return True; change nothing and return False if they change what was counted before."""
    if any(event["action"] in _CHANGING for event in events):
        return False
    _, until = tally.window.timestamps()
    begins = tally.begins if tally.earlier is None else tally.earlier.timestamps()[0]
    changed: set[str] = set()
    for event in events:
        if not begins <= event["timestamp"] < until:
            continue
        if event["action"] == names.TASK_REJECTED:
            _note_refusal(tally, event)
        elif event["action"] in _COUNTED:
            agent = event["agent"]
            for part in parts_of({**event, "agent": renamed.get(agent, agent)}):
                _take(tally, part)
                changed.add(part.agent or "")
    _sort(tally, changed & tally.ends.keys())
    return True


_CHANGING = (names.TASK_AMENDED, names.AGENT_RENAMED, names.DOCUMENT_RESTORED)
_COUNTED = (*names.OUTCOMES, names.USAGE_RECORDED)


def _sort(tally: Tally, agents: "Iterable[str]") -> None:
    for agent in agents:
        tally.ends[agent].sort(key=lambda end: end.moment)


def _take(tally: Tally, part: "RunPart") -> None:
    """Add a part of the window, or of the window before."""
    if part.timestamp >= tally.begins:
        _add(tally, part)
    elif tally.before is not None:
        tally.before.add(part)


def _note_refusal(tally: Tally, event: "Event") -> None:
    if event["timestamp"] >= tally.begins:
        tally.refused += 1
    else:
        tally.refused_before += 1


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
    since, until = whole.timestamps()

    def noted(events: "Iterable[Event]") -> "Iterator[Event]":
        for event in events:
            if event["action"] == names.TASK_REJECTED and since <= event["timestamp"] < until:
                _note_refusal(tally, event)
            yield event

    def reading(since: float, awaited: "set[str]") -> "Batches":
        for written, events in read(since, awaited):
            yield written, noted(events)

    return reading
