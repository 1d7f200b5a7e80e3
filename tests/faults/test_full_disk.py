"""A disk that is full: no task fails for it, the document stays whole, and what waited is written when there is room."""

import contextlib
import json
import os
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.cli import main
from otel_tracker.errors import StorageError
from otel_tracker.storage import journal as journals
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults import retiring
from tests.faults.components import (
    assert_counted_exactly,
    assert_in_order,
    finished,
    journal,
    needs,
    runs,
    start,
)
from tests.faults.events import AGENTS, begin, end
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

BLOCK = 4096
TASKS = 60


@pytest.fixture
def full_home(disk: Path) -> Home:
    """Return a home with one task, on a disk on which there is no room."""
    home = Home(str(disk / "agents"))
    Store(home).record([begin("first"), end("first")])
    fill(disk)
    return home


def fill(disk: Path, blocks_left: int = 0) -> None:
    """Fill a disk with a file, but for some blocks."""
    size = os.statvfs(disk).f_bfree - blocks_left
    with (disk / "filler").open("wb", buffering=0) as filler:
        os.posix_fallocate(filler.fileno(), 0, size * BLOCK)


def make_room(disk: Path) -> None:
    (disk / "filler").unlink()


def test_tasks_on_a_disk_that_fills_up_succeed_and_are_counted_once_there_is_room(
    disk: Path, warnings_logged: Callable[[], list[str]]
) -> None:
    home = Home(str(disk / "agents"))
    tracker = MetricTracker(home.document)
    fill(disk, blocks_left=12)
    for number in range(TASKS):
        with TaskTracker(AGENTS[number % len(AGENTS)], tracker=tracker):
            pass
        json.loads(Path(home.document).read_bytes())
    assert len(journal(home)) < 2 * TASKS  # the disk was too small
    assert len([line for line in warnings_logged() if "No space left" in line and "wait in memory" in line]) == 1
    make_room(disk)
    with TaskTracker(AGENTS[0], tracker=tracker):
        pass
    assert len(set(runs(journal(home), names.TASK_COMPLETED))) == on_disk(home)["metrics"]["successful"] == TASKS + 1
    assert len(journal(home)) == 2 * (TASKS + 1)
    assert on_disk(home)["in_flight"] == {}
    assert_counted_exactly(home)
    assert_in_order(home)


def test_a_process_that_ends_on_a_full_disk_says_in_one_line_how_many_events_are_lost(full_home: Home) -> None:
    said = record_tasks(full_home, TASKS)
    assert [line for line in said if "are lost" in line] == said[-1:]
    assert len([line for line in said if "wait in memory" in line]) == 1
    lost = int(said[-1].split()[0])
    assert 0 < lost == 2 * (TASKS + 1) - len(journal(full_home))
    make_room(Path(full_home.folder).parent)
    Store(full_home).record([begin("last"), end("last")])
    assert_counted_exactly(full_home)
    assert on_disk(full_home)["in_flight"] == {}
    assert_in_order(full_home)


def test_events_that_the_journal_has_no_room_for_are_left_beside_it_and_taken_in_once(home: Home) -> None:
    """A limit on the size of a file is a disk with room for a small file, but not for a longer journal."""
    Store(home).record([one for number in range(TASKS) for one in (begin(f"{number}"), end(f"{number}"))])
    needs("prlimit", "apt-get install util-linux")
    said = record_tasks(home, 3, before=["prlimit", f"--fsize={10 * BLOCK}"])
    (left,) = Path(home.unwritten).iterdir()
    assert said[-1] == f"6 events are left in {left} for the next task of this home to take in"
    assert len([line for line in said if "wait in memory" in line]) == len(said) - 1 == 1
    assert len(journal(home)) == 2 * TASKS
    others = [start("tasks", home.document, "1", stdin=subprocess.DEVNULL) for _ in range(4)]
    assert [finished(other) for other in others] == [("ready\n", [])] * len(others)
    assert len(set(runs(journal(home), names.TASK_COMPLETED))) == TASKS + 3 + len(others)
    assert len(journal(home)) == 2 * (TASKS + 3 + len(others))
    assert on_disk(home)["in_flight"] == {}
    assert_counted_exactly(home)
    assert_in_order(home)


@pytest.mark.parametrize(
    ("order", "state"),
    [
        (["reset", AGENTS[0]], "healthy"),
        (["breaker", AGENTS[0], "open"], "forced open"),
        (["breaker", AGENTS[0], "close"], "healthy"),
    ],
)
def test_orders_of_a_person_are_followed_on_a_full_disk(
    disk: Path,
    order: list[str],
    state: str,
    capsys: pytest.CaptureFixture[str],
    warnings_logged: Callable[[], list[str]],
) -> None:
    home = Home(str(disk / "agents"))
    Store(home).record([begin("first"), end("first")])
    for number in range(5):
        MetricTracker(home.document).record_task_failure(AGENTS[0], "2026-02-15T21:00:00Z", f"boom {number}")
    fill(disk)
    assert main(["--home", home.folder, *order]) == 0
    assert state in capsys.readouterr().out
    assert any("without a new backup" in message for message in warnings_logged())
    is_healthy = MetricTracker(home.document).check_agent_health(AGENTS[0])
    assert is_healthy is ("open" not in order)
    make_room(disk)
    Store(home).record([begin("last"), end("last")])
    assert MetricTracker(home.document).check_agent_health(AGENTS[0]) is is_healthy
    assert_in_order(home)


def test_on_a_full_disk_the_journal_keeps_its_old_segments_and_a_line_of_log_says_so(
    disk: Path, monkeypatch: pytest.MonkeyPatch, warnings_logged: Callable[[], list[str]]
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", retiring.SEGMENT_BYTES)
    home = Home(str(disk / "agents"))
    retiring.make(home)
    expected, segments = retiring.sums(home), Store(home).parts.journal.segments()
    for blocks_left in range(12):
        fill(disk, blocks_left)
        with contextlib.suppress(StorageError):  # there is no room for the backup
            retiring.retire(home)
        make_room(disk)
        assert retiring.sums(home) == expected
        if Store(home).parts.journal.segments() != segments:
            break
    text = "the journal keeps its old segments until it can be written"
    assert any("No space left" in message and text in message for message in warnings_logged())
    retiring.retire(home)
    retiring.assert_retired(home, expected)


def record_tasks(home: Home, number: int, before: Iterable[str] = ()) -> list[str]:
    """Record tasks in a process that ends well, and return what it says on standard error."""
    process = start("tasks", home.document, str(number), before=before, stdin=subprocess.DEVNULL)
    shown, said = finished(process)
    assert shown == "ready\n"
    return said
