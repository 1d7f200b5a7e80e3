"""OpenInference, the convention of Arize Phoenix.

Source: https://github.com/Arize-ai/openinference/blob/main/spec/semantic_conventions.md
`tracer.agent` names the agent in the span's name only; the instrumentation of the Agents SDK calls the workflow around
the agents an agent, too, without an `agent.name`. The details of the prompt's tokens are parts of them.
"""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan

from otel_tracker import names
from otel_tracker_exporters.foreign.convention import Attributes, Convention, Counts, scope_of

_KIND, _AGENT = "openinference.span.kind", "AGENT"
_NAME = "agent.name"
_OPENAI_AGENTS = "openinference.instrumentation.openai_agents"


def _agent_names(span: ReadableSpan, attributes: Attributes) -> Iterable[object]:
    span_kind = attributes.get(_KIND)
    if not isinstance(span_kind, str) or span_kind.upper() != _AGENT:
        return ()
    named = attributes.get(_NAME), attributes.get(names.GEN_AI_AGENT)
    return named if scope_of(span) == _OPENAI_AGENTS else (*named, span.name)


OPENINFERENCE = Convention(
    _agent_names,
    counts=Counts(
        input=("llm.token_count.prompt",),
        output=("llm.token_count.completion",),
        cache_read=("llm.token_count.prompt_details.cache_read", "llm.token_count.prompt_details.cache_input"),
        cache_write=("llm.token_count.prompt_details.cache_write",),
    ),
    total=("llm.token_count.total",),
    answering_model=("llm.model_name",),
    conversation=("session.id",),
)
