"""What goes beside a span: the event of its task, whole.

A span is a lossy carrier: limits cut its attributes, samplers drop it, a provider may be shut down. So the event
waits here for the span with the same ids, and any exporter of this package that gets the span takes the event.
"""

import threading
from collections import OrderedDict
from typing import Any

from otel_tracker.storage.recorder import Recorder

SpanKey = tuple[int, int]

_REMEMBERED = 10_000

_guard = threading.Lock()
_spans: OrderedDict[SpanKey, tuple[Recorder, dict[str, Any]] | None] = OrderedDict()


def attach(key: SpanKey, recorder: Recorder, event: dict[str, Any]) -> None:
    """Keep `event` for the span with the ids `key` (trace, span)."""
    with _guard:
        _spans[key] = (recorder, event)
        if len(_spans) > _REMEMBERED:
            _spans.popitem(last=False)


def deliver(key: SpanKey) -> bool:
    """Record the event that is kept for a span; False if the span is none of this package's."""
    if key not in _spans:
        return False
    kept = _spans.get(key)
    if kept is not None:
        recorder, event = kept
        recorder.record(event)
        _spans[key] = None  # remembered as recorded, for exporters that get the span later
    return True
