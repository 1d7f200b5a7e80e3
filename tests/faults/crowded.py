"""A process that may open no more files while it records tasks: `python -m tests.faults.crowded API DOCUMENT NUMBER`.

API is `TaskTracker`, of which one task has been recorded before, or `MetricTracker`, of which nothing has been used.
"""

import os
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from otel_tracker import MetricTracker
from tests.faults.events import AGENTS


@contextmanager
def no_more_files() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def with_task_tracker(tracker: MetricTracker, number: int) -> None:
    record_task(tracker)
    with no_more_files():
        for _ in range(number - 1):
            record_task(tracker)


def with_metric_tracker(tracker: MetricTracker, number: int) -> None:
    with no_more_files():
        for _ in range(number):
            start = tracker.record_task_start(AGENTS[0])
            tracker.record_task_complete(AGENTS[0], start)


def record_task(tracker: MetricTracker) -> None:
    from otel_tracker import TaskTracker  # which loads the SDK

    with TaskTracker(AGENTS[0], tracker=tracker):
        pass


if __name__ == "__main__":
    record = {"TaskTracker": with_task_tracker, "MetricTracker": with_metric_tracker}[sys.argv[1]]
    record(MetricTracker(sys.argv[2]), int(sys.argv[3]))
