import json
import os
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.reporting.aggregate import aggregate, parts_in
from otel_tracker.reporting.window import Window
from otel_tracker.runtime.timestamps import parse_timestamp
from otel_tracker.state.event_checks import is_event
from otel_tracker.state.shapes import Event
from otel_tracker.storage import journal as journals
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from tests.builders import AGENT, NOON, end, moment, start
from tests.home_files import journal, on_disk


def read(store: Store) -> list[Event]:
    """Return all events, oldest first."""
    events = [event for _, batch in store.run_events(store.read()) for event in batch]
    return events[::-1]


def runs(store: Store) -> list[str]:
    return [event["run_id"] for event in read(store) if event["action"] in names.OUTCOMES]


def test_events_are_the_journals_without_starts_whatever_segments_they_are_in(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1000)
    for number in range(20):
        tokens = {"input": number, "cache_write_1h": 0}
        store.record([start(f"run {number}"), end(f"run {number}", tokens=tokens, models={"claude-x": tokens})])
    assert len(store.parts.journal.segments()) > 5
    expected = [event for event in journal(store.home) if event["action"] != names.TASK_STARTED]
    events = read(store)
    for event, whole in zip(events, expected, strict=True):
        assert event.items() <= whole.items()
        assert {"tokens", "models", "duration_seconds", "model"} <= event.keys()


def test_what_the_main_conversation_has_used_is_an_event_of_no_agent(store: Store) -> None:
    used = {
        "id": "u",
        "timestamp": moment(0),
        "agent": None,
        "action": names.USAGE_RECORDED,
        "models": {"m": {"input": 5}},
    }
    store.record([used])
    assert [event["models"] for event in read(store)] == [{"m": {"input": 5}}]
    assert store.read().agents == {}


def test_what_a_restore_has_discarded_does_not_count(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.record([end("kept")])
    backup = store.back_up()
    assert backup is not None
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1000)  # the restore is in a later segment than what it discards
    for number in range(9):
        store.record([end(f"discarded {number}")])
    restore(Store(store.home), os.path.basename(backup), discard_later=True)
    Store(store.home).record([end("later")])
    assert runs(Store(store.home)) == ["kept", "later"]


DAMAGE: list[Callable[[dict[str, Any]], object]] = [
    lambda event: event.pop("run_id"),
    lambda event: event.update(run_id=None),
    lambda event: event.update(run_id=7),
    lambda event: event.update(agent=None),
    lambda event: event.update(agent=["x"]),
    lambda event: event.update(timestamp="yesterday"),
    lambda event: event.update(timestamp=5),
    lambda event: event.update(tokens={"inputs": 5}),
    lambda event: event.update(tokens={"input": "5"}),
    lambda event: event.update(tokens={"input": 1.5}),
    lambda event: event.update(tokens=[5]),
    lambda event: event.update(models={"m": {"input": None}}),
    lambda event: event.update(models={"m": 5}),
    lambda event: event.update(duration_seconds="60"),
    lambda event: event.update(usage_incomplete=1),
    lambda event: event.update(action=5),
    lambda event: event.update(action="task_boiled"),
    lambda event: event.update(action=names.AGENT_RENAMED),
    lambda event: event.update(action=names.DOCUMENT_RESTORED),
    lambda event: event.update(action=names.SETTINGS_CHANGED, since="x"),
    lambda event: event.pop("seq"),
    lambda event: event.update(tokens_used=7.5),
    lambda event: event.update(project="/päth \ud800"),
    lambda event: event.update(unknown={"deep": [[[1]]]}),
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_line_that_another_program_has_changed_counts_if_it_is_an_event(
    store: Store, damage: Callable[[dict[str, Any]], object]
) -> None:
    store.record([end("a"), end("b"), end("c")])
    events = journal(store.home)
    damage(events[1])
    lines = [json.dumps(event).encode() for event in events]
    Path(store.parts.journal.segments()[0]).write_bytes(
        b"\n".join([*lines, b"{not json", b"\xff\xfe", b"[]", b"null", b""])
    )
    assert [event["seq"] for event in read(Store(store.home))] == [event["seq"] for event in events if is_event(event)]


def test_entries_of_the_history_from_before_the_journal_come_first(adopt: Callable[[], Home]) -> None:
    home = adopt()
    document = on_disk(home)
    entry = {"timestamp": "2026-02-14T12:00:00", "agent": AGENT, "action": "task_completed", "model": "opus",
             "task_id": "t", "tokens_used": 1500, "duration_seconds": 2.5}  # fmt: skip
    odd = [
        {},
        {"action": "task_failed"},
        {**entry, "agent": 5},
        {**entry, "timestamp": "?"},
        {**entry, "tokens_used": "1"},
    ]
    document["history"] = [entry, *odd]
    Path(home.document).write_text(json.dumps(document))
    store = Store(home)
    assert [event["tokens_used"] for event in read(store)] == [1500]
    store.record([end("a", tokens={"input": 5})])
    assert [event["tokens_used"] for event in read(store)] == [1500, 5]


def test_without_the_journal_the_documents_history_counts(store: Store) -> None:
    store.record([end("a"), end("b")])
    for segment in store.parts.journal.segments():
        os.unlink(segment)
    store = Store(store.home)
    assert runs(store) == ["a", "b"]
    store.record([end("c")])
    assert runs(store) == ["a", "b", "c"]


def test_before_a_batch_stands_when_its_file_was_last_written(store: Store) -> None:
    store.record([end("a")])
    os.utime(store.parts.journal.segments()[0], (NOON, NOON))
    assert [written for written, _ in store.run_events(store.read())] == [NOON, float("inf")]


@pytest.mark.parametrize("are_awaited", [False, True])
def test_ends_before_a_moment_are_left_out_while_no_run_is_awaited(store: Store, *, are_awaited: bool) -> None:
    first, last = end("amended", names.LOST), end("amended")
    amendment = {**first, "id": "x", "action": names.TASK_AMENDED, "outcome": "success", "previous_outcome": "lost"}
    store.record(
        [
            first,
            end("old"),
            {**end("written elsewhere"), "timestamp": "2026-02-15T12:00"},
            amendment,
            end("young", after=90.0),
        ]
    )
    awaited = {"amended"} if are_awaited else set()
    batches = store.run_events(store.read(), parse_timestamp(last["timestamp"]) + 1.0, awaited)
    events = [event["run_id"] for _, batch in batches for event in batch]
    assert events == [
        "young",
        "amended",
        *(["written elsewhere", "old", "amended"] if are_awaited else ["written elsewhere"]),
    ]


def test_the_history_finds_young_events_behind_a_segment_of_older_ones_that_came_late(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An import records runs long after they ended; the segments before it may hold younger ones."""
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1000)
    store.record([end(f"young {number}") for number in range(5)])
    for batch in range(12):  # more than the document's history has
        store.record([end(f"imported {batch} {n}", after=-9e6 - n, told_later=True) for n in range(100)])
    young = store.history(since=NOON)
    assert [event["run_id"] for event in young] == [f"young {number}" for number in reversed(range(5))]


def test_imported_events_follow_what_the_home_has_seen_and_a_window_has_them_all(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 1000)
    day = 86_400.0
    store.record([end("seen first"), end("seen second", after=70.0)])
    past = [end(f"{n} days ago", after=-n * day, told_later=True, imported=True) for n in range(365, 0, -1)]
    for first in range(0, len(past), 50):
        store.record(past[first : first + 50])
    store.record([end("seen third", after=80.0)])
    seen = ["seen third", "seen second", "seen first"]
    assert [event["run_id"] for event in store.history()] == [*seen, *(f"{n} days ago" for n in range(1, 366))]
    week = NOON - 7 * day
    assert [event["run_id"] for event in store.history(since=week)] == [*seen, *(f"{n} days ago" for n in range(1, 8))]
    window = Window(week, zone=UTC)
    document = store.read()
    usage = aggregate(parts_in(window, lambda *how: store.run_events(document, *how)), ("day",), window)
    assert [row["runs"] for row in usage.rows] == [1, 1, 1, 1, 1, 1, 1, 3]
    assert document.head["metrics"]["total_requests"] == 368
