"""The starts that this process has recorded and not yet ended: their clocks, and what their ends needn't say again."""

import time
from typing import NamedTuple

from otel_tracker.guard import Guard
from otel_tracker.timestamps import format_timestamp

_REMEMBERED = 10_000


class Start(NamedTuple):
    """A start, told by its document, agent and timestamp."""

    run_id: str
    clock: float
    """What time.perf_counter said."""
    model: str | None
    task_id: str | None


_guard = Guard()
_starts: dict[tuple[str, str, str], Start] = {}


def remember(document: str, agent: str, start: Start, at: float) -> float:
    """Remember a start at the moment `at`, or right after it where that is taken; return the moment."""
    with _guard:
        while (key := (document, agent, format_timestamp(at))) in _starts:
            at += 1e-6
        if len(_starts) >= _REMEMBERED:
            del _starts[next(iter(_starts))]
        _starts[key] = start
    return at


def take(document: str, agent: str, timestamp: str) -> "tuple[Start | None, float]":
    """Return a start and forget it, None if this process doesn't know it, and what time.perf_counter says now."""
    with _guard:
        return _starts.pop((document, agent, timestamp), None), time.perf_counter()
