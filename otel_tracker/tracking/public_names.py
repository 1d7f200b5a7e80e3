"""The names that `from otel_tracker import ...` offers, and the module of each, which is loaded when its name is first used."""

from importlib import import_module

MODULES = {
    "MetricTracker": "otel_tracker.tracking.metric_tracker",
    "TaskTracker": "otel_tracker.tracking.task",
    "track_agent": "otel_tracker.tracking.decorator",
    "estimate_tokens": "otel_tracker.state.tokens",
    "CircuitBreakerSpanExporter": "otel_tracker_exporters.circuit_breaker",
    "AgentBlacklistedError": "otel_tracker.errors",
    "AmbiguousAgentError": "otel_tracker.errors",
    "NoAgentAvailableError": "otel_tracker.errors",
    "AgentTimeoutError": "otel_tracker.errors",
    "Permit": "otel_tracker.tracking.permit",
    "Rejection": "otel_tracker.tracking.gate",
    "Selection": "otel_tracker.tracking.gate",
    "current_task": "otel_tracker.tracking.task",
    "configure": "otel_tracker.tracking.configuration",
    "bound": "otel_tracker.telemetry.propagation",
    "child_environment": "otel_tracker.telemetry.propagation",
    "serve_metrics": "otel_tracker_exporters.serving",
    "DocumentError": "otel_tracker.errors",
    "InvalidValueError": "otel_tracker.errors",
    "LockTimeoutError": "otel_tracker.errors",
    "OtelTrackerError": "otel_tracker.errors",
    "StorageError": "otel_tracker.errors",
    "UnknownAgentError": "otel_tracker.errors",
    "UnknownMetricError": "otel_tracker.errors",
    "UnsupportedVersionError": "otel_tracker.errors",
}


def load(name: str) -> object:
    """Return the object of a public name; raises KeyError if there is no such name."""
    return getattr(import_module(MODULES[name]), name)
