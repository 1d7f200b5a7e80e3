"""How long the journal's segments and the backups live, by a clock that is a number; and that nobody misses what is gone."""

import json
import shutil
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import MetricTracker, names
from otel_tracker.cli import main as command
from otel_tracker.errors import StorageError
from otel_tracker.runtime.ids import new_id
from otel_tracker.runtime.timestamps import format_timestamp, parse_timestamp
from otel_tracker.state.codec import DocumentCodec
from otel_tracker.state.document import Document, new_document
from otel_tracker.state.event import task_ended, task_started
from otel_tracker.state.shapes import Event
from otel_tracker.storage import journal as journals
from otel_tracker.storage.backups import KEPT_DAYS, KEPT_NEWEST, Backups
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.retention import retire_old_segments
from otel_tracker.storage.store import Store

NOON = parse_timestamp("2026-02-15T12:00:00Z")
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
RETENTION_DAYS, TASKS_A_DAY = 30, 3
AGENT, OTHER = "core/coder.md", "ui/designer.md"


class Days:
    """A store that lives through days by a clock of its own: three tasks a day, of two agents in turn."""

    def __init__(self, home: Home) -> None:
        self.now = NOON
        self.store = Store(home, clock=lambda: self.now)
        self.tasks = 0

    def work(self, tasks: int = 1, at: float | None = None) -> None:
        for _ in range(tasks):
            self.tasks += 1
            self.store.record([_ended(self.now if at is None else at, AGENT if self.tasks % 2 else OTHER)])

    def live(self, days: int) -> None:
        for _ in range(days):
            self.work(TASKS_A_DAY)
            self.now += DAY

    def back_up_after(self, seconds: float) -> str:
        """Return the name of a backup that is made so much later, after one more task."""
        self.now += seconds
        self.work()
        path = self.store.back_up()
        assert path is not None
        return Path(path).name

    @property
    def backups(self) -> list[str]:
        return [Path(path).name for path in self.store.parts.backups.paths()]

    @property
    def segments(self) -> list[int]:
        """The numbers that the segments are named by."""
        return [int(Path(path).stem) for path in self.store.parts.journal.segments()]

    @property
    def events(self) -> list[Event]:
        """The events that the journal has."""
        lines = [Path(path).read_bytes().splitlines() for path in self.store.parts.journal.segments()]
        return [json.loads(line) for segment in lines for line in segment]

    def numbers_since(self, days: float) -> list[int]:
        """Return the numbers of the journal's events of the last `days`, as of the clock."""
        return [event["seq"] for event in self.events if parse_timestamp(event["timestamp"]) >= self.now - days * DAY]


@pytest.fixture
def days(home: Home, monkeypatch: pytest.MonkeyPatch) -> Days:
    """Return a home of which a segment of the journal is full after a day."""
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 900)
    return Days(home)


def history(store: Store, agent: str | None, limit: int | None, since: float = 0.0) -> list[Event]:
    """Return the newest events, oldest first."""
    return list(islice(store.history(agent, since), limit))[::-1]


def _ended(at: float, agent: str = AGENT, **known: Any) -> Event:
    started = format_timestamp(at - 1)
    return task_ended(agent, names.SUCCESS, at, run_id=new_id(), started=started, duration_seconds=1.0, **known)


def _settings(home: Home, **config: Any) -> None:
    """Change settings by hand."""
    document = json.loads(Path(home.document).read_bytes())
    document["config"].update(config)
    Path(home.document).write_text(json.dumps(document, indent=2))


def test_what_is_younger_than_the_retention_stays_and_what_is_older_goes(days: Days) -> None:
    total = 0
    for day in range(1, 61):
        days.live(1)
        total += TASKS_A_DAY
        young = days.numbers_since(RETENTION_DAYS)
        assert young == list(range(total - len(young) + 1, total + 1))
        assert len(young) == TASKS_A_DAY * min(day, RETENTION_DAYS)
    oldest = (days.now - parse_timestamp(days.events[0]["timestamp"])) / DAY
    assert RETENTION_DAYS <= oldest <= RETENTION_DAYS + KEPT_DAYS + 3


def test_totals_do_not_fall_when_segments_are_deleted(days: Days) -> None:
    for _ in range(60):
        days.live(1)
        metrics = days.store.read().head["metrics"]
        agents = days.store.read().agents.values()
        assert metrics["total_requests"] == metrics["successful"] == days.tasks
        assert sum(agent["metrics"]["tasks_total"] for agent in agents) == days.tasks
        assert sum(agent["metrics"]["total_duration_seconds"] for agent in agents) == days.tasks
        assert sum(sum(agent["durations"]["buckets"]) for agent in agents) == days.tasks
    assert days.segments[0] > TASKS_A_DAY


def test_what_the_oldest_backup_needs_stays_however_old_it_is(days: Days) -> None:
    days.live(2)
    for _ in range(KEPT_DAYS + KEPT_NEWEST):
        oldest = days.store.parts.backups.oldest_sequence() or 0
        assert days.events[0]["seq"] <= oldest + 1
        days.now += 2 * RETENTION_DAYS * DAY
        days.work(TASKS_A_DAY)
    assert days.segments[0] > TASKS_A_DAY


@pytest.mark.parametrize("before", range(2, 8))
def test_segments_stay_until_the_oldest_backup_is_past_them(days: Days, before: int) -> None:
    days.work(before)
    for path in days.store.parts.backups.paths():
        Path(path).unlink()
    backup = days.store.back_up()
    assert backup is not None
    days.work(10)
    days.now += 2 * RETENTION_DAYS * DAY
    days.work(10)
    days.store.back_up()
    assert days.store.parts.backups.paths()[0] == backup
    assert days.events[0]["seq"] <= before + 1
    Path(backup).unlink()
    days.store.back_up()
    assert days.events[0]["seq"] > before + 1


def test_without_a_backup_that_can_be_read_nothing_is_deleted(days: Days) -> None:
    days.work(10)
    days.now += 2 * RETENTION_DAYS * DAY
    days.work(10)
    for path in days.store.parts.backups.paths():
        Path(path).write_text("{")
    before = days.segments
    store = Store(days.store.home, clock=lambda: days.now)
    store.read()
    retire_old_segments(store.parts)
    assert days.segments == before


def test_the_segment_that_is_written_to_is_never_deleted(days: Days, home: Home) -> None:
    days.work()
    _settings(home, history_retention_days=0)
    for _ in range(20):
        days.now += DAY
        days.work()
        days.store.back_up()
    assert days.events[-1]["seq"] == days.store.read().sequence
    days.now += 400 * DAY
    for _ in range(3):
        days.store.back_up()
    assert days.events[-1]["seq"] == days.store.read().sequence
    days.work()
    assert days.events[-1]["seq"] == days.store.read().sequence


def test_a_wall_clock_ahead_of_all_events_deletes_nothing(days: Days) -> None:
    days.live(20)
    before = days.segments
    days.now += 400 * DAY
    for _ in range(KEPT_NEWEST + KEPT_DAYS):
        days.now += DAY
        days.store.back_up()
    assert days.segments == before


def test_a_wall_clock_behind_all_events_deletes_nothing(days: Days) -> None:
    days.live(20)
    before = days.segments
    days.now -= 400 * DAY
    for _ in range(KEPT_NEWEST + KEPT_DAYS):
        days.now += DAY
        days.store.back_up()
    assert days.segments == before


def test_one_event_of_the_present_among_those_ahead_keeps_all(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    days.live(29)
    before = days.segments
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1_000_000)
    days.work()
    for _ in range(20):
        days.work(at=days.now + 40 * DAY)
    days.now += 40 * DAY
    days.back_up_after(0)
    assert days.segments == before


def test_one_event_ahead_that_begins_a_segment_deletes_nothing(days: Days) -> None:
    days.live(29)
    while Path(days.store.parts.journal.segments()[-1]).stat().st_size < journals.SEGMENT_BYTES:
        days.work()
    before = days.segments
    days.now += 40 * DAY
    days.work()
    assert days.segments == [*before, days.events[-1]["seq"]]


def test_a_clock_that_is_right_deletes_nothing_because_of_segments_dated_ahead(days: Days) -> None:
    days.live(29)
    before = days.segments
    for _ in range(12):
        days.work(at=days.now + 40 * DAY)
    days.store.back_up()
    assert days.segments[: len(before)] == before


def test_one_old_event_does_not_make_its_segment_old(days: Days) -> None:
    days.work(2)
    days.work(at=days.now - 400 * DAY)
    days.live(20)
    assert days.segments[0] == 1


def test_a_segment_dated_ahead_keeps_those_after_it_until_it_is_old_itself(days: Days) -> None:
    days.live(3)
    for _ in range(2 * TASKS_A_DAY):
        days.work(at=days.now + 20 * DAY)
    days.live(40)
    first_ahead = 3 * TASKS_A_DAY + 1
    assert days.segments[0] <= first_ahead
    assert [event["seq"] for event in days.events] == list(range(days.events[0]["seq"], days.tasks + 1))
    days.live(30)
    assert days.segments[0] > first_ahead


def test_a_segment_of_damaged_lines_is_kept(days: Days) -> None:
    days.live(10)
    first = days.store.parts.journal.segments()[0]
    Path(first).write_bytes(b"x" * 500 + b"\n")
    days.live(60)
    assert days.store.parts.journal.segments()[0] == first


def test_the_history_goes_on_in_the_journal_beyond_what_the_document_holds(days: Days, home: Home) -> None:
    days.work()
    _settings(home, history_max_entries=5)
    days.live(10)
    recorded = [event for event in days.events if event["action"] == names.TASK_COMPLETED]
    assert days.store.read().history.count == 5
    of_tasks = [entry for entry in history(days.store, None, None) if entry["action"] == names.TASK_COMPLETED]
    assert of_tasks == recorded
    assert history(days.store, None, 12) == recorded[-12:]
    of_agent = [event for event in recorded if event["agent"] == OTHER]
    assert history(days.store, OTHER, 7) == of_agent[-7:]
    since = days.now - 4.5 * DAY
    assert history(days.store, None, None, since) == recorded[-4 * TASKS_A_DAY :]
    assert history(days.store, OTHER, 2, since) == of_agent[-2:]
    assert history(days.store, AGENT, 99, since) == [event for event in recorded[-12:] if event["agent"] == AGENT]
    assert MetricTracker(home.document).get_history(OTHER, 7) == of_agent[-7:]


def test_the_history_is_read_a_segment_at_a_time(days: Days, home: Home) -> None:
    days.work()
    _settings(home, history_max_entries=5)
    days.live(10)
    whole = history(days.store, None, None)[::-1]
    events = days.store.history()
    assert list(islice(events, 5)) == whole[:5]
    for segment in days.store.parts.journal.segments():
        Path(segment).unlink()
        Path(segment).mkdir()
    with pytest.raises(StorageError, match="it is no file"):
        next(events)


def test_starts_are_no_history_in_the_journal_either(days: Days, home: Home) -> None:
    days.work()
    _settings(home, history_max_entries=1)
    days.store.announce([task_started(AGENT, days.now, run_id="r", model=None, task_id=None, owner=None)])
    days.work(5)
    assert names.TASK_STARTED in {event["action"] for event in days.events}
    assert names.TASK_STARTED not in {entry["action"] for entry in history(days.store, None, None)}


def test_the_command_shows_the_history_since_a_moment_from_the_journal(
    days: Days, home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    days.now = time.time() - 20 * DAY
    days.work()
    _settings(home, history_max_entries=2)
    days.live(20)

    def shown(*options: str) -> list[int]:
        assert command(["history", "--home", home.folder, "--format", "json", *options]) == 0
        return [entry["seq"] for entry in json.loads(capsys.readouterr().out)]

    newest = days.events[-1]["seq"]
    assert shown("--since", "7d") == list(range(newest, newest - 7 * TASKS_A_DAY + TASKS_A_DAY, -1))
    assert shown("--since", "7d", "-n", "4") == list(range(newest, newest - 4, -1))
    of_agent = [event["seq"] for event in days.events if event["agent"] == OTHER]
    assert shown("--since", "7d", "--agent", OTHER) == of_agent[:-10:-1]
    assert shown("-n", "30") == list(range(newest, newest - 30, -1))


@pytest.mark.parametrize("jump", [-40 * DAY, 40 * DAY], ids=["back", "ahead"])
def test_the_history_since_a_moment_is_whole_although_the_clock_has_jumped(
    days: Days, home: Home, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 4000)
    days.work()
    _settings(home, history_max_entries=5)
    days.live(10)
    for _ in range(5):
        days.work(at=days.now + jump)
    since = days.now - 5.5 * DAY
    wanted = [event["seq"] for event in days.events if parse_timestamp(event["timestamp"]) >= since]
    assert [entry["seq"] for entry in history(days.store, None, None, since)] == wanted


def test_one_event_of_a_clock_that_was_behind_does_not_end_the_history(days: Days, home: Home) -> None:
    days.work()
    _settings(home, history_max_entries=5)
    days.live(2)
    while Path(days.store.parts.journal.segments()[-1]).stat().st_size < journals.SEGMENT_BYTES:
        days.work()
    days.work(at=days.now - 400 * DAY)
    days.live(4)
    recorded = [event["seq"] for event in days.events if event["timestamp"] > format_timestamp(NOON + HOUR)]
    assert [entry["seq"] for entry in history(days.store, None, None, NOON + HOUR)] == recorded


def test_the_5_newest_backups_and_the_newest_of_each_of_7_days_are_kept(home: Home) -> None:
    moments = [NOON + number * DAY / 4 for number in range(4 * 12)]
    newest_of_days = list({at // DAY: _name(at) for at in moments}.values())
    newest = [_name(at) for at in moments[-KEPT_NEWEST:]]
    kept = _kept(home, moments)
    assert kept == sorted({*newest, *newest_of_days[-KEPT_DAYS:]})
    assert len(kept) == KEPT_NEWEST + KEPT_DAYS - 2


def test_backups_of_one_day_are_the_5_newest(home: Home) -> None:
    moments = [NOON + number * HOUR for number in range(12)]
    assert _kept(home, moments) == [_name(at) for at in moments[-KEPT_NEWEST:]]


def test_a_jump_ahead_and_back_makes_neither_old_backups_new_nor_new_ones_old(home: Home) -> None:
    present = [NOON + number * DAY for number in range(10)]
    ahead = [present[-1] + 40 * DAY + number * HOUR for number in range(3)]
    back = [present[-1] + HOUR + number * HOUR for number in range(3)]
    kept = [*present[-6:-1], *ahead[-2:], *back]
    assert _kept(home, [*present, *ahead, *back]) == [_name(at) for at in kept]


def test_days_ahead_of_which_a_clock_has_come_back_make_room_for_days_of_the_present(home: Home) -> None:
    ahead = [NOON + (40 + number) * DAY for number in range(KEPT_DAYS)]
    back = [NOON + number * DAY for number in range(KEPT_DAYS)]
    assert _kept(home, [*ahead, *back]) == [_name(at) for at in back]


def _kept(home: Home, moments: list[float]) -> list[str]:
    """Return the names of the backups that are left, oldest first, of those made at `moments` of one more event each."""
    backups, new = Backups(home, Files(), journals.Journal(home.journal, Files())), new_document()
    for sequence, at in enumerate(moments, 1):
        document = Document({**new.head, "sequence": sequence}, new.history)
        backups.create(b"".join(DocumentCodec().encode(document)), at)
        backups.prune()
    return [Path(path).name for path in backups.paths()]


def _name(at: float) -> str:
    return f"circuit-breaker_{datetime.fromtimestamp(at, UTC):%Y%m%d_%H%M%S}.json"


def test_the_newest_backup_is_that_of_the_latest_event_whatever_its_name_says(days: Days, home: Home) -> None:
    days.live(2)
    ahead, back = days.back_up_after(40 * DAY), days.back_up_after(-40 * DAY)
    assert ahead > back
    assert days.backups[-1] == back
    for segment in days.store.parts.journal.segments():
        Path(segment).unlink()
    Path(home.document).write_text("")
    assert Store(home).read().sequence == days.tasks


def test_a_backup_that_gets_the_name_of_a_deleted_one_is_new(days: Days) -> None:
    for _ in range(10):
        days.back_up_after(MINUTE)
    days.now = NOON + MINUTE
    days.work()
    path = days.store.back_up()
    assert path == days.store.parts.backups.paths()[-1]


def test_a_backup_whose_name_says_no_moment_is_in_no_ones_way(days: Days, home: Home) -> None:
    days.work(2)
    shutil.copy(home.document, Path(home.backups) / "circuit-breaker_20261399_000000.json")
    days.store = Store(home, clock=lambda: days.now)
    days.work()
    assert json.loads(Path(home.document).read_bytes())["sequence"] == days.tasks


@pytest.mark.parametrize("back", [-HOUR / 2, -HOUR, -40 * DAY], ids=["half an hour", "an hour", "40 days"])
@pytest.mark.parametrize("is_same_process", [True, False], ids=["one process", "a process a task"])
def test_a_clock_that_is_put_back_makes_one_backup_and_not_one_a_task(
    days: Days, home: Home, back: float, is_same_process: bool
) -> None:
    days.work(3)
    days.now += 2 * HOUR
    days.work(3)
    before = days.backups
    days.now += back
    for _ in range(10):
        if not is_same_process:
            days.store = Store(home, clock=lambda: days.now)
        days.now += MINUTE
        days.work()
    assert len(set(days.backups) - set(before)) == 1


def test_two_processes_with_clocks_hours_apart_do_not_make_a_backup_at_each_task(home: Home) -> None:
    made: set[str] = set()
    for number in range(20):
        now = NOON + number * MINUTE + number % 2 * 3 * HOUR
        store = Store(home, clock=lambda now=now: now)  # type: ignore[misc]
        store.record([_ended(now)])
        made.update(store.parts.backups.paths())
    assert len(made) <= 2
