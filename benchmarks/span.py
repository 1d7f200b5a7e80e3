"""What a task costs, with and without files, against a span of the bare SDK, and against the agents of other packages.

Every provider has a BatchSpanProcessor whose exporter drops what it gets.
"""

import json
import os
import sys
from contextlib import redirect_stdout
from time import process_time, time
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.fleet import TOKENS, agent_of, ended_task, make_home
from benchmarks.measure import Row, interleaved, nothing
from otel_tracker import MetricTracker, TaskTracker, names, track_agent
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.owner import this_process
from otel_tracker.runtime.writer import Receipt
from otel_tracker.state.event import task_started
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from otel_tracker.tracking.gate import Gate
from otel_tracker.tracking.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from opentelemetry.sdk.trace import ReadableSpan

_ROUNDS, _TASKS_A_ROUND, _DURABLE_A_ROUND = 200, 100, 5


_DONE = Receipt(int)
_DONE()


class _DroppingRecorder(Recorder):
    """Drops what it gets, without the writer: two hand-overs to that, 13 us each, are part of `durable`."""

    def announce(self, event: Event) -> None:
        """Drop a start."""

    def submit(self, event: Event, *, may_repeat: bool = False) -> Receipt:
        """Drop an end."""
        return _DONE


class _DroppingExporter(SpanExporter):
    """Takes spans and drops them."""

    def export(self, spans: "Sequence[ReadableSpan]") -> SpanExportResult:
        """Drop spans."""
        return SpanExportResult.SUCCESS


def dropped_task(folder: str) -> Row:
    """Measure a task whose span, processor and exporter are real, and whose events go nowhere."""
    return _row("task that is dropped", _task(_tracker(folder)), _bare_span(), 2)


def task_in_processor_time(folder: str) -> Row:
    """Measure the processor time of a durable task, against a span of the bare SDK and its two events as JSON, appended and flushed."""
    home = make_home(os.path.join(folder, "task"))
    tracker = MetricTracker(home.document, tracer_provider=_provider())
    ours, theirs = interleaved(
        _many(_task(tracker), _DURABLE_A_ROUND),
        _many(_written_span(os.path.join(folder, "written.jsonl")), _DURABLE_A_ROUND),
        _ROUNDS,
        clock=process_time,
    )
    return Row("durable task, in processor time", ours / _DURABLE_A_ROUND, theirs / _DURABLE_A_ROUND, 8)


def openllmetry_agent(folder: str) -> Row:
    """Measure an empty function as a task against one with the `@agent` of OpenLLMetry."""
    from traceloop.sdk import Traceloop
    from traceloop.sdk.decorators import agent

    with redirect_stdout(sys.stderr):  # it greets
        Traceloop.init(exporter=_DroppingExporter(), telemetry_enabled=False, instruments=set())
    return _row("@track_agent, by OpenLLMetry's @agent", _tracked(folder), agent(name=agent_of(0))(nothing), 1.0)


def openinference_agent(folder: str) -> Row:
    """Measure an empty function as a task against one with the `tracer.agent` of OpenInference."""
    from openinference.instrumentation import OITracer, TraceConfig

    tracer = OITracer(_provider().get_tracer("benchmarks"), config=TraceConfig())
    return _row(
        "@track_agent, by OpenInference's agent", _tracked(folder), tracer.agent(name=agent_of(0))(nothing), 1.0
    )


def _row(name: str, ours: "Callable[[], object]", theirs: "Callable[[], object]", bound: float) -> Row:
    of_ours, of_theirs = interleaved(_many(ours, _TASKS_A_ROUND), _many(theirs, _TASKS_A_ROUND), _ROUNDS)
    return Row(name, of_ours / _TASKS_A_ROUND, of_theirs / _TASKS_A_ROUND, bound)


def _provider() -> TracerProvider:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(_DroppingExporter()))
    return provider


def _tracker(folder: str) -> MetricTracker:
    home = Home(os.path.join(folder, "span"))
    tracker = MetricTracker(home.document)
    tracker._pipeline = Pipeline(Gate(_DroppingRecorder(Store(home))), _provider())  # noqa: SLF001
    return tracker


def _task(tracker: MetricTracker) -> "Callable[[], None]":
    def record_task() -> None:
        with TaskTracker(agent_of(0), model="sonnet", task_id="feature-7", tracker=tracker) as task:
            task.set_tokens_used(TOKENS)

    return record_task


def _tracked(folder: str) -> "Callable[[], None]":
    return track_agent(agent_of(0), tracker=_tracker(folder))(nothing)


def _bare_span() -> "Callable[[], None]":
    tracer = _provider().get_tracer("benchmarks")
    run_id = new_id()

    def make_span() -> None:
        attributes = {
            names.GEN_AI_OPERATION: names.INVOKE_AGENT,
            names.GEN_AI_AGENT: agent_of(0),
            names.SPAN_RUN_ID: run_id,
            names.GEN_AI_REQUEST_MODEL: "sonnet",
            names.GEN_AI_PROVIDER: "anthropic",
            names.SPAN_TASK_ID: "feature-7",
        }
        with tracer.start_as_current_span(f"{names.INVOKE_AGENT} {agent_of(0)}", attributes=attributes) as span:
            span.set_attributes({names.SPAN_OUTCOME: names.SUCCESS, names.SPAN_TOKENS: TOKENS})

    return make_span


def _written_span(path: str) -> "Callable[[], None]":
    make_span, started, ended = _bare_span(), _start(), _end()
    journal = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def make_and_write() -> None:
        os.write(journal, json.dumps(started).encode() + b"\n")
        make_span()
        os.write(journal, json.dumps(ended).encode() + b"\n")
        os.fdatasync(journal)

    return make_and_write


def _start() -> Event:
    owner = this_process()
    return task_started(agent_of(0), time(), run_id=new_id(), model="sonnet", task_id="feature-7", owner=owner)


def _end() -> Event:
    return ended_task(0, time())


def _many(act: "Callable[[], object]", times: int) -> "Callable[[], None]":
    def act_many_times() -> None:
        for _ in range(times):
            act()

    return act_many_times
