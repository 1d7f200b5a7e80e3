"""The starts that this process has recorded and not yet ended: their clocks, and the arguments that their ends needn't repeat."""

import time
from collections import OrderedDict
from typing import NamedTuple

from otel_tracker.runtime.timestamps import format_timestamp

_REMEMBERED = 10_000


class Start(NamedTuple):
    """A start; document, agent and timestamp identify it."""

    run_id: str
    clock: float
    """The moment, of time.perf_counter."""
    model: str | None
    task_id: str | None


_starts: OrderedDict[tuple[str, str, str], Start] = OrderedDict()  # each of its methods is one step for all threads


def remember(document: str, agent: str, start: Start, at: float) -> float:
    """Remember a start at the moment `at`, or right after it where that is taken; return the moment."""
    while _starts.setdefault((document, agent, format_timestamp(at)), start) is not start:
        at += 1e-6
    if len(_starts) > _REMEMBERED:
        _starts.popitem(last=False)
    return at


def take(document: str, agent: str, timestamp: str) -> "tuple[Start | None, float]":
    """Return a start and forget it, None if this process doesn't know it, and the present moment of time.perf_counter."""
    return _starts.pop((document, agent, timestamp), None), time.perf_counter()
