"""An event, and the end of a run, counts once for as long as the journal or a backup knows it, whatever the history holds."""

import json
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from otel_tracker import MetricTracker, names
from otel_tracker.names import CANCELLED, FAILURE, LOST, SUCCESS
from otel_tracker.runtime.ids import new_id
from otel_tracker.storage import journal as journals
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from tests.builders import AGENT, NOON, about, any_event, document_of, end, moment, start, text_of

if TYPE_CHECKING:
    from otel_tracker.state.shapes import Event

OTHER = "ui/designer.md"


def store_of(home: Home) -> Store:
    """Return a store like that of a new process, at a moment at which no task is old enough to be lost."""
    return Store(home, clock=lambda: NOON + 100)


def set_up(home: Home, entries: int) -> Store:
    """Return the store of a home whose history has a length."""
    Path(home.document).parent.mkdir(parents=True)
    Path(home.document).write_bytes(text_of(document_of(history_max_entries=entries, history_retention_days=10_000)))
    return store_of(home)


def record_others(home: Home, number: int = 5) -> None:
    """Record tasks of another agent, as another process does."""
    other = store_of(home)
    for _ in range(number):
        run_id = new_id()
        other.announce([{**start(run_id, agent=OTHER), "id": new_id()}])
        other.record([{**end(run_id, agent=OTHER), "id": new_id()}])


def counted(home: Home, agent: str = AGENT) -> "tuple[int, int]":
    """Return how many tasks of an agent the document and the journal say that there were."""
    document = json.loads(Path(home.document).read_bytes())
    lines = [line for path in Path(home.journal).glob("*.jsonl") for line in path.read_bytes().splitlines()]
    events = [json.loads(line) for line in lines]
    ends = [event for event in events if event["action"] in names.OUTCOMES and event["agent"] == agent]
    return document["agents"].get(agent, {"metrics": {"tasks_total": 0}})["metrics"]["tasks_total"], len(ends)


ANY_HISTORY = pytest.mark.parametrize("entries", [0, 3, 1000])


@ANY_HISTORY
@pytest.mark.parametrize("outcome", [SUCCESS, FAILURE, CANCELLED, LOST])
def test_the_end_of_a_run_counts_once_in_any_process_however_much_came_between(
    home: Home, entries: int, outcome: str
) -> None:
    store = set_up(home, entries)
    store.announce([start("r1")])
    store.record([end("r1")])
    record_others(home)
    for again in (store, store_of(home)):
        again.record([{**end("r1", outcome, after=90), "id": new_id()}])
    assert counted(home) == (1, 1)


@ANY_HISTORY
def test_an_end_without_a_start_counts_once(home: Home, entries: int) -> None:
    store = set_up(home, entries)
    for again in (store, store_of(home)):
        again.record([end("r1")])
        record_others(home)
    assert counted(home) == (1, 1)


@ANY_HISTORY
@pytest.mark.parametrize("run_id", ["r1", None])
@pytest.mark.parametrize(
    ("outcome", "counter"), [(SUCCESS, "successful"), (FAILURE, "failed"), (CANCELLED, "cancelled")]
)
def test_the_end_of_a_task_that_was_taken_for_lost_amends_it_once(
    home: Home, entries: int, run_id: "str | None", outcome: str, counter: str
) -> None:
    store = set_up(home, entries)
    store.announce([start("r1", task_id="t")])
    lost = store.record([end("r1", LOST, task_id="t", duration_seconds=60.0, started=moment(0))])
    record_others(home)
    known: dict[str, Any] = {"task_id": "t", "started": moment(0), "duration_seconds": 90.0, "tokens": {"output": 7}}
    for again in (store_of(home), store):
        again.record([{**end(run_id, outcome, after=90, **known), "id": new_id()}])
    document = store_of(home).read()
    agent, system = document.agents[AGENT], document.head["metrics"]
    assert (agent["metrics"]["tasks_total"], agent["metrics"][f"tasks_{counter}"], agent["tallies"]["lost"]) == (
        *(1, 1),
        0,
    )
    assert (system["total_requests"], system["failed"], agent["failures"]) == (
        6,
        outcome == FAILURE,
        outcome == FAILURE,
    )
    assert (agent["token_usage"]["sonnet"]["total"], agent["token_usage"]["sonnet"]["count"]) == (7, 1)
    assert agent["metrics"]["total_duration_seconds"] == 90
    assert store.parts.journal.after(lost[0]["seq"])[-1]["action"] == names.TASK_AMENDED


def test_the_end_of_one_lost_task_leaves_the_others_lost(store: Store) -> None:
    store.record([event for run in ("r1", "r2", "r3") for event in (start(run), end(run, LOST))])
    store.record([end("r2", after=90)])
    agent = store.read().agents[AGENT]
    assert (agent["tallies"]["lost"], agent["metrics"]["tasks_failed"], agent["metrics"]["tasks_successful"]) == (
        2,
        2,
        1,
    )


@ANY_HISTORY
@pytest.mark.parametrize("has_task_id", [True, False])
@pytest.mark.parametrize("again", ["record_task_complete", "record_task_failure", "record_task_cancelled"])
def test_a_task_whose_end_is_recorded_by_its_start_counts_once(
    home: Home, entries: int, has_task_id: bool, again: str
) -> None:
    set_up(home, entries)
    tracker, task_id = MetricTracker(home.document), "t" if has_task_id else None
    started = tracker.record_task_start(AGENT, task_id=task_id)
    tracker.record_task_complete(AGENT, started, task_id=task_id)
    record_others(home)
    getattr(tracker, again)(AGENT, started, task_id=task_id)
    getattr(tracker, again)(AGENT, started)
    assert counted(home) == (1, 1)


def test_a_repeated_end_does_not_end_a_later_task_of_the_same_id(home: Home) -> None:
    tracker = MetricTracker(home.document)
    started = tracker.record_task_start(AGENT, task_id="t")
    tracker.record_task_complete(AGENT, started, task_id="t")
    again = tracker.record_task_start(AGENT, task_id="t")
    tracker.record_task_complete(AGENT, started, task_id="t")
    assert [task["started"] for task in Store(home).read().head["in_flight"].values()] == [again]
    tracker.record_task_complete(AGENT, again, task_id="t")
    assert counted(home) == (2, 2)


def test_ends_that_name_starts_that_were_not_recorded_are_tasks_of_their_own(home: Home) -> None:
    tracker = MetricTracker(home.document)
    for second in range(3):
        tracker.record_task_complete(AGENT, moment(second))
        tracker.record_task_complete(AGENT, moment(second), task_id="t")
    assert counted(home)[0] == 3  # the second of each may be the same task, which nobody called by a name before


@pytest.mark.parametrize(
    ("batch", "total"),
    [
        ([start("r1"), end("r1")], 1),
        ([start("r1"), end("r1"), end("r1", FAILURE)], 1),
        ([end("r1"), start("r1"), end("r1")], 1),
        ([end("r1"), end("r1")], 1),
        ([end("r1", LOST), end("r1"), end("r1")], 1),
        ([start("r1"), end("r1"), start("r2"), end("r2"), end("r1")], 2),
        ([start("r1"), end(None, started=moment(0)), end("r1"), end(None, started=moment(0))], 1),
    ],
)
def test_a_batch_is_worth_what_its_events_are_one_by_one(home: Home, batch: "list[Event]", total: int) -> None:
    store = store_of(home)
    batch = [{**event, "id": new_id()} for event in batch]
    for _ in range(2):
        store.record(batch, may_repeat=True)
        assert store.read().agents[AGENT]["metrics"]["tasks_total"] == total
        assert store.read().head["in_flight"] == {}


@ANY_HISTORY
@pytest.mark.parametrize("action", [names.AGENT_RESET, names.TASK_AMENDED, "agent_praised"])
def test_an_event_that_may_repeat_another_one_counts_once_by_its_id(home: Home, entries: int, action: str) -> None:
    set_up(home, entries)
    event = {**about(action, model="sonnet", tokens={"untyped": 5}), "id": new_id()}
    for _ in range(2):
        store_of(home).record([event], may_repeat=True)
        record_others(home)
    assert len([one for one in store_of(home).parts.journal.after(0) if one["id"] == event["id"]]) == 1


@ANY_HISTORY
def test_the_start_of_a_run_that_has_ended_begins_nothing(home: Home, entries: int) -> None:
    set_up(home, entries)
    store_of(home).record([start("r1"), end("r1")])
    record_others(home)
    store_of(home).announce([start("r1", after=9)], may_repeat=True)
    assert store_of(home).read().head["in_flight"] == {}


@pytest.mark.parametrize("run_id", ['a "quoted" run', "back\\slash", "rün", "\ud800 half", "😀", '"', "a\nb"])
def test_a_run_counts_once_whatever_its_id_is_made_of(home: Home, run_id: str) -> None:
    """In a line with half of a surrogate pair everything is escaped."""
    for odd in (None, "\udfff"):
        store_of(home).record([end(run_id, error=odd)])
        store_of(home).record([end(run_id), *(end(f"{run_id} {number}") for number in range(20))])
    assert counted(home) == (21, 21)


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 2_000)


@pytest.mark.usefixtures("small_segments")
def test_a_run_is_found_in_older_segments_back_to_its_start(home: Home) -> None:
    set_up(home, 3)
    store_of(home).record([end("r1")])
    record_others(home, 20)
    assert len(list(Path(home.journal).glob("*.jsonl"))) > 3
    store_of(home).record([end("r1", after=90)])
    assert counted(home) == (1, 1)


class Watched(Files):
    """Files that note which segments are read."""

    def __init__(self) -> None:
        self.segments_read: set[str] = set()

    def read(self, path: str, start: int = 0, limit: int = -1) -> Any:
        self.segments_read |= {path} if path.endswith(".jsonl") else set()
        return super().read(path, start, limit)


@pytest.mark.usefixtures("small_segments")
def test_segments_from_before_a_run_began_are_not_read(home: Home) -> None:
    set_up(home, 3)
    record_others(home, 20)
    newest = max(Path(home.journal).glob("*.jsonl"), key=lambda path: int(path.stem))
    far_ahead, files = 10 * 365 * 86_400, Watched()  # after all that the files' times can say
    Store(home, files, clock=lambda: NOON + far_ahead).record([end("r1", after=far_ahead)])
    assert files.segments_read == {str(newest)}


def test_nothing_is_read_for_the_end_of_a_run_that_this_process_has_begun(home: Home) -> None:
    store = Store(home, files := Watched())
    store.record([end("r0")])
    files.segments_read.clear()
    store.announce([start("r1")])
    store.record([end("r1")])
    assert files.segments_read == set()


@pytest.mark.usefixtures("small_segments")
@pytest.mark.parametrize(("others", "segments_kept"), [(20, 1), (20, 0), (0, 0)])
def test_what_only_a_backup_or_the_document_knows_any_more_counts_once(
    home: Home, others: int, segments_kept: int
) -> None:
    store = set_up(home, 3)
    store.record([end("r1")])
    store.back_up()
    record_others(home, others)
    segments = sorted(Path(home.journal).glob("*.jsonl"), key=lambda path: int(path.stem))
    for segment in segments[: len(segments) - segments_kept]:
        segment.unlink()
    store_of(home).record([end("r1", after=90)])
    assert counted(home)[0] == 1


def test_what_a_restore_has_discarded_is_not_known(home: Home) -> None:
    store = set_up(home, 1000)
    store.record([end("r1")])
    backup = store.back_up()
    assert backup is not None
    store.record([start("r2"), end("r2")])
    with_both = store.back_up()
    assert with_both is not None
    restore(store, backup, discard_later=True)
    for again in (store_of(home), store):
        again.record([end("r1", after=90), end("r2", after=90)])
        assert again.read().agents[AGENT]["metrics"]["tasks_total"] == 2
    restore(store, with_both, discard_later=True)
    store_of(home).record([end("r1", after=95), end("r2", after=95)])
    assert store_of(home).read().agents[AGENT]["metrics"]["tasks_total"] == 2


def test_a_run_that_a_restored_backup_has_in_flight_ends_although_it_had_ended(home: Home) -> None:
    store = set_up(home, 1000)
    store.record([start("r1"), end("r0")])
    backup = store.back_up()
    assert backup is not None
    store.record([end("r1")])
    restore(store, backup, discard_later=True)
    store.record([end("r1", after=90)])
    assert store.read().agents[AGENT]["metrics"]["tasks_total"] == 2
    assert store.read().head["in_flight"] == {}


def test_many_ends_at_once_are_compared_with_what_is_known_like_each_alone(home: Home) -> None:
    store = set_up(home, 3)
    store.record([end(f"r{number}") for number in range(0, 600, 2)])
    record_others(home)
    appended = store_of(home).record([end(f"r{number}", after=90) for number in range(600)])
    assert [event["run_id"] for event in appended] == [f"r{number}" for number in range(1, 600, 2)]
    assert counted(home) == (600, 600)


@pytest.mark.usefixtures("small_segments")
def test_many_ends_at_once_are_found_in_older_segments_and_backups_unless_a_restore_has_discarded_them(
    home: Home,
) -> None:
    store = set_up(home, 3)
    for first in range(0, 60, 4):
        store.record([end(f"r{number}") for number in range(first, first + 4)])
    backup = store.back_up()
    assert backup is not None
    store.record([end(f"r{number}") for number in range(60, 80)])
    restore(store, backup, discard_later=True)
    record_others(home)
    segments = sorted(Path(home.journal).glob("*.jsonl"), key=lambda path: int(path.stem))
    assert len(segments) > 5
    ends = [end(f"r{number}", after=90) for number in range(90)]
    process = store_of(home)
    assert [event["run_id"] for event in process.record(ends)] == [f"r{number}" for number in range(60, 90)]
    assert process.record(ends) == []


_numbers = count()


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(any_event.filter(lambda event: event["action"] != names.PROBE_GRANTED), min_size=1, max_size=8),
    repeated=st.lists(st.integers(0, 7), max_size=8),
)
def test_whatever_is_recorded_again_counts_the_same_with_any_history(
    tmp_path: Path, events: "list[Event]", repeated: "list[int]"
) -> None:
    events = [{**event, "id": f"{event['id']} #{number}"} for number, event in enumerate(events)]
    again = [events[number] for number in repeated if number < len(events)]
    states = []
    for entries, repetitions in ((1000, []), (1000, again), (3, again), (0, again)):
        home = Home(str(tmp_path / str(next(_numbers))))
        Path(home.document).parent.mkdir(parents=True)
        known = {"failure_threshold": 1000, "history_retention_days": 10_000}
        Path(home.document).write_bytes(text_of(document_of(history_max_entries=entries, **known)))
        store = Store(home, clock=lambda: NOON)
        store.record(events, may_repeat=True)
        for event in repetitions:
            Store(home, clock=lambda: NOON).record([event], may_repeat=True)
        head = store.read().head
        states.append({key: head[key] for key in ("agents", "metrics", "in_flight", "sequence")})
    assert all(state == states[0] for state in states)
