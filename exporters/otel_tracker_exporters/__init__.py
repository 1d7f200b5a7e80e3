"""Owns the ways out: finished spans to the document, and the document to Prometheus; one file for each.

The names below are loaded when they are first used.
"""

_MODULES = {
    "CircuitBreakerSpanExporter": "circuit_breaker",
    "StateCollector": "prometheus",
    "VitalsCollector": "prometheus_vitals",
}

TYPE_CHECKING = False
if TYPE_CHECKING:
    from otel_tracker_exporters.circuit_breaker import CircuitBreakerSpanExporter
    from otel_tracker_exporters.prometheus import StateCollector
    from otel_tracker_exporters.prometheus_vitals import VitalsCollector

__all__ = ["CircuitBreakerSpanExporter", "StateCollector", "VitalsCollector"]


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
