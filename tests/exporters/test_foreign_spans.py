import asyncio
import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, Tracer

from otel_tracker import CircuitBreakerSpanExporter, MetricTracker, TaskTracker, names
from otel_tracker.runtime.limits import ERROR_CHARACTERS
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state import event
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.price_file import price_table
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from otel_tracker_exporters import circuit_breaker
from otel_tracker_exporters.circuit_breaker import AgentSpanProcessor
from otel_tracker_exporters.foreign import foreign_task
from otel_tracker_exporters.foreign.pending import PendingTokens
from tests.places import DATA

RECORDED = DATA / "spans"
CLAUDE, GPT = "claude-sonnet-5-20260801", "gpt-5-2026-01-01"
OPUS = "claude-opus-5-20260801"
AGENT = MappingProxyType({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"})

Said = dict[str, Any]


def nanoseconds(text: str) -> int:
    return round(parse_timestamp(text) * 1e6) * 1000


def recorded_spans(library: str) -> list[ReadableSpan]:
    """Return the spans that a library has made, in a trace that no other test knows."""
    change = secrets.randbits(128)
    said = json.loads((RECORDED / f"{library}.json").read_text())

    def context(of: Said, span_id: str) -> SpanContext:
        return SpanContext(
            int(of["trace_id"], 16) ^ change, int(span_id, 16), is_remote=False, trace_flags=TraceFlags(1)
        )

    def happened(one: Said) -> Event:
        return Event(one["name"], one["attributes"], nanoseconds(one["timestamp"]))

    return [
        ReadableSpan(
            one["name"],
            context(one["context"], one["context"]["span_id"]),
            context(one["context"], one["parent_id"]) if "parent_id" in one else None,
            attributes=one["attributes"],
            events=[happened(found) for found in one.get("events", [])],
            kind=SpanKind[one["kind"].partition(".")[2]],
            status=Status(StatusCode[one["status"]["status_code"]], one["status"].get("description")),
            start_time=nanoseconds(one["start_time"]),
            end_time=nanoseconds(one["end_time"]),
            instrumentation_scope=InstrumentationScope(one["scope"]),
        )
        for one in said["spans"]
    ]


def history_of(home: Home) -> dict[str, Said]:
    """Return what a fresh reader knows of each agent's only task; what its tokens cost is apart from them, as `cost`."""
    history = MetricTracker(home.document).get_history()
    assert len({entry["agent"] for entry in history}) == len(history)
    for entry in history:
        if entry.get("tokens"):
            entry["cost"] = {key: entry["tokens"].pop(key, None) for key in (names.COST, names.PRICED)}
    return {entry["agent"]: entry for entry in history}


def export_twice(home: Home, spans: Sequence[ReadableSpan]) -> dict[str, Said]:
    """Export spans at once and in batches, and return the history."""
    at_once = AgentSpanProcessor(CircuitBreakerSpanExporter(home.document))
    in_batches = BatchSpanProcessor(CircuitBreakerSpanExporter(home.document), max_export_batch_size=2)
    for span in spans:
        at_once.on_end(span)
        in_batches.on_end(span)
    in_batches.shutdown()  # type: ignore[no-untyped-call]  # untyped in the SDK
    assert CircuitBreakerSpanExporter(home.document).export(spans) is SpanExportResult.SUCCESS
    return history_of(home)


def tokens(fresh: int, output: int, cache_read: int = 0, cache_write: int = 0) -> dict[str, int]:
    every = {"input": fresh, "output": output, "cache_read": cache_read, "cache_write": cache_write}
    return {kind: number for kind, number in every.items() if number}


# What the scripts beside the recorded spans have done, agent by agent.
DONE = {
    "openinference": {
        "helper": tokens(120, 30, 150, 30),
        "planner": tokens(50, 5),
        "breaker": None,
        "named": None,
    },
    "openllmetry": {"helper": tokens(20, 20, 150, 30), "planner": tokens(50, 5), "failing": None},
    "openllmetry_0_45": {"helper": tokens(20, 20, 150, 30), "planner": tokens(50, 5), "failing": None},
    "pydantic_ai": {"helper": tokens(40, 4), "planner": tokens(130, 40, 250, 20), "failing": None, "hanging": None},
    "pydantic_ai_logfire": {
        "helper": tokens(40, 4),
        "planner": tokens(130, 40, 250, 20),
        "failing": None,
        "hanging": None,
    },
    "pydantic_ai_1_0": {"helper": tokens(40, 4), "planner": tokens(400, 40), "failing": None, "hanging": None},
    "openai_agents": {"triage": tokens(100, 10), "writer": tokens(300, 30), "failing": None},
    "openinference_openai_agents": {"triage": tokens(100, 10), "writer": tokens(100, 30, 200), "failing": None},
    "util_genai": {"planner": tokens(10, 10, 60, 30), "coder": tokens(60, 12, 40, 20), "remote": None},
}


@pytest.mark.parametrize("library", DONE)
def test_each_agent_of_a_library_is_one_task_with_the_tokens_that_it_has_used_itself(home: Home, library: str) -> None:
    history = export_twice(home, recorded_spans(library))
    assert {agent: entry.get("tokens") for agent, entry in history.items()} == DONE[library]
    used = [sum(said.values()) if said else None for said in DONE[library].values()]
    assert [entry["tokens_used"] for entry in history.values()] == used
    by_model = MetricTracker(home.document).get_token_summary()
    assert sum(entry["total"] for entry in by_model.values()) == sum(number or 0 for number in used)


@pytest.mark.parametrize(
    ("library", "agent", "error", "error_type"),
    [
        ("openinference", "breaker", "ValueError: no plan", "ValueError"),
        ("openllmetry", "failing", "no plan", "ValueError"),
        ("openllmetry_0_45", "failing", "no plan", "ValueError"),
        ("pydantic_ai", "failing", "ValueError: no model", "ValueError"),
        ("pydantic_ai_logfire", "failing", "ValueError: no model", "ValueError"),
        ("pydantic_ai_1_0", "failing", "ValueError: no model", "ValueError"),
        ("openai_agents", "failing", "Error in agent run: {'error': 'Error code: 400 - no such model'}", None),
        (
            *("openinference_openai_agents", "failing"),
            *("Error in agent run: {'error': 'Error code: 400 - no such model'}", None),
        ),
        ("util_genai", "remote", "no answer", "TimeoutError"),
    ],
)
def test_only_the_agent_that_failed_has_a_failure(
    home: Home, library: str, agent: str, error: str, error_type: str | None
) -> None:
    history = export_twice(home, recorded_spans(library))
    failed = history.pop(agent)
    assert (failed["action"], failed["error"], failed.get("error_type")) == ("task_failed", error, error_type)
    assert {entry["action"] for entry in history.values()} == {"task_completed"}


@pytest.mark.parametrize(
    ("library", "agent", "asked", "answering"),
    [
        ("openinference", "planner", None, CLAUDE),
        ("openllmetry", "planner", None, CLAUDE),
        ("openllmetry_0_45", "helper", None, CLAUDE),
        ("pydantic_ai", "planner", "fake-5", "fake-5"),
        ("pydantic_ai_logfire", "helper", "fake-5", "fake-5"),
        ("pydantic_ai_1_0", "helper", "fake-5", "fake-5"),
        ("openai_agents", "triage", GPT, GPT),
        ("openinference_openai_agents", "writer", None, GPT),
        ("util_genai", "planner", "claude-opus-5", OPUS),
        ("util_genai", "coder", None, OPUS),
    ],
)
def test_the_model_that_was_asked_for_and_the_one_that_answered_are_distinguished(
    home: Home, library: str, agent: str, asked: str | None, answering: str
) -> None:
    entry = export_twice(home, recorded_spans(library))[agent]
    assert (entry["model"], list(entry["models"])) == (asked, [answering])


@pytest.mark.parametrize(
    ("library", "conversation"),
    [("openinference", "session-1"), ("openllmetry", "session-1"), ("util_genai", "conversation-1")],
)
def test_the_conversation_is_recorded(home: Home, library: str, conversation: str) -> None:
    history = export_twice(home, recorded_spans(library))
    assert history["planner"]["conversation_id"] == conversation


# Spans that the SDK makes here and now.


@pytest.fixture
def tracer(home: Home) -> Iterator[Tracer]:
    """Return a tracer whose spans come to the exporter twice, at once and in a batch; it ends as the test does."""
    provider = TracerProvider()
    provider.add_span_processor(AgentSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    provider.add_span_processor(BatchSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    yield provider.get_tracer("somebody")
    provider.shutdown()


def agent(name: Any = "planner", **more: Any) -> Said:
    return {**AGENT, "gen_ai.agent.name": name, **more}


def usage(given: int, made: int, **more: Any) -> Said:
    return {"gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": made, **more}


def answered(response: str, given: int, made: int) -> Said:
    return usage(given, made, **{"gen_ai.response.id": response, "gen_ai.response.model": CLAUDE})


def leaf(tracer: Tracer, attributes: Mapping[str, Any], name: str = "chat") -> None:
    tracer.start_span(name, attributes=attributes).end()


def test_tokens_come_up_through_spans_of_others_and_stop_at_the_first_agent(home: Home, tracer: Tracer) -> None:
    with tracer.start_as_current_span("outer", attributes=agent("outer")):
        leaf(tracer, usage(1, 2))
        with (
            tracer.start_as_current_span("tool"),
            tracer.start_as_current_span("inner", attributes=agent("inner")),
            tracer.start_as_current_span("step"),
            tracer.start_as_current_span("POST"),
        ):
            leaf(tracer, usage(10, 20))
            leaf(tracer, usage(100, 200))
    history = history_of(home)
    assert history["inner"]["tokens"] == tokens(110, 220)
    assert history["outer"]["tokens"] == tokens(1, 2)


def test_a_span_that_has_tokens_of_its_own_takes_none_of_its_children(home: Home, tracer: Tracer) -> None:
    with (
        tracer.start_as_current_span("run", attributes=agent()),
        tracer.start_as_current_span("chat", attributes=usage(10, 1)),
    ):
        leaf(tracer, usage(3, 3))
    with tracer.start_as_current_span("run", attributes=agent("coder", **usage(50, 5))):
        leaf(tracer, usage(3, 3))
    history = history_of(home)
    assert history["planner"]["tokens"] == tokens(10, 1)
    assert history["coder"]["tokens"] == tokens(50, 5)


def test_zeros_stand_for_numbers_that_only_the_children_know(home: Home, tracer: Tracer) -> None:
    with tracer.start_as_current_span("run", attributes=agent(**usage(0, 0))):
        leaf(tracer, usage(10, 1))
    assert history_of(home)["planner"]["tokens"] == tokens(10, 1)


def test_a_response_that_two_instrumentations_tell_of_side_by_side_counts_once(home: Home, tracer: Tracer) -> None:
    with tracer.start_as_current_span("run", attributes=agent()):
        leaf(tracer, answered("msg_1", 10, 1), "anthropic.messages.create")
        leaf(tracer, answered("msg_1", 10, 1), "anthropic.chat")
        leaf(tracer, answered("msg_2", 30, 3))
    assert history_of(home)["planner"]["tokens"] == tokens(40, 4)


def test_tokens_of_several_models_are_counted_each_under_its_own(home: Home, tracer: Tracer) -> None:
    with tracer.start_as_current_span("run", attributes=agent()):
        leaf(tracer, answered("msg_1", 10, 1))
        leaf(tracer, usage(20, 2, **{"gen_ai.response.model": OPUS}))
        leaf(tracer, usage(5, 0))
    summary = MetricTracker(home.document).get_token_summary()
    assert {model: summary[model]["total"] for model in ("sonnet", "opus", "unknown")} == {
        "sonnet": 11,
        "opus": 22,
        "unknown": 5,
    }


def test_requests_to_models_are_priced_each_by_itself_and_agents_have_their_sum(home: Home, tracer: Tracer) -> None:
    model = {"gen_ai.response.model": "claude-haiku-5-5"}  # dearer above 100,000 tokens
    with tracer.start_as_current_span("run", attributes=agent(**usage(120_000, 20))):
        leaf(tracer, usage(60_000, 10, **model))
        leaf(tracer, usage(60_000, 10, **model))
    with tracer.start_as_current_span("run", attributes=agent("outer")), tracer.start_as_current_span("step"):
        leaf(tracer, usage(5, 5, **{"gen_ai.request.model": "claude-opus-5"}))
        leaf(tracer, usage(1, 2, **{"gen_ai.request.model": "our-own-model"}))
    history, cost = history_of(home), price_table(home, Files()).cost
    one = cost("claude-haiku-5-5", {"input": 60_000, "output": 10}, 1.8e9, speed=None)
    other = cost("claude-opus-5", {"input": 5, "output": 5}, 1.8e9, speed=None)
    assert one
    planner, outer = (history[name]["cost"] for name in ("planner", "outer"))
    assert (planner[names.COST], planner[names.PRICED]) == (2 * one, 120_020)
    assert (outer[names.COST], outer[names.PRICED]) == (other, 10)
    assert names.COST not in history["outer"]["models"]["our-own-model"]


def test_the_sum_of_an_agent_whose_requests_have_no_spans_has_no_price(home: Home, tracer: Tracer) -> None:
    leaf(tracer, agent(**usage(10, 1, **{"gen_ai.response.model": "claude-opus-5"})))
    assert history_of(home)["planner"]["tokens"] == tokens(10, 1)


def test_a_total_without_parts_is_untyped(home: Home, tracer: Tracer) -> None:
    with tracer.start_as_current_span("run", attributes={"openinference.span.kind": "AGENT", "agent.name": "planner"}):
        leaf(tracer, {"openinference.span.kind": "LLM", "llm.token_count.total": 70})
        leaf(tracer, usage(10, 1, **{"llm.usage.total_tokens": 11}))
    assert history_of(home)["planner"]["tokens"] == {"untyped": 70, "input": 10, "output": 1}


def test_the_former_names_of_openllmetry_are_understood(home: Home, tracer: Tracer) -> None:
    former = {"gen_ai.usage.prompt_tokens": 100, "gen_ai.usage.completion_tokens": 7, "llm.usage.total_tokens": 107}
    cache = {"gen_ai.usage.cache_read_input_tokens": 60, "gen_ai.usage.cache_creation_input_tokens": 10}
    leaf(tracer, {"traceloop.span.kind": "agent", **former, **cache}, "planner.agent")
    assert history_of(home)["planner"]["tokens"] == tokens(30, 7, 60, 10)


def test_a_request_of_pydantic_ai_is_no_agent(home: Home) -> None:
    context, scope = SpanContext(secrets.randbits(128), 1, is_remote=False), InstrumentationScope("pydantic-ai")
    said = {"gen_ai.operation.name": "chat", "agent_name": "planner", "model_name": "fake-5"}
    span = ReadableSpan("chat", context, attributes=said, start_time=1, end_time=2, instrumentation_scope=scope)
    CircuitBreakerSpanExporter(home.document).export([span])
    assert MetricTracker(home.document).get_history() == []


def test_what_an_agent_of_strands_has_used_since_it_was_made_is_not_what_a_run_has_used(home: Home) -> None:
    provider = TracerProvider()
    provider.add_span_processor(AgentSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    strands = provider.get_tracer("strands.telemetry.tracer")
    for number in (1, 2, 3):
        with strands.start_as_current_span("invoke_agent coder", attributes=agent("coder")) as run:
            with strands.start_as_current_span("execute_event_loop_cycle"):
                leaf(strands, usage(100, 10, **{"gen_ai.usage.total_tokens": 110}))
                with strands.start_as_current_span("invoke_agent helper", attributes=agent("helper")) as inner:
                    leaf(strands, usage(1000, 100))
                    inner.set_attributes(usage(1000 * number, 100 * number))
            run.set_attributes(usage(100 * number, 10 * number))
    provider.shutdown()
    used = [(entry["agent"], entry["tokens_used"]) for entry in MetricTracker(home.document).get_history()]
    assert used == [("helper", 1100), ("coder", 110)] * 3


@pytest.mark.parametrize(
    ("given", "made", "read", "written", "total", "expected"),
    [
        (10, 50, 5000, 200, 5260, tokens(10, 50, 5000, 200)),
        (6000, 50, 5000, 200, 11250, tokens(6000, 50, 5000, 200)),
        (10, 50, 0, 8000, 8060, tokens(10, 50, 0, 8000)),
        (6000, 50, 5000, 200, 6050, tokens(800, 50, 5000, 200)),
        (6000, 50, 5000, 200, None, tokens(800, 50, 5000, 200)),
        (6000, 50, 0, 0, 6070, {**tokens(6000, 50), "untyped": 20}),
        (6000, 50, 5000, 0, 6070, {**tokens(1000, 50, 5000), "untyped": 20}),
        (6000, 50, 0, 0, 7, tokens(6000, 50)),
    ],
)
def test_a_total_tells_whether_the_cache_is_within_the_input_and_what_is_missing(
    home: Home, tracer: Tracer, given: int, made: int, read: int, written: int, total: int | None, expected: Said
) -> None:
    cache = {"gen_ai.usage.cache_read_input_tokens": read, "gen_ai.usage.cache_write_input_tokens": written}
    totals = {} if total is None else {"gen_ai.usage.total_tokens": total}
    leaf(tracer, agent(**usage(given, made, **cache, **totals)))
    assert history_of(home)["planner"]["tokens"] == expected


def test_input_tokens_below_those_of_the_cache_do_not_include_them(home: Home, tracer: Tracer) -> None:
    leaf(tracer, agent(**usage(10, 1, **{"gen_ai.usage.cache_read.input_tokens": 50})))
    assert history_of(home)["planner"]["tokens"] == tokens(10, 1, 50)


def test_one_span_that_speaks_several_conventions_is_one_task(home: Home, tracer: Tracer) -> None:
    both: Said = {
        "traceloop.span.kind": "agent",
        "traceloop.entity.name": "tracer's",
        "openinference.span.kind": "AGENT",
    }
    leaf(tracer, agent(**both, **usage(10, 1, **{"llm.token_count.prompt": 10, "llm.token_count.completion": 1})))
    (entry,) = MetricTracker(home.document).get_history()
    assert (entry["agent"], entry["tokens_used"]) == ("tracer's", 11)


@pytest.mark.parametrize("error", [asyncio.CancelledError("stop"), KeyboardInterrupt("stop")])
@pytest.mark.parametrize("status", [StatusCode.UNSET, StatusCode.ERROR])
def test_a_recorded_cancellation_makes_the_task_cancelled(
    home: Home, tracer: Tracer, error: BaseException, status: StatusCode
) -> None:
    span = tracer.start_span("run", attributes=agent())
    span.record_exception(error)
    span.set_status(status)
    span.end()
    entry = history_of(home)["planner"]
    assert (entry["action"], entry["reason"], entry.get("error")) == ("task_cancelled", "stop", None)


def test_an_agent_that_goes_on_after_a_cancellation_below_it_has_succeeded(home: Home, tracer: Tracer) -> None:
    span = tracer.start_span("run", attributes=agent())
    span.record_exception(asyncio.CancelledError())
    span.set_status(StatusCode.OK)
    span.end()
    assert history_of(home)["planner"]["action"] == "task_completed"


@pytest.mark.parametrize(
    ("error_type", "text", "kind"),
    [
        ("openai.RateLimitError", "slow down", "rate_limit"),
        ("529", "", "overloaded"),
        ("ValueError", "API Error: 429 too many", "rate_limit"),
        ("ValueError", "no plan", None),
        ("500", "server", None),
    ],
)
def test_an_outage_is_distinguished_from_a_failure_of_the_agent(
    home: Home, tracer: Tracer, error_type: str, text: str, kind: str | None
) -> None:
    span = tracer.start_span("run", attributes=agent(**{"error.type": error_type}))
    span.set_status(StatusCode.ERROR, text)
    span.end()
    entry = history_of(home)["planner"]
    assert (entry["error_type"], entry.get("environment_error")) == (error_type.rpartition(".")[2], kind)


def test_our_own_task_takes_no_tokens_from_below_and_passes_none_on(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(foreign_task, "_pending", PendingTokens())
    provider = TracerProvider()
    provider.add_span_processor(AgentSpanProcessor(CircuitBreakerSpanExporter(home.document)))
    ours = MetricTracker(home.document, tracer_provider=provider)
    tracer = provider.get_tracer("somebody")
    with tracer.start_as_current_span("run", attributes=agent("above")):
        leaf(tracer, usage(1, 1))
        with TaskTracker("ours.md", tracker=ours) as running:
            running.set_usage(input_tokens=5)
            leaf(tracer, usage(100, 100))
            with tracer.start_as_current_span("run", attributes=agent("below")):
                leaf(tracer, usage(10, 10))
    history = history_of(home)
    assert {name: entry["tokens"] for name, entry in history.items()} == {
        "above": tokens(1, 1),
        "ours.md": tokens(5, 0),
        "below": tokens(10, 10),
    }
    assert not foreign_task._pending._sums


def test_a_span_of_this_package_from_another_process_is_no_task(home: Home, tracer: Tracer) -> None:
    leaf(tracer, agent(**{"otel_tracker.run_id": "0" * 32}))
    assert MetricTracker(home.document).get_history() == []


def test_the_announcement_of_a_span_that_logfire_makes_is_no_task(home: Home, tracer: Tracer) -> None:
    leaf(tracer, agent(**{"logfire.span_type": "pending_span"}))
    assert MetricTracker(home.document).get_history() == []


def test_the_workflow_around_the_agents_of_openai_is_no_task_even_with_a_configured_agent_name(home: Home) -> None:
    scope = InstrumentationScope("opentelemetry.instrumentation.openai_agents")
    context = SpanContext(secrets.randbits(128), 1, is_remote=False)
    span = ReadableSpan(
        "Agent workflow",
        context,
        attributes=AGENT,
        kind=SpanKind.SERVER,
        start_time=1,
        end_time=2,
        instrumentation_scope=scope,
    )
    assert CircuitBreakerSpanExporter(home.document).export([span]) is SpanExportResult.SUCCESS
    assert MetricTracker(home.document).get_history() == []


@pytest.mark.parametrize(
    ("name", "recorded"),
    [
        ("  ", "from the span"),
        (7, "from the span"),
        (["planner"], "from the span"),
        ("two\nlines", "two lines"),
        ("p" * 600, "p" * 512),
    ],
)
def test_a_malformed_name_does_not_lose_the_task(home: Home, tracer: Tracer, name: Any, recorded: str) -> None:
    leaf(tracer, agent(name), "invoke_agent from the span")
    assert list(history_of(home)) == [recorded]


def test_malformed_values_are_left_out_and_the_task_stays(home: Home, tracer: Tracer) -> None:
    wrong: Said = {
        "gen_ai.request.model": 5,
        "gen_ai.response.model": ["a", "b"],
        "gen_ai.conversation.id": "",
        "gen_ai.usage.input_tokens": "many",
        "gen_ai.usage.output_tokens": -1,
        "gen_ai.usage.cache_read.input_tokens": True,
    }
    leaf(tracer, agent(**wrong))
    entry = history_of(home)["planner"]
    assert (entry["action"], entry["model"], entry["tokens_used"]) == ("task_completed", None, None)
    assert not {"models", "conversation_id", "tokens"} & entry.keys()


def test_more_tokens_than_possible_are_unmeasured(home: Home, tracer: Tracer) -> None:
    leaf(tracer, agent("one", **usage(2**53 + 1, 5)))
    with tracer.start_as_current_span("run", attributes=agent("many")):
        leaf(tracer, usage(2**53, 0))
        leaf(tracer, usage(2**53, 0))
    history = history_of(home)
    assert (history["one"]["tokens"], history["many"]["tokens_used"]) == (tokens(0, 5), None)


def test_an_agent_without_any_name_is_no_task(home: Home, tracer: Tracer) -> None:
    leaf(tracer, {"gen_ai.operation.name": "invoke_agent"}, "invoke_agent")
    leaf(tracer, agent(" "), "run")
    assert MetricTracker(home.document).get_history() == []


def test_a_span_that_cannot_be_recorded_does_not_lose_the_others(home: Home) -> None:
    def span(number: int, end_time: int) -> ReadableSpan:
        context = SpanContext(secrets.randbits(128), number, is_remote=False)
        return ReadableSpan("run", context, attributes=agent(f"a{number}"), start_time=1, end_time=end_time)

    spans = [span(1, 10), span(2, 10**30), span(3, 23 * 10**19), span(4, 10)]
    assert CircuitBreakerSpanExporter(home.document).export(spans) is SpanExportResult.FAILURE
    assert list(history_of(home)) == ["a1", "a4"]


def test_two_documents_get_the_same_task(tmp_path: Path) -> None:
    homes = [Home(str(tmp_path / name)) for name in ("one", "other")]
    provider = TracerProvider()
    for each in homes:
        provider.add_span_processor(AgentSpanProcessor(CircuitBreakerSpanExporter(each.document)))
    tracer = provider.get_tracer("somebody")
    with tracer.start_as_current_span("run", attributes=agent()):
        leaf(tracer, usage(10, 1))
    assert [history_of(each)["planner"]["tokens"] for each in homes] == [tokens(10, 1)] * 2


def test_tokens_are_counted_once_by_several_threads(home: Home, tracer: Tracer) -> None:
    def work(number: int) -> None:
        with tracer.start_as_current_span("run", attributes=agent(f"a{number}")):
            for _ in range(20):
                leaf(tracer, usage(number, 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(1, 17)))
    assert {name: entry["tokens"] for name, entry in history_of(home).items()} == {
        f"a{number}": tokens(20 * number, 20) for number in range(1, 17)
    }


TOKENS = MappingProxyType({"input": 1})


def test_what_waits_for_a_parent_is_bounded_and_the_oldest_goes_first() -> None:
    pending = PendingTokens(remembered=3)
    for number in range(5):
        pending.settle((1, 100 + number), {None: dict(TOKENS)}, (1, number), None)
    assert [pending.settle_task((1, number), None) for number in range(5)] == [None, None, *[{None: TOKENS}] * 3]


def test_a_child_that_ends_after_its_parent_adds_to_nothing() -> None:
    pending = PendingTokens()
    assert pending.settle_task((1, 1), None) is None
    pending.settle((1, 2), {None: dict(TOKENS)}, (1, 1), None)
    assert pending.settle_task((1, 1), None) is None
    assert not pending._sums


# Whatever a span says.

_KEYS = (
    *("gen_ai.agent.name", "gen_ai.agent.id", "agent.name", "agent_name", "traceloop.entity.name", "model_name"),
    *("gen_ai.request.model", "gen_ai.response.model", "llm.model_name", "gen_ai.response.id", "error.type"),
    *("gen_ai.conversation.id", "session.id", "traceloop.association.properties.session_id", "logfire.span_type"),
    *("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.usage.cache_read.input_tokens"),
    *("gen_ai.usage.cache_write.input_tokens", "gen_ai.usage.prompt_tokens", "llm.usage.total_tokens"),
    *("llm.token_count.prompt", "llm.token_count.completion", "gen_ai.aggregated_usage.input_tokens"),
)
_texts = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(["p" * 600, "\ud800", "\0", "429"])
_plain = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | _texts
_values = _plain | st.lists(_plain, max_size=2) | st.binary(max_size=2)
_kinds = st.sampled_from(
    [
        {"gen_ai.operation.name": "invoke_agent"},
        {"traceloop.span.kind": "agent"},
        {"openinference.span.kind": "AGENT"},
        {"openinference.span.kind": 3, "gen_ai.operation.name": []},
        {},
    ]
)
_spans = st.builds(
    ReadableSpan,
    _texts | st.just("invoke_agent a"),
    st.none() | st.integers(1, 3).map(lambda number: SpanContext(0, number, is_remote=False)),
    st.none() | st.integers(1, 3).map(lambda number: SpanContext(0, number, is_remote=False)),
    attributes=st.builds(lambda kind, more: {**more, **kind}, _kinds, st.dictionaries(st.sampled_from(_KEYS), _values)),
    events=st.lists(
        st.builds(
            lambda name, said: Event(name, said, 1),
            st.sampled_from(["exception", "other"]),
            st.none() | st.dictionaries(st.sampled_from(["exception.type", "exception.message"]), _values),
        ),
        max_size=2,
    ),
    status=st.builds(Status, st.sampled_from(StatusCode)) | st.builds(Status, st.just(StatusCode.ERROR), _texts),
    start_time=st.none() | st.integers(0, 10**18),
    end_time=st.none() | st.integers(0, 10**18),
    instrumentation_scope=st.none() | st.sampled_from(["pydantic-ai", "a"]).map(InstrumentationScope),
)


def _is_valid(said: Said) -> bool:
    texts = (said["model"], said.get("conversation_id"), said.get("error_type"), *said.get("models", ()))
    counts = [said["tokens_used"] or 0, *said.get("tokens", {}).values()]
    return (
        event.checked_agent(said["agent"]) == said["agent"]
        and all(event.checked_text("a text", text) == text for text in texts)
        and all(event.checked_tokens(number) == number for number in counts)
        and len(said.get("error", "")) <= ERROR_CHARACTERS
        and said["duration_seconds"] >= 0
    )


def _is_named_agent(span: ReadableSpan) -> bool:
    is_agent = (span.attributes or {}).get("gen_ai.operation.name") == "invoke_agent"
    return is_agent and span.name == "invoke_agent a" and span.end_time is not None and span.context is not None


@given(st.lists(_spans, max_size=6))
@settings(max_examples=150)
def test_no_span_makes_the_exporter_raise_or_record_what_cannot_be_read(spans: list[ReadableSpan]) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        home = Home(folder)
        patch.setattr(foreign_task, "_pending", PendingTokens())
        recorder = Recorder(Store(home))  # nobody else's, and gone with its folder
        patch.setattr(circuit_breaker, "recorder_of", lambda _: recorder)
        assert CircuitBreakerSpanExporter().export(spans) is SpanExportResult.SUCCESS
        store = Store(home)
        read = store.parts.journal.after(0)
        assert all(_is_valid(said) for said in read)
        assert {f"{span.context.span_id:016x}" for span in spans if _is_named_agent(span)} <= {
            said["span_id"] for said in read
        }
        assert store.read().head["metrics"]["total_requests"] == len(read)
