"""The way of a task: a span of the right provider, with the task's event beside it, to the exporter and the store.

Whose provider it is: the one passed in; else the SDK provider that the application has set; else one of our own. The
application's global provider is never set from here.
"""

import weakref
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.util.types import Attributes

from otel_tracker import __version__, carrier, names
from otel_tracker.guard import Guard
from otel_tracker.log import warn
from otel_tracker.storage.recorder import Recorder
from otel_tracker_exporters.circuit_breaker import AgentSpanProcessor, CircuitBreakerSpanExporter

_guard = Guard()
_with_processor: "weakref.WeakSet[trace.TracerProvider]" = weakref.WeakSet()
_own_provider: TracerProvider | None = None


class Pipeline:
    """Makes the spans of tasks, and sees to it that each task's event is recorded when its span ends."""

    def __init__(self, recorder: Recorder, tracer_provider: trace.TracerProvider | None = None) -> None:
        self.recorder = recorder
        self._passed_in = tracer_provider
        self._provider: trace.TracerProvider | None = None
        self._tracer: Tracer | None = None

    def start_span(self, agent: str, attributes: Attributes, start_time: int) -> Span:
        """Start the span of a task at `start_time`, in nanoseconds since 1970."""
        name = f"{names.INVOKE_AGENT} {agent}"
        return self._current_tracer().start_span(
            name, kind=SpanKind.INTERNAL, attributes=attributes, start_time=start_time
        )

    def end_span(self, span: Span, make_event: carrier.MakeEvent, end_time: int) -> None:
        """End a task's span at `end_time`, in nanoseconds since 1970, and return when its event is recorded."""
        if not span.is_recording():
            span.end(end_time)
            self.recorder.record(make_event)
            return
        context = span.get_span_context()
        key = (context.trace_id, context.span_id)
        carrier.attach(key, self.recorder, make_event)
        try:
            span.end(end_time)
        except Exception as error:  # noqa: BLE001 - a processor of the application has failed, not the task
            warn("cannot end the span of a task: %r", error)
        carrier.deliver(key)

    def record_span(self, event: dict[str, Any], started: float, ended: float) -> None:
        """Make the span of a task that is over, from its `event`; the moments are seconds since 1970."""
        outcome = names.OUTCOMES[event["action"]]
        attributes = {
            names.GEN_AI_OPERATION: names.INVOKE_AGENT,
            names.GEN_AI_AGENT: event["agent"],
            names.SPAN_OUTCOME: outcome,
            names.GEN_AI_REQUEST_MODEL: event["model"],
            names.SPAN_RUN_ID: event["run_id"] or event["id"],
            names.SPAN_TASK_ID: event["task_id"],
            names.ERROR_TYPE: "record_task_failure" if outcome == names.FAILURE else None,
            **(names.usage_attributes(event["tokens"]) if "tokens" in event else {}),
        }
        known = {key: value for key, value in attributes.items() if value is not None}
        span = self.start_span(event["agent"], known, int(started * 1e9))
        if outcome == names.FAILURE:
            span.set_status(StatusCode.ERROR, event.get("error"))
        context = span.get_span_context()
        if context.is_valid:
            event["trace_id"], event["span_id"] = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        self.end_span(span, lambda: event, int(ended * 1e9))

    def _current_tracer(self) -> Tracer:
        provider = self._passed_in or trace.get_tracer_provider()
        if self._passed_in is None and not isinstance(provider, TracerProvider):
            provider = _private_provider()
        if self._tracer is None or provider is not self._provider:
            _ensure_processor(provider)
            self._provider = provider
            self._tracer = provider.get_tracer("otel_tracker", __version__)
        return self._tracer


def _private_provider() -> TracerProvider:
    global _own_provider  # noqa: PLW0603 - made once, when the first task needs it
    if _own_provider is None:
        with _guard:
            _own_provider = _own_provider or TracerProvider(sampler=ALWAYS_ON, shutdown_on_exit=False)
    return _own_provider


def _ensure_processor(provider: trace.TracerProvider) -> None:
    """Add our processor to a provider of the SDK, once."""
    with _guard:
        if isinstance(provider, TracerProvider) and provider not in _with_processor:
            provider.add_span_processor(AgentSpanProcessor(CircuitBreakerSpanExporter()))
            _with_processor.add(provider)
