"""What it costs to be let through, against a breaker that lives in the memory of one process."""

import pybreaker

from benchmarks.fleet import agent_of, make_home
from benchmarks.measure import Row, interleaved, nothing
from otel_tracker import MetricTracker

_CALLS, _ROUNDS = 200, 40


def permit_of_closed_breaker(folder: str) -> Row:
    """Measure `MetricTracker.try_acquire` of an agent that is healthy, as no other process records anything."""
    tracker = MetricTracker(make_home(f"{folder}/home-of-permit").document)
    agent, breaker = agent_of(0), pybreaker.CircuitBreaker(fail_max=5, reset_timeout=600)

    def ours() -> None:
        for _ in range(_CALLS):
            assert tracker.try_acquire(agent)

    def theirs() -> None:
        for _ in range(_CALLS):
            breaker.call(nothing)

    permits, calls = interleaved(ours, theirs, _ROUNDS)
    return Row("permit of a closed breaker", permits / _CALLS, calls / _CALLS)
