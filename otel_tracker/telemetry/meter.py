"""OpenTelemetry metrics of tasks, through the API: without a MeterProvider of the application they cost nothing.

Which there are is one list (metrics.py). Names, units and buckets of durations and tokens are the conventions' for generative
AI; other names begin with `otel_tracker.`.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation

from otel_tracker import names
from otel_tracker.names import VERSION
from otel_tracker.runtime.environment import is_disabled
from otel_tracker.runtime.guard import Guard
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.runtime.log import warn
from otel_tracker.runtime.vitals import vitals
from otel_tracker.runtime.writer import uninterrupted
from otel_tracker.state.prices import MICRO_DOLLARS
from otel_tracker.telemetry import metrics as instruments
from otel_tracker.telemetry.global_provider import global_provider

_guard = Guard()
_observed: set[MeterProvider | None] = set()
"""The providers that show the vitals; None stands for the global one, set or to be set."""


class Facts(NamedTuple):
    """The facts of an ended task that metrics need."""

    agent: str
    outcome: str
    seconds: float
    model: str | None
    tokens: dict[str, int] | None
    error_type: str | None


class TaskMeter:
    """The instruments of one MeterProvider: the one passed in, else the one that the application has set or will set."""

    def __init__(self, provider: MeterProvider | None = None) -> None:
        provider = provider or global_provider("meter_provider", metrics.get_meter_provider)
        meter = provider.get_meter("otel_tracker", VERSION, names.SCHEMA_URL)
        self._durations = _histogram(meter, instruments.TASK_DURATION)
        self._tokens = _histogram(meter, instruments.TASK_TOKENS)
        self._tasks = _counter(meter, instruments.TASK_COUNT)
        self._costs = _counter(meter, instruments.TASK_COST)
        self._proxy: Any = self._tasks if hasattr(self._tasks, "_real_instrument") else None
        self._transitions = _counter(meter, instruments.TRANSITIONS)
        _observe_vitals(meter, provider)

    @property
    def is_on(self) -> bool:
        """Whether a provider collects: until a provider is set, the API's instruments have no real one behind them."""
        is_real = self._proxy is None or self._proxy._real_instrument is not None  # noqa: SLF001 - there is no public way
        return is_real and not is_disabled()

    def task_ended(self, task: "Facts") -> None:
        """Count an ended task; a collector that fails is no reason to fail the task."""
        try:
            self._count(task)
        except Exception as error:
            if is_interrupt(error):
                raise
            warn("cannot count a task in metrics: %r", error)

    def _count(self, task: "Facts") -> None:
        attributes = {names.GEN_AI_AGENT: task.agent, names.GEN_AI_OPERATION: names.INVOKE_AGENT}
        if task.model is not None:
            attributes[names.GEN_AI_REQUEST_MODEL] = task.model
        self._tasks.add(1, {**attributes, names.SPAN_OUTCOME: task.outcome})
        self._durations.record(
            task.seconds, {**attributes, names.ERROR_TYPE: task.error_type} if task.error_type else attributes
        )
        if task.tokens:
            attributes[names.GEN_AI_PROVIDER] = names.provider_of(task.model)
            for token_type, number in names.conventional_tokens(task.tokens).items():
                self._tokens.record(number, {**attributes, names.GEN_AI_TOKEN_TYPE: token_type})
            if names.PRICED in task.tokens:
                self._costs.add(task.tokens.get(names.COST, 0) / MICRO_DOLLARS, attributes)

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

    counter = instruments.EVENT_COUNT
    meter.create_observable_counter(counter.name, [events], unit=counter.unit, description=counter.help)
    for distribution, instrument in (
        (vitals.writes, instruments.WRITE_DURATION),
        (vitals.lock_waits, instruments.LOCK_WAIT_DURATION),
    ):
        distribution.listeners.append(_histogram(meter, instrument).record)


def _counter(meter: metrics.Meter, instrument: instruments.Instrument) -> metrics.Counter:
    return meter.create_counter(instrument.name, unit=instrument.unit, description=instrument.help)


def _histogram(meter: metrics.Meter, instrument: instruments.Instrument) -> metrics.Histogram:
    return meter.create_histogram(
        instrument.name,
        unit=instrument.unit,
        description=instrument.help,
        explicit_bucket_boundaries_advisory=instrument.bounds,
    )
