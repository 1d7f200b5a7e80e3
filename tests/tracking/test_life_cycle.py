"""However a process ends, a store that has seen nothing yet tells what has become of its tasks."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_tracker import names
from otel_tracker.state import event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import value_of

pytestmark = pytest.mark.processes

_TOOLS = """
import os, signal, sys, threading
from otel_tracker import MetricTracker, TaskTracker, configure
from otel_tracker.storage.home import Home
from otel_tracker.storage.journal import Journal
from otel_tracker.storage.store import Store

def wait():
    print("ready", flush=True)
    for _ in range(600):
        threading.Event().wait(0.1)  # a signal that comes right before a wait doesn't interrupt it

def while_writing(action, before=lambda: None, after=lambda: None):
    append = Journal.append
    def patched(journal, events, *arguments, **keywords):
        is_it = any((event["agent"], event["action"]) == action for event in events)
        if is_it:
            before()
        result = append(journal, events, *arguments, **keywords)
        if is_it:
            after()
        return result
    Journal.append = patched

def terminate():
    os.kill(os.getpid(), signal.SIGTERM)

def in_flight():
    return len(Store(Home(os.environ["OTEL_TRACKER_HOME"])).read().head["in_flight"])
"""
_HANDLED = {"OTEL_TRACKER_HANDLE_SIGNALS": "1"}


class Fates(NamedTuple):
    in_flight: list[str]
    """The agents of tasks that run, as far as the document knows."""
    ended: list[tuple[str, str]]
    """The ended tasks: agent and action."""
    reasons: list[str | None]
    total: int


def fates(home: Home) -> Fates:
    document = value_of(Store(home).read())
    ended = [entry for entry in document["history"] if entry["action"] != names.AGENT_REGISTERED]
    return Fates(
        sorted(task["agent"] for task in document["in_flight"].values()),
        [(entry["agent"], entry["action"].removeprefix("task_")) for entry in ended],
        [entry.get("reason", entry.get("error")) for entry in ended],
        document["metrics"]["total_requests"],
    )


def fates_after_the_next_event(home: Home) -> Fates:
    Store(home).record([event.happened(names.AGENT_REGISTERED, time.time(), agent="passer-by.md", name="Passer-by")])
    return fates(home)


class Program:
    """A process whose tasks go to `home`."""

    def __init__(self, home: Home, code: str, **environment: str) -> None:
        known = {**os.environ, "OTEL_TRACKER_HOME": home.folder, "PYTHONWARNINGS": "ignore", **environment}
        command = [sys.executable, "-c", _TOOLS + code]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            command, env=known, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True
        )

    def send(self, number: int) -> "Program":
        """Send a signal when the program is ready for it."""
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"
        self.process.send_signal(number)
        return self

    def end(self) -> tuple[int, str, str]:
        """Wait for its end, and return its status and what it has printed since."""
        shown, said = self.process.communicate(timeout=120)
        return self.process.returncode, shown, said


def test_a_task_that_has_ended_before_a_normal_exit_is_recorded(home: Home) -> None:
    assert Program(home, "with TaskTracker('a.md'): pass").end() == (0, "", "")
    assert fates(home) == ([], [("a.md", "completed")], [None], 1)


@pytest.mark.parametrize(
    ("code", "status", "error"),
    [
        ("sys.exit(3)", 3, "3"),
        ("sys.exit('')", 1, "SystemExit"),
        ("sys.exit('enough')", 1, "enough"),
        ("raise ValueError('broken')", 1, "broken"),
        ("exit(4)", 4, "4"),
    ],
)
def test_an_exit_or_an_exception_in_a_block_is_a_failure_and_keeps_its_status(
    home: Home, code: str, status: int, error: str
) -> None:
    assert Program(home, f"with TaskTracker('a.md'): {code}").end()[0] == status
    assert fates(home) == ([], [("a.md", "failed")], [error], 1)


@pytest.mark.parametrize("code", ["sys.exit()", "sys.exit(0)", "raise SystemExit(None)", "exit(False)"])
def test_an_exit_with_the_status_0_in_a_block_is_a_success(home: Home, code: str) -> None:
    assert Program(home, f"with TaskTracker('a.md'): {code}").end() == (0, "", "")
    assert fates(home) == ([], [("a.md", "completed")], [None], 1)


def test_sigint_cancels_the_task(home: Home) -> None:
    code = """
with TaskTracker("a.md"):
    with TaskTracker("b.md"): wait()
"""
    assert Program(home, code).send(signal.SIGINT).end()[0] == -signal.SIGINT
    assert fates(home).ended == [("b.md", "cancelled"), ("a.md", "cancelled")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_an_unhandled_signal_loses_the_task_with_the_next_event_of_any_process(home: Home, number: int) -> None:
    code = """
with TaskTracker("before.md"): pass
with TaskTracker("a.md"): wait()
"""
    assert Program(home, code).send(number).end() == (-number, "", "")
    assert fates(home)[:2] == (["a.md"], [("before.md", "completed")])
    after = fates_after_the_next_event(home)
    assert after[:2] == ([], [("before.md", "completed"), ("a.md", "lost")])


@pytest.mark.parametrize(
    ("code", "environment"),
    [
        ("configure(handle_signals=True)", {}),
        ("", _HANDLED),
        ("configure(handle_signals=True)", {"OTEL_TRACKER_HANDLE_SIGNALS": "0"}),
        ("MetricTracker().pipeline; configure(handle_signals=None)", _HANDLED),
    ],
)
def test_sigterm_that_is_handled_cancels_what_runs_and_still_ends_the_process(
    home: Home, code: str, environment: dict[str, str]
) -> None:
    code += """
with TaskTracker("before.md"): pass
open_task = TaskTracker("open.md")
open_task.begin()
with TaskTracker("a.md"):
    with TaskTracker("b.md"): wait()
"""
    assert Program(home, code, **environment).send(signal.SIGTERM).end() == (-signal.SIGTERM, "", "")
    known = fates(home)
    assert (known.in_flight, known.ended[0], known.total) == ([], ("before.md", "completed"), 4)
    assert sorted(known.ended[1:]) == [("a.md", "cancelled"), ("b.md", "cancelled"), ("open.md", "cancelled")]
    assert known.reasons == [None, "SIGTERM", "SIGTERM", "SIGTERM"]


def test_sigterm_that_is_handled_cancels_the_tasks_of_all_threads(home: Home) -> None:
    code = """
def work(number):
    with TaskTracker(f"{number}.md"):
        together.wait()
        threading.Event().wait(60)
together = threading.Barrier(4)
configure(handle_signals=True)
for number in range(3):
    threading.Thread(target=work, args=(number,), daemon=True).start()
together.wait()
wait()
"""
    assert Program(home, code).send(signal.SIGTERM).end() == (-signal.SIGTERM, "", "")
    assert sorted(fates(home).ended) == [(f"{number}.md", "cancelled") for number in range(3)]


@pytest.mark.parametrize(
    "code", ["configure(handle_signals=False)", "configure(handle_signals=True); configure(handle_signals=False)"]
)
def test_sigterm_is_not_handled_where_the_program_says_so(home: Home, code: str) -> None:
    code += """
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
with TaskTracker("a.md"): wait()
"""
    assert Program(home, code, **_HANDLED).send(signal.SIGTERM).end() == (-signal.SIGTERM, "", "")
    assert fates_after_the_next_event(home).ended == [("a.md", "lost")]


def test_only_a_task_that_begins_or_configure_installs_a_handler(home: Home) -> None:
    code = """
tracker, task = MetricTracker(), TaskTracker("a.md")
tracker.pipeline, tracker.try_acquire("b.md"), tracker.record_task_start("c.md")
assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
with task: assert signal.getsignal(signal.SIGTERM) != signal.SIG_DFL
"""
    assert Program(home, code, **_HANDLED).end() == (0, "", "")


def test_the_applications_own_handler_is_called_when_the_tasks_have_ended_and_keeps_its_status(home: Home) -> None:
    code = """
def handle(number, frame):
    print(number, frame.f_code.co_name != "handle", in_flight())
    sys.exit(7)
signal.signal(signal.SIGTERM, handle)
configure(handle_signals=True)
with TaskTracker("a.md"): wait()
"""
    status, shown, _ = Program(home, code).send(signal.SIGTERM).end()
    assert (status, shown.split()) == (7, [str(int(signal.SIGTERM)), "True", "0"])
    assert fates(home)[:3] == ([], [("a.md", "cancelled")], ["SIGTERM"])


def test_the_applications_own_handler_is_back_when_ours_is_taken_back(home: Home) -> None:
    code = """
def handle(number, frame): pass
signal.signal(signal.SIGTERM, handle)
for _ in range(2):
    configure(handle_signals=True)
    assert signal.getsignal(signal.SIGTERM) is not handle
    configure()
    assert signal.getsignal(signal.SIGTERM) is handle
configure(handle_signals=True)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
configure()
assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
"""
    assert Program(home, code).end() == (0, "", "")


def test_a_process_that_has_ignored_sigterm_goes_on(home: Home) -> None:
    code = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
configure(handle_signals=True)
with TaskTracker("a.md"): terminate()
with TaskTracker("b.md"): pass
"""
    assert Program(home, code).end() == (0, "", "")
    assert fates(home)[:2] == ([], [("a.md", "cancelled"), ("b.md", "completed")])


# ---- SIGTERM in the middle of writing


_WRITING = """
with TaskTracker("before.md"): pass
with TaskTracker("outer.md"):
    with TaskTracker("a.md") as task: task.set_tokens_used(7)
print("never")
"""


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize(
    ("action", "fate"), [("task_started", "cancelled"), ("task_completed", "completed")], ids=["start", "end"]
)
def test_sigterm_in_the_middle_of_writing_an_event_takes_nothing_from_it(
    home: Home, moment: str, action: str, fate: str
) -> None:
    code = f"while_writing(('a.md', {action!r}), {moment}=terminate)"
    assert Program(home, code + _WRITING, **_HANDLED).end()[:2] == (-signal.SIGTERM, "")
    after = fates_after_the_next_event(home)
    assert (after.in_flight, after.total) == ([], 3)
    assert sorted(after.ended) == [("a.md", fate), ("before.md", "completed"), ("outer.md", "cancelled")]


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_handler_that_exits_in_the_middle_of_writing_takes_nothing_from_it(home: Home, moment: str) -> None:
    code = f"""
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
while_writing(("a.md", "task_completed"), {moment}=terminate)
"""
    assert Program(home, code + _WRITING, **_HANDLED).end()[:2] == (7, "")
    after = fates_after_the_next_event(home)
    assert (after.in_flight, after.total) == ([], 3)
    assert sorted(after.ended) == [("a.md", "completed"), ("before.md", "completed"), ("outer.md", "cancelled")]


@pytest.mark.parametrize(("moment", "fate"), [("before", "lost"), ("after", "completed")])
def test_an_unhandled_sigterm_in_the_middle_of_writing_leaves_what_has_been_written(
    home: Home, moment: str, fate: str
) -> None:
    code = f"while_writing(('a.md', 'task_completed'), {moment}=terminate)"
    assert Program(home, code + _WRITING).end() == (-signal.SIGTERM, "", "")
    after = fates_after_the_next_event(home)
    assert (after.in_flight, after.total) == ([], 3)
    assert sorted(after.ended) == [("a.md", fate), ("before.md", "completed"), ("outer.md", "lost")]


# ---- what ends without Python's knowing


def test_os_exit_leaves_what_has_ended_and_loses_what_runs(home: Home) -> None:
    code = """
with TaskTracker("before.md"): pass
with TaskTracker("a.md"): os._exit(5)
"""
    assert Program(home, code).end() == (5, "", "")
    assert fates(home)[:2] == (["a.md"], [("before.md", "completed")])
    assert fates_after_the_next_event(home).ended == [("before.md", "completed"), ("a.md", "lost")]


def test_a_task_whose_process_becomes_another_program_is_in_flight_until_that_ends(home: Home) -> None:
    """Exec keeps the process, and with it the owner of the task; nobody is left who could end it."""
    after = "from otel_tracker import TaskTracker\nwith TaskTracker('after.md'): print('ready', flush=True); input()"
    code = f"""
from otel_tracker import child_environment
with TaskTracker("before.md"): pass
with TaskTracker("a.md") as task:
    print(format(task.span.get_span_context().trace_id, "032x"), flush=True)
    os.dup2(int(os.environ["READ_FROM"]), 0)
    os.execve(sys.executable, [sys.executable, "-c", {after!r}], child_environment())
"""
    read, write = os.pipe()
    os.set_inheritable(read, True)
    environment = {**os.environ, "OTEL_TRACKER_HOME": home.folder, "READ_FROM": str(read)}
    command = [sys.executable, "-c", _TOOLS + code]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, pass_fds=[read]) as process:
        os.close(read)
        assert process.stdout is not None
        trace_id = process.stdout.readline().strip()
        assert process.stdout.readline() == "ready\n"
        assert fates_after_the_next_event(home)[:2] == (["a.md", "after.md"], [("before.md", "completed")])
        os.write(write, b"\n")
        os.close(write)
    assert process.returncode == 0
    known = fates_after_the_next_event(home)
    assert known[:2] == ([], [("before.md", "completed"), ("after.md", "completed"), ("a.md", "lost")])
    history: list[dict[str, Any]] = value_of(Store(home).read())["history"]
    assert [entry["agent"] for entry in history if entry.get("trace_id") == trace_id] == ["after.md"]


# ---- processes that make others


_WORKERS = """
import multiprocessing, os, sys
from otel_tracker import MetricTracker, TaskTracker

tracker = MetricTracker()

def work(number):
    for _ in range(5):
        with TaskTracker(f"{number}.md", tracker=tracker) as task:
            task.set_tokens_used(10)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with TaskTracker("parent.md", tracker=tracker):
        workers = [context.Process(target=work, args=(number,)) for number in range(3)]
        for worker in workers: worker.start()
        for worker in workers: worker.join()
        with context.Pool(2) as pool:
            pool.map(work, range(3, 6))
    print([worker.exitcode for worker in workers])
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_multiprocessing_record_their_tasks_beside_their_parent(
    home: Home, tmp_path: Path, method: str
) -> None:
    script = tmp_path / "workers.py"
    script.write_text(_WORKERS)
    environment = {**os.environ, "OTEL_TRACKER_HOME": home.folder, "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, str(script), method]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 0, 0]\n", "")
    known = fates(home)
    assert (known.in_flight, known.total, len(known.ended)) == ([], 31, 31)
    for number in range(6):
        assert known.ended.count((f"{number}.md", "completed")) == 5
    assert known.ended[-1] == ("parent.md", "completed")


def test_a_worker_of_multiprocessing_that_is_terminated_ends_its_own_task_only(home: Home) -> None:
    code = """
import multiprocessing
context = multiprocessing.get_context("fork")
def work():
    with TaskTracker("worker.md"):
        is_begun.set()
        threading.Event().wait(60)
is_begun = context.Event()
with TaskTracker("parent.md"):
    worker = context.Process(target=work)
    worker.start()
    is_begun.wait()
    worker.terminate()
    worker.join()
    print(worker.exitcode, in_flight())
"""
    assert Program(home, code, **_HANDLED).end() == (0, f"{-signal.SIGTERM} 1\n", "")
    assert fates(home).ended == [("worker.md", "cancelled"), ("parent.md", "completed")]


def test_the_child_of_a_fork_in_an_open_task_records_its_own_tasks_as_parts_of_it(home: Home) -> None:
    code = """
with TaskTracker("parent.md") as parent:
    if not os.fork():
        with TaskTracker("child.md"): pass
        os._exit(0)
    os.wait()
    print(in_flight(), f"{parent.span.get_span_context().trace_id:032x}")
"""
    status, shown, said = Program(home, code).end()
    in_flight, trace_id = shown.split()
    assert (status, in_flight, said) == (0, "1", "")
    assert fates(home).ended == [("child.md", "completed"), ("parent.md", "completed")]
    history = value_of(Store(home).read())["history"]
    assert [entry["trace_id"] for entry in history] == [trace_id] * 2


@pytest.mark.parametrize(
    "end", ["sys.exit()", "os._exit(0)", "raise ValueError", "os.kill(os.getpid(), 9)", "terminate()", "pass"]
)
def test_the_end_of_a_child_does_not_end_the_task_of_its_parent(home: Home, end: str) -> None:
    code = f"""
child = None
try:
    with TaskTracker("a.md") as task:
        child = os.fork()
        if not child:
            {end}
        else:
            os.wait()
            print(in_flight())
            with TaskTracker("b.md"): pass
            print(in_flight())
            task.set_tokens_used(7)
except BaseException:
    os._exit(1)
if not child:
    os._exit(0)
"""
    assert Program(home, code, **_HANDLED).end()[:2] == (0, "1\n1\n")
    assert fates(home)[:2] == ([], [("b.md", "completed"), ("a.md", "completed")])


@pytest.mark.parametrize("is_watched", [False, True])
def test_the_workers_of_a_server_that_forks_before_it_serves_leave_exactly_their_tasks(
    home: Home, is_watched: bool
) -> None:
    code = f"""
if {is_watched}:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from otel_tracker import CircuitBreakerSpanExporter
    trace.set_tracer_provider(TracerProvider())
    trace.get_tracer_provider().add_span_processor(BatchSpanProcessor(CircuitBreakerSpanExporter()))
tracker = MetricTracker()
with TaskTracker("parent.md", tracker=tracker): pass
workers = []
for _ in range(4):
    worker = os.fork()
    if not worker:
        for _ in range(20):
            with TaskTracker("worker.md", tracker=tracker) as task: task.set_tokens_used(10)
        sys.exit()
    workers.append(worker)
print([os.waitpid(worker, 0)[1] for worker in workers])
"""
    assert Program(home, code).end() == (0, "[0, 0, 0, 0]\n", "")
    document = value_of(Store(home).read())
    worker = document["agents"]["worker.md"]
    assert (document["in_flight"], document["metrics"]["successful"], len(document["history"])) == ({}, 81, 81)
    assert (worker["metrics"]["tasks_successful"], worker["token_usage"]["sonnet"]["total"]) == (80, 800)
    assert len({entry["run_id"] for entry in document["history"]}) == 81
    assert len({entry["span_id"] for entry in document["history"]}) == 81


# ---- what could not be written


_FULL = """
import errno
def refuse(): raise OSError(errno.ENOSPC, "no space left")
with TaskTracker("before.md"): pass
while_writing(("a.md", "task_completed"), before=refuse)
while_writing(("a.md", "task_cancelled"), before=refuse)
"""


@pytest.mark.parametrize(
    ("code", "status", "fate"),
    [
        ("with TaskTracker('a.md'): pass", 0, "completed"),
        ("with TaskTracker('a.md'): terminate()", -signal.SIGTERM, "cancelled"),
    ],
    ids=["exit", "SIGTERM"],
)
def test_what_could_not_be_written_is_left_over_at_the_end_and_taken_in_with_the_next_event(
    home: Home, code: str, status: int, fate: str
) -> None:
    ended, _, said = Program(home, _FULL + code, **_HANDLED).end()
    assert (ended, said.count("are left in")) == (status, 1)
    assert "Traceback" not in said
    (left,) = os.listdir(home.unwritten)
    assert left.endswith(".jsonl")
    after = fates_after_the_next_event(home)
    assert after[:2] == ([], [("before.md", "completed"), ("a.md", fate)])
    assert not os.path.exists(home.unwritten)
