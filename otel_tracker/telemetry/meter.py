"""OpenTelemetry metrics of tasks, through the API: without a MeterProvider of the application they cost nothing.

Names, units and buckets of durations and tokens are the conventions' for generative AI (names.py); what they have no
name for is under `otel_tracker.`.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from otel_tracker import names
from otel_tracker.names import VERSION
from otel_tracker.runtime.environment import usable
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.vitals import BOUNDS, vitals
from otel_tracker.runtime.writer import uninterrupted

# "Metric: gen_ai.invoke_agent.duration" and "Metric: gen_ai.client.token.usage" of the conventions.
DURATION_BOUNDS = (0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6)
TOKEN_BOUNDS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)


_guard = Guard()
_observed: set[MeterProvider | None] = set()
"""The providers that show the vitals; None stands for the global one, set or to be set."""


class Facts(NamedTuple):
    """What metrics need of an ended task."""

    agent: str
    outcome: str
    seconds: float
    model: str | None
    tokens: dict[str, int] | None
    error_type: str | None


class TaskMeter:
    """The instruments of one MeterProvider: the one passed in, else the one that the application has set or will set."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        provider = provider or usable("meter_provider", metrics.get_meter_provider)
        meter = provider.get_meter("otel_tracker", VERSION, names.SCHEMA_URL)
        self._durations = meter.create_histogram(
            names.METRIC_DURATION,
            unit="s",
            description="Duration of agent tasks.",
            explicit_bucket_boundaries_advisory=DURATION_BOUNDS,
        )
        self._tokens = meter.create_histogram(
            names.METRIC_TOKENS,
            unit="{token}",
            description="Tokens used by agent tasks, by type; input includes those of the cache.",
            explicit_bucket_boundaries_advisory=TOKEN_BOUNDS,
        )
        self._tasks = meter.create_counter(names.METRIC_TASKS, unit="{task}", description="Ended tasks by outcome.")
        self._proxy: Any = self._tasks if hasattr(self._tasks, "_real_instrument") else None
        self._transitions = meter.create_counter(
            names.METRIC_TRANSITIONS, unit="{transition}", description="Breakers that have got another state."
        )
        _observe_vitals(meter, provider)

    @property
    def is_on(self) -> bool:
        """Whether a provider collects: until a provider is set, the API's instruments have no real one behind them."""
        return self._proxy is None or self._proxy._real_instrument is not None  # noqa: SLF001 - there is no public way

    def task_ended(self, task: "Facts") -> None:
        """Count an ended task; a collector that fails is no reason to fail the task."""
        try:
            self._count(task)
        except Exception as error:
            if is_interrupt(error):
                raise
            warn("cannot count a task in metrics: %r", error)

    def _count(self, task: "Facts") -> None:
        known = {names.GEN_AI_AGENT: task.agent, names.GEN_AI_OPERATION: names.INVOKE_AGENT}
        if task.model is not None:
            known[names.GEN_AI_REQUEST_MODEL] = task.model
        self._tasks.add(1, {**known, names.SPAN_OUTCOME: task.outcome})
        self._durations.record(task.seconds, {**known, names.ERROR_TYPE: task.error_type} if task.error_type else known)
        if task.tokens:
            known[names.GEN_AI_PROVIDER] = names.provider_of(task.model)
            for kind, number in names.conventional_tokens(task.tokens).items():
                self._tokens.record(number, {**known, names.GEN_AI_TOKEN_TYPE: kind})

    def transition(self, agent: str, state: str) -> None:
        """Count a breaker that has got another state."""
        try:
            self._transitions.add(1, {names.GEN_AI_AGENT: agent, names.SPAN_CIRCUIT_STATE: state})
        except Exception as error:
            if is_interrupt(error):
                raise


@uninterrupted
def _observe_vitals(meter: metrics.Meter, provider: MeterProvider) -> None:
    """Show how the recording itself is doing, once for each provider: the process has one recording."""
    current = metrics.get_meter_provider()
    keys = {current, None} if provider is current else {provider}
    with _guard:
        is_observed = not keys.isdisjoint(_observed)
        _observed.update(keys)
    if is_observed:
        return

    def events(_: CallbackOptions) -> Iterable[Observation]:
        return [Observation(number, {names.METRIC_EVENT_RESULT: result}) for result, number in vitals.events.items()]

    meter.create_observable_counter(
        names.METRIC_EVENTS, [events], unit="{event}", description="Events of the journal, by what became of them."
    )
    for name, distribution, description in (
        (names.METRIC_WRITES, vitals.writes, "Time to write events, with all that they wait for."),
        (names.METRIC_LOCK_WAITS, vitals.lock_waits, "Time to get a lock of the home."),
    ):
        histogram = meter.create_histogram(
            name, unit="s", description=description, explicit_bucket_boundaries_advisory=BOUNDS
        )
        _listen(distribution.listeners, histogram)


def _listen(listeners: list[Any], histogram: metrics.Histogram) -> None:
    listeners.append(histogram.record)
