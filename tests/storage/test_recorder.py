"""What can't be written waits, and comes in once; the user's task sees nothing of it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from otel_tracker.errors import StorageError
from otel_tracker.state.shapes import Event
from otel_tracker.storage import recorder, unwritten
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from tests.builders import AGENT, end, start

Warnings = Callable[[], list[str]]


class Disk(Files):
    """A disk that can be told to refuse some operations."""

    refused: "tuple[str, ...]" = ()

    def append(self, path: str, content: bytes) -> None:
        self._refuse("append", path)
        super().append(path, content)

    def create(self, path: str, content: bytes) -> bool:
        self._refuse("create", path)
        return super().create(path, content)

    def sync(self, path: str) -> None:
        self._refuse("sync", path)
        super().sync(path)

    def _refuse(self, what: str, path: str) -> None:
        if what in self.refused:
            raise StorageError(what, path, "No space left on device")


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def recording(home: Home, disk: Disk) -> Recorder:
    return Recorder(Store(home, disk))


def record(by: Recorder, *events: Event) -> None:
    for one in events:
        by.record(one)


def tasks(home: Home) -> int:
    number: int = Store(home).read().agents[AGENT]["metrics"]["tasks_total"]
    return number


@pytest.mark.parametrize("what", ["append", "sync"])
def test_what_could_not_be_written_goes_with_the_next_event_and_counts_once(
    recording: Recorder, disk: Disk, home: Home, warnings_logged: Warnings, what: str
) -> None:
    record(recording, end("r1"))
    disk.refused = (what,)
    record(recording, end("r2"), end("r3"))
    disk.refused = ()
    record(recording, end("r4"))
    assert tasks(home) == 4
    lines = Path(home.journal, "1.jsonl").read_bytes().splitlines()
    assert len(lines) == 4
    said = ["wait in memory and are tried again" in message for message in warnings_logged()]
    assert said in ([True], [False, True])  # a backup that was due could not be made either


def test_what_could_not_be_written_by_the_end_is_left_for_the_next_writer(
    recording: Recorder, disk: Disk, home: Home, warnings_logged: Warnings
) -> None:
    disk.refused = ("append",)
    recording.announce(start("r1"))
    record(recording, end("r1"), end("r2"))
    recording.leave()
    assert warnings_logged()[-1].startswith("3 events are left in ")
    recording.leave()
    assert len(warnings_logged()) == 2  # said once
    Store(home).record([end("r3")])
    assert tasks(home) == 3
    assert not Path(home.unwritten).exists()


def test_what_cannot_even_be_left_is_said_to_be_lost(
    recording: Recorder, disk: Disk, home: Home, warnings_logged: Warnings
) -> None:
    disk.refused = ("append", "create")
    record(recording, end("r1"))
    recording.leave()
    assert warnings_logged()[-1].startswith(f"1 events of {home.document} could not be written and are lost: ")


def test_a_writer_that_is_killed_while_taking_in_takes_nothing_in_twice(home: Home) -> None:
    class Killed(Files):
        def remove(self, path: str) -> None:
            raise KeyboardInterrupt

    Store(home).record([end("r1")])
    unwritten.leave(home, Files(), [end("r2"), end("r3")])
    with pytest.raises(KeyboardInterrupt):
        Store(home, Killed()).record([end("r4")])
    Store(home).record([end("r5")])
    assert tasks(home) == 4
    assert len(Path(home.journal, "1.jsonl").read_bytes().splitlines()) == 4


def test_lines_of_a_left_over_file_that_are_no_events_are_skipped(home: Home, warnings_logged: Warnings) -> None:
    path = unwritten.leave(home, Files(), [end("r1")])
    with open(path, "ab") as file:
        file.write(b'torn\n{"id": 5}\n')
    Store(home).record([end("r2")])
    assert tasks(home) == 2
    assert warnings_logged() == [f"skipped 2 lines of {path} that are no events"]


def test_an_end_that_was_left_over_finds_its_start(home: Home) -> None:
    store = Store(home)
    store.announce([start("r1", task_id="t")])
    unwritten.leave(home, Files(), [{**end("?"), "run_id": None, "task_id": "t"}])
    store.record([end("r2")])
    assert store.read().head["in_flight"] == {}
    assert tasks(home) == 2


def test_an_event_that_comes_in_the_middle_of_another_one_is_recorded_after_it(
    recording: Recorder, disk: Disk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal handler does that, and a generator with a task in it that is collected just then."""
    interrupted: list[str] = []

    def append(path: str, content: bytes) -> None:
        if not interrupted:
            interrupted.append(path)
            record(recording, end("r2"))
        Files.append(disk, path, content)

    monkeypatch.setattr(disk, "append", append)
    record(recording, end("r1"))
    assert tasks(home) == 2
    assert recording.flush()


def test_events_that_ctrl_c_has_interrupted_are_recorded_with_the_next_one(
    recording: Recorder, disk: Disk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: str, content: bytes) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(disk, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            record(recording, end("r1"))
    record(recording, end("r2"))
    assert tasks(home) == 2


def test_a_left_over_file_that_cannot_be_read_keeps_no_process_from_recording(
    home: Home, warnings_logged: Warnings
) -> None:
    unwritten.leave(home, Files(), [end("r1")])
    Path(home.unwritten, "1-odd.jsonl").mkdir()
    store = Store(home)
    store.record([end("r2")])
    store.record([end("r3")])
    assert tasks(home) == 3
    assert len(warnings_logged()) == 1


def test_no_more_events_wait_than_a_bound(
    recording: Recorder, disk: Disk, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorder, "_LONGEST_QUEUE", 3)
    disk.refused = ("append",)
    record(recording, *(end(f"r{number}") for number in range(9)))
    disk.refused = ()
    assert recording.flush()
    assert tasks(home) == 3
