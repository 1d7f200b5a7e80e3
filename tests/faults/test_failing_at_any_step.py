"""A system call that fails, any of them, one after the other: no task fails, and each event is there once."""

import json
import re
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.state.shapes import Event
from otel_tracker.storage.home import Home
from otel_tracker.storage.recorder import Recorder
from otel_tracker.storage.store import Store
from tests.faults.components import assert_counted_exactly, assert_in_order, journal
from tests.faults.events import begin, end
from tests.faults.steps import FaultyOs, fail, use
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

FEWEST_STEPS = 30


@pytest.mark.parametrize("is_for_good", [False, True], ids=["once", "for good"])
def test_whatever_call_fails_each_event_is_there_once_or_said_to_be_lost(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    warnings_logged: Callable[[], list[str]],
    caplog: pytest.LogCaptureFixture,
    is_for_good: bool,
) -> None:
    for step in count(1):
        home, faulty = Home(str(tmp_path / str(step))), FaultyOs(step, fail, is_for_good=is_for_good)
        Store(home).record([begin("first"), end("first")])
        events = [one for run in ("a", "b", "c") for one in (begin(run), end(run))]
        with monkeypatch.context() as patch:
            use(faulty, patch)
            record(home, events)
        assert_there_once_or_lost(home, events, lost(warnings_logged()))
        if faulty.taken < step:
            break
        caplog.clear()
    assert step > FEWEST_STEPS


def record(home: Home, events: list[Event]) -> None:
    """Record events as a process does that ends behind them."""
    recorder = Recorder(Store(home))
    for event in events:
        hand_over = recorder.announce if event["action"] == names.TASK_STARTED else recorder.record
        hand_over(dict(event))
        json.loads(Path(home.document).read_bytes())
    recorder.leave()


def lost(warnings: list[str]) -> int:
    """Return how many events have been said to be lost."""
    return sum(int(line.split()[0]) for line in warnings if re.match(r"\d+ events .* are lost", line))


def assert_there_once_or_lost(home: Home, events: list[Event], lost: int) -> None:
    Store(home).record([begin("last"), end("last")])
    ids = [event["id"] for event in journal(home)]
    assert len(ids) == len(set(ids))
    assert len({event["id"] for event in events} - set(ids)) <= lost
    assert len(on_disk(home)["in_flight"]) <= lost
    assert_counted_exactly(home)
    assert_in_order(home)
