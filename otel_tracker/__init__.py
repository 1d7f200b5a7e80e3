"""OpenTelemetry tracking and a circuit breaker for fleets of coding agents.

docs/architecture.md shows the packages. The names below are loaded when they are first used: importing the package loads
neither the SDK nor prometheus_client.
"""

import os

if any(name.startswith("OTEL_") and name.endswith("_LIMIT") for name in os.environ):
    from otel_tracker.runtime.environment import unset_unusable_limits

    unset_unusable_limits()  # before any module of ours imports the SDK

from otel_tracker import names

__version__ = names.VERSION

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    from otel_tracker.state.tokens import estimate_tokens
    from otel_tracker.telemetry.propagation import bound, child_environment
    from otel_tracker.tracking.configuration import configure
    from otel_tracker.tracking.decorator import track_agent
    from otel_tracker.tracking.gate import Rejection, Selection
    from otel_tracker.tracking.metric_tracker import MetricTracker
    from otel_tracker.tracking.permit import Permit
    from otel_tracker.tracking.task import TaskTracker, current_task
    from otel_tracker_exporters.circuit_breaker import CircuitBreakerSpanExporter
    from otel_tracker_exporters.serving import serve_metrics

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
    if name == "dropin":  # where the drop-in modules in users' homes look for it
        from otel_tracker.tracking import dropin

        return dropin
    if name not in __all__:  # asked before any other module is loaded: `from otel_tracker import names` asks, too
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from otel_tracker.tracking.public_names import load

    value = globals()[name] = load(name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
