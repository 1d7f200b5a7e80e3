"""Pydantic AI, with or without Logfire, in the formats of its instrumentation since version 1.0.

Source: https://ai.pydantic.dev/logfire/ and `InstrumentationSettings` in pydantic_ai/models/instrumented.py.
Older formats call the span `agent run` and give its usage in the conventions' names; newer ones call it an
`invoke_agent` and the usage aggregated. Input tokens include those read from and written to the cache. An agent that
shares its caller's usage (`usage=ctx.usage`) says what both have used so far, in older formats, and so does the caller.
"""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan

from otel_tracker import names
from otel_tracker_exporters.foreign.convention import Attributes, Convention, Counts, name_after

_NAME, _MODEL = "agent_name", "model_name"


def _agent_names(span: ReadableSpan, attributes: Attributes) -> Iterable[object]:
    operation = attributes.get(names.GEN_AI_OPERATION)
    if operation != names.INVOKE_AGENT and (operation is not None or not {_NAME, _MODEL} <= attributes.keys()):
        return ()
    return attributes.get(_NAME), attributes.get(names.GEN_AI_AGENT), name_after(f"{names.INVOKE_AGENT} ", span)


PYDANTIC_AI = Convention(
    _agent_names,
    counts=Counts(
        input=("gen_ai.aggregated_usage.input_tokens",),
        output=("gen_ai.aggregated_usage.output_tokens",),
        cache_read=("gen_ai.aggregated_usage.cache_read.input_tokens",),
        cache_write=("gen_ai.aggregated_usage.cache_creation.input_tokens",),
    ),
    asked_model=(_MODEL,),
    is_agents_usage_vague=True,
    scope="pydantic-ai",
)
