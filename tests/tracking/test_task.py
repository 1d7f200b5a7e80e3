import asyncio
import sys
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from otel_tracker import InvalidValueError, MetricTracker, TaskTracker, estimate_tokens, names
from otel_tracker.storage.home import Home

Spans = InMemorySpanExporter


@pytest.fixture
def tracker(traced: MetricTracker) -> MetricTracker:
    return traced


def last_entry(tracker: MetricTracker) -> dict[str, Any]:
    return tracker.get_history(limit=1)[0]


def test_a_task_is_a_success_with_its_tokens(tracker: MetricTracker) -> None:
    with TaskTracker("core/coder.md", model="sonnet", task_id="fix-bug-123", tracker=tracker) as task:
        assert tracker.get_agent_metrics("core/coder.md")["in_flight"] == 1
        task.set_tokens_used(1500)
    entry = last_entry(tracker)
    assert (entry["action"], entry["tokens_used"], entry["task_id"]) == ("task_completed", 1500, "fix-bug-123")
    assert entry["duration_seconds"] > 0
    assert tracker.get_agent_metrics("core/coder.md")["in_flight"] == 0


def test_an_exception_fails_the_task_and_goes_on(tracker: MetricTracker, spans: Spans) -> None:
    with pytest.raises(ZeroDivisionError), TaskTracker("a.md", tracker=tracker):
        _ = 1 / 0
    assert (last_entry(tracker)["action"], last_entry(tracker)["error"]) == ("task_failed", "division by zero")
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert dict(span.attributes or {})["error.type"] == "ZeroDivisionError"
    assert span.events[0].name == "exception"


def test_set_failed_fails_a_task_without_an_exception(tracker: MetricTracker, spans: Spans) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_failed("2 of 40 tests fail")
    assert (last_entry(tracker)["action"], last_entry(tracker)["error"]) == ("task_failed", "2 of 40 tests fail")
    assert spans.get_finished_spans()[0].status.description == "2 of 40 tests fail"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError, GeneratorExit])
def test_an_interrupt_cancels_the_task_and_goes_on(tracker: MetricTracker, kind: type[BaseException]) -> None:
    with pytest.raises(kind), TaskTracker("a.md", tracker=tracker):
        raise kind
    assert last_entry(tracker)["action"] == "task_cancelled"
    assert tracker.get_agent("a.md")["failures"] == 0


def test_a_task_that_has_failed_before_it_exits_has_failed(tracker: MetricTracker) -> None:
    def work() -> None:
        with TaskTracker("a.md", tracker=tracker) as task:
            task.set_failed("2 of 40 tests fail")
            sys.exit(0)

    with pytest.raises(SystemExit):
        work()
    assert (last_entry(tracker)["action"], last_entry(tracker)["error"]) == ("task_failed", "2 of 40 tests fail")


@pytest.mark.parametrize(
    ("inner", "action"),
    [
        ([KeyboardInterrupt(), asyncio.CancelledError()], "task_cancelled"),
        ([KeyboardInterrupt(), ValueError("x")], "task_failed"),
        ([SystemExit(0)], "task_completed"),
        ([SystemExit(0), GeneratorExit()], "task_cancelled"),
    ],
)
def test_a_group_of_exceptions_is_as_bad_as_its_worst(
    tracker: MetricTracker, inner: list[BaseException], action: str
) -> None:
    group = BaseExceptionGroup("in parallel", [BaseExceptionGroup("below", inner)])
    with pytest.raises(BaseExceptionGroup), TaskTracker("a.md", tracker=tracker):
        raise group
    assert last_entry(tracker)["action"] == action


def test_spans_that_cannot_be_started_are_one_warning_and_the_tasks_count(
    home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    class Broken(TracerProvider):
        def get_tracer(self, *arguments: Any, **options: Any) -> Any:
            raise OSError("too many open files")

    tracker = MetricTracker(home.document, tracer_provider=Broken())
    for _ in range(3):
        with TaskTracker("a.md", tracker=tracker):
            pass
    assert tracker.get_agent_metrics("a.md")["metrics"]["tasks_successful"] == 3
    assert [message.partition(",")[0] for message in warnings_logged()] == ["cannot start the span of a task"]


def test_an_asynchronous_task_is_a_success_however_the_writers_thread_comes_between(tracker: MetricTracker) -> None:
    async def work() -> None:
        for _ in range(200):
            async with TaskTracker("a.md", tracker=tracker):
                pass

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        asyncio.run(work())
    finally:
        sys.setswitchinterval(interval)
    assert tracker.get_agent_metrics("a.md")["metrics"]["tasks_successful"] == 200


def test_an_asynchronous_task_that_is_cancelled_is_cancelled(tracker: MetricTracker) -> None:
    async def main() -> None:
        async def work() -> None:
            async with TaskTracker("a.md", tracker=tracker):
                await asyncio.sleep(60)

        running = asyncio.create_task(work())
        await asyncio.sleep(0.01)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(main())
    assert last_entry(tracker)["action"] == "task_cancelled"


def test_concurrent_asynchronous_tasks_are_children_of_their_own_parent(tracker: MetricTracker, spans: Spans) -> None:
    async def work(agent: str) -> None:
        async with TaskTracker(agent, tracker=tracker):
            await asyncio.sleep(0.01)
            async with TaskTracker(f"{agent}/child", tracker=tracker):
                await asyncio.sleep(0.01)

    async def main() -> None:
        await asyncio.gather(work("a"), work("b"))

    asyncio.run(main())
    by_name = {span.name: span for span in spans.get_finished_spans()}
    for agent in ("a", "b"):
        parent, child = by_name[f"invoke_agent {agent}"], by_name[f"invoke_agent {agent}/child"]
        assert parent.context is not None
        assert child.parent is not None
        assert (child.parent.span_id, parent.parent) == (parent.context.span_id, None)


def test_a_span_names_the_agent_and_its_work_with_which_model_and_tokens(tracker: MetricTracker, spans: Spans) -> None:
    with TaskTracker("core/coder.md", model="opus", task_id="t1", tracker=tracker) as task:
        task.set_model("claude-opus-5")
        task.set_usage(input_tokens=10, output_tokens=20, cache_read_tokens=300, cache_write_tokens=4000)
    (span,) = spans.get_finished_spans()
    attributes = dict(span.attributes or {})
    run_id = attributes.pop("otel_tracker.run_id")
    assert (span.name, span.kind) == ("invoke_agent core/coder.md", trace.SpanKind.INTERNAL)
    assert attributes == {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "core/coder.md",
        "gen_ai.request.model": "opus",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.response.model": "claude-opus-5",
        "gen_ai.usage.input_tokens": 4310,
        "gen_ai.usage.output_tokens": 20,
        "gen_ai.usage.cache_read.input_tokens": 300,
        "gen_ai.usage.cache_creation.input_tokens": 4000,
        "otel_tracker.task_id": "t1",
        "otel_tracker.outcome": "success",
        "otel_tracker.tokens_used": 4330,
    }
    entry = last_entry(tracker)
    typed = {"input": 10, "output": 20, "cache_read": 300, "cache_write": 4000}
    assert {kind: entry["tokens"][kind] for kind in typed} == typed
    assert span.context is not None
    assert (entry["run_id"], entry["trace_id"]) == (run_id, f"{span.context.trace_id:032x}")
    assert tracker.get_agent("core/coder.md")["models"]["claude-opus-5"]["total"] == 4330


@pytest.mark.parametrize(("model", "full_id"), [("sonnet", "claude-sonnet-5"), ("claude-sonnet-5", None)])
def test_usage_of_a_full_model_id_is_priced_as_one_request(
    tracker: MetricTracker, model: str, full_id: str | None
) -> None:
    with TaskTracker("a.md", model=model, tracker=tracker) as task:
        if full_id:
            task.set_model(full_id)
        task.set_usage(input_tokens=1000, output_tokens=100, cache_write_1h_tokens=10)
    expected = {names.COST: 1000 * 2 + 100 * 10 + 10 * 4, names.PRICED: 1110}
    entry, agent = last_entry(tracker), tracker.get_agent("a.md")
    uses = [entry["tokens"], agent["token_usage"][model]]
    if full_id:
        uses += [entry["models"][full_id], agent["models"][full_id]]
    assert [{key: use[key] for key in expected} for use in uses] == [expected] * len(uses)


@pytest.mark.parametrize("model", ["sonnet", "our-own-model", None])
def test_usage_of_a_family_or_an_unknown_model_has_no_price(tracker: MetricTracker, model: str | None) -> None:
    with TaskTracker("a.md", model=model, tracker=tracker) as task:
        task.set_usage(input_tokens=1000, output_tokens=100)
    assert last_entry(tracker)["tokens"] == {"input": 1000, "output": 100}
    with TaskTracker("a.md", model="claude-sonnet-5", tracker=tracker) as task:
        task.set_tokens_used(1000)  # of no type
    assert last_entry(tracker)["tokens"] == {"untyped": 1000}


@pytest.mark.parametrize(
    "content", ['{"models": {"our-own-model": {"input": 1, "output": 2}}}', "{ damaged", '{"models": 3}']
)
def test_a_users_own_prices_hold_and_faulty_ones_fail_no_task(tracker: MetricTracker, home: Home, content: str) -> None:
    Path(home.prices).parent.mkdir(parents=True, exist_ok=True)
    Path(home.prices).write_text(content)
    with TaskTracker("a.md", model="our-own-model", tracker=tracker) as task:
        task.set_usage(input_tokens=1000, output_tokens=100)
    entry = last_entry(tracker)
    assert entry["action"] == "task_completed"
    assert entry["tokens"].get(names.COST) == (1200 if "our-own" in content else None)


def test_tokens_count_under_the_model_that_the_user_named(tracker: MetricTracker) -> None:
    with TaskTracker("a.md", model="sonnet", tracker=tracker) as task:
        task.set_model("claude-opus-5")
        task.set_tokens_used(5)
    usage = tracker.get_agent("a.md")["token_usage"]
    assert (usage["sonnet"]["total"], usage["opus"]["total"]) == (5, 0)


def test_tokens_count_under_the_family_where_the_user_named_no_model(tracker: MetricTracker) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_model("claude-opus-5")
        task.set_tokens_used(5)
    with TaskTracker("a.md", model="gpt-7", tracker=tracker) as task:
        task.set_tokens_used(9)
    usage = tracker.get_agent("a.md")["token_usage"]
    assert (usage["opus"]["total"], usage["sonnet"]["total"], usage["gpt-7"]["total"]) == (5, 0, 9)


@pytest.mark.parametrize("wrong", [-1, float("nan"), float("inf"), Decimal("NaN"), True, "many", 1j, [5]])
def test_a_wrong_number_of_tokens_never_fails_the_task(
    tracker: MetricTracker, wrong: Any, warnings_logged: Callable[[], list[str]]
) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_tokens_used(7)
        task.set_tokens_used(wrong)
        task.set_usage(input_tokens=-5)
    assert (last_entry(tracker)["action"], last_entry(tracker)["tokens_used"]) == ("task_completed", None)
    assert len(warnings_logged()) == 1


@pytest.mark.parametrize("number", [77, 77.0, 76.6, len("x" * 307) / 4, Decimal("77.25"), Fraction(154, 2)])
def test_tokens_that_are_not_whole_are_rounded(tracker: MetricTracker, number: Any) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_tokens_used(number)
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_usage(input_tokens=number)
    assert [entry["tokens_used"] for entry in tracker.get_history()] == [77, 77]


def test_tokens_may_be_assigned_and_added_to(tracker: MetricTracker) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.tokens_used += 70
        task.tokens_used += 7.4
    assert (task.tokens_used, last_entry(tracker)["tokens_used"]) == (77, 77)
    with TaskTracker("a.md", tracker=tracker) as task:
        assert task.tokens_used == 0
    assert last_entry(tracker)["tokens_used"] is None


def test_tokens_that_the_cache_keeps_for_an_hour_are_a_part_of_those_written(tracker: MetricTracker) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_usage(input_tokens=10, cache_write_tokens=3000, cache_write_1h_tokens=2000)
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_usage(cache_write_1h_tokens=500)
        assert task.tokens_used == 500
    assert [entry["tokens_used"] for entry in tracker.get_history()] == [3010, 500]
    usage = tracker.get_agent("a.md")["token_usage"]["sonnet"]
    assert (usage["total"], usage["cache_write"], usage["cache_write_1h"]) == (3510, 3500, 2500)
    summary = tracker.get_token_summary()
    assert (summary["sonnet"]["cache_write_1h"], "cache_write_1h" in summary["opus"]) == (2500, False)


def test_usage_of_which_nothing_is_known_is_unmeasured(tracker: MetricTracker) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_usage(None, None)
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_usage(0, None)
    assert [entry["tokens_used"] for entry in tracker.get_history()] == [None, 0]


def test_an_estimate_is_flagged_in_event_and_span(tracker: MetricTracker, spans: Spans) -> None:
    with TaskTracker("a.md", tracker=tracker) as task:
        task.set_tokens_used(estimate_tokens("some text"), estimated=True)
    assert (last_entry(tracker)["estimated"], last_entry(tracker)["tokens_used"]) == (True, 3)
    assert dict(spans.get_finished_spans()[0].attributes or {})["otel_tracker.tokens_estimated"] is True


def test_a_task_tracker_is_for_one_task(tracker: MetricTracker) -> None:
    with TaskTracker("a.md", tracker=tracker) as task, pytest.raises(RuntimeError, match="begun already"):
        task.begin()
    with pytest.raises(RuntimeError, match="has not begun"):
        TaskTracker("a.md", tracker=tracker).end()


def test_an_error_whose_text_cannot_be_had_is_recorded_by_its_class(tracker: MetricTracker) -> None:
    class SilentError(Exception):
        def __str__(self) -> str:
            raise ValueError("no text")

    with pytest.raises(SilentError), TaskTracker("a.md", tracker=tracker):
        raise SilentError
    assert last_entry(tracker)["error"] == "SilentError"


def test_without_a_tracker_the_home_of_the_environment_is_used(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_TRACKER_HOME", home.folder)
    with TaskTracker("a.md"):
        pass
    assert MetricTracker(home.document).get_system_metrics()["successful"] == 1
    monkeypatch.delenv("OTEL_TRACKER_HOME")
    assert MetricTracker().get_system_metrics()["successful"] == 0


class Name(str):
    """A text that isn't quite one."""


@pytest.mark.parametrize("wrong", ["", "  ", "a\n.md", "\ud800", "x" * 513, Name(" "), ["a.md"], b"a.md", 5])
@pytest.mark.parametrize("argument", ["agent_file", "model", "task_id"])
def test_a_name_that_cannot_be_recorded_is_refused_each_time(tracker: MetricTracker, argument: str, wrong: Any) -> None:
    for _ in range(2):
        with pytest.raises(InvalidValueError):
            TaskTracker(**{"agent_file": "a.md", "tracker": tracker, argument: wrong})


@pytest.mark.parametrize("name", ["a.md", " a b ", "\N{SNOWMAN}", "x" * 512, Name("a.md")])
def test_a_name_stays_the_same_object_however_often_it_comes(tracker: MetricTracker, name: str) -> None:
    for _ in range(2):
        assert TaskTracker(name, tracker=tracker).agent_file is name
