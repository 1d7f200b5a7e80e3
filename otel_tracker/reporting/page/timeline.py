"""The states of a breaker over time: an agent's events, folded once more, and what moved it each time. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting.page.charts import WIDTH
from otel_tracker.reporting.wording import shown_override
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state import breaker, permission
from otel_tracker.state.circuit import circuit_of
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.fold import fold

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from otel_tracker.state.circuit import Circuit
    from otel_tracker.state.shapes import Event

_MOST_EVENTS = 5000
_PASSED_OVER = (names.AGENT_REMOVED, names.AGENT_RENAMED)
_WORDS = {
    names.CLOSED: "closed", names.OPEN: "blacklisted", names.HALF_OPEN: "half open",
    names.FORCED_OPEN: "forced open", names.DISABLED: "disabled",
}  # fmt: skip


class Move(NamedTuple):
    """A breaker's change to a state, and why."""

    moment: float
    state: str
    """A breaker's state, or the kind of a person's order."""
    why: str

    @property
    def words(self) -> str:
        """The state in words."""
        return _WORDS[self.state]


class Stretch(NamedTuple):
    """A stretch of a chart in which the state stays the same."""

    x: float
    width: float
    state: str
    tip: str


class Timeline(NamedTuple):
    """The states in a window of time."""

    stretches: "list[Stretch]"
    moves: "list[Move]"
    """Newest first."""
    is_complete: bool
    """Whether the state at the end is the one that the document has: else some events are gone, or the settings have changed."""


def timeline_of(document: Document, agent: str, events: "Iterable[Event]", since: float, now: float) -> Timeline:
    """Return the states of an agent's breaker from its events, oldest first, between `since` and `now`."""
    entry = document.agents.get(agent, {})
    own = {"config": entry["config"]} if entry.get("config") else {}
    moves, last = _moves(_start(document, agent, own), agent, list(events)[-_MOST_EVENTS:], now)
    present = _state(circuit_of(entry), now, document, agent)[0] if entry else names.CLOSED
    shown = [move for move in moves if move.moment < now]
    in_window = [move for move in shown if move.moment >= since]
    return Timeline(list(_stretches(shown, since, max(now, since + 1))), in_window[::-1], last == present)


def _start(document: Document, agent: str, own: "Event") -> Document:
    """Return a document that has only the settings, and no history."""
    head = new_document().head
    config = {**document.config, "history_max_entries": 0}
    empty = Document({**head, "config": config}, new_document().history)
    registered = fold(empty, {"seq": 1, "action": names.AGENT_REGISTERED, "agent": agent, "name": agent, **_NO_TIME})
    agents = {key: {**value, **own} for key, value in registered.agents.items()}
    return Document({**registered.head, "agents": agents, "sequence": 0}, registered.history)


_NO_TIME = {"timestamp": "1970-01-01T00:00:00.000000Z", "id": ""}


def _moves(document: Document, agent: str, events: "list[Event]", now: float) -> "tuple[list[Move], str]":
    """Return all changes of state, and the last state."""
    moves: list[Move] = []
    state, until = names.CLOSED, None
    for event in [*events, None]:
        at = now if event is None else parse_timestamp(event["timestamp"])
        if state == names.OPEN and until is not None and until <= at:
            state, cooled = names.HALF_OPEN, until
            moves.append(Move(cooled, state, "its cooldown was over"))
        if event is None or event["action"] in _PASSED_OVER:
            continue
        document = fold(document, {**event, "agent": agent})
        circuit = circuit_of(document.agents[agent])
        new, new_until = _state(circuit, at, document, agent)
        if new != state or new_until != until:
            if new != state or new == names.OPEN:
                moves.append(Move(at, new, _why(event, circuit)))
            state, until = new, new_until
    return moves, state


def _state(circuit: "Circuit", at: float, document: Document, agent: str) -> "tuple[str, float | None]":
    order = breaker.override_at(circuit, at)
    if order is not None:
        return order.kind, None
    return breaker.view(circuit, at, permission.settings_of_agent(document, agent))


def _why(event: "Event", circuit: "Circuit") -> str:
    """Return in words what moved a breaker."""
    action = event["action"]
    if action in names.OUTCOMES:
        error = event.get("error") or event.get("reason")
        text = f": {error}" if error else ""
        if circuit.state == names.OPEN:
            return f"{names.failures_in_a_row(circuit.failures)}{text}"
        return f"a task ended in {names.OUTCOMES[action]}{text}"
    by = f" by {event['by']}" if event.get("by") else ""
    if action == names.BREAKER_OVERRIDE:
        return (
            f"ordered{by}: {shown_override(event['override'])}"
            if event.get("override")
            else f"the order was lifted{by}"
        )
    return f"{_ACTIONS.get(action, action.replace('_', ' '))}{by}"


_ACTIONS = {
    names.AGENT_RESET: "reset",
    names.PROBE_GRANTED: "a probe was let through",
    names.PROBE_RETURNED: "the probe ended without a result",
    names.COOLDOWN_SHORTENED: "its cooldown was shortened: a clock had jumped",
}


def _stretches(moves: "list[Move]", since: float, now: float) -> "Iterator[Stretch]":
    begins = [Move(float("-inf"), names.CLOSED, "it has let every task through"), *moves]
    ends = [move.moment for move in moves] + [now]
    scale = WIDTH / (now - since)
    for move, end in zip(begins, ends, strict=True):
        first, last = max(move.moment, since), min(end, now)
        if last > first:
            x, width = (first - since) * scale, (last - first) * scale
            yield Stretch(round(x, 1), round(max(width, 1.5), 1), move.state, f"{move.words}: {move.why}")
