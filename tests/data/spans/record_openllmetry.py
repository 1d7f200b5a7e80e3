"""pip install traceloop-sdk==0.62.4 anthropic==2.14.0 httpx; python record_openllmetry.py > openllmetry.json

A workflow runs a planner, which asks Claude (answered here) and has a helper agent ask; another agent fails.
With traceloop-sdk==0.45.6, and its attributes of old, it makes openllmetry_0_45.json.
"""

import sys
from contextlib import redirect_stdout
from importlib.metadata import version
from itertools import count

import anthropic

try:
    import httpx2 as httpx
except ImportError:
    import httpx
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from recording import dump
from traceloop.sdk import Instruments, Traceloop
from traceloop.sdk.decorators import agent, task, workflow

spans = InMemorySpanExporter()
with redirect_stdout(sys.stderr):
    Traceloop.init(
        app_name="recording",
        exporter=spans,
        disable_batch=True,
        telemetry_enabled=False,
        instruments={Instruments.ANTHROPIC},
    )
numbers = count(1)
asked = iter([(50, 0, 0, 5), (20, 150, 30, 20)])


def answer(request):
    given, read, written, made = next(asked)
    usage = {
        "input_tokens": given,
        "cache_read_input_tokens": read,
        "cache_creation_input_tokens": written,
        "output_tokens": made,
    }
    said = {"id": f"msg_{next(numbers)}", "type": "message", "role": "assistant", "model": "claude-sonnet-5-20260801"}
    said |= {"content": [{"type": "text", "text": "done"}], "stop_reason": "end_turn", "stop_sequence": None}
    return httpx.Response(200, json=said | {"usage": usage})


client = anthropic.Anthropic(api_key="none", http_client=httpx.Client(transport=httpx.MockTransport(answer)))


def ask():
    messages = [{"role": "user", "content": "go"}]
    return client.messages.create(model="claude-sonnet-5", max_tokens=9, messages=messages).content[0].text


@agent(name="helper")
def helper():
    return ask()


@task(name="a step")
def step():
    return helper()


@agent(name="planner")
def planner():
    return ask() + step()


@agent(name="failing")
def failing():
    raise ValueError("no plan")


@workflow(name="work")
def work():
    Traceloop.set_association_properties({"session_id": "session-1"})
    return planner()


work()
try:
    failing()
except ValueError:
    pass
dump(spans, "traceloop-sdk", version("traceloop-sdk"), sys.stdout)
