"""A home that can't be written to: tasks go on, wait once at most, and what they said is there when it can be."""

import json
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, names
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.components import (
    NO_PRIVILEGES,
    assert_counted_exactly,
    assert_in_order,
    finished,
    journal,
    runs,
    start,
    start_python,
)
from tests.faults.events import AGENTS, begin, end
from tests.faults.patient import WAIT_SECONDS
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

TASKS = 5
Hold = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def used_home(home: Home) -> Home:
    Store(home).record([begin("first"), end("first")])
    return home


@pytest.fixture
def hold() -> Iterator[Hold]:
    """Return a function that has a lock held by a process that is stopped."""
    holders = []

    def hold_and_stop(path: str) -> "subprocess.Popen[str]":
        holder = start("holder", path)
        holders.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.send_signal(signal.SIGSTOP)
        return holder

    yield hold_and_stop
    for holder in holders:
        holder.kill()
        holder.communicate()


def test_a_stopped_process_that_holds_the_append_lock_is_waited_for_once(used_home: Home, hold: Hold) -> None:
    holder = hold(used_home.append_lock)
    shown, said = finished(start("patient", used_home.document, str(TASKS)))
    slept = json.loads(shown)
    assert 0 < slept[0] <= WAIT_SECONDS * 1.5
    assert slept[1:] == [0] * (TASKS - 1)
    (left,) = Path(used_home.unwritten).iterdir()
    assert f"process {holder.pid} holds it" in said[0]
    assert said[1:] == [f"{2 * TASKS} events are left in {left} for the next task of this home to take in"]
    assert len(journal(used_home)) == 2
    assert MetricTracker(used_home.document).get_system_metrics()["successful"] == 1  # whoever reads waits for nobody
    holder.kill()
    assert_taken_in_once(used_home)


def test_a_stopped_process_that_holds_the_document_s_lock_is_waited_for_once(used_home: Home, hold: Hold) -> None:
    holder = hold(used_home.document_lock)
    shown, said = finished(start("patient", used_home.document, str(TASKS)))
    slept = json.loads(shown)
    assert 0 < slept[0] <= WAIT_SECONDS * 1.5
    assert slept[1:] == [0] * (TASKS - 1)
    assert len(said) == 1
    assert f"process {holder.pid} holds it" in said[0]
    assert "safe in the journal" in said[0]
    assert MetricTracker(used_home.document).get_system_metrics()["successful"] == 1 + TASKS
    holder.kill()
    assert_taken_in_once(used_home)


def test_a_home_without_permission_to_write_can_be_read_and_fails_no_task(used_home: Home) -> None:
    for folder, _, files in os.walk(used_home.folder, topdown=False):
        for name in files:
            os.chmod(os.path.join(folder, name), 0o444)
        os.chmod(folder, 0o555)  # noqa: S103 - so that its owner may not write
    assert_only_readable(used_home, "Permission denied")


def test_a_home_on_a_disk_that_is_mounted_read_only_can_be_read_and_fails_no_task(disk: Path) -> None:
    home = Home(str(disk / "agents"))
    Store(home).record([begin("first"), end("first")])
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    assert_only_readable(home, "Read-only file system")


def test_a_home_whose_first_task_still_runs_is_not_taken_for_a_damaged_one(
    home: Home, warnings_logged: Callable[[], list[str]]
) -> None:
    Store(home).announce([begin("first")])
    Store(home).read()
    Store(home).record([end("first")])
    assert warnings_logged() == []


def test_a_document_that_no_process_may_lock_stays_behind_and_no_event_is_written_twice(used_home: Home) -> None:
    os.chmod(used_home.document_lock, 0o444)
    process = start("tasks", used_home.document, str(TASKS), before=NO_PRIVILEGES, stdin=subprocess.DEVNULL)
    said = finished(process)[1]
    os.chmod(used_home.document_lock, 0o600)
    assert len(said) == 1
    assert "safe in the journal" in said[0]
    assert len(journal(used_home)) == 2 + 2 * TASKS
    assert_taken_in_once(used_home)


def test_a_process_that_may_open_no_more_files_fails_no_task(used_home: Home) -> None:
    assert_recorded_at_exit(used_home, "TaskTracker", lines=1)


def test_a_process_that_may_open_no_more_files_before_it_has_loaded_anything_fails_no_task(used_home: Home) -> None:
    assert_recorded_at_exit(used_home, "MetricTracker", lines=2)  # one more: there are no spans


def assert_recorded_at_exit(home: Home, api: str, lines: int) -> None:
    _, said = finished(start("crowded", api, home.document, str(TASKS)))
    assert len(said) == lines
    assert all("Too many open files" in line for line in said)
    assert on_disk(home)["metrics"]["successful"] == 1 + TASKS
    assert_taken_in_once(home)


def assert_taken_in_once(home: Home) -> None:
    """See to it, with two tasks of other processes, that all tasks are there once."""
    others = [start("tasks", home.document, "1", stdin=subprocess.DEVNULL) for _ in range(2)]
    assert [finished(other) for other in others] == [("ready\n", [])] * len(others)
    completed = runs(journal(home), names.TASK_COMPLETED)
    assert len(completed) == len(set(completed)) == on_disk(home)["metrics"]["successful"] == 1 + TASKS + len(others)
    assert on_disk(home)["in_flight"] == {}
    assert_counted_exactly(home)
    assert_in_order(home)


def assert_only_readable(home: Home, reason: str) -> None:
    before = files_of(home)
    process = start("tasks", home.document, str(TASKS), before=NO_PRIVILEGES, stdin=subprocess.DEVNULL)
    shown, said = finished(process)
    assert shown == "ready\n"
    assert reason in said[0]
    assert said[1].startswith(f"{2 * TASKS} events of {home.document} could not be written and are lost: ")
    assert len(said) == 2
    status = ("otel_tracker", "--home", home.folder, "status", "--format", "json")
    shown, said = finished(start_python(*status, before=NO_PRIVILEGES))
    assert AGENTS[0] in shown
    assert said == []
    assert files_of(home) == before


def files_of(home: Home) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in Path(home.folder).rglob("*") if path.is_file()}
