"""What a batch of spans costs that a BatchSpanProcessor hands over, and one that comes again; running tasks beside a task."""

import os
import time
from itertools import count
from statistics import median
from typing import TYPE_CHECKING

from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from benchmarks.fleet import TOKENS, agent_of, make_home, task_recorder
from benchmarks.measure import Row, interleaved
from otel_tracker import names
from otel_tracker.runtime import owner
from otel_tracker.runtime.ids import new_id
from otel_tracker.state import event
from otel_tracker.state.shapes import Event
from otel_tracker.storage.store import Store
from otel_tracker_exporters.circuit_breaker import CircuitBreakerSpanExporter
from otel_tracker_exporters.foreign import foreign_task

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_SPANS = 512  # as many as a BatchSpanProcessor hands over at once
_ROUNDS, _TASK_ROUNDS = 15, 200
_RUNNING = 2_000


def batch_of_spans(folder: str) -> Row:
    """Measure how many spans a second a batch records, and how many the same exporter records one by one."""
    exporter = CircuitBreakerSpanExporter(make_home(os.path.join(folder, "batch")).document)
    batches = [_spans(_SPANS) for _ in range(_ROUNDS)]
    singles = [_spans(10) for _ in range(_ROUNDS)]
    at_once = [_seconds_a_span(exporter, batch, at_once=True) for batch in batches]
    one_by_one = [_seconds_a_span(exporter, spans, at_once=False) for spans in singles]
    return Row("spans in a batch (at least 10,000 /s)", 1 / median(at_once), 1 / median(one_by_one), 8, is_rate=True)


def repeated_span(folder: str) -> Row:
    """Measure the event of a span that has been recorded before, among as many as a batch has.

    In processor time, against 0.05 ms.
    """
    store = Store(make_home(os.path.join(folder, "again")))
    batches = [[_event_of(span) for span in _spans(_SPANS)] for _ in range(_ROUNDS)]
    for batch in batches:
        store.record(batch)
    again = median(_seconds_an_event(store, batch) for batch in batches)
    return Row("known event, in a batch", again, 50e-6, 1)


def task_beside_running_ones(folder: str) -> Row:
    """Measure a task with 2,000 others in flight, and one with none."""
    many, none = make_home(os.path.join(folder, "running")), make_home(os.path.join(folder, "idle"))
    process = owner.this_process()
    Store(many).record([_start(number, process) for number in range(_RUNNING)])
    with_many, with_none = interleaved(task_recorder(many.document), task_recorder(none.document), _TASK_ROUNDS)
    return Row("durable task, 2,000 in flight to none", with_many, with_none, 1.5)


def _seconds_a_span(exporter: CircuitBreakerSpanExporter, spans: "Sequence[ReadableSpan]", *, at_once: bool) -> float:
    began = time.perf_counter()
    for part in [spans] if at_once else [[span] for span in spans]:
        exporter.export(part)
    return (time.perf_counter() - began) / len(spans)


def _no_cost(model: str, tokens: "Mapping[str, int]", at: float, *, speed: str | None) -> None:
    """Return no price."""


def _event_of(span: ReadableSpan) -> Event:
    ended = foreign_task.event_of(span, _no_cost)
    assert ended is not None
    return ended


def _seconds_an_event(store: Store, events: list[Event]) -> float:
    began = time.process_time()
    store.record(events)
    return (time.process_time() - began) / len(events)


class _Keeping(SpanExporter):
    def __init__(self) -> None:
        self.spans: list[ReadableSpan] = []

    def export(self, spans: "Sequence[ReadableSpan]") -> SpanExportResult:
        """Keep the spans."""
        self.spans += spans
        return SpanExportResult.SUCCESS


def _spans(number: int) -> list[ReadableSpan]:
    """Return ended spans of agents as a library of others makes them."""
    provider, keeping = TracerProvider(shutdown_on_exit=False), _Keeping()
    provider.add_span_processor(SimpleSpanProcessor(keeping))
    tracer, numbers = provider.get_tracer("library"), count()
    for _ in range(number):
        agent = agent_of(next(numbers))
        attributes: dict[str, str | int] = {
            names.GEN_AI_OPERATION: names.INVOKE_AGENT,
            names.GEN_AI_AGENT: agent,
            names.GEN_AI_REQUEST_MODEL: "claude-sonnet-5",
            names.GEN_AI_INPUT_TOKENS: TOKENS,
            names.GEN_AI_OUTPUT_TOKENS: TOKENS,
        }
        tracer.start_span(f"{names.INVOKE_AGENT} {agent}", attributes=attributes).end()
    return keeping.spans


def _start(number: int, process: "dict[str, object]") -> Event:
    run_id = new_id()
    known = {"model": "sonnet", "task_id": f"running-{number}", "owner": process}
    return event.task_started(agent_of(number), time.time(), run_id=run_id, **known)  # type: ignore[arg-type]
