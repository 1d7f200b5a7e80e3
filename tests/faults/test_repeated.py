"""Runs that are recorded again and again by processes that are killed, as hooks are: each counts once, with a short history."""

import os
import random
import signal
import time
from functools import partial
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

from otel_tracker import names
from otel_tracker.runtime.owner import this_process
from otel_tracker.state.shapes import Event
from otel_tracker.storage import journal as journals
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import document_of, text_of
from tests.faults.components import assert_counted_exactly, assert_in_order, journal, runs
from tests.faults.events import AGENTS, begin, end
from tests.faults.steps import survives
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

WRITERS, WAVES, RUNS_A_WAVE = 4, 6, 12
LONGEST_LIFE_SECONDS = 0.2


def set_up(home: Home, entries: int) -> None:
    Path(home.document).parent.mkdir(parents=True)
    Path(home.document).write_bytes(text_of(document_of(history_max_entries=entries)))


def run(run_id: str) -> list[Event]:
    """Return the events of a run that no process has promised to end."""
    return [{**begin(run_id), "owner": None}, end(run_id)]


@pytest.mark.parametrize("entries", [0, 3])
def test_a_run_that_is_recorded_again_after_a_kill_at_any_step_counts_once(tmp_path: Path, entries: int) -> None:
    for step in count(1):
        home = Home(str(tmp_path / str(step)))
        set_up(home, entries)
        events = run("repeated")
        is_through = survives(partial(Store(home).record, events, may_repeat=True), step)  # type: ignore[arg-type]
        Store(home).record([event for number in range(4) for event in run(f"other {number}")])
        Store(home).record(events, may_repeat=True)
        assert sorted(runs(journal(home), names.TASK_COMPLETED)) == [*(f"other {n}" for n in range(4)), "repeated"]
        assert_counted_exactly(home)
        assert on_disk(home)["in_flight"] == {}
        if is_through:
            break
    assert step > 10


@pytest.mark.parametrize("entries", [0, 3])
def test_the_end_of_a_lost_run_that_comes_again_after_a_kill_at_any_step_amends_it_once(
    tmp_path: Path, entries: int
) -> None:
    gone = {**this_process(), "boot_id": "before"}
    for step in count(1):
        home = Home(str(tmp_path / str(step)))
        set_up(home, entries)
        Store(home).record([{**begin("late"), "owner": gone}])
        Store(home).record([event for number in range(4) for event in run(f"other {number}")])
        assert runs(journal(home), names.TASK_LOST) == ["late"]
        is_through = survives(partial(Store(home).record, [end("late")]), step)  # type: ignore[arg-type]
        Store(home).record([end("late")])
        assert runs(journal(home), names.TASK_AMENDED) == ["late"]
        agent = on_disk(home)["agents"][AGENTS[0]]
        assert (agent["metrics"]["tasks_total"], agent["metrics"]["tasks_successful"]) == (5, 5)
        assert agent["tallies"]["lost"] == 0
        if is_through:
            break
    assert step > 10


def test_many_processes_that_record_the_same_runs_count_each_once_while_segments_are_deleted(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed = int(os.environ.get("FAULTS_SEED") or time.time_ns())
    print(f"to have the same moments again: FAULTS_SEED={seed}")  # noqa: T201
    chance = random.Random(seed)  # noqa: S311 - nothing is a secret here
    monkeypatch.setattr(journals, "SEGMENT_BYTES", 4_000)
    set_up(home, 3)
    for wave in range(WAVES):
        run_ids = [f"{wave}-{number}" for number in range(RUNS_A_WAVE)]
        pids = [_fork(partial(record_all, home, chance.sample(run_ids, len(run_ids)))) for _ in range(WRITERS)]
        for pid in pids[1:]:
            time.sleep(chance.uniform(0, LONGEST_LIFE_SECONDS / WRITERS))
            os.kill(pid, signal.SIGKILL)
        for pid in pids:
            os.waitpid(pid, 0)
        record_all(home, run_ids)
        assert on_disk(home)["metrics"]["total_requests"] == (wave + 1) * RUNS_A_WAVE
        assert on_disk(home)["in_flight"] == {}
        segments = sorted(Path(home.journal).glob("*.jsonl"), key=lambda path: int(path.stem))
        for segment in segments[:-1]:  # of runs that nobody records any more
            segment.unlink()
    assert_in_order(home)


def record_all(home: Home, run_ids: list[str]) -> None:
    store = Store(home)
    for run_id in run_ids:
        start, ended = run(run_id)
        store.announce([start], may_repeat=True)
        store.record([ended])


def _fork(act: "partial[None]") -> int:
    child = os.fork()
    return child or _run(act)


def _run(act: "partial[None]") -> NoReturn:
    try:
        act()
    finally:
        os._exit(0)
