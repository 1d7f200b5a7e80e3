"""OpenTelemetry tracking and a circuit breaker for fleets of coding agents.

Reading order of the modules: names, settings, schema, document, codec; breaker, fold; storage/ (files, lock, journal,
backups, store, recorder); summary, reports; gate, pipeline, metric_tracker, task, decorator, runner; cli/. The names below
are loaded when they are first used: importing the package loads neither the SDK nor prometheus_client.
"""

import os

if any(name.startswith("OTEL_") and name.endswith("_LIMIT") for name in os.environ):
    from otel_tracker.environment import unset_unusable_limits

    unset_unusable_limits()  # before any module of ours imports the SDK

__version__ = "0.1.0"

_HOMES = {
    "MetricTracker": "otel_tracker.metric_tracker",
    "TaskTracker": "otel_tracker.task",
    "track_agent": "otel_tracker.decorator",
    "estimate_tokens": "otel_tracker.tokens",
    "CircuitBreakerSpanExporter": "otel_tracker_exporters.circuit_breaker",
    "AgentBlacklistedError": "otel_tracker.errors",
    "AmbiguousAgentError": "otel_tracker.errors",
    "NoAgentAvailableError": "otel_tracker.errors",
    "AgentTimeoutError": "otel_tracker.errors",
    "Permit": "otel_tracker.permit",
    "Rejection": "otel_tracker.gate",
    "Selection": "otel_tracker.gate",
    "current_task": "otel_tracker.block",
    "configure": "otel_tracker.configuration",
    "bound": "otel_tracker.propagation",
    "child_environment": "otel_tracker.propagation",
    "serve_metrics": "otel_tracker.serving",
    "DocumentError": "otel_tracker.errors",
    "InvalidValueError": "otel_tracker.errors",
    "LockTimeoutError": "otel_tracker.errors",
    "OtelTrackerError": "otel_tracker.errors",
    "StorageError": "otel_tracker.errors",
    "UnknownAgentError": "otel_tracker.errors",
    "UnknownMetricError": "otel_tracker.errors",
    "UnsupportedVersionError": "otel_tracker.errors",
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker.block import current_task
    from otel_tracker.configuration import configure
    from otel_tracker.decorator import track_agent
    from otel_tracker.errors import (
        AgentBlacklistedError,
        AgentTimeoutError,
        AmbiguousAgentError,
        DocumentError,
        InvalidValueError,
        LockTimeoutError,
        NoAgentAvailableError,
        OtelTrackerError,
        StorageError,
        UnknownAgentError,
        UnknownMetricError,
        UnsupportedVersionError,
    )
    from otel_tracker.gate import Rejection, Selection
    from otel_tracker.metric_tracker import MetricTracker
    from otel_tracker.permit import Permit
    from otel_tracker.propagation import bound, child_environment
    from otel_tracker.serving import serve_metrics
    from otel_tracker.task import TaskTracker
    from otel_tracker.tokens import estimate_tokens
    from otel_tracker_exporters.circuit_breaker import CircuitBreakerSpanExporter

__all__ = [
    "AgentBlacklistedError",
    "AgentTimeoutError",
    "AmbiguousAgentError",
    "CircuitBreakerSpanExporter",
    "DocumentError",
    "InvalidValueError",
    "LockTimeoutError",
    "MetricTracker",
    "NoAgentAvailableError",
    "OtelTrackerError",
    "Permit",
    "Rejection",
    "Selection",
    "StorageError",
    "TaskTracker",
    "UnknownAgentError",
    "UnknownMetricError",
    "UnsupportedVersionError",
    "bound",
    "child_environment",
    "configure",
    "current_task",
    "estimate_tokens",
    "serve_metrics",
    "track_agent",
]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
