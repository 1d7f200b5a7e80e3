"""What the page may order a breaker to do: the question that it asks first, and what it says afterwards. Pure."""

from typing import NamedTuple

from otel_tracker import names
from otel_tracker.reporting import wording
from otel_tracker.state import event

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.state.document import Document
    from otel_tracker.state.shapes import Agent, Event

RESET, OPEN, CLOSE, DISABLE = KINDS = ("reset", "open", "close", "disable")
_OVERRIDES = {OPEN: names.FORCED_OPEN, DISABLE: names.DISABLED}


class Order(NamedTuple):
    """An order to the breaker of an agent."""

    kind: str
    """One of KINDS."""
    button: str
    """What happens, as the button says it."""
    will: str
    """What will change."""
    wont: str
    """What will not."""
    answer: str
    """What has changed, afterwards."""
    has_reason: bool
    """Whether it takes a reason, which status and refusals show."""


def order_of(document: "Document", agent: str, kind: str) -> "Order | None":
    """Return an order to the breaker of a known agent; None where there is no such kind."""
    entry = document.agents[agent]
    failures = names.failures_in_a_row(entry["failures"])
    order = entry["circuit"]["override"]
    stays = f"Its order stays: {wording.shown_override(order)}." if order else ""
    counted = "Runs, tokens and costs that were counted stay as they are."
    if kind == RESET:
        will = f"Its breaker will be closed and its {failures} forgotten: the next task is let through."
        button, wont = f"Reset the breaker of {agent}", " ".join(filter(None, (counted, stays)))
        return Order(
            kind, button, will, wont, f"The breaker of {agent} is closed, and its failures are forgotten.", False
        )
    if kind == CLOSE:
        will = (
            f"Its breaker will be closed, its {failures} forgotten, and any order lifted: the next task is let through."
        )
        done = f"The breaker of {agent} is closed, and no order is in force."
        return Order(kind, f"Close the breaker of {agent}", will, counted, done, False)
    if kind == OPEN:
        will = "Every task of it will be refused until the order is lifted."
        wont = f"Tasks that run go on. Its breaker goes on counting below the order. {counted}"
        done = f"The breaker of {agent} is forced open: every task is refused until the order is lifted."
        return Order(kind, f"Force the breaker of {agent} open", will, wont, done, True)
    if kind == DISABLE:
        will = "Every task of it will be let through until the order is lifted, however many fail."
        wont = f"Its breaker goes on counting below the order. {counted}"
        done = f"The breaker of {agent} is disabled: every task is let through until the order is lifted."
        return Order(kind, f"Disable the breaker of {agent}", will, wont, done, True)
    return None


def override_of(order: Order, reason: "str | None") -> "Event | None":
    """Return what an order puts above a breaker, None where it lifts what is there."""
    if order.kind not in _OVERRIDES:
        return None
    return {"kind": _OVERRIDES[order.kind], "until": None, "reason": event.error_text(reason or None)}


def offered(entry: "Agent") -> "tuple[str, ...]":
    """Return the kinds of orders that change anything for an agent's entry."""
    order = entry["circuit"]["override"]
    is_closed = entry["status"] == names.STATUSES[names.CLOSED] and not entry["failures"]
    forced = order["kind"] if order else None
    kinds = {
        RESET: not is_closed,
        CLOSE: order is not None,
        OPEN: forced != names.FORCED_OPEN,
        DISABLE: forced != names.DISABLED,
    }
    return tuple(kind for kind, changes in kinds.items() if changes)
