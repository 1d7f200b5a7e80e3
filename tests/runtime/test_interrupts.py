"""What an application's signal handler raises goes on to the application, whatever code it comes up in."""

import fcntl
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from types import FrameType

import pytest
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.runtime import writer
from otel_tracker.runtime.interrupts import is_interrupt
from otel_tracker.state import outages
from otel_tracker.state.document import Document, new_document
from otel_tracker.storage.home import Home
from otel_tracker_exporters.prometheus import StateCollector


class Deadline(TimeoutError):  # noqa: N818 - an OSError, as that of a file would be
    pass


def function(number: int, frame: FrameType | None) -> None:
    raise Deadline


class Application:
    def handle(self, *arguments: object) -> None:
        self.give_up()

    def give_up(self) -> None:
        raise Deadline

    __call__ = handle


HANDLERS = [function, Application().handle, Application(), partial(Application.handle, Application())]


@pytest.fixture(params=HANDLERS, ids=["function", "method", "object", "partial"])
def interrupt(request: pytest.FixtureRequest) -> Iterator[Callable[[], None]]:
    """Return a function in which a signal arrives."""
    before = signal.signal(signal.SIGALRM, request.param)
    yield lambda: os.kill(os.getpid(), signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


def error_of(act: Callable[[], object]) -> BaseException | None:
    try:
        act()
    except BaseException as error:  # noqa: BLE001 - it is what is asked for
        return error
    return None


def test_the_exception_of_a_handler_is_distinguished_from_that_of_the_code_that_it_interrupts(
    interrupt: Callable[[], None],
) -> None:
    assert is_interrupt(error_of(interrupt))
    assert not is_interrupt(error_of(lambda: int("no number")))
    assert not is_interrupt(error_of(Application().handle))
    assert not is_interrupt(None)


def test_a_deadline_in_a_processor_of_the_application_comes_out_and_the_task_counts(
    home: Home, interrupt: Callable[[], None]
) -> None:
    class Slow(SpanProcessor):
        def on_end(self, span: ReadableSpan) -> None:
            interrupt()

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(Slow())
    tracker = MetricTracker(home.document, tracer_provider=provider)
    with pytest.raises(Deadline), TaskTracker("a.md", tracker=tracker):
        pass
    assert tracker.get_system_metrics()["successful"] == 1


def test_a_deadline_in_the_text_of_an_error_comes_out_and_the_task_counts(
    tracker: MetricTracker, interrupt: Callable[[], None]
) -> None:
    class Slow(Exception):  # noqa: N818 - it is none of ours
        def __str__(self) -> str:
            with suppress(IndexError):
                interrupt()
            return "slow"

    with pytest.raises(Deadline), TaskTracker("a.md", tracker=tracker):
        raise Slow
    assert tracker.get_system_metrics()["total_requests"] == 1


def test_a_deadline_in_a_function_that_is_run_is_neither_repeated_nor_given_to_a_fallback(
    tracker: MetricTracker, interrupt: Callable[[], None]
) -> None:
    calls: list[int] = []

    def work() -> None:
        calls.append(1)
        interrupt()

    with pytest.raises(Deadline):
        tracker.run("a.md", work, fallbacks=["b.md"], retries=2)
    assert len(calls) == 1
    assert tracker.get_agent_metrics("a.md")["in_flight"] == 0


def test_a_deadline_comes_out_of_the_question_what_kind_of_failure_an_error_is(interrupt: Callable[[], None]) -> None:
    class Slow(Exception):  # noqa: N818 - it is none of ours
        @property
        def status_code(self) -> int:
            interrupt()
            return 429

    with pytest.raises(Deadline):
        outages.outage_of(Slow())


def test_a_deadline_comes_out_of_a_scrape(interrupt: Callable[[], None]) -> None:
    def read() -> Document:
        interrupt()
        return new_document()

    with pytest.raises(Deadline):
        list(StateCollector(read).collect())


@pytest.mark.parametrize("moment", ["begin", "end"])
def test_a_deadline_ends_the_wait_for_a_lock_that_another_process_holds(
    home: Home, interrupt: Callable[[], None], moment: str
) -> None:
    tracker = MetricTracker(home.document, tracer_provider=TracerProvider(shutdown_on_exit=False))
    tracker.register_agent("A", "a.md")
    task = TaskTracker("a.md", tracker=tracker)
    if moment == "end":
        task.begin()
    lock = os.open(home.append_lock, os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    signal.setitimer(signal.ITIMER_REAL, 0.1)
    with pytest.raises(Deadline):
        getattr(task, moment)()
    assert not writer.is_idle()  # it goes on waiting
    os.close(lock)
    assert tracker.get_system_metrics()["total_requests"] == 1
    assert tracker.get_agent_metrics("a.md")["in_flight"] == 0
