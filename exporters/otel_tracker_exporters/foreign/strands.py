"""Strands Agents, which speaks OpenTelemetry's conventions (gen_ai.py), but for one thing.

Source: https://github.com/strands-agents/sdk-python, strands/telemetry/tracer.py, as of 1.18 and 1.62. The span of a run says
what its Agent object has used since it was made, over all of its runs; the spans of the model's calls below it say what
the run has used.
"""

from collections.abc import Iterable

from opentelemetry.sdk.trace import ReadableSpan

from otel_tracker_exporters.foreign.convention import Attributes, Convention, Counts


def _agent_names(span: ReadableSpan, attributes: Attributes) -> Iterable[object]:
    return ()  # they are those of the conventions


STRANDS = Convention(
    _agent_names,
    counts=Counts(input=(), output=()),
    is_agents_usage_vague=True,
    scope="strands.telemetry.tracer",
)
