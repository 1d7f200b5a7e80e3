"""An exception at any line of this package's code in the main thread, as a signal handler may raise it there.

It always comes out, no lock stays held, the interrupted task counts once, the next one is recorded, and so are those of
other threads. Each scenario runs again and again in one process, in which one line more is reached each time.
"""

import contextvars
import fcntl
import json
import os
import subprocess
import sys
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider

import otel_tracker
import otel_tracker_exporters
from otel_tracker import CircuitBreakerSpanExporter, MetricTracker, TaskTracker, names, track_agent
from otel_tracker.runtime import lifecycle, writer
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.owner import this_process
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state.event import task_ended
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from otel_tracker.tracking.task import current_task
from tests.faults.components import journal, runs

pytestmark = pytest.mark.processes

_CODE = tuple(str(Path(module.__file__ or "").parent) for module in (otel_tracker, otel_tracker_exporters))
_FEWEST_LINES = 20
_LINES_TO_NEXT = 5  # after which other tasks are tried

Scenario = Callable[[MetricTracker, str, list[str]], object]
"""Makes one task of an agent, whose body adds something to the list."""


class Deadline(Exception):  # noqa: N818 - what an application calls its own
    pass


class Interrupt:
    """Raises an exception at the line of this package's code that is the n-th to be executed."""

    def __init__(self, line: int, kind: type[BaseException]) -> None:
        self.error, self.place = kind("of the application"), "nowhere"
        self._left = line

    @property
    def has_come(self) -> bool:
        return self._left <= 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> "Interrupt | None":
        if not frame.f_code.co_filename.startswith(_CODE):
            return None
        if event == "line":
            self._left -= 1
            if not self._left and _is_in_finalizer(frame):
                self._left = 1
            elif not self._left:
                self.place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                sys.settrace(None)
                raise self.error
        return self


def _is_in_finalizer(frame: FrameType | None) -> bool:
    """Tell whether the garbage collector has called what runs: Python swallows every exception there."""
    finalize = weakref.finalize.__call__.__code__
    while frame is not None and not (frame.f_code is finalize and frame.f_locals["_"] is not None):
        frame = frame.f_back
    return frame is not None


def block(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    with TaskTracker(agent, tracker=tracker, task_id="t") as task:
        bodies.append(agent)
        task.set_tokens_used(7)
        task.set_usage(1, 2, 3, 4)
        task.set_model("claude-opus-5")


def failing_block(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    with suppress(ZeroDivisionError), TaskTracker(agent, tracker=tracker) as task:
        bodies.append(agent)
        task.set_failed("too bad")
        raise ZeroDivisionError


def enforced_block(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    with TaskTracker(agent, tracker=tracker, enforce=True):
        bodies.append(agent)


def open_task(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    task = TaskTracker(agent, tracker=tracker)
    task.begin()
    bodies.append(agent)
    try:
        task.end()
    except BaseException:
        task.end()  # what has been interrupted may be called again
        raise


def decorated_function(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    track_agent(agent, tracker=tracker)(lambda: bodies.append(agent))()


def decorated_generator(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    def numbers() -> Iterator[int]:
        bodies.append(agent)
        yield from range(2)

    list(track_agent(agent, tracker=tracker)(numbers)())


def asynchronous_block(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    async def work() -> None:
        async with TaskTracker(agent, tracker=tracker):
            bodies.append(agent)

    with suppress(StopIteration):
        work().send(None)


def permit(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    answer = tracker.try_acquire(agent)
    assert answer
    with answer:
        bodies.append(agent)


def run(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    tracker.run(agent, lambda: bodies.append(agent), fallbacks=["next.md"], retries=1)


def recorded_calls(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    start = tracker.record_task_start(agent)
    bodies.append(agent)
    try:
        tracker.record_task_failure(agent, start, "too bad")
    except BaseException:
        tracker.record_task_failure(agent, start, "too bad")  # what has been interrupted may be called again
        raise


def span_of_another_library(tracker: MetricTracker, agent: str, bodies: list[str]) -> None:
    exporter = CircuitBreakerSpanExporter(tracker.config_file)
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": agent}
    span = TracerProvider(shutdown_on_exit=False).get_tracer("another").start_span(agent, attributes=attributes)
    span.end()
    assert isinstance(span, ReadableSpan)
    bodies.append(agent)
    try:
        exporter.export((span,))
    except BaseException:
        exporter.export((span,))  # what has been interrupted may be called again
        raise


SCENARIOS: list[Scenario] = [
    block,
    failing_block,
    enforced_block,
    open_task,
    decorated_function,
    decorated_generator,
    asynchronous_block,
    permit,
    run,
    recorded_calls,
    span_of_another_library,
]


@pytest.mark.parametrize(
    ("scenario", "kind"),
    [
        *((scenario, Deadline) for scenario in SCENARIOS),
        *((scenario, KeyboardInterrupt) for scenario in (block, permit)),
    ],
    ids=lambda value: value.__name__,
)
def test_an_exception_at_any_line_comes_out_and_leaves_everything_in_order(
    tracker: MetricTracker, home: Home, scenario: Scenario, kind: type[BaseException]
) -> None:
    contextvars.copy_context().run(interrupt_every_line, tracker, home, scenario, kind)


def interrupt_every_line(tracker: MetricTracker, home: Home, scenario: Scenario, kind: type[BaseException]) -> None:
    agent, bodies = f"{scenario.__name__}.md", list[str]()
    scenario(tracker, agent, bodies)
    tracker.override_breaker(agent, "disabled")  # a task that a deadline has interrupted is a failure
    with ThreadPoolExecutor(1) as other_thread:
        for line in count(1):
            bodies.clear()
            before = tasks_of(tracker, agent)
            interrupt = interrupted_at(line, kind, lambda: scenario(tracker, agent, bodies))
            writer.submit(int).wait()  # behind what was handed over
            assert tasks_of(tracker, agent) - before in ((1,) if bodies else (0, 1)), interrupt.place
            assert tracker.get_agent_metrics(agent)["in_flight"] == 0, interrupt.place
            assert_in_order(home, interrupt.place)
            if line % _LINES_TO_NEXT == 0:
                before = tasks_of(tracker, "next.md")
                block(tracker, "next.md", bodies)
                other_thread.submit(block, tracker, "next.md", bodies).result(10)
                assert tasks_of(tracker, "next.md") == before + 2, interrupt.place
            if not interrupt.has_come:
                break
    assert line > _FEWEST_LINES


def interrupted_at(line: int, kind: type[BaseException], act: Callable[[], object]) -> Interrupt:
    interrupt = Interrupt(line, kind)
    sys.settrace(interrupt)
    try:
        act()
    except kind as error:
        assert error is interrupt.error, interrupt.place  # noqa: PT017 - it may not come, at the end
    else:
        assert not interrupt.has_come, f"swallowed at {interrupt.place}"
    finally:
        sys.settrace(None)
    return interrupt


def tasks_of(tracker: MetricTracker, agent: str) -> int:
    agents = tracker._read().agents
    return agents[agent]["metrics"]["tasks_total"] if agent in agents else 0


def assert_in_order(home: Home, place: str) -> None:
    assert current_task() is None, place
    assert trace.get_current_span() is trace.INVALID_SPAN, place
    assert not any(part._is_owned() for part in lifecycle.parts() if isinstance(part, Guard)), place  # type: ignore[attr-defined]
    for path in (home.append_lock, home.document_lock):
        descriptor = os.open(path, os.O_RDWR)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(descriptor)


_STORM = """
import json, os, random, signal, subprocess, sys, threading, time
from otel_tracker import MetricTracker, TaskTracker

class Deadline(Exception): pass
def handle(*_): raise Deadline
def beside():
    while not is_over:
        with TaskTracker("beside.md"): done.append(1)

is_over, done, interrupts = [], [], 0
with TaskTracker("storm.md"): pass
signal.signal(signal.SIGALRM, handle)
thread = threading.Thread(target=beside)
thread.start()
random.seed(int(sys.argv[1]))
for number in range(int(sys.argv[2])):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.random() * 0.004 + 0.00005)
        with TaskTracker("storm.md", task_id=str(number)): pass
    except Deadline:
        interrupts += 1
    try:
        signal.setitimer(signal.ITIMER_REAL, 0)
    except Deadline:
        interrupts += 1
is_over.append(1)
thread.join()
with TaskTracker("last.md"): pass
print(json.dumps({"interrupts": interrupts, "beside": len(done)}))
"""
_TASKS = 200


def test_a_storm_of_signals_loses_and_doubles_no_task_beside_another_thread_and_another_process(home: Home) -> None:
    environment = {**os.environ, "OTEL_TRACKER_HOME": home.folder}
    storms = [
        subprocess.Popen([sys.executable, "-c", _STORM, seed, str(_TASKS)], env=environment, stdout=subprocess.PIPE)
        for seed in ("1", "2")
    ]
    told = [json.loads(storm.communicate(timeout=120)[0]) for storm in storms]
    state = Store(home).read()
    ended = {agent: entry["metrics"]["tasks_total"] for agent, entry in state.agents.items()}
    assert (ended["beside.md"], ended["last.md"]) == (sum(one["beside"] for one in told), len(storms))
    assert sum(one["interrupts"] for one in told) > _TASKS / 10
    # A task that is interrupted before it begins, in the constructor, is none.
    events = journal(home)
    begun = {event["run_id"] for event in events if event["agent"] == "storm.md"}
    assert len(storms) * _TASKS * 0.9 < len(begun) == ended["storm.md"] <= len(storms) * (_TASKS + 1)
    assert state.head["in_flight"] == {}
    assert len(runs(events, *names.OUTCOMES)) == sum(ended.values())


def test_a_probe_that_is_interrupted_at_any_line_gives_its_permit_back(tracker: MetricTracker, home: Home) -> None:
    long_ago = time.time() - 3600
    failures = [
        task_ended(
            "p.md", names.FAILURE, long_ago, run_id=new_id(), started=format_timestamp(long_ago), duration_seconds=1
        )
        for _ in range(5)
    ]
    Store(home).record(failures)

    def probe() -> None:
        with suppress(GeneratorExit), TaskTracker("p.md", tracker=tracker, enforce=True):
            raise GeneratorExit  # a cancelled probe leaves the breaker as it is

    this_process()  # reads files once, of which an interrupt leaves the closing to Python
    for line in count(1):
        interrupt = interrupted_at(line, KeyboardInterrupt, probe)
        writer.submit(int).wait()  # behind what was handed over
        agent = tracker.get_agent_metrics("p.md")
        assert (agent["permit"], agent["in_flight"]) == (None, 0), interrupt.place
        assert tracker.check_agent_health("p.md"), interrupt.place
        if not interrupt.has_come:
            break
    assert line > _FEWEST_LINES
