"""Runs whose record was acknowledged to a process before it was killed: a ledger names them, and the home must have them all."""

from collections.abc import Callable
from pathlib import Path

from otel_tracker import names
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.faults.components import assert_counted_exactly, assert_in_order, journal, runs
from tests.faults.events import begin, end
from tests.home_files import on_disk

Acknowledge = Callable[[str], None]


def record(run_id: str, home: Home, acknowledge: Acknowledge) -> None:
    Store(home).record([begin(run_id), end(run_id)])
    acknowledge(run_id)


def write_line(ledger: Path, run_id: str) -> None:
    with ledger.open("a") as file:
        file.write(f"{run_id}\n")


def assert_whole(home: Home, ledger: Path) -> None:
    acknowledged = ledger.read_text().splitlines() if ledger.exists() else []
    completed = runs(journal(home), names.TASK_COMPLETED)
    assert {*acknowledged, "last"} <= set(completed)
    assert len(completed) == len(set(completed))
    assert_counted_exactly(home)
    assert on_disk(home)["in_flight"] == {}
    assert_in_order(home)
