"""Each system call of a transaction goes wrong in turn: the task goes on, and its event counts once all the same."""

import json
import logging
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.storage import files, lock, unwritten
from otel_tracker.storage import journal as journals
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from tests.builders import AGENT, NOON, end, start
from tests.faults.components import assert_sound
from tests.faults.faulty_os import (
    ANY,
    CHANGES,
    FLUSHES,
    WRITES,
    FaultyOs,
    GoWrong,
    fail,
    flush_nothing_and_drop_it,
    flush_nothing_and_forget_it,
    flush_nothing_and_leave_zeros,
    write_half,
)
from tests.faults.power_cut import UnflushedOs
from tests.faults.telling import telling
from tests.home_files import journal

HOUR = 3600.0


class Process:
    """A process that records runs."""

    def __init__(self, home: Home) -> None:
        self.home, self.now = home, NOON
        self.recorder = Recorder(Store(home, clock=lambda: self.now))

    def start(self, run: str) -> None:
        self.recorder.announce(start(run))

    def end(self, run: str) -> None:
        self.recorder.record(end(run))

    def edit(self, **settings: int) -> None:
        """Change settings by hand."""
        document = json.loads(Path(self.home.document).read_bytes())
        document["config"] |= settings
        Path(self.home.document).write_text(json.dumps(document, indent=2))


def new(home: Home) -> Process:
    return Process(home)


def in_use(home: Home) -> Process:
    process = Process(home)
    process.start("a")
    process.end("a")
    return process


def in_use_by_another(home: Home) -> Process:
    in_use(home)
    return Process(home)


def with_a_backup_due(home: Home) -> Process:
    process = in_use(home)
    process.now += HOUR
    return process


def without_history(home: Home) -> Process:
    """Make a home in which nothing tells whether a run has been counted."""
    process = in_use(home)
    process.edit(history_max_entries=0)
    process.end("b")
    return process


def with_a_full_segment(home: Home) -> Process:
    process = without_history(home)
    journals.SEGMENT_BYTES = 1  # the fixture puts it back
    return process


def with_changed_settings(home: Home) -> Process:
    process = without_history(home)
    process.edit(failure_threshold=2)
    return process


def with_left_events(home: Home) -> Process:
    process = without_history(home)
    unwritten.leave(home, Files(), [end("left")])
    return process


HOMES = {
    "a fresh home": new,
    "a home in use": in_use,
    "a home that another process has used": in_use_by_another,
    "a home whose backup is due": with_a_backup_due,
    "a home without history": without_history,
    "a home with a full segment": with_a_full_segment,
    "a home with settings changed by hand": with_changed_settings,
    "a home with events left over": with_left_events,
}
FAULTS = {
    "fails": (fail, ANY, 0),
    "fails with what puts it right": (fail, CHANGES, 1),
    "fails with all that come": (fail, ANY, 10_000),
    "writes half before the disk is full": (write_half, WRITES, 1),
    "writes half before all fails": (write_half, WRITES, 10_000),
    "flushes nothing, which nobody sees": (flush_nothing_and_forget_it, FLUSHES, 0),
    "flushes nothing, which is gone": (flush_nothing_and_drop_it, FLUSHES, 0),
    "flushes nothing and leaves zeros": (flush_nothing_and_leave_zeros, FLUSHES, 0),
}

Prepare = Callable[[Home], Process]
Fault = tuple[GoWrong, tuple[str, ...], int]


@pytest.fixture(autouse=True)
def _with_small_costs(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", journals.SEGMENT_BYTES)
    monkeypatch.setattr(files, "os", UnflushedOs())
    caplog.set_level(logging.CRITICAL, "otel_tracker")  # there is a warning for everything that fails here


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
@pytest.mark.parametrize("prepare", HOMES.values(), ids=HOMES)
def test_the_end_of_a_task_counts_once_whichever_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, fault: Fault
) -> None:
    sweep(tmp_path, monkeypatch, prepare, lambda process: process.end("x"), fault)


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_start_of_a_task_is_known_whichever_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Fault
) -> None:
    sweep(tmp_path, monkeypatch, in_use, lambda process: process.start("x"), fault)


def test_what_was_written_of_a_line_before_the_disk_was_full_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = in_use(Home(str(tmp_path / "agents")))
    before = journal(process.home)
    monkeypatch.setattr(files, "os", FaultyOs(1, write_half, ("write",), 1))
    process.end("x")
    assert journal(process.home) == before


def sweep(
    folder: Path, monkeypatch: pytest.MonkeyPatch, prepare: Prepare, act: "Callable[[Process], None]", fault: Fault
) -> None:
    """Let each call go wrong in turn, until `act` has fewer of them."""
    for nth in count(1):
        ids = map("{:032x}".format, count())  # the same ones each time
        monkeypatch.setattr("otel_tracker.state.event.new_id", ids.__next__)
        process = prepare(Home(str(folder / str(nth))))
        system = FaultyOs(nth, *fault)
        with telling(system.story):
            let_go_wrong(system, monkeypatch, process, act)
            assert_counted_once({"x", "y", "z"}, process.home)
        shutil.rmtree(process.home.folder)
        if system.wrong is None:
            break


def let_go_wrong(
    system: FaultyOs, monkeypatch: pytest.MonkeyPatch, process: Process, act: Callable[[Process], None]
) -> None:
    """Let a process act, go on when all is well again, and another one take over after a power cut."""
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", system)
        patch.setattr(files, "open", system.open_to_read, raising=False)
        patch.setattr(lock, "fcntl", system)
        act(process)
        assert_whole(process.home)
        system.recover()
        process.end("y")
        assert_whole(process.home)
        assert process.recorder.flush()
    system.cut_power()
    Process(process.home).end("z")


def assert_counted_once(runs: set[str], home: Home) -> None:
    """Look whether all is in order, and each run counted once."""
    events = journal(home)
    started, ended = (
        [event["run_id"] for event in events if event["action"] == action]
        for action in (names.TASK_STARTED, names.TASK_COMPLETED)
    )
    assert runs <= {*started, *ended}
    assert len(ended) == len(set(ended))
    document = json.loads(Path(home.document).read_bytes())
    assert document["agents"][AGENT]["metrics"]["tasks_total"] == len(ended)
    assert set(document["in_flight"]) == set(started) - set(ended)
    assert list(Path(home.folder).rglob("*.tmp")) == []
    assert_sound(home)


def assert_whole(home: Home) -> None:
    """See that any program can read the document, if there is one."""
    if Path(home.document).exists():
        json.loads(Path(home.document).read_bytes())
