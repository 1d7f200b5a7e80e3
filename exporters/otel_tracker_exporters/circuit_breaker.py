"""The span exporter that writes `circuit-breaker.json`, and the processor that feeds it without a queue."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import StatusCode

from otel_tracker import carrier, event, names
from otel_tracker.errors import InvalidValueError
from otel_tracker.log import warn
from otel_tracker.storage.registry import recorder_of
from otel_tracker.timestamps import format_timestamp

if TYPE_CHECKING:
    import os


class CircuitBreakerSpanExporter(SpanExporter):
    """Records the agent tasks among the spans that it gets; other spans pass.

    A task of this package is recorded once, however many exporters and processors get its span. A span of somebody
    else is a task if it says `gen_ai.operation.name = invoke_agent` and names its agent; it goes to the document at
    `config_file`, by default that of the home. `export` writes before it returns, and never raises.
    """

    def __init__(self, config_file: "str | os.PathLike[str] | None" = None) -> None:
        self._config_file = config_file
        self._is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Record the tasks that `spans` are about."""
        if self._is_shut_down:
            return SpanExportResult.FAILURE
        try:
            for span in spans:
                self._export(span)
        except Exception as error:  # noqa: BLE001 - an exporter that raises takes the user's other exporters down
            warn("cannot record the tasks of %d spans: %s", len(spans), error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        """Refuse further spans; may be called twice."""
        self._is_shut_down = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Try once more to write what could not be written, and tell whether nothing waits."""
        return recorder_of(self._config_file).flush()

    def _export(self, span: ReadableSpan) -> None:
        context = span.context
        if context is not None and carrier.deliver((context.trace_id, context.span_id)):
            return
        attributes = span.attributes or {}
        if attributes.get(names.GEN_AI_OPERATION) == names.INVOKE_AGENT and names.SPAN_RUN_ID not in attributes:
            ended = _event_of(span, attributes)
            if ended is not None:
                recorder_of(self._config_file).record(lambda: ended)


class AgentSpanProcessor(SpanProcessor):
    """Hands each span to an exporter the moment it ends, sampled or not."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: a task's start is recorded by who starts it."""

    def on_end(self, span: ReadableSpan) -> None:
        """Export the span."""
        self._exporter.export((span,))

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)


def _event_of(span: ReadableSpan, attributes: Mapping[str, Any]) -> event.Event | None:
    """Return the event of an agent's span that somebody else has made, None if it doesn't say enough."""
    try:
        agent = event.checked_agent(attributes.get(names.GEN_AI_AGENT))
    except InvalidValueError:
        return None
    if span.context is None or span.start_time is None or span.end_time is None:
        return None
    is_failure = span.status.status_code is StatusCode.ERROR
    full_id = attributes.get(names.GEN_AI_RESPONSE_MODEL)
    tokens = _tokens_of(attributes)
    run_id = f"{span.context.trace_id:032x}{span.context.span_id:016x}"
    ended = event.task_ended(
        agent,
        names.FAILURE if is_failure else names.SUCCESS,
        span.end_time / 1e9,
        run_id=run_id,
        started=format_timestamp(span.start_time / 1e9),
        duration_seconds=max(0, span.end_time - span.start_time) / 1e9,
        clock_skew=True if span.end_time < span.start_time else None,
        model=attributes.get(names.GEN_AI_REQUEST_MODEL),
        tokens=tokens,
        models={full_id: tokens} if full_id else None,
        error=event.error_text(span.status.description) if is_failure else None,
        trace_id=f"{span.context.trace_id:032x}",
        span_id=f"{span.context.span_id:016x}",
    )
    return {**ended, "id": run_id}  # the same span from two exporters is one event


def _tokens_of(attributes: Mapping[str, Any]) -> dict[str, int] | None:
    """Return tokens by type; the conventions' input tokens include those from and to the cache."""
    total_input, output = attributes.get(names.GEN_AI_INPUT_TOKENS), attributes.get(names.GEN_AI_OUTPUT_TOKENS)
    if total_input is None and output is None:
        return None
    cache_read = attributes.get(names.GEN_AI_CACHE_READ_TOKENS) or 0
    cache_write = attributes.get(names.GEN_AI_CACHE_WRITE_TOKENS) or 0
    tokens = {
        "input": max(0, (total_input or 0) - cache_read - cache_write),
        "output": output or 0,
        "cache_read": cache_read,
        "cache_write": cache_write,
    }
    return {kind: int(number) for kind, number in tokens.items()}
