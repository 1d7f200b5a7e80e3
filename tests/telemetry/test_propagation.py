"""A task is part of the trace that it is begun in, and leaves nothing behind when it is over, however it is left."""

import asyncio
import contextvars
import gc
import logging
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Thread
from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from otel_tracker import MetricTracker, TaskTracker, bound, child_environment, current_task, track_agent
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import value_of

Spans = InMemorySpanExporter
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def tracker(traced: MetricTracker) -> MetricTracker:
    return traced


@pytest.fixture(autouse=True)
def _leaves_no_context(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No test here leaves a span, a task or baggage behind, or a complaint of OpenTelemetry."""
    gc.freeze()  # what earlier tests have left isn't collected again and again
    with caplog.at_level(logging.DEBUG):
        yield
    gc.collect()
    assert (is_in_a_span(), current_task(), dict(otel_context.get_current())) == (False, None, {})
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


def tracer_beside(tracker: MetricTracker) -> trace.Tracer:
    """Return a tracer of the application, whose spans go where those of `tracker` go."""
    provider = tracker.pipeline._passed_in
    assert provider is not None
    return provider.get_tracer("application")


def is_in_a_span() -> bool:
    return trace.get_current_span().get_span_context().is_valid


def parents(spans: Spans) -> dict[str, str | None]:
    """Return the agent of each task's span, and that of its parent; None for a root."""
    finished = spans.get_finished_spans()
    agents = {id_of(span): span.name.removeprefix("invoke_agent ") for span in finished}
    return {agents[id_of(span)]: agents[span.parent.span_id] if span.parent else None for span in finished}


def id_of(span: ReadableSpan) -> int:
    assert span.context is not None
    span_id: int = span.context.span_id
    return span_id


def actions(home: Home) -> list[str]:
    """Return what has been recorded, as a store that has seen nothing yet reads it."""
    document = value_of(Store(home).read())
    assert document["in_flight"] == {}
    return [entry["action"] for entry in document["history"]]


def work(agent: str, tracker: MetricTracker) -> TaskTracker | None:
    """Do a task, and return the one that it is part of."""
    outer = current_task()
    with TaskTracker(agent, tracker=tracker) as task:
        assert current_task() is task
    assert current_task() is outer
    return outer


def test_a_task_in_a_task_is_its_child_and_its_siblings_are_too(tracker: MetricTracker, spans: Spans) -> None:
    with TaskTracker("a", tracker=tracker) as a:
        assert work("b", tracker) is a
        with TaskTracker("c", tracker=tracker) as c:
            assert work("d", tracker) is c
        assert work("e", tracker) is a
    assert work("f", tracker) is None
    assert parents(spans) == {"a": None, "b": "a", "c": "a", "d": "c", "e": "a", "f": None}


def test_a_task_that_fails_leaves_the_outer_one_the_present_one(tracker: MetricTracker, spans: Spans) -> None:
    with TaskTracker("a", tracker=tracker) as a:
        with pytest.raises(ValueError, match="broken"), TaskTracker("b", tracker=tracker):
            raise ValueError("broken")
        assert work("c", tracker) is a
    assert parents(spans) == {"a": None, "b": "a", "c": "a"}


def test_a_task_is_a_child_of_the_span_that_the_application_is_in(tracker: MetricTracker, spans: Spans) -> None:
    with tracer_beside(tracker).start_as_current_span("request"):
        work("a", tracker)
    assert parents(spans) == {"a": "request", "request": None}


def test_a_thread_without_help_makes_a_root(tracker: MetricTracker, spans: Spans) -> None:
    outer: list[TaskTracker | None] = []
    with TaskTracker("a", tracker=tracker):
        thread = Thread(target=lambda: outer.append(work("b", tracker)))
        thread.start()
        thread.join()
    assert (outer, parents(spans)) == ([None], {"a": None, "b": None})


def test_bound_work_in_a_thread_is_part_of_the_task(tracker: MetricTracker, spans: Spans) -> None:
    outer: list[TaskTracker | None] = []
    with TaskTracker("a", tracker=tracker) as a:
        thread = Thread(target=bound(lambda agent: outer.append(work(agent, tracker))), args=("b",))
        thread.start()
        thread.join()
        assert outer == [a]
    assert parents(spans) == {"a": None, "b": "a"}


def test_bound_work_in_a_pool_is_part_of_the_task_many_times_over(tracker: MetricTracker, spans: Spans) -> None:
    agents = [f"b{number}" for number in range(8)]
    with ThreadPoolExecutor(4) as pool:
        with TaskTracker("a", tracker=tracker) as a:
            once = bound(work)
            assert [job.result() for job in [pool.submit(once, agent, tracker) for agent in agents]] == [a] * 8
        assert [job.result() for job in [pool.submit(work, f"c{n}", tracker) for n in range(4)]] == [None] * 4
        with TaskTracker("d", tracker=tracker) as d:
            assert pool.submit(bound(work), "e", tracker).result() is d
    roots = dict.fromkeys(["a", "c0", "c1", "c2", "c3", "d"])
    assert parents(spans) == {**dict.fromkeys(agents, "a"), **roots, "e": "d"}


def test_bound_work_keeps_its_name_its_result_and_its_exception() -> None:
    def divide(one: int, *, by: int) -> float:
        """Divide."""
        return one / by

    kept = bound(divide)
    assert (kept.__name__, kept.__doc__, kept(6, by=3)) == ("divide", "Divide.", 2)
    with pytest.raises(ZeroDivisionError):
        kept(1, by=0)


def test_coroutines_and_their_tasks_are_part_of_the_task_that_starts_them(tracker: MetricTracker, spans: Spans) -> None:
    async def step(agent: str, *inner: str) -> None:
        async with TaskTracker(agent, tracker=tracker) as task:
            await asyncio.sleep(0)
            assert current_task() is task
            await asyncio.gather(*[step(one) for one in inner])
            assert current_task() is task

    async def main() -> None:
        async with TaskTracker("a", tracker=tracker):
            running = asyncio.create_task(step("b", "c", "d"))
            await asyncio.gather(step("e", "f"), step("g"))
            await asyncio.to_thread(work, "h", tracker)
        await running
        await step("i")

    asyncio.run(main())
    inner = {"b": "a", "c": "b", "d": "b", "e": "a", "f": "e", "g": "a", "h": "a"}
    assert parents(spans) == {"a": None, **inner, "i": None}


def test_what_was_begun_in_a_task_is_part_of_it_even_when_it_is_over(tracker: MetricTracker, spans: Spans) -> None:
    async def step(is_over: asyncio.Event) -> None:
        await is_over.wait()
        work("b", tracker)
        work("c", tracker)

    async def main() -> None:
        is_over = asyncio.Event()
        async with TaskTracker("a", tracker=tracker):
            running = asyncio.create_task(step(is_over))
            await asyncio.sleep(0)
        is_over.set()
        await running

    asyncio.run(main())
    with TaskTracker("d", tracker=tracker):
        later = bound(work)
    for agent in ("e", "f"):
        later(agent, tracker)
    assert parents(spans) == {"a": None, "b": "a", "c": "a", "d": None, "e": "d", "f": "d"}


# ---- from one process to another


_CHILD = """
import sys
from opentelemetry import baggage, trace
from otel_tracker import MetricTracker, TaskTracker, current_task
tracker = MetricTracker(sys.argv[1])
for _ in range(2):
    with TaskTracker("child", tracker=tracker):
        parent = trace.get_current_span().parent
        print(f"{parent.trace_id:032x} {parent.span_id:016x} {parent.is_remote}" if parent else None, baggage.get_baggage("user"))
        with TaskTracker("grandchild", tracker=tracker):
            print(trace.get_current_span().parent.is_remote, baggage.get_baggage("user"))
print(trace.get_current_span().get_span_context().is_valid, baggage.get_all() == {})
"""


def child(home: Home, environment: dict[str, str]) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", _CHILD, home.document],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    return done.stdout.splitlines()


@pytest.mark.processes
def test_the_tasks_of_a_child_process_are_part_of_the_task_and_have_its_baggage(
    home: Home, tracker: MetricTracker
) -> None:
    token = otel_context.attach(baggage.set_baggage("user", "Ä, b=c; d"))
    try:
        with TaskTracker("parent", tracker=tracker):
            here = trace.get_current_span().get_span_context()
            shown = child(home, child_environment())
    finally:
        otel_context.detach(token)
    parent = f"{here.trace_id:032x} {here.span_id:016x} True Ä, b=c; d"
    assert shown == [parent, "False Ä, b=c; d"] * 2 + ["False True"]
    history = value_of(Store(home).read())["history"]
    assert {entry["trace_id"] for entry in history} == {f"{here.trace_id:032x}"}
    assert len({entry["span_id"] for entry in history}) == 5


@pytest.mark.processes
@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "nonsense",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}x-{SPAN}-01",
    ],
)
def test_a_malformed_traceparent_is_ignored_and_the_baggage_is_not(home: Home, wrong: str) -> None:
    shown = child(home, {**os.environ, "TRACEPARENT": wrong, "BAGGAGE": "user=me"})
    assert shown == ["None me", "False me"] * 2 + ["False True"]


@pytest.mark.processes
def test_malformed_baggage_is_ignored_and_the_traceparent_is_not(home: Home) -> None:
    shown = child(home, {**os.environ, "TRACEPARENT": TRACEPARENT, "BAGGAGE": "=;,", "TRACESTATE": "====="})
    assert shown == [f"{TRACE} {SPAN} True None", "False None"] * 2 + ["False True"]


def test_a_child_environment_names_the_present_span_and_nothing_of_an_older_one(
    tracker: MetricTracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    older = {"TRACEPARENT": TRACEPARENT, "TRACESTATE": "a=b", "BAGGAGE": "user=me", "PATH": "bin"}
    with TaskTracker("a", tracker=tracker):
        here = trace.get_current_span().get_span_context()
        named = child_environment(older)
        monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
        monkeypatch.setenv("OTHER", "kept")
        present = child_environment()
    traceparent = f"00-{here.trace_id:032x}-{here.span_id:016x}-{here.trace_flags:02x}"
    assert named == {"PATH": "bin", "TRACEPARENT": traceparent}
    assert present == {**os.environ, "TRACEPARENT": traceparent, "OTHER": "kept"}
    assert older["TRACEPARENT"] == TRACEPARENT


def test_a_child_environment_outside_of_any_task_hands_on_what_the_process_was_given(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = {"TRACEPARENT": TRACEPARENT, "TRACESTATE": "a=b", "BAGGAGE": "user=me"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert child_environment() == dict(os.environ)
    assert child_environment({"PATH": "bin"}) == {"PATH": "bin"}


def test_what_an_application_has_in_its_context_stays_in_an_inherited_trace(
    home: Home, spans: Spans, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACEPARENT", TRACEPARENT)
    monkeypatch.setenv("BAGGAGE", "user=me")
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    token = otel_context.attach(otel_context.set_value("suppressed", value=True))
    try:
        with TaskTracker("a", tracker=MetricTracker(home.document, tracer_provider=provider)):
            assert (otel_context.get_value("suppressed"), baggage.get_baggage("user")) == (True, "me")
            inner = otel_context.attach(baggage.set_baggage("user", "you"))
            with TaskTracker("b", tracker=MetricTracker(home.document, tracer_provider=provider)):
                assert baggage.get_baggage("user") == "you"
            otel_context.detach(inner)
    finally:
        otel_context.detach(token)
    ids = [f"{span.parent.trace_id:032x}" for span in spans.get_finished_spans() if span.parent]
    assert ids == [TRACE, TRACE]


# ---- generators


def stream(tracker: MetricTracker) -> Generator[int, None, None]:
    with TaskTracker("stream", tracker=tracker):
        yield from range(10)


async def async_stream(tracker: MetricTracker) -> AsyncGenerator[int, None]:
    async with TaskTracker("stream", tracker=tracker):
        for number in range(10):
            await asyncio.sleep(0)
            yield number


def decorated(tracker: MetricTracker) -> Generator[int, None, None]:
    @track_agent("stream", tracker=tracker)
    def numbers() -> Generator[int, None, None]:
        yield from range(10)

    return numbers()


def async_decorated(tracker: MetricTracker) -> AsyncGenerator[int, None]:
    @track_agent("stream", tracker=tracker)
    async def numbers() -> AsyncGenerator[int, None]:
        for number in range(10):
            await asyncio.sleep(0)
            yield number

    return numbers()


GENERATORS = pytest.mark.parametrize("make", [stream, decorated])
ASYNC_GENERATORS = pytest.mark.parametrize("make", [async_stream, async_decorated])
Make = Callable[[MetricTracker], Any]


def in_a_context(function: Callable[..., Any], *arguments: Any) -> Any:
    return contextvars.copy_context().run(function, *arguments)


@GENERATORS
def test_a_generator_that_is_used_up_or_closed_leaves_nothing(home: Home, tracker: MetricTracker, make: Make) -> None:
    assert list(make(tracker)) == list(range(10))
    running = make(tracker)
    next(running)
    running.close()
    assert actions(home) == ["task_completed", "task_cancelled"]


@GENERATORS
def test_a_generator_that_another_context_closes_is_recorded_once(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    running = make(tracker)
    in_a_context(next, running)
    assert (is_in_a_span(), current_task()) == (False, None)
    in_a_context(running.close)
    assert actions(home) == ["task_cancelled"]


@GENERATORS
def test_a_generator_that_another_thread_closes_is_recorded_once(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    running = make(tracker)
    in_a_context(next, running)
    thread = Thread(target=running.close)
    thread.start()
    thread.join()
    assert actions(home) == ["task_cancelled"]


@GENERATORS
def test_a_generator_that_is_abandoned_is_recorded_when_it_is_collected(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    for step in (next, lambda running: in_a_context(next, running)):
        running = make(tracker)
        step(running)
        del running
        gc.collect()
    circle: list[Any] = [make(tracker)]
    circle.append(circle)
    in_a_context(next, circle[0])
    del circle
    gc.collect()
    assert actions(home) == ["task_cancelled"] * 3


@GENERATORS
def test_a_generator_that_goes_on_in_another_context_is_completed(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    running = make(tracker)
    assert [in_a_context(next, running) for _ in range(10)] == list(range(10))
    assert in_a_context(list, running) == []
    assert actions(home) == ["task_completed"]


@GENERATORS
def test_generators_that_end_in_the_order_in_which_they_began_leave_nothing(
    home: Home, tracker: MetricTracker, spans: Spans, make: Make
) -> None:
    first, second, third = (make(tracker) for _ in range(3))
    for running in (first, second, third):
        next(running)
    for running in (first, second, third):
        running.close()
    assert (is_in_a_span(), current_task()) == (False, None)
    assert actions(home) == ["task_cancelled"] * 3


@GENERATORS
def test_a_generator_that_outlives_the_task_that_it_was_begun_in_leaves_nothing(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    with TaskTracker("outer", tracker=tracker):
        running = make(tracker)
        next(running)
    running.close()
    assert (is_in_a_span(), current_task()) == (False, None)
    assert actions(home) == ["task_completed", "task_cancelled"]


@GENERATORS
def test_where_a_generator_was_left_open_that_another_context_closes_the_next_task_is_a_root(
    home: Home, tracker: MetricTracker, spans: Spans, make: Make
) -> None:
    def main() -> None:
        running = make(tracker)
        next(running)
        in_a_context(running.close)
        assert work("next", tracker) is None
        assert (is_in_a_span(), current_task()) == (False, None)

    in_a_context(main)
    assert parents(spans) == {"stream": None, "next": None}
    assert actions(home) == ["task_cancelled", "task_completed"]


@ASYNC_GENERATORS
def test_an_asynchronous_generator_that_is_used_up_or_closed_leaves_nothing(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    async def main() -> None:
        assert [number async for number in make(tracker)] == list(range(10))
        running = make(tracker)
        await running.__anext__()
        await running.aclose()
        assert (is_in_a_span(), current_task()) == (False, None)

    asyncio.run(main())
    assert actions(home) == ["task_completed", "task_cancelled"]


@ASYNC_GENERATORS
def test_an_asynchronous_generator_that_is_left_early_is_recorded_once(
    home: Home, tracker: MetricTracker, spans: Spans, make: Make
) -> None:
    async def main() -> None:
        async for _ in make(tracker):
            break
        gc.collect()
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others)  # the event loop closes what is left in a task, and so in a context, of its own
        assert work("next", tracker) is None
        assert (is_in_a_span(), current_task()) == (False, None)

    asyncio.run(main())
    assert parents(spans) == {"stream": None, "next": None}
    assert actions(home) == ["task_cancelled", "task_completed"]


@ASYNC_GENERATORS
def test_an_asynchronous_generator_that_another_task_closes_is_recorded_once(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    async def main() -> None:
        running = make(tracker)
        await asyncio.create_task(running.__anext__())
        assert (is_in_a_span(), current_task()) == (False, None)
        await asyncio.create_task(running.aclose())

    asyncio.run(main())
    assert actions(home) == ["task_cancelled"]


@ASYNC_GENERATORS
def test_an_asynchronous_generator_that_is_open_at_the_loops_end_is_recorded_once(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    kept = []

    async def main() -> None:
        kept.append(make(tracker))
        await kept[0].__anext__()

    asyncio.run(main())
    assert actions(home) == ["task_cancelled"]


@ASYNC_GENERATORS
def test_an_asynchronous_generator_whose_loop_is_gone_is_recorded_when_it_is_collected(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    loop, running = asyncio.new_event_loop(), make(tracker)
    in_a_context(loop.run_until_complete, running.__anext__())
    loop.close()
    del running
    gc.collect()
    assert actions(home) == ["task_cancelled"]


class Pause:
    def __await__(self) -> Generator[None, None, None]:
        yield


async def coroutine(tracker: MetricTracker) -> None:
    async with TaskTracker("a", tracker=tracker):
        await Pause()


def awaiting(tracker: MetricTracker) -> Any:
    """Return the first step of a generator that awaits something."""

    @track_agent("a", tracker=tracker)
    async def numbers() -> AsyncGenerator[int, None]:
        await Pause()
        yield 1

    return numbers().__anext__()


@pytest.mark.parametrize("make", [coroutine, awaiting])
def test_a_coroutine_that_is_left_where_it_waits_is_recorded_once(
    home: Home, tracker: MetricTracker, make: Make
) -> None:
    waiting = make(tracker)
    in_a_context(waiting.send, None)
    waiting.close()
    waiting = make(tracker)
    in_a_context(waiting.send, None)
    del waiting
    gc.collect()
    assert actions(home) == ["task_cancelled"] * 2


def test_code_in_a_tracked_generator_finds_its_task(tracker: MetricTracker) -> None:
    found = []

    @track_agent("numbers", tracker=tracker)
    def numbers() -> Generator[int, None, None]:
        try:
            for number in range(3):
                found.append(current_task())
                yield number
        finally:
            found.append(current_task())

    with TaskTracker("outer", tracker=tracker) as outer:
        running = numbers()
        for _ in range(3):
            next(running)
            assert current_task() is outer
        running.close()
        assert current_task() is outer
    assert [task.agent_file for task in found if task] == ["numbers"] * 4


def test_a_span_of_the_application_in_a_block_that_was_left_elsewhere_stays_the_present_one(
    tracker: MetricTracker, spans: Spans
) -> None:
    def main() -> None:
        running = stream(tracker)
        next(running)
        with tracer_beside(tracker).start_as_current_span("request"):
            in_a_context(running.close)
            work("next", tracker)

    in_a_context(main)
    assert parents(spans) == {"stream": None, "request": "stream", "next": "request"}
