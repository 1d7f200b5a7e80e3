"""The global providers that the application has set, or that variables of OpenTelemetry's name."""

from collections.abc import Callable
from importlib.metadata import entry_points
from typing import TypeVar

from otel_tracker.runtime import environment
from otel_tracker.runtime.log import warn

_Provider = TypeVar("_Provider")


def global_provider(name: str, get: Callable[[], _Provider]) -> _Provider:
    """Return what `get()` returns, the global provider that `name` names: `tracer_provider` or `meter_provider`.

    The API raises where a variable names a provider that isn't installed or can't be made: the variable is then unset,
    with a warning.
    """
    variable = f"OTEL_PYTHON_{name.upper()}"
    is_named = environment.is_set(variable)
    if is_named and not entry_points(group=f"opentelemetry_{name}", name=environment.value_of(variable)):
        warn("%s", environment.unset(variable, "no installed package has it"))
    try:
        return get()
    except Exception as error:
        if not environment.is_set(variable):
            raise
        warn("%s", environment.unset(variable, repr(error)))
        return get()
