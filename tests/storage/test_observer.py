"""Tasks whose process is gone become lost; settings that a hand has changed become an event."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.cli import main
from otel_tracker.runtime import owner
from otel_tracker.runtime.ids import new_id
from otel_tracker.state.fold import fold_all
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import AGENT, NOON, end, moment, start, value_of
from tests.home_files import on_disk

HOUR = 3600.0

_DIES = """
import os, sys
from otel_tracker import MetricTracker, TaskTracker
with TaskTracker("core/coder.md", model="opus", task_id="t", tracker=MetricTracker(sys.argv[1])):
    os._exit(1)
"""


@pytest.fixture
def lost(home: Home) -> Home:
    """Return a home in which a process has died in the middle of a task."""
    assert subprocess.run([sys.executable, "-c", _DIES, home.document], check=False).returncode == 1
    return home


@pytest.mark.processes
def test_the_task_of_a_process_that_died_is_recorded_as_lost_by_the_next_one(lost: Home) -> None:
    with TaskTracker("other.md", tracker=MetricTracker(lost.document)):
        pass
    document = on_disk(lost)
    assert document["in_flight"] == {}
    agent = document["agents"][AGENT]
    assert (agent["metrics"]["tasks_failed"], agent["metrics"]["tasks_total"], agent["failures"]) == (1, 1, 1)
    assert agent["tallies"]["lost"] == 1
    assert sum(agent["durations"]["buckets"]) == 0  # nobody knows how long it took
    (entry,) = [entry for entry in document["history"] if entry["action"] == names.TASK_LOST]
    assert (entry["task_id"], entry["model"], entry["duration_seconds"]) == ("t", "opus", None)
    assert "has ended without it" in entry["reason"]


@pytest.mark.processes
def test_a_lost_task_counts_for_the_breaker_unless_the_settings_say_no(lost: Home) -> None:
    store = Store(lost)
    store.rewrite()
    path = Path(lost.document)
    assert on_disk(lost)["agents"][AGENT]["failures"] == 1
    subprocess.run([sys.executable, "-c", _DIES, lost.document], check=False)
    path.write_text(path.read_text().replace('"config": {', '"config": {"count_lost": false,'))
    Store(lost).record([end("r1", agent="other.md")])
    agent = on_disk(lost)["agents"][AGENT]
    assert (agent["failures"], agent["metrics"]["tasks_failed"]) == (1, 2)


@pytest.mark.processes
def test_an_end_after_all_amends_the_lost_task(store: Store, home: Home) -> None:
    gone = {**owner.this_process(), "pid": _pid_of_nobody(), "started": "1"}
    store.announce([start("r1", owner=gone)])
    store.record([end("other", agent="other.md")])
    assert on_disk(home)["agents"][AGENT]["metrics"]["tasks_failed"] == 1
    store.record([end("r1", tokens={"output": 7})])
    agent = on_disk(home)["agents"][AGENT]
    assert (agent["metrics"]["tasks_failed"], agent["metrics"]["tasks_successful"]) == (0, 1)
    assert (agent["metrics"]["tasks_total"], agent["metrics"]["total_duration_seconds"]) == (1, 60.0)
    assert agent["durations"]["sum"] == 60.0
    assert sum(agent["durations"]["buckets"]) == 1
    assert agent["token_usage"]["sonnet"]["output"] == 7


def _pid_of_nobody() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.mark.processes
def test_the_task_of_a_living_process_is_not_lost(store: Store, home: Home) -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        alive = {**owner.this_process(), "pid": process.pid, "started": owner.process_start(process.pid)}
        store.announce([start("r1", owner=alive), start("r2", owner=owner.this_process())])
        store.record([end("other")])
        assert list(on_disk(home)["in_flight"]) == ["r1", "r2"]
        process.kill()
        while owner.process_start(process.pid) != "ended":
            pass
        store = Store(home)
        store.record([end("another")])  # it is a zombie now, since nobody has waited for it
        assert list(on_disk(home)["in_flight"]) == ["r2"]


STRANGERS: dict[str, dict[str, Any]] = {
    "of another host": {"host": "elsewhere"},
    "of another pid namespace": {"namespace": "pid:[1]"},
    "of an older version": {"namespace": None},
    "that says nothing": {"pid": None},
}


@pytest.mark.processes
@pytest.mark.parametrize("difference", STRANGERS.values(), ids=STRANGERS)
def test_an_owner_that_cannot_be_seen_is_given_a_day(store: Store, home: Home, difference: dict[str, Any]) -> None:
    stranger = {**owner.this_process(), "pid": _pid_of_nobody(), "started": "1", **difference}
    store.announce([start("r1", owner=stranger)])
    store.record([end("other")])
    assert not owner.is_visible(stranger)
    assert list(on_disk(home)["in_flight"]) == ["r1"] or difference == {"pid": None}


def test_a_process_of_another_boot_and_one_that_has_got_the_pid_are_gone() -> None:
    here = owner.this_process()
    assert owner.is_seen_gone({**here, "boot_id": "before"})
    assert owner.is_seen_gone({**here, "pid": 1, "started": "before"})
    assert not owner.is_seen_gone({**here, "pid": 1, "started": "before"}, thoroughly=False)
    assert not owner.is_seen_gone(here)
    assert not owner.is_seen_gone(None)
    assert not owner.is_seen_gone({**here, "pid": 1, "started": None})


@pytest.fixture
def at(home: Home) -> Callable[[float], Store]:
    """Return the store of a process that begins so many hours after noon."""
    return lambda hours: Store(home, clock=lambda: NOON + hours * HOUR)


def test_a_task_without_owner_is_lost_after_a_day(at: Callable[[float], Store], home: Home) -> None:
    at(0).announce([start("r1")])
    at(23).record([end("r2", after=23 * HOUR, agent="other.md")])
    at(23.9).record([end("r3", after=23.9 * HOUR, agent="other.md")])
    assert list(on_disk(home)["in_flight"]) == ["r1"]
    at(24.1).record([end("r4", after=24.1 * HOUR, agent="other.md")])
    assert list(on_disk(home)["in_flight"]) == ["r1"]  # the clock alone says so
    at(24.2).record([end("r5", after=24.2 * HOUR, agent="other.md")])
    assert on_disk(home)["in_flight"] == {}
    (entry,) = [entry for entry in on_disk(home)["history"] if entry["action"] == names.TASK_LOST]
    assert entry["reason"] == "not ended within 24 hours"
    assert entry["timestamp"] == moment(24.2 * HOUR)


def test_of_many_running_tasks_those_are_lost_that_are_too_old_or_whose_process_has_ended(home: Home) -> None:
    """A store that has looked at them before looks at their processes, and at the oldest of the others, only."""
    now = [NOON]
    store = Store(home, clock=lambda: now[0])
    here, gone = owner.this_process(), {**owner.this_process(), "boot_id": "before"}
    unseen = {**here, "host": "elsewhere"}

    def running_after(*events: Event) -> list[str]:
        store.record([*events, {**end(agent="other.md", after=now[0] - NOON), "run_id": new_id(), "id": new_id()}])
        return sorted(on_disk(home)["in_flight"])

    assert running_after(start("here 1", owner=here), start("here 2", owner=here)) == ["here 1", "here 2"]
    assert running_after(start("gone", owner=gone), start("old", owner=unseen)) == ["here 1", "here 2", "old"]
    now[0] += 23 * HOUR
    assert running_after(start("young", after=23 * HOUR), end("here 1", agent=AGENT)) == ["here 2", "old", "young"]
    now[0] += 2 * HOUR
    running_after()  # the clock alone says so
    assert running_after() == ["here 2", "young"]


def test_one_event_in_a_jump_of_the_clock_makes_no_task_lost(at: Callable[[float], Store], home: Home) -> None:
    at(0).announce([start("r1")])
    at(0).record([end("r2", agent="other.md")])
    at(960).record([end("r3", after=960 * HOUR, agent="other.md")])
    at(0.1).record([end("r4", after=360, agent="other.md")])
    at(0.2).record([end("r5", after=720, agent="other.md")])
    assert list(on_disk(home)["in_flight"]) == ["r1"]


def test_a_start_in_one_process_and_an_end_in_another_are_one_task(at: Callable[[float], Store], home: Home) -> None:
    at(0).announce([start("r1", task_id="t")])
    at(1).record([{**end("r1", after=HOUR), "run_id": None, "task_id": "t"}])
    agent = on_disk(home)["agents"][AGENT]
    assert (agent["metrics"]["tasks_total"], on_disk(home)["in_flight"]) == (1, {})


@pytest.mark.processes
def test_status_says_what_runs_for_how_long_and_whose_process_is_gone(
    lost: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    tracker = MetricTracker(lost.document)
    tracker.record_task_start("other.md", task_id="by-hand", model="haiku")
    main(["status", "--home", lost.folder])
    shown = capsys.readouterr().out
    assert "its process is gone" in shown
    running = shown[shown.index("Running now") :].splitlines()
    assert running[0].split() == ["Running", "now", "Task", "Model", "For"]
    assert running[1].startswith("core/coder.md  t        opus")
    assert running[2].startswith("other.md       by-hand  haiku")
    main(["status", "--format", "json", "--home", lost.folder])
    rows = json.loads(capsys.readouterr().out)["running"]
    assert [(row["agent"], row["is_gone"], row["is_overdue"]) for row in rows] == [
        ("core/coder.md", True, False),
        ("other.md", False, False),
    ]


def test_settings_changed_by_hand_are_an_event_and_in_force_for_what_was_appended_meanwhile(
    store: Store, home: Home
) -> None:
    store.record([end("r1")])
    store.back_up()
    path = Path(home.document)
    path.write_text(path.read_text().replace('"failure_threshold": 5', '"failure_threshold": 1'))
    store.record([end("r2", names.FAILURE)])
    document = on_disk(home)
    assert document["agents"][AGENT]["status"] == "blacklisted"
    (changed,) = [entry for entry in document["history"] if entry["action"] == names.SETTINGS_CHANGED]
    assert (changed["since"], changed["seq"], changed["config"]["failure_threshold"]) == (1, 3, 1)
    for _, base in store.parts.backups.valid():
        assert value_of(fold_all(base, store.parts.journal.after(base.sequence))) == document
    Store(home).record([end("r3")])
    assert sum(entry["action"] == names.SETTINGS_CHANGED for entry in on_disk(home)["history"]) == 1


def test_an_agents_own_settings_come_back_with_a_backup_too(store: Store, home: Home) -> None:
    store.record([end("r1")])
    backup = store.back_up()
    document = on_disk(home)
    document["agents"][AGENT]["config"] = {"failure_threshold": 2}
    Path(home.document).write_text(json.dumps(document))
    Store(home).record([end("r2")])
    os.unlink(home.document)
    for path in store.parts.backups.paths():
        if path != backup:
            os.unlink(path)
    Store(home).record([end("r3")])
    assert on_disk(home)["agents"][AGENT]["config"] == {"failure_threshold": 2}
