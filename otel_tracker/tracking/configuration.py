"""`configure`: the settings of a process, which hold for each tracker that isn't given others."""

import os
from typing import TYPE_CHECKING, Any

from otel_tracker.errors import InvalidValueError
from otel_tracker.runtime import environment, terminate

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider


def configure(
    *,
    home: "str | os.PathLike[str] | None" = None,
    enforce: bool | None = None,
    handle_signals: bool | None = None,
    mask_secrets: bool | None = None,
    tracer_provider: "TracerProvider | None" = None,
    meter_provider: "MeterProvider | None" = None,
    disabled: bool | None = None,
) -> None:
    """Set the settings of this process; where an argument is None its environment variable decides, then the default.

    `home` (OTEL_TRACKER_HOME, `~/.claude/agents`) is the folder of the document, the journal and the backups. With `enforce`
    (OTEL_TRACKER_ENFORCE, off) tasks ask their agent's breaker first. With `handle_signals` (OTEL_TRACKER_HANDLE_SIGNALS, off) SIGTERM ends
    running tasks as cancelled. With `mask_secrets` (OTEL_TRACKER_MASK_SECRETS, on) secrets in error texts are masked. Spans
    and metrics go to the providers given, else to those that the application has set. With `disabled` (OTEL_TRACKER_DISABLED, off)
    nothing is written, no span is made and no task refused; questions about what was recorded before are answered.

    It holds for trackers that are made, and tasks that begin, from now on; each call sets all of them. Raises InvalidValueError.
    """
    environment.configuration = environment.Configuration(
        home=_folder(home),
        enforce=_truth("enforce", enforce),
        handle_signals=_truth("handle_signals", handle_signals),
        mask_secrets=_truth("mask_secrets", mask_secrets),
        tracer_provider=_provider("tracer_provider", tracer_provider, "get_tracer"),
        meter_provider=_provider("meter_provider", meter_provider, "get_meter"),
        disabled=_truth("disabled", disabled),
    )
    terminate.handler.follow_configuration()


def _folder(value: Any) -> str | None:
    folder = os.fspath(value) if isinstance(value, os.PathLike) else value
    if folder is None or (isinstance(folder, str) and environment.is_folder(folder)):
        return folder
    raise InvalidValueError("a home", value, "a folder")


def _provider(name: str, value: Any, method: str) -> Any:
    if value is None or (callable(getattr(value, method, None)) and not isinstance(value, type)):
        return value
    raise InvalidValueError(name, value, f"an object with `{method}`, such as the SDK's, or None")


def _truth(name: str, value: Any) -> bool | None:
    if value is None or isinstance(value, bool):
        return value
    raise InvalidValueError(name, value, "True, False or None")
