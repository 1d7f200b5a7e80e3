"""OpenTelemetry's conventions for generative AI, in development, and what OpenTelemetry's own packages make of them.

Source: https://github.com/open-telemetry/semantic-conventions-genai/blob/main/docs/gen-ai/gen-ai-agent-spans.md
Input tokens include those read from and written to the cache.
"""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from otel_tracker import names
from otel_tracker_exporters.foreign.convention import Attributes, Convention, Counts, name_after, scope_of

AGENT_ID = "gen_ai.agent.id"
RESPONSE_ID = "gen_ai.response.id"
CONVERSATION = "gen_ai.conversation.id"

# By all the names that they have had. The newest is what opentelemetry-util-genai 1.3b0 and the Anthropic SDK 2.14 write,
# those with underscores are OpenLLMetry's and Strands', the details Pydantic AI's.
CACHE_READ = (
    names.GEN_AI_CACHE_READ_TOKENS,
    "gen_ai.usage.cache_read_input_tokens",
    "gen_ai.usage.details.cache_read_tokens",
)
CACHE_WRITE = (
    "gen_ai.usage.cache_write.input_tokens",
    names.GEN_AI_CACHE_WRITE_TOKENS,
    "gen_ai.usage.cache_creation_input_tokens",
    "gen_ai.usage.cache_write_input_tokens",
    "gen_ai.usage.details.cache_write_tokens",
)

_OPENAI_AGENTS = "opentelemetry.instrumentation.openai_agents"


def _agent_names(span: ReadableSpan, attributes: Attributes) -> Iterable[object]:
    if attributes.get(names.GEN_AI_OPERATION) != names.INVOKE_AGENT or _is_workflow(span):
        return ()
    return attributes.get(names.GEN_AI_AGENT), name_after(f"{names.INVOKE_AGENT} ", span), attributes.get(AGENT_ID)


def _is_workflow(span: ReadableSpan) -> bool:
    """Tell whether a span is what the Agents SDK calls a trace, which its instrumentation calls an agent, too."""
    return scope_of(span) == _OPENAI_AGENTS and span.kind is SpanKind.SERVER


GEN_AI = Convention(
    _agent_names,
    counts=Counts((names.GEN_AI_INPUT_TOKENS,), (names.GEN_AI_OUTPUT_TOKENS,), CACHE_READ, CACHE_WRITE),
    total=("gen_ai.usage.total_tokens",),
    asked_model=(names.GEN_AI_REQUEST_MODEL,),
    answering_model=(names.GEN_AI_RESPONSE_MODEL,),
    conversation=(CONVERSATION,),
)
