"""The instrumentor that `opentelemetry-instrument` finds: agent tasks are recorded without a line of code."""

from collections.abc import Collection
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,unused-ignore]

from otel_tracker.runtime import environment, terminate
from otel_tracker.tracking.pipeline import providers


class AgentTrackerInstrumentor(BaseInstrumentor):  # type: ignore[misc,unused-ignore]
    """Adds the processor that records agent tasks to the application's provider, once.

    `instrument(tracer_provider=, meter_provider=)` takes the providers of this package's own tasks from its arguments,
    else the global ones. After `uninstrument` spans of others are recorded no more; tasks of this package still are.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return the packages that must be installed for it to work: none."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        self._tracer_provider, self._meter_provider = kwargs.get("tracer_provider"), kwargs.get("meter_provider")
        present = environment.configuration
        present.tracer_provider = self._tracer_provider or present.tracer_provider
        present.meter_provider = self._meter_provider or present.meter_provider
        providers.listen_to(self._tracer_provider or trace.get_tracer_provider(), again=True)
        terminate.handler.follow_configuration()

    def _uninstrument(self, **kwargs: Any) -> None:
        present = environment.configuration  # whose providers stay where they are others
        if present.tracer_provider is self._tracer_provider:
            present.tracer_provider = None
        if present.meter_provider is self._meter_provider:
            present.meter_provider = None
        providers.stop_listening()
