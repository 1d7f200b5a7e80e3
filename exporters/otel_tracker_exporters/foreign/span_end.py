"""How an agent's span ended: the outcome of its task, and the error that the span names.

Sources: `error.type` and the exception event of https://opentelemetry.io/docs/specs/semconv/exceptions/; the SDK writes
`exception.type` with the module, except for builtins.
"""

from typing import NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from otel_tracker import names
from otel_tracker.state import event, outages
from otel_tracker_exporters.foreign.convention import Attributes, first_text

_EXCEPTION, _TYPE, _MESSAGE = "exception", "exception.type", "exception.message"
_CANCELLATIONS = (
    "asyncio.exceptions.CancelledError",
    "asyncio.CancelledError",
    "CancelledError",
    "KeyboardInterrupt",
    "GeneratorExit",
)


class SpanEnd(NamedTuple):
    """How a task ended; the other fields are as in its event (docs/document.md)."""

    outcome: str
    error: str | None = None
    error_type: str | None = None
    environment_error: str | None = None
    reason: str | None = None


def end_of(span: ReadableSpan, attributes: Attributes) -> SpanEnd:
    """Return how the task of an agent's span ended.

    A cancellation needs no status: OpenTelemetry's own `use_span` sets none for it. A status that says OK rules it out.
    """
    status = span.status.status_code
    recorded_type, message = _exception_of(span)
    error_type = first_text((attributes.get(names.ERROR_TYPE), recorded_type))
    text = event.error_text(first_text((span.status.description, message)))
    if error_type in _CANCELLATIONS and status is not StatusCode.OK:
        return SpanEnd(names.CANCELLED, reason=text)
    if status is not StatusCode.ERROR:
        return SpanEnd(names.SUCCESS)
    name = None if error_type is None else error_type.rpartition(".")[2] or error_type  # as a TaskTracker says it
    return SpanEnd(names.FAILURE, text, name, _outage(name, text))


def _exception_of(span: ReadableSpan) -> tuple[object, object]:
    """Return the type and the message of the last exception that a span has recorded."""
    for happened in reversed(span.events):
        if happened.name == _EXCEPTION and happened.attributes:
            return happened.attributes.get(_TYPE), happened.attributes.get(_MESSAGE)
    return None, None


def _outage(error_type: str | None, text: str | None) -> str | None:
    """Return the outage that an error is due to, None for another error; its type may be a class, a code, or a status of HTTP."""
    return outages.outage_named(error_type or "") or outages.outage_of(None, text)
