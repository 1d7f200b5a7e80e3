"""What the main thread hands over is done once, in its turn, and whole, whatever a signal handler raises meanwhile."""

import os
import signal
import subprocess
import sys
import threading
import warnings
from _thread import allocate_lock, start_new_thread
from collections.abc import Callable, Iterator
from types import FrameType

import pytest

from otel_tracker.runtime import writer
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store


class Deadline(Exception):  # noqa: N818 - what an application calls its own
    pass


@pytest.fixture
def raise_at_alarm() -> Iterator[Callable[[], None]]:
    """Return a function that has the main thread interrupted by an exception of the application's handler."""

    def handle(number: int, frame: FrameType | None) -> None:
        raise Deadline

    before = signal.signal(signal.SIGALRM, handle)
    yield lambda: os.kill(os.getpid(), signal.SIGALRM)
    signal.signal(signal.SIGALRM, before)


def test_work_of_the_main_thread_is_done_in_another_one_and_its_result_comes_back() -> None:
    assert writer.submit(threading.get_ident).wait() != threading.get_ident()
    assert writer.is_idle()


def test_the_error_of_work_is_raised_where_the_caller_waits() -> None:
    with pytest.raises(ZeroDivisionError):
        writer.submit(lambda: 1 // 0).wait()
    assert writer.submit(lambda: 5).wait() == 5


def test_another_thread_does_its_work_itself() -> None:
    said = []
    thread = threading.Thread(target=lambda: said.append(writer.submit(threading.get_ident).wait()))
    thread.start()
    thread.join()
    assert said == [thread.ident]


def test_an_interrupted_wait_leaves_the_work_to_be_done_once_before_what_comes_next(
    raise_at_alarm: Callable[[], None],
) -> None:
    is_left, done = allocate_lock(), []
    is_left.acquire()

    def work() -> None:
        raise_at_alarm()
        is_left.acquire()  # until the caller has gone on
        done.append(1)

    with pytest.raises(Deadline):
        writer.submit(work).wait()
    assert (done, writer.is_idle()) == ([], False)
    later = writer.submit(lambda: done.append(2))
    is_left.release()
    later.wait()
    assert (done, writer.is_idle()) == ([1, 2], True)


def test_work_that_a_signal_handler_hands_over_comes_after_what_it_has_interrupted() -> None:
    done = []

    def handle(number: int, frame: FrameType | None) -> None:
        writer.submit(lambda: done.append("handler")).wait()

    def work() -> None:
        os.kill(os.getpid(), signal.SIGALRM)
        done.append("main")

    before = signal.signal(signal.SIGALRM, handle)
    try:
        writer.submit(work).wait()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert done == ["main", "handler"]


def test_work_that_the_writer_comes_back_to_is_done_at_once() -> None:
    assert writer.submit(lambda: writer.submit(lambda: 7).wait()).wait() == 7


@pytest.mark.processes
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_finds_no_other_thread_and_both_sides_go_on() -> None:
    writer.submit(int).wait()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python warns of a fork in a process of several threads
        child = os.fork()
        if not child:
            os._exit(writer.submit(lambda: 3).wait())
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3
    assert writer.submit(lambda: 4).wait() == 4


def test_work_that_comes_right_behind_a_fork_starts_no_second_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def start(function: Callable[..., object], arguments: tuple[object, ...]) -> int:
        started.append(function)
        return start_new_thread(function, arguments)

    writer.submit(int).wait()
    monkeypatch.setattr(writer, "start_new_thread", start)
    writer._writer.before_fork()
    writer._writer.after_fork()
    writer.submit(int)
    writer.submit(int).wait()
    assert len(started) == 1


def test_a_process_that_can_start_no_thread_does_the_work_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> int:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(writer, "_writer", writer._Writer())
    monkeypatch.setattr(writer, "start_new_thread", refuse)
    assert writer.submit(threading.get_ident).wait() == threading.get_ident()


@pytest.mark.processes
def test_a_task_of_an_exit_handler_is_recorded(home: Home) -> None:
    code = """
import atexit
from otel_tracker import MetricTracker, TaskTracker
with TaskTracker("first.md"): pass
def end():
    with TaskTracker("exit.md"): pass
atexit.register(end)
"""
    environment = {**os.environ, "OTEL_TRACKER_HOME": home.folder}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    assert set(Store(home).read().agents) == {"first.md", "exit.md"}


@pytest.mark.processes
def test_a_command_starts_no_thread(home: Home) -> None:
    code = f"""
import sys
from otel_tracker.cli import main
sys.argv[1:] = ["--home", {home.folder!r}, "exec", "a.md", "--", "true"]
main()
from otel_tracker.runtime import writer
print(writer._writer.is_serving)
"""
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
