"""pip install openinference-instrumentation==0.1.72; python record_openinference.py > openinference.json

A planner asks a model, and a helper agent that asks it twice (once from the cache); a third agent fails.
"""

import sys
from importlib.metadata import version

from openinference.instrumentation import OITracer, TraceConfig, get_llm_attributes, using_session
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from recording import dump

spans, provider = InMemorySpanExporter(), TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
tracer = OITracer(provider.get_tracer("recording"), config=TraceConfig())


def usage(prompt, completion, **details):
    return get_llm_attributes(
        model_name="claude-sonnet-5-20260801",
        token_count={"prompt": prompt, "completion": completion, "total": prompt + completion, **details},
    )


@tracer.llm(name="ask", process_output=lambda output: output)
def ask(question, tokens):
    return tokens


@tracer.agent(name="helper")
def helper(task):
    ask("one", usage(100, 10))
    return "done" if ask("two", usage(200, 20, prompt_details={"cache_read": 150, "cache_write": 30})) else ""


@tracer.agent(name="planner")
def planner(task):
    ask("plan", usage(50, 5))
    return helper("help")


@tracer.agent
def breaker(task):
    raise ValueError("no plan")


with using_session("session-1"):
    planner("plan it")
try:
    breaker("fail")
except ValueError:
    pass
with tracer.start_as_current_span("named run", openinference_span_kind="agent", attributes={"agent.name": "named"}):
    pass
dump(spans, "openinference-instrumentation", version("openinference-instrumentation"), sys.stdout)
