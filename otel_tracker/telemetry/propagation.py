"""The trace that a task belongs to, from one process to another, and from one thread to another.

Processes hand it on in TRACEPARENT, TRACESTATE and BAGGAGE, in the forms of W3C Trace Context and W3C Baggage
(OpenTelemetry: "Environment Variables as Context Propagation Carriers").
"""

import contextvars
import functools
from collections.abc import Callable, Mapping
from typing import TypeVar

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from otel_tracker.runtime.environment import value_of, variables

_Function = TypeVar("_Function", bound=Callable[..., object])

_propagator = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_VARIABLES = ("TRACEPARENT", "TRACESTATE", "BAGGAGE")


def inherited_context() -> Context | None:
    """Return the context that the process which has started this one was in, None if it doesn't say."""
    carrier = {name.lower(): value for name in _VARIABLES if (value := value_of(name))}
    return _propagator.extract(carrier, Context()) if carrier else None


def child_environment(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return an environment for a process whose spans are to be part of the present task.

    It is `environment`, by default that of this process, with TRACEPARENT, TRACESTATE and BAGGAGE of the present context;
    outside of any span it keeps its own.
    """
    carrier: dict[str, str] = {}
    _propagator.inject(carrier)
    passed_on = variables() if environment is None else dict(environment)
    if "traceparent" in carrier:
        for name in _VARIABLES:
            passed_on.pop(name, None)
    return {**passed_on, **{name.upper(): value for name, value in carrier.items()}}


def bound(function: _Function) -> _Function:
    """Return `function` such that it runs, in whatever thread, in the context in which `bound` was called.

    `executor.submit(bound(work))` and `Thread(target=bound(work))` make tasks in `work` part of the present task.
    """
    context = contextvars.copy_context()

    @functools.wraps(function)
    def run(*arguments: object, **keywords: object) -> object:
        return context.copy().run(function, *arguments, **keywords)

    return run  # type: ignore[return-value]
