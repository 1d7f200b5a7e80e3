"""pip install pydantic-ai-slim==2.68.0 logfire==5.4.0; python record_pydantic_ai.py > pydantic_ai.json

A planner asks its model, calls a helper agent as a tool and asks again; another agent fails; a third is cancelled.
With `--logfire` the same under logfire, as pydantic_ai_logfire.json. With pydantic-ai-slim==1.0.0 and
opentelemetry-sdk==1.36.0 it makes pydantic_ai_1_0.json.
"""

import asyncio
import sys
from importlib.metadata import version

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import FunctionModel
from pydantic_ai.usage import RequestUsage
from recording import dump

spans = InMemorySpanExporter()
if "--logfire" in sys.argv:
    import logfire

    logfire.configure(
        send_to_logfire=False, console=False, additional_span_processors=[SimpleSpanProcessor(spans)], metrics=False
    )
    logfire.instrument_pydantic_ai()
else:
    from pydantic_ai.models.instrumented import InstrumentationSettings

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider))


def answer(text, **usage):
    return ModelResponse([TextPart(text)], usage=RequestUsage(**usage))


def plan(messages, info):
    if len(messages) > 1:
        return answer("planned", input_tokens=300, cache_read_tokens=250, cache_write_tokens=20, output_tokens=30)
    response = answer("", input_tokens=100, output_tokens=10)
    response.parts = [ToolCallPart("ask_helper", {})]
    return response


def fail(messages, info):
    raise ValueError("no model")


async def hang(messages, info):
    await asyncio.sleep(60)


def agent(name, function):
    return Agent(FunctionModel(function, model_name="fake-5"), name=name)


helper = agent("helper", lambda messages, info: answer("helped", input_tokens=40, output_tokens=4))
planner = agent("planner", plan)


@planner.tool
async def ask_helper(context: RunContext) -> str:
    return (await helper.run("help", usage=context.usage)).output


async def main():
    await planner.run("plan")
    try:
        await agent("failing", fail).run("fail")
    except ValueError:
        pass
    hanging = asyncio.create_task(agent("hanging", hang).run("hang"))
    await asyncio.sleep(0.2)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)


asyncio.run(main())
dump(spans, "pydantic-ai-slim", version("pydantic-ai-slim"), sys.stdout)
