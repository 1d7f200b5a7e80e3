"""OpenLLMetry, the convention of the Traceloop SDK, whose newer versions say the same in `gen_ai.` names.

Source: https://github.com/traceloop/openllmetry, packages/opentelemetry-semantic-conventions-ai.
Prompt tokens include those read from and written to the cache.
"""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan

from otel_tracker import names
from otel_tracker_exporters.foreign.convention import Attributes, Convention, Counts
from otel_tracker_exporters.foreign.gen_ai import CACHE_READ, CACHE_WRITE

_KIND, _AGENT = "traceloop.span.kind", "agent"
_NAME = "traceloop.entity.name"
_ASSOCIATION = "traceloop.association.properties."


def _agent_names(span: ReadableSpan, attributes: Attributes) -> Iterable[object]:
    if attributes.get(_KIND) != _AGENT:
        return ()
    name = span.name.removesuffix(".agent") if isinstance(span.name, str) else None
    return attributes.get(_NAME), attributes.get(names.GEN_AI_AGENT), name


OPENLLMETRY = Convention(
    _agent_names,
    counts=Counts(("gen_ai.usage.prompt_tokens",), ("gen_ai.usage.completion_tokens",), CACHE_READ, CACHE_WRITE),
    total=("llm.usage.total_tokens",),
    conversation=(f"{_ASSOCIATION}session_id",),
)
