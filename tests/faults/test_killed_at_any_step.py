"""A process that is killed at any of its system calls, one after the other: the next one finds nothing amiss."""

import os
import shutil
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from otel_tracker.storage import journal as journals
from otel_tracker.storage import unwritten
from otel_tracker.storage.files import Files
from otel_tracker.storage.home import Home
from otel_tracker.storage.restore import restore
from otel_tracker.storage.store import Store
from tests.faults import retiring
from tests.faults.acknowledged import Acknowledge, assert_whole, record, write_line
from tests.faults.events import begin, end
from tests.faults.steps import survives

pytestmark = pytest.mark.processes

Act = Callable[[Home, Acknowledge], None]
FEWEST_STEPS = 10


def nothing(home: Home, acknowledge: Acknowledge) -> None:
    """Leave the home to be made by the first task."""


def record_and_back_up(home: Home, acknowledge: Acknowledge) -> None:
    store = Store(home)
    store.announce([begin("a"), begin("never ended")])
    store.record([end("a")])
    acknowledge("a")
    store.back_up()
    store.record([begin("b"), end("b")])
    acknowledge("b")


def leave_events(home: Home, acknowledge: Acknowledge) -> None:
    unwritten.leave(home, Files(), [begin("left"), end("left")])
    acknowledge("left")


def tear(home: Home, acknowledge: Acknowledge) -> None:
    record("torn", home, acknowledge)
    os.truncate(home.document, 100)


def place_behind_a_link(home: Home, acknowledge: Acknowledge) -> None:
    real = Path(home.folder, "dotfiles", "state.json")
    for folder in (real.parent, Path(home.document).parent):
        folder.mkdir(parents=True)
    Path(home.document).symlink_to(real)


def back_up(home: Home, acknowledge: Acknowledge) -> None:
    record("before", home, acknowledge)
    Store(home).back_up()
    record("after", home, acknowledge)


def restore_the_backup(home: Home, acknowledge: Acknowledge) -> None:
    store = Store(home)
    restore(store, store.parts.backups.paths()[0], discard_later=False)
    store.record([begin("a"), end("a")])
    acknowledge("a")


CASES = [
    pytest.param(nothing, record_and_back_up, id="the first task of a home"),
    pytest.param(place_behind_a_link, record_and_back_up, id="the first task behind a link"),
    pytest.param(partial(record, "before"), record_and_back_up, id="a task"),
    pytest.param(partial(record, "before"), leave_events, id="leaving events"),
    pytest.param(leave_events, record_and_back_up, id="taking in what was left"),
    pytest.param(tear, record_and_back_up, id="rebuilding the document"),
    pytest.param(back_up, restore_the_backup, id="restoring a backup"),
]


@pytest.mark.parametrize(("prepare", "act"), CASES)
def test_a_process_that_is_killed_at_any_step_has_lost_nothing_that_was_acknowledged(
    tmp_path: Path, prepare: Act, act: Act
) -> None:
    for step in count(1):
        folder = str(tmp_path / str(step))
        ledger = tmp_path / f"{step}.ledger"
        acknowledge = partial(write_line, ledger)
        prepare(Home(folder), acknowledge)
        is_through = survives(partial(act, Home(folder), acknowledge), step)
        Store(Home(folder)).record([begin("last"), end("last")])
        assert_whole(Home(folder), ledger)
        if is_through:
            break
    assert step > FEWEST_STEPS


def test_a_process_that_is_killed_at_any_step_of_retiring_segments_leaves_each_run_counted_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "SEGMENT_BYTES", retiring.SEGMENT_BYTES)
    made = Home(str(tmp_path / "made"))
    retiring.make(made)
    expected = retiring.sums(made)
    for step in count(1):
        home = Home(str(tmp_path / str(step)))
        shutil.copytree(made.folder, home.folder)
        is_through = survives(partial(retiring.retire, home), step)
        assert retiring.sums(home) == expected
        retiring.retire(home)
        retiring.assert_retired(home, expected)
        if is_through:
            break
    assert step > 4 * FEWEST_STEPS
