import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, Coroutine, Generator
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace

from otel_tracker import InvalidValueError, MetricTracker, track_agent


def actions(tracker: MetricTracker) -> list[str]:
    return [entry["action"] for entry in tracker.get_history()]


def current_span_id() -> int:
    return trace.get_current_span().get_span_context().span_id


def test_a_function_is_a_task_and_its_results_tokens_are_taken(tracker: MetricTracker) -> None:
    @track_agent("core/coder.md", "opus", tracker=tracker)
    def implement(spec: str, *, tokens: Any) -> Any:
        """Do it."""
        return tokens

    assert implement("x", tokens=SimpleNamespace(tokens_used=1500)).tokens_used == 1500
    assert implement("x", tokens={"tokens_used": 40}) == {"tokens_used": 40}
    assert implement("x", tokens=None) is None
    assert [entry["tokens_used"] for entry in tracker.get_history()] == [1500, 40, None]
    assert tracker.get_agent("core/coder.md")["token_usage"]["opus"]["total"] == 1540
    assert (implement.__name__, implement.__doc__) == ("implement", "Do it.")


def test_a_function_that_raises_has_failed(tracker: MetricTracker) -> None:
    @track_agent("a.md", tracker=tracker)
    def work() -> None:
        raise OSError("disk on fire")

    with pytest.raises(OSError, match="disk on fire"):
        work()
    assert actions(tracker) == ["task_failed"]


@pytest.mark.parametrize(("status", "action"), [(None, "task_completed"), (0, "task_completed"), (2, "task_failed")])
def test_whatever_is_decorated_may_exit(tracker: MetricTracker, status: int | None, action: str) -> None:
    @track_agent("a.md", tracker=tracker)
    def function() -> None:
        sys.exit(status)

    @track_agent("a.md", tracker=tracker)
    def generator() -> Generator[int, None, None]:
        yield 1
        sys.exit(status)

    @track_agent("a.md", tracker=tracker)
    async def coroutine() -> None:
        sys.exit(status)

    @track_agent("a.md", tracker=tracker)
    async def async_generator() -> AsyncGenerator[int, None]:
        yield 1
        sys.exit(status)

    async def exhausted() -> None:
        async for _ in async_generator():
            pass

    for call in (function, lambda: list(generator()), lambda: step(coroutine()), lambda: step(exhausted())):
        with pytest.raises(SystemExit):
            call()
    assert actions(tracker) == [action] * 4


def step(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that waits for nothing, without a loop that an exit would leave open."""
    coroutine.send(None)


def test_a_coroutine_is_a_task_while_it_is_awaited(tracker: MetricTracker) -> None:
    @track_agent("a.md", tracker=tracker)
    async def work() -> Any:
        await asyncio.sleep(0)
        assert current_span_id()
        return SimpleNamespace(tokens_used=3)

    assert inspect.iscoroutinefunction(work)
    asyncio.run(work())
    assert (actions(tracker), tracker.get_history()[0]["tokens_used"]) == (["task_completed"], 3)


def test_a_generator_is_a_task_while_it_runs(tracker: MetricTracker) -> None:
    seen = []

    @track_agent("a.md", tracker=tracker)
    def count(up_to: int) -> Generator[int, str, Any]:
        for number in range(up_to):
            received = yield number
            seen.append((current_span_id() != 0, received))
        return SimpleNamespace(tokens_used=9)

    assert inspect.isgeneratorfunction(count)
    running = count(2)
    assert actions(tracker) == []
    assert next(running) == 0
    assert current_span_id() == 0  # between its steps the caller's span is the current one
    assert running.send("first") == 1
    assert actions(tracker) == []
    with pytest.raises(StopIteration) as stop:
        running.send("second")
    assert stop.value.value.tokens_used == 9
    assert seen == [(True, "first"), (True, "second")]
    assert (actions(tracker), tracker.get_history()[0]["tokens_used"]) == (["task_completed"], 9)


def test_a_generator_that_is_closed_early_is_cancelled_and_cleans_up(tracker: MetricTracker) -> None:
    cleaned = []

    @track_agent("a.md", tracker=tracker)
    def count() -> Generator[int, None, None]:
        try:
            yield 1
        finally:
            cleaned.append(True)

    running = count()
    next(running)
    running.close()
    assert (cleaned, actions(tracker)) == ([True], ["task_cancelled"])


def test_an_exception_thrown_into_a_generator_is_its_own_to_handle(tracker: MetricTracker) -> None:
    @track_agent("a.md", tracker=tracker)
    def stubborn() -> Generator[str, None, None]:
        try:
            yield "working"
        except ValueError:
            yield "recovered"

    running = stubborn()
    next(running)
    assert running.throw(ValueError("no")) == "recovered"
    with pytest.raises(KeyError):
        running.throw(KeyError("yes"))
    assert actions(tracker) == ["task_failed"]


def test_an_asynchronous_generator_is_a_task_while_it_runs(tracker: MetricTracker) -> None:
    received = []

    @track_agent("a.md", tracker=tracker)
    async def count() -> AsyncGenerator[int, str]:
        received.append((yield 1))
        await asyncio.sleep(0)
        assert current_span_id()
        received.append((yield 2))

    async def main() -> None:
        running = count()
        assert await running.asend(None) == 1  # type: ignore[arg-type]
        assert await running.asend("a") == 2
        assert actions(tracker) == []
        with pytest.raises(StopAsyncIteration):
            await running.asend("b")

    assert inspect.isasyncgenfunction(count)
    asyncio.run(main())
    assert (received, actions(tracker)) == (["a", "b"], ["task_completed"])


def test_an_asynchronous_generator_that_is_closed_early_is_cancelled(tracker: MetricTracker) -> None:
    cleaned = []

    @track_agent("a.md", tracker=tracker)
    async def count() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    async def main() -> None:
        running = count()
        await running.__anext__()
        await running.aclose()

    asyncio.run(main())
    assert (cleaned, actions(tracker)) == ([True], ["task_cancelled"])


def test_a_method_keeps_its_self(tracker: MetricTracker) -> None:
    class Skill:
        @track_agent("a.md", tracker=tracker)
        def run(self, number: int) -> int:
            return number + 1

    assert Skill().run(1) == 2
    assert actions(tracker) == ["task_completed"]


def test_what_cannot_be_called_is_refused_when_it_is_decorated() -> None:
    with pytest.raises(TypeError, match="expected a function"):
        track_agent("a.md")(5)  # type: ignore[type-var]


def test_a_wrong_agent_is_refused_when_the_function_is_decorated() -> None:
    with pytest.raises(InvalidValueError):
        track_agent("")
