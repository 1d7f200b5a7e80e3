# ruff: noqa: T201 - it tells the test what it does on standard output
"""A process that records tasks and prints how long each has slept: `python -m tests.faults.patient DOCUMENT NUMBER`.

What sleeps is a task that waits for a lock, which it does for a shorter time here.
"""

import json
import sys
import time
from typing import SupportsIndex

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.storage import lock
from tests.faults.events import AGENTS

WAIT_SECONDS = 0.2


def sleeps_of_tasks(tracker: MetricTracker, number: int) -> list[float]:
    """Record tasks, and return the seconds that each of them has slept."""
    sleeps = []
    for _ in range(number):
        before = sum(_slept)
        with TaskTracker(AGENTS[0], tracker=tracker):
            pass
        sleeps.append(sum(_slept) - before)
    return sleeps


_slept: list[float] = []
_sleep = time.sleep


def _sleep_and_tell(seconds: float | SupportsIndex) -> None:
    _slept.append(float(seconds))
    _sleep(seconds)


if __name__ == "__main__":
    lock.WAIT_SECONDS = WAIT_SECONDS
    time.sleep = _sleep_and_tell
    print(json.dumps(sleeps_of_tasks(MetricTracker(sys.argv[1]), int(sys.argv[2]))))
