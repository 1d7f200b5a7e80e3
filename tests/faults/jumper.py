"""A process whose clock jumps while it works: `python -m tests.faults.jumper SCENARIO HOME ...`, under libfaketime.

The clock is a file that the processes of a test share: its content is how many seconds it is ahead of the real one.
What a scenario has seen is printed as JSON.
"""

import fcntl
import io
import json
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from otel_tracker import names
from otel_tracker.cli import main as command
from otel_tracker.reporting import summary
from otel_tracker.runtime import environment, owner
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state import event, permission
from otel_tracker.state.shapes import Event
from otel_tracker.storage import journal, lock
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from otel_tracker.tracking.metric_tracker import MetricTracker

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
JUMPS = (-HOUR, DAY, 40 * DAY, -40 * DAY)
AGENT = "core/coder.md"
BLOCK, CALLS, FAILING, AROUND, FOREIGN = "block.md", "calls.md", "failing.md", "around.md", "foreign.md"
TASKS_A_DAY, SEGMENT_BYTES, WAIT_SECONDS, JUMPING_PAUSE = 3, 2000, 0.2, 3

Seen = dict[str, Any]


def set_clock(path: str, ahead: float) -> None:
    """Show all processes of the clock at `path` a time that is so many seconds ahead of the real one."""
    Path(f"{path}.new").write_text(f"{ahead:+.6f}")
    os.replace(f"{path}.new", path)


def clock_ahead(path: str) -> float:
    return float(Path(path).read_text())


def jump(seconds: float) -> None:
    path = os.environ["FAKETIME_TIMESTAMP_FILE"]
    set_clock(path, clock_ahead(path) + seconds)


def tasks(home: Home) -> list[Seen]:
    """Record tasks in every way, with a jump in the middle of each, and one more task around all of them.

    Return, in the order of their ends, between what bounds the duration of each is, and the totals after it.
    """
    tracker, seen = MetricTracker(home.document), []

    def record_all() -> None:
        for way in (_in_two_calls, _in_a_block, _failing):
            for seconds in JUMPS:
                bounds = _measured(way(tracker), partial(jump, seconds))
                seen.append({**bounds, **_totals(tracker)})
            jump(-sum(JUMPS))

    around = _measured(_in_a_block(tracker, AROUND), record_all)
    return [*seen, {**around, **_totals(tracker)}]


@contextmanager
def _in_a_block(tracker: MetricTracker, agent: str = BLOCK) -> Iterator[str]:
    from otel_tracker.tracking.task import TaskTracker

    with TaskTracker(agent, tracker=tracker) as task:
        yield agent
        task.set_tokens_used(10)


@contextmanager
def _in_two_calls(tracker: MetricTracker) -> Iterator[str]:
    start = tracker.record_task_start(CALLS, "task")
    yield CALLS
    tracker.record_task_complete(CALLS, start, 10, task_id="task")


@contextmanager
def _failing(tracker: MetricTracker) -> Iterator[str]:
    start = tracker.record_task_start(FAILING)
    yield FAILING
    tracker.record_task_failure(FAILING, start, "it broke")


def _measured(task: AbstractContextManager[str], work: Callable[[], None]) -> Seen:
    before = time.perf_counter()
    with task as agent:
        begun = time.perf_counter()
        work()
        done = time.perf_counter()
    return {"agent": agent, "least": done - begun, "most": time.perf_counter() - before}


def foreign_spans(home: Home) -> list[Seen]:
    """End spans of somebody else's instrumentation, with a jump in the middle of each; return the totals after each."""
    from opentelemetry.sdk.trace import TracerProvider

    from otel_tracker_exporters.circuit_breaker import AgentSpanProcessor, CircuitBreakerSpanExporter

    provider = TracerProvider()
    provider.add_span_processor(AgentSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    attributes = {names.GEN_AI_OPERATION: names.INVOKE_AGENT, names.GEN_AI_AGENT: FOREIGN}
    seen = []
    for seconds in (40 * DAY, -HOUR, -40 * DAY):
        with provider.get_tracer("somebody else").start_as_current_span("a task", attributes=attributes):
            jump(seconds)
        seen.append(_totals(MetricTracker(home.document)))
    return seen


def _totals(tracker: MetricTracker) -> Seen:
    """Return the numbers that never fall."""
    metrics = tracker.get_system_metrics()
    agents = [tracker.get_agent(row["agent_file"]) for row in tracker.get_leaderboard(top_n=99)]
    counted = {key: metrics[key] for key in ("total_requests", "successful", "failed", "cancelled", "circuit_breaks")}
    durations = sum(agent["metrics"]["total_duration_seconds"] for agent in agents)
    measured = sum(sum(agent["durations"]["buckets"]) for agent in agents)
    tokens = sum(use["total"] for agent in agents for use in agent["token_usage"].values())
    return {"totals": {**counted, "durations": durations, "measured": measured, "tokens": tokens}}


def complete(home: Home, *starts: str) -> list[float]:
    """Complete tasks that another process has begun, the second one a day after the first; return their durations."""
    tracker, durations = MetricTracker(home.document), []
    for start in starts:
        durations.append(tracker.record_task_complete(CALLS, start))
        jump(DAY)
    return durations


def walk(home: Home, who_asks: str, *steps: str) -> list[Seen]:
    """Take steps; return after each whether the agent is let through, as `tracker` or `command` says, and for how long not.

    A step is a jump, in seconds; a task with that outcome, recorded as if by a process of its own; `blacklist`, five
    failures; `live:DAYS`, days with three tasks each; `segments:BYTES`, from where on a segment of the journal is full.
    """
    seen = []
    for step in steps:
        environment.is_command = True  # as in a hook: a second thread would ask libfaketime for the time at each switch
        name, _, value = step.partition(":")
        take = _STEPS.get(name)
        if take is None:
            jump(float(step))
        else:
            take(home, value)
        seen.append({"is_admitted": _ASKED[who_asks](home), "left": _left(home)})
    return seen


def _asked_of_nobody(home: Home) -> bool:
    return permission.answer(Store(home).read(), AGENT, time.time(), owner.is_seen_gone).is_admitted


def _asked_of_the_tracker(home: Home) -> bool:
    return MetricTracker(home.document).check_agent_health(AGENT)


def _asked_of_the_command(home: Home) -> bool:
    with redirect_stdout(io.StringIO()):
        return command(["health", AGENT, "--home", home.folder]) == 0


_ASKED = {"nobody": _asked_of_nobody, "tracker": _asked_of_the_tracker, "command": _asked_of_the_command}


def _left(home: Home) -> float | None:
    """Return for how many seconds the agent is still refused; None if it isn't."""
    document, now = Store(home).read(), time.time()
    until = summary.agent_state(document, AGENT, now)["blacklisted_until"] if document.agents else None
    return None if until is None else round(parse_timestamp(until) - now, 3)


def _task(home: Home, outcome: str) -> None:
    Store(home).record([_ended(outcome)])


def _ended(outcome: str = names.SUCCESS) -> Event:
    now = time.time()
    started = format_timestamp(now - 1)
    return event.task_ended(AGENT, outcome, now, run_id=new_id(), started=started, duration_seconds=1.0)


def _blacklist(home: Home, _: str) -> None:
    Store(home).record([_ended(names.FAILURE) for _ in range(5)])


def _live(home: Home, days: str) -> None:
    for _ in range(int(days)):
        for _ in range(TASKS_A_DAY):
            _task(home, names.SUCCESS)
        jump(DAY)


def _make_segments_small(_: Home, size: str) -> None:
    journal.SEGMENT_BYTES = int(size)


_STEPS: dict[str, Callable[[Home, str], None]] = {
    "success": lambda home, _: _task(home, names.SUCCESS),
    "failure": lambda home, _: _task(home, names.FAILURE),
    "blacklist": _blacklist,
    "live": _live,
    "segments": _make_segments_small,
}


def wait(home: Home, which: str, seconds: str, free_after: str) -> Seen:
    """Record a task while another one holds a lock, which is free after so many pauses; the clock jumps in an early one.

    Then record another task, nobody holding the lock. Return how many pauses the first one has made, and how many
    events waited in memory and were in the journal after the first.
    """
    Store(home).record([_ended()])
    holder, pauses = _held(getattr(home, which)), _Pauses(float(seconds))
    pauses.ends[int(free_after)] = lambda: os.close(holder)
    lock.WAIT_SECONDS = WAIT_SECONDS
    recorder = Recorder(Store(home))
    time.sleep = pauses.make  # type: ignore[assignment]
    recorder.record(_ended())
    seen = {"pauses": pauses.made, "waiting": len(recorder._waiting), "in_journal": Store(home).parts.journal.last()}
    if pauses.made < int(free_after):
        os.close(holder)
    recorder.record(_ended())
    return seen


class _Pauses:
    """Pauses that are counted; in an early one the clock jumps, at the end of others something else happens."""

    def __init__(self, seconds: float) -> None:
        self.made = 0
        self.ends: dict[int, Callable[[], None]] = {JUMPING_PAUSE: lambda: jump(seconds)}

    def make(self, seconds: float) -> None:
        self.made += 1
        _sleep(seconds)
        self.ends.get(self.made, lambda: None)()


def _held(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _sleep(seconds: float) -> None:
    """Sleep in another way than Python: libfaketime takes its end for a moment of the clock that it fakes."""
    select.select([], [], [], seconds)


_SCENARIOS: dict[str, Callable[..., Any]] = {
    scenario.__name__: scenario for scenario in (tasks, foreign_spans, complete, walk, wait)
}


if __name__ == "__main__":
    time.sleep = _sleep  # type: ignore[assignment]
    seen = _SCENARIOS[sys.argv[1]](Home(sys.argv[2]), *sys.argv[3:])
    sys.stdout.write(json.dumps(seen))
