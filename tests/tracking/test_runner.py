import asyncio
import contextvars
import threading
from typing import Any

import pytest
import tenacity
from opentelemetry import trace
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import (
    AgentBlacklistedError,
    AgentTimeoutError,
    MetricTracker,
    NoAgentAvailableError,
    TaskTracker,
    current_task,
)
from otel_tracker.errors import InvalidValueError
from otel_tracker.tracking import retry
from tests.clock import Clock

AGENT, OTHER = "core/coder.md", "core/debugger.md"


@pytest.fixture
def tracker(traced: MetricTracker) -> MetricTracker:
    return traced


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the pauses between attempts instead of making them."""
    made: list[float] = []
    pause = retry._pause

    def make_none(state: tenacity.RetryCallState) -> float:
        made.append(pause(state))
        return 0.0

    monkeypatch.setattr(retry, "_pause", make_none)
    return made


class Flaky:
    """Fails so often, then works; knows which agents it ran for."""

    def __init__(self, failures: int, error: type[Exception] | Exception = ValueError) -> None:
        self.failures, self.error, self.agents = failures, error, list[str | None]()

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        task = current_task()
        self.agents.append(task.agent_file if task else None)
        if len(self.agents) <= self.failures:
            raise self.error if isinstance(self.error, Exception) else self.error("not yet")
        return (*arguments, keywords) if arguments or keywords else "done"

    async def run(self, *arguments: Any, **keywords: Any) -> Any:
        await asyncio.sleep(0)
        return self(*arguments, **keywords)


def run(tracker: MetricTracker, how: str, function: Flaky, *arguments: Any, **options: Any) -> Any:
    if how == "run":
        return tracker.run(AGENT, function, *arguments, **options)
    return asyncio.run(tracker.arun(AGENT, function.run, *arguments, **options))


BOTH = pytest.mark.parametrize("how", ["run", "arun"])


def entries(tracker: MetricTracker) -> list[tuple[str, str]]:
    return [(entry["agent"], entry["action"]) for entry in tracker.get_history()]


@BOTH
def test_a_function_is_a_task_and_its_result_is_returned(tracker: MetricTracker, how: str) -> None:
    assert run(tracker, how, Flaky(0), 1, 2, model="opus", word="three") == (1, 2, {"word": "three"})
    (entry,) = tracker.get_history()
    assert (entry["agent"], entry["action"], entry["model"]) == (AGENT, "task_completed", "opus")
    assert "attempts" not in entry


@BOTH
def test_the_function_finds_its_task_and_its_span(tracker: MetricTracker, how: str) -> None:
    def work() -> None:
        task = current_task()
        assert task is not None
        task.set_usage(input_tokens=3, output_tokens=4)
        assert trace.get_current_span().is_recording()

    async def work_async() -> None:
        work()

    if how == "run":
        tracker.run(AGENT, work)
    else:
        asyncio.run(tracker.arun(AGENT, work_async))
    (entry,) = tracker.get_history()
    assert entry["tokens"] == {"input": 3, "output": 4}
    assert current_task() is None


def test_tokens_of_the_result_are_taken(tracker: MetricTracker) -> None:
    tracker.run(AGENT, lambda: {"tokens_used": 12})
    assert tracker.get_history()[0]["tokens_used"] == 12


@BOTH
def test_failed_attempts_are_repeated_after_the_first_as_often_as_the_settings_say(
    tracker: MetricTracker, how: str, pauses: list[float]
) -> None:
    flaky = Flaky(3)
    assert run(tracker, how, flaky) == "done"
    assert len(flaky.agents) == 4
    assert len(pauses) == 3


@BOTH
def test_all_attempts_are_one_task_and_one_span_with_an_event_for_each(
    tracker: MetricTracker, how: str, spans: InMemorySpanExporter
) -> None:
    run(tracker, how, Flaky(2))
    (entry,) = tracker.get_history()
    assert (entry["action"], entry["attempts"]) == ("task_completed", 3)
    (span,) = spans.get_finished_spans()
    seen = [(event.name, dict(event.attributes or {})) for event in span.events]
    failed = {"error.type": "ValueError", "otel_tracker.error": "not yet"}
    assert seen == [
        ("attempt", {"otel_tracker.attempt": 1, **failed}),
        ("attempt", {"otel_tracker.attempt": 2, **failed}),
        ("attempt", {"otel_tracker.attempt": 3}),
    ]


@BOTH
def test_when_all_attempts_have_failed_the_last_error_is_raised_and_one_failure_counts(
    tracker: MetricTracker, how: str
) -> None:
    flaky = Flaky(9, KeyError("x"))
    with pytest.raises(KeyError) as raised:
        run(tracker, how, flaky, retries=2)
    assert raised.value is flaky.error
    assert len(flaky.agents) == 3
    row = tracker.get_agent_metrics(AGENT)
    assert (row["failures"], row["metrics"]["tasks_failed"]) == (1, 1)


def test_pauses_grow_and_are_random(tracker: MetricTracker, pauses: list[float]) -> None:
    for _ in range(20):
        tracker.run(AGENT, Flaky(4), retries=4)
    of_each = [pauses[number::4] for number in range(4)]
    for number, made in enumerate(of_each):
        assert all(0 <= pause <= min(60, 2**number) for pause in made)
    assert len(set(pauses)) > 70
    assert sum(of_each[3]) > sum(of_each[0])


class LimitedError(Exception):
    def __init__(self, **headers: str) -> None:
        super().__init__("429 too many requests")
        self.response = type("Response", (), {"headers": headers})()


@BOTH
def test_retry_after_is_respected(tracker: MetricTracker, how: str, pauses: list[float]) -> None:
    run(tracker, how, Flaky(1, LimitedError(**{"Retry-After": "17"})))
    assert pauses == [17.0]


def test_a_caller_that_should_wait_too_long_does_not_wait(tracker: MetricTracker, pauses: list[float]) -> None:
    with pytest.raises(LimitedError):
        tracker.run(AGENT, Flaky(1, LimitedError(**{"retry-after": "301"})))
    assert pauses == []


@BOTH
def test_there_is_no_retry_where_the_same_door_is_closed(tracker: MetricTracker, how: str) -> None:
    flaky = Flaky(1, RuntimeError("Credit balance is too low"))
    with pytest.raises(RuntimeError):
        run(tracker, how, flaky)
    assert len(flaky.agents) == 1


@BOTH
def test_there_is_no_retry_once_the_breaker_is_open(tracker: MetricTracker, how: str) -> None:
    def fail_beside(*_: object) -> None:
        for _number in range(5):
            with TaskTracker(AGENT, tracker=tracker) as task:
                task.set_failed()

    kind: type[ValueError] = type("Error", (ValueError,), {"__init__": fail_beside})
    flaky = Flaky(9, kind)
    with pytest.raises(kind):
        run(tracker, how, flaky)
    assert len(flaky.agents) == 1
    assert tracker.get_agent_metrics(AGENT)["state"] == "open"


def test_a_probe_may_be_repeated_although_no_other_task_is_let_through(tracker: MetricTracker, clock: Clock) -> None:
    for _ in range(5):
        with pytest.raises(ValueError, match="not yet"):
            tracker.run(AGENT, Flaky(1), retries=0)
    clock.now += 600
    assert tracker.run(AGENT, Flaky(2), retries=2) == "done"
    assert tracker.get_agent_metrics(AGENT)["state"] == "closed"


@BOTH
@pytest.mark.parametrize("kind", [KeyboardInterrupt, asyncio.CancelledError, SystemExit])
def test_an_interrupted_agent_is_not_repeated_and_no_other_agent_runs(
    tracker: MetricTracker, how: str, kind: type[BaseException]
) -> None:
    with pytest.raises(kind):
        run(tracker, how, Raising(kind), fallbacks=[OTHER])
    action = "task_completed" if kind is SystemExit else "task_cancelled"
    assert entries(tracker) == [(AGENT, action)]


@BOTH
def test_an_exit_is_judged_by_its_status(tracker: MetricTracker, spans: InMemorySpanExporter, how: str) -> None:
    for status in (0, 3):
        with pytest.raises(SystemExit):
            run(tracker, how, Exiting(status), fallbacks=[OTHER])
    assert entries(tracker) == [(AGENT, "task_completed"), (AGENT, "task_failed")]
    attempts = [dict(span.events[0].attributes or {}) for span in spans.get_finished_spans()]
    assert ["error.type" in attempt for attempt in attempts] == [False, True]


class Raising(Flaky):
    def __init__(self, kind: type[BaseException]) -> None:
        super().__init__(0)
        self.kind = kind

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise self.kind


class Exiting(Raising):
    def __init__(self, status: int) -> None:
        super().__init__(SystemExit)
        self.status = status

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        raise SystemExit(self.status)


@BOTH
def test_a_fallback_runs_where_the_agent_is_refused(tracker: MetricTracker, how: str) -> None:
    for _ in range(5):
        with TaskTracker(AGENT, tracker=tracker) as task:
            task.set_failed()
    flaky = Flaky(0)
    assert run(tracker, how, flaky, fallbacks=[OTHER]) == "done"
    assert flaky.agents == [OTHER]
    entry = tracker.get_history(limit=1)[0]
    assert (entry["agent"], entry["fallback_for"]) == (OTHER, AGENT)
    assert tracker.get_system_metrics()["fallback_used"] == 1
    tallies = tracker.get_agent_metrics(AGENT)["tallies"]
    assert {kind: number for kind, number in tallies.items() if number} == {"opened": 1, "rejected": 1, "fallback": 1}


@BOTH
def test_a_fallback_runs_where_all_attempts_have_failed(tracker: MetricTracker, how: str) -> None:
    flaky = Flaky(2)
    assert run(tracker, how, flaky, retries=1, fallbacks=[OTHER]) == "done"
    assert flaky.agents == [AGENT, AGENT, OTHER]
    assert entries(tracker) == [(AGENT, "task_failed"), (OTHER, "task_completed")]


@BOTH
def test_the_error_of_the_last_agent_is_raised(tracker: MetricTracker, how: str) -> None:
    with pytest.raises(ValueError, match="not yet"):
        run(tracker, how, Flaky(9), retries=0, fallbacks=[OTHER])
    assert entries(tracker) == [(AGENT, "task_failed"), (OTHER, "task_failed")]


@BOTH
def test_a_refused_agent_without_a_fallback_gives_the_reason(tracker: MetricTracker, how: str) -> None:
    for agent in (AGENT, OTHER):
        for _ in range(5):
            with TaskTracker(agent, tracker=tracker) as task:
                task.set_failed()
    with pytest.raises(AgentBlacklistedError, match="5 failures in a row") as raised:
        run(tracker, how, Flaky(0), fallbacks=[])
    assert not isinstance(raised.value, NoAgentAvailableError)
    with pytest.raises(NoAgentAvailableError, match=r"core/debugger\.md until"):
        run(tracker, how, Flaky(0), fallbacks=[OTHER])


def test_a_function_that_overruns_fails_at_the_deadline_and_is_not_repeated(tracker: MetricTracker) -> None:
    released, calls = threading.Event(), []

    def hang() -> None:
        calls.append(1)
        released.wait(30)

    with pytest.raises(AgentTimeoutError, match=r"did not end within 0\.05 s") as raised:
        tracker.run(AGENT, hang, timeout=0.05)
    released.set()
    assert isinstance(raised.value, TimeoutError)
    assert len(calls) == 1
    (entry,) = tracker.get_history()
    assert (entry["action"], entry["error_type"]) == ("task_failed", "AgentTimeoutError")
    assert tracker.get_agent_metrics(AGENT)["failures"] == 1


def test_a_coroutine_that_overruns_is_cancelled_and_repeated(tracker: MetricTracker) -> None:
    ends: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise

    with pytest.raises(AgentTimeoutError):
        asyncio.run(tracker.arun(AGENT, hang, timeout=0.01, retries=1))
    assert ends == ["cancelled"] * 2
    assert tracker.get_history()[0]["attempts"] == 2


def test_a_coroutine_that_is_cancelled_from_outside_ends_before_the_caller_hears_of_it(tracker: MetricTracker) -> None:
    ends: list[str] = []

    async def hang() -> None:
        try:
            begun.set()
            await asyncio.sleep(30)
        finally:
            await asyncio.sleep(0)
            ends.append("cleaned up")

    async def main() -> None:
        running = asyncio.ensure_future(tracker.arun(AGENT, hang))
        await begun.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    begun = asyncio.Event()
    asyncio.run(main())
    assert ends == ["cleaned up"]
    assert tracker.get_history(limit=1)[0]["action"] == "task_cancelled"


def test_a_timeout_of_zero_runs_the_function_in_the_callers_thread(tracker: MetricTracker) -> None:
    assert tracker.run(AGENT, threading.current_thread, timeout=0) is threading.current_thread()
    assert tracker.run(AGENT, threading.current_thread) is not threading.current_thread()


def test_the_functions_thread_sees_the_callers_context(tracker: MetricTracker) -> None:
    word: contextvars.ContextVar[str] = contextvars.ContextVar("word")
    word.set("here")
    assert tracker.run(AGENT, word.get) == "here"


def test_the_timeout_and_the_retries_of_the_agents_own_settings_hold(tracker: MetricTracker) -> None:
    tracker.register_agent("coder", AGENT)
    tracker.save(backup=False)
    text = tracker.config_file.read_text()
    own = '"config": {"timeout_seconds": 0, "retry_attempts": 1}, '
    tracker.config_file.write_text(text.replace('"core/coder.md": {', '"core/coder.md": {' + own))
    flaky = Flaky(9)
    with pytest.raises(ValueError, match="not yet"):
        tracker.run(AGENT, flaky)
    assert len(flaky.agents) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": -1},
        {"timeout": "1"},
        {"timeout": True},
        {"timeout": float("nan")},
        {"retries": -1},
        {"retries": 1.5},
        {"model": " "},
        {"fallbacks": [""]},
    ],
)
@BOTH
def test_a_plan_that_makes_no_sense_is_an_error_and_nothing_runs(
    tracker: MetricTracker, how: str, options: dict[str, Any]
) -> None:
    flaky = Flaky(0)
    with pytest.raises(InvalidValueError):
        run(tracker, how, flaky, **options)
    assert flaky.agents == []
    assert not tracker.config_file.exists()


def test_a_coroutine_function_belongs_to_arun_and_any_other_to_run(tracker: MetricTracker) -> None:
    async def work() -> None:
        pass

    with pytest.raises(InvalidValueError, match="await arun instead"):
        tracker.run(AGENT, work)
    with pytest.raises(InvalidValueError, match="call run instead"):
        asyncio.run(tracker.arun(AGENT, Flaky(0)))


def test_a_function_that_overruns_is_given_to_no_fallback_while_it_still_runs(tracker: MetricTracker) -> None:
    released, calls = threading.Event(), []

    def hang() -> None:
        calls.append(1)
        released.wait(30)

    with pytest.raises(AgentTimeoutError):
        tracker.run(AGENT, hang, timeout=0.05, fallbacks=[OTHER])
    released.set()
    assert len(calls) == 1
    assert entries(tracker) == [(AGENT, "task_failed")]


def test_what_has_not_done_its_work_yet_is_no_result(tracker: MetricTracker) -> None:
    def later() -> Any:
        yield 1

    with pytest.raises(InvalidValueError, match="see track_agent for generators"):
        tracker.run(AGENT, later, fallbacks=[OTHER])
    assert entries(tracker) == [(AGENT, "task_failed")]


class Unspeakable(Exception):  # noqa: N818 - it is no name that matters
    retry_after = 10**400

    def __str__(self) -> str:
        raise RuntimeError("no words")


def test_an_error_that_cannot_be_shown_reaches_the_caller_as_it_is(tracker: MetricTracker) -> None:
    with pytest.raises(Unspeakable):
        tracker.run(AGENT, Flaky(9, Unspeakable), retries=1)


def test_one_agent_is_no_list_of_fallbacks(tracker: MetricTracker) -> None:
    for ask in (tracker.select_agent, lambda agent, listed: tracker.run(agent, print, fallbacks=listed)):
        with pytest.raises(InvalidValueError, match="a list of agents"):
            ask(AGENT, OTHER)
