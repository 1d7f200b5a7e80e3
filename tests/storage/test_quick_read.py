"""A quick read says what a store says of an agent, and reads no more than the document and the journal's end."""

import os
from pathlib import Path
from typing import Any

import pytest

from otel_tracker import names
from otel_tracker.state.settings import default_config
from otel_tracker.storage.home import Home
from otel_tracker.storage.quick_read import read_quickly
from otel_tracker.storage.store import Store
from tests.builders import AGENT, about, end, start

OTHER, NEW = "core/critic.md", "core/newcomer.md"


@pytest.fixture
def many(home: Home, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home with a head of some 400 KiB, and a journal of many segments."""
    monkeypatch.setattr("otel_tracker.storage.journal.SEGMENT_BYTES", 16 * 1024)
    store = Store(home)
    store.record([end("r1"), end("r2", names.FAILURE), end("r3", agent=OTHER)])
    store.record([end(f"other {number}", agent=f"others/{number}.md") for number in range(300)])
    store.announce([start(f"running {number}", agent=OTHER) for number in range(300)])
    store.record([end("r4", names.FAILURE, agent=OTHER)])
    assert len(store.parts.journal.segments()) == 3
    return home


def in_the_journal_only(home: Home, *events: Any) -> None:
    """Append events as a process does that is killed before it writes the document."""
    journal = Store(home).parts.journal
    journal.append([{"seq": number, **event} for number, event in enumerate(events, journal.last() + 1)])


def expect_the_same(home: Home, agent: str = AGENT) -> None:
    store_says, quick_read_says = Store(home).read(), read_quickly(home, agent)
    assert quick_read_says.agents.get(agent) == store_says.agents.get(agent)
    assert quick_read_says.config == store_says.config
    assert read_quickly(home).head == store_says.head


def test_a_long_head_is_read_to_its_end_and_no_older_segment_at_all(many: Home) -> None:
    head = Path(many.document).read_bytes().partition(b'\n  "history"')[0]
    assert len(head) > 3 * 128 * 1024
    for segment in Store(many).parts.journal.segments()[:-1]:
        os.unlink(segment)
        os.mkdir(segment)  # reading it is an error
    assert read_quickly(many, AGENT).agents[AGENT]["metrics"]["tasks_total"] == 2
    assert read_quickly(many).agents[OTHER]["failures"] == 1


def test_ends_that_only_the_journal_has_are_folded_without_its_older_segments(many: Home) -> None:
    in_the_journal_only(many, end("r6", names.FAILURE), end("r7", names.FAILURE), end("r8", agent=OTHER))
    for segment in Store(many).parts.journal.segments()[:-1]:
        os.unlink(segment)
        os.mkdir(segment)
    assert read_quickly(many, AGENT).agents[AGENT]["failures"] == 3
    assert read_quickly(many, OTHER).agents[OTHER]["failures"] == 0


TAILS: dict[str, list[Any]] = {
    "nothing": [],
    "a start": [start("r9")],
    "an end": [end("r9", names.FAILURE)],
    "an end of another agent": [end("r9", names.FAILURE, agent=OTHER)],
    "an end of a new agent": [end(f"r{n}", names.FAILURE, agent=NEW, after=60.0 + n) for n in range(5)],
    "a start of a new agent": [start("r9", agent=NEW)],
    "a name for an agent": [about(names.AGENT_REGISTERED, agent=OTHER, name=AGENT)],
    "a name for a new agent": [about(names.AGENT_REGISTERED, agent=NEW, name=AGENT), end("r9", agent=NEW)],
    "an order": [about(names.BREAKER_OVERRIDE, override={"kind": names.FORCED_OPEN, "until": None, "reason": "no"})],
    "a reset": [about(names.AGENT_RESET)],
    "a stand-in": [end("r9", agent=OTHER, fallback_for=AGENT)],
    "settings": [
        about(names.SETTINGS_CHANGED, config={**default_config(), "failure_threshold": 1}, agents={}, since=1)
        | {"agent": None},
        end("r9", names.FAILURE),
    ],
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
@pytest.mark.parametrize("agent", [AGENT, NEW])
def test_a_quick_read_says_what_a_store_says(many: Home, tail: list[Any], agent: str) -> None:
    if tail:
        in_the_journal_only(many, *tail)
    expect_the_same(many, agent)


@pytest.mark.parametrize("repeated", [end("r2", names.FAILURE), end("r4", names.FAILURE, agent=OTHER)])
def test_an_end_that_stands_in_the_journal_twice_counts_once(many: Home, repeated: Any) -> None:
    in_the_journal_only(many, repeated)
    expect_the_same(many)


def test_a_document_that_a_process_is_writing_is_asked_of_the_store(many: Home) -> None:
    in_the_journal_only(many, end("r9", names.FAILURE))
    path = Path(many.document)
    path.write_bytes(path.read_bytes()[:-300])
    expect_the_same(many)
