"""The clock jumps, under real processes: what is recorded, refused and kept doesn't depend on where it stands.

libfaketime shows the processes of jumper.py another time, and yet another one in the middle of their work. It fakes the
monotonic clock along with the wall clock, as no system does, or leaves it alone, as every system does.
"""

import json
import shutil
import time
from collections.abc import Iterable
from glob import glob
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, TaskTracker, names
from otel_tracker.cli import main as command
from otel_tracker.doctor import OK, WRONG, examine
from otel_tracker.runtime import owner
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state import permission
from otel_tracker.state.event import task_ended
from otel_tracker.state.fold import fold_all
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.components import assert_counted_exactly, finished, journal, needs, runs, start
from tests.faults.jumper import (
    AGENT,
    BLOCK,
    CALLS,
    DAY,
    HOUR,
    JUMPING_PAUSE,
    JUMPS,
    MINUTE,
    SEGMENT_BYTES,
    clock_ahead,
    set_clock,
)
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

Seen = dict[str, Any]

COOLDOWN, REOPENED = 10 * MINUTE, 20 * MINUTE
RETENTION = 30 * DAY
AHEAD, BACK = str(40 * DAY), str(-40 * DAY)
_MONOTONIC_ALONE = ("FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1")


class Machine:
    """What the processes of a test run on: a home, and a clock that they share and the test sets."""

    def __init__(self, home: Home, clock: Path, library: str) -> None:
        self._home, self._clock, self._library = home, str(clock), library
        self.set_clock(ahead=0.0)

    def set_clock(self, ahead: float) -> None:
        set_clock(self._clock, ahead)

    def now(self) -> float:
        return time.time() + clock_ahead(self._clock)

    def run(self, scenario: str, *arguments: str, is_monotonic_faked: bool = False) -> tuple[Any, list[str]]:
        """Run a scenario of jumper.py; return what it has seen, and the faults that it has told of on standard error.

        That a breaker opens is none.
        """
        settings = [
            f"LD_PRELOAD={self._library}",
            f"FAKETIME_TIMESTAMP_FILE={self._clock}",
            "FAKETIME_NO_CACHE=1",
            "NO_FAKE_STAT=1",
            "LC_ALL=C",
            *(() if is_monotonic_faked else _MONOTONIC_ALONE),
        ]
        environment = ("env", "--unset=FAKETIME", *settings)
        shown, said = finished(start("jumper", scenario, self._home.folder, *arguments, before=environment))
        return json.loads(shown), [line for line in said if " is blacklisted until " not in line]

    def walk(self, *steps: str, who_asks: str = "nobody") -> list[Seen]:
        seen, said = self.run("walk", who_asks, *steps)
        assert said == []
        return list(seen)


@pytest.fixture(scope="module")
def library() -> str:
    needs("faketime", "apt-get install faketime")
    libraries = glob("/usr/lib/*/faketime/libfaketime.so.1")
    assert libraries, "faketime is there, its library is not where Debian has it"
    return libraries[0]


@pytest.fixture
def machine(home: Home, tmp_path: Path, library: str) -> Machine:
    return Machine(home, tmp_path / "clock", library)


@pytest.fixture(scope="module")
def six_weeks(library: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """Return a folder with the home of an agent that has worked for six weeks, and how far the clock is ahead then."""
    folder = tmp_path_factory.mktemp("six weeks")
    machine = Machine(Home(str(folder / "agents")), folder / "clock", library)
    machine.set_clock(_half_past_midnight() - time.time())  # no hour of the test is in another day
    machine.walk(_SMALL, "live:42")
    return folder / "agents", machine.now() - time.time()


@pytest.mark.parametrize("is_monotonic_faked", [False, True], ids=["monotonic clock true", "monotonic clock faked"])
def test_tasks_with_a_jump_in_their_middle_count_once_and_with_the_time_they_took(
    machine: Machine, home: Home, is_monotonic_faked: bool
) -> None:
    machine.set_clock(_half_past_midnight() - time.time())
    seen, said = machine.run("tasks", is_monotonic_faked=is_monotonic_faked)
    assert said == []
    ends = _ends(journal(home))
    assert [event["agent"] for event in ends] == [task["agent"] for task in seen]
    assert _days_between(ends[0]["started"], ends[0]["timestamp"]) == -1
    for event, task in zip(ends, seen, strict=True):
        assert event["duration_seconds"] >= 0
        if not is_monotonic_faked:
            assert task["least"] - 1e-6 <= event["duration_seconds"] <= task["most"] + 1e-6
            assert "clock_skew" not in event
    _assert_each_task_is_counted_once(home)
    _assert_nothing_falls(seen)
    _assert_document_is_the_fold_of_each_backup(home)


def test_a_block_whose_own_clock_went_back_took_0_seconds_and_is_flagged(machine: Machine, home: Home) -> None:
    machine.run("tasks", is_monotonic_faked=True)
    ends = [event for event in _ends(journal(home)) if event["agent"] == BLOCK]
    for event, seconds in zip(ends, JUMPS, strict=True):
        assert event["duration_seconds"] == (pytest.approx(seconds, abs=5) if seconds > 0 else 0)
        assert event.get("clock_skew") == (True if seconds < 0 else None)


def test_another_librarys_span_with_a_jump_back_in_its_middle_takes_no_time_away(machine: Machine, home: Home) -> None:
    seen, said = machine.run("foreign_spans")
    assert said == []
    ends = _ends(journal(home))
    assert [event["duration_seconds"] for event in ends] == [pytest.approx(40 * DAY, abs=5), 0, 0]
    assert [event.get("clock_skew") for event in ends] == [None, True, True]
    _assert_nothing_falls(seen)


def test_an_end_in_another_process_before_the_start_took_0_seconds_and_is_flagged(machine: Machine, home: Home) -> None:
    tracker = MetricTracker(home.document)
    starts = [tracker.record_task_start(CALLS) for _ in range(2)]
    machine.set_clock(ahead=-HOUR)
    durations, said = machine.run("complete", *starts)
    assert said == []
    assert durations == [0, pytest.approx(DAY - HOUR, abs=60)]
    assert [event["duration_seconds"] for event in _ends(journal(home))] == pytest.approx(durations, abs=1e-6)
    assert [event.get("clock_skew") for event in _ends(journal(home))] == [True, None]
    assert on_disk(home)["in_flight"] == {}
    assert_counted_exactly(home)


def test_a_clock_that_is_ahead_for_a_while_does_not_lose_the_task_of_a_living_process(
    machine: Machine, home: Home
) -> None:
    task, began = TaskTracker(BLOCK, tracker=MetricTracker(home.document)), time.perf_counter()
    task.begin()
    begun = time.perf_counter()
    machine.walk("success", AHEAD, *["success"] * 3, BACK, "success")
    assert len(on_disk(home)["in_flight"]) == 1
    done = time.perf_counter()
    task.end()
    took = _ends(journal(home))[-1]["duration_seconds"]
    assert done - begun - 1e-6 <= took <= time.perf_counter() - began + 1e-6
    _assert_each_task_is_counted_once(home)


@pytest.mark.parametrize("tasks_ahead", [1, 3])
def test_a_clock_that_is_ahead_for_a_while_does_not_lose_the_task_without_an_owner(
    machine: Machine, home: Home, tasks_ahead: int
) -> None:
    tracker = MetricTracker(home.document)
    started = tracker.record_task_start(CALLS)
    machine.walk("success", AHEAD, *["success"] * tasks_ahead, BACK, "success")
    assert len(on_disk(home)["in_flight"]) == 1
    tracker.record_task_complete(CALLS, started)
    _assert_each_task_is_counted_once(home)


@pytest.mark.parametrize("who_asks", ["tracker", "command"])
def test_a_jump_ahead_ends_a_cooldown_and_the_way_back_takes_it_up_again(machine: Machine, who_asks: str) -> None:
    steps = ("blacklist", str(DAY), str(-DAY), AHEAD, BACK)
    blacklisted, after_a_day, back, after_forty, back_again = machine.walk(*steps, who_asks=who_asks)
    for seen in (blacklisted, back, back_again):
        _assert_refused(seen, COOLDOWN)
    for seen in (after_a_day, after_forty):
        _assert_admitted(seen)


@pytest.mark.parametrize("who_asks", ["tracker", "command"])
@pytest.mark.parametrize(
    ("steps", "cooldown"),
    [
        pytest.param(["blacklist", str(-HOUR)], COOLDOWN, id="an hour"),
        pytest.param([AHEAD, "blacklist", BACK], COOLDOWN, id="40 days"),
        pytest.param(["blacklist", AHEAD, "failure", BACK], REOPENED, id="40 days, after a failed probe"),
    ],
)
def test_after_a_jump_back_an_agent_that_is_asked_for_is_refused_for_one_cooldown_at_most(
    machine: Machine, steps: list[str], cooldown: float, who_asks: str
) -> None:
    machine.set_clock(_half_past_midnight() - time.time())
    *_, back, later = machine.walk(*steps, str(cooldown + 1), who_asks=who_asks)
    assert (back["left"] or 0) <= cooldown
    _assert_admitted(later)


@pytest.mark.parametrize("outcome", ["success", "failure"])
def test_after_a_jump_back_an_agent_that_works_on_is_refused_for_one_cooldown_at_most(
    machine: Machine, outcome: str
) -> None:
    *_, back, worked, later = machine.walk(AHEAD, "blacklist", BACK, outcome, str(COOLDOWN + 1))
    assert (back["left"] or 0) <= COOLDOWN
    assert (worked["left"] or 0) <= COOLDOWN
    _assert_admitted(later)


def test_a_result_of_an_hour_ago_that_comes_late_does_not_end_a_cooldown(home: Home) -> None:
    store, now = Store(home), time.time()
    store.record([_failure(now) for _ in range(5)])
    store.record([_failure(now - HOUR)])
    assert not permission.answer(store.read(), AGENT, now + COOLDOWN - MINUTE, owner.is_seen_gone).is_admitted
    assert permission.answer(store.read(), AGENT, now + COOLDOWN + 1, owner.is_seen_gone).is_admitted


_SMALL = f"segments:{SEGMENT_BYTES}"


@pytest.mark.xdist_group("six_weeks")
@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(["success"] * 2, id="for two tasks"),
        pytest.param([_SMALL, *["success"] * 40], id="for some segments"),
        pytest.param([_SMALL, *["success"] * 20, str(HOUR), "success"], id="for some segments and hours"),
    ],
)
def test_a_clock_that_is_ahead_for_a_while_deletes_nothing_of_the_present(
    machine: Machine, home: Home, six_weeks: tuple[Path, float], ahead: list[str]
) -> None:
    lived, clock = six_weeks
    shutil.copytree(lived, home.folder, dirs_exist_ok=True)
    machine.set_clock(clock)
    before, backups = _in_segments(home), Store(home).parts.backups.paths()
    assert before[0]["seq"] > 1
    machine.walk(AHEAD, *ahead, BACK, "success", "success")
    after = _in_segments(home)
    young = [event["seq"] for event in before if parse_timestamp(event["timestamp"]) >= machine.now() - RETENTION]
    assert set(young) <= {event["seq"] for event in after}
    assert [event["seq"] for event in after] == list(range(after[0]["seq"], after[-1]["seq"] + 1))
    assert len(set(backups) & set(Store(home).parts.backups.paths())) >= 5
    assert on_disk(home)["metrics"]["total_requests"] == after[-1]["seq"]
    _assert_document_is_the_fold_of_each_backup(home)


@pytest.mark.parametrize("back", [-HOUR, -40 * DAY], ids=["an hour", "40 days"])
def test_after_a_jump_back_there_is_one_backup_and_not_one_a_task(machine: Machine, home: Home, back: float) -> None:
    machine.walk(str(40 * DAY), "success", "success")
    ahead = Store(home).parts.backups.paths()
    machine.walk(str(back), *["success"] * 6)
    assert len(set(Store(home).parts.backups.paths()) - set(ahead)) == 1
    _assert_document_is_the_fold_of_each_backup(home)


@pytest.mark.parametrize("which", ["append_lock", "document_lock"])
def test_a_process_that_waits_for_a_lock_while_the_monotonic_clock_goes_back_gets_it_when_it_is_free(
    machine: Machine, home: Home, which: str
) -> None:
    seen, said = machine.run("wait", which, str(-HOUR), "8", is_monotonic_faked=True)
    assert said == []
    assert seen == {"pauses": 8, "waiting": 0, "in_journal": 2}
    assert on_disk(home)["metrics"]["total_requests"] == 3


@pytest.mark.parametrize("which", ["append_lock", "document_lock"])
def test_a_process_that_waits_for_a_lock_while_the_monotonic_clock_goes_back_does_not_wait_forever(
    machine: Machine, home: Home, which: str
) -> None:
    seen, said = machine.run("wait", which, str(-HOUR), "100000", is_monotonic_faked=True)
    assert JUMPING_PAUSE < seen["pauses"] < 100_000
    _assert_given_up_without_a_loss(home, which, seen, said)


@pytest.mark.parametrize("which", ["append_lock", "document_lock"])
def test_a_monotonic_clock_that_jumps_ahead_ends_a_wait_and_loses_nothing(
    machine: Machine, home: Home, which: str
) -> None:
    seen, said = machine.run("wait", which, str(DAY), "50", is_monotonic_faked=True)
    assert seen["pauses"] == JUMPING_PAUSE
    _assert_given_up_without_a_loss(home, which, seen, said)


def test_the_doctor_says_that_an_event_is_dated_ahead_of_the_clock(
    machine: Machine, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.walk("success", AHEAD, "success", BACK, "success")
    clock = [finding for finding in examine(Store(home)) if finding.topic == "clock"]
    assert [finding.level for finding in clock] == [WRONG]
    assert clock[0].text.startswith("event 2 is dated ")
    assert command(["doctor", "--home", home.folder]) == 1
    assert "event 2 is dated" in capsys.readouterr().out
    for words in (["status"], ["report"], ["history"], ["leaderboard"], ["agent", AGENT]):
        assert command([*words, "--home", home.folder]) == 0


def _half_past_midnight() -> float:
    """Return half past midnight (UTC) of the day after tomorrow."""
    return (time.time() // DAY + 2) * DAY + HOUR / 2


def _days_between(earlier: str, later: str) -> int:
    """Return how many midnights are between two timestamps."""
    return int(parse_timestamp(later) // DAY - parse_timestamp(earlier) // DAY)


def _failure(at: float) -> Event:
    started = format_timestamp(at - 1)
    return task_ended(AGENT, names.FAILURE, at, run_id=new_id(), started=started, duration_seconds=1.0)


def _ends(events: Iterable[Event]) -> list[Event]:
    return [event for event in events if event["action"] in names.OUTCOMES]


def _in_segments(home: Home) -> list[Event]:
    """Return the events of the segments that are there, in the order of their numbers."""
    return list(
        chain.from_iterable(events for _, events in reversed(list(Store(home).parts.journal.before(float("inf")))))
    )


def _assert_refused(seen: Seen, cooldown: float) -> None:
    assert not seen["is_admitted"]
    assert 0 < seen["left"] <= cooldown


def _assert_admitted(seen: Seen) -> None:
    assert seen == {"is_admitted": True, "left": None}


def _assert_nothing_falls(seen: list[Seen]) -> None:
    for earlier, later in pairwise(task["totals"] for task in seen):
        assert {key: number for key, number in earlier.items() if later[key] < number} == {}


def _assert_each_task_is_counted_once(home: Home) -> None:
    """Compare the document with a count of the journal's ends, each run counting once; none is lost or still running."""
    document, ends = on_disk(home), _ends(journal(home))
    assert document["in_flight"] == {}
    assert len({event["run_id"] for event in ends}) == len(ends)
    assert runs(ends, names.TASK_LOST) == []
    for action, counter in ((names.TASK_COMPLETED, "successful"), (names.TASK_FAILED, "failed")):
        assert document["metrics"][counter] == len(runs(ends, action))
    for key, agent in document["agents"].items():
        assert agent["metrics"]["tasks_total"] == sum(1 for event in ends if event["agent"] == key)


def _assert_document_is_the_fold_of_each_backup(home: Home) -> None:
    store = Store(home)
    document = store.read()
    for _, backup in store.parts.backups.valid():
        again = fold_all(backup, store.parts.journal.after(backup.sequence))
        assert again.head == document.head
        assert again.history.entries() == document.history.entries()
    findings = [finding for finding in examine(store) if finding.topic == "document"]
    assert {finding.level for finding in findings} == {OK}


def _assert_given_up_without_a_loss(home: Home, which: str, seen: Seen, said: list[str]) -> None:
    """Who can't append keeps the event until the next one; who can't write the document has it in the journal."""
    is_in_journal = which == "document_lock"
    assert (seen["waiting"], seen["in_journal"]) == ((0, 2) if is_in_journal else (1, 1))
    assert len(said) == 1
    assert ("safe in the journal" if is_in_journal else "wait in memory") in said[0]
    assert len(journal(home)) == 3
    assert_counted_exactly(home)
