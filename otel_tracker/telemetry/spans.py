"""Spans of tasks that no exporter has got: those of `exec` and of hooks, and those of processes without OpenTelemetry.

Their events say `unexported`, and have all that a span needs: ids, true times, outcome, tokens.
"""

import hashlib
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from otel_tracker import names
from otel_tracker.names import VERSION
from otel_tracker.runtime.masking import masked
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.shapes import Event
from otel_tracker.telemetry import trace_context

_SCOPE = InstrumentationScope("otel_tracker", VERSION, names.SCHEMA_URL)
_FAILURES = (names.FAILURE, names.LOST)


def span_of(event: Event, resource: Resource) -> ReadableSpan | None:
    """Return the span of a task's end, None if it has been exported or the event is about something else."""
    outcome = names.OUTCOMES.get(event["action"])
    if outcome is None or not event.get("unexported"):
        return None
    ended = parse_timestamp(event["timestamp"])
    started = parse_timestamp(event["started"]) if event.get("started") else ended - (event["duration_seconds"] or 0.0)
    why = masked(event.get("error") or event.get("reason") or "") or None  # it may be older than masking
    status = Status(StatusCode.ERROR, why) if outcome in _FAILURES else Status()
    parent = _context(event, "parent_span_id")
    return ReadableSpan(
        name=f"{names.INVOKE_AGENT} {event['agent']}",
        context=_context(event, "span_id"),
        parent=parent,
        resource=resource,
        attributes=_attributes(event, outcome),
        kind=SpanKind.INTERNAL,
        status=status,
        start_time=round(min(started, ended) * 1e9),
        end_time=round(ended * 1e9),
        instrumentation_scope=_SCOPE,
    )


def _context(event: Event, key: str) -> SpanContext | None:
    """Return the span that an event names; of an event without ids one that follows from its run."""
    named = trace_context.SpanContext.parse(f"00-{event.get('trace_id')}-{event.get(key)}-01")
    if named is None and key == "span_id":
        drawn = hashlib.sha256(event["run_id"].encode("utf-8", "replace")).hexdigest()
        named = trace_context.SpanContext(drawn[:32], drawn[32:48])
    if named is None:
        return None
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(named.trace_id, 16), int(named.span_id, 16), key != "span_id", sampled)


def _attributes(event: Event, outcome: str) -> dict[str, Any]:
    model, models = event.get("model"), event.get("models") or {}
    attributes = {
        names.GEN_AI_OPERATION: names.INVOKE_AGENT,
        names.GEN_AI_AGENT: event["agent"],
        names.GEN_AI_REQUEST_MODEL: model,
        names.GEN_AI_RESPONSE_MODEL: next(iter(models), None),
        names.GEN_AI_PROVIDER: names.provider_of(model or next(iter(models), None)) if model or models else None,
        names.GEN_AI_CONVERSATION: event.get("conversation_id"),
        names.ERROR_TYPE: _error_type(event) if outcome in _FAILURES else None,
        names.SPAN_RUN_ID: event["run_id"],
        names.SPAN_TASK_ID: event.get("task_id"),
        names.SPAN_OUTCOME: outcome,
        names.SPAN_ESTIMATED: event.get("estimated"),
        names.SPAN_FALLBACK_FOR: event.get("fallback_for"),
        **(names.usage_attributes(event["tokens"]) if event.get("tokens") else {}),
    }
    return {key: value for key, value in attributes.items() if value is not None}


def _error_type(event: Event) -> str:
    return event.get("error_type") or event.get("environment_error") or "_OTHER"
