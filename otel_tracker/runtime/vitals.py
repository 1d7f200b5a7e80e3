"""How the recording itself is doing in this process: events recorded, retried, dropped; how long writes and locks take."""

from bisect import bisect_left
from contextlib import suppress

from otel_tracker.runtime import lifecycle
from otel_tracker.runtime.guard import Guard

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
"""Upper bounds of the buckets of seconds."""


class Distribution:
    """Durations in seconds: how many were at most each of BOUNDS, and longer, and their sum."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(BOUNDS) + 1)
        """Not cumulative."""
        self.sum = 0.0
        self.listeners: list[Callable[[float], None]] = []

    def observe(self, seconds: float) -> None:
        """Count a duration."""
        with _guard:
            self.buckets[bisect_left(BOUNDS, seconds)] += 1
            self.sum += seconds
        for listener in self.listeners:
            with suppress(Exception):  # a reader of the numbers must not stop the recording
                listener(seconds)


class Vitals(lifecycle.Part):
    """The numbers of this process, since it began."""

    def __init__(self) -> None:
        self.events = {"recorded": 0, "retried": 0, "dropped": 0}
        """Events on the disk; of these, those that could not be written at once; those that are lost."""
        self.writes = Distribution()
        self.lock_waits = Distribution()
        lifecycle.join(self)

    def count(self, recorded: int = 0, retried: int = 0, dropped: int = 0) -> None:
        """Count events."""
        with _guard:
            self.events["recorded"] += recorded
            self.events["retried"] += retried
            self.events["dropped"] += dropped

    def renew(self) -> None:
        """Count from 0 again, in the child of a fork."""
        for distribution in (self.writes, self.lock_waits):
            distribution.buckets, distribution.sum = [0] * (len(BOUNDS) + 1), 0.0
        self.events = dict.fromkeys(self.events, 0)


_guard = Guard()
vitals = Vitals()
