"""The form in which each convention is described: where its spans name the agent, and which attributes hold the rest.

A value that is none, because its type is wrong or there is nothing in it, counts as left out.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan

from otel_tracker.runtime.limits import NAME_CHARACTERS
from otel_tracker.state.shapes import Tokens
from otel_tracker.state.tokens import whole_tokens

Attributes = Mapping[str, Any]


class Counts(NamedTuple):
    """The attributes that hold numbers of tokens; of each, the first one that is there.

    `input` includes `cache_read` and `cache_write`, unless the numbers say that it can't.
    """

    input: tuple[str, ...]
    output: tuple[str, ...]
    cache_read: tuple[str, ...] = ()
    cache_write: tuple[str, ...] = ()


class Convention(NamedTuple):
    """How one convention says things; each group of attributes in the order in which they are tried."""

    agent_names: Callable[[ReadableSpan, Attributes], Iterable[object]]
    """Returns values that may be the agent's name, the best first; none if the span isn't an agent's."""
    counts: Counts
    total: tuple[str, ...] = ()
    """The attributes that hold the number of all tokens: it counts if it is more than the sum of the others."""
    asked_model: tuple[str, ...] = ()
    answering_model: tuple[str, ...] = ()
    conversation: tuple[str, ...] = ()
    is_agents_usage_vague: bool = False
    """Whether the tokens on an agent's span may include those of other agents or runs; the spans below it are then right."""
    scope: str | None = None
    """The instrumentation scope that alone speaks it; None: any scope may."""

    def is_spoken_by(self, span: ReadableSpan) -> bool:
        """Tell whether the convention's attributes mean in `span` what they mean here."""
        return self.scope is None or self.scope == scope_of(span)


def scope_of(span: ReadableSpan) -> str | None:
    """Return the name of the instrumentation scope that has made a span."""
    return None if span.instrumentation_scope is None else span.instrumentation_scope.name


def name_after(prefix: str, span: ReadableSpan) -> str | None:
    """Return the rest of a span's name after `prefix`, None if it begins otherwise."""
    name = span.name
    return name[len(prefix) :] if isinstance(name, str) and name.startswith(prefix) else None


def first_text(values: Iterable[object]) -> str | None:
    """Return the first of `values` that is a text with something in it, as it can be recorded."""
    for value in values:
        if isinstance(value, str):
            line = value if value.isprintable() else "".join(sign if sign.isprintable() else " " for sign in value)
            text = line.strip()[:NAME_CHARACTERS].rstrip()
            if text:
                return text
    return None


def tokens_of(attributes: Attributes, spoken: Sequence[Convention]) -> Tokens | None:
    """Return tokens by type from the first of the conventions that has any in `attributes`, None if none has."""
    total = _first_count(attributes, [key for convention in spoken for key in convention.total])
    by_type = (_by_type(attributes, convention.counts, total) for convention in spoken)
    tokens = next((tokens for tokens in by_type if tokens is not None), None)
    if tokens is None:
        return None if total is None else {"untyped": total}
    rest = (total or 0) - sum(tokens.values())  # such as thoughts that aren't in the output
    return {**tokens, "untyped": rest} if rest > 0 else tokens


def _by_type(attributes: Attributes, counts: Counts, total: int | None) -> Tokens | None:
    input_count, output_count = _first_count(attributes, counts.input), _first_count(attributes, counts.output)
    if input_count is None and output_count is None:
        return None
    given, made = input_count or 0, output_count or 0
    read, written = _first_count(attributes, counts.cache_read) or 0, _first_count(attributes, counts.cache_write) or 0
    cached = read + written
    # Some instrumentations pass on the numbers of Anthropic or Bedrock, whose input leaves the cache out. Then it may be
    # less than its part would be, or the total has room for the cache beside it.
    is_beside = given < cached or (total is not None and total >= given + made + cached)
    return {
        "input": given if is_beside else given - cached,
        "output": made,
        "cache_read": read,
        "cache_write": written,
    }


def _first_count(attributes: Attributes, keys: Sequence[str]) -> int | None:
    return next(
        (count for count in (whole_tokens(attributes[key]) for key in keys if key in attributes) if count is not None),
        None,
    )
