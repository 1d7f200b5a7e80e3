"""Many processes on one home: what each has recorded is there, once, in every number that should show it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from otel_tracker import MetricTracker
from otel_tracker.runtime.ids import new_id
from otel_tracker.storage import lock
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import end

pytestmark = pytest.mark.processes

PROCESSES, TASKS = 8, 100

_RECORDING = """
import sys
from otel_tracker import MetricTracker, TaskTracker
tracker = MetricTracker(sys.argv[1])
for number in range(int(sys.argv[2])):
    with TaskTracker("core/coder.md", model="sonnet", tracker=tracker) as task:
        task.set_tokens_used(10)
"""


def run(code: str, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", code, *arguments], stderr=subprocess.PIPE, text=True)


def test_eight_processes_with_a_hundred_tasks_each_leave_exactly_800(home: Home) -> None:
    running = [run(_RECORDING, home.document, str(TASKS)) for _ in range(PROCESSES)]
    errors = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * PROCESSES, errors
    assert "".join(errors) == ""
    total = PROCESSES * TASKS
    document = json.loads(Path(home.document).read_bytes())
    agent = document["agents"]["core/coder.md"]
    assert document["metrics"]["total_requests"] == document["metrics"]["successful"] == total
    assert agent["metrics"]["tasks_total"] == agent["metrics"]["tasks_successful"] == total
    assert agent["token_usage"]["sonnet"]["count"] == total
    assert agent["token_usage"]["sonnet"]["total"] == agent["token_usage"]["sonnet"]["untyped"] == total * 10
    assert sum(agent["durations"]["buckets"]) == total
    assert len(document["history"]) == len({entry["run_id"] for entry in document["history"]}) == total
    assert document["in_flight"] == {}
    assert document["sequence"] == 2 * total  # a start and an end each


def test_a_task_begun_in_one_process_and_completed_in_another_is_one_task(home: Home) -> None:
    code = "import sys; from otel_tracker import MetricTracker; print(MetricTracker(sys.argv[1]).record_task_start('a.md', 't1'))"
    start = subprocess.run([sys.executable, "-c", code, home.document], capture_output=True, text=True, check=True)
    tracker = MetricTracker(home.document)
    assert tracker.get_agent_metrics("a.md")["in_flight"] == 1
    duration = tracker.record_task_complete("a.md", start.stdout.strip(), task_id="t1")
    state = tracker.get_agent_metrics("a.md")
    assert (state["in_flight"], state["metrics"]["tasks_total"]) == (0, 1)
    assert state["metrics"]["total_duration_seconds"] == pytest.approx(duration, abs=1e-5)
    assert tracker.get_history()[0]["model"] == "sonnet"


def test_the_child_of_a_fork_records_beside_its_parent(home: Home) -> None:
    code = """
import os, sys
from otel_tracker import MetricTracker, TaskTracker
tracker = MetricTracker(sys.argv[1])
with TaskTracker("a.md", tracker=tracker): pass
child = os.fork()
with TaskTracker("a.md", tracker=tracker): pass
if child:
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run([sys.executable, "-c", code, home.document], env=environment, check=False)
    assert done.returncode == 0
    assert MetricTracker(home.document).get_system_metrics()["successful"] == 3


def test_a_child_that_was_forked_while_a_thread_held_the_lock_does_not_keep_it(home: Home) -> None:
    Store(home).record([end("r1")])
    with lock.held(home.append_lock, Files()):
        child = os.fork()
        if not child:
            time.sleep(60)
            os._exit(0)
    with lock.held_if_free(home.append_lock, Files()) as is_held:
        assert is_held
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_child_of_a_fork_that_leaves_its_parents_block_does_not_end_the_task(home: Home) -> None:
    code = """
import os, sys
from otel_tracker import MetricTracker, TaskTracker
try:
    with TaskTracker("a.md", tracker=MetricTracker(sys.argv[1])) as task:
        if not os.fork():
            raise ValueError("of the child")
        os.wait()
        task.set_tokens_used(7)
except ValueError:
    pass
"""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", code, home.document], env=environment, check=True)
    agent = MetricTracker(home.document).get_agent("a.md")
    assert (agent["metrics"]["tasks_successful"], agent["metrics"]["tasks_total"]) == (1, 1)
    assert agent["token_usage"]["sonnet"]["total"] == 7


def test_what_waits_in_a_child_of_multiprocessing_is_left_over_at_its_end(home: Home) -> None:
    code = """
import multiprocessing, os, sys
from otel_tracker import MetricTracker, TaskTracker
from otel_tracker.storage import journal

def work():
    journal.Journal.append = lambda journal, events: 1 / 0
    with TaskTracker("a.md", tracker=tracker): pass

tracker = MetricTracker(sys.argv[1])
with TaskTracker("a.md", tracker=tracker): pass
child = multiprocessing.get_context("fork").Process(target=work)
child.start()
child.join()
with TaskTracker("a.md", tracker=tracker): pass
"""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    subprocess.run([sys.executable, "-c", code, home.document], env=environment, check=True, capture_output=True)
    assert MetricTracker(home.document).get_system_metrics()["successful"] == 3


def test_what_could_not_be_written_is_tried_again_at_exit(home: Home) -> None:
    code = """
import os, sys
from otel_tracker import MetricTracker, TaskTracker
path, blocker = sys.argv[1:]
tracker = MetricTracker(path)
with TaskTracker("a.md", tracker=tracker): pass
os.remove(blocker)
"""
    blocker = Path(home.folder)
    blocker.parent.mkdir(parents=True, exist_ok=True)
    blocker.write_text("a file where the home should be")
    done = subprocess.run(
        [sys.executable, "-c", code, home.document, str(blocker)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr.count("\n") == 1
    assert "wait in memory" in done.stderr
    assert MetricTracker(home.document).get_system_metrics()["successful"] == 1


def test_importing_the_package_loads_neither_the_sdk_nor_prometheus() -> None:
    code = "import sys, otel_tracker; print([m for m in sys.modules if m.startswith(('opentelemetry', 'prometheus'))])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "[]\n"


def test_the_health_command_loads_only_what_reading_needs(home: Home) -> None:
    MetricTracker(home.document).register_agent("A", "a.md")
    code = f"""
import sys
from otel_tracker.cli import main
main(["health", "a.md", "--home", {home.folder!r}])
heavy = ("opentelemetry", "prometheus", "argparse", "logging", "dataclasses", "typing", "threading", "subprocess")
print([name for name in sys.modules if name.partition(".")[0] in heavy])
"""
    shown = subprocess.run(
        [sys.executable, "-S", "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_child_of_a_fork_draws_ids_of_its_own() -> None:
    drawn = {new_id() for _ in range(200)}
    source, sink = os.pipe()
    if os.fork() == 0:
        os.write(sink, " ".join(new_id() for _ in range(200)).encode())
        os._exit(0)
    os.close(sink)
    with os.fdopen(source) as pipe:
        of_child = set(pipe.read().split())
    os.wait()
    drawn |= {new_id() for _ in range(200)}
    assert (len(drawn), len(of_child), drawn & of_child) == (400, 200, set())
    assert all(len(identity) == 32 and int(identity, 16) for identity in drawn)
