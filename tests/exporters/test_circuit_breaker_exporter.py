import subprocess
import sys
from importlib.metadata import entry_points
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Status, StatusCode

from otel_tracker import CircuitBreakerSpanExporter, MetricTracker, TaskTracker
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home


def total(home: Home) -> int:
    requests: int = MetricTracker(home.document).get_system_metrics()["total_requests"]
    return requests


def test_the_entry_point_is_the_exporter() -> None:
    (found,) = entry_points(group="opentelemetry_traces_exporter", name="circuit_breaker")
    assert found.load() is CircuitBreakerSpanExporter


def test_a_task_counts_once_however_many_exporters_get_its_span(home: Home) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    provider.add_span_processor(BatchSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    for _ in range(3):
        with TaskTracker("a.md", tracker=MetricTracker(home.document, tracer_provider=provider)):
            pass
    provider.shutdown()
    assert total(home) == 3


def test_an_agent_span_of_another_library_is_a_task(home: Home) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    provider.add_span_processor(SimpleSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    tracer = provider.get_tracer("somebody")
    usage: dict[str, Any] = {
        "gen_ai.request.model": "claude-opus-5",
        "gen_ai.response.model": "claude-opus-5-20260801",
        "gen_ai.usage.input_tokens": 100,
        "gen_ai.usage.cache_read.input_tokens": 60,
        "gen_ai.usage.output_tokens": 7,
    }
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    with tracer.start_as_current_span("invoke_agent planner", attributes={**agent, **usage}):
        pass
    with tracer.start_as_current_span("invoke_agent planner", attributes=agent) as span:
        span.set_status(Status(StatusCode.ERROR, "no plan"))
    with tracer.start_as_current_span("chat", attributes={"gen_ai.operation.name": "chat"}):
        pass
    tracker = MetricTracker(home.document)
    completed, failed = tracker.get_history()
    assert (completed["action"], failed["action"], failed["error"]) == ("task_completed", "task_failed", "no plan")
    assert completed["tokens"] == {"input": 40, "cache_read": 60, "output": 7}
    assert tracker.get_agent("planner")["models"]["claude-opus-5-20260801"]["total"] == 107
    assert failed["tokens_used"] is None


def test_a_task_is_recorded_although_its_span_is_sampled_out_or_its_provider_shut_down(home: Home) -> None:
    sampled_out = TracerProvider(sampler=ALWAYS_OFF)
    with TaskTracker("a.md", tracker=MetricTracker(home.document, tracer_provider=sampled_out)):
        pass
    down = TracerProvider()
    tracker = MetricTracker(home.document, tracer_provider=down)
    with TaskTracker("a.md", tracker=tracker):
        pass
    down.shutdown()
    with TaskTracker("a.md", tracker=tracker):
        pass
    assert total(home) == 3


def test_an_exporter_that_is_shut_down_refuses_and_may_be_shut_down_again() -> None:
    exporter = CircuitBreakerSpanExporter()
    exporter.shutdown()
    exporter.shutdown()
    assert exporter.export([]) is SpanExportResult.FAILURE


@pytest.mark.processes
def test_the_provider_of_the_application_is_used_and_gets_one_processor(home: Home) -> None:
    code = """
import sys
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from otel_tracker import MetricTracker, TaskTracker
with TaskTracker("before.md", tracker=MetricTracker(sys.argv[1])): pass
assert isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
provider, spans = TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
for _ in range(3):
    with TaskTracker("after.md", tracker=MetricTracker(sys.argv[1])): pass
print([span.name for span in spans.get_finished_spans()])
print(sum(type(p).__name__ == "AgentSpanProcessor" for p in provider._active_span_processor._span_processors))
"""
    shown = subprocess.run([sys.executable, "-c", code, home.document], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines() == [str(["invoke_agent after.md"] * 3), "1"]
    assert total(home) == 4


def test_a_processor_of_the_application_that_fails_does_not_fail_the_task(home: Home) -> None:
    class Broken(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise RuntimeError("processor on fire")

    provider = TracerProvider()
    provider.add_span_processor(Broken())
    with TaskTracker("a.md", tracker=MetricTracker(home.document, tracer_provider=provider)):
        pass
    assert total(home) == 1


def test_a_task_whose_end_is_interrupted_in_a_processor_is_recorded_and_waits_no_longer(home: Home) -> None:
    class Interrupted(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            raise KeyboardInterrupt

    provider = TracerProvider()
    provider.add_span_processor(Interrupted())
    with (
        pytest.raises(KeyboardInterrupt),
        TaskTracker("a.md", tracker=MetricTracker(home.document, tracer_provider=provider)),
    ):
        pass
    assert total(home) == 1
    assert MetricTracker(home.document).get_history()[0]["action"] == "task_completed"


def agent_spans(number: int) -> list[ReadableSpan]:
    """Return spans of agents as another library makes them."""
    provider, exporter = TracerProvider(shutdown_on_exit=False), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    attributes = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "core/coder.md"}
    for _ in range(number):
        provider.get_tracer("library").start_span("invoke_agent core/coder.md", attributes=attributes).end()
    return list(exporter.get_finished_spans())


def test_a_batch_of_spans_is_one_transaction_whose_tasks_count_once(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[str] = []
    spans, sync = agent_spans(100), Files.sync

    def watched(self: Files, path: str) -> None:
        flushed.append(path)
        sync(self, path)

    monkeypatch.setattr(Files, "sync", watched)
    for exported in (spans, spans[:50] + spans[:50], agent_spans(3) + spans):
        flushed.clear()
        assert CircuitBreakerSpanExporter(home.document).export(exported) is SpanExportResult.SUCCESS
        assert len(flushed) <= 2  # of the events, and before a backup
    assert total(home) == 103


def test_a_span_of_a_batch_that_cannot_be_recorded_leaves_the_others(home: Home) -> None:
    spans = agent_spans(2)
    spans[0]._end_time = 10**30
    assert CircuitBreakerSpanExporter(home.document).export(spans) is SpanExportResult.FAILURE
    assert total(home) == 1
