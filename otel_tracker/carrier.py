"""What goes beside a span: the event of its task, whole, or rather how to make it.

A span is a lossy carrier: limits cut its attributes, samplers drop it, a provider may be shut down. So the event
waits here for the span with the same ids, and any exporter of this package that gets the span takes the event.
"""

from collections.abc import Callable
from typing import Any

from otel_tracker.guard import Guard
from otel_tracker.storage.recorder import Recorder

SpanKey = tuple[int, int]
MakeEvent = Callable[[], dict[str, Any]]

_REMEMBERED = 10_000  # spans at least, and twice as many at most


class Parcel:
    """An event on its way, and where to; empty once it's recorded, for exporters that get the span later."""

    def __init__(self, recorder: Recorder, make_event: MakeEvent) -> None:
        self.contents: tuple[Recorder, MakeEvent] | None = (recorder, make_event)

    def deliver(self) -> None:
        """Record the event, once."""
        if self.contents is not None:
            recorder, make_event = self.contents
            recorder.record(make_event)
            self.contents = None


_guard = Guard()

# Two by turns, of which the older one is forgotten whole: to forget spans one by one costs each task twice as much.
_parcels: dict[SpanKey, Parcel] = {}
_older_parcels: dict[SpanKey, Parcel] = {}


def attach(key: SpanKey, recorder: Recorder, make_event: MakeEvent) -> Parcel:
    """Keep an event for the span with the ids `key` (trace, span)."""
    parcel = _parcels[key] = Parcel(recorder, make_event)
    if len(_parcels) >= _REMEMBERED:
        _forget_older()
    return parcel


def deliver(key: SpanKey) -> bool:
    """Record the event that is kept for a span; False if the span is none of this package's."""
    parcel = _parcels.get(key) or _older_parcels.get(key)
    if parcel is None:
        return False
    parcel.deliver()
    return True


def _forget_older() -> None:
    global _older_parcels, _parcels
    with _guard:
        if len(_parcels) >= _REMEMBERED:  # else another thread has been here
            _older_parcels, _parcels = _parcels, {}
