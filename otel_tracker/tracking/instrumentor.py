"""The instrumentor that `opentelemetry-instrument` finds: agent tasks are recorded without a line of code."""

from collections.abc import Collection
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.instrumentor import BaseInstrumentor  # type: ignore[attr-defined,unused-ignore]

from otel_tracker.runtime import environment, terminate
from otel_tracker.tracking import pipeline


class AgentTrackerInstrumentor(BaseInstrumentor):  # type: ignore[misc,unused-ignore]
    """Adds the processor that records agent tasks to the application's provider, once.

    `instrument(tracer_provider=, meter_provider=)` takes the providers of this package's own tasks from its arguments,
    else the global ones. After `uninstrument` spans of others are recorded no more; tasks of this package still are.
    """

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return what must be installed for it to do anything: nothing."""
        return ()

    def _instrument(self, **kwargs: Any) -> None:
        providers = {name: kwargs.get(name) for name in ("tracer_provider", "meter_provider")}
        self._given = {name: provider for name, provider in providers.items() if provider is not None}
        environment.configured.update(self._given)
        pipeline.listen_to(kwargs.get("tracer_provider") or trace.get_tracer_provider(), again=True)
        terminate.follow_configuration()

    def _uninstrument(self, **kwargs: Any) -> None:
        for name, provider in self._given.items():
            if environment.configured.get(name) is provider:  # what `configure` has said stays
                del environment.configured[name]
        pipeline.stop_listening()
