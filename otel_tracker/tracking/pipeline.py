"""The way of a task: a span of the right provider, with the task's event beside it, to the exporter and the store.

Whose provider it is: the one passed in; else the SDK provider that the application has set; else one of our own. The
application's global provider is never set from here.
"""

import weakref
from typing import Any, Protocol

from opentelemetry import trace
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, StatusCode, Tracer
from opentelemetry.util.types import Attributes

from otel_tracker import names
from otel_tracker.names import VERSION
from otel_tracker.runtime import environment
from otel_tracker.runtime.environment import is_disabled
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.writer import Receipt, is_idle, uninterrupted
from otel_tracker.state.shapes import Event
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.registry import recorder_of
from otel_tracker.telemetry.global_provider import global_provider
from otel_tracker.telemetry.meter import Facts, TaskMeter
from otel_tracker.telemetry.propagation import inherited_context
from otel_tracker.tracking.gate import Gate
from otel_tracker_exporters.circuit_breaker import AgentSpanProcessor, CircuitBreakerSpanExporter


class _Providers:
    """The providers of this process that have our processor, and our own, which is made when the first task needs it."""

    def __init__(self) -> None:
        self._guard = Guard()
        self._processors: weakref.WeakKeyDictionary[trace.TracerProvider, AgentSpanProcessor] = (
            weakref.WeakKeyDictionary()
        )
        self._own: TracerProvider | None = None

    def is_own(self, provider: trace.TracerProvider | None) -> bool:
        """Tell whether no application has set a provider: this one is ours, or none is chosen yet."""
        return provider is self._own

    def own(self) -> TracerProvider:
        """Return the provider whose spans only our processor gets."""
        return self._own or self._make_own()

    @uninterrupted
    def _make_own(self) -> TracerProvider:
        with self._guard:
            self._own = self._own or _new_provider()
        return self._own

    @uninterrupted
    def listen_to(self, provider: trace.TracerProvider, *, again: bool = False) -> None:
        """Add our processor to a provider of the SDK, once; with `again`, one that has stopped listening goes on."""
        if not isinstance(provider, TracerProvider):
            return
        with self._guard:
            processor = self._processors.get(provider)
            if processor is None:
                processor = self._processors[provider] = AgentSpanProcessor(CircuitBreakerSpanExporter())
                provider.add_span_processor(processor)
            processor.is_listening |= again

    @uninterrupted
    def stop_listening(self) -> None:
        """Stop recording the spans of others: the SDK has no way to take a processor away."""
        with self._guard:
            for processor in self._processors.values():
                processor.is_listening = False


def _new_provider() -> TracerProvider:
    """Return a provider that asks neither for the limits of spans nor for a resource."""
    unlimited = SpanLimits(*(SpanLimits.UNSET,) * 8)
    return TracerProvider(ALWAYS_ON, Resource.get_empty(), shutdown_on_exit=False, span_limits=unlimited)


providers = _Providers()


class NoSpan(NonRecordingSpan):
    """Stands for the span of a task where the process is disabled; it has the ids of the application's present span."""


class Pipeline:
    """Makes the spans of tasks, and sees to it that each task's event is recorded when its span ends."""

    def __init__(
        self,
        gate: Gate,
        tracer_provider: trace.TracerProvider | None = None,
    ) -> None:
        self.gate, self.recorder = gate, gate.recorder
        self._passed_in = tracer_provider
        self._provider: trace.TracerProvider | None = None
        self._tracer: Tracer | None = None
        self._has_complained = False
        self._inherited = inherited_context()
        self.meter = TaskMeter(environment.configuration.meter_provider)

    @property
    def is_unexported(self) -> bool:
        """Whether no exporter gets the spans: the application hasn't set OpenTelemetry up, or has switched it off."""
        return providers.is_own(self._provider) or type(self._tracer).__module__.startswith("opentelemetry.trace")

    def ids_of(self, span: Span, run_id: str) -> dict[str, Any]:
        """Return the fields of a run's event that are about its span: its ids, its parent's, whether it is unexported."""
        fields: dict[str, Any] = {}
        context, parent = span.get_span_context(), getattr(span, "parent", None)
        if self.is_unexported:
            fields["unexported"] = True
            if isinstance(span, NonRecordingSpan):  # which has its parent's ids, if there is one
                parent = context if context.is_valid else None
                trace_id = parent.trace_id if parent else int(run_id, 16)
                context = SpanContext(trace_id, int(run_id[:16], 16), is_remote=False)
        if context.is_valid:
            fields |= {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"}
        if parent is not None:
            fields["parent_span_id"] = f"{parent.span_id:016x}"
        return fields

    def context(self) -> Context:
        """Return the context that a task begins in: the present one, with the span of the process's parent if it has none."""
        present = get_current()
        if self._inherited is None or trace.get_current_span(present).get_span_context().is_valid:
            return present
        return Context({**self._inherited, **present})

    def block_context(self, span: Span, context: Context) -> Context:
        """Return the context of the code that runs in a task: `context` with the task's span as the current one, if it has one."""
        return context if isinstance(span, NoSpan) else trace.set_span_in_context(span, context)

    def start_span(self, agent: str, attributes: Attributes, start_time: int, context: Context | None = None) -> Span:
        """Start the span of a task at `start_time`, in nanoseconds since 1970."""
        if is_disabled():
            return NoSpan(trace.get_current_span(context).get_span_context())
        name = f"{names.INVOKE_AGENT} {agent}"
        try:
            return self._current_tracer().start_span(name, context, SpanKind.INTERNAL, attributes, (), start_time)
        except Exception as error:
            if is_interrupt(error):
                raise
            if not self._has_complained:
                self._has_complained = True
                warn("cannot start the span of a task, so that tasks are recorded without: %r", error)
            return trace.INVALID_SPAN

    def end_span(self, span: Span, ended: Event, end_time: int) -> Receipt:
        """Hand over the event of a task's end, end its span at `end_time`, in nanoseconds since 1970, and return the event's receipt.

        Where the application exports spans or metrics, the span gets an event if the task moves its agent's breaker.
        """
        is_seen = not isinstance(span, NoSpan) and (not providers.is_own(self._provider) or self.meter.is_on)
        # The rest of an interrupted call isn't waited for.
        state = self.gate.transition(ended) if is_seen and is_idle() else None
        receipt = self.recorder.submit(ended)
        if state is not None:
            self.add_transition(span, ended["agent"], state)
        try:
            if span.is_recording():  # not where an interrupt makes the caller do it again
                span.end(end_time)
        except Exception as error:  # a processor of the application has failed, not the task
            if is_interrupt(error):
                raise
            warn("cannot end the span of a task: %r", error)
        return receipt

    def add_transition(self, span: Span, agent: str, state: str) -> None:
        """Tell a task's span that the agent's breaker gets another state, and count that."""
        span.add_event(names.CIRCUIT_TRANSITION, {names.SPAN_CIRCUIT_STATE: state})
        self.meter.transition(agent, state)

    def record_span(self, event: Event, started: float, ended: float) -> Receipt:
        """Make the span of a task that is over, from its `event`, and return the event's receipt.

        The moments are seconds since 1970.
        """
        outcome = names.OUTCOMES[event["action"]]
        error_type = "record_task_failure" if outcome == names.FAILURE else None
        attributes = {
            names.GEN_AI_OPERATION: names.INVOKE_AGENT,
            names.GEN_AI_AGENT: event["agent"],
            names.SPAN_OUTCOME: outcome,
            names.GEN_AI_REQUEST_MODEL: event["model"],
            names.GEN_AI_PROVIDER: names.provider_of(event["model"]) if event["model"] else None,
            names.SPAN_RUN_ID: event["run_id"] or event["id"],
            names.SPAN_TASK_ID: event["task_id"],
            names.ERROR_TYPE: error_type,
            **(names.usage_attributes(event["tokens"]) if "tokens" in event else {}),
        }
        present = {key: value for key, value in attributes.items() if value is not None}
        span = self.start_span(event["agent"], present, int(started * 1e9), self.context())
        if self.meter.is_on:
            facts = Facts(
                event["agent"], outcome, event["duration_seconds"], event["model"], event.get("tokens"), error_type
            )
            self.meter.task_ended(facts)
        if outcome == names.FAILURE:
            span.set_status(StatusCode.ERROR, event.get("error"))
        event.update(self.ids_of(span, event["run_id"] or event["id"]))
        return self.end_span(span, event, int(ended * 1e9))

    def _current_tracer(self) -> Tracer:
        chosen = self._passed_in or environment.configuration.tracer_provider
        present = chosen or (trace.get_tracer_provider() if self._tracer else None)
        provider: trace.TracerProvider = present or global_provider("tracer_provider", trace.get_tracer_provider)
        if chosen is None and not isinstance(provider, TracerProvider):
            provider = providers.own()
        if self._tracer is None or provider is not self._provider:
            providers.listen_to(provider)
            self._tracer = provider.get_tracer(names.SCOPE, VERSION, names.SCHEMA_URL)
            self._provider = provider
        return self._tracer


class Tracker(Protocol):
    """Records tasks: a MetricTracker, or a pipeline alone."""

    @property
    def gate(self) -> Gate:
        """Asks the breakers."""

    @property
    def pipeline(self) -> Pipeline:
        """The way that the tasks take."""


_defaults: dict[Recorder, Pipeline] = {}


def default_pipeline() -> Pipeline:
    """Return the pipeline of the home that the environment names at this moment; one for each home."""
    recorder = recorder_of()
    pipeline = _defaults.get(recorder)
    if pipeline is None:
        pipeline = _defaults[recorder] = Pipeline(Gate(recorder))
    return pipeline
