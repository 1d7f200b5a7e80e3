"""The two events of a task that takes no time, for tests at the level of the store."""

import time

from otel_tracker import names
from otel_tracker.runtime.owner import this_process
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.shapes import Event

AGENTS = ("core/coder.md", "core/tester.md", "ui/designer.md")


def begin(run_id: str, agent: str = AGENTS[0]) -> Event:
    """Return the start of a task whose end this process has promised to see."""
    now = time.time()
    return event.task_started(agent, now, run_id=run_id, model="sonnet", task_id=None, owner=this_process())


def end(run_id: str, agent: str = AGENTS[0]) -> Event:
    now = time.time()
    started = format_timestamp(now)
    return event.task_ended(agent, names.SUCCESS, now, run_id=run_id, started=started, duration_seconds=0.0)
