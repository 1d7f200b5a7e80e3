"""The event of an agent's task from a span of another library.

A span may speak several conventions: each value is the first one that they give, in the order of `CONVENTIONS`, and
the span is one task all the same. A malformed value is left out, and the task stays; only without a name, or without
moments that can be written, there is none.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk.trace import ReadableSpan

from otel_tracker import names
from otel_tracker.errors import InvalidValueError
from otel_tracker.runtime.limits import LATEST_SECONDS, MOST_TOKENS
from otel_tracker.runtime.timestamps import format_timestamp
from otel_tracker.state import event
from otel_tracker.state.shapes import Event
from otel_tracker.state.tokens import priced_tokens
from otel_tracker_exporters.foreign.convention import Attributes, Convention, first_text, tokens_of
from otel_tracker_exporters.foreign.gen_ai import GEN_AI, RESPONSE_ID
from otel_tracker_exporters.foreign.openinference import OPENINFERENCE
from otel_tracker_exporters.foreign.openllmetry import OPENLLMETRY
from otel_tracker_exporters.foreign.pending import PendingTokens, SpanKey, TokensByModel, all_tokens
from otel_tracker_exporters.foreign.pydantic_ai import PYDANTIC_AI
from otel_tracker_exporters.foreign.span_end import end_of
from otel_tracker_exporters.foreign.strands import STRANDS

if TYPE_CHECKING:
    from otel_tracker.state.prices import Cost

# One that knows more of its own spans comes first.
CONVENTIONS = (PYDANTIC_AI, STRANDS, OPENLLMETRY, OPENINFERENCE, GEN_AI)

# One of them begins the name of an attribute that makes a span worth looking at.
_PREFIXES = ("gen_ai.", "llm.", "traceloop.", "openinference.", "agent_name")

# Logfire's announcement of a span that has begun, which is a span with the same attributes.
_SPAN_TYPE, _ANNOUNCEMENT = "logfire.span_type", "pending_span"

_pending = PendingTokens()  # one for all exporters, as the spans are


def pass_over(key: SpanKey) -> None:
    """Take notice of a span of this package's own: it counts its tokens itself."""
    _pending.drop(key)


def is_telling(span: ReadableSpan) -> bool:
    """Tell whether a span has to do with agents, itself or by those below it; most spans of an application haven't."""
    is_above = span.context is not None and _pending.holds((span.context.trace_id, span.context.span_id))
    return is_above or any(name.startswith(_PREFIXES) for name in span.attributes or ())


def event_of(span: ReadableSpan, cost: "Cost") -> Event | None:
    """Return the event of the task that a span is, None if it isn't an agent's; remember the tokens that it has used.

    A span of a request to a model is priced by `cost`; the sums that agents' spans have of their requests can't be.
    Raises InvalidValueError, or the error of converting its times, if it can't be recorded.
    """
    if span.context is None or span.end_time is None or not is_telling(span):
        return None
    key = (span.context.trace_id, span.context.span_id)
    attributes: dict[str, Any] = dict(span.attributes or {})
    if attributes.get(_SPAN_TYPE) == _ANNOUNCEMENT:
        return None
    if names.SPAN_RUN_ID in attributes:
        pass_over(key)
        return None
    spoken = [convention for convention in CONVENTIONS if convention.is_spoken_by(span)]
    agent = first_text(name for convention in spoken for name in convention.agent_names(span, attributes))
    if agent is None:
        response = first_text((attributes.get(RESPONSE_ID),))
        own = _priced(_own_usage(attributes, spoken, is_agent=False), (span.start_time or span.end_time) / 1e9, cost)
        _pending.settle(key, own, _parent_of(span), response)
        return None
    is_vague = any(convention.is_agents_usage_vague for convention in spoken)
    usage = _pending.settle_task(key, _own_usage(attributes, spoken, is_agent=True), is_own_vague=is_vague)
    if max(span.end_time, span.start_time or 0) > LATEST_SECONDS * 10**9:
        raise InvalidValueError("the span of an agent", span.name, "times before the year 9000")
    return _ended(span, span.end_time, agent, attributes, spoken, _measured(usage))


def _ended(
    span: ReadableSpan,
    end_time: int,
    agent: str,
    attributes: Attributes,
    spoken: list[Convention],
    usage: TokensByModel | None,
) -> Event:
    trace_id, span_id = f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"
    run_id = f"{trace_id}{span_id}"
    end, start_time = end_of(span, attributes), end_time if span.start_time is None else span.start_time
    return event.task_ended(
        agent,
        end.outcome,
        end_time / 1e9,
        run_id=run_id,
        started=format_timestamp(start_time / 1e9),
        duration_seconds=max(0, end_time - start_time) / 1e9,
        clock_skew=True if end_time < start_time else None,
        model=_asked_model(attributes, spoken),
        tokens=None if usage is None else all_tokens(usage),
        models=_by_model(usage, _answering_model(attributes, spoken)),
        error=end.error,
        error_type=end.error_type,
        environment_error=end.environment_error,
        reason=end.reason,
        conversation_id=_first(attributes, (key for convention in spoken for key in convention.conversation)),
        trace_id=trace_id,
        span_id=span_id,
        event_id=run_id,  # the same span from two exporters is one event
    )


def _measured(usage: TokensByModel | None) -> TokensByModel | None:
    return None if usage is None or names.total_tokens(all_tokens(usage)) > MOST_TOKENS else usage


def _by_model(usage: TokensByModel | None, answering: str | None) -> dict[str, dict[str, int] | None] | None:
    """Return tokens by full model id, None if no span has named a model."""
    if usage is None:
        return None if answering is None else {answering: None}
    if all(model is None for model in usage):
        return None
    return {model or names.UNKNOWN_MODEL: tokens for model, tokens in usage.items()}


def _own_usage(attributes: Attributes, spoken: list[Convention], *, is_agent: bool) -> TokensByModel | None:
    """Return the tokens on the span itself, by model; the model that an agent has asked for is recorded elsewhere."""
    tokens = tokens_of(attributes, spoken)
    if tokens is None:
        return None
    model = _answering_model(attributes, spoken)
    return {model or (None if is_agent else _asked_model(attributes, spoken)): tokens}


def _priced(usage: TokensByModel | None, at: float, cost: "Cost") -> TokensByModel | None:
    """Return what a request has used, with what it cost."""
    if usage is None:
        return None
    return {
        model: priced_tokens(tokens, cost(model, tokens, at, speed=None)) if model and any(tokens.values()) else tokens
        for model, tokens in usage.items()
    }


def _asked_model(attributes: Attributes, spoken: list[Convention]) -> str | None:
    return _first(attributes, (key for convention in spoken for key in convention.asked_model))


def _answering_model(attributes: Attributes, spoken: list[Convention]) -> str | None:
    return _first(attributes, (key for convention in spoken for key in convention.answering_model))


def _first(attributes: Attributes, keys: Iterable[str]) -> str | None:
    return first_text(attributes.get(key) for key in keys)


def _parent_of(span: ReadableSpan) -> SpanKey | None:
    """Return the key of the span that a span is part of; one of another process will never come."""
    return None if span.parent is None else (span.parent.trace_id, span.parent.span_id)
