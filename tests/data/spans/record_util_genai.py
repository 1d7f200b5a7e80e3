"""pip install opentelemetry-util-genai==1.3b0; python record_util_genai.py > util_genai.json

A local agent that says its own usage asks a model; a second one doesn't say it; a remote one fails.
"""

import sys
from importlib.metadata import version

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.util.genai.handler import TelemetryHandler
from recording import dump

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
handler = TelemetryHandler(tracer_provider=provider)


def ask(given, made, read, written):
    with handler.inference("anthropic", request_model="claude-opus-5") as asked:
        asked.response_model_name = "claude-opus-5-20260801"
        asked.input_tokens, asked.output_tokens = given, made
        asked.cache_read_input_tokens, asked.cache_write_input_tokens = read, written


with handler.invoke_local_agent(request_model="claude-opus-5", agent_name="planner") as run:
    run.conversation_id = "conversation-1"
    ask(100, 10, 60, 30)
    run.input_tokens, run.output_tokens = 100, 10
    run.cache_read_input_tokens, run.cache_write_input_tokens = 60, 30
with handler.invoke_local_agent(agent_name="coder"):
    ask(50, 5, 0, 0)
    ask(70, 7, 40, 20)
try:
    with handler.invoke_remote_agent("anthropic", agent_name="remote", server_address="example.com"):
        raise TimeoutError("no answer")
except TimeoutError:
    pass
dump(spans, "opentelemetry-util-genai", version("opentelemetry-util-genai"), sys.stdout)
