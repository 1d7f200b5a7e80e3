"""A home whose oldest segments are so old that the next backup retires them, and the sums that it must always have."""

import json
from datetime import UTC
from pathlib import Path
from typing import Any

from otel_tracker import names
from otel_tracker.doctor import WRONG, examine_home
from otel_tracker.reporting.aggregate import UsageTable, aggregate, parts_in
from otel_tracker.reporting.window import Window
from otel_tracker.state.amendment import amendment_of
from otel_tracker.storage.home import Home
from otel_tracker.storage.store import Store
from tests.builders import NOON, end

SEGMENT_BYTES = 1800  # four or five events
DAY = 86_400.0
NOW = NOON + 60 * DAY
_ALWAYS = Window(zone=UTC)


def process(home: Home) -> Store:
    return Store(home, clock=lambda: NOW)


def make(home: Home) -> None:
    """Record runs of two months, of which one is amended in a later segment, and then runs of today."""
    store = process(home)
    for number in range(16):
        days = 0 if number < 6 else 20 if number < 9 else 60
        store.record([_ended(f"run {number}", days, number)])
        if number == 8:
            now = _ended("run 2", 1, 50)
            store.record([{**(amendment_of(_ended("run 2", 0, 2), now) or {}), "id": "amendment"}])
    for path in store.parts.backups.paths():  # the oldest one would keep the segments
        Path(path).unlink()


def retire(home: Home) -> None:
    process(home).back_up()


def sums(home: Home) -> UsageTable:
    store = process(home)
    document = store.read()
    parts = parts_in(_ALWAYS, lambda *how: store.run_events(document, *how), document.renamed)
    table = aggregate(parts, ("agent",), _ALWAYS)
    return table._replace(rows=[_counted(row) for row in table.rows], total=_counted(table.total))


def assert_retired(home: Home, expected: UsageTable) -> None:
    """Assert that the home has archived its old segments, and each run once; a killed process's files are gone."""
    process(home).rewrite()
    assert sums(home) == expected
    assert len(process(home).parts.journal.segments()) == 2
    archived = [json.loads(line) for path in Path(home.archive).iterdir() for line in path.read_bytes().splitlines()]
    assert {line["day"] for line in archived} == {"2026-02-15", "2026-02-16", "2026-03-07"}
    assert len(list(Path(home.archive).iterdir())) == 2
    assert [finding.text for finding in examine_home(process(home)) if finding.level == WRONG] == []


def _ended(run_id: str, days: int, number: int) -> Any:
    agent = "core/coder.md" if number % 2 else "ui/designer.md"
    tokens = {"input": number, names.COST: number, names.PRICED: number}
    agent = "ui/designer.md" if run_id == "run 2" else agent
    outcome = names.FAILURE if number == 2 else names.SUCCESS
    known: Any = {"agent": agent, "tokens": tokens, "models": {"claude-opus-5-5": tokens}, "duration_seconds": 1.0}
    return end(run_id, outcome, days * DAY, **known)


def _counted(row: Any) -> Any:
    return {key: value for key, value in row.items() if not key.startswith("duration_")}
