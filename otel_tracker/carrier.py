"""What goes beside a span: the event of its task, whole, or rather how to make it.

A span is a lossy carrier: limits cut its attributes, samplers drop it, a provider may be shut down. So the event
waits here for the span with the same ids, and any exporter of this package that gets the span takes the event.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from otel_tracker.guard import Guard
from otel_tracker.storage.recorder import Recorder

SpanKey = tuple[int, int]
MakeEvent = Callable[[], dict[str, Any]]

_REMEMBERED = 10_000

_guard = Guard()
_spans: OrderedDict[SpanKey, tuple[Recorder, MakeEvent] | None] = OrderedDict()


def attach(key: SpanKey, recorder: Recorder, make_event: MakeEvent) -> None:
    """Keep an event for the span with the ids `key` (trace, span)."""
    _spans[key] = (recorder, make_event)
    if len(_spans) > _REMEMBERED:
        with _guard:
            _spans.popitem(last=False)


def deliver(key: SpanKey) -> bool:
    """Record the event that is kept for a span; False if the span is none of this package's."""
    kept = _spans.get(key)
    if kept is None:
        return key in _spans
    recorder, make_event = kept
    recorder.record(make_event)
    _spans[key] = None  # remembered as recorded, for exporters that get the span later
    return True
