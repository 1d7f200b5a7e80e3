"""The span exporter that writes `circuit-breaker.json`, and the processor that feeds it without a queue."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from otel_tracker import names
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.writer import uninterrupted
from otel_tracker.state.shapes import Event
from otel_tracker.storage.price_file import cost_in
from otel_tracker.storage.registry import recorder_of
from otel_tracker_exporters.foreign import foreign_task

if TYPE_CHECKING:
    import os

    from otel_tracker.state.prices import Cost


class CircuitBreakerSpanExporter(SpanExporter):
    """Records the agent tasks among the spans that it gets, all of a batch in one transaction; other spans pass.

    A task is recorded once, however many exporters and processors get its span. A span of another library is a task if
    it is an agent's by a convention that is known (docs/opentelemetry.md). Tasks go to the document at `config_file`, by
    default that of the home. `export` writes before it returns, and never raises.
    """

    def __init__(self, config_file: "str | os.PathLike[str] | None" = None) -> None:
        self._config_file = config_file
        self._is_shut_down = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Record the tasks that `spans` are about; FAILURE where one can't be recorded now, and after `shutdown`."""
        if self._is_shut_down:
            return SpanExportResult.FAILURE
        others = [span for span in spans if not _is_ours(span)]
        is_telling = any(foreign_task.is_telling(span) for span in others)
        return self._export(others) if is_telling else SpanExportResult.SUCCESS

    @uninterrupted
    def _export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        events: list[Event] = []
        done = [_is_done(_collect, span, events, self._cost) for span in spans]
        if events:
            done.append(_is_done(self._record, events))
        return SpanExportResult.SUCCESS if all(done) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Refuse further spans; may be called twice."""
        self._is_shut_down = True

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Try once more to write the events that could not be written, and return whether none waits any more.

        `timeout_millis` is ignored: it is one try.
        """
        return recorder_of(self._config_file).flush()

    def _cost(self, model: str, tokens: Mapping[str, int], at: float, *, speed: str | None) -> int | None:
        """Return what a request costs (PriceTable.cost); the prices are read when the first span needs them."""
        return cost_in(recorder_of(self._config_file).store.home)(model, tokens, at, speed=speed)

    def _record(self, events: list[Event]) -> None:
        recorder_of(self._config_file).record_all(events)


class AgentSpanProcessor(SpanProcessor):
    """Hands each span to an exporter the moment it ends, sampled or not."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.is_listening = True
        """Whether spans of other libraries are recorded."""

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Do nothing: a task's start is recorded by the code that starts it."""

    def on_end(self, span: ReadableSpan) -> None:
        """Export the span; one of this package's own needs no more than its event."""
        if self.is_listening:
            self._exporter.export((span,))

    def shutdown(self) -> None:
        """Shut the exporter down."""
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the exporter."""
        return self._exporter.force_flush(timeout_millis)


def _is_done(act: Callable[..., None], *arguments: object) -> bool:
    try:
        act(*arguments)
    except Exception as error:  # an exporter that raises takes the user's other exporters down
        if is_interrupt(error):
            raise
        warn("cannot record the task of a span: %r", error)
        return False
    return True


def _collect(span: ReadableSpan, events: list[Event], cost: "Cost") -> None:
    """Add the event of the task that a span is, if it is one, to `events`."""
    ended = foreign_task.event_of(span, cost)
    if ended is not None:
        events.append(ended)


def _is_ours(span: ReadableSpan) -> bool:
    """Tell whether a span is of one of this package's own tasks, whose event goes to the recorder without it.

    A span is a lossy carrier: limits cut its attributes, samplers drop it, a provider may be shut down.
    """
    scope = span.instrumentation_scope
    is_ours = scope is not None and scope.name == names.SCOPE
    if is_ours and span.context is not None:
        foreign_task.pass_over(span.context[:2])  # trace and span
    return is_ours
