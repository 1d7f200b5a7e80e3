"""What holds whatever happens, in whatever order: the document is the fold of any of its backups and the later events."""

import json
import logging
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from otel_tracker import names
from otel_tracker.state.fold import fold_all
from otel_tracker.state.replay import Replay
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from tests.builders import AGENT, NOON, any_event, document_of, end, start, text_of, value_of

if TYPE_CHECKING:
    from otel_tracker.state.document import Document

_numbers = count()


def own_home(folder: Path) -> Home:
    """Return a home that no other example has used."""
    return Home(str(folder / str(next(_numbers))))


def store_of(home: Home) -> Store:
    """Return a store like that of a new process, at a moment at which no task is old enough to be lost."""
    return Store(home, clock=lambda: NOON)


def fresh(events: "list[Event]") -> "list[Event]":
    """Return the events under ids of their own, as a caller makes them."""
    return [{**event, "id": f"{event['id']} #{number}"} for number, event in enumerate(events)]


def from_disk(home: Home) -> Any:
    return json.loads(Path(home.document).read_bytes())


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(any_event.filter(lambda event: event["action"] != names.PROBE_GRANTED), min_size=1, max_size=12),
    cuts=st.lists(st.tuples(st.integers(0, 12), st.integers(0, 2)), max_size=5),
)
@example(events=[start("r1"), start("r1")], cuts=[(1, 0)])
@example(events=[end("r1"), start("r1"), end("r1"), end("r1", names.LOST)], cuts=[(1, 0), (2, 1), (3, 2)])
def test_any_split_of_events_over_batches_and_processes_gives_the_same_document(
    tmp_path: Path, events: "list[Event]", cuts: "list[tuple[int, int]]"
) -> None:
    events = fresh(events)
    at_once, split = own_home(tmp_path), own_home(tmp_path)
    for home in (
        at_once,
        split,
    ):  # no breaker trips: the events are ahead of the clock, which would shorten its cooldown
        Path(home.document).parent.mkdir(parents=True)
        Path(home.document).write_bytes(text_of(document_of(failure_threshold=1000)))
    store_of(at_once).record(events)
    stores, begin, whose = [store_of(split) for _ in range(3)], 0, 0
    for cut, next_whose in sorted(cuts):
        if events[begin:cut]:
            stores[whose].record(events[begin:cut])
        begin, whose = max(begin, cut), next_whose
    if events[begin:]:
        stores[whose].record(events[begin:])
    assert from_disk(split) == from_disk(at_once)


class Fleet(RuleBasedStateMachine):
    """Three processes on one home, hand edits, damage, backups and restores."""

    make_home: Callable[[], Home]

    @initialize()
    def begin(self) -> None:
        self.home = type(self).make_home()
        self.stores = [store_of(self.home) for _ in range(3)]
        self.numbers = count()

    @rule(whose=st.integers(0, 2), events=st.lists(any_event, min_size=1, max_size=3))
    def record(self, whose: int, events: "list[Event]") -> None:
        self.stores[whose].record([{**event, "id": f"{event['id']} #{next(self.numbers)}"} for event in events])

    @rule(whose=st.integers(0, 2), event=any_event)
    def announce(self, whose: int, event: Event) -> None:
        self.stores[whose].announce([{**event, "id": f"{event['id']} #{next(self.numbers)}"}])

    @rule(whose=st.integers(0, 2))
    def start_a_new_process(self, whose: int) -> None:
        self.stores[whose] = store_of(self.home)

    @rule(whose=st.integers(0, 2))
    def back_up(self, whose: int) -> None:
        self.stores[whose].back_up()

    @precondition(lambda self: Path(self.home.document).exists())
    @rule(threshold=st.integers(1, 4), entries=st.integers(0, 5), of_agent=st.booleans())
    def edit_settings(self, threshold: int, entries: int, of_agent: bool) -> None:
        document = from_disk(self.home)
        document["config"] |= {"failure_threshold": threshold, "history_max_entries": entries}
        if of_agent and AGENT in document["agents"]:
            document["agents"][AGENT]["config"] = {"failure_threshold": threshold + 1}
        Path(self.home.document).write_text(json.dumps(document, indent=2))

    @precondition(lambda self: self.stores[0].parts.backups.paths())
    @rule(bytes_kept=st.integers(0, 400), is_deleted=st.booleans())
    def damage(self, bytes_kept: int, is_deleted: bool) -> None:
        # Settings that nobody has read yet go with the file: nothing else has them.
        self.stores[0].rewrite()
        path = Path(self.home.document)
        if is_deleted:
            path.unlink()
        else:
            path.write_bytes(path.read_bytes()[:bytes_kept])

    @precondition(lambda self: self.stores[0].parts.backups.paths())
    @rule(whose=st.integers(0, 2), which=st.integers(0, 9))
    def restore_and_discard(self, whose: int, which: int) -> None:
        paths = self.stores[whose].parts.backups.paths()
        before = value_of(self.stores[whose].parts.backups.document(paths[which % len(paths)]))
        restore(self.stores[whose], paths[which % len(paths)], discard_later=True)
        after = from_disk(self.home)
        changed = {"sequence", "updated", "history", "metrics", "config_digest"}
        assert {key: after[key] for key in after.keys() - changed} == {
            key: before[key] for key in before.keys() - changed
        }

    @precondition(lambda self: self.usable_backups())
    @rule(whose=st.integers(0, 2), which=st.integers(0, 9))
    def restore_and_replay(self, whose: int, which: int) -> None:
        self.stores[whose].rewrite()
        paths = [path for path, _ in self.usable_backups()]
        before = from_disk(self.home)
        restore(self.stores[whose], paths[which % len(paths)], discard_later=False)
        after = from_disk(self.home)
        for value in (before, after):
            value["sequence"] = value["updated"] = value["history"] = None
        assert after == before

    def usable_backups(self) -> "list[tuple[str, Document]]":
        journal = self.stores[0].parts.journal
        found = self.stores[0].parts.backups.valid()
        return [
            (path, base)
            for path, base in found
            if not Replay(journal.after(base.sequence)).has_discarded(base.sequence)
        ]

    @invariant()
    def every_process_reads_the_same(self) -> None:
        if hasattr(self, "home"):
            states = [value_of(store.read()) for store in (store_of(self.home), *self.stores)]
            assert all(state == states[0] for state in states)

    @invariant()
    def the_state_is_the_fold_of_any_backup_and_the_later_events(self) -> None:
        if not hasattr(self, "home"):
            return
        reader = store_of(self.home)
        reader.parts.document_file.load()
        if reader.parts.document_file.exists:
            reader.rewrite()  # records what a hand has changed; until then only the file knows
        state = value_of(reader.read())
        for path, base in self.usable_backups():
            assert value_of(fold_all(base, reader.parts.journal.after(base.sequence))) == state, path


@pytest.mark.thorough
def test_a_fleet_with_hand_edits_damage_and_restores_keeps_its_invariants(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "otel_tracker")  # there is much to say of what is damaged here
    Fleet.make_home = staticmethod(lambda: own_home(tmp_path))
    run_state_machine_as_test(Fleet, settings=settings(max_examples=25, stateful_step_count=14))


@pytest.mark.parametrize("is_restored", [False, True])
def test_a_backup_that_is_copied_over_the_document_takes_in_what_came_after_it(
    tmp_path: Path, is_restored: bool
) -> None:
    home = own_home(tmp_path)
    store = store_of(home)
    store.record(fresh([{**about, "id": str(n)} for n, about in enumerate(_failures(3))]))
    backup = store.back_up()
    assert backup is not None
    store.record(fresh([{**about, "id": f"later {n}"} for n, about in enumerate(_failures(2))]))
    before = value_of(store.read())
    if is_restored:
        restore(store, backup, discard_later=False)
        assert from_disk(home)["agents"] == before["agents"]
    else:
        shutil.copy(backup, home.document)
        assert value_of(store_of(home).read()) == before
        store_of(home).rewrite()
        assert from_disk(home) == before


def _failures(number: int) -> "list[Event]":
    from otel_tracker import names
    from tests.builders import end

    return [end(f"run {n} of {number}", names.FAILURE, 60.0 + n) for n in range(number)]
