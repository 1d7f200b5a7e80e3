"""What people order a breaker to do, as events: the Python API, the commands and the page record them in the same way."""

import time
from typing import TYPE_CHECKING

from otel_tracker import names
from otel_tracker.state import event

if TYPE_CHECKING:
    from otel_tracker.state.shapes import Event
    from otel_tracker.storage.port import Port


def reset(store: "Port", agent: str, by: str | None = None) -> None:
    """Close an agent's breaker and forget its failures, after a backup if possible; `by` is where the order came from."""
    _record(store, names.AGENT_RESET, agent, by)


def override(store: "Port", agent: str, order: "Event | None", by: str | None = None) -> None:
    """Put an order (`kind`, `until`, `reason`) above an agent's breaker, or lift it with None; the rest is as in `reset`."""
    _record(store, names.BREAKER_OVERRIDE, agent, by, override=order)


def _record(store: "Port", action: str, agent: str, by: str | None, **more: object) -> None:
    from_where = {} if by is None else {"by": by}
    store.back_up_if_possible()
    store.record([event.happened(action, time.time(), agent=agent, **more, **from_where)])
