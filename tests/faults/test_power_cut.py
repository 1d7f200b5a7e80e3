"""The power is cut after any step: what was acknowledged is there, once, and whoever comes next finds a whole document."""

import json
import logging
import os
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from otel_tracker import names
from otel_tracker.doctor import WRONG, examine_home
from otel_tracker.state.document import new_document
from otel_tracker.state.fold import fold_all
from otel_tracker.state.schema import has_changed_settings
from otel_tracker.state.shapes import Event
from otel_tracker.storage import files, unwritten
from otel_tracker.storage import journal as journals
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from tests.builders import NOON, end, start, value_of
from tests.faults import retiring
from tests.faults.power_cut import Disk, Image, LoggedOs, UnflushedOs, described, put, taken
from tests.faults.telling import telling

HOUR = 3600.0
SEGMENT_BYTES = 1200  # four events
ENDS = {names.TASK_COMPLETED: "tasks_successful", names.TASK_FAILED: "tasks_failed"}
ABOUT_THE_DOCUMENT = (names.DOCUMENT_RESTORED, names.SETTINGS_CHANGED)

Counts = dict[str, Any]


class Machine:
    """Processes that work in a home, one after the other, on a disk whose steps are logged.

    A run has a letter, with a `!` if it fails; a capital one is of another agent.
    """

    def __init__(self, folder: Path) -> None:
        self.home, self.now = Home(str(folder / "agents")), NOON
        self.logged = LoggedOs(str(folder))
        self.deleted: list[Event] = []
        self.start_process()

    def start_process(self) -> None:
        self.store = self.process()

    def process(self, disk: Files | None = None) -> Store:
        return Store(self.home, disk, clock=lambda: self.now)

    def announce(self, runs: str) -> None:
        self.store.announce([start(run, agent=agent_of(run)) for run in runs.split()])

    def record(self, runs: str, store: Store | None = None) -> None:
        recorded = (store or self.store).record([ended(run) for run in runs.split()])
        self.acknowledge(recorded[-1]["seq"])

    def acknowledge(self, sequence: int) -> None:
        self.logged.note(f"acknowledge event {sequence}", partial(Disk.acknowledge, sequence=sequence))

    def leave(self, runs: str) -> None:
        left = [ended(run) for run in runs.split()]
        unwritten.leave(self.home, Files(), left)
        self.logged.note(f"leave {runs}", partial(Disk.leave, ids=tuple(event["id"] for event in left)))

    def edit(self, **settings: int) -> None:
        """Change settings by hand, with an editor that writes files in place."""
        document = json.loads(Path(self.home.document).read_bytes())
        document["config"] |= settings
        descriptor = self.logged.open(self.home.document, os.O_WRONLY)
        self.logged.ftruncate(descriptor, 0)
        self.logged.write(descriptor, json.dumps(document, indent=2).encode())
        os.close(descriptor)

    def restore(self, which: int, *, discard_later: bool) -> None:
        restore(self.store, self.store.parts.backups.paths()[which], discard_later=discard_later)
        self.acknowledge(self.store.last_number())

    def delete_oldest_segment(self) -> None:
        """Delete what the journal begins with, which only a backup has then."""
        oldest = self.store.parts.journal.segments()[0]
        self.deleted += [json.loads(line) for line in Path(oldest).read_bytes().splitlines()]
        os.unlink(oldest)

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        self.logged.note("flush everything", Disk.flush_all)


class Interrupted(Files):
    """Flushes a file after something else has happened."""

    meanwhile: Callable[[], object] | None = None

    def sync(self, path: str) -> None:
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile:
            meanwhile()
        super().sync(path)


def agent_of(run: str) -> str:
    return "core/tester.md" if run.isupper() else "core/coder.md"


def ended(run: str) -> Event:
    outcome = names.FAILURE if run.endswith("!") else names.SUCCESS
    return end(run.rstrip("!"), outcome, agent=agent_of(run))


def nothing(machine: Machine) -> None:
    """Leave the home to be made by the first task."""


def two_tasks(machine: Machine) -> None:
    machine.announce("a b")
    machine.record("a b!")


def two_tasks_and_a_backup(machine: Machine) -> None:
    two_tasks(machine)
    machine.store.back_up()
    machine.record("c D")


def a_task_and_a_backup(machine: Machine) -> None:
    machine.record("a")
    machine.store.back_up()


def a_torn_document(machine: Machine) -> None:
    two_tasks(machine)
    machine.record("c")
    machine.store.back_up()
    machine.record("d")
    machine.delete_oldest_segment()
    os.truncate(machine.home.document, 400)


def the_first_tasks(machine: Machine) -> None:
    machine.announce("a")
    machine.record("a")
    machine.start_process()
    machine.announce("B")
    machine.record("c! d!")


def tasks(machine: Machine) -> None:
    for run in ("e", "F!", "g"):
        machine.announce(run.rstrip("!"))
        machine.record(run)
        machine.start_process()


def a_task_each_of_two_processes(machine: Machine) -> None:
    machine.announce("e")
    machine.record("e")
    machine.start_process()
    machine.record("F!")


def changing_settings_by_hand(machine: Machine) -> None:
    machine.edit(failure_threshold=2)
    machine.record("e!")
    machine.start_process()
    machine.record("f!")


def backing_up(machine: Machine) -> None:
    machine.store.back_up()
    machine.record("e")
    machine.pass_time(HOUR)
    machine.start_process()
    machine.record("f")


def restoring_backups(machine: Machine) -> None:
    machine.announce("e")
    machine.restore(-1, discard_later=False)
    machine.record("e")
    machine.start_process()
    machine.restore(0, discard_later=True)
    machine.record("f!")


def taking_in_events_that_were_left(machine: Machine) -> None:
    machine.leave("e F!")
    machine.record("g")
    machine.pass_time(60.0)
    machine.start_process()
    machine.leave("h")
    machine.record("i")


def others_before_the_flush(machine: Machine) -> None:
    disk = Interrupted()
    slow, fast = machine.process(disk), machine.process()
    disk.meanwhile = fast.back_up
    machine.record("e", slow)
    disk.meanwhile = partial(machine.record, "f", fast)
    machine.record("g", slow)


def a_task_after_one_who_was_killed_beginning_a_segment(machine: Machine) -> None:
    path = os.path.join(machine.home.journal, f"{machine.store.last_number() + 1}.jsonl")
    os.close(machine.logged.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    machine.start_process()
    machine.record("e")


def a_task_after_one_who_was_killed_making_the_home(machine: Machine) -> None:
    for folder in (machine.home.folder, os.path.dirname(machine.home.document), machine.home.journal):
        machine.logged.mkdir(folder)
    machine.record("a")


CASES = {
    "the first tasks": (nothing, the_first_tasks),
    "tasks": (two_tasks, tasks),
    "changing settings by hand": (two_tasks, changing_settings_by_hand),
    "backing up": (two_tasks, backing_up),
    "restoring backups": (two_tasks_and_a_backup, restoring_backups),
    "taking in events that were left": (two_tasks, taking_in_events_that_were_left),
    "a backup and a task of others before the flush": (a_task_and_a_backup, others_before_the_flush),
    "a task after one who was killed beginning a segment": (
        a_task_and_a_backup,
        a_task_after_one_who_was_killed_beginning_a_segment,
    ),
    "a task after one who was killed making the home": (nothing, a_task_after_one_who_was_killed_making_the_home),
    "rebuilding the document": (a_torn_document, a_task_each_of_two_processes),
}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> Machine:
    caplog.set_level(logging.CRITICAL, "otel_tracker")  # there is much to say of what is damaged here
    monkeypatch.setattr(journals, "SEGMENT_BYTES", SEGMENT_BYTES)
    (tmp_path / "machine").mkdir()
    made = Machine(tmp_path / "machine")
    monkeypatch.setattr(files, "os", made.logged)
    return made


@pytest.fixture
def stuck_after() -> Iterator[Callable[[int], int]]:
    """Have the test fail, not hang, if it is still at work after so many seconds."""

    def fail(*what: Any) -> None:
        raise AssertionError("it hangs")

    before = signal.signal(signal.SIGALRM, fail)
    yield signal.alarm
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize(("prepare", "act"), CASES.values(), ids=CASES)
def test_a_power_cut_loses_nothing_that_was_acknowledged(
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Machine], None],
    act: Callable[[Machine], None],
) -> None:
    prepare(machine)
    machine.logged.begin()
    act(machine)
    monkeypatch.setattr(files, "os", UnflushedOs())
    events = [*machine.deleted, *journal(taken(str(tmp_path / "machine")))]
    aftermath = Aftermath(str(tmp_path / "after"), events)
    for step, disk in machine.logged.disks():
        for image in disk.images():
            with telling(partial(described, step, image)):
                found = aftermath.of(image)
                assert found.sequence >= disk.acknowledged
                assert found.ids.issuperset(disk.left)
    assert image == taken(str(tmp_path / "machine"))  # the log has missed nothing


def test_a_power_cut_while_segments_are_retired_leaves_each_run_counted_once(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", retiring.SEGMENT_BYTES)
    retiring.make(machine.home)
    expected = retiring.sums(machine.home)
    machine.logged.begin()
    retiring.retire(machine.home)
    monkeypatch.setattr(files, "os", UnflushedOs())
    seen = set()
    for step, disk in machine.logged.disks():
        for image in disk.images():
            key = hash(frozenset(image.items()))
            if key not in seen:
                seen.add(key)
                put(image, str(tmp_path / "after"))
                home = Home(str(tmp_path / "after" / "agents"))
                with telling(partial(described, step, image)):
                    assert retiring.sums(home) == expected
                    retiring.retire(home)
                    retiring.assert_retired(home, expected)
                shutil.rmtree(tmp_path / "after")
    assert len(seen) > 10


def test_a_full_segment_that_was_never_flushed_stops_no_process(
    machine: Machine, stuck_after: Callable[[int], int]
) -> None:
    first = Path(machine.home.journal, "1.jsonl")
    first.parent.mkdir(parents=True)
    first.write_bytes(bytes(SEGMENT_BYTES) + b"\n")
    machine.logged.begin()
    stuck_after(20)
    machine.record("a")
    machine.start_process()
    machine.record("b")
    assert shown(value_of(machine.process().read()))["totals"] == {("core/coder.md", "tasks_successful"): 2}


class Found(NamedTuple):
    """The last event that a reader finds after a power cut, and what is in the history after the next record."""

    sequence: int
    ids: frozenset[str]


class Aftermath:
    """Starts a process after a power cut. Many cuts leave the same."""

    def __init__(self, folder: str, events: list[Event]) -> None:
        self._folder, self._events = folder, events
        self._home = Home(os.path.join(folder, "agents"))
        self._found: dict[int, Found] = {}
        self._healthy: set[int] = set()

    def of(self, image: Image) -> Found:
        key = hash(frozenset(image.items()))
        if key not in self._found:
            put(image, self._folder)
            self._found[key] = self._look()
            shutil.rmtree(self._folder)
        return self._found[key]

    def _look(self) -> Found:
        """Read and record as a process does that knows nothing, and compare with what the events say."""
        state = self._process().read()
        before = self._events[: state.sequence]
        assert shown(value_of(state)) == counted(before)
        if not has_changed_settings(state.head):
            assert value_of(state) == value_of(fold_all(new_document(), before))
        self._process().record([ended("z")])
        after = taken(self._folder)
        document = json.loads(after["agents/config/circuit-breaker.json"] or b"")
        new = [event for event in journal(after) if event["seq"] > state.sequence]
        assert shown(document) == counted([*before, *new])
        assert document == value_of(self._process().read())
        self._look_closer(after)
        return Found(state.sequence, frozenset(entry["id"] for entry in document["history"]))

    def _look_closer(self, image: Image) -> None:
        """Ask the doctor, and see that what was just recorded is there even if the document gets lost."""
        key = hash(frozenset(item for item in image.items() if ".corrupt-" not in item[0]))
        if key not in self._healthy:
            assert [finding.text for finding in examine_home(self._process()) if finding.level == WRONG] == []
            os.unlink(self._home.document)
            assert ended("z")["id"] in [entry["id"] for entry in self._process().read().history.entries()]
            self._healthy.add(key)

    def _process(self) -> Store:
        return Store(self._home, clock=lambda: NOON + HOUR)


def journal(image: Image) -> list[Event]:
    """Return what any program reads in the journal."""
    segments = {int(Path(path).stem): text for path, text in image.items() if Path(path).match("journal/*.jsonl")}
    return [json.loads(line) for _, text in sorted(segments.items()) for line in (text or b"").splitlines()]


def shown(document: Any) -> Counts:
    """Return what a document says of tasks."""
    totals = {
        (key, total): agent["metrics"][total] for key, agent in document["agents"].items() for total in ENDS.values()
    }
    ids = sorted(entry["id"] for entry in document["history"])
    return {"totals": +Counter(totals), "running": set(document["in_flight"]), "history": ids}


def counted(events: list[Event]) -> Counts:
    """Return what a document should say of tasks after `events`, each run counted once."""
    kept: list[Event] = []
    for event in events:
        if event["action"] == names.DOCUMENT_RESTORED:
            kept = [past for past in kept if not event["after"] < past["seq"] <= event["until"]]
        kept.append(event)
    ends = {event["run_id"]: event for event in reversed(kept) if event["action"] in ENDS}
    totals = Counter((event["agent"], ENDS[event["action"]]) for event in ends.values())
    started = {event["run_id"] for event in kept if event["action"] == names.TASK_STARTED}
    ids = [event["id"] for event in [*ends.values(), *kept] if event["action"] in (*ENDS, *ABOUT_THE_DOCUMENT)]
    return {"totals": totals, "running": started - set(ends), "history": sorted(set(ids))}
