"""Writers that are killed in the middle of anything: what was acknowledged is there, once, and nothing else stays."""

import os
import random
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from otel_tracker import names
from otel_tracker.storage import journal as journals
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.components import (
    assert_counted_exactly,
    assert_in_order,
    finished,
    journal,
    runs,
    start,
)
from tests.faults.events import begin, end
from tests.faults.writer import ATTEMPTED, ENDED, SEGMENT_BYTES, STARTED, read_ledger
from tests.home_files import on_disk

pytestmark = pytest.mark.processes

WRITERS, ROUNDS, LONGEST_LIFE_SECONDS = 8, 40, 0.15


@pytest.fixture
def chance() -> random.Random:
    """Return a source of random numbers, whose seed is shown where the test fails."""
    seed = int(os.environ.get("FAULTS_SEED") or time.time_ns())
    print(f"to have the same moments again: FAULTS_SEED={seed}")  # noqa: T201
    return random.Random(seed)  # noqa: S311 - nothing is a secret here


@pytest.fixture
def ledgers(tmp_path: Path) -> list[str]:
    paths = [tmp_path / f"ledger-{writer}" for writer in range(WRITERS)]
    for path in paths:
        path.touch()
    return [str(path) for path in paths]


def test_writers_killed_at_random_moments_lose_nothing_that_was_acknowledged(
    disk_home: Home, ledgers: list[str], chance: random.Random, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = disk_home
    monkeypatch.setattr(journals, "SEGMENT_BYTES", SEGMENT_BYTES)
    Store(home).record([begin("first"), end("first")])
    reader = start("reader", home.folder, *ledgers, stdin=subprocess.PIPE)
    maker = start("writer", home.folder, stdin=subprocess.PIPE)
    for _ in range(ROUNDS):
        kill_a_round(maker, ledgers, chance)
    complaints = finished(maker)[1]
    usual = re.compile("cut a line off the end of|.* is blacklisted until ")
    assert [line for line in complaints if not usual.match(line)] == []
    Store(home).record([begin("last"), end("last")])  # finds out which tasks have been lost
    reads, said = finished(reader)
    assert said == []
    assert int(reads) > ROUNDS
    assert_acknowledged_once(home, [read_ledger(ledger) for ledger in ledgers])
    assert_counted_exactly(home)
    assert on_disk(home)["in_flight"] == {}
    assert_in_order(home)


def kill_a_round(maker: "subprocess.Popen[str]", ledgers: list[str], chance: random.Random) -> None:
    """Let one writer for each ledger live for a random time."""
    assert maker.stdin is not None
    assert maker.stdout is not None
    maker.stdin.writelines(f"{ledger}\n" for ledger in ledgers)
    pids = [int(maker.stdout.readline()) for _ in ledgers]
    for writer, seconds in deaths(chance):
        time.sleep(seconds)
        os.kill(pids[writer], signal.SIGKILL)


def deaths(chance: random.Random) -> Iterator[tuple[int, float]]:
    """Yield the writers in the order of their deaths, and how long to wait for each."""
    passed = 0.0
    for life, writer in sorted((chance.uniform(0, LONGEST_LIFE_SECONDS), writer) for writer in range(WRITERS)):
        yield writer, life - passed
        passed = life


def assert_acknowledged_once(home: Home, ledgers: list[dict[str, set[str]]]) -> None:
    """Compare the journal with what the writers were told: a task has one start, and one end or is lost."""
    attempted, started, ended = (
        set().union(*(ledger[what] for ledger in ledgers)) for what in (ATTEMPTED, STARTED, ENDED)
    )
    events = journal(home)
    begun, completed = runs(events, names.TASK_STARTED), runs(events, names.TASK_COMPLETED)
    assert ended <= set(completed)
    assert started <= set(begun) <= {*attempted, "first", "last"}
    assert sorted(begun) == sorted([*completed, *runs(events, names.TASK_LOST)])
    assert len(begun) == len(set(begun))
