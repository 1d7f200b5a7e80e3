# ruff: noqa: T201 - it tells the test what it does on standard output
"""A process that records tasks: `python -m tests.faults.tasks DOCUMENT NUMBER`, once its standard input ends.

It says when it is ready, which takes longer than all the rest.
"""

import sys

from otel_tracker import MetricTracker, TaskTracker
from tests.faults.events import AGENTS

TOKENS = 10


def record_tasks(document: str, number: int) -> None:
    tracker = MetricTracker(document)
    for turn in range(number):
        with TaskTracker(AGENTS[turn % len(AGENTS)], model="sonnet", tracker=tracker) as task:
            task.set_tokens_used(TOKENS)


if __name__ == "__main__":
    print("ready", flush=True)
    sys.stdin.read()
    record_tasks(sys.argv[1], int(sys.argv[2]))
