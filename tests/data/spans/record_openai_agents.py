"""pip install opentelemetry-instrumentation-openai-agents-v2==0.1.0 openai-agents==0.24.0 openai==3.57.0

python record_openai_agents.py > openai_agents.json

A triage agent hands over to a writer; both ask the Responses API, which is answered here. Another agent's model fails.
With `--openinference` and openinference-instrumentation-openai-agents==2.6.0 it makes openinference_openai_agents.json.
"""

import asyncio
import json
import sys
from importlib.metadata import version

import httpx2 as httpx
from agents import Agent, OpenAIResponsesModel, Runner
from agents.tracing import set_trace_processors
from openai import AsyncOpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from recording import dump

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
set_trace_processors([])
if "--openinference" in sys.argv:
    from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    name = "openinference-instrumentation-openai-agents"
else:
    from opentelemetry.instrumentation.openai_agents import OpenAIAgentsInstrumentor

    name = "opentelemetry-instrumentation-openai-agents-v2"
OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)


def usage(given, cached, made):
    return {
        "input_tokens": given,
        "input_tokens_details": {"cached_tokens": cached},
        "output_tokens": made,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": given + made,
    }


HAND_OVER = {
    "type": "function_call",
    "id": "fc_1",
    "call_id": "call_1",
    "name": "transfer_to_writer",
    "arguments": "{}",
    "status": "completed",
}
TEXT = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "written", "annotations": []}],
}


def answer(request):
    asked = json.loads(request.content)
    if asked["model"] == "broken":
        return httpx.Response(400, json={"error": {"message": "no such model", "type": "invalid_request_error"}})
    is_triage = bool(asked.get("tools"))
    said = {
        "id": "resp_triage" if is_triage else "resp_writer",
        "object": "response",
        "created_at": 1,
        "model": "gpt-5-2026-01-01",
        "status": "completed",
        "output": [HAND_OVER if is_triage else TEXT],
        "usage": usage(100, 0, 10) if is_triage else usage(300, 200, 30),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }
    return httpx.Response(200, json=said)


client = AsyncOpenAI(
    api_key="none", max_retries=0, http_client=httpx.AsyncClient(transport=httpx.MockTransport(answer))
)


def agent(name, model="gpt-5", **more):
    return Agent(name=name, model=OpenAIResponsesModel(model, client), **more)


async def main():
    await Runner.run(agent("triage", handoffs=[agent("writer")]), "write")
    try:
        await Runner.run(agent("failing", "broken"), "fail")
    except Exception as error:  # noqa: BLE001
        print(type(error), error, file=sys.stderr)


asyncio.run(main())
dump(spans, name, version(name), sys.stdout)
